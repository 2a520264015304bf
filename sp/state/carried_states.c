/* States that go on from step to step. A sequence whose first document was begun in an earlier step starts from the state that step left:
 * as if a fragment before its first had sent it, but for the exchange, in which nothing enters a first fragment. So what its first
 * run makes of that state joins the H that it sends. Backward stops there. */
#include "sp/state/recurrence_internal.h"

size_t hy_sp_recur_carried(const hy_sp *sp, const hy_recur_args *shape) {
    return hy_segment_shape_of(shape, sp->profile->dtype).h_bytes;
}

typedef void state_at_end(const hy_recur_call *c, char *state, char *carried);

/* For each sequence whose first (last) fragment is here: the fragment's entry of `states`, the sequence's of `carried`. */
static void for_own_ends(const hy_recur_call *c, int last, char *states, state_at_end *move) {
    for (int64_t s = 0; s < c->layout->n_seq; s++) {
        const hy_fragment *f = &c->layout->frags[hy_layout_end_fragment(c->layout, s, last)];
        if (f->owner == c->layout->rank && (last || c->layout->before[s] > 0)) {
            move(c, states + (size_t)f->slot * c->shape.h_bytes, (char *)c->r->carried + (size_t)s * c->shape.h_bytes);
        }
    }
}

static void load_state(const hy_recur_call *c, char *state, char *carried) {
    hy_segment_copy(c->sp->device, &c->shape, 1, carried, state);
}

static void store_state(const hy_recur_call *c, char *state, char *carried) {
    hy_segment_copy(c->sp->device, &c->shape, 1, state, carried);
}

void hy_carried_states_load(hy_recur_call *c) {
    for_own_ends(c, 0, c->kept_states, load_state);
}

void hy_carried_states_store(hy_recur_call *c) {
    for_own_ends(c, 1, c->S1, store_state);
}

void hy_carried_states_pass(hy_recur_call *c) {
    for (int64_t s = 0; s < c->layout->n_seq; s++) {
        const hy_fragment *f = &c->layout->frags[hy_layout_end_fragment(c->layout, s, 0)];
        if (f->owner == c->layout->rank && c->layout->before[s] > 0 && f->single && f->flows) {
            char *H = c->pass.own_H + (size_t)f->slot * c->shape.h_bytes;
            hy_segment_apply(c->sp->device, &c->shape, 1, c->pass.own_A + (size_t)f->slot * c->shape.a_bytes,
                             c->kept_states + (size_t)f->slot * c->shape.h_bytes, H, H);
        }
    }
}
