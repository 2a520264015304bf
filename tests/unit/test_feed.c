#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/random.h"
#include "tests/unit/capture.h"
#include "tests/unit/scratch.h"
#include "train/data/data_split.h"
#include "train/data/feed.h"

enum { MAX_TOKENS = 20000 };
static int32_t tokens[MAX_TOKENS];
static uint8_t last[MAX_TOKENS];   /* a document ends after this token */
static uint8_t marked[MAX_TOKENS]; /* answers */
static int64_t n_tokens;

static void make_store(const char *path, uint64_t seed, int64_t n_docs, int64_t longest, bool answers) {
    hy_token_writer *writer = NULL;
    n_tokens = 0;
    memset(last, 0, sizeof last);
    assert_int_equal(hy_token_writer_create(path, 500, "test", &writer), HY_OK);
    for (int64_t d = 0; d < n_docs; d++) {
        const int64_t n = 1 + (int64_t)(hy_random_u64(seed, 0, (uint64_t)d) % (uint64_t)longest);
        for (int64_t i = n_tokens; i < n_tokens + n; i++) {
            tokens[i] = (int32_t)(hy_random_u64(seed, 1, (uint64_t)i) % 500);
            marked[i] = answers && hy_random_u64(seed, 2, (uint64_t)i) % 3 == 0;
        }
        if (answers) {
            assert_int_equal(hy_token_writer_append_answers(writer, marked + n_tokens, n), HY_OK);
        }
        assert_int_equal(hy_token_writer_append(writer, tokens + n_tokens, n), HY_OK);
        assert_int_equal(hy_token_writer_end_document(writer), HY_OK);
        n_tokens += n;
        last[n_tokens - 1] = 1;
    }
    assert_int_equal(hy_token_writer_finish(writer), HY_OK);
    hy_token_writer_destroy(writer);
}

/* What the definition says of token t of the stream. */
static int32_t label_of(int64_t t, bool answers_only) {
    return last[t] || (answers_only && !marked[t + 1]) ? HY_LABEL_NONE : tokens[t + 1];
}

/* Its place in the document, of which the sequence has what lies behind `first`. */
static int64_t place_of_token(int64_t t, int64_t first) {
    int64_t place = 0;
    while (t > first && !last[t - 1]) {
        t--;
        place++;
    }
    return place;
}

static void check_feed(hy_token_store *store, const hy_feed_shape *base, const int64_t *numbers, int64_t n) {
    int64_t valid = 0, expected_valid = 0, seen = 0;
    hy_sequence sequences[6];
    for (int64_t i = 0; i < n; i++) {
        const int64_t begin = numbers[i] * base->len;
        sequences[i] = (hy_sequence){
            .store = store, .begin = begin, .seen = (int64_t)(hy_random_u64(13, (uint64_t)begin, 0) % 3) * (begin / 2)};
    }
    for (int rank = 0; rank < base->sequence_size; rank++) {
        hy_feed_shape shape = *base;
        hy_feed *feed = NULL;
        shape.sequence_rank = rank;
        assert_int_equal(hy_feed_create(&shape, &feed), HY_OK);
        if (shape.ahead) { /* once what comes next, once something else */
            const int64_t other = shape.sequence_rank % 2;
            hy_feed_ahead(feed, sequences + other, n - other);
        }
        assert_int_equal(hy_feed_load(feed, sequences, n), HY_OK);
        assert_int_equal(hy_feed_calls(feed), (n + shape.unit - 1) / shape.unit);
        valid += hy_feed_valid(feed);
        for (int64_t call = 0; call < hy_feed_calls(feed); call++) {
            hy_batch batch;
            assert_int_equal(hy_feed_batch(feed, call, &batch), HY_OK);
            const uint8_t *answers = hy_feed_answers(feed, call);
            for (int64_t t = 0; t < batch.layout->T; t++) {
                const int64_t position = batch.layout->pos[t], index = call * shape.unit + position / shape.len;
                const int64_t source = sequences[index < n ? index : n - 1].begin + position % shape.len;
                assert_int_equal(batch.tokens[t], tokens[source]);
                assert_int_equal(batch.labels[t], index < n ? label_of(source, base->answers_only) : HY_LABEL_NONE);
                assert_int_equal(answers[t], index < n && !last[source] && marked[source + 1]);
                const hy_sequence *of = &sequences[index < n ? index : n - 1];
                assert_int_equal(batch.layout->doc_pos[t], place_of_token(source, of->begin - of->seen));
                seen++;
            }
        }
        hy_feed_destroy(feed);
    }
    for (int64_t i = 0; i < n; i++) {
        for (int64_t t = 0; t < base->len; t++) {
            expected_valid += label_of(sequences[i].begin + t, base->answers_only) != HY_LABEL_NONE;
        }
    }
    assert_int_equal(valid, expected_valid);
    assert_int_equal(seen, (n + base->unit - 1) / base->unit * base->unit * base->len);
}

static void tokens_labels_documents(void **state) {
    (void)state;
    for (uint64_t c = 0; c < 24; c++) {
        const char *path = scratch_path("feed.h5");
        hy_token_store *store = NULL;
        int64_t sequences[6];
        make_store(path, c, 30, c % 3 == 0 ? 3 : c % 3 == 1 ? 60 : 400, c % 8 >= 4);
        assert_int_equal(hy_token_store_open(path, &store), HY_OK);
        const hy_feed_shape shape = {.layout = c % 2 == 0 ? HY_LAYOUT_ZIGZAG : HY_LAYOUT_CONTIGUOUS,
                                     .sequence_size = 1 + (int)(c % 5),
                                     .unit = 1 + (int64_t)(c % 3),
                                     .len = 1 + (int64_t)(hy_random_u64(11, c, 0) % (c % 4 == 0 ? 4 : 37)),
                                     .calls_max = 6,
                                     .answers_only = c % 8 >= 6,
                                     .ahead = c % 5 > 1,
                                     .cuts = {.n = c % 3 == 1 ? 1 + (int64_t)(c % 5) : 0, .each = {5, 1, 9, 2, 3}}};
        const int64_t n = n_tokens / shape.len;
        if (n > 0) {
            for (uint64_t i = 0; i < 6; i++) {
                sequences[i] = i == 0 ? n - 1 : (int64_t)(hy_random_u64(12, c, i) % (uint64_t)n);
            }
            check_feed(store, &shape, sequences, 1 + (int64_t)(c % 6));
        }
        hy_token_store_close(store);
    }
}

/* A batch of two stores, then one of the store without answers over it. */
static void sequences_of_two_stores(void **state) {
    (void)state;
    hy_token_store *one = NULL, *two = NULL;
    hy_feed *feed = NULL;
    int32_t other[40];
    char path[512];
    snprintf(path, sizeof path, "%s", scratch_path("one.h5"));
    make_store(path, 1, 3, 60, false);
    assert_true(n_tokens >= 40);
    memcpy(other, tokens, sizeof other);
    assert_int_equal(hy_token_store_open(path, &one), HY_OK);
    make_store(scratch_path("two.h5"), 2, 3, 60, true);
    assert_int_equal(hy_token_store_open(scratch_path("two.h5"), &two), HY_OK);
    const hy_feed_shape shape = {.sequence_size = 1, .unit = 2, .len = 17, .calls_max = 1};
    assert_int_equal(hy_feed_create(&shape, &feed), HY_OK);
    for (int round = 0; round < 2; round++) {
        const hy_sequence sequences[2] = {{.store = one, .begin = 3}, {.store = round == 0 ? two : one, .begin = 5}};
        hy_batch batch;
        int64_t marks = 0, expected = 0;
        assert_int_equal(hy_feed_load(feed, sequences, 2), HY_OK);
        assert_int_equal(hy_feed_batch(feed, 0, &batch), HY_OK);
        for (int64_t t = 0; t < 34; t++) {
            const int32_t token = t < 17 ? other[3 + t] : round == 0 ? tokens[5 + t - 17] : other[5 + t - 17];
            assert_int_equal(batch.tokens[t], token);
            marks += hy_feed_answers(feed, 0)[t];
            expected += round == 0 && t >= 17 && !last[5 + t - 17] && marked[5 + t - 17 + 1];
        }
        assert_int_equal(marks, expected);
        assert_true(round > 0 || marks > 0);
    }
    hy_feed_destroy(feed);
    hy_token_store_close(one);
    hy_token_store_close(two);
}

static int32_t first_token(hy_feed *feed) {
    hy_batch batch;
    assert_int_equal(hy_feed_batch(feed, 0, &batch), HY_OK);
    return batch.tokens[0];
}

/* What is loaded stays while more is read; a failure is told by the load that asks for it, not before. */
static void reads_ahead(void **state) {
    (void)state;
    hy_token_store *store = NULL;
    hy_feed *feed = NULL;
    make_store(scratch_path("ahead.h5"), 3, 20, 60, false);
    assert_int_equal(hy_token_store_open(scratch_path("ahead.h5"), &store), HY_OK);
    const hy_feed_shape shape = {.sequence_size = 1, .unit = 1, .len = 17, .calls_max = 1, .ahead = true};
    assert_int_equal(hy_feed_create(&shape, &feed), HY_OK);
    assert_int_equal(hy_feed_load(feed, &(hy_sequence){.store = store, .begin = 0}, 1), HY_OK);
    for (int64_t i = 1; i < 20; i++) {
        hy_feed_ahead(feed, &(hy_sequence){.store = store, .begin = i}, 1);
        assert_int_equal(first_token(feed), tokens[i - 1]);
        hy_feed_ahead_wait(feed);
        assert_int_equal(first_token(feed), tokens[i - 1]);
        assert_int_equal(hy_feed_load(feed, &(hy_sequence){.store = store, .begin = i}, 1), HY_OK);
        assert_int_equal(first_token(feed), tokens[i]);
    }
    const hy_sequence beyond = {.store = store, .begin = n_tokens - 5};
    capture_begin();
    hy_feed_ahead(feed, &beyond, 1);
    hy_feed_ahead_wait(feed);
    assert_string_equal(capture_end(), "");
    assert_int_equal(first_token(feed), tokens[19]);
    capture_begin();
    assert_int_equal(hy_feed_load(feed, &beyond, 1), HY_ERR_DATA);
    assert_contains(capture_end(), "error");
    assert_int_equal(hy_feed_load(feed, &(hy_sequence){.store = store, .begin = 2}, 1), HY_OK);
    assert_int_equal(first_token(feed), tokens[2]);
    hy_feed_destroy(feed);
    hy_token_store_close(store);
}

static void split_covers_the_batch(void **state) {
    (void)state;
    for (int64_t batch = 1; batch <= 12; batch++) {
        for (int64_t groups = 1; groups <= batch; groups++) {
            for (int64_t accumulate = 1; accumulate <= 5; accumulate++) {
                int64_t next = 0, calls_max = 0;
                for (int64_t g = 0; g < groups; g++) {
                    const hy_data_split split = hy_data_split_make(batch, groups, g, accumulate);
                    assert_int_equal(split.first, next);
                    assert_int_equal(split.calls * split.unit, split.count);
                    assert_true(split.calls >= accumulate || split.unit == 1);
                    next += split.count;
                    calls_max = split.calls > calls_max ? split.calls : calls_max;
                }
                assert_int_equal(next, batch);
                assert_int_equal(hy_data_split_make(batch, groups, 0, accumulate).calls_max, calls_max);
                if (batch % (groups * accumulate) == 0) {
                    assert_int_equal(hy_data_split_make(batch, groups, 0, accumulate).calls, accumulate);
                }
            }
        }
    }
}

static int scratch_remove(void **unused) {
    (void)unused;
    return hy_file_remove_tree(scratch_dir, HY_ERR_FAILED) != HY_OK;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_labels_documents),
        cmocka_unit_test(sequences_of_two_stores),
        cmocka_unit_test(reads_ahead),
        cmocka_unit_test(split_covers_the_batch),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
