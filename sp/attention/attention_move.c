#include "sp/attention/attention_move.h"

enum { TAG_KEYS = 101, TAG_GRADIENTS };

void hy_attn_way_cut(const hy_sp *sp, const hy_sp_attn *shape, int64_t rows, hy_carve *work, hy_attn_way *way) {
    const size_t all = (size_t)(rows * (hy_attn_k_row(shape) + hy_attn_v_row(shape)));
    for (int i = 0; i < 2; i++) {
        way->kv[i] = hy_carve_take(work, all * hy_sp_size(sp, HY_ROLE_ACT));
        way->d_kv[i] = hy_carve_take(work, all * hy_sp_size(sp, HY_ROLE_STAT));
    }
    way->out = hy_carve_take(work, all * hy_sp_size(sp, HY_ROLE_ACT));
    way->back = hy_carve_take(work, all * hy_sp_size(sp, HY_ROLE_STAT));
}

hy_kv_rows hy_attn_rows_in(const hy_attn_call *c, int64_t rows, char *kv, char *d_kv) {
    const size_t k = (size_t)(rows * c->k_row); /* elements */
    return (hy_kv_rows){.k = kv, .v = kv + k * c->esize, .d_k = d_kv, .d_v = d_kv + k * c->ssize};
}

hy_attn_move hy_attn_way_move(const hy_attn_call *c, const hy_attn_way *way, const hy_attn_hop *hop, int turn,
                              const hy_kv_rows *source, hy_req *reqs) {
    return (hy_attn_move){.hop = hop,
                          .source = *source,
                          .came = hy_attn_rows_in(c, hop->rows_in, way->kv[turn], way->d_kv[turn]),
                          .kv = way->kv[turn],
                          .out = way->out,
                          .back = way->back,
                          .keys = reqs,
                          .gradients = reqs + 2,
                          .name = {"attention K,V", "attention dK,dV"}};
}

/* ---- keys and values ---- */

static void pack_rows(hy_attn_call *c, const hy_attn_hop *hop, int64_t row, const void *from, char *to) {
    hy_copy_blocks(c->sp->device, &(hy_copy_blocks_args){
                                      .blocks = hop->out, .n_blocks = hop->n_out, .unit = row, .src = from, .dst = to});
}

void hy_attn_keys_pack(hy_attn_call *c, const hy_attn_move *m) {
    if (m->hop->rows_out > 0) {
        pack_rows(c, m->hop, c->k_row, m->source.k, m->out);
        pack_rows(c, m->hop, c->v_row, m->source.v, m->out + (size_t)(m->hop->rows_out * c->k_row) * c->esize);
    }
}

/* A rank of the layout in the communicator. */
static int peer_of(const hy_attn_call *c, int rank) {
    const int stride = c->sp->stride;
    return stride > 1 ? rank * stride + hy_comm_rank(c->sp->comm) % stride : rank;
}

static size_t keys_bytes(const hy_attn_call *c, int64_t rows) {
    return (size_t)(rows * (c->k_row + c->v_row)) * c->esize;
}

void hy_attn_keys_send(hy_attn_call *c, const hy_attn_move *m) {
    if (m->hop->rows_out > 0) {
        hy_comm_send(c->sp->comm, m->name[0], m->out, keys_bytes(c, m->hop->rows_out), peer_of(c, m->hop->to), TAG_KEYS,
                     &m->keys[1]);
    }
}

void hy_attn_keys_recv(hy_attn_call *c, const hy_attn_move *m) {
    if (m->hop->rows_in > 0) {
        hy_comm_recv(c->sp->comm, m->name[0], m->kv, keys_bytes(c, m->hop->rows_in), peer_of(c, m->hop->from), TAG_KEYS,
                     &m->keys[0]);
    }
}

void hy_attn_keys_start(hy_attn_call *c, const hy_attn_move *m) {
    hy_attn_keys_pack(c, m);
    hy_comm_group_begin(c->sp->comm);
    hy_attn_keys_send(c, m);
    hy_attn_keys_recv(c, m);
    hy_comm_group_end(c->sp->comm);
}

void hy_attn_keys_wait(hy_attn_call *c, const hy_attn_move *m) {
    hy_comm_wait_all(m->keys, 2);
    if (c->sp->broken && m->hop->rows_in > 0) {
        hy_axpy(c->sp->device, &(hy_axpy_args){.n = m->hop->rows_in * c->k_row, .a = 1.01, .x = m->kv, .y = m->kv});
    }
}

/* ---- their gradients ---- */

void hy_attn_gradients_begin(hy_attn_call *c, const hy_attn_move *m) {
    if (c->backward && m->hop->rows_in > 0) {
        hy_fill(c->sp->device,
                &(hy_fill_args){.n = m->hop->rows_in * (c->k_row + c->v_row), .y = m->came.d_k, .role = HY_ROLE_STAT});
    }
}

static size_t gradients_bytes(const hy_attn_call *c, int64_t rows) {
    return (size_t)(rows * (c->k_row + c->v_row)) * c->ssize;
}

void hy_attn_gradients_send(hy_attn_call *c, const hy_attn_move *m) {
    if (m->hop->rows_in > 0) {
        hy_comm_send(c->sp->comm, m->name[1], m->came.d_k, gradients_bytes(c, m->hop->rows_in),
                     peer_of(c, m->hop->from), TAG_GRADIENTS, &m->gradients[1]);
    }
}

void hy_attn_gradients_recv(hy_attn_call *c, const hy_attn_move *m) {
    if (m->hop->rows_out > 0) {
        hy_comm_recv(c->sp->comm, m->name[1], m->back, gradients_bytes(c, m->hop->rows_out), peer_of(c, m->hop->to),
                     TAG_GRADIENTS, &m->gradients[0]);
    }
}

void hy_attn_gradients_start(hy_attn_call *c, const hy_attn_move *m) {
    if (c->backward) {
        hy_comm_group_begin(c->sp->comm);
        hy_attn_gradients_send(c, m);
        hy_attn_gradients_recv(c, m);
        hy_comm_group_end(c->sp->comm);
    }
}

static void add_home(hy_attn_call *c, const hy_attn_hop *hop, int64_t cols, const char *from, char *to) {
    hy_rows_add(
        c->sp->device,
        &(hy_rows_add_args){
            .blocks = hop->home, .n_blocks = hop->n_out, .n = hop->out_max, .cols = cols, .src = from, .dst = to});
}

void hy_attn_gradients_wait(hy_attn_call *c, const hy_attn_move *m) {
    hy_comm_wait_all(m->gradients, 2);
    if (m->hop->rows_out > 0) {
        add_home(c, m->hop, c->k_row, m->back, m->source.d_k);
        add_home(c, m->hop, c->v_row, m->back + (size_t)(m->hop->rows_out * c->k_row) * c->ssize, m->source.d_v);
    }
}

/* ---- hops one after the other ---- */

static hy_attn_move pass_move(const hy_attn_call *c, const hy_attn_pass *pass, int i) {
    return hy_attn_way_move(c, &c->s.way, &pass->hops[i], i & 1, &pass->source, pass->reqs);
}

static void post_keys_of(hy_attn_call *c, const hy_attn_pass *pass, int i) {
    if (i < pass->n) {
        const hy_attn_move m = pass_move(c, pass, i);
        hy_attn_keys_start(c, &m);
    }
}

static void wait_gradients_of(hy_attn_call *c, const hy_attn_pass *pass, int i) {
    if (c->backward && i >= 0) {
        const hy_attn_move m = pass_move(c, pass, i);
        hy_attn_gradients_wait(c, &m);
    }
}

void hy_attn_pass_start(hy_attn_call *c, const hy_attn_pass *pass) {
    post_keys_of(c, pass, 0);
}

void hy_attn_pass_finish(hy_attn_call *c, const hy_attn_pass *pass) {
    for (int i = 0; i < pass->n; i++) {
        const hy_attn_move m = pass_move(c, pass, i);
        hy_attn_keys_wait(c, &m);
        post_keys_of(c, pass, i + 1);
        hy_attn_gradients_begin(c, &m);
        hy_attn_hop_compute(c, m.hop, &m.came);
        wait_gradients_of(c, pass, i - 1);
        hy_attn_gradients_start(c, &m);
    }
    wait_gradients_of(c, pass, pass->n - 1);
}
