/* What the balance of a layout predicts is what the operations of every rank's dry run count; documents, windows and weights are those that
 * counting tokens one by one finds; known imbalances come out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "sp/layout.h"
#include "train/run/dry_run.h"
#include "train/run/layout_balance.h"

static const char hybrid[] = "model:\n"
                             "  layers: 5\n"
                             "  width: 48\n"
                             "  vocab: 100\n"
                             "  mlp: {width: 80}\n"
                             "  schedule: {pattern: [gla, attention, near, deltanet, attention]}\n"
                             "  mixers:\n"
                             "    gla: {heads: 2}\n"
                             "    deltanet: {heads: 3, head_dim: 16}\n"
                             "    attention: {heads: 3, head_dim: 16}\n"
                             "    near: {kind: attention, heads: 2, head_dim: 8, window: 100}\n"
                             "data: {sequence: 1501, batch: 2}\n"
                             "train: {steps: 1}\n"
                             "parallel: {sequence: 3, state: ring, overlap: seeded}\n";

static hy_config config;

static void read_config(hy_layout_kind kind, const int64_t *weights) {
    assert_int_equal(hy_config_parse("hybrid", hybrid, sizeof hybrid - 1, &config), HY_OK);
    config.parallel.method.layout = kind;
    for (int i = 0; i < 3 && weights != NULL; i++) {
        config.parallel.method.cuts.each[i] = weights[i];
        config.parallel.method.cuts.n = 3;
    }
}

/* What tells a token from another: not what carries states and rows between fragments. */
static bool is_of_tokens(hy_op_id op) {
    switch (op) {
    case HY_OP_recur_map:
    case HY_OP_recur_map_bwd:
    case HY_OP_map_apply:
    case HY_OP_map_fold:
    case HY_OP_copy_blocks:
    case HY_OP_rows_add:
    case HY_OP_fill:
        return false;
    default:
        return true;
    }
}

/* FLOPs of a rank's operations. */
static void count_dry(int rank, double *part) {
    hy_schedule schedule = {.waited = -1};
    int place = HY_PLACE_REST;
    bool counts = false;
    assert_int_equal(hy_dry_run_schedule(&config, 0, 3, rank, true, &schedule, NULL), HY_OK);
    memset(part, 0, HY_WORK_PARTS * sizeof *part);
    for (int64_t i = 0; i < schedule.n; i++) {
        const hy_event *e = &schedule.events[i];
        place = e->kind == HY_EVENT_PLACE ? e->a : place;
        counts = counts || e->kind == HY_EVENT_MARK;
        if (e->kind == HY_EVENT_COMPUTE && counts && place != HY_PLACE_REST && is_of_tokens((hy_op_id)e->a)) {
            part[hy_work_part_of((hy_op_id)e->a)] += e->flops;
        }
    }
    hy_schedule_clear(&schedule);
}

static void same_as_dry_runs(void **state) {
    (void)state;
    static const int64_t weights[] = {5, 1, 3};
    for (int mode = 0; mode < 4; mode++) {
        hy_work_prices prices;
        hy_balance *balance = NULL;
        read_config(mode & 1 ? HY_LAYOUT_ZIGZAG : HY_LAYOUT_CONTIGUOUS, mode & 2 ? weights : NULL);
        assert_int_equal(hy_work_prices_find(&config, 0, &prices), HY_OK);
        assert_int_equal(prices.n_windows, 2);
        assert_int_equal(hy_balance_create(3, &balance), HY_OK);
        assert_int_equal(
            hy_balance_add(balance, &prices, &config.parallel.method, 2, 1501, (const int64_t[]){0, 1501, 3002}, 2),
            HY_OK);
        for (int rank = 0; rank < 3; rank++) {
            double part[HY_WORK_PARTS];
            count_dry(rank, part);
            for (int i = 0; i < HY_WORK_PARTS; i++) {
                const double said = balance->ranks[rank].part[i];
                if (!(fabs(said - part[i]) <= 1e-9 * part[i])) {
                    fail_msg("mode %d rank %d %s: said %.17g, counted %.17g", mode, rank, hy_work_names[i], said,
                             part[i]);
                }
            }
        }
        hy_balance_destroy(balance);
    }
}

/* ---- documents, one token after the other ---- */

static int64_t draw(int64_t below) {
    static uint64_t draws;
    return (int64_t)(hy_random_u64(31, 5, draws++) % (uint64_t)below);
}

static int compare(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void documents_and_windows(void **state) {
    (void)state;
    for (int round = 0; round < 40; round++) {
        const int size = 1 + (int)draw(5);
        const int64_t n_seq = 1 + draw(2), len = 1 + draw(300), n_docs = 1 + draw(8);
        const hy_work_prices prices = {
            .n_windows = 2, .softmax = {{0, 1.0}, {1 + draw(40), 1000.0}}, .token = {0, 3.0, 0, 7.0}};
        hy_sp_method method = {.layout = draw(2) ? HY_LAYOUT_ZIGZAG : HY_LAYOUT_CONTIGUOUS};
        hy_balance *balance = NULL;
        int64_t docs[10] = {0};
        method.cuts.n = draw(2) ? size : 0;
        for (int i = 0; i < size; i++) {
            method.cuts.each[i] = 1 + draw(5);
        }
        for (int64_t d = 1; d < n_docs; d++) {
            docs[d] = draw(n_seq * len + 1);
        }
        docs[n_docs] = n_seq * len;
        qsort(docs, (size_t)n_docs + 1, sizeof *docs, compare);
        assert_int_equal(hy_balance_create(size, &balance), HY_OK);
        assert_int_equal(hy_balance_add(balance, &prices, &method, n_seq, len, docs, n_docs), HY_OK);
        for (int rank = 0; rank < size; rank++) {
            hy_layout *layout = NULL;
            double pairs = 0.0;
            assert_int_equal(hy_layout_create_cut(method.layout, &method.cuts, size, rank, n_seq, len, &layout), HY_OK);
            assert_int_equal(hy_layout_set_documents(layout, docs, n_docs), HY_OK);
            for (int64_t t = 0; t < layout->T; t++) {
                const int64_t seen = layout->doc_pos[t] + 1, window = prices.softmax[1].window;
                pairs += (double)(seen + 1000 * (seen < window ? seen : window));
            }
            assert_true(balance->ranks[rank].part[HY_WORK_PAIRS] == pairs);
            assert_true(balance->ranks[rank].part[HY_WORK_STATES] == 3.0 * (double)layout->T);
            assert_true(balance->ranks[rank].all == pairs + 10.0 * (double)layout->T);
            hy_layout_destroy(layout);
        }
        hy_balance_destroy(balance);
    }
}

/* ---- imbalances that are known ---- */

static double imbalance_of(const hy_work_prices *prices, const hy_sp_method *method, int size) {
    hy_balance *balance = NULL;
    const int64_t docs[] = {0, 1 << 20};
    assert_int_equal(hy_balance_create(size, &balance), HY_OK);
    assert_int_equal(hy_balance_add(balance, prices, method, 1, docs[1], docs, 1), HY_OK);
    assert_int_equal(hy_balance_add(balance, prices, method, 1, docs[1], docs, 1), HY_OK);
    const double imbalance = hy_balance_imbalance(balance);
    hy_balance_destroy(balance);
    return imbalance;
}

static void known_imbalances(void **state) {
    (void)state;
    const hy_work_prices pairs = {.n_windows = 1, .softmax = {{0, 1.0}}}, tokens = {.token = {0, 0, 0, 1.0}};
    hy_sp_method method = {.layout = HY_LAYOUT_CONTIGUOUS};
    /* the last of 8 ranks has 2·8 − 1 of 8·8 squares, the mean is 8 */
    assert_true(fabs(imbalance_of(&pairs, &method, 8) - 7.0 / 8) < 1e-5);
    assert_true(fabs(imbalance_of(&tokens, &method, 8)) < 1e-9);
    method.layout = HY_LAYOUT_ZIGZAG;
    assert_true(fabs(imbalance_of(&pairs, &method, 8)) < 1e-5);
    /* zigzag shares pairs as it shares tokens, whatever ranks weigh; of one that weighs half, contiguous makes what lies before it, per weight */
    method.cuts = (hy_cuts){.n = 4, .each = {2, 2, 1, 2}};
    assert_true(fabs(imbalance_of(&pairs, &method, 8)) < 1e-5);
    assert_true(fabs(imbalance_of(&tokens, &method, 8)) < 1e-4);
    method.layout = HY_LAYOUT_CONTIGUOUS;
    assert_true(fabs(imbalance_of(&pairs, &method, 4) - 5.0 / 7) < 1e-5);
    /* by heads and by channels all have the same */
    method.attention = HY_ATTENTION_HEADS;
    method.cuts.n = 0;
    assert_true(fabs(imbalance_of(&pairs, &method, 8)) < 1e-9);
    method.attention = HY_ATTENTION_2D;
    method.node = 2;
    assert_true(fabs(imbalance_of(&pairs, &method, 8) - 3.0 / 4) < 1e-5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_as_dry_runs),
        cmocka_unit_test(documents_and_windows),
        cmocka_unit_test(known_imbalances),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
