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

static hy_status check_inputs(const hy_op_context *context, attention *a) {
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

static void take_buffers(const hy_op_context *context, hy_op_pool *pool, const attention *a, hy_sp *sp,
                         hy_sp_attn *run) {
    const hy_layout *layout = sp->layout;
    size_t real = hy_dtype_size(context->options.dtype), T = (size_t)layout->T;
    hy_layout_dims dims = hy_layout_sizes(layout->kind, layout->size, layout->rank, layout->n_seq, layout->len);
    *run = a->shape;
    run->q = hy_op_take_shard(pool, layout, a->q), run->k = hy_op_take_shard(pool, layout, a->k);
    run->v = hy_op_take_shard(pool, layout, a->v), run->d_o = hy_op_take_shard(pool, layout, a->d_o);
    run->o = hy_op_take(pool, "o", T * (size_t)(run->H * run->DV) * real);
    run->lse = hy_op_take(pool, "lse", T * (size_t)run->H * real);
    run->dq = hy_op_take(pool, "dq", T * (size_t)(run->H * run->D) * real);
    run->dk = hy_op_take(pool, "dk", T * (size_t)(run->HKV * run->D) * real);
    run->dv = hy_op_take(pool, "dv", T * (size_t)(run->HKV * run->DV) * real);
    if (run->n_sinks > 0) {
        run->sinks = a->sinks->data;
        run->dsinks = hy_op_take(pool, "dsinks", (size_t)(run->H * run->n_sinks) * real);
    }
    run->work = hy_op_take(pool, "work", hy_sp_attn_work(sp, &dims, run));
}

static hy_status run_attention(hy_op_context *context, const attention *a, const char *path) {
    hy_op_pool pool = {.n = 0};
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
                .comm = context->world,
                .layout = layout,
                .lists = lists,
                .method = context->options.method};
    take_buffers(context, &pool, a, &sp, &run);
    HY_TRY_GOTO(status, hy_comm_agree(context->world, pool.status), done);
    hy_sp_attn_fwd(&sp, &run);
    hy_sp_attn_bwd(&sp, &run);
    hy_op_output out;
    hy_op_output_create(context, path, &out);
    hy_op_output_rows(context, &out, layout, "o", a->d_o->shape, run.o);
    hy_op_output_rows(context, &out, layout, "lse", HY_SHAPE(a->B, a->T, run.H), run.lse);
    hy_op_output_rows(context, &out, layout, "dq", a->q->shape, run.dq);
    hy_op_output_rows(context, &out, layout, "dk", a->k->shape, run.dk);
    hy_op_output_rows(context, &out, layout, "dv", a->v->shape, run.dv);
    if (run.n_sinks > 0)
        hy_op_output_sum(context, &out, "dsinks", a->sinks->shape, run.dsinks);
    status = hy_op_output_finish(context, &out);
done:
    hy_op_pool_free(&pool);
    hy_lists_destroy(lists);
    hy_layout_destroy(layout);
    return status;
}

hy_status hy_op_attention(hy_op_context *context, const char *in, const char *out) {
    hy_element real = hy_op_element(context);
    const hy_op_wanted wanted[] = {{"q", real, true},  {"k", real, true},      {"v", real, true},
                                   {"do", real, true}, {"sinks", real, false}, {"cu_seqlens", HY_ELEMENT_I64, false}};
    attention a = {0};
    HY_TRY(hy_op_input_read(context->world, in, wanted, (int)(sizeof wanted / sizeof wanted[0]), &a.in));
    a.q = hy_op_input_find(&a.in, "q"), a.k = hy_op_input_find(&a.in, "k");
    a.v = hy_op_input_find(&a.in, "v"), a.d_o = hy_op_input_find(&a.in, "do");
    a.sinks = hy_op_input_find(&a.in, "sinks");
    hy_status status = check_inputs(context, &a);
    if (status == HY_OK)
        status = run_attention(context, &a, out);
    hy_op_input_free(&a.in);
    return status;
}
