/* A sequence whose first document was begun in an earlier step starts from the state that step left: as if a fragment before its first had
 * sent it, but for the exchange, in which nothing enters a first fragment. So what its first run makes of that state joins the H that
 * it sends (hy_carried_folds). Backward stops there. */
#include "sp/state/carried_states.h"

/* Own first (last) fragment of the sequence, NULL if it is another rank's. */
static const hy_fragment *own_end(const hy_layout *layout, int64_t sequence, int last) {
    const hy_fragment *f = &layout->frags[hy_layout_end_fragment(layout, sequence, last)];
    return f->owner == layout->rank ? f : NULL;
}

void hy_carried_states_load(const hy_sp *sp, const hy_segment_shape *shape, const void *carried, char *states) {
    for (int64_t s = 0; s < sp->layout->n_seq; s++) {
        const hy_fragment *f = own_end(sp->layout, s, 0);
        if (f && sp->layout->before[s] > 0) {
            hy_segment_copy(sp->device, shape, 1, (const char *)carried + (size_t)s * shape->h_bytes,
                            states + (size_t)f->slot * shape->h_bytes);
        }
    }
}

void hy_carried_states_store(const hy_sp *sp, const hy_segment_shape *shape, const char *states, void *carried) {
    for (int64_t s = 0; s < sp->layout->n_seq; s++) {
        const hy_fragment *f = own_end(sp->layout, s, 1);
        if (f) {
            hy_segment_copy(sp->device, shape, 1, states + (size_t)f->slot * shape->h_bytes,
                            (char *)carried + (size_t)s * shape->h_bytes);
        }
    }
}
