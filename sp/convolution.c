/* Short causal convolution over sharded sequences. While the halo travels, forward computes every output that does not
 * need it: the runs whose document starts here, and all but the first W−1 outputs of the others, whose own first rows
 * serve as halo. */
#include "sp/halo.h"

typedef struct conv_call {
    hy_halo halo;
    hy_run *edge; /* [n_local] first outputs of the runs that continue a document */
    char *d_halo; /* backward: [n_local,W−1,C] */
} conv_call;

static size_t cut(conv_call *c, hy_sp *sp, const hy_layout_dims *dims, int64_t C, int64_t W, bool backward,
                  hy_carve *work) {
    hy_halo_open(&c->halo, sp, dims, C, W, backward, work);
    c->edge = hy_carve_take(work, (size_t)dims->n_local * sizeof(hy_run));
    if (backward) {
        c->d_halo = hy_carve_take(work, (size_t)(dims->n_local * c->halo.rows) * c->halo.row_bytes);
    }
    return work->used;
}

size_t hy_sp_conv_kept(const hy_sp *sp, const hy_layout_dims *dims, int64_t C, int64_t W) {
    const int64_t rows = dims->size > 1 && W > 1 ? dims->n_local * (W - 1) : 0;
    return (size_t)(rows * C) * hy_dtype_size(sp->device->table.dtype);
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

static void fwd(hy_sp *sp, const hy_sp_conv *conv, const hy_run *runs, int64_t n_runs, const void *halo) {
    if (n_runs == 0) {
        return;
    }
    hy_conv_args op = conv->op;
    op.runs = runs;
    op.n_runs = n_runs;
    op.halo = halo;
    hy_conv_fwd(sp->device, &op);
}

/* What needs no halo; the rest goes into edge. Returns the number of edges. */
static int64_t interior(conv_call *c, hy_sp *sp, const hy_sp_conv *conv) {
    const hy_layout *layout = sp->layout;
    int64_t n = 0;
    for (int64_t slot = 0; slot < layout->n_local; slot++) {
        int64_t first = layout->first_run[slot];
        const int64_t end = layout->first_run[slot + 1];
        if (first < end && layout->runs[first].s0 >= 0) {
            const hy_run run = layout->runs[first++];
            const int64_t edge = run.len < c->halo.rows ? run.len : c->halo.rows;
            const hy_run inner = {.begin = run.begin + edge, .len = run.len - edge, .s0 = 0, .s1 = -1};
            c->edge[n++] = (hy_run){.begin = run.begin, .len = edge, .s0 = slot, .s1 = -1};
            fwd(sp, conv, &inner, inner.len > 0, (const char *)conv->op.x + (size_t)run.begin * c->halo.row_bytes);
        }
        fwd(sp, conv, &layout->runs[first], end - first, NULL);
        hy_comm_progress(sp->comm);
    }
    return n;
}

void hy_sp_conv_fwd(hy_sp *sp, hy_sp_conv *conv) {
    conv_call c = begin(sp, conv, false);
    if (sp->layout->size == 1) {
        hy_conv_fwd(sp->device, &conv->op);
        return;
    }
    hy_halo_post(&c.halo, conv->op.x, conv->kept);
    const int64_t n_edges = interior(&c, sp, conv);
    hy_halo_finish(&c.halo, conv->kept);
    fwd(sp, conv, c.edge, n_edges, conv->kept);
}

void hy_sp_conv_recompute(hy_sp *sp, hy_sp_conv *conv) {
    (void)begin(sp, conv, false);
    hy_conv_fwd(sp->device, &conv->op);
}

void hy_sp_conv_bwd(hy_sp *sp, hy_sp_conv *conv) {
    conv_call c = begin(sp, conv, true);
    hy_conv_bwd(sp->device, &conv->op);
    if (sp->layout->size > 1) {
        hy_halo_return(&c.halo, c.d_halo, conv->op.dx);
    }
}

static int owner_of(const hy_layout_dims *dims, int64_t i, int64_t F) {
    return (int)(i < dims->size ? i : F - 1 - i);
}

/* Rows of `owner` in the halos of `reader`, for one sequence of one document: as the pieces of halo.c, without a layout at hand. */
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
    const int64_t row = C * (int64_t)hy_dtype_size(sp->device->table.dtype);
    *fwd = *bwd = 0;
    for (int other = 0; other < dims->size && W > 1; other++) {
        if (other != dims->rank) {
            *fwd += dims->n_seq * rows_between(dims, dims->rank, other, W - 1) * row;
            *bwd += dims->n_seq * rows_between(dims, other, dims->rank, W - 1) * row;
        }
    }
}
