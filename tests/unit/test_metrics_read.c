/* metrics.jsonl as jobs leave it: killed in a line, resumed, with skipped steps and foreign lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "tests/unit/capture.h"
#include "tests/unit/scratch.h"
#include "train/run/metrics.h"
#include "train/run/metrics_read.h"

static hy_metrics_history read_text(const char *text) {
    const char *path = scratch_path("metrics.jsonl");
    hy_metrics_history history;
    assert_int_equal(hy_file_write_atomic(path, text, strlen(text), HY_ERR_FAILED), HY_OK);
    assert_int_equal(hy_metrics_read(path, &history), HY_OK);
    return history;
}

static void reads_what_is_written(void **unused) {
    (void)unused;
    const char *path = scratch_path("written.jsonl");
    hy_metrics *metrics = NULL;
    hy_metrics_history history;
    const hy_step_result result = {.loss = 2.5, .grad_norm = 0.75, .lr = 1e-3, .tokens_so_far = 512, .valid = 500};
    const hy_step_rates rates = {.seconds = 2.0, .tokens_per_second = 256.0, .mfu = 0.5, .exposed = 0.25};
    const hy_eval_result eval = {.store = "held", .loss = 2.25, .answers = -1};
    assert_int_equal(hy_metrics_open(path, 0, &metrics), HY_OK);
    assert_int_equal(hy_metrics_step(metrics, 1, &result, &rates), HY_OK);
    assert_int_equal(hy_metrics_eval(metrics, 1, &eval), HY_OK);
    hy_metrics_close(metrics);
    assert_int_equal(hy_metrics_read(path, &history), HY_OK);
    assert_int_equal(history.n_steps, 1);
    assert_int_equal(history.n_evals, 1);
    assert_int_equal(history.n_foreign, 0);
    const hy_step_record *s = &history.steps[0];
    assert_true(s->step == 1 && s->tokens == 512.0 && s->loss == 2.5 && s->grad_norm == 0.75 && s->lr == 1e-3);
    assert_true(s->seconds == 2.0 && s->tokens_per_second == 256.0 && s->mfu == 0.5 && s->exposed == 0.25);
    assert_true(history.evals[0].step == 1 && history.evals[0].loss == 2.25);
    hy_metrics_history_free(&history);
}

static void later_history_wins(void **unused) {
    (void)unused;
    hy_metrics_history history = read_text("{\"step\": 1, \"loss\": 5}\n"
                                           "{\"step\": 2, \"loss\": 4}\n"
                                           "{\"step\": 2, \"eval_loss\": 4.5}\n"
                                           "{\"step\": 3, \"loss\": 3}\n"
                                           "{\"step\": 4, \"loss\": 2}\n"
                                           "{\"step\": 4, \"eval_loss\": 2.5}\n"
                                           "{\"step\": 3, \"loss\": 3.25}\n" /* resumed after step 2 */
                                           "{\"step\": 4, \"loss\": 2.25}\n"
                                           "{\"step\": 4, \"eval_loss\": 2.75}\n"
                                           "{\"step\": 4, \"eval_loss\": 2.625}\n" /* validated again */
                                           "{\"step\": 5, \"los");                 /* killed */
    static const double losses[] = {5, 4, 3.25, 2.25};
    assert_int_equal(history.n_steps, 4);
    for (int64_t i = 0; i < 4; i++) {
        assert_int_equal(history.steps[i].step, i + 1);
        assert_true(history.steps[i].loss == losses[i]);
    }
    assert_int_equal(history.n_evals, 2);
    assert_true(history.evals[0].loss == 4.5 && history.evals[1].loss == 2.625);
    assert_int_equal(history.n_foreign, 0);
    hy_metrics_history_free(&history);
}

static void stores_have_names(void **unused) {
    (void)unused;
    hy_metrics_history history = read_text("{\"step\": 5, \"loss\": null, \"skipped\": true}\n"
                                           "{\"step\": 5, \"eval_loss\": 2, \"store\": \"web\"}\n"
                                           "{\"step\": 5, \"eval_loss\": 3, \"store\": \"code\"}\n"
                                           "\n{\"foreign\": 1}\nno JSON\n"
                                           "{\"step\": 9, \"eval_loss\": 1, \"store\": \"web\"}\n");
    assert_true(history.n_steps == 1 && isnan(history.steps[0].loss) && isnan(history.steps[0].mfu));
    assert_int_equal(history.n_stores, 2);
    assert_string_equal(history.stores[0], "web");
    assert_string_equal(history.stores[1], "code");
    assert_int_equal(history.n_evals, 3);
    assert_true(history.evals[1].store == 1 && history.evals[1].loss == 3.0 && history.evals[2].store == 0);
    assert_int_equal(history.n_foreign, 2);
    hy_metrics_history_free(&history);
}

static void nothing_to_read(void **unused) {
    (void)unused;
    hy_metrics_history history = read_text("");
    assert_true(history.n_steps == 0 && history.n_evals == 0);
    hy_metrics_history_free(&history);
    capture_begin();
    const hy_status status = hy_metrics_read(scratch_path("missing.jsonl"), &history);
    assert_contains(capture_end(), "missing.jsonl");
    assert_int_equal(status, HY_ERR_DATA);
}

static int scratch_remove(void **unused) {
    (void)unused;
    return hy_file_remove_tree(scratch_dir, HY_ERR_FAILED) != HY_OK;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_what_is_written), cmocka_unit_test(later_history_wins),
                                       cmocka_unit_test(stores_have_names), cmocka_unit_test(nothing_to_read)};
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
