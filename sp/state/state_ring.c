/* The state itself goes from fragment to fragment. Own fragments go in the order of the chain, one of every sequence at a time (a stage): together are posted what they receive
 * and what leaves them whatever they receive; once all of it is there, one fold passes it on, then go what it gave, and the next stage.
 * The order is the layout's alone, the same on every rank and whenever messages arrive, and no rank waits for what is posted later
 * in the chain. What no fragment reads is not sent. */
#include "sp/state/state_exchange.h"

enum { TAG_STATE = 1000 }; /* + the slot of the fragment that the state enters */

static int64_t ring_kept(const hy_layout_dims *dims) {
    return dims->n_local;
}

static void ring_open(hy_state_pass *pass, const hy_layout_dims *dims, hy_carve *work) {
    pass->own_A = pass->kept_A;
    pass->own_H = hy_carve_take(work, (size_t)dims->n_local * pass->shape.h_bytes);
    pass->stages = dims->n_seq > 0 ? dims->n_local / dims->n_seq : 0;
}

/* Own fragment of this stage in sequence s. */
static int64_t slot_at(const hy_state_pass *pass, int64_t s) {
    return s * pass->stages + (pass->step > 0 ? pass->stage : pass->stages - 1 - pass->stage);
}

static const hy_fragment *fragment_at(const hy_state_pass *pass, int64_t slot) {
    const hy_layout *layout = pass->sp->layout;
    return &layout->frags[layout->local[slot]];
}

/* The fragment before (step −1) or behind one in the chain. */
static const hy_fragment *fragment_beside(const hy_state_pass *pass, int64_t slot, int step) {
    const hy_layout *layout = pass->sp->layout;
    return &layout->frags[hy_layout_neighbour(layout, layout->local[slot], step * pass->step)];
}

/* The rank that has the fragment before (step −1) or behind an own one in the chain, −1 if that is this rank. */
static int other_rank(const hy_state_pass *pass, int64_t slot, int step, int64_t *its_slot) {
    const hy_fragment *f = fragment_beside(pass, slot, step);
    *its_slot = f->slot;
    return f->owner == pass->sp->layout->rank ? -1 : f->owner;
}

/* What this stage's fragments receive from those that pass a state on, or from those that do not: in the groups in which they send it. */
static void ring_receive(hy_state_pass *pass, bool passing) {
    for (int64_t s = 0, unused; s < pass->sp->layout->n_seq; s++) {
        const int64_t slot = slot_at(pass, s);
        const bool enters = hy_segment_enters(fragment_at(pass, slot), pass->step) &&
                            hy_segment_passes(fragment_beside(pass, slot, -1)) == passing;
        const int from = enters ? other_rank(pass, slot, -1, &unused) : -1;
        if (from >= 0) {
            hy_comm_recv(pass->sp->comm, hy_state_pass_name(pass), pass->in + (size_t)slot * pass->shape.h_bytes,
                         pass->shape.h_bytes, from, TAG_STATE + (int)slot, &pass->recv[slot]);
        }
    }
}

/* What leaves this stage's fragments: of those that pass a state on, or of those that do not. */
static void ring_send(hy_state_pass *pass, bool passing) {
    for (int64_t s = 0, slot_there; s < pass->sp->layout->n_seq; s++) {
        const int64_t slot = slot_at(pass, s);
        const hy_fragment *f = fragment_at(pass, slot);
        if (!hy_segment_leaves(f, pass->step) || hy_segment_passes(f) != passing) {
            continue;
        }
        const int to = other_rank(pass, slot, 1, &slot_there);
        if (to >= 0) {
            hy_comm_send(pass->sp->comm, hy_state_pass_name(pass), pass->own_H + (size_t)slot * pass->shape.h_bytes,
                         pass->shape.h_bytes, to, TAG_STATE + (int)slot_there, &pass->send[slot]);
        }
    }
}

static void ring_open_stage(hy_state_pass *pass) {
    hy_comm *comm = pass->sp->comm;
    if (pass->stage < pass->stages) {
        hy_comm_group_begin(comm);
        ring_receive(pass, false);
        ring_send(pass, false);
        hy_comm_group_end(comm);
        hy_comm_group_begin(comm);
        ring_receive(pass, true);
        hy_comm_group_end(comm);
    }
}

/* Whether all that this stage's fragments receive is there. */
static bool ring_arrived(hy_state_pass *pass, bool wait) {
    for (int64_t s = 0; s < pass->sp->layout->n_seq; s++) {
        hy_req *req = &pass->recv[slot_at(pass, s)];
        if (wait) {
            hy_comm_wait(req);
        } else if (!hy_comm_test(req)) {
            return false;
        }
    }
    return true;
}

static void ring_damage(hy_state_pass *pass) {
    for (int64_t s = 0, unused; pass->sp->broken && s < pass->sp->layout->n_seq; s++) {
        const int64_t slot = slot_at(pass, s);
        if (hy_segment_enters(fragment_at(pass, slot), pass->step) && other_rank(pass, slot, -1, &unused) >= 0) {
            hy_state_damage(pass, pass->in + (size_t)slot * pass->shape.h_bytes);
        }
    }
}

/* Stage after stage as far as messages have come; `wait`: all. */
static void ring_move_on(hy_state_pass *pass, bool wait) {
    const hy_segment_maps maps = {
        .shape = pass->shape, .A = pass->own_A, .H = pass->own_H, .group = pass->sp->layout->n_local};
    while (pass->stage < pass->stages && ring_arrived(pass, wait)) {
        ring_damage(pass);
        hy_segment_fold(pass->sp->device, &hy_state_pass_lists(pass)->ring[pass->stage], pass->step, &maps, pass->in);
        hy_comm_group_begin(pass->sp->comm);
        ring_send(pass, true);
        hy_comm_group_end(pass->sp->comm);
        pass->stage++;
        ring_open_stage(pass);
    }
}

static void ring_post(hy_state_pass *pass) {
    ring_open_stage(pass);
}

/* On an asynchronous device the host cannot see what has come, and the work given next would wait for it. */
static void ring_advance(hy_state_pass *pass) {
    if (!hy_device_is_async(pass->sp->device)) {
        ring_move_on(pass, false);
    }
}

static void ring_finish(hy_state_pass *pass) {
    ring_move_on(pass, true);
    hy_comm_wait_all(pass->send, pass->sp->layout->n_local);
}

const hy_state_row hy_state_row_ring = {.title = "state ring",
                                        .kept = ring_kept,
                                        .open = ring_open,
                                        .post = ring_post,
                                        .advance = ring_advance,
                                        .finish = ring_finish};
