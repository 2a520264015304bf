#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/random.h"
#include "tests/unit/capture.h"
#include "train/data/recall_data.h"

enum { LEN_MAX = 600 };
static int32_t tokens[LEN_MAX], again[LEN_MAX], text[LEN_MAX];
static uint8_t answers[LEN_MAX], answers_again[LEN_MAX];

static int is_key(const hy_recall_shape *s, int32_t id) {
    return id >= s->filler && id < s->filler + s->keys;
}

static int is_value(const hy_recall_shape *s, int32_t id) {
    return id >= s->filler + s->keys && id < s->filler + s->keys + s->values;
}

/* Reads a document as a reader would: a key is followed by its value; the first time it is a fact, every other time a
 * query whose value is marked and is that of the fact; the rest is filler. Counts and the task's order hold. */
static void check_document(const hy_recall_shape *s, uint64_t document, int64_t len) {
    const hy_recall_counts counts = hy_recall_count(s, document, len);
    int32_t value_of[LEN_MAX];
    int64_t pairs = 0, queries = 0, filler = 0, asked[LEN_MAX] = {0};
    memset(value_of, -1, sizeof value_of);
    for (int64_t i = 0; i < len; i++) {
        if (!is_key(s, tokens[i])) {
            assert_in_range(tokens[i], 0, s->filler - 1);
            assert_int_equal(answers[i], 0);
            assert_true(s->task == HY_RECALL_MQAR ? pairs == counts.pairs : queries == 0);
            filler++;
            continue;
        }
        const int64_t key = tokens[i] - s->filler;
        assert_int_equal(answers[i], 0);
        assert_true(++i < len && is_value(s, tokens[i]));
        if (value_of[key] < 0) {
            assert_int_equal(answers[i], 0);
            assert_int_equal(queries, 0);
            value_of[key] = tokens[i];
            pairs++;
        } else {
            assert_int_equal(answers[i], 1);
            assert_int_equal(tokens[i], value_of[key]);
            asked[key]++;
            queries++;
        }
    }
    for (int64_t key = 0; key < s->keys; key++) {
        if (value_of[key] >= 0) {
            assert_in_range(asked[key], counts.queries / counts.pairs,
                            (counts.queries + counts.pairs - 1) / counts.pairs);
        }
    }
    assert_int_equal(pairs, counts.pairs);
    assert_int_equal(queries, counts.queries);
    assert_int_equal(filler, counts.filler);
}

static void answers_follow_from_the_context(void **state) {
    (void)state;
    for (uint64_t c = 0; c < 200; c++) {
        hy_recall_shape s = {.task = c % 2 ? HY_RECALL_NEEDLE : HY_RECALL_MQAR,
                             .pairs_max = 1 + (int64_t)(hy_random_u64(1, c, 0) % 40),
                             .queries = c % 3 == 0 ? 0 : 1 + (int64_t)(hy_random_u64(1, c, 1) % 90),
                             .filler = 1 + (int64_t)(hy_random_u64(1, c, 2) % 300),
                             .values = 2 + (int64_t)(hy_random_u64(1, c, 3) % 300),
                             .seed = c};
        s.pairs_min = c % 5 < 3 ? s.pairs_max : 1 + s.pairs_max / 2;
        s.keys = s.pairs_max + (int64_t)(c % 7);
        const int64_t least = 2 * (s.pairs_max + (s.queries > 0 ? s.queries : s.pairs_max));
        const int64_t len = least + (int64_t)(c % 4 * (hy_random_u64(1, c, 4) % 100));
        assert_int_equal(hy_recall_check(&s, len), HY_OK);
        hy_recall_document(&s, c / 2, len, NULL, tokens, answers);
        check_document(&s, c / 2, len);
        hy_recall_document(&s, c / 2, len, NULL, again, answers_again);
        assert_memory_equal(tokens, again, (size_t)len * sizeof *tokens);
        assert_memory_equal(answers, answers_again, (size_t)len);
    }
}

static void documents_differ(void **state) {
    (void)state;
    hy_recall_shape s = {
        .task = HY_RECALL_MQAR, .pairs_min = 8, .pairs_max = 8, .filler = 50, .keys = 50, .values = 50, .seed = 1};
    hy_recall_document(&s, 0, 64, NULL, tokens, answers);
    hy_recall_document(&s, 1, 64, NULL, again, answers_again);
    assert_memory_not_equal(tokens, again, 64 * sizeof *tokens);
    s.seed = 2;
    hy_recall_document(&s, 0, 64, NULL, again, answers_again);
    assert_memory_not_equal(tokens, again, 64 * sizeof *tokens);
}

/* The text is kept whole, in order, without the facts. */
static void text_is_the_filler(void **state) {
    (void)state;
    for (int task = 0; task < 2; task++) {
        const hy_recall_shape s = {.task = (hy_recall_task)task,
                                   .pairs_min = 2,
                                   .pairs_max = 9,
                                   .filler = 256,
                                   .keys = 20,
                                   .values = 20,
                                   .seed = 5};
        for (uint64_t document = 0; document < 20; document++) {
            const int64_t n = hy_recall_count(&s, document, 300).filler;
            int64_t seen = 0;
            for (int64_t i = 0; i < n; i++) {
                text[i] = (int32_t)(hy_random_u64(3, document, (uint64_t)i) % 256);
            }
            hy_recall_document(&s, document, 300, text, tokens, answers);
            for (int64_t i = 0; i < 300; i++) {
                if (tokens[i] < 256) {
                    assert_int_equal(tokens[i], text[seen++]);
                }
            }
            assert_int_equal(seen, n);
        }
    }
}

/* One needle: every depth, in nearly equal numbers (chi-squared of 100 cells, five standard deviations). */
static void depth_is_uniform(void **state) {
    (void)state;
    enum { LEN = 104, DEPTHS = LEN - 3, DOCUMENTS = 8000 };
    const hy_recall_shape s = {
        .task = HY_RECALL_NEEDLE, .pairs_min = 1, .pairs_max = 1, .filler = 9, .keys = 3, .values = 3, .seed = 8};
    int counts[DEPTHS] = {0};
    double chi2 = 0;
    for (uint64_t document = 0; document < DOCUMENTS; document++) {
        int64_t at = 0;
        hy_recall_document(&s, document, LEN, NULL, tokens, answers);
        while (!is_key(&s, tokens[at])) {
            at++;
        }
        assert_true(at < DEPTHS);
        counts[at]++;
        assert_int_equal(answers[LEN - 1], 1);
    }
    for (int i = 0; i < DEPTHS; i++) {
        const double expected = (double)DOCUMENTS / DEPTHS, off = counts[i] - expected;
        chi2 += off * off / expected;
    }
    assert_true(chi2 > 100 - 71 && chi2 < 100 + 71);
}

static void shapes_that_do_not_work(void **state) {
    (void)state;
    const hy_recall_shape good = {.pairs_min = 4, .pairs_max = 8, .filler = 10, .keys = 10, .values = 10};
    struct {
        hy_recall_shape shape;
        int64_t len;
        const char *says;
    } cases[] = {{good, 31, "too short for 8 facts and 8 queries; nearest: 32"},
                 {good, 40, "keys are distinct and there are --keys 7"},
                 {good, 40, "--pairs-min 9"},
                 {good, 40, "--pairs-min 0"},
                 {good, 40, "no id is left"},
                 {good, 40, "--values 1"}};
    cases[1].shape.keys = 7;
    cases[2].shape.pairs_min = 9;
    cases[3].shape.pairs_min = 0;
    cases[4].shape.filler = 0;
    cases[5].shape.values = 1;
    assert_int_equal(hy_recall_check(&good, 32), HY_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        capture_begin();
        const hy_status status = hy_recall_check(&cases[i].shape, cases[i].len);
        assert_contains(capture_end(), cases[i].says);
        assert_int_equal(status, HY_ERR_USAGE);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_follow_from_the_context),
        cmocka_unit_test(documents_differ),
        cmocka_unit_test(text_is_the_filler),
        cmocka_unit_test(depth_is_uniform),
        cmocka_unit_test(shapes_that_do_not_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
