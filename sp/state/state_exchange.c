/* allgather: the message is gathered in place, own maps written straight into it. ring: a slot is done once the state
 * that leaves it is on its way. Both skip what no fragment reads. */
#include "sp/state/state_exchange.h"

enum { TAG_STATE = 1000 }; /* + the slot of the fragment that the state enters */

size_t hy_state_kept_bytes(const hy_sp *sp, const hy_layout_dims *dims, const hy_segment_shape *shape) {
    return dims->size > 1 ? (size_t)hy_state_row_of(sp->method.state)->kept(dims) * shape->a_bytes : 0;
}

static size_t own_a_bytes(const hy_layout_dims *dims, const hy_segment_shape *shape) {
    return hy_aligned((size_t)dims->n_local * shape->a_bytes);
}

size_t hy_state_message_bytes(const hy_layout_dims *dims, const hy_segment_shape *shape, int step) {
    const size_t h_bytes = hy_aligned((size_t)dims->n_local * shape->h_bytes);
    return step > 0 ? own_a_bytes(dims, shape) + h_bytes : h_bytes;
}

void hy_state_open(hy_state_pass *pass, hy_sp *sp, const hy_layout_dims *dims, const hy_segment_shape *shape, int step,
                   hy_carve *work) {
    pass->sp = sp;
    pass->row = hy_state_row_of(sp->method.state);
    pass->step = step;
    pass->shape = *shape;
    pass->row->open(pass, dims, work);
}

static const char *pass_name(const hy_state_pass *pass) {
    return pass->step > 0 ? "state" : "state gradient";
}

static void damage(const hy_state_pass *pass, char *state) {
    const int64_t n = hy_segment_elements(&pass->shape);
    hy_axpy(pass->sp->device,
            &(hy_axpy_args){.n = n, .a = 0.5, .x = state, .y = state, .from = HY_ROLE_STAT, .to = HY_ROLE_STAT});
}

/* ---- allgather ---- */

static int64_t gather_kept(const hy_layout_dims *dims) {
    return dims->n_frags;
}

static void gather_open(hy_state_pass *pass, const hy_layout_dims *dims, hy_carve *work) {
    pass->rank_bytes = hy_state_message_bytes(dims, &pass->shape, pass->step);
    pass->message = hy_carve_take(work, (size_t)dims->size * pass->rank_bytes);
    if (pass->message) {
        pass->own_A = pass->step > 0 ? pass->message + (size_t)dims->rank * pass->rank_bytes : NULL;
        pass->own_H = pass->message + (size_t)(dims->rank + 1) * pass->rank_bytes -
                      hy_aligned((size_t)dims->n_local * pass->shape.h_bytes);
    }
}

static void gather_post(hy_state_pass *pass) {
    hy_comm_all_gather(pass->sp->comm, pass_name(pass),
                       pass->message + (size_t)pass->sp->layout->rank * pass->rank_bytes, pass->message,
                       pass->rank_bytes, &pass->gather);
}

static void gather_finish(hy_state_pass *pass) {
    const hy_layout *layout = pass->sp->layout;
    hy_comm_wait(&pass->gather);
    if (pass->step > 0) {
        const int64_t cols = layout->n_local * pass->shape.HV * pass->shape.a_size;
        const size_t element = hy_sp_size(pass->sp, HY_ROLE_STAT);
        hy_copy2d(pass->sp->device, &(hy_copy2d_args){.rows = layout->size,
                                                      .cols = cols,
                                                      .src_ld = (int64_t)(pass->rank_bytes / element),
                                                      .dst_ld = cols,
                                                      .src = pass->message,
                                                      .dst = pass->kept_A,
                                                      .from = HY_ROLE_STAT,
                                                      .to = HY_ROLE_STAT});
    }
    const hy_segment_maps maps = {.shape = pass->shape,
                                  .A = pass->kept_A,
                                  .H = pass->own_H - (size_t)layout->rank * pass->rank_bytes,
                                  .rank_bytes = pass->rank_bytes};
    for (int64_t id = 0; pass->sp->broken && id < layout->n_frags; id++) {
        const hy_fragment *f = &layout->frags[id];
        if (f->owner != layout->rank && hy_segment_leaves(f, pass->step)) {
            damage(pass, maps.H + (size_t)f->owner * maps.rank_bytes + (size_t)f->slot * pass->shape.h_bytes);
        }
    }
    hy_segment_fold(pass->sp->device, layout, pass->step, &maps, pass->in);
}

static void gather_bytes(const hy_layout_dims *dims, const hy_segment_shape *shape, int64_t *fwd, int64_t *bwd) {
    *fwd = (dims->size - 1) * (int64_t)hy_state_message_bytes(dims, shape, 1);
    *bwd = (dims->size - 1) * (int64_t)hy_state_message_bytes(dims, shape, -1);
}

const hy_state_row hy_state_row_allgather = {.title = "state all-gather",
                                             .kept = gather_kept,
                                             .open = gather_open,
                                             .post = gather_post,
                                             .finish = gather_finish,
                                             .bytes = gather_bytes};

/* ---- ring ---- */

static int64_t ring_kept(const hy_layout_dims *dims) {
    return dims->n_local;
}

static void ring_open(hy_state_pass *pass, const hy_layout_dims *dims, hy_carve *work) {
    pass->own_A = pass->kept_A;
    pass->own_H = hy_carve_take(work, (size_t)dims->n_local * pass->shape.h_bytes);
    pass->recv = hy_carve_take(work, (size_t)dims->n_local * sizeof(hy_req));
    pass->send = hy_carve_take(work, (size_t)dims->n_local * sizeof(hy_req));
    pass->done = hy_carve_take(work, (size_t)dims->n_local * sizeof(bool));
}

static void ring_receive(hy_state_pass *pass) {
    const hy_layout *layout = pass->sp->layout;
    for (int64_t slot = 0; slot < layout->n_local; slot++) {
        const int64_t id = layout->local[slot];
        pass->recv[slot] = pass->send[slot] = (hy_req){0};
        pass->done[slot] = layout->frags[id].len == 0;
        if (!hy_segment_enters(&layout->frags[id], pass->step)) {
            continue;
        }
        const int from = layout->frags[hy_layout_neighbour(layout, id, -pass->step)].owner;
        if (from != layout->rank) {
            hy_comm_recv(pass->sp->comm, pass_name(pass), pass->in + (size_t)slot * pass->shape.h_bytes,
                         pass->shape.h_bytes, from, TAG_STATE + (int)slot, &pass->recv[slot]);
        }
    }
}

/* The state that enters the slot is there: applies the own map and passes the result on. */
static void ring_pass_on(hy_state_pass *pass, int64_t slot) {
    const hy_layout *layout = pass->sp->layout;
    const hy_segment_shape *shape = &pass->shape;
    const int64_t id = layout->local[slot];
    const hy_fragment *f = &layout->frags[id];
    pass->done[slot] = true;
    if (!hy_segment_leaves(f, pass->step)) {
        return;
    }
    char *H = pass->own_H + (size_t)slot * shape->h_bytes;
    if (hy_segment_passes(f)) {
        hy_segment_pass(pass->sp->device, shape, f, pass->step, pass->own_A + (size_t)slot * shape->a_bytes,
                        pass->in + (size_t)slot * shape->h_bytes, H);
    }
    const hy_fragment *next = &layout->frags[hy_layout_neighbour(layout, id, pass->step)];
    if (next->owner == layout->rank) {
        hy_segment_copy(pass->sp->device, shape, H, pass->in + (size_t)next->slot * shape->h_bytes);
    } else {
        hy_comm_send(pass->sp->comm, pass_name(pass), H, shape->h_bytes, next->owner, TAG_STATE + (int)next->slot,
                     &pass->send[slot]);
    }
}

/* Every own fragment whose state is there, in the order of the chain; `wait`: all of them. Waiting in this order cannot
 * deadlock, as a state depends on earlier fragments only. */
static void ring_move_on(hy_state_pass *pass, bool wait) {
    const hy_layout *layout = pass->sp->layout;
    for (int64_t i = 0; i < layout->n_local; i++) {
        const int64_t slot = pass->step > 0 ? i : layout->n_local - 1 - i, id = layout->local[slot];
        if (pass->done[slot]) {
            continue;
        }
        if (hy_segment_enters(&layout->frags[id], pass->step)) {
            const hy_fragment *before = &layout->frags[hy_layout_neighbour(layout, id, -pass->step)];
            const bool remote = before->owner != layout->rank;
            if (remote && wait) {
                hy_comm_wait(&pass->recv[slot]);
            }
            if (remote ? !hy_comm_test(&pass->recv[slot]) : !pass->done[before->slot]) {
                continue;
            }
            if (remote && pass->sp->broken) {
                damage(pass, pass->in + (size_t)slot * pass->shape.h_bytes);
            }
        }
        ring_pass_on(pass, slot);
    }
}

static void ring_post(hy_state_pass *pass) {
    ring_receive(pass);
    ring_move_on(pass, false);
}

static void ring_advance(hy_state_pass *pass) {
    ring_move_on(pass, false);
}

static void ring_finish(hy_state_pass *pass) {
    ring_move_on(pass, true);
    hy_comm_wait_all(pass->send, pass->sp->layout->n_local);
}

static int64_t owner_of(const hy_layout_dims *dims, int64_t i) {
    return i < dims->size ? i : 2 * (int64_t)dims->size - 1 - i;
}

static bool is_empty(const hy_layout_dims *dims, int64_t i) {
    const int64_t F = dims->n_frags / dims->n_seq;
    return i * dims->len / F == (i + 1) * dims->len / F;
}

/* Whether the state leaving fragment i of a sequence of one document goes to another rank. */
static bool leaves_rank(const hy_layout_dims *dims, int64_t i, int step) {
    const int64_t F = dims->n_frags / dims->n_seq;
    int64_t next = i + step;
    while (next >= 0 && next < F && is_empty(dims, next)) {
        next += step;
    }
    return !is_empty(dims, i) && next >= 0 && next < F && owner_of(dims, next) != owner_of(dims, i);
}

static void ring_bytes(const hy_layout_dims *dims, const hy_segment_shape *shape, int64_t *fwd, int64_t *bwd) {
    for (int64_t i = 0; i < dims->n_frags / dims->n_seq; i++) {
        if (owner_of(dims, i) == dims->rank) {
            *fwd += leaves_rank(dims, i, 1) ? dims->n_seq * (int64_t)shape->h_bytes : 0;
            *bwd += leaves_rank(dims, i, -1) ? dims->n_seq * (int64_t)shape->h_bytes : 0;
        }
    }
}

const hy_state_row hy_state_row_ring = {.title = "state ring",
                                        .kept = ring_kept,
                                        .open = ring_open,
                                        .post = ring_post,
                                        .advance = ring_advance,
                                        .finish = ring_finish,
                                        .bytes = ring_bytes};

/* ---- all ---- */

const hy_state_row *hy_state_row_of(hy_state_exchange exchange) {
#define HY_X(value, name, row) [value] = &hy_state_row_##row,
    static const hy_state_row *const rows[] = {HY_STATE_EXCHANGES(HY_X)};
#undef HY_X
    return rows[exchange];
}

const char *hy_sp_state_title(const hy_sp_method *method) {
    return hy_state_row_of(method->state)->title;
}

void hy_state_post(hy_state_pass *pass) {
    pass->in_flight = true;
    pass->row->post(pass);
}

void hy_state_progress(hy_state_pass *pass) {
    hy_comm_progress(pass->sp->comm);
    if (pass->in_flight && pass->row->advance) {
        pass->row->advance(pass);
    }
}

void hy_state_finish(hy_state_pass *pass) {
    pass->in_flight = false;
    pass->row->finish(pass);
}

void hy_state_bytes(const hy_sp *sp, const hy_layout_dims *dims, const hy_segment_shape *shape, int64_t *fwd_bytes,
                    int64_t *bwd_bytes) {
    *fwd_bytes = *bwd_bytes = 0;
    if (dims->size > 1 && dims->n_seq > 0) {
        hy_state_row_of(sp->method.state)->bytes(dims, shape, fwd_bytes, bwd_bytes);
    }
}
