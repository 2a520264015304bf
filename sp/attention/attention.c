/* Softmax attention over sharded sequences. Queries stay; blocks of keys and values come from other ranks and are
 * merged into the running (o, lse). A query at position p sees keys lo..p, lo the later of its document's start and p −
 * window + 1: causality, packing and window are that one interval.
 *
 * Source: ring attention (Liu, Zaharia, Abbeel 2023), all-gather of K and V (LASP-2H, Sun et al. 2025). What computes whole sequences of some
 * heads instead (attention_heads.c) calls this for them as on one rank. */
#include <math.h>

#include "sp/attention/attention_internal.h"

static hy_attn_args block_args(const hy_sp_attn *a) {
    return (hy_attn_args){.H = a->H, .HKV = a->HKV, .D = a->D, .DV = a->DV, .scale = a->scale};
}

/* Where activations are narrower than sums: room for o in forward, for dq, dk and dv in backward. */
static void cut_attn_sums(const hy_layout_dims *dims, const hy_sp_attn *shape, size_t ssize, hy_carve *work,
                          hy_attn_scratch *s) {
    const int64_t o = shape->H * shape->DV, q = shape->H * shape->D;
    s->sums[0] = hy_carve_take(work, (size_t)(dims->T * (o > q ? o : q)) * ssize);
    s->sums[1] = hy_carve_take(work, (size_t)(dims->T * hy_attn_k_row(shape)) * ssize);
    s->sums[2] = hy_carve_take(work, (size_t)(dims->T * hy_attn_v_row(shape)) * ssize);
}

/* Bytes of work, and scratch pointers from base. */
static size_t cut_attn_scratch(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape, char *base,
                               hy_attn_scratch *s) {
    hy_carve work = {.base = base};
    const size_t esize = hy_sp_size(sp, HY_ROLE_ACT), ssize = hy_sp_size(sp, HY_ROLE_STAT);
    hy_attn_args op = block_args(shape);
    op.nq = dims->frag_max;
    op.nk = dims->frag_max;
    s->delta = hy_carve_take(&work, (size_t)(dims->T * shape->H) * ssize);
    s->op_work = hy_carve_take(&work, sp->profile->attn_work(&op));
    if (shape->latent.rank > 0) {
        hy_latent_cut(sp, dims, shape, &work, s);
    }
    if (sp->carries) {
        hy_attn_carried_cut(sp, dims, shape, &work, s);
    }
    if (ssize != esize) {
        cut_attn_sums(dims, shape, ssize, &work, s);
    }
    if (dims->size > 1) {
        hy_attn_row_of(sp->method.attention)->cut(sp, dims, shape, &work, s);
    }
    return work.used;
}

static hy_attn_need need_of(const hy_sp_attn *shape) {
    const int64_t products = shape->products > 0 ? shape->products : shape->H * (shape->D + shape->DV);
    return (hy_attn_need){.window = shape->window, .products = products, .latent = shape->latent.rank > 0};
}

void hy_sp_attn_need(hy_lists_needs *needs, const hy_sp_attn *shape) {
    const hy_attn_need need = need_of(shape);
    hy_lists_need_attention(needs, &need);
    hy_lists_need_attn_heads(needs, &(hy_attn_heads){shape->H, shape->HKV, shape->D, shape->DV, shape->scale});
    const hy_attn_by_heads *by_heads = hy_attn_row_of(needs->method.attention)->by_heads;
    if (by_heads) {
        const hy_heads heads = {shape->H, shape->HKV};
        const hy_head_kind keys = shape->latent.rank > 0 ? HY_HEADS_COMMON : HY_HEADS_SHARED;
        hy_lists_need_heads(needs, &(hy_head_need){heads, HY_HEADS_MAIN, by_heads->near});
        hy_lists_need_heads(needs, &(hy_head_need){heads, keys, by_heads->near});
    }
}

/* NULL: by hops, or on one rank. */
static const hy_attn_by_heads *attn_by_heads(const hy_sp *sp, int size) {
    return size > 1 ? hy_attn_row_of(sp->method.attention)->by_heads : NULL;
}

size_t hy_sp_attn_kept(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape) {
    const hy_attn_by_heads *heads = attn_by_heads(sp, dims->size);
    return heads ? heads->kept(sp, dims, shape) : sp->carries ? hy_attn_carried_kept(sp, dims, shape) : 0;
}

size_t hy_sp_attn_work(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape) {
    hy_attn_scratch scratch = {0};
    const hy_attn_by_heads *heads = attn_by_heads(sp, dims->size);
    if (heads) {
        return heads->work(sp, dims, shape);
    }
    return cut_attn_scratch(sp, dims, shape, NULL, &scratch);
}

void hy_attn_pairs_compute(hy_attn_call *c, const hy_attn_pairs *pairs, const hy_kv_rows *keys) {
    const hy_sp_attn *a = c->a;
    hy_attn_args op = block_args(a);
    op.pairs = pairs->first;
    op.n_pairs = pairs->n;
    op.nq = pairs->nq;
    op.nk = pairs->nk;
    op.sight = pairs->sight;
    op.known = pairs->known;
    op.lo = pairs->lo;
    op.q = a->q;
    op.k = keys->k;
    op.v = keys->v;
    op.lse = a->lse;
    op.work = c->s.op_work;
    if (c->backward) {
        op.d_o = a->d_o;
        op.delta = a->delta ? a->delta : c->s.delta;
        op.dq = c->dq;
        op.dk = keys->d_k;
        op.dv = keys->d_v;
        hy_attn_bwd(c->sp->device, &op);
    } else {
        op.o = c->o;
        hy_attn_fwd(c->sp->device, &op);
    }
}

static void compute_group(hy_attn_call *c, const hy_attn_group *group, const hy_kv_rows *keys) {
    const hy_attn_pairs pairs = {.first = c->lists->pairs + group->first,
                                 .n = group->n,
                                 .nq = group->nq,
                                 .nk = group->nk,
                                 .lo = c->lo,
                                 .sight = group->sight,
                                 .known = group->known};
    hy_attn_pairs_compute(c, &pairs, keys);
}

void hy_attn_part_compute(hy_attn_call *c, const hy_attn_part *part, const hy_kv_rows *keys) {
    const hy_attn_group *groups = c->apart ? c->lists->apart + part->first_apart : c->lists->groups + part->first_group;
    for (int64_t i = 0; i < (c->apart ? part->n_apart : part->n_groups); i++) {
        compute_group(c, &groups[i], keys);
        hy_comm_progress(c->sp->comm);
    }
}

hy_kv_rows hy_attn_rows_from(const hy_attn_call *c, const hy_kv_rows *rows, int64_t first, int64_t k_row,
                             int64_t v_row) {
    const size_t k = (size_t)(first * k_row), v = (size_t)(first * v_row); /* elements */
    hy_kv_rows some = {.k = rows->k + k * c->esize, .v = rows->v + v * c->esize};
    if (c->backward) {
        some.d_k = rows->d_k + k * c->ssize;
        some.d_v = rows->d_v + v * c->ssize;
    }
    return some;
}

void hy_attn_hop_compute(hy_attn_call *c, const hy_attn_hop *hop, const hy_kv_rows *rows) {
    for (int64_t i = 0; i < hop->n_parts; i++) {
        if (c->a->latent.rank > 0) {
            hy_attn_latent(c, &hop->parts[i], rows);
        } else {
            const hy_kv_rows keys = hy_attn_rows_from(c, rows, hop->parts[i].row, c->k_row, c->v_row);
            hy_attn_part_compute(c, &hop->parts[i], &keys);
        }
    }
}

hy_kv_rows hy_attn_own_rows(const hy_attn_call *c) {
    return (hy_kv_rows){.k = c->a->k, .v = c->a->v, .d_k = c->dk, .d_v = c->dv};
}

/* Where sums begin: stat. */
static void start_sum(hy_attn_call *c, void *y, int64_t n, double value) {
    hy_fill(c->sp->device, &(hy_fill_args){.n = n, .value = value, .y = y, .role = HY_ROLE_STAT});
}

/* A finished sum into the result, if it is not there. */
static void deliver_sum(hy_attn_call *c, const char *sum, int64_t cols, void *result) {
    if (sum != result) {
        hy_copy2d(c->sp->device, &(hy_copy2d_args){.rows = c->sp->layout->T,
                                                   .cols = cols,
                                                   .src_ld = cols,
                                                   .dst_ld = cols,
                                                   .src = sum,
                                                   .dst = result,
                                                   .from = HY_ROLE_STAT,
                                                   .to = HY_ROLE_ACT});
    }
}

/* Whether some call of these heads has a plan. */
static bool has_plan(const hy_attn_call *c) {
    hy_attn_args op = block_args(c->a);
    bool has = false;
    op.known.nq = op.known.nk = hy_attn_known_rows(c->sp->profile, &c->dims);
    for (op.sight = HY_ATTN_ALL; op.known.nq > 0 && op.sight <= HY_ATTN_CAUSAL; op.sight++) {
        has = has || hy_device_has_attn_plan(c->sp->device, &op);
    }
    return has;
}

static hy_attn_call attn_call_of(hy_sp *sp, hy_sp_attn *a, int backward) {
    hy_attn_call c = {.sp = sp,
                      .a = a,
                      .dims = hy_layout_dims_of(sp->layout),
                      .esize = hy_sp_size(sp, HY_ROLE_ACT),
                      .ssize = hy_sp_size(sp, HY_ROLE_STAT),
                      .k_row = hy_attn_k_row(a),
                      .v_row = hy_attn_v_row(a),
                      .backward = backward};
    cut_attn_scratch(sp, &c.dims, a, a->work, &c.s);
    const bool apart = c.s.sums[0] != NULL;
    c.o = apart ? c.s.sums[0] : a->o;
    c.dq = apart ? c.s.sums[0] : a->dq;
    c.dk = apart && !a->parts ? c.s.sums[1] : a->dk;
    c.dv = apart && !a->parts ? c.s.sums[2] : a->dv;
    const hy_attn_need need = need_of(a);
    c.lists = hy_lists_attention(sp->lists, &need);
    c.lo = hy_lists_window(sp->lists, a->window)->lo.device;
    c.apart = !backward && has_plan(&c);
    return c;
}

static void compute_attention(hy_attn_call *c) {
    const hy_kv_rows own = hy_attn_own_rows(c);
    hy_attn_hop_compute(c, &c->lists->hops[0], &own);
    if (c->dims.size > 1) {
        hy_attn_row_of(c->sp->method.attention)->finish(c);
    }
    if (c->sp->carries) {
        hy_attn_carried_compute(c);
    }
}

static hy_attn_sink_args sink_args(const hy_attn_call *c) {
    const hy_sp_attn *a = c->a;
    return (hy_attn_sink_args){.T = c->sp->layout->T,
                               .H = a->H,
                               .N = a->n_sinks,
                               .sinks = a->sinks,
                               .lse = a->lse,
                               .delta = c->a->delta ? c->a->delta : c->s.delta,
                               .dsinks = a->dsinks};
}

/* This call's START; whether it is for FINISH too. */
static bool post_attention(hy_attn_call *c) {
    if (hy_sp_starts(c->sp)) {
        hy_attn_row_of(c->sp->method.attention)->post(c);
    }
    return hy_sp_finishes(c->sp);
}

void hy_sp_attn_fwd(hy_sp *sp, hy_sp_attn *a) {
    const hy_attn_by_heads *heads = attn_by_heads(sp, sp->layout->size);
    if (heads) {
        heads->fwd(sp, a);
        return;
    }
    hy_attn_call c = attn_call_of(sp, a, 0);
    if (sp->carries && sp->part != HY_SP_FINISH) {
        hy_attn_carried_load(&c);
    }
    if (!post_attention(&c)) {
        return;
    }
    start_sum(&c, c.o, sp->layout->T * a->H * a->DV, 0);
    if (a->n_sinks > 0) {
        const hy_attn_sink_args sinks = sink_args(&c);
        hy_attn_sink_fwd(sp->device, &sinks);
    } else {
        start_sum(&c, a->lse, sp->layout->T * a->H, -INFINITY);
    }
    compute_attention(&c);
    deliver_sum(&c, c.o, a->H * a->DV, a->o);
    if (sp->carries) {
        hy_attn_carried_store(&c);
    }
}

void hy_sp_attn_bwd(hy_sp *sp, hy_sp_attn *a) {
    const hy_attn_by_heads *heads = attn_by_heads(sp, sp->layout->size);
    if (heads) {
        heads->bwd(sp, a);
        return;
    }
    hy_attn_call c = attn_call_of(sp, a, 1);
    if (!post_attention(&c)) {
        return;
    }
    start_sum(&c, c.dq, sp->layout->T * a->H * a->D, 0);
    start_sum(&c, c.dk, sp->layout->T * c.k_row, 0);
    start_sum(&c, c.dv, sp->layout->T * c.v_row, 0);
    if (!a->delta) {
        hy_attn_delta(sp->device,
                      &(hy_attn_delta_args){
                          .rows = sp->layout->T * a->H, .DV = a->DV, .y = a->o, .d_o = a->d_o, .delta = c.s.delta});
    }
    if (a->n_sinks > 0) {
        const hy_attn_sink_args sinks = sink_args(&c);
        hy_attn_sink_bwd(sp->device, &sinks);
    }
    compute_attention(&c);
    deliver_sum(&c, c.dq, a->H * a->D, a->dq);
    deliver_sum(&c, c.dk, c.k_row, a->dk);
    deliver_sum(&c, c.dv, c.v_row, a->dv);
}

const hy_attn_row *hy_attn_row_of(hy_attention_method method) {
#define HY_X(value, name, row) [value] = &hy_attn_row_##row,
    static const hy_attn_row *const rows[] = {HY_ATTENTION_METHODS(HY_X)};
#undef HY_X
    return rows[method];
}

const char *hy_sp_attn_title(const hy_sp_method *method, bool latent) {
    const hy_attn_row *row = hy_attn_row_of(method->attention);
    return latent ? row->latent_title : row->title;
}
