/* Of hot_ops.h: what a step does to rows between the products and the recurrences. Rows of `width` channels, `heads` heads. */
#ifndef HY_TESTS_HOT_ROWS_H
#define HY_TESTS_HOT_ROWS_H

static inline void hot_norms(hot_run *h) {
    const int64_t T = h->op->T, D = h->op->width, n = T * D, H = hot_heads(h);
    hy_rmsnorm_args r = {.rows = T, .cols = D, .w_rows = 1, .eps = 1e-5};
    r.x = hot_in(h, HY_ROLE_ACT, n, -1, 1);
    r.w = hot_in(h, HY_ROLE_STAT, D, -1, 1);
    r.dy = hot_in(h, HY_ROLE_ACT, n, -1, 1);
    r.y = hot_out(h, n);
    r.dx = hot_out(h, n);
    r.dw = hot_out(h, D);
    hot_call(h, HY_OP_rmsnorm_fwd, &r);
    hot_call(h, HY_OP_rmsnorm_bwd, &r);
    r.gate = r.dy;
    r.act = HY_ACT_SILU;
    r.dgate = hot_out(h, n);
    hot_call(h, HY_OP_rmsnorm_fwd, &r);
    hot_call(h, HY_OP_rmsnorm_bwd, &r);
    r.gate = NULL;
    r.branch = r.dy;
    r.sum = hot_out(h, n);
    r.y = hot_out(h, n);
    hot_call(h, HY_OP_rmsnorm_fwd, &r);
    const hy_l2norm_args l = {
        .rows = T * H, .cols = D / H, .eps = 1e-6, .x = r.x, .dy = r.dy, .y = hot_out(h, n), .dx = hot_out(h, n)};
    hot_call(h, HY_OP_l2norm_fwd, &l);
    hot_call(h, HY_OP_l2norm_bwd, &l);
}

static inline void hot_gates(hot_run *h) {
    const int64_t T = h->op->T, D = h->op->width, n = T * D, H = hot_heads(h);
    hy_glu_args u = {.act = HY_ACT_SILU, .n = n, .group = 1};
    u.a = hot_in(h, HY_ROLE_ACT, n, -1, 1);
    u.z = hot_in(h, HY_ROLE_ACT, n, -1, 1);
    u.dy = hot_in(h, HY_ROLE_ACT, n, -1, 1);
    u.y = hot_out(h, n);
    u.da = hot_out(h, n);
    u.dz = hot_out(h, n);
    hot_call(h, HY_OP_glu_fwd, &u);
    hot_call(h, HY_OP_glu_bwd, &u);
    hy_decay_gate_args g = {.T = T, .H = H, .K = 1};
    g.x = hot_in(h, HY_ROLE_ACT, T * H, -1, 1);
    g.A_log = hot_in(h, HY_ROLE_STAT, H, -1, 1);
    g.dt_bias = hot_in(h, HY_ROLE_STAT, H, -1, 1);
    g.dg = hot_in(h, HY_ROLE_STAT, T * H, -1, 1);
    g.g = hot_out(h, T * H);
    g.dx = hot_out(h, T * H);
    g.dA_log = hot_out(h, H);
    g.ddt_bias = hot_out(h, H);
    hot_call(h, HY_OP_decay_gate_fwd, &g);
    hot_call(h, HY_OP_decay_gate_bwd, &g);
    int64_t *pos = h->inputs[h->n_inputs++] = calloc((size_t)T, sizeof *pos);
    const hy_rope_args r = {
        .T = T, .H = H, .D = D / H, .rot = D / H / 2 * 2, .base = 1e4, .pos = pos, .x = u.a, .y = hot_out(h, n)};
    for (int64_t t = 0; t < T; t++)
        pos[t] = t;
    hot_call(h, HY_OP_rope, &r);
    const hy_add_args s = {.n = n, .a = u.a, .b = u.z, .y = hot_out(h, n)};
    hot_call(h, HY_OP_add, &s);
}

static inline void hot_conv(hot_run *h) {
    enum { W = 4 };
    const int64_t T = h->op->T, C = h->op->width, halo = HOT_SLOTS * (W - 1) * C;
    const hy_run runs[] = {{0, T - 7, 0, 1}, {T - 7, 7, 1, 0}};
    hy_conv_args c = {
        .T = T, .C = C, .W = W, .act = HY_ACT_SILU, .runs = runs, .n_runs = 2, .run_tokens = T, .run_longest = T - 7};
    c.x = hot_in(h, HY_ROLE_ACT, T * C, -1, 1);
    c.w = hot_in(h, HY_ROLE_STAT, C * W, -1, 1);
    c.halo = hot_in(h, HY_ROLE_ACT, halo, -1, 1);
    c.dy = hot_in(h, HY_ROLE_ACT, T * C, -1, 1);
    c.y = hot_out(h, T * C);
    c.dx = hot_out(h, T * C);
    c.dw = hot_out(h, C * W);
    c.dhalo = hot_out(h, halo);
    hot_call(h, HY_OP_conv_fwd, &c);
    hot_call(h, HY_OP_conv_bwd, &c);
}

/* `width` is the vocabulary's size, too. */
static inline void hot_ends(hot_run *h) {
    const int64_t T = h->op->T, D = h->op->width, n = T * D;
    int32_t *tokens = h->inputs[h->n_inputs++] = calloc((size_t)T, sizeof *tokens);
    for (int64_t t = 0; t < T; t++)
        tokens[t] = (int32_t)(t * t % D);
    hy_cross_entropy_args c = {.rows = T, .vocab = D, .labels = tokens, .grad = 1};
    double *d_scale = h->inputs[h->n_inputs++] = calloc(1, sizeof *d_scale);
    *d_scale = 0.1;
    c.d_scale = d_scale;
    c.logits = hot_in(h, HY_ROLE_STAT, n, -1, 1);
    c.dlogits = h->op->dtype == HY_F32 ? c.logits : hot_out(h, n); /* in place, where that may be */
    c.loss = hot_out(h, 2);
    hot_call(h, HY_OP_cross_entropy, &c);
    hy_embed_args e = {.T = T, .D = D, .vocab = D, .frozen = -1, .tokens = tokens};
    e.w = hot_in(h, HY_ROLE_WEIGHT, D * D, -1, 1);
    e.dy = hot_in(h, HY_ROLE_ACT, n, -1, 1);
    e.y = hot_out(h, n);
    e.dw = hot_out(h, D * D);
    hot_call(h, HY_OP_embed_fwd, &e);
    hot_call(h, HY_OP_embed_bwd, &e);
    const hy_sumsq_args s = {.n = n, .x = hot_in(h, HY_ROLE_GRAD, n, -1, 1), .sum = hot_out(h, 2)};
    hot_call(h, HY_OP_sumsq, &s);
    const hy_adamw_segment segments[] = {{0, n / 2, 1}, {n / 2, n - n / 2, 0}};
    hy_adamw_args a = {.segments = segments,
                       .n_segments = 2,
                       .step = 3,
                       .lr = 1e-2,
                       .b1 = 0.9,
                       .b2 = 0.95,
                       .eps = 1e-8,
                       .decay = 0.1,
                       .g_scale = 0.3,
                       .copy_role = HY_ROLE_WEIGHT,
                       .g = s.x};
    a.w = hot_out(h, n);
    a.m = hot_out(h, n);
    a.v = hot_out(h, n);
    a.copy = hot_out(h, n);
    hot_call(h, HY_OP_adamw, &a);
}

static inline void hot_rows(hot_run *h) {
    hot_norms(h);
    hot_gates(h);
    hot_conv(h);
    hot_ends(h);
}

#endif
