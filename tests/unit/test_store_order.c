/* The order of a store by its definition; and whatever lengths follow one another, no token is read twice in an epoch
 * and only what the rules leave is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/random.h"
#include "train/data/store_order.h"

enum { TOKENS_MAX = 4000 };

/* Blocks of one sequence: the permuted sequences of each epoch, by formula. */
static void blocks_of_one_sequence(void **state) {
    (void)state;
    static const int64_t tokens[] = {5, 9, 35, 64 * 5, 503};
    for (int c = 0; c < 5; c++) {
        const int64_t n = tokens[c] / 5;
        const hy_store_order order = {.seed = 9, .tokens = tokens[c], .block = c % 2 == 0 ? 0 : 5};
        hy_store_position p = {0};
        for (int64_t i = 0; i < 3 * n + 1; i++) {
            const uint64_t stream = hy_random_stream("data order") + (uint64_t)(i / n);
            hy_store_position from_count = hy_store_position_after(tokens[c], 5, i);
            const int64_t begin = hy_store_order_next(&order, 5, &p);
            assert_int_equal(begin, 5 * (int64_t)hy_random_permute(9, stream, (uint64_t)n, (uint64_t)(i % n)));
            assert_int_equal(hy_store_order_next(&order, 5, &from_count), begin);
            assert_int_equal(p.read, 5 * (i + 1));
            assert_true(hy_store_position_fits(&p, tokens[c]));
        }
    }
}

typedef struct reader {
    hy_store_order order;
    hy_store_position position;
    int64_t epoch, in_epoch; /* tokens read in it */
    uint8_t seen[TOKENS_MAX];
} reader;

/* Reads a sequence; no token of it may have been read in this epoch. Returns 1 if an epoch began. */
static int read_one(reader *r, int64_t sequence) {
    const int64_t begin = hy_store_order_next(&r->order, sequence, &r->position);
    const int begins = r->position.epoch != r->epoch;
    assert_in_range(begin, 0, r->order.tokens - sequence);
    if (begins) {
        assert_int_equal(r->position.epoch, r->epoch + 1);
        r->epoch++;
        r->in_epoch = 0;
        memset(r->seen, 0, sizeof r->seen);
    }
    for (int64_t t = begin; t < begin + sequence; t++) {
        assert_false(r->seen[t]++);
    }
    r->in_epoch += sequence;
    return begins;
}

/* Any length after any other, with and without blocks. */
static void no_token_twice_in_an_epoch(void **state) {
    (void)state;
    for (uint64_t trial = 0; trial < 400; trial++) {
        uint64_t draws = 0;
        const int64_t longest = 1 + (int64_t)(hy_random_u64(1, trial, draws++) % 120);
        reader r = {.order = {.seed = trial,
                              .tokens = longest + (int64_t)(hy_random_u64(1, trial, draws++) % 3000),
                              .block = trial % 3 == 0 ? longest : 0}};
        for (int stage = 0; stage < 12; stage++) {
            const int64_t sequence = 1 + (int64_t)(hy_random_u64(1, trial, draws++) % (uint64_t)longest);
            const int64_t n = (int64_t)(hy_random_u64(1, trial, draws++) % 60);
            for (int64_t i = 0; i < n; i++) {
                read_one(&r, sequence);
            }
            hy_store_position copy = r.position;
            assert_true(hy_store_position_fits(&copy, r.order.tokens));
        }
        assert_true(trial > 0 || r.position.read > 0);
    }
}

/* One length: an epoch leaves less than a sequence of each block, and nothing else. */
static void an_epoch_leaves_remainders_only(void **state) {
    (void)state;
    for (int64_t block = 7; block <= 700; block += 33) {
        reader r = {.order = {.seed = 3, .tokens = 3500, .block = block}};
        int64_t whole = 0, n = 3500 / block;
        for (int64_t b = 0; b < n; b++) {
            whole += (b + 1 < n ? block : 3500 - b * block) / 7 * 7;
        }
        for (int epochs = 0; epochs < 3;) {
            const int64_t before = r.in_epoch;
            if (read_one(&r, 7)) {
                assert_int_equal(before, whole);
                epochs++;
            }
        }
    }
}

/* The lengths grow inside blocks of the longest one: nothing is read twice, and at most the open blocks are lost. */
static void growing_inside_blocks(void **state) {
    (void)state;
    reader r = {.order = {.seed = 5, .tokens = 3840, .block = 64}};
    for (int i = 0; i < 100; i++) {
        assert_false(read_one(&r, 4));
    }
    int64_t opened = r.position.spans[0].taken, long_ones = 0;
    while (!read_one(&r, 64)) {
        long_ones++;
    }
    assert_int_equal(long_ones, 60 - opened);
    assert_true(opened <= 400 / 64 + 4); /* three blocks stand open at a time */
}

/* The length grows beyond the blocks: the rest of the epoch is the untouched longer blocks, each once. */
static void growing_beyond_blocks(void **state) {
    (void)state;
    reader r = {.order = {.seed = 6, .tokens = 3840}};
    for (int i = 0; i < 100; i++) {
        assert_false(read_one(&r, 4));
    }
    int64_t untouched = 0;
    for (int64_t b = 0; b < 3840 / 16; b++) {
        int touched = 0;
        for (int64_t t = 16 * b; t < 16 * (b + 1); t++) {
            touched |= r.seen[t];
        }
        untouched += !touched;
    }
    int64_t long_ones = 0;
    while (!read_one(&r, 16)) {
        long_ones++;
    }
    assert_true(untouched > 100);
    assert_int_equal(long_ones, untouched);
}

/* It shrinks: the blocks stay, and nothing is left. */
static void shrinking_leaves_nothing(void **state) {
    (void)state;
    reader r = {.order = {.seed = 7, .tokens = 3840}};
    for (int i = 0; i < 100; i++) {
        assert_false(read_one(&r, 16));
    }
    int64_t before = 0;
    do {
        before = r.in_epoch;
    } while (!read_one(&r, 4));
    assert_int_equal(before, 3840);
}

/* A batch taken in one go is the same batch taken in two. */
static void batches_do_not_matter(void **state) {
    (void)state;
    const hy_store_order order = {.seed = 8, .tokens = 1000, .block = 90};
    hy_store_position p = {0};
    int64_t all[64];
    for (int i = 0; i < 64; i++) {
        all[i] = hy_store_order_next(&order, 9, &p);
    }
    hy_store_position q = {0};
    for (int i = 0, step = 0; i < 64; step++) {
        hy_store_position saved = q; /* a checkpoint between steps of ever other batches */
        memset(&q, 0xff, sizeof q);
        q = saved;
        for (int k = 0; k < 1 + step % 7 && i < 64; k++) {
            assert_int_equal(hy_store_order_next(&order, 9, &q), all[i++]);
        }
    }
}

static void positions_from_files_are_checked(void **state) {
    (void)state;
    const hy_store_order order = {.seed = 8, .tokens = 1000, .block = 90};
    hy_store_position good = {0};
    for (int i = 0; i < 5; i++) {
        (void)hy_store_order_next(&order, 9, &good);
    }
    assert_true(hy_store_position_fits(&good, 1000));
    for (int c = 0; c < 9; c++) {
        hy_store_position p = good;
        *(int64_t *[]){&p.read,           &p.epoch,          &p.n_spans,        &p.n_lanes,        &p.lane,
                       &p.spans[0].block, &p.spans[0].taken, &p.lanes[0].block, &p.lanes[0].offset}[c] =
            c % 2 == 0 ? -1 : 5000;
        assert_int_equal(hy_store_position_fits(&p, 1000), c == 1); /* any epoch will do */
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_one_sequence),          cmocka_unit_test(no_token_twice_in_an_epoch),
        cmocka_unit_test(an_epoch_leaves_remainders_only), cmocka_unit_test(growing_inside_blocks),
        cmocka_unit_test(growing_beyond_blocks),           cmocka_unit_test(shrinking_leaves_nothing),
        cmocka_unit_test(batches_do_not_matter),           cmocka_unit_test(positions_from_files_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
