/* The short convolution over sharded sequences. A fragment that continues a document needs the W − 1 tokens before it, which may lie
 * in several earlier fragments (short or empty ones). All ranks know the layout, so each pair knows which rows to send: point to point,
 * forward the rows, backward their gradients, added in order of fragments. Rows before the document's start are zero and never travel. */
#include <string.h>

#include "base/memory.h"
#include "sp/sp.h"

enum { TAG_HALO = 301, TAG_HALO_GRADIENT };

/* Rows of fragment `from` that fragment `to` wants as rows halo_row.. of its halo. */
typedef struct halo_piece {
    const hy_fragment *from, *to;
    int64_t local;    /* first row in the owner's buffer */
    int64_t halo_row; /* first row in to's halo */
    int64_t rows;
} halo_piece;

typedef struct halo_scratch {
    char *dhalo; /* [n_local,W−1,C] gradients of own halos */
    char *inbox; /* gradients that come home, a block of W − 1 rows for each piece */
    hy_req *reqs;
    int64_t n_reqs, n_home;
} halo_scratch;

static char *take(char *base, size_t *total, size_t bytes) {
    char *here = base ? base + *total : NULL;
    *total += (bytes + HY_ALIGN - 1) / HY_ALIGN * HY_ALIGN;
    return here;
}

/* Most pieces that this rank sends or receives: a halo of W − 1 rows touches at most W − 1 fragments that are not empty; and a row is
 * wanted by at most W − 1 fragments. */
static int64_t pieces_max(const hy_layout_dims *dims, int64_t W) {
    int64_t reach = W - 1 < dims->n_frags ? W - 1 : dims->n_frags;
    return dims->n_local * reach;
}

static size_t cut(const hy_sp *sp, const hy_layout_dims *dims, int64_t C, int64_t W, char *base, halo_scratch *s) {
    size_t total = 0, esize = hy_dtype_size(sp->device->table.dtype), halo = (size_t)((W - 1) * C) * esize;
    if (dims->size == 1) {
        return 0;
    }
    s->dhalo = take(base, &total, (size_t)dims->n_local * halo);
    s->inbox = take(base, &total, (size_t)pieces_max(dims, W) * halo);
    s->reqs = (hy_req *)(void *)take(base, &total, (size_t)(2 * pieces_max(dims, W)) * sizeof(hy_req));
    return total;
}

size_t hy_sp_conv_kept(const hy_sp *sp, const hy_layout_dims *dims, int64_t C, int64_t W) {
    return dims->size == 1 ? 0 : (size_t)(dims->n_local * (W - 1) * C) * hy_dtype_size(sp->device->table.dtype);
}

size_t hy_sp_conv_work(const hy_sp *sp, const hy_layout_dims *dims, int64_t C, int64_t W) {
    halo_scratch s = {0};
    return cut(sp, dims, C, W, NULL, &s);
}

/* Walks back from fragment `id`: the next earlier piece of its halo, nearest first. `missing` counts rows still wanted. */
static bool next_piece(const hy_layout *layout, int64_t id, int64_t W, int64_t *at, int64_t *missing, halo_piece *out) {
    const hy_fragment *to = &layout->frags[id];
    if (*missing <= 0 || (*at = hy_layout_neighbour(layout, *at, -1)) < 0) {
        return false;
    }
    const hy_fragment *from = &layout->frags[*at];
    int64_t first = to->begin - (W - 1) > to->doc_begin ? to->begin - (W - 1) : to->doc_begin;
    first = first > from->begin ? first : from->begin;
    int64_t rows = from->begin + from->len - first;
    if (rows <= 0) {
        return false;
    }
    *out = (halo_piece){.from = from, .to = to, .local = from->local + first - from->begin, .halo_row = W - 1 - (to->begin - first), .rows = rows};
    *missing -= rows;
    return true;
}

typedef void (*piece_fn)(hy_sp *sp, hy_sp_conv *c, halo_scratch *s, const halo_piece *piece);

/* Every piece in which this rank takes part, in an order that all ranks share. */
static void for_each_piece(hy_sp *sp, hy_sp_conv *c, halo_scratch *s, piece_fn visit) {
    const hy_layout *layout = sp->layout;
    for (int64_t id = 0; id < layout->n_frags; id++) {
        const hy_fragment *to = &layout->frags[id];
        int64_t at = id, missing = to->continues ? c->op.W - 1 : 0;
        halo_piece piece;
        while (next_piece(layout, id, c->op.W, &at, &missing, &piece)) {
            if (piece.from->owner == layout->rank || to->owner == layout->rank) {
                visit(sp, c, s, &piece);
            }
        }
    }
}

static size_t row_bytes(const hy_sp *sp, const hy_sp_conv *c, int64_t rows) {
    return (size_t)(rows * c->op.C) * hy_dtype_size(sp->device->table.dtype);
}

static char *halo_at(const hy_sp *sp, const hy_sp_conv *c, char *halos, const halo_piece *p) {
    return halos + row_bytes(sp, c, p->to->slot * (c->op.W - 1) + p->halo_row);
}

static void copy_rows(hy_sp *sp, const hy_sp_conv *c, int64_t rows, const void *src, void *dst, int acc) {
    int64_t n = rows * c->op.C;
    hy_copy2d(sp->device, &(hy_copy2d_args){.rows = 1, .cols = n, .src_ld = n, .dst_ld = n, .src = src, .dst = dst, .acc = acc});
}

static void send_rows(hy_sp *sp, hy_sp_conv *c, halo_scratch *s, const halo_piece *p) {
    const char *rows = (const char *)c->op.x + row_bytes(sp, c, p->local);
    bool from_me = p->from->owner == sp->layout->rank, to_me = p->to->owner == sp->layout->rank;
    if (from_me && to_me) {
        copy_rows(sp, c, p->rows, rows, halo_at(sp, c, c->kept, p), 0);
    } else if (from_me) {
        hy_comm_send(sp->comm, "halo", rows, row_bytes(sp, c, p->rows), p->to->owner, TAG_HALO, &s->reqs[s->n_reqs++]);
    } else {
        hy_comm_recv(sp->comm, "halo", halo_at(sp, c, c->kept, p), row_bytes(sp, c, p->rows), p->from->owner, TAG_HALO, &s->reqs[s->n_reqs++]);
    }
}

/* The i-th piece that comes home waits in the i-th block of the inbox; pieces between own fragments need none. */
static char *next_home(const hy_sp *sp, const hy_sp_conv *c, halo_scratch *s) {
    return s->inbox + row_bytes(sp, c, s->n_home++ * (c->op.W - 1));
}

static void send_gradients(hy_sp *sp, hy_sp_conv *c, halo_scratch *s, const halo_piece *p) {
    bool from_me = p->from->owner == sp->layout->rank, to_me = p->to->owner == sp->layout->rank;
    if (to_me && !from_me) {
        hy_comm_send(sp->comm, "halo gradient", halo_at(sp, c, s->dhalo, p), row_bytes(sp, c, p->rows), p->from->owner, TAG_HALO_GRADIENT, &s->reqs[s->n_reqs++]);
    } else if (from_me && !to_me) {
        hy_comm_recv(sp->comm, "halo gradient", next_home(sp, c, s), row_bytes(sp, c, p->rows), p->to->owner, TAG_HALO_GRADIENT, &s->reqs[s->n_reqs++]);
    }
}

static void add_gradients(hy_sp *sp, hy_sp_conv *c, halo_scratch *s, const halo_piece *p) {
    bool from_me = p->from->owner == sp->layout->rank, to_me = p->to->owner == sp->layout->rank;
    if (from_me) {
        const char *rows = to_me ? halo_at(sp, c, s->dhalo, p) : next_home(sp, c, s);
        copy_rows(sp, c, p->rows, rows, (char *)c->op.dx + row_bytes(sp, c, p->local), 1);
    }
}

static halo_scratch begin_call(hy_sp *sp, hy_sp_conv *c) {
    halo_scratch s = {0};
    hy_layout_dims dims = hy_layout_dims_of(sp->layout);
    cut(sp, &dims, c->op.C, c->op.W, c->work, &s);
    c->op.runs = sp->layout->runs;
    c->op.n_runs = sp->layout->n_runs;
    c->op.halo = c->kept;
    if (s.reqs) {
        memset(s.reqs, 0, (size_t)(2 * pieces_max(&dims, c->op.W)) * sizeof(hy_req));
    }
    return s;
}

void hy_sp_conv_fwd(hy_sp *sp, hy_sp_conv *c) {
    halo_scratch s = begin_call(sp, c);
    if (sp->layout->size > 1) {
        hy_fill(sp->device, &(hy_fill_args){.n = sp->layout->n_local * (c->op.W - 1) * c->op.C, .y = c->kept});
        for_each_piece(sp, c, &s, send_rows);
        hy_comm_wait_all(s.reqs, s.n_reqs);
        if (sp->broken) {
            hy_axpy(sp->device, &(hy_axpy_args){.n = sp->layout->n_local * (c->op.W - 1) * c->op.C, .a = 1.01, .x = c->kept, .y = c->kept});
        }
    }
    hy_conv_fwd(sp->device, &c->op);
}

void hy_sp_conv_recompute(hy_sp *sp, hy_sp_conv *c) {
    begin_call(sp, c);
    hy_conv_fwd(sp->device, &c->op);
}

void hy_sp_conv_bwd(hy_sp *sp, hy_sp_conv *c) {
    halo_scratch s = begin_call(sp, c);
    c->op.dhalo = s.dhalo;
    hy_conv_bwd(sp->device, &c->op);
    if (sp->layout->size > 1) {
        for_each_piece(sp, c, &s, send_gradients);
        hy_comm_wait_all(s.reqs, s.n_reqs);
        s.n_home = 0;
        for_each_piece(sp, c, &s, add_gradients);
    }
}
