/* The reference attention in double: blocks of keys in any order, merged, against one dense masked softmax; gradients
 * of the merged result against central differences; both with attention sinks too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/device.h"
#include "tests/oracle.h"

/* Queries 9.. of 21 positions; documents begin at 0, 8, 13; a window of 6. */
enum { N = 21, Q0 = 9, NQ = N - Q0, H = 4, HKV = 2, D = 5, DV = 3, SINKS = 2, BLOCKS = 4 };

typedef struct problem {
    hy_device *device;
    hy_attn_args args;
    hy_attn_pair pairs[BLOCKS];
    int64_t lo[NQ];
    double q[NQ * H * D], k[N * HKV * D], v[N * HKV * DV], o[NQ * H * DV], lse[NQ * H];
    double d_o[NQ * H * DV], delta[NQ * H], dq[NQ * H * D], dk[N * HKV * D], dv[N * HKV * DV];
    int64_t n_sinks; /* 0 or SINKS */
    double sinks[H * SINKS], dsinks[H * SINKS];
} problem;

/* Out of order, one empty, the last one (14..) beyond some queries. */
static const int64_t blocks[BLOCKS][2] = {{5, 9}, {14, 7}, {0, 5}, {5, 0}};

/* All queries and the keys of a block. */
static hy_attn_pair block_pair(const int64_t *block) {
    return (hy_attn_pair){.nq = NQ, .q_begin = Q0, .k = block[0], .nk = block[1], .k_begin = block[0]};
}

static void problem_init(problem *p, int64_t n_sinks) {
    memset(p, 0, sizeof *p);
    p->n_sinks = n_sinks;
    assert_int_equal(hy_device_create("cpu_ref", HY_F64, &p->device), HY_OK);
    for (int64_t i = 0; i < NQ; i++) {
        const int64_t at = Q0 + i, start = at >= 13 ? 13 : 8, edge = at - 5;
        p->lo[i] = start > edge ? start : edge;
    }
    for (int64_t i = 0; i < 2; i++) /* the first queries look back further, past their block's begin */
        p->lo[i] = 2 + i;
    p->args = (hy_attn_args){.H = H,
                             .HKV = HKV,
                             .D = D,
                             .DV = DV,
                             .scale = 0.8,
                             .pairs = p->pairs,
                             .n_pairs = BLOCKS,
                             .nq = NQ,
                             .nk = N,
                             .lo = p->lo,
                             .q = p->q,
                             .k = p->k,
                             .v = p->v,
                             .o = p->o,
                             .lse = p->lse,
                             .d_o = p->d_o,
                             .delta = p->delta,
                             .dq = p->dq,
                             .dk = p->dk,
                             .dv = p->dv};
    for (int64_t b = 0; b < BLOCKS; b++)
        p->pairs[b] = block_pair(blocks[b]);
    p->args.work = malloc(hy_device_profile(p->device)->attn_work(&p->args));
    normal_fill(p->q, NQ * H * D);
    normal_fill(p->k, N * HKV * D);
    normal_fill(p->v, N * HKV * DV);
    normal_fill(p->d_o, NQ * H * DV);
    normal_fill(p->sinks, H * SINKS);
}

static hy_attn_sink_args sink_args(problem *p) {
    return (hy_attn_sink_args){
        .T = NQ, .H = H, .N = p->n_sinks, .sinks = p->sinks, .lse = p->lse, .delta = p->delta, .dsinks = p->dsinks};
}

static void run_fwd(problem *p) {
    memset(p->o, 0, sizeof p->o);
    for (int64_t i = 0; i < NQ * H; i++)
        p->lse[i] = -INFINITY;
    if (p->n_sinks > 0) {
        const hy_attn_sink_args sinks = sink_args(p);
        hy_attn_sink_fwd(p->device, &sinks);
    }
    hy_attn_fwd(p->device, &p->args);
}

/* Output c of query i, head h, by the definition. */
static double dense(const problem *p, int64_t i, int64_t h, int64_t c, double *lse) {
    double weight = 0, sum = 0;
    const int64_t kh = h / (H / HKV);
    for (int64_t n = 0; n < p->n_sinks; n++)
        weight += exp(p->sinks[h * p->n_sinks + n]);
    for (int64_t j = p->lo[i]; j <= Q0 + i; j++) {
        const double w = exp(0.8 * dot(p->q + (i * H + h) * D, p->k + (j * HKV + kh) * D, D));
        weight += w;
        sum += w * p->v[(j * HKV + kh) * DV + c];
    }
    *lse = log(weight);
    return sum / weight;
}

static void check_merged_blocks(int64_t n_sinks) {
    problem p;
    double o[NQ * H * DV], lse[NQ * H];
    problem_init(&p, n_sinks);
    for (int64_t r = 0; r < NQ * H; r++)
        for (int64_t c = 0; c < DV; c++)
            o[r * DV + c] = dense(&p, r / H, r % H, c, &lse[r]);
    run_fwd(&p);
    assert_close("o", o, p.o, NQ * H * DV, HY_TOL_F64_FORMULA);
    assert_close("lse", lse, p.lse, NQ * H, HY_TOL_F64_FORMULA);
    free(p.args.work);
    hy_device_destroy(p.device);
}

static void test_merged_blocks(void **unused) {
    (void)unused;
    check_merged_blocks(0);
    check_merged_blocks(SINKS);
}

static double loss(const void *context) {
    problem *p = (problem *)context;
    run_fwd(p);
    return dot(p->o, p->d_o, NQ * H * DV);
}

static void check_gradients(int64_t n_sinks) {
    problem p;
    problem_init(&p, n_sinks);
    run_fwd(&p);
    hy_attn_delta(p.device, &(hy_attn_delta_args){.rows = NQ * H, .DV = DV, .y = p.o, .d_o = p.d_o, .delta = p.delta});
    hy_attn_bwd(p.device, &p.args);
    assert_gradient("dq", loss, &p, p.q, NQ * H * D, p.dq);
    assert_gradient("dk", loss, &p, p.k, N * HKV * D, p.dk);
    const hy_attn_sink_args sinks = sink_args(&p);
    hy_attn_sink_bwd(p.device, &sinks);
    assert_gradient("dv", loss, &p, p.v, N * HKV * DV, p.dv);
    assert_gradient("dsinks", loss, &p, p.sinks, H * n_sinks, p.dsinks);
    free(p.args.work);
    hy_device_destroy(p.device);
}

static void test_gradients(void **unused) {
    (void)unused;
    check_gradients(0);
    check_gradients(SINKS);
}

/* A query that sees nothing yet keeps its empty result. */
static void test_nothing_seen(void **unused) {
    (void)unused;
    problem p;
    problem_init(&p, 0);
    for (int64_t i = 0; i < NQ * H; i++)
        p.lse[i] = -INFINITY;
    p.pairs[0] = block_pair((const int64_t[]){0, 2});
    p.args.n_pairs = 1;
    hy_attn_fwd(p.device, &p.args);
    for (int64_t i = 0; i < NQ * H; i++)
        assert_true(p.lse[i] == -INFINITY && p.o[i * DV] == 0);
    free(p.args.work);
    hy_device_destroy(p.device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merged_blocks),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_nothing_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
