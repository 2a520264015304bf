/* Causal convolution over sharded sequences. A run that continues a document is cut in two: its edge, the first W−1
 * tokens, needs the halo from other ranks; the inner tokens take rows of x as theirs. While the halo travels, forward
 * computes everything but the edges. Backward begins with the edges, whose gradients of the halo travel while the rest
 * is computed; the inner tokens' gradients of their halo are added to those of the rows that served as it. */
#include "sp/halo.h"

typedef struct conv_call {
    hy_halo halo;
    hy_run *edge;  /* [n_local] edges of the runs that continue a document */
    char *d_halo;  /* backward: [n_local,W−1,C] */
    char *d_inner; /* backward: [W−1,C] */
} conv_call;

static size_t cut(conv_call *c, hy_sp *sp, const hy_layout_dims *dims, int64_t C, int64_t W, bool backward,
                  hy_carve *work) {
    hy_halo_open(&c->halo, sp, dims, C, W, backward, work);
    c->edge = hy_carve_take(work, (size_t)dims->n_local * sizeof(hy_run));
    if (backward) {
        c->d_halo = hy_carve_take(work, (size_t)(dims->n_local * c->halo.rows) * c->halo.row_bytes);
        c->d_inner = hy_carve_take(work, (size_t)c->halo.rows * c->halo.row_bytes);
    }
    return work->used;
}

void hy_sp_conv_need(hy_lists_needs *needs, int64_t W) {
    (void)needs;
    (void)W;
}

size_t hy_sp_conv_kept(const hy_sp *sp, const hy_layout_dims *dims, int64_t C, int64_t W) {
    const int64_t rows = dims->size > 1 && W > 1 ? dims->n_local * (W - 1) : 0;
    return (size_t)(rows * C) * hy_sp_size(sp, HY_ROLE_ACT);
}

size_t hy_sp_conv_work(const hy_sp *sp, const hy_layout_dims *dims, int64_t C, int64_t W) {
    conv_call c;
    hy_sp copy = *sp;
    return cut(&c, &copy, dims, C, W, true, &(hy_carve){0});
}

static conv_call begin(hy_sp *sp, hy_sp_conv *conv, bool backward) {
    conv_call c;
    const hy_layout_dims dims = hy_layout_dims_of(sp->layout);
    cut(&c, sp, &dims, conv->op.C, conv->op.W, backward, &(hy_carve){.base = conv->work});
    conv->op.T = sp->layout->T;
    conv->op.runs = sp->layout->runs;
    conv->op.n_runs = sp->layout->n_runs;
    conv->op.halo = conv->kept;
    conv->op.dhalo = backward ? c.d_halo : NULL;
    return c;
}

/* The runs of a fragment. */
typedef struct parts {
    hy_run edge, inner; /* empty unless the first run continues a document */
    const hy_run *rest;
    int64_t n_rest;
} parts;

static parts parts_of(const conv_call *c, const hy_layout *layout, int64_t slot) {
    parts p = {.rest = &layout->runs[layout->first_run[slot]],
               .n_rest = layout->first_run[slot + 1] - layout->first_run[slot]};
    if (p.n_rest > 0 && p.rest->s0 >= 0) {
        const hy_run run = *p.rest++;
        const int64_t edge = run.len < c->halo.rows ? run.len : c->halo.rows;
        p.n_rest--;
        p.edge = (hy_run){.begin = run.begin, .len = edge, .s0 = slot, .s1 = -1};
        p.inner = (hy_run){.begin = run.begin + edge, .len = run.len - edge, .s0 = 0, .s1 = -1};
    }
    return p;
}

static int64_t list_edges(const conv_call *c, const hy_layout *layout) {
    int64_t n = 0;
    for (int64_t slot = 0; slot < layout->n_local; slot++) {
        const parts p = parts_of(c, layout, slot);
        if (p.edge.len > 0) {
            c->edge[n++] = p.edge;
        }
    }
    return n;
}

/* The arguments for some runs; the rows before inner tokens are the halo of slot 0. */
static hy_conv_args for_runs(const hy_sp_conv *conv, const hy_run *runs, int64_t n_runs) {
    hy_conv_args op = conv->op;
    op.runs = runs;
    op.n_runs = n_runs;
    return op;
}

static hy_conv_args for_inner(const conv_call *c, const hy_sp_conv *conv, const parts *p) {
    hy_conv_args op = for_runs(conv, &p->inner, 1);
    op.halo = (const char *)op.x + (size_t)p->edge.begin * c->halo.row_bytes;
    op.dhalo = c->d_inner;
    return op;
}

static void fwd(hy_sp *sp, hy_conv_args op) {
    if (op.n_runs > 0) {
        hy_conv_fwd(sp->device, &op);
    }
}

static void bwd(hy_sp *sp, hy_conv_args op) {
    if (op.n_runs > 0) {
        hy_conv_bwd(sp->device, &op);
    }
}

void hy_sp_conv_fwd(hy_sp *sp, hy_sp_conv *conv) {
    conv_call c = begin(sp, conv, false);
    if (sp->layout->size == 1) {
        hy_conv_fwd(sp->device, &conv->op);
        return;
    }
    hy_halo_post(&c.halo, conv->op.x, conv->kept);
    for (int64_t slot = 0; slot < sp->layout->n_local; slot++) {
        const parts p = parts_of(&c, sp->layout, slot);
        if (p.inner.len > 0) {
            fwd(sp, for_inner(&c, conv, &p));
        }
        fwd(sp, for_runs(conv, p.rest, p.n_rest));
        hy_comm_progress(sp->comm);
    }
    hy_halo_finish(&c.halo, conv->kept);
    fwd(sp, for_runs(conv, c.edge, list_edges(&c, sp->layout)));
}

void hy_sp_conv_recompute(hy_sp *sp, hy_sp_conv *conv) {
    (void)begin(sp, conv, false);
    hy_conv_fwd(sp->device, &conv->op);
}

void hy_sp_conv_bwd(hy_sp *sp, hy_sp_conv *conv) {
    conv_call c = begin(sp, conv, true);
    if (sp->layout->size == 1) {
        hy_conv_bwd(sp->device, &conv->op);
        return;
    }
    bwd(sp, for_runs(conv, c.edge, list_edges(&c, sp->layout)));
    hy_halo_return_post(&c.halo, c.d_halo);
    for (int64_t slot = 0; slot < sp->layout->n_local; slot++) {
        const parts p = parts_of(&c, sp->layout, slot);
        if (p.inner.len > 0) {
            bwd(sp, for_inner(&c, conv, &p));
            hy_axpy(sp->device, &(hy_axpy_args){.n = p.edge.len * conv->op.C,
                                                .a = 1,
                                                .x = c.d_inner,
                                                .y = (char *)conv->op.dx + (size_t)p.edge.begin * c.halo.row_bytes,
                                                .acc = 1});
        }
        bwd(sp, for_runs(conv, p.rest, p.n_rest));
        hy_comm_progress(sp->comm);
    }
    hy_halo_return_finish(&c.halo, c.d_halo, conv->op.dx);
}

static int owner_of(const hy_layout_dims *dims, int64_t i, int64_t F) {
    return (int)(i < dims->size ? i : F - 1 - i);
}

/* Rows of `owner` in the halos of `reader`, for one sequence of one document: as the pieces of halo.c, without a layout
 * at hand. */
static int64_t rows_between(const hy_layout_dims *dims, int owner, int reader, int64_t rows) {
    const int64_t F = hy_layout_sizes(dims->kind, dims->size, 0, 1, dims->len).n_frags;
    int64_t total = 0;
    for (int64_t to = 1; to < F; to++) {
        const int64_t at = to * dims->len / F, need = at > rows ? at - rows : 0;
        if (owner_of(dims, to, F) != reader || at == (to + 1) * dims->len / F) {
            continue;
        }
        for (int64_t from = to - 1; from >= 0 && (from + 1) * dims->len / F > need; from--) {
            const int64_t begin = from * dims->len / F, end = (from + 1) * dims->len / F;
            total += owner_of(dims, from, F) == owner ? end - (begin > need ? begin : need) : 0;
        }
    }
    return total;
}

void hy_sp_conv_bytes(const hy_sp *sp, const hy_layout_dims *dims, int64_t C, int64_t W, int64_t *fwd, int64_t *bwd) {
    const int64_t row = C * (int64_t)hy_sp_size(sp, HY_ROLE_ACT);
    *fwd = *bwd = 0;
    for (int other = 0; other < dims->size && W > 1; other++) {
        if (other != dims->rank) {
            *fwd += dims->n_seq * rows_between(dims, dims->rank, other, W - 1) * row;
            *bwd += dims->n_seq * rows_between(dims, other, dims->rank, W - 1) * row;
        }
    }
}
