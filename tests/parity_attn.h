/* Parity cases of softmax attention: blocks on the diagonal, past and future, several documents, windows, grouped key
 * heads, large scores, the first block and a later one. */
#ifndef HY_TESTS_PARITY_ATTN_H
#define HY_TESTS_PARITY_ATTN_H

#include "tests/parity.h"

enum { ATTN_SHAPES = 9, ATTN_QUERIES = 97 };

/* Documents start every `document` positions (0: one document from position 0); window 0 = none. */
typedef struct attn_shape {
    const char *name;
    int64_t nq, q_begin, nk, k_begin, document, window;
} attn_shape;

static const attn_shape attn_shapes[ATTN_SHAPES] = {
    {"diagonal", 70, 128, 70, 128, 0, 0},
    {"past", 33, 200, 65, 100, 0, 0},
    {"future", 17, 100, 20, 117, 0, 0},
    {"documents", 97, 50, 97, 50, 23, 0},
    {"window over the edge", 64, 90, 64, 40, 0, 37},
    {"window and documents", 65, 90, 90, 65, 31, 9},
    {"no queries", 0, 5, 7, 0, 0, 0},
    {"no keys", 6, 5, 0, 0, 0, 0},
    {"one of each", 1, 8, 1, 8, 0, 1},
};

typedef struct attn_case {
    int shape;
    int64_t H, HKV, D, DV;
    int first;     /* running result still empty */
    double spread; /* factor on the queries: 1, or scores of ±60 */
} attn_case;

static void attn_lo(const attn_shape *s, int64_t *lo) {
    for (int64_t i = 0; i < s->nq; i++) {
        const int64_t at = s->q_begin + i, start = s->document > 0 ? at / s->document * s->document : 0;
        const int64_t edge = s->window > 0 ? at - s->window + 1 : 0;
        lo[i] = edge > start ? edge : start;
    }
}

static void attn_begin(parity *p, const attn_case *c, hy_op_id op, const int64_t *lo) {
    const attn_shape *s = &attn_shapes[c->shape];
    parity_begin(p, op, HY_TOL_F32_ATTENTION);
    snprintf(p->label, sizeof p->label, "%s %s H=%d HKV=%d D=%d DV=%d nq=%d nk=%d first=%d spread=%g", hy_op_name(op),
             s->name, (int)c->H, (int)c->HKV, (int)c->D, (int)c->DV, (int)s->nq, (int)s->nk, c->first, c->spread);
    p->args.attn_fwd = (hy_attn_args){.H = c->H,
                                      .HKV = c->HKV,
                                      .D = c->D,
                                      .DV = c->DV,
                                      .scale = 1 / sqrt((double)c->D),
                                      .nq = s->nq,
                                      .q_begin = s->q_begin,
                                      .nk = s->nk,
                                      .k_begin = s->k_begin,
                                      .lo = lo};
}

static double *attn_qkv(parity *p, const attn_case *c) {
    const attn_shape *s = &attn_shapes[c->shape];
    double *q = PARITY_IN(p, hy_attn, q, s->nq * c->H * c->D);
    for (int64_t i = 0; i < s->nq * c->H * c->D; i++)
        q[i] *= c->spread;
    return q;
}

static void attn_fwd_case(parity *p, const attn_case *c) {
    const attn_shape *s = &attn_shapes[c->shape];
    int64_t lo[ATTN_QUERIES];
    attn_lo(s, lo);
    attn_begin(p, c, HY_OP_attn_fwd, lo);
    attn_qkv(p, c);
    PARITY_IN(p, hy_attn, k, s->nk * c->HKV * c->D);
    PARITY_IN(p, hy_attn, v, s->nk * c->HKV * c->DV);
    double *o = PARITY_ACC(p, hy_attn, o, s->nq * c->H * c->DV), *lse = PARITY_ACC(p, hy_attn, lse, s->nq * c->H);
    for (int64_t i = 0; c->first && i < s->nq * c->H * c->DV; i++)
        o[i] = 0;
    for (int64_t i = 0; i < s->nq * c->H; i++)
        lse[i] = c->first ? -INFINITY : 3 * lse[i] * c->spread;
    parity_run(p);
}

static void attn_delta_case(parity *p, const attn_case *c) {
    const int64_t nq = attn_shapes[c->shape].nq;
    attn_begin(p, c, HY_OP_attn_delta, NULL);
    PARITY_IN(p, hy_attn, y, nq * c->H * c->DV);
    PARITY_IN(p, hy_attn, d_o, nq * c->H * c->DV);
    PARITY_OUT(p, hy_attn, delta, nq * c->H);
    parity_run(p);
}

/* The log-sum-exp of the row's scores, plus a half for keys in other blocks; 0.3 if it sees none here. */
static double attn_row_lse(const hy_attn_args *a, const double *q, const double *k, int64_t i, int64_t h) {
    double max = -INFINITY, sum = 0;
    const int64_t kh = h / (a->H / a->HKV);
    for (int pass = 0; pass < 2; pass++)
        for (int64_t j = 0; j < a->nk; j++) {
            if (j + a->k_begin < a->lo[i] || j + a->k_begin > a->q_begin + i)
                continue;
            double score = 0;
            for (int64_t c = 0; c < a->D; c++)
                score += a->scale * q[(i * a->H + h) * a->D + c] * k[(j * a->HKV + kh) * a->D + c];
            max = pass == 0 && score > max ? score : max;
            sum += pass == 1 ? exp(score - max) : 0;
        }
    return sum > 0 ? max + log(sum) + 0.5 : 0.3;
}

static void attn_bwd_case(parity *p, const attn_case *c) {
    const attn_shape *s = &attn_shapes[c->shape];
    int64_t lo[ATTN_QUERIES];
    attn_lo(s, lo);
    attn_begin(p, c, HY_OP_attn_bwd, lo);
    const double *q = attn_qkv(p, c), *k = PARITY_IN(p, hy_attn, k, s->nk * c->HKV * c->D);
    PARITY_IN(p, hy_attn, v, s->nk * c->HKV * c->DV);
    PARITY_IN(p, hy_attn, d_o, s->nq * c->H * c->DV);
    PARITY_IN(p, hy_attn, delta, s->nq * c->H);
    double *lse = PARITY_IN(p, hy_attn, lse, s->nq * c->H);
    for (int64_t r = 0; r < s->nq * c->H; r++)
        lse[r] = attn_row_lse(&p->args.attn_bwd, q, k, r / c->H, r % c->H);
    PARITY_ACC(p, hy_attn, dq, s->nq * c->H * c->D);
    PARITY_ACC(p, hy_attn, dk, s->nk * c->HKV * c->D);
    PARITY_ACC(p, hy_attn, dv, s->nk * c->HKV * c->DV);
    parity_run(p);
}

/* Sinks of very different sizes; in backward every lse is at least its head's largest sink, as it always is. */
static PARITY_UNUSED void attn_sink_case(parity *p, hy_op_id op, int64_t T, int64_t H, int64_t N) {
    parity_begin(p, op, HY_TOL_F32_ATTENTION);
    p->args.attn_sink_fwd = (hy_attn_sink_args){.T = T, .H = H, .N = N};
    double *sinks = PARITY_IN(p, hy_attn_sink, sinks, H * N);
    for (int64_t i = 0; i < H * N; i++)
        sinks[i] *= 20;
    if (op == HY_OP_attn_sink_fwd) {
        PARITY_OUT(p, hy_attn_sink, lse, T * H);
    } else {
        double *lse = PARITY_IN(p, hy_attn_sink, lse, T * H);
        for (int64_t i = 0; i < T * H; i++)
            for (int64_t n = 0; n < N; n++)
                lse[i] = fmax(n == 0 ? -INFINITY : lse[i], sinks[i % H * N + n] + 0.1);
        PARITY_IN(p, hy_attn_sink, delta, T * H);
        PARITY_ACC(p, hy_attn_sink, dsinks, H * N);
    }
    parity_run(p);
}

static PARITY_UNUSED void attn_sink_cases(parity *p, hy_op_id op) {
    static const int64_t sizes[][3] = {{0, 2, 4}, {1, 1, 1}, {7, 3, 4}, {200, 5, 2}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        attn_sink_case(p, op, sizes[i][0], sizes[i][1], sizes[i][2]);
}

static PARITY_UNUSED void attn_all_cases(parity *p, const attn_case *c) {
    attn_fwd_case(p, c);
    attn_delta_case(p, c);
    attn_bwd_case(p, c);
}

#endif
