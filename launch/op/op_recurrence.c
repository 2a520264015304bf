/* `hylas op recurrence | rwkv6 | dplr | hgrn | log_linear`: the linear recurrence of one layer, forward and backward.
 *
 *   recurrence  S' = D_t S;  e = v − δ S'ᵀk;  S = S' + b k eᵀ;  o = scale·Sᵀq
 *   dplr        S = D_t S + b (aᵀS) + k vᵀ;  o = scale·Sᵀq
 *   rwkv6       o = scale·(Sᵀr + (r·(u⊙k)) v), then S = Diag(e^w) S + k vᵀ
 *   hgrn        h = e^g h + x;  o = scale·h
 *   log_linear  recurrence with one state per Fenwick level: o = scale·Σ_n l_n S_nᵀq; ht is the sum of the levels' states, so that of
 *               recurrence, which gives it and what dht does
 *
 * q, k, r, a, b [B,T,H,K]; v, do [B,T,HV,V]; g, w [HV], [B,T,HV] or [B,T,HV,K]; beta [B,T,HV]; u [H,K] (then HV = H);
 * x, g, do of hgrn [B,T,D]; l [B,T,HV,Levels]; h0, dht [N,HV,K,V], of hgrn [N,D]. */
#include <stdio.h>
#include <string.h>

#include "launch/op/op_recurrence.h"

#define STATES [H0] = "h0", [D_O] = "do", [DHT] = "dht", [DOCUMENTS] = "cu_seqlens"
#define BIT(r) (1u << (r))
#define QKV    (BIT(Q) | BIT(KEY) | BIT(VALUE) | BIT(D_O))

static const hy_op_form recurrence_form = {
    .names = {[Q] = "q", [KEY] = "k", [VALUE] = "v", [DECAY] = "g", [BETA] = "beta", STATES},
    .required = QKV,
    .rule_in_file = true};
static const hy_op_form log_linear_form = {
    .names = {[Q] = "q", [KEY] = "k", [VALUE] = "v", [DECAY] = "g", [BETA] = "beta", [LEVELS] = "l", STATES},
    .required = QKV | BIT(LEVELS),
    .rule_in_file = true};
static const hy_op_form dplr_form = {
    .names = {[Q] = "q", [KEY] = "k", [VALUE] = "v", [DECAY] = "g", [READ] = "a", [WRITE] = "b", STATES},
    .required = QKV | BIT(DECAY) | BIT(READ) | BIT(WRITE),
    .rule = HY_RULE_DPLR,
    .scale = 1};
static const hy_op_form rwkv6_form = {
    .names = {[Q] = "r", [KEY] = "k", [VALUE] = "v", [DECAY] = "w", [BONUS] = "u", STATES},
    .required = QKV | BIT(DECAY) | BIT(BONUS),
    .exclusive = true,
    .scale = 1};
static const hy_op_form hgrn_form = {.names = {[VALUE] = "x", [DECAY] = "g", STATES},
                                     .required = BIT(VALUE) | BIT(DECAY) | BIT(D_O),
                                     .elementwise = true,
                                     .scale = 1};

/* L levels reach 2^(L−1) tokens. */
static hy_status check_lengths(const hy_op_context *context, const hy_op_recurrence_input *r, const hy_layout *layout) {
    const int64_t levels = r->t[LEVELS] ? r->t[LEVELS]->shape.dim[3] : 64;
    for (int64_t d = 0; d < layout->n_docs && levels < 64; d++) {
        const int64_t len = layout->docs[d + 1] - layout->docs[d];
        if (len > 0 && (len - 1) >> (levels - 1) > 0)
            return hy_op_fail(context, HY_ERR_DATA,
                              "%s: document %lld has %lld tokens, but the %lld levels of l reach only 2^%lld",
                              r->in.path, (long long)d, (long long)len, (long long)levels, (long long)levels - 1);
    }
    return HY_OK;
}

/* Rows of ht and dh0 that several ranks hold, or that nobody was asked to fill, would spoil the sum over ranks: keep what this rank
 * owns. The owner of an empty document's state is rank 0. */
static void keep_owned_states(hy_device *device, const hy_layout *layout, bool last_token, size_t bytes, void *states) {
    for (int64_t d = 0; d < layout->n_docs; d++) {
        int owner = 0;
        int64_t at = last_token ? layout->docs[d + 1] - 1 : layout->docs[d];
        for (int64_t i = 0; layout->docs[d] < layout->docs[d + 1] && i < layout->n_frags; i++) {
            const hy_fragment *f = &layout->frags[i];
            if (f->begin <= at && at < f->begin + f->len)
                owner = f->owner;
        }
        if (owner != layout->rank)
            hy_device_zero(device, HY_LANE_COMPUTE, (char *)states + (size_t)d * bytes, bytes);
    }
}

/* The run of one rank: the recurrence, and the bonus beside it (u carries the scale); or the recurrence with levels, and beside it the
 * one without, for ht and for what dht does, which `from_ht` receives. */
typedef struct job {
    hy_sp_recur recur;
    const void *u; /* [H,K] as it was read */
    hy_bonus_args bonus;
    hy_sp_level_recur levels;
    hy_recur_args from_ht;
} job;

/* Elements that this rank holds of an input or its gradient. */
static int64_t own_input_elements(const hy_layout *layout, const hy_op_tensor *t) {
    const int64_t tokens = layout->n_seq * layout->len, n = t ? hy_shape_size(&t->shape) : 0;
    return !t || t->shape.n <= 2 ? n : tokens == 0 ? 0 : n / tokens * layout->T;
}

/* Room for the gradient of an input. */
static void *take_gradient(const hy_op_context *context, hy_op_pool *pool, const hy_layout *layout,
                           const hy_op_tensor *t) {
    if (!t)
        return NULL;
    return hy_op_take(pool, "gradient", hy_op_bytes(context, t->role, own_input_elements(layout, t)));
}

static void take_inputs(hy_op_pool *pool, const hy_op_recurrence_input *r, const hy_layout *layout, hy_recur_args *op) {
    *op = r->shape;
    op->T = layout->T;
    op->q = hy_op_take_shard(pool, layout, r->t[Q]), op->k = hy_op_take_shard(pool, layout, r->t[KEY]);
    op->a = hy_op_take_shard(pool, layout, r->t[READ]), op->b = hy_op_take_shard(pool, layout, r->t[WRITE]);
    op->v = hy_op_take_shard(pool, layout, r->t[VALUE]), op->beta = hy_op_take_shard(pool, layout, r->t[BETA]);
    op->g =
        op->decay == HY_DECAY_HEAD ? hy_op_take_whole(pool, r->t[DECAY]) : hy_op_take_shard(pool, layout, r->t[DECAY]);
    op->d_o = hy_op_take_shard(pool, layout, r->t[D_O]);
}

static void take_gradients(const hy_op_context *context, hy_op_pool *pool, const hy_op_recurrence_input *r,
                           const hy_layout *layout, hy_recur_args *op) {
    op->dq = take_gradient(context, pool, layout, r->t[Q]), op->dk = take_gradient(context, pool, layout, r->t[KEY]);
    op->da = take_gradient(context, pool, layout, r->t[READ]),
    op->db = take_gradient(context, pool, layout, r->t[WRITE]);
    op->dv = take_gradient(context, pool, layout, r->t[VALUE]),
    op->dg = take_gradient(context, pool, layout, r->t[DECAY]);
    op->dbeta = take_gradient(context, pool, layout, r->t[BETA]);
}

static void take_levels(const hy_op_context *context, hy_op_pool *pool, const hy_op_recurrence_input *r, hy_sp *sp,
                        job *j) {
    const hy_layout *layout = sp->layout;
    hy_layout_dims dims = hy_layout_dims_of(layout);
    hy_level_recur_args *op = &j->levels.op;
    *op = (hy_level_recur_args){.base = j->recur.op, .L = r->t[LEVELS]->shape.dim[3]};
    op->l = hy_op_take_shard(pool, layout, r->t[LEVELS]), op->dl = take_gradient(context, pool, layout, r->t[LEVELS]);
    j->levels.kept = hy_op_take(pool, "kept", hy_sp_level_recur_kept(sp, &dims, op));
    j->levels.work = hy_op_take(pool, "work", hy_sp_level_recur_work(sp, &dims, op));
    if (!r->t[DHT])
        return;
    j->from_ht = j->recur.op;
    j->from_ht.d_o = take_gradient(context, pool, layout, r->t[VALUE]); /* zeros */
    take_gradients(context, pool, r, layout, &j->from_ht);
}

/* Buffers of this rank, in place in the job. */
static void take_recurrence_buffers(const hy_op_context *context, hy_op_pool *pool, const hy_op_recurrence_input *r,
                                    hy_sp *sp, job *j) {
    const hy_layout *layout = sp->layout;
    hy_sp_recur *run = &j->recur;
    hy_recur_args *op = &run->op;
    /* sequences without a token are one document to the layout, and one state each in the file */
    const int64_t documents = r->N > layout->n_docs ? r->N : layout->n_docs;
    const size_t states = hy_op_bytes(context, HY_ROLE_STAT, documents * r->shape.HV * r->shape.K * r->shape.V);
    hy_layout_dims dims = hy_layout_dims_of(layout);
    take_inputs(pool, r, layout, op);
    op->o = take_gradient(context, pool, layout, r->t[VALUE]);
    take_gradients(context, pool, r, layout, op);
    run->h0 = hy_op_take_whole(pool, r->t[H0]), run->dht = hy_op_take_whole(pool, r->t[DHT]);
    run->ht = hy_op_take(pool, "ht", states);
    run->dh0 = r->t[H0] ? hy_op_take(pool, "dh0", states) : NULL;
    run->kept = hy_op_take(pool, "kept", hy_sp_recur_kept(sp, &dims, op));
    run->work = hy_op_take(pool, "work", hy_sp_recur_work(sp, &dims, op, layout->n_docs));
    if (r->t[LEVELS])
        take_levels(context, pool, r, sp, j);
    j->u = hy_op_take_whole(pool, r->t[BONUS]);
    if (r->t[BONUS])
        j->bonus = (hy_bonus_args){.T = op->T,
                                   .H = op->H,
                                   .K = op->K,
                                   .V = op->V,
                                   .r = op->q,
                                   .k = op->k,
                                   .v = op->v,
                                   .u = take_gradient(context, pool, layout, r->t[BONUS]),
                                   .o = op->o,
                                   .acc_o = 1,
                                   .d_o = op->d_o,
                                   .dr = op->dq,
                                   .dk = op->dk,
                                   .dv = op->dv,
                                   .acc_r = 1,
                                   .acc_k = 1,
                                   .acc_v = 1,
                                   .du = take_gradient(context, pool, layout, r->t[BONUS])};
}

static void add_to_gradient(hy_sp *sp, const hy_op_tensor *t, const void *x, void *y) {
    if (t)
        hy_axpy(sp->device, &(hy_axpy_args){.n = own_input_elements(sp->layout, t),
                                            .a = 1,
                                            .x = x,
                                            .y = y,
                                            .acc = 1,
                                            .from = t->role,
                                            .to = t->role});
}

/* The recurrence without levels gives ht, and an o that is overwritten. */
static void compute_levels(const hy_op_recurrence_input *r, hy_sp *sp, job *j) {
    hy_recur_args *op = &j->levels.op.base, *from = &j->from_ht;
    hy_sp_recur_fwd(sp, &j->recur);
    hy_sp_level_recur_fwd(sp, &j->levels);
    hy_sp_level_recur_bwd(sp, &j->levels);
    if (!r->t[DHT])
        return;
    hy_sp_recur at_end = j->recur;
    at_end.op = *from;
    hy_sp_recur_bwd(sp, &at_end);
    add_to_gradient(sp, r->t[KEY], from->dk, op->dk);
    add_to_gradient(sp, r->t[VALUE], from->dv, op->dv);
    add_to_gradient(sp, r->t[DECAY], from->dg, op->dg);
    add_to_gradient(sp, r->t[BETA], from->dbeta, op->dbeta);
}

/* Forward and backward. The bonus adds to what the recurrence leaves. */
static void compute_recurrence(const hy_op_recurrence_input *r, hy_sp *sp, job *j) {
    const hy_axpy_args scaled = {
        .n = r->shape.H * r->shape.K, .a = r->shape.scale, .from = HY_ROLE_STAT, .to = HY_ROLE_STAT};
    if (r->t[LEVELS]) {
        compute_levels(r, sp, j);
        return;
    }
    hy_sp_recur_fwd(sp, &j->recur);
    hy_sp_recur_bwd(sp, &j->recur);
    if (!r->t[BONUS])
        return;
    hy_axpy_args a = scaled;
    a.x = j->u, a.y = (void *)(uintptr_t)j->bonus.u;
    hy_axpy(sp->device, &a);
    hy_bonus_fwd(sp->device, &j->bonus);
    hy_bonus_bwd(sp->device, &j->bonus);
    a = scaled;
    a.x = a.y = j->bonus.du;
    hy_axpy(sp->device, &a);
}

/* The gradient of an input under the input's name after a d; arrays without tokens are summed over ranks. */
static void write_input_gradient(const hy_op_context *context, hy_op_output *out, const hy_layout *layout,
                                 const hy_op_tensor *t, const void *data) {
    char name[40];
    if (!t)
        return;
    snprintf(name, sizeof name, "d%s", t->name);
    if (t->shape.n > 2)
        hy_op_output_rows(context, out, layout, name, t->role, t->shape, data);
    else
        hy_op_output_sum(context, out, name, t->role, t->shape, data);
}

static void write_recurrence_results(const hy_op_context *context, hy_op_output *out, const hy_op_recurrence_input *r,
                                     const hy_layout *layout, job *j) {
    const hy_recur_args *op = &j->recur.op;
    void *const gradients[ROLES] = {
        [Q] = op->dq,    [KEY] = op->dk,   [VALUE] = op->dv,      [DECAY] = op->dg,          [BETA] = op->dbeta,
        [READ] = op->da, [WRITE] = op->db, [BONUS] = j->bonus.du, [LEVELS] = j->levels.op.dl};
    const size_t state_bytes = hy_op_bytes(context, HY_ROLE_STAT, op->HV * op->K * op->V);
    hy_op_output_rows(context, out, layout, "o", HY_ROLE_ACT, r->t[VALUE]->shape, op->o);
    for (int i = 0; i < H0; i++)
        write_input_gradient(context, out, layout, r->t[i], gradients[i]);
    keep_owned_states(context->device, layout, true, state_bytes, j->recur.ht);
    hy_op_output_sum(context, out, "ht", HY_ROLE_STAT, r->states, j->recur.ht);
    if (r->t[H0]) {
        keep_owned_states(context->device, layout, false, state_bytes, j->recur.dh0);
        hy_op_output_sum(context, out, "dh0", HY_ROLE_STAT, r->states, j->recur.dh0);
    }
}

static void tell_needs(const hy_op_recurrence_input *r, const hy_layout *layout, hy_lists_needs *needs) {
    hy_sp_recur_need(needs, &r->shape, layout->n_docs);
    if (r->t[LEVELS]) {
        const hy_level_recur_args shape = {.base = r->shape, .L = r->t[LEVELS]->shape.dim[3]};
        hy_sp_level_recur_need(needs, &shape);
    }
}

static hy_status run_recurrence(hy_op_context *context, const hy_op_recurrence_input *r, const char *path) {
    hy_op_pool pool = {.device = context->device};
    hy_layout *layout = NULL;
    job j = {.recur = {.kept = NULL}};
    hy_lists *lists = NULL;
    hy_lists_needs needs = {.method = context->options.method};
    hy_status status = hy_op_layout(context, &r->in, r->B, r->T, &layout);
    HY_TRY_GOTO(status, hy_comm_agree(context->world, status), done);
    HY_TRY_GOTO(status, check_lengths(context, r, layout), done);
    tell_needs(r, layout, &needs);
    status = hy_op_lists(context, &needs, layout, &lists);
    HY_TRY_GOTO(status, hy_comm_agree(context->world, status), done);
    hy_sp sp = {.profile = hy_device_profile(context->device),
                .device = context->device,
                .comm = context->data,
                .layout = layout,
                .lists = lists,
                .method = context->options.method};
    take_recurrence_buffers(context, &pool, r, &sp, &j);
    HY_TRY_GOTO(status, hy_comm_agree(context->world, pool.status), done);
    compute_recurrence(r, &sp, &j);
    hy_op_output out;
    hy_op_output_create(context, path, &out);
    write_recurrence_results(context, &out, r, layout, &j);
    status = hy_op_output_finish(context, &out);
done:
    hy_op_pool_free(&pool);
    hy_lists_destroy(lists);
    hy_layout_destroy(layout);
    return status;
}

static hy_status run_form(hy_op_context *context, const hy_op_form *form, const char *in, const char *out) {
    hy_op_recurrence_input r;
    HY_TRY(hy_op_recurrence_read(context, form, in, &r));
    hy_status status = run_recurrence(context, &r, out);
    hy_op_input_free(&r.in);
    return status;
}

hy_status hy_op_recurrence(hy_op_context *context, const char *in, const char *out) {
    return run_form(context, &recurrence_form, in, out);
}

hy_status hy_op_dplr(hy_op_context *context, const char *in, const char *out) {
    return run_form(context, &dplr_form, in, out);
}

hy_status hy_op_rwkv6(hy_op_context *context, const char *in, const char *out) {
    return run_form(context, &rwkv6_form, in, out);
}

hy_status hy_op_hgrn(hy_op_context *context, const char *in, const char *out) {
    return run_form(context, &hgrn_form, in, out);
}

hy_status hy_op_log_linear(hy_op_context *context, const char *in, const char *out) {
    return run_form(context, &log_linear_form, in, out);
}
