/* Parity cases of the recurrences: every decay and rule, ragged packed runs, states entering and leaving, empty runs,
 * decays of e^0 and e^-60 side by side, grouped heads, optional pointers left out. */
#ifndef HY_TESTS_PARITY_RECUR_H
#define HY_TESTS_PARITY_RECUR_H

#include "tests/parity.h"

typedef enum gate_strength { GATE_MILD, GATE_STRONG, GATE_EXTREME, GATE_STRENGTHS } gate_strength;

enum { RUN_SHAPES = 7, RUN_SLOTS = 4 };

typedef struct run_shape {
    int64_t T, n_runs;
    hy_run runs[6];
} run_shape;

static const run_shape run_shapes[RUN_SHAPES] = {
    {.T = 33, .n_runs = 5, .runs = {{0, 5, 2, -1}, {5, 1, -1, -1}, {6, 0, -1, 3}, {6, 16, -1, 0}, {22, 11, -1, 1}}},
    {.T = 64, .n_runs = 1, .runs = {{0, 64, 1, 2}}},
    {.T = 131, .n_runs = 3, .runs = {{0, 64, 0, 1}, {64, 65, -1, 0}, {129, 2, -1, 2}}},
    {.T = 1, .n_runs = 1, .runs = {{0, 1, 3, 0}}},
    {.T = 100, .n_runs = 1, .runs = {{0, 100, -1, -1}}},
    {.T = 129, .n_runs = 2, .runs = {{0, 0, 0, 3}, {0, 129, 2, 1}}},
    {.T = 0, .n_runs = 1, .runs = {{0, 0, 1, 1}}},
};

typedef struct recur_case {
    hy_decay decay;
    hy_rule rule;
    int exclusive;
    gate_strength gate;
    int shape;
    int64_t H, HV, K, V;
    int sparse;         /* leave out every pointer that may be NULL */
    int keyless;        /* K = 1: without q and k */
    double beta_high;   /* betas are uniform below it; 0: below 1 */
    double shared_keys; /* weight of a direction that all keys share */
} recur_case;

static int64_t gate_count(const recur_case *c, int64_t T) {
    switch (c->decay) {
    case HY_DECAY_NONE:
        return 0;
    case HY_DECAY_HEAD:
        return c->HV;
    case HY_DECAY_SCALAR:
        return T * c->HV;
    case HY_DECAY_VECTOR:
        return T * c->HV * c->K;
    }
    return 0;
}

static void gate_fill(parity *p, gate_strength gate, double *g, int64_t n) {
    static const double extreme[] = {-60, 0, -0.01, -5, 0, -60, -0.3};
    for (int64_t i = 0; i < n; i++) {
        const double u = parity_uniform(p);
        g[i] = gate == GATE_MILD ? -0.2 * u : gate == GATE_STRONG ? -8 * u : extreme[(int)(u * 7)];
    }
}

/* Keys of unit length, as models have them: with b ≤ 1 the delta rule's I − b k kᵀ then does not grow states. */
static void unit_rows(double *x, int64_t rows, int64_t cols) {
    for (int64_t r = 0; r < rows; r++) {
        double squares = 1e-12;
        for (int64_t c = 0; c < cols; c++)
            squares += x[r * cols + c] * x[r * cols + c];
        for (int64_t c = 0; c < cols; c++)
            x[r * cols + c] /= sqrt(squares);
    }
}

/* a of unit length, b = −a⊙r with r in (0, 1), as rwkv7 makes them: states do not grow. */
static void low_rank_fill(parity *p, const recur_case *c, int64_t T) {
    const int64_t n = T * c->H * c->K;
    double *a = PARITY_IN(p, hy_recur, a, n), *b = PARITY_IN(p, hy_recur, b, n);
    unit_rows(a, T * c->H, c->K);
    for (int64_t i = 0; i < n; i++)
        b[i] = -a[i] * parity_uniform(p);
}

static void keys_fill(double *k, const recur_case *c, int64_t T) {
    for (int64_t i = 0; i < T * c->H * c->K; i++)
        k[i] = (1 - c->shared_keys) * k[i] + c->shared_keys * (i % c->K % 3 ? 1 : -0.6);
    unit_rows(k, T * c->H, c->K);
}

/* Shapes, k, a, b, g, beta: what every recurrence operation reads. */
static void recur_begin(parity *p, const recur_case *c, hy_op_id op) {
    static const char *const decays[] = {"none", "head", "scalar", "vector"};
    static const char *const rules[] = {"additive", "delta", "dplr"};
    const run_shape *s = &run_shapes[c->shape];
    parity_begin(p, op, HY_TOL_F32_RECURRENCE);
    p->condition = c->shared_keys > 0 ? 3 : 1;
    snprintf(p->label, sizeof p->label, "%s decay=%s rule=%s gate=%d H=%d HV=%d K=%d V=%d T=%d runs=%d sparse=%d",
             hy_op_name(op), decays[c->decay], c->exclusive ? "exclusive" : rules[c->rule], c->gate, (int)c->H,
             (int)c->HV, (int)c->K, (int)c->V, (int)s->T, (int)s->n_runs, c->sparse);
    p->args.recur_fwd = (hy_recur_args){.decay = c->decay,
                                        .rule = c->rule,
                                        .exclusive = c->exclusive,
                                        .T = s->T,
                                        .H = c->H,
                                        .HV = c->HV,
                                        .K = c->K,
                                        .V = c->V,
                                        .scale = 1 / sqrt((double)c->K),
                                        .runs = s->runs,
                                        .n_runs = s->n_runs};
    if (!c->keyless)
        keys_fill(PARITY_IN(p, hy_recur, k, s->T * c->H * c->K), c, s->T);
    if (c->rule == HY_RULE_DPLR)
        low_rank_fill(p, c, s->T);
    const int64_t n_gates = gate_count(c, s->T);
    if (c->decay != HY_DECAY_NONE)
        gate_fill(p, c->gate, PARITY_IN(p, hy_recur, g, n_gates), n_gates);
    if (!c->sparse)
        parity_uniform_fill(p, PARITY_IN(p, hy_recur, beta, s->T * c->HV), s->T * c->HV, 0,
                            c->beta_high > 0 ? c->beta_high : 1);
}

static void queries_fill(parity *p, const recur_case *c, int64_t T) {
    if (!c->keyless)
        PARITY_IN(p, hy_recur, q, T * c->H * c->K);
}

static void recur_map_case(parity *p, const recur_case *c) {
    recur_begin(p, c, HY_OP_recur_map);
    PARITY_IN(p, hy_recur, v, run_shapes[c->shape].T * c->HV * c->V);
    if (!c->sparse)
        PARITY_OUT(p, hy_recur, A_map, RUN_SLOTS * c->HV * hy_transition_size(c->decay, c->rule, c->K));
    PARITY_OUT(p, hy_recur, H_map, RUN_SLOTS * c->HV * c->K * c->V);
    parity_run(p);
}

static void recur_fwd_case(parity *p, const recur_case *c) {
    const int64_t T = run_shapes[c->shape].T, states = RUN_SLOTS * c->HV * c->K * c->V;
    recur_begin(p, c, HY_OP_recur_fwd);
    queries_fill(p, c, T);
    PARITY_IN(p, hy_recur, v, T * c->HV * c->V);
    if (!c->sparse) {
        PARITY_IN(p, hy_recur, S0, states);
        PARITY_OUT(p, hy_recur, S1, states);
    }
    PARITY_OUT(p, hy_recur, o, T * c->HV * c->V);
    PARITY_ROWS(p, c->V);
    parity_run(p);
}

static void recur_inject_case(parity *p, const recur_case *c) {
    const int64_t T = run_shapes[c->shape].T;
    recur_begin(p, c, HY_OP_recur_inject);
    queries_fill(p, c, T);
    PARITY_IN(p, hy_recur, S0, RUN_SLOTS * c->HV * c->K * c->V);
    PARITY_ACC(p, hy_recur, o, T * c->HV * c->V);
    parity_run(p);
}

static void recur_map_bwd_case(parity *p, const recur_case *c) {
    const int64_t T = run_shapes[c->shape].T;
    recur_begin(p, c, HY_OP_recur_map_bwd);
    queries_fill(p, c, T);
    PARITY_IN(p, hy_recur, d_o, T * c->HV * c->V);
    PARITY_OUT(p, hy_recur, dH, RUN_SLOTS * c->HV * c->K * c->V);
    parity_run(p);
}

static void recur_bwd_case(parity *p, const recur_case *c) {
    const int64_t T = run_shapes[c->shape].T, states = RUN_SLOTS * c->HV * c->K * c->V;
    recur_begin(p, c, HY_OP_recur_bwd);
    queries_fill(p, c, T);
    PARITY_IN(p, hy_recur, v, T * c->HV * c->V);
    PARITY_IN(p, hy_recur, d_o, T * c->HV * c->V);
    if (!c->sparse) {
        PARITY_IN(p, hy_recur, S0, states);
        PARITY_IN(p, hy_recur, dS1, states);
        PARITY_OUT(p, hy_recur, dS0, states);
        PARITY_OUT(p, hy_recur, dbeta, T * c->HV);
        if (c->decay != HY_DECAY_NONE)
            PARITY_OUT_IF(p, hy_recur, dg, gate_count(c, T), c->decay == HY_DECAY_HEAD);
        if (c->decay == HY_DECAY_VECTOR)
            PARITY_ROWS(p, c->K);
    }
    if (!c->keyless) {
        PARITY_OUT(p, hy_recur, dq, T * c->H * c->K);
        PARITY_ROWS(p, c->K);
        PARITY_OUT(p, hy_recur, dk, T * c->H * c->K);
        PARITY_ROWS(p, c->K);
    }
    if (c->rule == HY_RULE_DPLR) {
        PARITY_OUT(p, hy_recur, da, T * c->H * c->K);
        PARITY_OUT(p, hy_recur, db, T * c->H * c->K);
    }
    PARITY_OUT(p, hy_recur, dv, T * c->HV * c->V);
    PARITY_ROWS(p, c->V);
    parity_run(p);
}

enum { RECUR_OPERATIONS = 5 };
static void (*const recur_operations[RECUR_OPERATIONS])(parity *, const recur_case *) = {
    recur_map_case, recur_fwd_case, recur_inject_case, recur_map_bwd_case, recur_bwd_case};

static PARITY_UNUSED void recur_all_cases(parity *p, const recur_case *c) {
    for (int i = 0; i < RECUR_OPERATIONS; i++)
        recur_operations[i](p, c);
}

#endif
