/* A fragment's halo is cut into pieces, one per earlier fragment that holds rows of it: with short fragments there are
 * several. All ranks walk the same list of pieces in the same order (fragments ascending, then sources ascending), so a
 * pair of ranks needs one tag and no negotiation, and gradients are added in an order that does not depend on
 * arrival. */
#include "sp/halo.h"

enum { TAG_HALO = 201, TAG_HALO_GRADIENT };

typedef struct piece {
    const hy_fragment *from, *to;
    int64_t begin, rows; /* global position of the first row */
} piece;

/* First position whose row the fragment's halo holds. */
static int64_t first_row(const hy_halo *halo, const hy_fragment *f) {
    const int64_t reach = f->begin - halo->rows;
    return f->doc_begin > reach ? f->doc_begin : reach;
}

/* Calls visit for every piece that this rank sends or receives. */
static void walk(hy_halo *halo, void (*visit)(hy_halo *, const piece *, void *), void *context) {
    const hy_layout *layout = halo->sp->layout;
    for (int64_t id = 0; id < layout->n_frags && halo->rows > 0; id++) {
        const hy_fragment *to = &layout->frags[id];
        if (!to->continues) {
            continue;
        }
        const int64_t need = first_row(halo, to);
        int64_t source = id;
        while (layout->frags[source].begin > need) {
            source--;
        }
        for (; source < id; source++) {
            const hy_fragment *from = &layout->frags[source];
            if (from->len > 0 && (from->owner == layout->rank || to->owner == layout->rank)) {
                const int64_t begin = from->begin > need ? from->begin : need;
                const piece p = {.from = from, .to = to, .begin = begin, .rows = from->begin + from->len - begin};
                visit(halo, &p, context);
            }
        }
    }
}

/* Most pieces of one fragment's halo, and of one fragment's rows: sizes differ by at most one token. */
static int64_t reach(const hy_layout_dims *dims, int64_t rows) {
    const int64_t shortest = dims->frag_max > 1 ? dims->frag_max - 1 : 1;
    const int64_t pieces = rows > 0 ? 1 + (rows - 1) / shortest : 0;
    return pieces < dims->n_frags ? pieces : dims->n_frags;
}

void hy_halo_open(hy_halo *halo, hy_sp *sp, const hy_layout_dims *dims, int64_t C, int64_t W, bool backward,
                  hy_carve *work) {
    *halo = (hy_halo){.sp = sp, .rows = W > 0 ? W - 1 : 0, .C = C};
    halo->row_bytes = (size_t)C * hy_sp_size(sp, HY_ROLE_ACT);
    const int64_t pieces = dims->size > 1 ? dims->n_local * reach(dims, halo->rows) : 0;
    halo->reqs = hy_carve_take(work, (size_t)(2 * pieces) * sizeof(hy_req));
    if (backward) {
        const int64_t longest = halo->rows < dims->frag_max ? halo->rows : dims->frag_max;
        halo->rows_back = hy_carve_take(work, (size_t)(pieces * longest) * halo->row_bytes);
    }
}

static char *row_of(const hy_halo *halo, const void *array, int64_t row) {
    return (char *)(uintptr_t)array + (size_t)row * halo->row_bytes;
}

/* The piece's first row in x or dx of its owner; in the halo of the fragment that reads it. */
static char *at_source(const hy_halo *halo, const piece *p, const void *x) {
    return row_of(halo, x, p->from->local + p->begin - p->from->begin);
}

static char *at_halo(const hy_halo *halo, const piece *p, const void *rows) {
    return row_of(halo, rows, (p->to->slot + 1) * halo->rows - (p->to->begin - p->begin));
}

static void add(const hy_halo *halo, const piece *p, const void *from, void *to) {
    hy_axpy(halo->sp->device, &(hy_axpy_args){.n = p->rows * halo->C, .a = 1, .x = from, .y = to, .acc = 1});
}

/* ---- forward ---- */

typedef struct arrays {
    const void *from;
    void *to;
    char *next_back; /* backward: where the next rows from another rank lie */
} arrays;

static void post_piece(hy_halo *halo, const piece *p, void *context) {
    const arrays *a = context;
    const size_t bytes = (size_t)p->rows * halo->row_bytes;
    const int rank = halo->sp->layout->rank;
    if (p->from->owner == p->to->owner) {
        const int64_t n = p->rows * halo->C;
        hy_copy2d(halo->sp->device, &(hy_copy2d_args){.rows = 1,
                                                      .cols = n,
                                                      .src_ld = n,
                                                      .dst_ld = n,
                                                      .src = at_source(halo, p, a->from),
                                                      .dst = at_halo(halo, p, a->to)});
    } else if (p->from->owner == rank) {
        hy_comm_send(halo->sp->comm, "halo", at_source(halo, p, a->from), bytes, p->to->owner, TAG_HALO,
                     &halo->reqs[halo->n_reqs++]);
    } else {
        hy_comm_recv(halo->sp->comm, "halo", at_halo(halo, p, a->to), bytes, p->from->owner, TAG_HALO,
                     &halo->reqs[halo->n_reqs++]);
    }
}

void hy_halo_post(hy_halo *halo, const void *x, void *rows) {
    const hy_layout *layout = halo->sp->layout;
    for (int64_t slot = 0; slot < layout->n_local; slot++) {
        const hy_fragment *f = &layout->frags[layout->local[slot]];
        if (f->continues) {
            const int64_t zeros = first_row(halo, f) - (f->begin - halo->rows);
            hy_fill(halo->sp->device,
                    &(hy_fill_args){.n = zeros * halo->C, .value = 0, .y = row_of(halo, rows, slot * halo->rows)});
        }
    }
    arrays a = {.from = x, .to = rows};
    halo->n_reqs = 0;
    walk(halo, post_piece, &a);
}

static void damage_piece(hy_halo *halo, const piece *p, void *context) {
    if (p->from->owner != p->to->owner && p->to->owner == halo->sp->layout->rank) {
        char *rows = at_halo(halo, p, context);
        hy_axpy(halo->sp->device, &(hy_axpy_args){.n = p->rows * halo->C, .a = 0.5, .x = rows, .y = rows});
    }
}

void hy_halo_finish(hy_halo *halo, void *rows) {
    hy_comm_wait_all(halo->reqs, halo->n_reqs);
    if (halo->sp->broken) {
        walk(halo, damage_piece, rows);
    }
}

/* ---- backward ---- */

static void post_gradient(hy_halo *halo, const piece *p, void *context) {
    arrays *a = context;
    const size_t bytes = (size_t)p->rows * halo->row_bytes;
    if (p->from->owner == p->to->owner) {
        return;
    }
    if (p->to->owner == halo->sp->layout->rank) {
        hy_comm_send(halo->sp->comm, "halo gradient", at_halo(halo, p, a->from), bytes, p->from->owner,
                     TAG_HALO_GRADIENT, &halo->reqs[halo->n_reqs++]);
    } else {
        hy_comm_recv(halo->sp->comm, "halo gradient", a->next_back, bytes, p->to->owner, TAG_HALO_GRADIENT,
                     &halo->reqs[halo->n_reqs++]);
        a->next_back += bytes;
    }
}

static void add_gradient(hy_halo *halo, const piece *p, void *context) {
    arrays *a = context;
    if (p->from->owner == p->to->owner) {
        add(halo, p, at_halo(halo, p, a->from), at_source(halo, p, a->to));
    } else if (p->from->owner == halo->sp->layout->rank) {
        if (halo->sp->broken) {
            hy_axpy(halo->sp->device,
                    &(hy_axpy_args){.n = p->rows * halo->C, .a = 0.5, .x = a->next_back, .y = a->next_back});
        }
        add(halo, p, a->next_back, at_source(halo, p, a->to));
        a->next_back += (size_t)p->rows * halo->row_bytes;
    }
}

void hy_halo_return_post(hy_halo *halo, const void *d_rows) {
    arrays a = {.from = d_rows, .next_back = halo->rows_back};
    halo->n_reqs = 0;
    walk(halo, post_gradient, &a);
}

void hy_halo_return_finish(hy_halo *halo, const void *d_rows, void *dx) {
    arrays a = {.from = d_rows, .to = dx, .next_back = halo->rows_back};
    hy_comm_wait_all(halo->reqs, halo->n_reqs);
    walk(halo, add_gradient, &a);
}
