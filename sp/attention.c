/* Softmax attention over sharded sequences. Queries stay; blocks of keys and values come from other ranks and are merged into the
 * running (o, lse). A query at position p sees keys lo..p, lo the later of its document's start and p − window + 1: causality,
 * packing and window are that one interval.
 *
 * Source: ring attention (Liu, Zaharia, Abbeel 2023), all-gather of K and V (LASP-2H, Sun et al. 2025). */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "sp/attention_internal.h"

static hy_attn_args block_args(const hy_sp_attn *a) {
    return (hy_attn_args){.H = a->H, .HKV = a->HKV, .D = a->D, .DV = a->DV, .scale = a->scale};
}

static char *take(char **at, size_t *total, size_t bytes) {
    char *here = *at ? *at + *total : NULL;
    *total += (bytes + HY_ALIGN - 1) / HY_ALIGN * HY_ALIGN;
    return here;
}

size_t hy_attn_scratch_cut(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape, char *base, hy_attn_scratch *s) {
    size_t total = 0, esize = hy_dtype_size(sp->device->table.dtype);
    int64_t row = shape->HKV * (shape->D + shape->DV);
    hy_attn_args op = block_args(shape);
    op.nq = dims->frag_max;
    op.nk = dims->frag_max;
    s->lo = (int64_t *)(void *)take(&base, &total, (size_t)dims->T * sizeof(int64_t));
    s->delta = take(&base, &total, (size_t)(dims->T * shape->H) * esize);
    s->op_work = take(&base, &total, sp->device->table.attn_work(&op));
    if (dims->size == 1) {
        return total;
    }
    if (sp->attention == HY_ATTENTION_ALLGATHER) {
        size_t all = (size_t)(dims->size * dims->T_max * row) * esize;
        s->kv[0] = take(&base, &total, all);
        s->d_kv[0] = take(&base, &total, all);
        s->d_own[0] = take(&base, &total, (size_t)(dims->T_max * row) * esize);
        return total;
    }
    for (int i = 0; i < 4; i++) {
        s->pieces[i] = (hy_kv_piece *)(void *)take(&base, &total, (size_t)dims->n_local * sizeof(hy_kv_piece));
    }
    for (int i = 0; i < 2; i++) {
        size_t bytes = (size_t)(hy_kv_rows_max(dims, shape->window) * row) * esize;
        s->reqs[i] = (hy_req *)(void *)take(&base, &total, (size_t)(4 * dims->n_local) * sizeof(hy_req));
        s->kv[i] = take(&base, &total, bytes);
        s->d_kv[i] = take(&base, &total, bytes);
        s->d_own[i] = take(&base, &total, bytes);
    }
    return total;
}

size_t hy_sp_attn_work(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape) {
    hy_attn_scratch scratch = {0};
    return hy_attn_scratch_cut(sp, dims, shape, NULL, &scratch);
}

void hy_attn_block(hy_attn_call *c, int64_t begin, int64_t rows, const char *k, const char *v, char *d_k, char *d_v) {
    const hy_layout *layout = c->sp->layout;
    const hy_sp_attn *a = c->a;
    for (int64_t slot = 0; slot < layout->n_local && rows > 0; slot++) {
        const hy_fragment *f = &layout->frags[layout->local[slot]];
        if (f->len == 0 || begin >= f->begin + f->len || begin + rows <= hy_first_key(f, a->window)) {
            continue;
        }
        size_t q_at = (size_t)(f->local * a->H * a->D) * c->esize, o_at = (size_t)(f->local * a->H * a->DV) * c->esize;
        size_t row_at = (size_t)(f->local * a->H) * c->esize;
        hy_attn_args op = block_args(a);
        op.nq = f->len;
        op.q_begin = f->begin;
        op.nk = rows;
        op.k_begin = begin;
        op.lo = c->s.lo + f->local;
        op.q = (const char *)a->q + q_at;
        op.k = k;
        op.v = v;
        op.o = (char *)a->o + o_at;
        op.lse = (char *)a->lse + row_at;
        op.work = c->s.op_work;
        if (c->backward) {
            op.d_o = (const char *)a->d_o + o_at;
            op.delta = c->s.delta + row_at;
            op.dq = (char *)a->dq + q_at;
            op.dk = d_k;
            op.dv = d_v;
            hy_attn_bwd(c->sp->device, &op);
        } else {
            hy_attn_fwd(c->sp->device, &op);
        }
        hy_comm_progress(c->sp->comm);
    }
}

static void zero(hy_attn_call *c, void *y, int64_t n, double value) {
    hy_fill(c->sp->device, &(hy_fill_args){.n = n, .value = value, .y = y});
}

static hy_attn_call begin_call(hy_sp *sp, hy_sp_attn *a, int backward) {
    const hy_layout *layout = sp->layout;
    hy_attn_call c = {.sp = sp, .a = a, .dims = hy_layout_dims_of(layout), .esize = hy_dtype_size(sp->device->table.dtype),
                      .k_row = a->HKV * a->D, .v_row = a->HKV * a->DV, .backward = backward};
    hy_attn_scratch_cut(sp, &c.dims, a, a->work, &c.s);
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

void hy_sp_attn_fwd(hy_sp *sp, hy_sp_attn *a) {
    hy_attn_call c = begin_call(sp, a, 0);
    zero(&c, a->o, sp->layout->T * a->H * a->DV, 0);
    zero(&c, a->lse, sp->layout->T * a->H, -INFINITY);
    run(&c);
}

void hy_sp_attn_bwd(hy_sp *sp, hy_sp_attn *a) {
    hy_attn_call c = begin_call(sp, a, 1);
    zero(&c, a->dq, sp->layout->T * a->H * a->D, 0);
    zero(&c, a->dk, sp->layout->T * c.k_row, 0);
    zero(&c, a->dv, sp->layout->T * c.v_row, 0);
    hy_attn_args op = block_args(a);
    op.nq = sp->layout->T;
    op.o = a->o;
    op.d_o = a->d_o;
    op.delta = c.s.delta;
    hy_attn_delta(sp->device, &op);
    run(&c);
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

void hy_sp_attn_bytes(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape, int64_t *fwd, int64_t *bwd) {
    int64_t row = shape->HKV * (shape->D + shape->DV) * (int64_t)hy_dtype_size(sp->device->table.dtype);
    *fwd = *bwd = 0;
    if (dims->size > 1 && sp->attention == HY_ATTENTION_ALLGATHER) {
        *fwd = dims->T_max * row;
        *bwd = *fwd + (dims->size - 1) * dims->T_max * row;
        return;
    }
    for (int other = 0; other < dims->size; other++) {
        if (other != dims->rank) {
            int64_t sent = dims->n_seq * rows_between(dims, dims->rank, other, shape->window) * row;
            *fwd += sent;
            *bwd += sent + dims->n_seq * rows_between(dims, other, dims->rank, shape->window) * row;
        }
    }
}
