/* All-gather attention: the ring's hops, all at once. Every rank sends the rows that others see before it computes its own keys, and computes
 * theirs when all have come. Backward gathers them again; the gradients go to their owners in one exchange of all with all, and each
 * owner adds them in order of hops. One latency instead of one per hop, for memory of everybody's keys. */
#include "sp/attention/attention_move.h"

static hy_attn_others gather_others(const hy_sp_method *method, const hy_layout_dims *dims) {
    (void)method;
    const int64_t hops = dims->size - 1;
    return (hy_attn_others){.hops = hops, .out = hops * dims->n_local, .requests = 2 * hops};
}

/* The first part holds rows that came and, when they are computed, gradients that come back; the second rows that leave and, when
 * they are away, gradients of what came. */
static void gather_cut(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape, hy_carve *work,
                       hy_attn_scratch *s) {
    const int64_t rows = (dims->size - 1) * hy_kv_rows_max(dims, shape->window);
    for (int i = 0; i < 2; i++) {
        s->everybody[i] = hy_carve_take(work, (size_t)(rows * (hy_attn_k_row(shape) + hy_attn_v_row(shape))) *
                                                  hy_sp_size(sp, HY_ROLE_STAT));
    }
}

/* Hops from the first on, each behind the former. */
typedef struct gather_walk {
    hy_attn_move now;
    int i;
    int64_t in, out; /* rows of those before */
} gather_walk;

static bool next_move(const hy_attn_call *c, gather_walk *w) {
    const hy_attn_lists *lists = c->lists;
    w->in += w->i > 0 ? lists->hops[w->i].rows_in : 0;
    w->out += w->i > 0 ? lists->hops[w->i].rows_out : 0;
    if (++w->i == lists->n_hops) {
        return false;
    }
    const size_t row = (size_t)(c->k_row + c->v_row);
    char *const *part = c->s.everybody;
    hy_attn_move *m = &w->now;
    *m = (hy_attn_move){.hop = &lists->hops[w->i], .source = hy_attn_own_rows(c)};
    m->kv = part[0] + (size_t)w->in * row * c->esize;
    m->back = part[0] + (size_t)w->out * row * c->ssize;
    m->out = part[1] + (size_t)w->out * row * c->esize;
    m->came = hy_attn_rows_in(c, m->hop->rows_in, m->kv, part[1] + (size_t)w->in * row * c->ssize);
    m->keys = lists->reqs + 2 * (w->i - 1);
    m->gradients = m->keys;
    m->name[0] = "attention K,V";
    m->name[1] = "attention dK,dV";
    return true;
}

static void each_move(hy_attn_call *c, void (*act)(hy_attn_call *, const hy_attn_move *)) {
    for (gather_walk w = {.i = 0}; next_move(c, &w);) {
        act(c, &w.now);
    }
}

static void compute_move(hy_attn_call *c, const hy_attn_move *m) {
    hy_attn_hop_compute(c, m->hop, &m->came);
}

static void keys_gather_post(hy_attn_call *c) {
    each_move(c, hy_attn_keys_pack);
    hy_comm_group_begin(c->sp->comm);
    each_move(c, hy_attn_keys_send);
    each_move(c, hy_attn_keys_recv);
    hy_comm_group_end(c->sp->comm);
}

static void keys_gather_finish(hy_attn_call *c) {
    each_move(c, hy_attn_keys_wait);
    each_move(c, hy_attn_gradients_begin);
    each_move(c, compute_move);
    if (c->backward) {
        hy_comm_group_begin(c->sp->comm);
        each_move(c, hy_attn_gradients_send);
        each_move(c, hy_attn_gradients_recv);
        hy_comm_group_end(c->sp->comm);
        each_move(c, hy_attn_gradients_wait);
    }
}

const hy_attn_row hy_attn_row_allgather = {.title = "K/V all-gather",
                                           .latent_title = "latent all-gather",
                                           .others = gather_others,
                                           .part_rows = hy_kv_rows_max,
                                           .build = hy_attn_build_pairwise,
                                           .cut = gather_cut,
                                           .post = keys_gather_post,
                                           .finish = keys_gather_finish};
