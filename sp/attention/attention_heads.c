/* Attention by heads: ranks change tokens for heads, each computes whole sequences of its query heads with the key heads they read, as one rank
 * alone would, and the results go back to where the tokens are. Queries, keys, values and log-sum-exps of own heads are kept, so that backward
 * brings only gradients. Gradients of keys that several ranks read are sums over these ranks, made where the tokens are. Of a latent every
 * rank with a head gets all rows, and makes the keys of its heads.
 *
 * `2d`: only ranks that are near each other change tokens for heads; ranks with the same place in all groups then are a ring, in which keys and values
 * of these heads go round. Groups are equal, so of nodes that are not the greatest common divisor of a node's ranks and all is taken.
 *
 * Source: DeepSpeed-Ulysses (Jacobs et al. 2023); both: USP (Fang, Zhao 2024), LoongTrain (Gu et al. 2024). Here heads need not divide, keys may be
 * fewer than ranks. */
#include "sp/attention/attention_internal.h"
#include "sp/head_exchange.h"

typedef struct heads_attn {
    hy_sp whole; /* of all tokens; 2d: of those of the group */
    hy_layout_dims dims;
    hy_sp_attn sub; /* of own heads */
    hy_head_exchange x;
    hy_head_range main, keys;
    int64_t k_row, v_row; /* elements of a key head's part of a row, or of a row of a latent */
    hy_head_kind k_kind;
    char *q, *k, *v, *lse;        /* kept: of own heads */
    char *o, *d_o, *dq, *dk, *dv; /* likewise, scratch */
    char *delta, *own_delta;      /* of own heads; of own tokens */
    hy_head_move move_q, move_k, move_v, move_o, move_lse, move_delta;
} heads_attn;

static heads_attn heads_attn_of(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *a) {
    const bool near = hy_attn_row_of(sp->method.attention)->by_heads->near, latent = a->latent.rank > 0;
    const int members = near ? hy_sp_group_ranks(&sp->method, dims->size) : dims->size, own = dims->rank % members;
    const hy_heads heads = {a->H, a->HKV};
    heads_attn c = {.dims = hy_head_outer(dims, members), .whole = *sp, .sub = *a};
    hy_heads_open(&c.x, sp, dims, members, &heads);
    c.x.near = near;
    c.main = hy_head_range_of(&heads, HY_HEADS_MAIN, members, own);
    c.keys = hy_head_range_of(&heads, HY_HEADS_SHARED, members, own);
    c.k_kind = latent ? HY_HEADS_COMMON : HY_HEADS_SHARED;
    c.k_row = latent ? a->latent.rank : a->D;
    c.v_row = latent ? a->latent.rope : a->DV;
    c.sub.H = c.main.n;
    c.sub.HKV = c.keys.n;
    c.sub.products = a->H * (a->D + a->DV);
    c.whole.part = HY_SP_WHOLE;
    c.whole.stride = members;
    if (near) {
        c.whole.method.attention = HY_ATTENTION_RING;
    }
    if (sp->lists) { /* not while sizes are planned */
        c.whole.lists = near ? sp->lists->near : sp->lists->whole;
        c.whole.layout = near ? sp->lists->near_layout : sp->lists->whole_layout;
    }
    return c;
}

/* Room for all tokens of n heads. */
static char *take_tokens(const heads_attn *c, int64_t n, int64_t width, hy_role role, hy_carve *carve) {
    return hy_carve_take(carve, (size_t)(c->dims.T * n * width) * hy_sp_size(&c->whole, role));
}

/* Key heads, or the one row of a latent, that this rank has. */
static int64_t key_entries(const heads_attn *c) {
    return c->k_kind == HY_HEADS_COMMON ? c->main.n > 0 : c->keys.n;
}

static void cut_kept(heads_attn *c, hy_carve *kept) {
    c->q = take_tokens(c, c->main.n, c->sub.D, HY_ROLE_ACT, kept);
    c->k = take_tokens(c, key_entries(c), c->k_row, HY_ROLE_ACT, kept);
    c->v = take_tokens(c, key_entries(c), c->v_row, HY_ROLE_ACT, kept);
    c->lse = take_tokens(c, c->main.n, 1, HY_ROLE_STAT, kept);
}

static void cut_sub_work(heads_attn *c, hy_carve *work) {
    if (c->main.n > 0) {
        c->sub.work = hy_carve_take(work, hy_sp_attn_work(&c->whole, &c->dims, &c->sub));
    }
}

/* What comes and what goes is never on its way at once, and shares a place. */
static void cut_fwd(heads_attn *c, hy_carve *work) {
    hy_carve in = *work, out = *work;
    c->move_k = hy_head_move_cut(&c->x, "attention K to heads", c->k_kind, c->k_row, HY_ROLE_ACT, false, &in);
    c->move_v = hy_head_move_cut(&c->x, "attention V to heads", c->k_kind, c->v_row, HY_ROLE_ACT, false, &in);
    c->move_q = hy_head_move_cut(&c->x, "attention Q to heads", HY_HEADS_MAIN, c->sub.D, HY_ROLE_ACT, false, &in);
    c->move_o = hy_head_move_cut(&c->x, "attention O to tokens", HY_HEADS_MAIN, c->sub.DV, HY_ROLE_ACT, true, &out);
    c->move_lse = hy_head_move_cut(&c->x, "attention lse to tokens", HY_HEADS_MAIN, 1, HY_ROLE_STAT, true, &out);
    work->used = in.used > out.used ? in.used : out.used;
    c->o = take_tokens(c, c->main.n, c->sub.DV, HY_ROLE_ACT, work);
    cut_sub_work(c, work);
}

static void cut_bwd(heads_attn *c, hy_carve *work) {
    const hy_head_range rows = hy_head_range_of(&c->x.heads, c->k_kind, c->x.members, c->x.dims.rank % c->x.members);
    const hy_role role = rows.parts > 1 ? HY_ROLE_STAT : HY_ROLE_ACT; /* of gradients of keys */
    c->sub.parts = rows.parts > 1;
    c->own_delta = hy_carve_take(work, (size_t)(c->x.dims.T * c->main.total) * hy_sp_size(&c->whole, HY_ROLE_STAT));
    hy_carve in = *work, out = *work;
    c->move_o = hy_head_move_cut(&c->x, "attention dO to heads", HY_HEADS_MAIN, c->sub.DV, HY_ROLE_ACT, false, &in);
    c->move_delta = hy_head_move_cut(&c->x, "attention dO·O to heads", HY_HEADS_MAIN, 1, HY_ROLE_STAT, false, &in);
    c->move_q = hy_head_move_cut(&c->x, "attention dQ to tokens", HY_HEADS_MAIN, c->sub.D, HY_ROLE_ACT, true, &out);
    c->move_k = hy_head_move_cut(&c->x, "attention dK to tokens", c->k_kind, c->k_row, role, true, &out);
    c->move_v = hy_head_move_cut(&c->x, "attention dV to tokens", c->k_kind, c->v_row, role, true, &out);
    work->used = in.used > out.used ? in.used : out.used;
    c->d_o = take_tokens(c, c->main.n, c->sub.DV, HY_ROLE_ACT, work);
    c->delta = take_tokens(c, c->main.n, 1, HY_ROLE_STAT, work);
    c->dq = take_tokens(c, c->main.n, c->sub.D, HY_ROLE_ACT, work);
    c->dk = take_tokens(c, key_entries(c), c->k_row, role, work);
    c->dv = take_tokens(c, key_entries(c), c->v_row, role, work);
    cut_sub_work(c, work);
}

static size_t heads_kept(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape) {
    heads_attn c = heads_attn_of(sp, dims, shape);
    hy_carve kept = {0};
    cut_kept(&c, &kept);
    return kept.used;
}

static size_t heads_work(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape) {
    heads_attn fwd = heads_attn_of(sp, dims, shape), bwd = fwd;
    hy_carve of_fwd = {0}, of_bwd = {0};
    cut_fwd(&fwd, &of_fwd);
    cut_bwd(&bwd, &of_bwd);
    return of_fwd.used > of_bwd.used ? of_fwd.used : of_bwd.used;
}

static void *offset_by(const void *base, int64_t elements, size_t element) {
    return base ? (char *)(uintptr_t)base + (size_t)elements * element : NULL;
}

/* Of parameters, those of own heads. */
static heads_attn heads_begin(hy_sp *sp, hy_sp_attn *a, void (*cut)(heads_attn *, hy_carve *)) {
    const hy_layout_dims dims = hy_layout_dims_of(sp->layout);
    heads_attn c = heads_attn_of(sp, &dims, a);
    const int64_t sinks = c.main.begin * a->n_sinks;
    const int64_t w = c.keys.begin * (a->D - a->latent.rope + a->DV) * a->latent.rank;
    cut_kept(&c, &(hy_carve){.base = a->kept});
    cut(&c, &(hy_carve){.base = a->work});
    c.sub.sinks = offset_by(a->sinks, sinks, hy_sp_size(sp, HY_ROLE_STAT));
    c.sub.dsinks = offset_by(a->dsinks, sinks, hy_sp_size(sp, HY_ROLE_GRAD));
    c.sub.latent.w = offset_by(a->latent.w, w, hy_sp_size(sp, HY_ROLE_WEIGHT));
    c.sub.latent.dw = offset_by(a->latent.dw, w, hy_sp_size(sp, HY_ROLE_GRAD));
    c.sub.q = c.q;
    c.sub.k = c.k;
    c.sub.v = c.v;
    c.sub.lse = c.lse;
    return c;
}

/* START knows no q. */
static void heads_fwd(hy_sp *sp, hy_sp_attn *a) {
    heads_attn c = heads_begin(sp, a, cut_fwd);
    const hy_head_array keys[] = {{&c.move_k, a->k, c.k}, {&c.move_v, a->v, c.v}}, queries[] = {{&c.move_q, a->q, c.q}};
    const hy_head_array results[] = {{&c.move_o, c.o, a->o}, {&c.move_lse, c.lse, a->lse}};
    if (hy_sp_starts(sp)) {
        hy_heads_post(&c.x, keys, 2);
    }
    if (!hy_sp_finishes(sp)) {
        return;
    }
    hy_heads_post(&c.x, queries, 1);
    hy_heads_take(&c.x, keys, 2);
    hy_heads_take(&c.x, queries, 1);
    if (c.main.n > 0) {
        c.sub.o = c.o;
        hy_sp_attn_fwd(&c.whole, &c.sub);
    }
    hy_heads_post(&c.x, results, 2);
    hy_heads_take(&c.x, results, 2);
}

static void heads_bwd(hy_sp *sp, hy_sp_attn *a) {
    heads_attn c = heads_begin(sp, a, cut_bwd);
    const hy_head_array in[] = {{&c.move_o, a->d_o, c.d_o}, {&c.move_delta, c.own_delta, c.delta}};
    const hy_head_array results[] = {{&c.move_q, c.dq, a->dq}, {&c.move_k, c.dk, a->dk}, {&c.move_v, c.dv, a->dv}};
    if (hy_sp_starts(sp)) {
        hy_attn_delta(sp->device,
                      &(hy_attn_delta_args){
                          .rows = sp->layout->T * a->H, .DV = a->DV, .y = a->o, .d_o = a->d_o, .delta = c.own_delta});
        hy_heads_post(&c.x, in, 2);
    }
    if (!hy_sp_finishes(sp)) {
        return;
    }
    hy_heads_take(&c.x, in, 2);
    if (c.main.n > 0) {
        c.sub.d_o = c.d_o;
        c.sub.delta = c.delta;
        c.sub.dq = c.dq;
        c.sub.dk = c.dk;
        c.sub.dv = c.dv;
        hy_sp_attn_bwd(&c.whole, &c.sub);
    }
    hy_heads_post(&c.x, results, 3);
    hy_heads_take(&c.x, results, 3);
}

#define BY_HEADS .kept = heads_kept, .work = heads_work, .fwd = heads_fwd, .bwd = heads_bwd
static const hy_attn_by_heads by_heads = {BY_HEADS}, by_heads_near = {.near = true, BY_HEADS};

const hy_attn_row hy_attn_row_heads = {
    .title = "heads all-to-all", .latent_title = "latent to heads", .by_heads = &by_heads};
const hy_attn_row hy_attn_row_2d = {
    .title = "heads and ring", .latent_title = "latent to heads and ring", .by_heads = &by_heads_near};
