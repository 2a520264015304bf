/* What is written is read by an independent parser (jansson, which checks UTF-8 too). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/json.h"
#include "base/random.h"
#include "capture.h"

static char *buffer;
static size_t buffer_length;

static FILE *open_buffer(void) {
    FILE *file = open_memstream(&buffer, &buffer_length);
    assert_non_null(file);
    return file;
}

static json_t *close_and_parse(FILE *file) {
    (void)fclose(file);
    json_error_t error;
    json_t *root = json_loads(buffer, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (root == NULL) {
        fail_msg("%s\nin: %s", error.text, buffer);
    }
    free(buffer);
    return root;
}

static void test_exact_text(void **unused) {
    (void)unused;
    FILE *file = open_buffer();
    hy_json j;
    hy_json_begin(&j, file);
    hy_json_open_object(&j, NULL);
    hy_json_int(&j, "step", -3);
    hy_json_open_array(&j, "losses");
    hy_json_double(&j, NULL, 0.5);
    hy_json_double(&j, NULL, NAN);
    hy_json_open_object(&j, NULL);
    hy_json_close(&j);
    hy_json_close(&j);
    hy_json_bool(&j, "yes", true);
    hy_json_bool(&j, "no", false);
    hy_json_null(&j, "none");
    hy_json_string(&j, "text", "a\"b\\c\nd\x01");
    hy_json_string(&j, "absent", NULL);
    hy_json_double(&j, "inf", -INFINITY);
    hy_json_close(&j);
    assert_int_equal(hy_json_end(&j, HY_ERR_FAILED), HY_OK);
    (void)fclose(file);
    assert_string_equal(buffer,
                        "{\"step\": -3, \"losses\": [0.5, null, {}], \"yes\": true, \"no\": false, \"none\": null, "
                        "\"text\": \"a\\\"b\\\\c\\nd\\u0001\", \"absent\": null, \"inf\": null}\n");
    free(buffer);
}

static void test_numbers_read_back(void **unused) {
    (void)unused;
    enum { N = 2000 };
    FILE *file = open_buffer();
    hy_json j;
    hy_json_begin(&j, file);
    hy_json_open_array(&j, NULL);
    for (uint64_t i = 0; i < N; i++) {
        hy_json_int(&j, NULL, (int64_t)hy_random_u64(1, 0, i));
        hy_json_double(&j, NULL, ldexp(hy_random_normal(1, 1, i), (int)(i % 1000) - 500));
    }
    hy_json_close(&j);
    assert_int_equal(hy_json_end(&j, HY_ERR_FAILED), HY_OK);
    json_t *root = close_and_parse(file);
    assert_int_equal(json_array_size(root), 2 * N);
    for (uint64_t i = 0; i < N; i++) {
        assert_true(json_integer_value(json_array_get(root, 2 * i)) == (json_int_t)hy_random_u64(1, 0, i));
        const double wanted = ldexp(hy_random_normal(1, 1, i), (int)(i % 1000) - 500);
        assert_true(json_number_value(json_array_get(root, 2 * i + 1)) == wanted);
    }
    json_decref(root);
}

/* Random bytes, mostly no UTF-8, as values and as keys: always valid JSON. */
static void test_any_bytes(void **unused) {
    (void)unused;
    for (uint64_t trial = 0; trial < 500; trial++) {
        char text[64];
        const size_t length = hy_random_u64(trial, 0, 0) % sizeof(text);
        for (size_t i = 0; i < length; i++) {
            text[i] = (char)(1 + hy_random_u64(trial, 1, i) % 255);
        }
        text[length] = '\0';
        FILE *file = open_buffer();
        hy_json j;
        hy_json_begin(&j, file);
        hy_json_open_object(&j, NULL);
        hy_json_string(&j, text, text);
        hy_json_close(&j);
        assert_int_equal(hy_json_end(&j, HY_ERR_FAILED), HY_OK);
        json_decref(close_and_parse(file));
    }
}

static void test_good_utf8_is_kept(void **unused) {
    (void)unused;
    const char *text = "caf\xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80 \x7f";
    FILE *file = open_buffer();
    hy_json j;
    hy_json_begin(&j, file);
    hy_json_string(&j, NULL, text);
    assert_int_equal(hy_json_end(&j, HY_ERR_FAILED), HY_OK);
    json_t *root = close_and_parse(file);
    assert_string_equal(json_string_value(root), text);
    json_decref(root);
}

static void test_values_are_lines(void **unused) {
    (void)unused;
    FILE *file = open_buffer();
    for (int i = 0; i < 3; i++) {
        hy_json j;
        hy_json_begin(&j, file);
        hy_json_int(&j, NULL, i);
        assert_int_equal(hy_json_end(&j, HY_ERR_FAILED), HY_OK);
    }
    (void)fclose(file);
    assert_string_equal(buffer, "0\n1\n2\n");
    free(buffer);
}

static void test_write_errors_are_reported(void **unused) {
    (void)unused;
    FILE *full = fopen("/dev/full", "w");
    assert_non_null(full);
    hy_json j;
    hy_json_begin(&j, full);
    hy_json_int(&j, NULL, 1);
    capture_begin();
    const hy_status status = hy_json_end(&j, HY_ERR_CHECKPOINT);
    assert_contains(capture_end(), "cannot write JSON: No space left on device");
    assert_int_equal(status, HY_ERR_CHECKPOINT);
    (void)fclose(full);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_text),       cmocka_unit_test(test_numbers_read_back),
        cmocka_unit_test(test_any_bytes),        cmocka_unit_test(test_good_utf8_is_kept),
        cmocka_unit_test(test_values_are_lines), cmocka_unit_test(test_write_errors_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
