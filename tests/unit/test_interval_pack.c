/* Packing of buffers by lifetime: no two that live at the same time overlap, and the arena is no larger than it must be where that
 * is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/random.h"
#include "layers/graph/interval_pack.h"

enum { MANY = 300 };

static void test_no_overlap(void **state) {
    (void)state;
    for (uint64_t round = 0; round < 20; round++) {
        hy_interval intervals[MANY];
        int64_t offsets[MANY], total = 0;
        for (int i = 0; i < MANY; i++) {
            uint64_t r = hy_random_u64(round, 7, (uint64_t)i);
            int first = (int)(r % 100);
            intervals[i] = (hy_interval){.bytes = (int64_t)(r >> 32 & 1023),
                                         .first = first,
                                         .last = first + (int)(r >> 20 & 15),
                                         .offset = &offsets[i]};
        }
        assert_int_equal(hy_interval_pack(intervals, MANY, &total), HY_OK);
        for (int i = 0; i < MANY; i++) {
            const hy_interval *a = &intervals[i];
            assert_int_equal(*a->offset % HY_ALIGN, 0);
            assert_true(*a->offset + a->bytes <= total);
            for (int j = 0; j < i; j++) {
                const hy_interval *b = &intervals[j];
                int in_time = a->first <= b->last && b->first <= a->last;
                int in_space = *a->offset < *b->offset + b->bytes && *b->offset < *a->offset + a->bytes;
                assert_false(in_time && in_space);
            }
        }
    }
}

/* Buffers of equal size, each handed to the next: two places serve all. */
static void test_chain_reuses_memory(void **state) {
    (void)state;
    hy_interval intervals[MANY];
    int64_t offsets[MANY], total = 0;
    for (int i = 0; i < MANY; i++) {
        intervals[i] = (hy_interval){.bytes = 256, .first = i, .last = i + 1, .offset = &offsets[i]};
    }
    assert_int_equal(hy_interval_pack(intervals, MANY, &total), HY_OK);
    assert_int_equal(total, 512);
}

static void test_empty(void **state) {
    (void)state;
    int64_t total = -1;
    assert_int_equal(hy_interval_pack(NULL, 0, &total), HY_OK);
    assert_int_equal(total, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_overlap), cmocka_unit_test(test_chain_reuses_memory),
                                       cmocka_unit_test(test_empty)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
