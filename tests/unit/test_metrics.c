#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include <jansson.h>

#include "base/file.h"
#include "base/memory.h"
#include "tests/unit/capture.h"
#include "tests/unit/scratch.h"
#include "train/run/metrics.h"

static void write_steps(const char *path, int64_t after, int64_t first, int64_t last) {
    hy_metrics *metrics = NULL;
    assert_int_equal(hy_metrics_open(path, after, &metrics), HY_OK);
    for (int64_t step = first; step <= last; step++) {
        const hy_step_result result = {
            .loss = step == 3 ? NAN : 1.0 / (double)step, .valid = 9, .tokens = 10, .skipped = step == 3};
        const hy_step_rates rates = {.seconds = 0.5};
        assert_int_equal(hy_metrics_step(metrics, step, &result, &rates), HY_OK);
        if (step % 2 == 0) {
            const hy_eval_result eval = {.loss = 2.0};
            assert_int_equal(hy_metrics_eval(metrics, step, &eval), HY_OK);
        }
    }
    hy_metrics_close(metrics);
}

/* Steps in the file, in order; every line must be JSON. */
static int64_t read_steps(const char *path, int64_t *steps) {
    char *text = NULL;
    size_t length = 0;
    int64_t n = 0;
    assert_int_equal(hy_file_read(path, 1 << 20, HY_ERR_FAILED, &text, &length), HY_OK);
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        json_t *value = json_loads(line, 0, NULL);
        assert_non_null(value);
        steps[n++] = (int64_t)json_integer_value(json_object_get(value, "step"));
        json_decref(value);
    }
    hy_free(text);
    return n;
}

static void goes_on_without_repeating(void **state) {
    (void)state;
    const char *path = scratch_path("metrics.jsonl");
    int64_t steps[64];
    static const int64_t once[] = {1, 2, 2, 3, 4, 4, 5}, twice[] = {1, 2, 2, 3, 4, 4, 5, 6, 6, 7};
    write_steps(path, 0, 1, 5);
    assert_int_equal(read_steps(path, steps), 7);
    assert_memory_equal(steps, once, sizeof once);

    FILE *file = fopen(path, "a"); /* torn by a crash */
    assert_non_null(file);
    (void)fputs("{\"step\": 6, \"loss\": 0.1", file);
    (void)fclose(file);
    write_steps(path, 4, 5, 7); /* the checkpoint was that of step 4 */
    assert_int_equal(read_steps(path, steps), 10);
    assert_memory_equal(steps, twice, sizeof twice);

    write_steps(path, 0, 1, 5); /* a run from the start */
    assert_int_equal(read_steps(path, steps), 7);
}

/* A file size limit takes part of a line: the lines before it stay whole, and later ones follow once there is room. */
static void full_disk_costs_only_its_lines(void **state) {
    (void)state;
    const char *path = scratch_path("full.jsonl");
    const struct rlimit small = {.rlim_cur = 100, .rlim_max = RLIM_INFINITY};
    struct rlimit before;
    hy_metrics *metrics = NULL;
    const hy_eval_result eval = {.loss = 2.0};
    int64_t steps[64];
    assert_int_equal(hy_metrics_open(path, 0, &metrics), HY_OK);
    assert_int_equal(hy_metrics_eval(metrics, 1, &eval), HY_OK);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    capture_begin();
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const hy_status refused =
        hy_metrics_eval(metrics, 2, &eval) == HY_OK ? hy_metrics_eval(metrics, 2, &eval) : HY_ERR_FAILED;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    (void)capture_end();
    assert_int_not_equal(refused, HY_OK);
    assert_int_equal(hy_metrics_eval(metrics, 3, &eval), HY_OK);
    hy_metrics_close(metrics);
    const int64_t n = read_steps(path, steps);
    assert_int_equal(steps[0], 1);
    assert_int_equal(steps[n - 1], 3);
}

static int scratch_remove(void **unused) {
    (void)unused;
    return hy_file_remove_tree(scratch_dir, HY_ERR_FAILED) != HY_OK;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(goes_on_without_repeating),
                                       cmocka_unit_test(full_disk_costs_only_its_lines)};
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
