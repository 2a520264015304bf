/* Causal convolution over sharded sequences. A run that continues a document is cut in two: its edge, the first W−1
 * tokens, needs the halo from other ranks; the inner tokens go on from rows of x. While the halo travels, forward
 * computes everything but the edges. Backward begins with the edges, whose gradients of the halo travel while the rest
 * is computed. */
#include "sp/halo.h"

void hy_sp_conv_need(hy_lists_needs *needs, int64_t W) {
    hy_lists_need_key(needs, &needs->widths, W);
}

size_t hy_sp_conv_kept(const hy_sp *sp, const hy_layout_dims *dims, int64_t C, int64_t W) {
    const int64_t rows = (hy_layout_dims_cut(dims) || sp->carries) && W > 1 ? dims->n_local * (W - 1) : 0;
    return (size_t)(rows * C) * hy_sp_size(sp, HY_ROLE_ACT);
}

size_t hy_sp_conv_work(const hy_sp *sp, const hy_layout_dims *dims, int64_t C, int64_t W) {
    hy_halo halo;
    hy_carve work = {0};
    hy_sp copy = *sp;
    hy_halo_open(&halo, &copy, dims, C, W, true, &work);
    return work.used;
}

static hy_halo convolution_begin(hy_sp *sp, hy_sp_conv *conv, bool backward) {
    hy_halo halo;
    const hy_layout_dims dims = hy_layout_dims_of(sp->layout);
    hy_halo_open(&halo, sp, &dims, conv->op.C, conv->op.W, backward, &(hy_carve){.base = conv->work});
    conv->op.T = sp->layout->T;
    conv->op.halo = conv->kept;
    conv->op.dhalo = halo.d_rows;
    return halo;
}

/* ---- rows that go on from step to step ---- */

size_t hy_sp_conv_carried(const hy_sp *sp, int64_t C, int64_t W) {
    return (size_t)(W > 1 ? (W - 1) * C : 0) * hy_sp_size(sp, HY_ROLE_ACT);
}

/* Rows of the halo's width, `from` to `to`. */
static void copy_carried_rows(const hy_halo *halo, int64_t rows, const char *from, char *to) {
    hy_copy2d(
        halo->sp->device,
        &(hy_copy2d_args){.rows = rows, .cols = halo->C, .src_ld = halo->C, .dst_ld = halo->C, .src = from, .dst = to});
}

static void load_carried_rows(const hy_halo *halo, const hy_sp_conv *conv) {
    const hy_layout *layout = halo->sp->layout;
    const size_t bytes = (size_t)halo->rows * halo->row_bytes;
    for (int64_t s = 0; s < layout->n_seq; s++) {
        const hy_fragment *f = hy_layout_own_end(layout, s, 0);
        if (f && layout->before[s] > 0) {
            copy_carried_rows(halo, halo->rows, (const char *)conv->carried + (size_t)s * bytes,
                              (char *)conv->kept + (size_t)f->slot * bytes);
        }
    }
}

/* The last rows of each sequence; zeros before the start of its last document. A fragment is not shorter. */
static void store_carried_rows(const hy_halo *halo, const hy_sp_conv *conv) {
    const hy_layout *layout = halo->sp->layout;
    for (int64_t s = 0; s < layout->n_seq; s++) {
        const hy_fragment *f = hy_layout_own_end(layout, s, 1);
        if (f == NULL) {
            continue;
        }
        const hy_run *last = &layout->runs[layout->first_run[f->slot + 1] - 1];
        const int64_t rows = last->len < halo->rows ? last->len : halo->rows, zeros = halo->rows - rows;
        char *to = (char *)conv->carried + (size_t)(s * halo->rows) * halo->row_bytes;
        hy_fill(halo->sp->device, &(hy_fill_args){.n = zeros * halo->C, .value = 0, .y = to});
        copy_carried_rows(halo, rows, (const char *)conv->op.x + (size_t)(f->local + f->len - rows) * halo->row_bytes,
                          to + (size_t)zeros * halo->row_bytes);
    }
}

typedef void conv_kernel(hy_device *device, const hy_conv_args *op);

static void convolution_on_runs(hy_sp *sp, hy_sp_conv *conv, conv_kernel *kernel, const hy_run_list *runs) {
    if (runs->n > 0) {
        hy_conv_set_runs(&conv->op, runs);
        kernel(sp->device, &conv->op);
    }
}

/* Fixed fragments add to gradients of their own, in calls of their own. */
static bool is_by_fragment(const hy_sp *sp) {
    return sp->layout->cuts.fixed > 0;
}

static hy_sp_conv of_fragment(const hy_sp *sp, const hy_sp_conv *conv, int64_t slot) {
    hy_sp_conv one = *conv;
    if (is_by_fragment(sp) && conv->op.dw != NULL) {
        const size_t at = (size_t)(slot % conv->sums) * conv->sum_ld;
        one.op.dw = (char *)conv->op.dw + at;
        one.op.dbias = conv->op.dbias ? (char *)conv->op.dbias + at : NULL;
    }
    return one;
}

/* The first rows of runs that continue a document. */
static void convolution_edges(hy_sp *sp, hy_sp_conv *conv, conv_kernel *kernel, const hy_width_lists *lists) {
    if (!is_by_fragment(sp)) {
        convolution_on_runs(sp, conv, kernel, &lists->edges);
        return;
    }
    for (int64_t i = 0; i < lists->edges.n; i++) {
        hy_sp_conv one = of_fragment(sp, conv, lists->edges.host[i].s0);
        const hy_run_list edge = hy_run_list_part(&lists->edges, i, 1);
        convolution_on_runs(sp, &one, kernel, &edge);
    }
}

/* All but the edges; fragment by fragment where exchanges advance between calls only. */
static void convolution_local(hy_sp *sp, hy_sp_conv *conv, conv_kernel *kernel, const hy_width_lists *lists) {
    const hy_run_lists *runs = &sp->lists->runs;
    if (sp->profile->tuning.recur_pieces == 0 && !is_by_fragment(sp)) {
        convolution_on_runs(sp, conv, kernel, &lists->inner);
        convolution_on_runs(sp, conv, kernel, &runs->starting);
        return;
    }
    for (int64_t slot = 0; slot < sp->layout->n_local; slot++) {
        const int64_t inner = lists->inner_at[slot], first = runs->first_starting[slot];
        hy_sp_conv own = of_fragment(sp, conv, slot);
        if (inner >= 0) {
            const hy_run_list one = hy_run_list_part(&lists->inner, inner, 1);
            convolution_on_runs(sp, &own, kernel, &one);
        }
        const hy_run_list starting = hy_run_list_part(&runs->starting, first, runs->first_starting[slot + 1] - first);
        convolution_on_runs(sp, &own, kernel, &starting);
        hy_comm_progress(sp->comm);
    }
}

void hy_sp_conv_fwd(hy_sp *sp, hy_sp_conv *conv) {
    hy_halo halo = convolution_begin(sp, conv, false);
    if (sp->carries && sp->part != HY_SP_FINISH) {
        load_carried_rows(&halo, conv);
    }
    if (hy_sp_starts(sp)) {
        hy_halo_post(&halo, conv->op.x, conv->kept);
    }
    if (hy_sp_finishes(sp) && !hy_layout_cut(sp->layout)) {
        convolution_on_runs(sp, conv, hy_conv_fwd, &sp->lists->runs.all);
    } else if (hy_sp_finishes(sp)) {
        convolution_local(sp, conv, hy_conv_fwd, halo.lists);
        hy_halo_finish(&halo, conv->kept);
        convolution_edges(sp, conv, hy_conv_fwd, halo.lists);
    }
    if (sp->carries && hy_sp_finishes(sp)) {
        store_carried_rows(&halo, conv);
    }
}

void hy_sp_conv_recompute(hy_sp *sp, hy_sp_conv *conv) {
    (void)convolution_begin(sp, conv, false);
    convolution_on_runs(sp, conv, hy_conv_fwd, &sp->lists->runs.all);
}

void hy_sp_conv_bwd(hy_sp *sp, hy_sp_conv *conv) {
    hy_halo halo = convolution_begin(sp, conv, true);
    if (hy_sp_starts(sp)) {
        convolution_edges(sp, conv, hy_conv_bwd, halo.lists);
        hy_halo_return_post(&halo);
    }
    if (hy_sp_finishes(sp) && !hy_layout_cut(sp->layout)) {
        convolution_on_runs(sp, conv, hy_conv_bwd, &sp->lists->runs.all);
    } else if (hy_sp_finishes(sp)) {
        convolution_local(sp, conv, hy_conv_bwd, halo.lists);
        hy_halo_return_finish(&halo, conv->op.dx);
    }
}
