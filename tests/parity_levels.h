/* Parity cases of the log-linear recurrences: runs that start anywhere in their documents, aligned to nothing, with
 * states entering and leaving. */
#ifndef HY_TESTS_PARITY_LEVELS_H
#define HY_TESTS_PARITY_LEVELS_H

#include "tests/parity_recur.h"

enum { LEVEL_SHAPES = 5, LEVEL_TOKENS = 200 };

typedef struct level_shape {
    int64_t T, N, n_runs;
    hy_run runs[4];
    int64_t first[4]; /* position of each run's first token */
} level_shape;

static const level_shape level_shapes[LEVEL_SHAPES] = {
    {.T = 33,
     .N = 6,
     .n_runs = 4,
     .runs = {{0, 5, 2, -1}, {5, 1, -1, -1}, {6, 16, -1, 0}, {22, 11, -1, 1}},
     .first = {11}},
    {.T = 64, .N = 9, .n_runs = 1, .runs = {{0, 64, 1, 2}}, .first = {239}},
    {.T = 200, .N = 8, .n_runs = 2, .runs = {{0, 130, 0, 1}, {130, 70, -1, 0}}, .first = {126, 0}},
    {.T = 1, .N = 1, .n_runs = 1, .runs = {{0, 1, 3, 0}}, .first = {1}},
    {.T = 128, .N = 7, .n_runs = 1, .runs = {{0, 128, -1, -1}}, .first = {0}},
};

/* Shapes and what every operation reads; c->shape is one of level_shapes. */
static void level_begin(parity *p, const recur_case *c, hy_op_id op) {
    static int64_t pos[LEVEL_TOKENS];
    const level_shape *s = &level_shapes[c->shape];
    const int64_t n_gates = gate_count(c, s->T), L = s->N + 1 + c->shape % 2;
    for (int64_t r = 0; r < s->n_runs; r++)
        for (int64_t i = 0; i < s->runs[r].len; i++)
            pos[s->runs[r].begin + i] = s->first[r] + i;
    parity_begin(p, op, HY_TOL_F32_RECURRENCE);
    snprintf(p->label, sizeof p->label, "%s decay=%d rule=%d gate=%d shape=%d H=%d HV=%d K=%d V=%d sparse=%d",
             hy_op_name(op), c->decay, c->rule, c->gate, c->shape, (int)c->H, (int)c->HV, (int)c->K, (int)c->V,
             c->sparse);
    p->args.level_fwd = (hy_level_recur_args){.L = L, .N = s->N, .pos = pos};
    p->args.level_fwd.base = (hy_recur_args){.decay = c->decay,
                                             .rule = c->rule,
                                             .T = s->T,
                                             .H = c->H,
                                             .HV = c->HV,
                                             .K = c->K,
                                             .V = c->V,
                                             .scale = 1 / sqrt((double)c->K),
                                             .runs = s->runs,
                                             .n_runs = s->n_runs};
    PARITY_IN(p, hy_level_recur, base.q, s->T * c->H * c->K);
    unit_rows(PARITY_IN(p, hy_level_recur, base.k, s->T * c->H * c->K), s->T * c->H, c->K);
    PARITY_IN(p, hy_level_recur, l, s->T * c->HV * L);
    if (c->decay != HY_DECAY_NONE)
        gate_fill(p, c->gate, PARITY_IN(p, hy_level_recur, base.g, n_gates), n_gates);
    if (!c->sparse)
        parity_uniform_fill(p, PARITY_IN(p, hy_level_recur, base.beta, s->T * c->HV), s->T * c->HV, 0, 1);
}

static int64_t level_states(const recur_case *c) {
    return RUN_SLOTS * level_shapes[c->shape].N * c->HV * c->K * c->V;
}

static void level_fwd_case(parity *p, const recur_case *c) {
    const int64_t T = level_shapes[c->shape].T;
    level_begin(p, c, HY_OP_level_fwd);
    PARITY_IN(p, hy_level_recur, base.v, T * c->HV * c->V);
    if (!c->sparse)
        PARITY_IN(p, hy_level_recur, base.S0, level_states(c));
    PARITY_OUT(p, hy_level_recur, base.o, T * c->HV * c->V);
    PARITY_ROWS(p, c->V);
    parity_run(p);
}

static void level_map_bwd_case(parity *p, const recur_case *c) {
    const int64_t T = level_shapes[c->shape].T;
    level_begin(p, c, HY_OP_level_map_bwd);
    PARITY_IN(p, hy_level_recur, base.d_o, T * c->HV * c->V);
    PARITY_OUT(p, hy_level_recur, base.dH, level_states(c));
    parity_run(p);
}

static void level_bwd_case(parity *p, const recur_case *c) {
    const level_shape *s = &level_shapes[c->shape];
    level_begin(p, c, HY_OP_level_bwd);
    PARITY_IN(p, hy_level_recur, base.v, s->T * c->HV * c->V);
    PARITY_IN(p, hy_level_recur, base.d_o, s->T * c->HV * c->V);
    if (!c->sparse) {
        PARITY_IN(p, hy_level_recur, base.S0, level_states(c));
        PARITY_IN(p, hy_level_recur, base.dS1, level_states(c));
        PARITY_OUT(p, hy_level_recur, base.dS0, level_states(c));
        PARITY_OUT(p, hy_level_recur, base.dbeta, s->T * c->HV);
        if (c->decay != HY_DECAY_NONE)
            PARITY_OUT_IF(p, hy_level_recur, base.dg, gate_count(c, s->T), c->decay == HY_DECAY_HEAD);
    }
    PARITY_OUT(p, hy_level_recur, base.dq, s->T * c->H * c->K);
    PARITY_ROWS(p, c->K);
    PARITY_OUT(p, hy_level_recur, base.dk, s->T * c->H * c->K);
    PARITY_ROWS(p, c->K);
    PARITY_OUT(p, hy_level_recur, base.dv, s->T * c->HV * c->V);
    PARITY_ROWS(p, c->V);
    PARITY_OUT(p, hy_level_recur, dl, s->T * c->HV * p->args.level_bwd.L);
    PARITY_ROWS(p, p->args.level_bwd.L);
    parity_run(p);
}

/* Every decay, rule and shape, strengths in turn, with head sizes that divide nothing; half of them on cuda_host, every decay and rule and
 * every shape. */
static PARITY_UNUSED void level_sample(parity *p, void (*one)(parity *, const recur_case *)) {
    for (int n = 0; n < 8 * LEVEL_SHAPES; n++) {
        parity_rest_host(p, n >= 4 * LEVEL_SHAPES);
        const recur_case c = {.decay = (hy_decay)(n % 4),
                              .rule = (hy_rule)(n / 4 % 2),
                              .gate = (gate_strength)(n % 3),
                              .shape = n % LEVEL_SHAPES,
                              .H = n % 3 == 1 ? 1 : 2,
                              .HV = n % 7 ? 2 : 4,
                              .K = 8 + n % 5 * 7,
                              .V = 24 - n % 3 * 5,
                              .sparse = n % 4 == 3};
        one(p, &c);
    }
    parity_rest_host(p, 0);
}

#endif
