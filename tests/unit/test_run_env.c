/* env.json: the newest start first, those before it in a list, how each ended; damage is survived. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/file.h"
#include "capture.h"
#include "scratch.h"
#include "train/run/run_env.h"

static int scratch_remove(void **unused) {
    (void)unused;
    return hy_file_remove_tree(scratch_dir, HY_ERR_FAILED) != HY_OK;
}

static json_t *load(const char *path) {
    json_error_t error;
    json_t *object = json_load_file(path, 0, &error);
    assert_non_null(object);
    return object;
}

static json_int_t number(const json_t *object, const char *key) {
    return json_integer_value(json_object_get(object, key));
}

static void test_history(void **unused) {
    (void)unused;
    const char *path = scratch_path("env.json");
    assert_int_equal(hy_run_env_begin(path, "{\"ranks\": 1, \"commit\": \"a\"}"), HY_OK);
    assert_int_equal(hy_run_env_end(path, 75, "SIGTERM", 12), HY_OK);
    assert_int_equal(hy_run_env_begin(path, "{\"ranks\": 2}"), HY_OK); /* killed */
    assert_int_equal(hy_run_env_begin(path, "{\"ranks\": 3}"), HY_OK);
    assert_int_equal(hy_run_env_end(path, 0, "done", 40), HY_OK);

    json_t *now = load(path);
    const json_t *earlier = json_object_get(now, "earlier"), *ended = json_object_get(now, "ended");
    assert_int_equal(number(now, "ranks"), 3);
    assert_int_equal(number(ended, "step"), 40);
    assert_int_equal(json_array_size(earlier), 2);
    const json_t *first = json_array_get(earlier, 0), *second = json_array_get(earlier, 1);
    assert_int_equal(number(first, "ranks"), 1);
    assert_int_equal(number(json_object_get(first, "ended"), "exit_code"), 75);
    assert_string_equal(json_string_value(json_object_get(json_object_get(first, "ended"), "reason")), "SIGTERM");
    assert_int_equal(number(second, "ranks"), 2);
    assert_null(json_object_get(second, "ended"));
    assert_null(json_object_get(first, "earlier"));
    assert_null(json_object_get(second, "earlier"));
    json_decref(now);
}

static void test_damage(void **unused) {
    (void)unused;
    static const char *const bad[] = {"", "{\"ranks\": ", "[1]", "{\"ranks\": 1, \"earlier\": 7}"};
    const char *path = scratch_path("damaged.json");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(hy_file_write_atomic(path, bad[i], strlen(bad[i]), HY_ERR_FAILED), HY_OK);
        capture_begin();
        const hy_status ended = hy_run_env_end(path, 0, "done", 1);
        const hy_status status = hy_run_env_begin(path, "{\"ranks\": 4}");
        const char *log = capture_end();
        assert_int_equal(ended, HY_OK);
        assert_int_equal(status, HY_OK);
        if (i < 3) {
            assert_contains(log, "damaged.json is damaged");
        }
        json_t *now = load(path);
        assert_int_equal(number(now, "ranks"), 4);
        assert_int_equal(json_array_size(json_object_get(now, "earlier")), i < 3 ? 0 : 1);
        json_decref(now);
    }
    capture_begin();
    const hy_status status = hy_run_env_begin(path, "{");
    assert_contains(capture_end(), "line 1");
    assert_int_equal(status, HY_ERR_FAILED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_history),
        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
