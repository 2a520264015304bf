/* Ring attention, pairwise: at hop h this rank receives from rank − h and sends to rank + h, exactly the rows that the
 * receiver sees. The next hop's transfer is posted before the present block is computed. In backward keys and values
 * travel again, and the partial gradients go straight back to their owner, who adds them in order of hops. */
#include <string.h>

#include "sp/attention/attention_internal.h"

enum { TAG_K = 101, TAG_V, TAG_DK, TAG_DV };

/* One hop: who, and which pieces. The piece lists of consecutive hops use different scratch. */
typedef struct hop {
    int from, to; /* ranks that this one reads of, serves */
    int64_t n_in, n_out;
    hy_kv_piece *in, *out;
    char *k, *v, *d_k, *d_v; /* incoming rows and their gradients */
    char *own_k, *own_v;     /* incoming gradients of own rows */
    hy_req *kv, *grad;
    int64_t n_kv, n_grad;
} hop;

static int64_t total_rows(const hy_kv_piece *pieces, int64_t n) {
    return n > 0 ? pieces[n - 1].at + pieces[n - 1].rows : 0;
}

/* Bytes of `rows` rows, and of their gradients. */
static size_t offset(const hy_attn_call *c, int64_t rows, int64_t row_size) {
    return (size_t)(rows * row_size) * c->esize;
}

static size_t d_offset(const hy_attn_call *c, int64_t rows, int64_t row_size) {
    return (size_t)(rows * row_size) * c->ssize;
}

static hop plan_hop(hy_attn_call *c, int h) {
    const hy_layout *layout = c->sp->layout;
    int P = layout->size, r = layout->rank, parity = h & 1;
    hop x = {.from = (r - h + P) % P,
             .to = (r + h) % P,
             .in = c->s.pieces[parity],
             .out = c->s.pieces[2 + parity],
             .kv = c->s.reqs[parity]};
    x.n_in = hy_kv_pieces(layout, x.from, r, c->a->window, x.in);
    x.n_out = hy_kv_pieces(layout, r, x.to, c->a->window, x.out);
    memset(x.kv, 0, (size_t)(4 * c->dims.n_local) * sizeof(hy_req));
    x.grad = x.kv; /* gradients are posted when keys and values have arrived */
    x.k = c->s.kv[parity];
    x.v = x.k + offset(c, total_rows(x.in, x.n_in), c->k_row);
    x.d_k = c->s.d_kv[parity];
    x.d_v = x.d_k + d_offset(c, total_rows(x.in, x.n_in), c->k_row);
    x.own_k = c->s.d_own[parity];
    x.own_v = x.own_k + d_offset(c, total_rows(x.out, x.n_out), c->k_row);
    return x;
}

static void post_kv(hy_attn_call *c, hop *x) {
    hy_comm *comm = c->sp->comm;
    for (int64_t i = 0; i < x->n_in; i++) {
        const hy_kv_piece *p = &x->in[i];
        hy_comm_recv(comm, "attention K", x->k + offset(c, p->at, c->k_row), offset(c, p->rows, c->k_row), x->from,
                     TAG_K, &x->kv[x->n_kv++]);
        hy_comm_recv(comm, "attention V", x->v + offset(c, p->at, c->v_row), offset(c, p->rows, c->v_row), x->from,
                     TAG_V, &x->kv[x->n_kv++]);
    }
    for (int64_t i = 0; i < x->n_out; i++) {
        const hy_kv_piece *p = &x->out[i];
        hy_comm_send(comm, "attention K", (const char *)c->a->k + offset(c, p->local, c->k_row),
                     offset(c, p->rows, c->k_row), x->to, TAG_K, &x->kv[x->n_kv++]);
        hy_comm_send(comm, "attention V", (const char *)c->a->v + offset(c, p->local, c->v_row),
                     offset(c, p->rows, c->v_row), x->to, TAG_V, &x->kv[x->n_kv++]);
    }
}

static void finish_kv(hy_attn_call *c, hop *x) {
    hy_comm_wait_all(x->kv, x->n_kv);
    x->n_kv = 0;
    if (c->sp->broken && x->n_in > 0) {
        hy_axpy(c->sp->device,
                &(hy_axpy_args){.n = total_rows(x->in, x->n_in) * c->k_row, .a = 1.01, .x = x->k, .y = x->k});
    }
}

static void compute(hy_attn_call *c, hop *x) {
    if (c->backward) {
        hy_fill(c->sp->device, &(hy_fill_args){.n = total_rows(x->in, x->n_in) * (c->k_row + c->v_row),
                                               .y = x->d_k,
                                               .role = HY_ROLE_STAT});
    }
    for (int64_t i = 0; i < x->n_in; i++) {
        const hy_kv_piece *p = &x->in[i];
        hy_attn_block(c, &(hy_kv_block){.begin = p->begin,
                                        .rows = p->rows,
                                        .k = x->k + offset(c, p->at, c->k_row),
                                        .v = x->v + offset(c, p->at, c->v_row),
                                        .d_k = x->d_k + d_offset(c, p->at, c->k_row),
                                        .d_v = x->d_v + d_offset(c, p->at, c->v_row)});
    }
}

/* Gradients of the rows that came in go home; those of the own rows that went out come back. */
static void post_grad(hy_attn_call *c, hop *x) {
    hy_comm *comm = c->sp->comm;
    for (int64_t i = 0; i < x->n_out; i++) {
        const hy_kv_piece *p = &x->out[i];
        hy_comm_recv(comm, "attention dK", x->own_k + d_offset(c, p->at, c->k_row), d_offset(c, p->rows, c->k_row),
                     x->to, TAG_DK, &x->grad[x->n_grad++]);
        hy_comm_recv(comm, "attention dV", x->own_v + d_offset(c, p->at, c->v_row), d_offset(c, p->rows, c->v_row),
                     x->to, TAG_DV, &x->grad[x->n_grad++]);
    }
    for (int64_t i = 0; i < x->n_in; i++) {
        const hy_kv_piece *p = &x->in[i];
        hy_comm_send(comm, "attention dK", x->d_k + d_offset(c, p->at, c->k_row), d_offset(c, p->rows, c->k_row),
                     x->from, TAG_DK, &x->grad[x->n_grad++]);
        hy_comm_send(comm, "attention dV", x->d_v + d_offset(c, p->at, c->v_row), d_offset(c, p->rows, c->v_row),
                     x->from, TAG_DV, &x->grad[x->n_grad++]);
    }
}

/* The gradients of own rows, added where they belong. */
static void add_own(hy_attn_call *c, const hy_kv_piece *p, int64_t row, const char *from, char *to) {
    hy_axpy(c->sp->device, &(hy_axpy_args){.n = p->rows * row,
                                           .a = 1,
                                           .x = from + d_offset(c, p->at, row),
                                           .y = to + d_offset(c, p->local, row),
                                           .acc = 1,
                                           .from = HY_ROLE_STAT,
                                           .to = HY_ROLE_STAT});
}

static void finish_grad(hy_attn_call *c, hop *x) {
    hy_comm_wait_all(x->grad, x->n_grad);
    x->n_grad = 0;
    for (int64_t i = 0; i < x->n_out; i++) {
        add_own(c, &x->out[i], c->k_row, x->own_k, c->dk);
        add_own(c, &x->out[i], c->v_row, x->own_v, c->dv);
    }
}

void hy_attn_ring(hy_attn_call *c) {
    int P = c->dims.size;
    hop hops[2] = {{0}};
    if (P > 1) {
        hops[1] = plan_hop(c, 1);
        post_kv(c, &hops[1]);
    }
    hy_attn_own_blocks(c);
    for (int h = 1; h < P; h++) {
        hop *now = &hops[h & 1], *other = &hops[(h + 1) & 1];
        finish_kv(c, now);
        if (c->backward && h > 1) {
            finish_grad(c, other); /* of hop h − 1: its buffers serve hop h + 1 */
        }
        if (h + 1 < P) {
            *other = plan_hop(c, h + 1);
            post_kv(c, other);
        }
        compute(c, now);
        if (c->backward) {
            post_grad(c, now);
        }
    }
    if (c->backward && P > 1) {
        finish_grad(c, &hops[(P - 1) & 1]);
    }
}
