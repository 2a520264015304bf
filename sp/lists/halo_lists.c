/* A fragment's halo is cut into pieces, one per earlier fragment that holds rows of it: with short fragments there are
 * several. All ranks walk the same list of pieces in the same order (fragments ascending, then sources ascending), so a
 * pair of ranks needs one tag and no negotiation, and gradients are added in an order that does not depend on
 * arrival. */
#include "sp/lists/halo_lists.h"

#include "sp/carve.h"
#include "sp/lists/run_lists.h"

typedef struct halo_walk {
    const hy_layout *layout;
    int64_t rows;
    hy_block *take, *add;
    hy_halo_piece *pieces;
    int64_t n_take, n_add, n_pieces, back;
} halo_walk;

/* First position whose row the fragment's halo holds. */
static int64_t first_row(const hy_fragment *f, int64_t rows) {
    const int64_t reach = f->begin - rows;
    return f->doc_begin > reach ? f->doc_begin : reach;
}

static hy_block block(int64_t rows, int64_t from, int64_t to) {
    return (hy_block){.rows = rows, .cols = 1, .from = from, .from_ld = 1, .to = to, .to_ld = 1};
}

/* `rows` rows from global position `begin` on, of fragment `from`, in the halo of fragment `to`. */
static void add_piece(halo_walk *w, const hy_fragment *from, const hy_fragment *to, int64_t begin, int64_t rows) {
    const int64_t source = from->local + begin - from->begin, halo = (to->slot + 1) * w->rows - (to->begin - begin);
    const int rank = w->layout->rank;
    if (from->owner == rank && to->owner == rank) {
        w->take[w->n_take++] = block(rows, source, halo);
        w->add[w->n_add++] = block(rows, halo, source);
    } else if (from->owner == rank) {
        w->pieces[w->n_pieces++] =
            (hy_halo_piece){.peer = to->owner, .serves = true, .rows = rows, .row = source, .back = w->back};
        w->add[w->n_add++] = block(rows, w->back, source);
        w->back += rows;
    } else if (to->owner == rank) {
        w->pieces[w->n_pieces++] = (hy_halo_piece){.peer = from->owner, .rows = rows, .row = halo};
    }
}

static void walk(halo_walk *w) {
    const hy_layout *layout = w->layout;
    for (int64_t id = 0; id < layout->n_frags && w->rows > 0; id++) {
        const hy_fragment *to = &layout->frags[id];
        if (!to->continues) {
            continue;
        }
        const int64_t need = first_row(to, w->rows);
        int64_t source = id;
        while (layout->frags[source].begin > need) {
            source--;
        }
        for (; source < id; source++) {
            const hy_fragment *from = &layout->frags[source];
            if (from->len > 0) {
                const int64_t begin = from->begin > need ? from->begin : need;
                add_piece(w, from, to, begin, from->begin + from->len - begin);
            }
        }
    }
}

/* Most pieces of one fragment's halo, and of one fragment's rows. */
static int64_t reach(const hy_layout_dims *dims, int64_t rows) {
    const int64_t shortest = dims->frag_min > 1 ? dims->frag_min : 1; /* that is not empty */
    const int64_t pieces = rows > 0 ? 1 + (rows - 1) / shortest : 0;
    return pieces < dims->n_frags ? pieces : dims->n_frags;
}

static int64_t halo_rows(int64_t width) {
    return width > 0 ? width - 1 : 0;
}

int64_t hy_halo_pieces_max(const hy_layout_dims *dims, int64_t width) {
    return hy_layout_dims_cut(dims) ? 2 * dims->n_local * reach(dims, halo_rows(width)) : 0;
}

int64_t hy_halo_rows_back_max(const hy_layout_dims *dims, int64_t width) {
    const int64_t rows = halo_rows(width), longest = rows < dims->frag_max ? rows : dims->frag_max;
    return hy_halo_pieces_max(dims, width) / 2 * longest;
}

size_t hy_width_lists_bytes(const hy_layout_dims *dims, int64_t width) {
    const size_t pieces = (size_t)hy_halo_pieces_max(dims, width), local = (size_t)dims->n_local;
    return 2 * hy_aligned(local * sizeof(hy_run)) + hy_aligned((local + pieces) * sizeof(hy_block)) +
           hy_aligned(pieces * sizeof(hy_block)) + hy_aligned(pieces * sizeof(hy_halo_piece));
}

static void build_runs(hy_list_image *image, const hy_layout *layout, int64_t rows, int64_t *inner_at,
                       hy_width_lists *out) {
    hy_run *edges = hy_list_image_take(image, (size_t)layout->n_local * sizeof *edges);
    hy_run *inner = hy_list_image_take(image, (size_t)layout->n_local * sizeof *inner);
    int64_t n_edges = 0, n_inner = 0;
    for (int64_t slot = 0; slot < layout->n_local; slot++) {
        inner_at[slot] = -1;
        if (!layout->frags[layout->local[slot]].continues) {
            continue;
        }
        const hy_run run = layout->runs[layout->first_run[slot]];
        const int64_t edge = run.len < rows ? run.len : rows;
        if (edge > 0) {
            edges[n_edges++] = (hy_run){.begin = run.begin, .len = edge, .s0 = slot, .s1 = -1};
        }
        if (run.len > edge) {
            inner_at[slot] = n_inner;
            inner[n_inner++] =
                (hy_run){.begin = run.begin + edge, .len = run.len - edge, .s0 = HY_RUN_GOES_ON, .s1 = -1};
        }
    }
    out->edges = hy_run_list_of(image, edges, n_edges);
    out->inner = hy_run_list_of(image, inner, n_inner);
    out->inner_at = inner_at;
}

hy_width_lists hy_width_lists_build(hy_list_image *image, const hy_layout *layout, int64_t width, int64_t *inner_at) {
    const hy_layout_dims dims = hy_layout_dims_of(layout);
    const size_t most = (size_t)hy_halo_pieces_max(&dims, width);
    hy_width_lists out = {.width = width};
    halo_walk w = {.layout = layout, .rows = halo_rows(width)};
    build_runs(image, layout, w.rows, inner_at, &out);
    w.take = hy_list_image_take(image, ((size_t)layout->n_local + most) * sizeof *w.take);
    w.add = hy_list_image_take(image, most * sizeof *w.add);
    w.pieces = hy_list_image_take(image, most * sizeof *w.pieces);
    for (int64_t slot = 0; slot < layout->n_local && hy_layout_cut(layout); slot++) {
        const hy_fragment *f = &layout->frags[layout->local[slot]];
        const int64_t zeros = f->continues ? first_row(f, w.rows) - (f->begin - w.rows) : 0;
        if (zeros > 0) {
            w.take[w.n_take++] = block(zeros, -1, slot * w.rows);
        }
    }
    w.back = layout->n_local * w.rows;
    if (hy_layout_cut(layout)) {
        walk(&w);
    }
    out.take = hy_block_list_of(image, w.take, w.n_take);
    out.add = hy_block_list_of(image, w.add, w.n_add);
    out.pieces = w.pieces;
    out.n_pieces = w.n_pieces;
    return out;
}
