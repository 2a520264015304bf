/* Shares of heads: every main head on one rank, with the shared heads it needs and no others, in whole groups or parts of one, as even as
 * groups allow; parts of a shared head numbered through its ranks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sp/head_shares.h"

enum { RANKS_MAX = 17, HEADS_MAX = 24 };

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* What the header promises of a rank's heads at most. */
static int64_t most_heads(const hy_heads *h, int64_t ranks) {
    const int64_t group = h->main / h->shared, per_shared = ranks / h->shared;
    return h->shared >= ranks ? (h->shared + ranks - 1) / ranks * group : (group + per_shared - 1) / per_shared;
}

static void check_rank(const hy_heads *h, int ranks, int rank, int64_t begin) {
    const int64_t group = h->main / h->shared;
    const hy_head_range main = hy_head_range_of(h, HY_HEADS_MAIN, ranks, rank);
    const hy_head_range shared = hy_head_range_of(h, HY_HEADS_SHARED, ranks, rank);
    assert_true(main.n <= most_heads(h, ranks) && main.total == h->main && main.parts == 1);
    if (main.n == 0) {
        assert_int_equal(shared.n, 0);
        return;
    }
    assert_int_equal(main.begin, begin);
    assert_int_equal(shared.begin, main.begin / group);
    assert_int_equal(shared.begin + shared.n - 1, (main.begin + main.n - 1) / group);
    assert_int_equal(main.n % shared.n, 0);
    if (shared.n > 1) {
        assert_int_equal(main.begin, shared.begin * group);
        assert_int_equal(main.n, shared.n * group);
    }
}

/* Every rank that has the head has a number of its own. */
static void check_parts(const hy_heads *h, hy_head_kind kind, int ranks) {
    for (int64_t head = 0; head < (kind == HY_HEADS_COMMON ? 1 : h->shared); head++) {
        int64_t next = 0, parts = 0;
        for (int rank = 0; rank < ranks; rank++) {
            const hy_head_range range = hy_head_range_of(h, kind, ranks, rank);
            if (head >= range.begin && head < range.begin + range.n) {
                assert_int_equal(range.part, next++);
                parts = range.parts;
            }
        }
        assert_true(next > 0 && next <= parts);
    }
}

static void test_shares(void **unused) {
    (void)unused;
    for (int64_t shared = 1; shared <= HEADS_MAX; shared++) {
        for (int64_t main = shared; main <= 3 * HEADS_MAX; main += shared) {
            for (int ranks = 1; ranks <= RANKS_MAX; ranks++) {
                const hy_heads h = {main, shared};
                int64_t begin = 0, holders = 0;
                for (int rank = 0; rank < ranks; rank++) {
                    const int64_t n = hy_head_range_of(&h, HY_HEADS_MAIN, ranks, rank).n;
                    check_rank(&h, ranks, rank, begin);
                    begin += n;
                    holders += n > 0;
                }
                assert_int_equal(begin, main);
                assert_true(holders >= least(least(ranks, main), shared));
                assert_int_equal(hy_head_range_of(&h, HY_HEADS_COMMON, ranks, 0).parts, holders);
                check_parts(&h, HY_HEADS_SHARED, ranks);
                check_parts(&h, HY_HEADS_COMMON, ranks);
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shares)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
