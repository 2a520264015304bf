/* Softmax attention over sharded sequences. Queries stay; blocks of keys and values come from other ranks and are
 * merged into the running (o, lse). A query at position p sees keys lo..p, lo the later of its document's start and p −
 * window + 1: causality, packing and window are that one interval.
 *
 * Source: ring attention (Liu, Zaharia, Abbeel 2023), all-gather of K and V (LASP-2H, Sun et al. 2025). */
#include <math.h>

#include "sp/attention/attention_internal.h"

enum { TILE_GROUP = 256 };

static hy_attn_args block_args(const hy_sp_attn *a) {
    return (hy_attn_args){.H = a->H, .HKV = a->HKV, .D = a->D, .DV = a->DV, .scale = a->scale};
}

/* Where activations are narrower than sums: room for o in forward, for dq, dk and dv in backward. */
static void cut_sums(const hy_layout_dims *dims, const hy_sp_attn *shape, size_t ssize, hy_carve *work,
                     hy_attn_scratch *s) {
    const int64_t o = shape->H * shape->DV, q = shape->H * shape->D;
    s->sums[0] = hy_carve_take(work, (size_t)(dims->T * (o > q ? o : q)) * ssize);
    s->sums[1] = hy_carve_take(work, (size_t)(dims->T * hy_attn_k_row(shape)) * ssize);
    s->sums[2] = hy_carve_take(work, (size_t)(dims->T * hy_attn_v_row(shape)) * ssize);
}

size_t hy_attn_scratch_cut(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape, char *base,
                           hy_attn_scratch *s) {
    hy_carve work = {.base = base};
    const size_t esize = hy_sp_size(sp, HY_ROLE_ACT), ssize = hy_sp_size(sp, HY_ROLE_STAT);
    const int64_t row = hy_attn_k_row(shape) + hy_attn_v_row(shape);
    hy_attn_args op = block_args(shape);
    op.nq = dims->frag_max;
    op.nk = dims->frag_max;
    s->lo = hy_carve_take(&work, (size_t)dims->T * sizeof(int64_t));
    s->delta = hy_carve_take(&work, (size_t)(dims->T * shape->H) * ssize);
    s->op_work = hy_carve_take(&work, sp->profile->attn_work(&op));
    if (shape->latent.rank > 0) {
        hy_latent_cut(sp, dims, shape, &work, s);
    }
    if (ssize != esize) {
        cut_sums(dims, shape, ssize, &work, s);
    }
    if (dims->size == 1) {
        return work.used;
    }
    if (sp->attention == HY_ATTENTION_ALLGATHER) {
        const size_t all = (size_t)(dims->size * dims->T_max * row);
        s->kv[0] = hy_carve_take(&work, all * ssize); /* the gradients that come back are stat */
        s->d_kv[0] = hy_carve_take(&work, all * ssize);
        return work.used;
    }
    for (int i = 0; i < 4; i++) {
        s->pieces[i] = hy_carve_take(&work, (size_t)dims->n_local * sizeof(hy_kv_piece));
    }
    for (int i = 0; i < 2; i++) {
        const size_t all = (size_t)(hy_kv_rows_max(dims, shape->window) * row);
        s->reqs[i] = hy_carve_take(&work, (size_t)(4 * dims->n_local) * sizeof(hy_req));
        s->kv[i] = hy_carve_take(&work, all * esize);
        s->d_kv[i] = hy_carve_take(&work, all * ssize);
        s->d_own[i] = hy_carve_take(&work, all * ssize);
    }
    return work.used;
}

void hy_sp_attn_need(hy_lists_needs *needs, const hy_sp_attn *shape) {
    hy_lists_need_key(needs, &needs->windows, shape->window);
}

size_t hy_sp_attn_work(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape) {
    hy_attn_scratch scratch = {0};
    return hy_attn_scratch_cut(sp, dims, shape, NULL, &scratch);
}

/* Queries first..first + n − 1 of fragment f against the keys of the block that any of them sees. */
static void compute_tile(hy_attn_call *c, const hy_fragment *f, int64_t first, int64_t n, const hy_kv_block *block) {
    const hy_sp_attn *a = c->a;
    const int64_t t = f->local + first;
    const int64_t begin = block->begin > c->s.lo[t] ? block->begin : c->s.lo[t];
    const int64_t seen = f->begin + first + n, end = block->begin + block->rows;
    const hy_attn_pair pair = {.q = t,
                               .nq = n,
                               .q_begin = f->begin + first,
                               .k_at = (begin - block->begin) * a->HKV * a->D,
                               .v_at = (begin - block->begin) * a->HKV * a->DV,
                               .nk = (end < seen ? end : seen) - begin,
                               .k_begin = begin};
    hy_attn_args op = block_args(a);
    op.pairs = &pair;
    op.n_pairs = 1;
    op.nq = pair.nq;
    op.nk = pair.nk;
    op.lo = c->s.lo;
    op.q = a->q;
    op.k = block->k;
    op.v = block->v;
    op.lse = a->lse;
    op.work = c->s.op_work;
    if (c->backward) {
        op.d_o = a->d_o;
        op.delta = c->s.delta;
        op.dq = c->dq;
        op.dk = block->d_k;
        op.dv = block->d_v;
        hy_attn_bwd(c->sp->device, &op);
    } else {
        op.o = c->o;
        hy_attn_fwd(c->sp->device, &op);
    }
}

/* Of `all` queries, how many per call: about as many multiplications as the device likes, but whole groups of those that
 * kernels share loads among. */
static int64_t tile_queries(const hy_attn_call *c, int64_t keys, int64_t all) {
    const int64_t products = keys * c->a->H * (c->a->D + c->a->DV), liked = c->sp->profile->tuning.attn_products;
    if (c->dims.size == 1 || liked == 0) {
        return all; /* nothing is in flight, or calls of any size suit */
    }
    const int64_t queries = liked / (products > 0 ? products : 1) / TILE_GROUP * TILE_GROUP;
    return queries > TILE_GROUP ? queries : TILE_GROUP;
}

/* How many of the fragment's queries see some key before position `end`: the first key never decreases. */
static int64_t queries_seeing(const hy_attn_call *c, const hy_fragment *f, int64_t end) {
    int64_t low = 0, high = f->len;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (c->s.lo[f->local + middle] < end) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

int64_t hy_attn_first_seen(const hy_attn_call *c, int64_t begin, int64_t end) {
    const hy_layout *layout = c->sp->layout;
    int64_t first = end;
    for (int64_t slot = 0; slot < layout->n_local; slot++) {
        const hy_fragment *f = &layout->frags[layout->local[slot]];
        const int64_t behind = begin > f->begin ? begin - f->begin : 0; /* queries before it see none of the keys */
        if (behind < f->len) {
            const int64_t lo = c->s.lo[f->local + behind], seen = lo > begin ? lo : begin;
            first = seen < first ? seen : first;
        }
    }
    return first;
}

void hy_attn_block(hy_attn_call *c, const hy_kv_block *block) {
    if (c->a->latent.rank > 0) {
        hy_attn_latent(c, block);
    } else {
        hy_attn_keys(c, block);
    }
}

void hy_attn_keys(hy_attn_call *c, const hy_kv_block *block) {
    const hy_layout *layout = c->sp->layout;
    for (int64_t slot = 0; slot < layout->n_local && block->rows > 0; slot++) {
        const hy_fragment *f = &layout->frags[layout->local[slot]];
        if (f->len == 0 || block->begin >= f->begin + f->len) {
            continue;
        }
        const int64_t n = queries_seeing(c, f, block->begin + block->rows);
        const int64_t step = tile_queries(c, block->rows, f->len);
        const int64_t behind = block->begin > f->begin ? block->begin - f->begin : 0;
        for (int64_t first = behind; first < n; first += step) {
            compute_tile(c, f, first, n - first < step ? n - first : step, block);
            hy_comm_progress(c->sp->comm);
        }
    }
}

void hy_attn_own_blocks(hy_attn_call *c) {
    const hy_layout *layout = c->sp->layout;
    for (int64_t slot = 0; slot < layout->n_local; slot++) {
        const hy_fragment *f = &layout->frags[layout->local[slot]];
        const size_t k_at = (size_t)(f->local * c->k_row), v_at = (size_t)(f->local * c->v_row);
        hy_attn_block(c, &(hy_kv_block){.begin = f->begin,
                                        .rows = f->len,
                                        .k = (const char *)c->a->k + k_at * c->esize,
                                        .v = (const char *)c->a->v + v_at * c->esize,
                                        .d_k = c->backward ? c->dk + k_at * c->ssize : NULL,
                                        .d_v = c->backward ? c->dv + v_at * c->ssize : NULL});
    }
}

/* Where sums begin: stat. */
static void set(hy_attn_call *c, void *y, int64_t n, double value) {
    hy_fill(c->sp->device, &(hy_fill_args){.n = n, .value = value, .y = y, .role = HY_ROLE_STAT});
}

/* A finished sum into the result, if it is not there. */
static void deliver(hy_attn_call *c, const char *sum, int64_t cols, void *result) {
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

static hy_attn_call begin_call(hy_sp *sp, hy_sp_attn *a, int backward) {
    const hy_layout *layout = sp->layout;
    hy_attn_call c = {.sp = sp,
                      .a = a,
                      .dims = hy_layout_dims_of(layout),
                      .esize = hy_sp_size(sp, HY_ROLE_ACT),
                      .ssize = hy_sp_size(sp, HY_ROLE_STAT),
                      .k_row = hy_attn_k_row(a),
                      .v_row = hy_attn_v_row(a),
                      .backward = backward};
    hy_attn_scratch_cut(sp, &c.dims, a, a->work, &c.s);
    const bool apart = c.s.sums[0] != NULL;
    c.o = apart ? c.s.sums[0] : a->o;
    c.dq = apart ? c.s.sums[0] : a->dq;
    c.dk = apart ? c.s.sums[1] : a->dk;
    c.dv = apart ? c.s.sums[2] : a->dv;
    for (int64_t t = 0; t < layout->T; t++) {
        int64_t reach = a->window > 0 ? layout->pos[t] - a->window + 1 : 0;
        c.s.lo[t] = layout->doc_start[t] > reach ? layout->doc_start[t] : reach;
    }
    return c;
}

static void run(hy_attn_call *c) {
    if (c->dims.size > 1 && c->sp->attention == HY_ATTENTION_ALLGATHER) {
        hy_attn_gather(c);
    } else {
        hy_attn_ring(c);
    }
}

static hy_attn_sink_args sink_args(const hy_attn_call *c) {
    const hy_sp_attn *a = c->a;
    return (hy_attn_sink_args){.T = c->sp->layout->T,
                               .H = a->H,
                               .N = a->n_sinks,
                               .sinks = a->sinks,
                               .lse = a->lse,
                               .delta = c->s.delta,
                               .dsinks = a->dsinks};
}

void hy_sp_attn_fwd(hy_sp *sp, hy_sp_attn *a) {
    hy_attn_call c = begin_call(sp, a, 0);
    set(&c, c.o, sp->layout->T * a->H * a->DV, 0);
    if (a->n_sinks > 0) {
        const hy_attn_sink_args sinks = sink_args(&c);
        hy_attn_sink_fwd(sp->device, &sinks);
    } else {
        set(&c, a->lse, sp->layout->T * a->H, -INFINITY);
    }
    run(&c);
    deliver(&c, c.o, a->H * a->DV, a->o);
}

void hy_sp_attn_bwd(hy_sp *sp, hy_sp_attn *a) {
    hy_attn_call c = begin_call(sp, a, 1);
    set(&c, c.dq, sp->layout->T * a->H * a->D, 0);
    set(&c, c.dk, sp->layout->T * c.k_row, 0);
    set(&c, c.dv, sp->layout->T * c.v_row, 0);
    hy_attn_delta(
        sp->device,
        &(hy_attn_delta_args){.rows = sp->layout->T * a->H, .DV = a->DV, .y = a->o, .d_o = a->d_o, .delta = c.s.delta});
    if (a->n_sinks > 0) {
        const hy_attn_sink_args sinks = sink_args(&c);
        hy_attn_sink_bwd(sp->device, &sinks);
    }
    run(&c);
    deliver(&c, c.dq, a->H * a->D, a->dq);
    deliver(&c, c.dk, c.k_row, a->dk);
    deliver(&c, c.dv, c.v_row, a->dv);
}

/* Rows of `owner` that `reader` sees in one sequence of one document: as hy_kv_pieces, without a layout at hand. */
static int64_t rows_between(const hy_layout_dims *dims, int owner, int reader, int64_t window) {
    int64_t F = hy_layout_sizes(dims->kind, dims->size, 0, 1, dims->len).n_frags, rows = 0;
    for (int64_t i = 0; i < F; i++) {
        int64_t begin = i * dims->len / F, end = (i + 1) * dims->len / F, first = end;
        for (int64_t q = i + 1; q < F; q++) {
            int64_t from = q * dims->len / F;
            if ((q < dims->size ? q : F - 1 - q) == reader && from < (q + 1) * dims->len / F) {
                int64_t reach = window > 0 && from - window + 1 > 0 ? from - window + 1 : 0;
                first = reach < first ? reach : first;
            }
        }
        rows += (i < dims->size ? i : F - 1 - i) == owner ? end - (first > begin ? first : begin) : 0;
    }
    return rows;
}

void hy_sp_attn_bytes(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape, int64_t *fwd,
                      int64_t *bwd) {
    const int64_t cols = hy_attn_k_row(shape) + hy_attn_v_row(shape);
    const int64_t row = cols * (int64_t)hy_sp_size(sp, HY_ROLE_ACT),
                  d_row = cols * (int64_t)hy_sp_size(sp, HY_ROLE_STAT);
    *fwd = *bwd = 0;
    if (dims->size > 1 && sp->attention == HY_ATTENTION_ALLGATHER) {
        *fwd = (dims->size - 1) * dims->T_max * row;
        *bwd = *fwd + (dims->size - 1) * dims->T_max * d_row;
        return;
    }
    for (int other = 0; other < dims->size; other++) {
        if (other != dims->rank) {
            int64_t sent = dims->n_seq * rows_between(dims, dims->rank, other, shape->window) * row;
            *fwd += sent;
            *bwd += sent + dims->n_seq * rows_between(dims, other, dims->rank, shape->window) * d_row;
        }
    }
}
