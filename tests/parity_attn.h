/* Parity cases of softmax attention: blocks on the diagonal, past and future, several documents, windows, grouped key
 * heads, large scores, the first block and a later one; lists of pairs that share queries, share keys, are empty. */
#ifndef HY_TESTS_PARITY_ATTN_H
#define HY_TESTS_PARITY_ATTN_H

#include "tests/parity.h"

enum { ATTN_SHAPES = 13, ATTN_QUERIES = 140, ATTN_PAIRS = 6 };

/* Documents start every `document` positions (0: one document from position 0); window 0 = none. */
typedef struct attn_shape {
    const char *name;
    int64_t document, window;
    int n;
    hy_attn_pair pairs[ATTN_PAIRS];
} attn_shape;

static const attn_shape attn_shapes[ATTN_SHAPES] = {
    {"diagonal", 0, 0, 1, {{0, 70, 128, 0, 70, 128}}},
    {"past", 0, 0, 1, {{0, 33, 200, 0, 65, 100}}},
    {"future", 0, 0, 1, {{0, 17, 100, 0, 20, 117}}},
    {"documents", 23, 0, 1, {{0, 97, 50, 0, 97, 50}}},
    {"window over the edge", 0, 37, 1, {{0, 64, 90, 0, 64, 40}}},
    {"window and documents", 31, 9, 1, {{0, 65, 90, 0, 90, 65}}},
    {"no queries", 0, 0, 1, {{0, 0, 5, 0, 7, 0}}},
    {"no keys", 0, 0, 1, {{0, 6, 5, 0, 0, 0}}},
    {"one of each", 0, 1, 1, {{0, 1, 8, 0, 1, 8}}},
    {"empty list", 0, 0, 0, {{0}}},
    /* rows 0..32 are positions 200.., rows 33..103 positions 300.. */
    {"pairs on the same queries",
     0,
     0,
     3,
     {{0, 33, 200, 0, 20, 100}, {0, 33, 200, 20, 33, 200}, {5, 9, 205, 53, 1, 3}}},
    {"pairs on the same keys",
     0,
     0,
     3,
     {{33, 71, 300, 0, 97, 110}, {0, 33, 200, 0, 97, 110}, {33, 71, 300, 0, 97, 110}}},
    {"pairs of all kinds",
     90,
     150,
     6,
     {{33, 71, 300, 40, 65, 250},
      {0, 33, 200, 0, 40, 150},
      {0, 0, 0, 0, 5, 0},
      {33, 71, 300, 0, 0, 150},
      {50, 1, 317, 40, 65, 250},
      {0, 33, 200, 40, 65, 250}}},
};

typedef struct attn_case {
    int shape;
    int64_t H, HKV, D, DV;
    int first;     /* running result still empty */
    double spread; /* factor on the queries: 1, or scores of ±60 */
} attn_case;

/* What a case's arguments point to. */
typedef struct attn_lists {
    int64_t queries, keys; /* rows of the arrays */
    int64_t lo[ATTN_QUERIES];
} attn_lists;

static int64_t attn_most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static int64_t attn_lo(const attn_shape *s, int64_t at) {
    const int64_t start = s->document > 0 ? at / s->document * s->document : 0;
    return attn_most(s->window > 0 ? at - s->window + 1 : 0, start);
}

/* What the mask leaves of a list of one pair, query by query. */
static hy_attn_sight attn_sight(const attn_shape *s, const int64_t *lo) {
    const hy_attn_pair *r = &s->pairs[0];
    bool all = s->n == 1 && r->nq > 0 && r->nk > 0, causal = all && r->nq == r->nk;
    for (int64_t i = 0; (all || causal) && i < r->nq; i++) {
        const int64_t from = attn_most(lo[r->q + i] - r->k_begin, 0), end = r->q_begin + i + 1 - r->k_begin;
        all = all && from == 0 && end >= r->nk;
        causal = causal && from == 0 && end == i + 1;
    }
    return all ? HY_ATTN_ALL : causal ? HY_ATTN_CAUSAL : HY_ATTN_SOME;
}

/* Plans are a process's: a device that comes and goes makes them for all others. */
static void attn_plan(const hy_attn_args *a) {
    const char *wanted = getenv("HYLAS_PARITY_DEVICE");
    hy_device *device = NULL;
    if (getenv("HYLAS_CUDNN") == NULL || a->sight == HY_ATTN_SOME)
        return;
    if (hy_device_create(wanted != NULL ? wanted : "cuda_host", HY_BF16, &device) == HY_OK)
        hy_device_plan_attn(device, a);
    hy_device_destroy(device);
}

static void attn_begin(parity *p, const attn_case *c, hy_op_id op, attn_lists *l) {
    const attn_shape *s = &attn_shapes[c->shape];
    parity_begin(p, op, HY_TOL_F32_ATTENTION);
    snprintf(p->label, sizeof p->label, "%s %s H=%d HKV=%d D=%d DV=%d first=%d spread=%g", hy_op_name(op), s->name,
             (int)c->H, (int)c->HKV, (int)c->D, (int)c->DV, c->first, c->spread);
    hy_attn_args *a = &p->args.attn_fwd;
    *a = (hy_attn_args){.H = c->H,
                        .HKV = c->HKV,
                        .D = c->D,
                        .DV = c->DV,
                        .scale = 1 / sqrt((double)c->D),
                        .pairs = s->pairs,
                        .n_pairs = s->n,
                        .lo = l->lo};
    *l = (attn_lists){0};
    for (int i = 0; i < s->n; i++) {
        const hy_attn_pair *r = &s->pairs[i];
        a->nq = attn_most(a->nq, r->nq);
        a->nk = attn_most(a->nk, r->nk);
        l->queries = attn_most(l->queries, r->q + r->nq);
        l->keys = attn_most(l->keys, r->k + r->nk);
        for (int64_t j = 0; j < r->nq; j++)
            l->lo[r->q + j] = attn_lo(s, r->q_begin + j);
    }
    a->sight = attn_sight(s, l->lo);
    a->known = a->sight != HY_ATTN_SOME ? s->pairs[0] : (hy_attn_pair){0};
    attn_plan(a);
}

static const double *attn_q(parity *p, const attn_case *c, const attn_lists *l) {
    double *q = PARITY_IN(p, hy_attn, q, l->queries * c->H * c->D);
    for (int64_t i = 0; i < l->queries * c->H * c->D; i++)
        q[i] *= c->spread;
    return q;
}

static const double *attn_kv(parity *p, const attn_case *c, const attn_lists *l) {
    PARITY_IN(p, hy_attn, v, l->keys * c->HKV * c->DV);
    return PARITY_IN(p, hy_attn, k, l->keys * c->HKV * c->D);
}

static void attn_fwd_case(parity *p, const attn_case *c) {
    attn_lists l;
    attn_begin(p, c, HY_OP_attn_fwd, &l);
    attn_q(p, c, &l);
    attn_kv(p, c, &l);
    double *o = PARITY_ACC(p, hy_attn, o, l.queries * c->H * c->DV),
           *lse = PARITY_ACC(p, hy_attn, lse, l.queries * c->H);
    for (int64_t i = 0; c->first && i < l.queries * c->H * c->DV; i++)
        o[i] = 0;
    for (int64_t i = 0; i < l.queries * c->H; i++)
        lse[i] = c->first ? -INFINITY : 3 * lse[i] * c->spread;
    parity_run(p);
}

static void attn_delta_case(parity *p, const attn_case *c) {
    const int64_t rows = attn_shapes[c->shape].pairs[0].nq * c->H;
    parity_begin(p, HY_OP_attn_delta, HY_TOL_F32_ATTENTION);
    p->args.attn_delta = (hy_attn_delta_args){.rows = rows, .DV = c->DV};
    PARITY_IN(p, hy_attn_delta, y, rows * c->DV);
    PARITY_IN(p, hy_attn_delta, d_o, rows * c->DV);
    PARITY_OUT(p, hy_attn_delta, delta, rows);
    parity_run(p);
}

/* The log-sum-exp of the row's scores in all pairs, plus a half for keys elsewhere; 0.3 if it sees none here. */
static double attn_row_lse(const hy_attn_args *a, const double *q, const double *k, int64_t row, int64_t h) {
    double max = -INFINITY, sum = 0;
    const int64_t kh = h / (a->H / a->HKV);
    for (int pass = 0; pass < 2; pass++)
        for (int64_t x = 0; x < a->n_pairs; x++)
            for (int64_t j = 0; j < a->pairs[x].nk; j++) {
                const hy_attn_pair *pair = &a->pairs[x];
                const int64_t i = row - pair->q, key = j + pair->k_begin;
                if (i < 0 || i >= pair->nq || key < a->lo[row] || key > pair->q_begin + i)
                    continue;
                double score = 0;
                for (int64_t c = 0; c < a->D; c++)
                    score += a->scale * q[(row * a->H + h) * a->D + c] * k[((pair->k + j) * a->HKV + kh) * a->D + c];
                max = pass == 0 && score > max ? score : max;
                sum += pass == 1 ? exp(score - max) : 0;
            }
    return sum > 0 ? max + log(sum) + 0.5 : 0.3;
}

static void attn_bwd_case(parity *p, const attn_case *c) {
    attn_lists l;
    attn_begin(p, c, HY_OP_attn_bwd, &l);
    const double *q = attn_q(p, c, &l), *k = attn_kv(p, c, &l);
    PARITY_IN(p, hy_attn, d_o, l.queries * c->H * c->DV);
    PARITY_IN(p, hy_attn, delta, l.queries * c->H);
    double *lse = PARITY_IN(p, hy_attn, lse, l.queries * c->H);
    for (int64_t r = 0; r < l.queries * c->H; r++)
        lse[r] = attn_row_lse(&p->args.attn_bwd, q, k, r / c->H, r % c->H);
    PARITY_ACC(p, hy_attn, dq, l.queries * c->H * c->D);
    PARITY_ACC(p, hy_attn, dk, l.keys * c->HKV * c->D);
    PARITY_ACC(p, hy_attn, dv, l.keys * c->HKV * c->DV);
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
