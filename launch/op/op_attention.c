/* `hylas op attention`: causal softmax attention of one layer, forward and backward.
 *
 * q [B,T,H,D]; k [B,T,HKV,D]; v [B,T,HKV,DV]; do [B,T,H,DV]; optional sinks [H,N]; attributes scale and window (tokens including the present one, 0 = all). */
#include <math.h>

#include "launch/op/op.h"

typedef struct attention {
    hy_op_input in;
    const hy_op_tensor *q, *k, *v, *d_o, *sinks;
    int64_t B, T;
    hy_sp_attn shape;
} attention;

static hy_status check_attention_inputs(const hy_op_context *context, attention *a) {
    const hy_op_input *in = &a->in;
    hy_sp_attn *s = &a->shape;
    if (a->q->shape.n != 4 || a->k->shape.n != 4 || a->v->shape.n != 4)
        return hy_op_fail(context, HY_ERR_DATA, "%s: q must be [B,T,H,D], k and v [B,T,HKV,D]", in->path);
    a->B = a->q->shape.dim[0], a->T = a->q->shape.dim[1];
    s->H = a->q->shape.dim[2], s->D = a->q->shape.dim[3];
    s->HKV = a->k->shape.dim[2], s->DV = a->v->shape.dim[3];
    if (a->B < 1 || s->H < 1 || s->D < 1 || s->HKV < 1 || s->DV < 1)
        return hy_op_fail(context, HY_ERR_DATA, "%s: only the number of tokens may be 0", in->path);
    if (s->H % s->HKV != 0)
        return hy_op_fail(context, HY_ERR_DATA, "%s: %lld query heads are no multiple of %lld key heads", in->path,
                          (long long)s->H, (long long)s->HKV);
    HY_TRY(hy_op_check_shape(context, in, a->k, HY_SHAPE(a->B, a->T, s->HKV, s->D)));
    HY_TRY(hy_op_check_shape(context, in, a->v, HY_SHAPE(a->B, a->T, s->HKV, s->DV)));
    HY_TRY(hy_op_check_shape(context, in, a->d_o, HY_SHAPE(a->B, a->T, s->H, s->DV)));
    s->n_sinks = a->sinks && a->sinks->shape.n == 2 ? a->sinks->shape.dim[1] : 0;
    HY_TRY(hy_op_check_shape(context, in, a->sinks, HY_SHAPE(s->H, s->n_sinks)));
    s->scale = in->has_scale ? in->scale : 1 / sqrt((double)s->D);
    if (!isfinite(s->scale))
        return hy_op_fail(context, HY_ERR_DATA, "%s: attribute scale is not finite", in->path);
    double window = in->has_window ? in->window : 0;
    if (!(window >= 0 && window <= 0x1p53 && floor(window) == window))
        return hy_op_fail(context, HY_ERR_DATA, "%s: attribute window must be a whole number, 0 for none", in->path);
    s->window = (int64_t)window;
    return HY_OK;
}

static void take_attention_buffers(const hy_op_context *context, hy_op_pool *pool, const attention *a, hy_sp *sp,
                                   hy_sp_attn *run) {
    const hy_layout *layout = sp->layout;
    const int64_t T = layout->T;
    hy_layout_dims dims = hy_layout_dims_of(layout);
    *run = a->shape;
    run->q = hy_op_take_shard(pool, layout, a->q), run->k = hy_op_take_shard(pool, layout, a->k);
    run->v = hy_op_take_shard(pool, layout, a->v), run->d_o = hy_op_take_shard(pool, layout, a->d_o);
    run->o = hy_op_take(pool, "o", hy_op_bytes(context, HY_ROLE_ACT, T * run->H * run->DV));
    run->lse = hy_op_take(pool, "lse", hy_op_bytes(context, HY_ROLE_STAT, T * run->H));
    run->dq = hy_op_take(pool, "dq", hy_op_bytes(context, HY_ROLE_ACT, T * run->H * run->D));
    run->dk = hy_op_take(pool, "dk", hy_op_bytes(context, HY_ROLE_ACT, T * run->HKV * run->D));
    run->dv = hy_op_take(pool, "dv", hy_op_bytes(context, HY_ROLE_ACT, T * run->HKV * run->DV));
    if (run->n_sinks > 0) {
        run->sinks = hy_op_take_whole(pool, a->sinks);
        run->dsinks = hy_op_take(pool, "dsinks", hy_op_bytes(context, HY_ROLE_GRAD, run->H * run->n_sinks));
    }
    run->kept = hy_op_take(pool, "kept", hy_sp_attn_kept(sp, &dims, run));
    run->work = hy_op_take(pool, "work", hy_sp_attn_work(sp, &dims, run));
}

static hy_status run_attention(hy_op_context *context, const attention *a, const char *path) {
    hy_op_pool pool = {.device = context->device};
    hy_layout *layout = NULL;
    hy_sp_attn run = {0};
    hy_lists *lists = NULL;
    hy_lists_needs needs = {.method = context->options.method};
    hy_status status = hy_op_layout(context, &a->in, a->B, a->T, &layout);
    HY_TRY_GOTO(status, hy_comm_agree(context->world, status), done);
    hy_sp_attn_need(&needs, &a->shape);
    status = hy_op_lists(context, &needs, layout, &lists);
    HY_TRY_GOTO(status, hy_comm_agree(context->world, status), done);
    hy_sp sp = {.profile = hy_device_profile(context->device),
                .device = context->device,
                .comm = context->data,
                .layout = layout,
                .lists = lists,
                .method = context->options.method};
    take_attention_buffers(context, &pool, a, &sp, &run);
    HY_TRY_GOTO(status, hy_comm_agree(context->world, pool.status), done);
    hy_sp_attn_fwd(&sp, &run);
    hy_sp_attn_bwd(&sp, &run);
    hy_op_output out;
    hy_op_output_create(context, path, &out);
    hy_op_output_rows(context, &out, layout, "o", HY_ROLE_ACT, a->d_o->shape, run.o);
    hy_op_output_rows(context, &out, layout, "lse", HY_ROLE_STAT, HY_SHAPE(a->B, a->T, run.H), run.lse);
    hy_op_output_rows(context, &out, layout, "dq", HY_ROLE_ACT, a->q->shape, run.dq);
    hy_op_output_rows(context, &out, layout, "dk", HY_ROLE_ACT, a->k->shape, run.dk);
    hy_op_output_rows(context, &out, layout, "dv", HY_ROLE_ACT, a->v->shape, run.dv);
    if (run.n_sinks > 0)
        hy_op_output_sum(context, &out, "dsinks", HY_ROLE_GRAD, a->sinks->shape, run.dsinks);
    status = hy_op_output_finish(context, &out);
done:
    hy_op_pool_free(&pool);
    hy_lists_destroy(lists);
    hy_layout_destroy(layout);
    return status;
}

hy_status hy_op_attention(hy_op_context *context, const char *in, const char *out) {
    const hy_op_wanted wanted[] = {
        {.name = "q", .required = true},         {.name = "k", .required = true},
        {.name = "v", .required = true},         {.name = "do", .required = true},
        {.name = "sinks", .role = HY_ROLE_STAT}, {.name = "cu_seqlens", .integers = HY_ELEMENT_I64}};
    attention a = {0};
    HY_TRY(hy_op_input_read(context, in, wanted, (int)(sizeof wanted / sizeof wanted[0]), &a.in));
    a.q = hy_op_input_find(&a.in, "q"), a.k = hy_op_input_find(&a.in, "k");
    a.v = hy_op_input_find(&a.in, "v"), a.d_o = hy_op_input_find(&a.in, "do");
    a.sinks = hy_op_input_find(&a.in, "sinks");
    hy_status status = check_attention_inputs(context, &a);
    if (status == HY_OK)
        status = run_attention(context, &a, out);
    hy_op_input_free(&a.in);
    return status;
}
