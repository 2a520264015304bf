/* Ring attention, pairwise: at hop h this rank receives from rank − h and sends to rank + h, exactly the rows that the
 * receiver sees. The next hop's transfer is posted before the present block is computed. In backward keys and values
 * travel again, and the partial gradients go straight back to their owner, who adds them in order of hops. */
#include "sp/attention/attention_internal.h"

enum { TAG_K = 101, TAG_V, TAG_GRADIENT };

/* ---- lists ---- */

static int64_t rows_of_pieces(const hy_kv_piece *pieces, int64_t n) {
    return n > 0 ? pieces[n - 1].at + pieces[n - 1].rows : 0;
}

static void build_ring_hop(hy_attn_builder *b, int h) {
    const hy_layout *layout = b->layout;
    const int P = layout->size, r = layout->rank;
    hy_attn_hop_begin(b, (r - h + P) % P, (r + h) % P);
    hy_attn_hop *hop = b->hop;
    hy_kv_piece *in = b->lists->pieces + b->n_pieces, *out = in + layout->n_local;
    b->n_pieces += 2 * layout->n_local;
    hop->in = in;
    hop->out = out;
    hop->n_in = hy_kv_pieces(layout, hop->from, r, b->lists->need.window, in);
    hop->n_out = hy_kv_pieces(layout, r, hop->to, b->lists->need.window, out);
    hop->rows_in = rows_of_pieces(in, hop->n_in);
    hop->rows_out = rows_of_pieces(out, hop->n_out);
    const hy_key_block all = {.rows = hop->rows_in};
    for (int64_t i = 0; i < hop->n_in; i++) {
        hy_attn_hop_block(b, &(hy_key_block){in[i].begin, in[i].rows, in[i].at}, &all);
    }
    hy_row_block *home = hy_list_image_take(b->image, (size_t)hop->n_out * sizeof *home);
    for (int64_t i = 0; i < hop->n_out; i++) {
        home[i] = (hy_row_block){out[i].at, out[i].local, out[i].rows};
    }
    hy_attn_hop_home(b, home, hop->n_out);
}

static void ring_build(hy_attn_builder *b) {
    for (int h = 1; h < b->layout->size; h++) {
        build_ring_hop(b, h);
    }
}

static hy_attn_others ring_others(const hy_layout_dims *dims) {
    const int64_t hops = dims->size - 1;
    return (hy_attn_others){.hops = hops, .pieces = 2 * hops * dims->n_local, .home = hops * dims->n_local};
}

/* ---- a call ---- */

static void ring_cut(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape, hy_carve *work,
                     hy_attn_scratch *s) {
    const size_t all = (size_t)(hy_kv_rows_max(dims, shape->window) * (hy_attn_k_row(shape) + hy_attn_v_row(shape)));
    for (int i = 0; i < 2; i++) {
        s->kv[i] = hy_carve_take(work, all * hy_sp_size(sp, HY_ROLE_ACT));
        s->d_kv[i] = hy_carve_take(work, all * hy_sp_size(sp, HY_ROLE_STAT));
        s->d_own[i] = hy_carve_take(work, all * hy_sp_size(sp, HY_ROLE_STAT));
    }
}

static hy_ring_hop ring_hop(const hy_attn_call *c, int h) {
    const int parity = h & 1;
    hy_ring_hop x = {.list = &c->lists->hops[h],
                     .k = c->s.kv[parity],
                     .d_k = c->s.d_kv[parity],
                     .own = c->s.d_own[parity],
                     .reqs = c->lists->reqs[parity]};
    x.v = x.k + (size_t)(x.list->rows_in * c->k_row) * c->esize;
    x.d_v = x.d_k + (size_t)(x.list->rows_in * c->k_row) * c->ssize;
    return x;
}

/* Rows of the pieces from p on that lie one behind the other at their owner too: one message. *n: how many pieces. */
static int64_t message_rows(const hy_kv_piece *p, int64_t left, int64_t *n) {
    int64_t rows = p[0].rows;
    *n = 1;
    while (*n < left && p[*n].local == p[0].local + rows) {
        rows += p[(*n)++].rows;
    }
    return rows;
}

static void post_kv(hy_attn_call *c, hy_ring_hop *x) {
    hy_comm *comm = c->sp->comm;
    const hy_attn_hop *list = x->list;
    const size_t k = (size_t)c->k_row * c->esize, v = (size_t)c->v_row * c->esize; /* bytes of a row */
    hy_req *req = x->reqs;
    hy_comm_group_begin(comm);
    for (int64_t i = 0, n; i < list->n_in; i += n) {
        const size_t rows = (size_t)message_rows(list->in + i, list->n_in - i, &n), at = (size_t)list->in[i].at;
        hy_comm_recv(comm, "attention K", x->k + at * k, rows * k, list->from, TAG_K, req++);
        hy_comm_recv(comm, "attention V", x->v + at * v, rows * v, list->from, TAG_V, req++);
    }
    for (int64_t i = 0, n; i < list->n_out; i += n) {
        const size_t rows = (size_t)message_rows(list->out + i, list->n_out - i, &n), at = (size_t)list->out[i].local;
        hy_comm_send(comm, "attention K", (const char *)c->a->k + at * k, rows * k, list->to, TAG_K, req++);
        hy_comm_send(comm, "attention V", (const char *)c->a->v + at * v, rows * v, list->to, TAG_V, req++);
    }
    hy_comm_group_end(comm);
}

static void finish_kv(hy_attn_call *c, hy_ring_hop *x) {
    hy_comm_wait_all(x->reqs, 4 * c->dims.n_local);
    if (c->sp->broken && x->list->rows_in > 0) {
        hy_axpy(c->sp->device, &(hy_axpy_args){.n = x->list->rows_in * c->k_row, .a = 1.01, .x = x->k, .y = x->k});
    }
}

static void compute_hop(hy_attn_call *c, hy_ring_hop *x) {
    if (c->backward && x->list->rows_in > 0) {
        hy_fill(c->sp->device,
                &(hy_fill_args){.n = x->list->rows_in * (c->k_row + c->v_row), .y = x->d_k, .role = HY_ROLE_STAT});
    }
    hy_attn_hop_compute(c, x->list, &(hy_kv_rows){.k = x->k, .v = x->v, .d_k = x->d_k, .d_v = x->d_v});
}

/* Gradients of the rows that came in go home; those of the own rows that went out come back: one message each. */
static void post_gradients(hy_attn_call *c, hy_ring_hop *x) {
    const size_t row = (size_t)(c->k_row + c->v_row) * c->ssize;
    hy_comm_group_begin(c->sp->comm);
    if (x->list->rows_out > 0) {
        hy_comm_recv(c->sp->comm, "attention dK,dV", x->own, (size_t)x->list->rows_out * row, x->list->to, TAG_GRADIENT,
                     &x->reqs[0]);
    }
    if (x->list->rows_in > 0) {
        hy_comm_send(c->sp->comm, "attention dK,dV", x->d_k, (size_t)x->list->rows_in * row, x->list->from,
                     TAG_GRADIENT, &x->reqs[1]);
    }
    hy_comm_group_end(c->sp->comm);
}

static void finish_gradients(hy_attn_call *c, hy_ring_hop *x) {
    hy_comm_wait_all(x->reqs, 2);
    hy_attn_add_home(c, x->list, x->own, x->list->rows_out);
}

static void keys_ring_post(hy_attn_call *c) {
    hy_ring_hop first = ring_hop(c, 1);
    post_kv(c, &first);
}

static void keys_ring_finish(hy_attn_call *c) {
    const int P = c->dims.size;
    c->ring[1] = ring_hop(c, 1);
    for (int h = 1; h < P; h++) {
        hy_ring_hop *now = &c->ring[h & 1], *other = &c->ring[(h + 1) & 1];
        finish_kv(c, now);
        if (c->backward && h > 1) {
            finish_gradients(c, other); /* of hop h − 1: its buffers serve hop h + 1 */
        }
        if (h + 1 < P) {
            *other = ring_hop(c, h + 1);
            post_kv(c, other);
        }
        compute_hop(c, now);
        if (c->backward) {
            post_gradients(c, now);
        }
    }
    if (c->backward) {
        finish_gradients(c, &c->ring[(P - 1) & 1]);
    }
}

const hy_attn_row hy_attn_row_ring = {.title = "ring attention",
                                      .latent_title = "latent ring",
                                      .others = ring_others,
                                      .part_rows = hy_kv_rows_max,
                                      .build = ring_build,
                                      .cut = ring_cut,
                                      .post = keys_ring_post,
                                      .finish = keys_ring_finish};
