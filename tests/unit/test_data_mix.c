/* Every stretch of a run has the stores in the proportion of their weights, far closer than drawing would; the choice
 * depends on the number of the sequence alone; records stay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "tests/unit/capture.h"
#include "train/data/data_mix.h"

static void shares_follow_the_weights(void **unused) {
    (void)unused;
    enum { SEQUENCES = 100000 };
    static int64_t before[5][SEQUENCES + 1];
    static const double weights[3][5] = {{1, 1, 1, 1, 1}, {0.7, 0.2, 0.1, 0, 0}, {1000, 1, 3, 0, 96}};
    double worst = 0.0;
    for (int c = 0; c < 3; c++) {
        hy_data_mix mix = {.seed = (uint64_t)c, .n = 5};
        double all = 0.0;
        for (int k = 0; k < 5; k++) {
            mix.sources[k].weight = weights[c][k];
            all += weights[c][k];
        }
        for (int64_t q = 0; q < SEQUENCES; q++) {
            const int source = hy_data_mix_source(&mix, q);
            assert_true(weights[c][source] > 0.0);
            for (int k = 0; k < 5; k++) {
                before[k][q + 1] = before[k][q] + (k == source);
            }
        }
        for (uint64_t trial = 0; trial < 2000; trial++) { /* any stretch */
            const int64_t a = (int64_t)(hy_random_u64(5, trial, 0) % SEQUENCES);
            const int64_t b = a + (int64_t)(hy_random_u64(5, trial, 1) % (uint64_t)(SEQUENCES - a)) + 1;
            for (int k = 0; k < 5; k++) {
                const double off = (double)(before[k][b] - before[k][a]) - (double)(b - a) * weights[c][k] / all;
                worst = fmax(worst, fabs(off));
            }
        }
    }
    print_message("off by at most %.2f sequences\n", worst);
    assert_true(worst < 5.0); /* draws: √n, about 150 */
}

static void stores_are_read_in_their_own_order(void **unused) {
    (void)unused;
    hy_data_state state = {0};
    hy_data_mix mix = {.seed = 4, .sequence = 10, .n = 2, .sources = {{.weight = 3}, {.weight = 1}}};
    int fresh = 0;
    assert_int_equal(hy_data_state_find(&state, "a", 1000, &mix.sources[0].record, &fresh), HY_OK);
    assert_int_equal(hy_data_state_find(&state, "b", 333, &mix.sources[1].record, &fresh), HY_OK);
    assert_true(fresh && state.n_stores == 2);
    const hy_store_order orders[2] = {{.seed = 4, .tokens = 1000}, {.seed = 4, .tokens = 333}};
    hy_store_position alone[2] = {{0}};
    for (int q = 0; q < 1000; q++) {
        int source = -1;
        int64_t begin = -1;
        hy_data_mix_next(&mix, &state, &source, &begin);
        assert_int_equal(source, hy_data_mix_source(&mix, q));
        assert_int_equal(begin, hy_store_order_next(&orders[source], 10, &alone[source]));
    }
    assert_memory_equal(&state.stores[0].position, &alone[0], sizeof alone[0]);
    assert_memory_equal(&state.stores[1].position, &alone[1], sizeof alone[1]);
    assert_int_equal(state.tokens, 10000);
    assert_true(llabs(alone[1].read - 2500) < 50);
}

static void records_are_kept(void **unused) {
    (void)unused;
    hy_data_state state = {0};
    int index = -1, fresh = 0;
    assert_int_equal(hy_data_state_find(&state, "a", 1000, &index, &fresh), HY_OK);
    state.stores[0].position.read = 7;
    assert_int_equal(hy_data_state_find(&state, "b", 1000, &index, &fresh), HY_OK);
    assert_int_equal(index, 1);
    assert_int_equal(hy_data_state_find(&state, "a", 1000, &index, &fresh), HY_OK);
    assert_true(index == 0 && !fresh && state.stores[0].position.read == 7);
    assert_int_equal(hy_data_state_find(&state, "a", 1001, &index, &fresh), HY_OK); /* another store of that name */
    assert_true(index == 0 && fresh && state.stores[0].position.read == 0 && state.n_stores == 2);
    for (char name[2] = "c"; state.n_stores < HY_RECORDS_MAX; name[0]++) {
        assert_int_equal(hy_data_state_find(&state, name, 5, &index, &fresh), HY_OK);
    }
    capture_begin();
    assert_int_equal(hy_data_state_find(&state, "one more", 5, &index, &fresh), HY_ERR_DATA);
    assert_contains(capture_end(), "at most 32 stores");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_follow_the_weights),
        cmocka_unit_test(stores_are_read_in_their_own_order),
        cmocka_unit_test(records_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
