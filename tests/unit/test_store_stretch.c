/* Stretches of a store: places go on where they were, no token twice in an epoch, every stretch to one place; a change of the batch begins
 * another epoch; positions fit into a checkpoint's record; what is lost is lost from there on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/random.h"
#include "train/data/store_stretch.h"

enum { TOKENS_MAX = 700, PLACES_MAX = 9 };

static void reads_from_front_to_back(void **state) {
    (void)state;
    for (uint64_t trial = 0; trial < 200; trial++) {
        const int64_t sequence = 1 + (int64_t)(hy_random_u64(1, trial, 0) % 40),
                      places = 1 + (int64_t)(hy_random_u64(1, trial, 1) % PLACES_MAX),
                      tokens = places * sequence + (int64_t)(hy_random_u64(1, trial, 2) % 300);
        const hy_store_stretch stretch = {trial, tokens, places};
        const int64_t steps = tokens / places / sequence; /* of an epoch */
        hy_store_position p = {0};
        int64_t before[PLACES_MAX] = {0};
        uint8_t used[TOKENS_MAX];
        assert_true(hy_stretch_holds(&stretch, sequence));
        assert_false(hy_stretch_holds(&stretch, tokens / places + 1));
        for (int64_t step = 0; step < 3 * steps; step++) {
            hy_stretch_enter(&stretch, sequence, &p);
            assert_int_equal(p.epoch, step / steps);
            if (step % steps == 0) {
                memset(used, 0, sizeof used);
            }
            for (int64_t b = 0; b < places; b++) {
                int64_t seen = -1;
                const int64_t begin = hy_stretch_read(&stretch, b, &p, &seen);
                assert_int_equal(seen, step % steps * sequence);
                assert_true(step % steps == 0 || begin == before[b] + sequence);
                assert_in_range(begin, 0, tokens - sequence);
                for (int64_t t = begin; t < begin + sequence; t++) {
                    assert_false(used[t]++);
                }
                before[b] = begin;
            }
            hy_stretch_advance(&stretch, sequence, &p);
            assert_int_equal(p.read, (step + 1) * places * sequence);
            assert_true(hy_store_position_fits(&p, tokens));
        }
    }
}

static void another_batch_begins_an_epoch(void **state) {
    (void)state;
    const hy_store_stretch four = {3, 400, 4}, five = {3, 400, 5};
    hy_store_position p = {0};
    int64_t seen = 0;
    hy_stretch_enter(&four, 10, &p);
    hy_stretch_advance(&four, 10, &p);
    hy_stretch_enter(&five, 10, &p);
    assert_int_equal(p.epoch, 1);
    (void)hy_stretch_read(&five, 2, &p, &seen);
    assert_int_equal(seen, 0);
    assert_int_equal(p.read, 40);
}

static void another_length_goes_on(void **state) {
    (void)state;
    const hy_store_stretch stretch = {3, 400, 4};
    hy_store_position p = {0};
    int64_t seen = 0;
    hy_stretch_enter(&stretch, 10, &p);
    const int64_t begin = hy_stretch_read(&stretch, 1, &p, &seen);
    hy_stretch_advance(&stretch, 10, &p);
    hy_stretch_enter(&stretch, 30, &p);
    assert_int_equal(hy_stretch_read(&stretch, 1, &p, &seen), begin + 10);
    assert_int_equal(seen, 10);
}

static void forgets(void **state) {
    (void)state;
    const hy_store_stretch stretch = {3, 400, 4};
    hy_store_position p = {0}, other = {.read = 5, .n_spans = 1, .spans = {{.block = 7, .taken = 1}}};
    const hy_store_position as_before = other;
    int64_t seen = 0;
    hy_stretch_enter(&stretch, 10, &p);
    hy_stretch_advance(&stretch, 10, &p);
    hy_stretch_forget(&stretch, &p);
    (void)hy_stretch_read(&stretch, 0, &p, &seen);
    assert_int_equal(seen, 0);
    hy_stretch_advance(&stretch, 10, &p);
    (void)hy_stretch_read(&stretch, 0, &p, &seen);
    assert_int_equal(seen, 10);
    hy_stretch_forget(&stretch, &other); /* one of another order is left alone */
    assert_memory_equal(&other, &as_before, sizeof other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_from_front_to_back),
        cmocka_unit_test(another_batch_begins_an_epoch),
        cmocka_unit_test(another_length_goes_on),
        cmocka_unit_test(forgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
