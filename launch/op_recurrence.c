/* `hylas op recurrence`: the linear recurrence of one layer, forward and backward.
 *
 *   S' = D_t S;  e = v − δ S'ᵀk;  S = S' + b k eᵀ;  o = scale·Sᵀq
 *
 * q, k [B,T,H,K]; v, do [B,T,HV,V]; g [HV], [B,T,HV] or [B,T,HV,K]; beta [B,T,HV]; h0, dht [N,HV,K,V]. */
#include <math.h>
#include <string.h>

#include "launch/op.h"

typedef struct recurrence {
    hy_op_input in;
    const hy_op_tensor *q, *k, *v, *g, *beta, *h0, *cu, *d_o, *dht;
    int64_t B, T, N;
    hy_recur_args shape;
} recurrence;

static hy_status check_inputs(const hy_op_context *context, recurrence *r) {
    const hy_op_input *in = &r->in;
    hy_recur_args *s = &r->shape;
    if (r->q->shape.n != 4 || r->v->shape.n != 4)
        return hy_op_fail(context, HY_ERR_DATA, "%s: q must be [B,T,H,K] and v [B,T,HV,V]", in->path);
    r->B = r->q->shape.dim[0], r->T = r->q->shape.dim[1];
    s->H = r->q->shape.dim[2], s->K = r->q->shape.dim[3];
    s->HV = r->v->shape.dim[2], s->V = r->v->shape.dim[3];
    r->N = r->cu ? r->cu->shape.dim[0] - 1 : r->B;
    if (r->B < 1 || s->H < 1 || s->K < 1 || s->HV < 1 || s->V < 1)
        return hy_op_fail(context, HY_ERR_DATA, "%s: only the number of tokens may be 0", in->path);
    if (s->HV % s->H != 0)
        return hy_op_fail(context, HY_ERR_DATA, "%s: %lld value heads are no multiple of %lld query heads", in->path, (long long)s->HV,
                          (long long)s->H);
    HY_TRY(hy_op_check_shape(context, in, r->k, r->q->shape));
    HY_TRY(hy_op_check_shape(context, in, r->v, HY_SHAPE(r->B, r->T, s->HV, s->V)));
    HY_TRY(hy_op_check_shape(context, in, r->d_o, r->v->shape));
    HY_TRY(hy_op_check_shape(context, in, r->beta, HY_SHAPE(r->B, r->T, s->HV)));
    HY_TRY(hy_op_check_shape(context, in, r->h0, HY_SHAPE(r->N, s->HV, s->K, s->V)));
    HY_TRY(hy_op_check_shape(context, in, r->dht, HY_SHAPE(r->N, s->HV, s->K, s->V)));
    s->decay = HY_DECAY_NONE;
    if (r->g && r->g->shape.n == 1) {
        s->decay = HY_DECAY_HEAD;
        HY_TRY(hy_op_check_shape(context, in, r->g, HY_SHAPE(s->HV)));
    } else if (r->g && r->g->shape.n == 3) {
        s->decay = HY_DECAY_SCALAR;
        HY_TRY(hy_op_check_shape(context, in, r->g, HY_SHAPE(r->B, r->T, s->HV)));
    } else if (r->g) {
        s->decay = HY_DECAY_VECTOR;
        HY_TRY(hy_op_check_shape(context, in, r->g, HY_SHAPE(r->B, r->T, s->HV, s->K)));
    }
    return HY_OK;
}

static hy_status check_attributes(const hy_op_context *context, recurrence *r) {
    const hy_op_input *in = &r->in;
    if (!in->has_rule)
        return hy_op_fail(context, HY_ERR_DATA, "%s: attribute rule is missing; it is \"additive\" or \"delta\"", in->path);
    if (strcmp(in->rule, "additive") == 0)
        r->shape.rule = HY_RULE_ADDITIVE;
    else if (strcmp(in->rule, "delta") == 0)
        r->shape.rule = HY_RULE_DELTA;
    else
        return hy_op_fail(context, HY_ERR_DATA, "%s: rule \"%s\" is neither \"additive\" nor \"delta\"", in->path, in->rule);
    r->shape.scale = in->has_scale ? in->scale : 1 / sqrt((double)r->shape.K);
    if (!isfinite(r->shape.scale))
        return hy_op_fail(context, HY_ERR_DATA, "%s: attribute scale is not finite", in->path);
    return HY_OK;
}

/* Rows of ht and dh0 that several ranks hold, or that nobody was asked to fill, would spoil the sum over ranks: keep what this rank
 * owns. The owner of an empty document's state is rank 0. */
static void keep_owned_states(const hy_layout *layout, bool last_token, size_t bytes, void *states) {
    for (int64_t d = 0; d < layout->n_docs; d++) {
        int owner = 0;
        int64_t at = last_token ? layout->docs[d + 1] - 1 : layout->docs[d];
        for (int64_t i = 0; layout->docs[d] < layout->docs[d + 1] && i < layout->n_frags; i++) {
            const hy_fragment *f = &layout->frags[i];
            if (f->begin <= at && at < f->begin + f->len)
                owner = f->owner;
        }
        if (owner != layout->rank)
            memset((char *)states + (size_t)d * bytes, 0, bytes);
    }
}

/* Buffers of this rank, in place in `op`. */
static void take_buffers(const hy_op_context *context, hy_op_pool *pool, const recurrence *r, hy_sp *sp, hy_sp_recur *run) {
    const hy_layout *layout = sp->layout;
    size_t real = hy_dtype_size(context->options.dtype), T = (size_t)layout->T;
    size_t qk = T * (size_t)(r->shape.H * r->shape.K) * real, vo = T * (size_t)(r->shape.HV * r->shape.V) * real;
    size_t states = (size_t)(layout->n_docs * r->shape.HV * r->shape.K * r->shape.V) * real;
    hy_layout_dims dims = hy_layout_sizes(layout->kind, layout->size, layout->rank, layout->n_seq, layout->len);
    hy_recur_args *op = &run->op;
    *op = r->shape;
    op->T = layout->T;
    op->q = hy_op_take_shard(pool, layout, r->q), op->k = hy_op_take_shard(pool, layout, r->k);
    op->v = hy_op_take_shard(pool, layout, r->v), op->beta = hy_op_take_shard(pool, layout, r->beta);
    op->g = op->decay == HY_DECAY_HEAD ? r->g->data : hy_op_take_shard(pool, layout, r->g);
    op->d_o = hy_op_take_shard(pool, layout, r->d_o);
    op->o = hy_op_take(pool, "o", vo), op->dv = hy_op_take(pool, "dv", vo);
    op->dq = hy_op_take(pool, "dq", qk), op->dk = hy_op_take(pool, "dk", qk);
    if (r->beta)
        op->dbeta = hy_op_take(pool, "dbeta", T * (size_t)op->HV * real);
    if (op->decay == HY_DECAY_HEAD)
        op->dg = hy_op_take(pool, "dg", (size_t)op->HV * real);
    else if (op->decay != HY_DECAY_NONE)
        op->dg = hy_op_take(pool, "dg", T * (size_t)(op->HV * (op->decay == HY_DECAY_VECTOR ? op->K : 1)) * real);
    run->h0 = r->h0 ? r->h0->data : NULL, run->dht = r->dht ? r->dht->data : NULL;
    run->ht = hy_op_take(pool, "ht", states);
    run->dh0 = r->h0 ? hy_op_take(pool, "dh0", states) : NULL;
    run->kept = hy_op_take(pool, "kept", hy_sp_recur_kept(sp, &dims, op));
    run->work = hy_op_take(pool, "work", hy_sp_recur_work(sp, &dims, op, layout->n_docs));
}

static void write_results(const hy_op_context *context, hy_op_output *out, const recurrence *r, const hy_layout *layout,
                          const hy_sp_recur *run) {
    const hy_recur_args *op = &run->op;
    hy_shape states = HY_SHAPE(layout->n_docs, op->HV, op->K, op->V);
    size_t state_bytes = (size_t)(op->HV * op->K * op->V) * hy_dtype_size(context->options.dtype);
    hy_op_output_rows(context, out, layout, "o", r->v->shape, op->o);
    hy_op_output_rows(context, out, layout, "dq", r->q->shape, op->dq);
    hy_op_output_rows(context, out, layout, "dk", r->q->shape, op->dk);
    hy_op_output_rows(context, out, layout, "dv", r->v->shape, op->dv);
    if (op->decay == HY_DECAY_HEAD)
        hy_op_output_sum(context, out, "dg", r->g->shape, op->dg);
    else if (r->g)
        hy_op_output_rows(context, out, layout, "dg", r->g->shape, op->dg);
    if (r->beta)
        hy_op_output_rows(context, out, layout, "dbeta", r->beta->shape, op->dbeta);
    keep_owned_states(layout, true, state_bytes, run->ht);
    hy_op_output_sum(context, out, "ht", states, run->ht);
    if (r->h0) {
        keep_owned_states(layout, false, state_bytes, run->dh0);
        hy_op_output_sum(context, out, "dh0", states, run->dh0);
    }
}

static hy_status run_recurrence(hy_op_context *context, const recurrence *r, const char *path) {
    hy_op_pool pool = {.n = 0};
    hy_layout *layout = NULL;
    hy_sp_recur run = {0};
    hy_status status = hy_op_layout(context, &r->in, r->B, r->T, &layout);
    HY_TRY_GOTO(status, hy_comm_agree(context->world, status), done);
    hy_sp sp = {.device = &context->device,
                .comm = context->world,
                .layout = layout,
                .state = context->options.state,
                .attention = context->options.attention,
                .overlap = context->options.overlap};
    take_buffers(context, &pool, r, &sp, &run);
    HY_TRY_GOTO(status, hy_comm_agree(context->world, pool.status), done);
    hy_sp_recur_fwd(&sp, &run);
    hy_sp_recur_bwd(&sp, &run);
    hy_op_output out;
    hy_op_output_create(context, path, &out);
    write_results(context, &out, r, layout, &run);
    status = hy_op_output_finish(context, &out);
done:
    hy_op_pool_free(&pool);
    hy_layout_destroy(layout);
    return status;
}

hy_status hy_op_recurrence(hy_op_context *context, const char *in, const char *out) {
    hy_element real = hy_op_element(context);
    const hy_op_wanted wanted[] = {{"q", real, true},     {"k", real, true},   {"v", real, true},
                                   {"g", real, false},    {"beta", real, false}, {"h0", real, false},
                                   {"do", real, true},    {"dht", real, false},  {"cu_seqlens", HY_ELEMENT_I64, false}};
    recurrence r = {0};
    HY_TRY(hy_op_input_read(context->world, in, wanted, (int)(sizeof wanted / sizeof wanted[0]), &r.in));
    r.q = hy_op_input_find(&r.in, "q"), r.k = hy_op_input_find(&r.in, "k"), r.v = hy_op_input_find(&r.in, "v");
    r.g = hy_op_input_find(&r.in, "g"), r.beta = hy_op_input_find(&r.in, "beta"), r.h0 = hy_op_input_find(&r.in, "h0");
    r.d_o = hy_op_input_find(&r.in, "do"), r.dht = hy_op_input_find(&r.in, "dht");
    r.cu = hy_op_input_find(&r.in, "cu_seqlens");
    hy_status status = check_inputs(context, &r);
    if (status == HY_OK)
        status = check_attributes(context, &r);
    if (status == HY_OK)
        status = run_recurrence(context, &r, out);
    hy_op_input_free(&r.in);
    return status;
}
