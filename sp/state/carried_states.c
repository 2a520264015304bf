/* A sequence whose first document was begun in an earlier step starts from the state that step left: as if a fragment before its first had
 * sent it, but for the exchange, in which nothing enters a first fragment. So what its first run makes of that state joins the H that
 * it sends (hy_carried_folds). Backward stops there. */
#include "sp/state/carried_states.h"

void hy_carried_states_load(const hy_sp *sp, const hy_segment_shape *shape, const void *carried, char *states) {
    for (int64_t s = 0; s < sp->layout->n_seq; s++) {
        const hy_fragment *f = hy_layout_own_end(sp->layout, s, 0);
        if (f && sp->layout->before[s] > 0) {
            hy_segment_copy(sp->device, shape, 1, (const char *)carried + (size_t)s * shape->h_bytes,
                            states + (size_t)f->slot * shape->h_bytes);
        }
    }
}

void hy_carried_states_store(const hy_sp *sp, const hy_segment_shape *shape, const char *states, void *carried) {
    for (int64_t s = 0; s < sp->layout->n_seq; s++) {
        const hy_fragment *f = hy_layout_own_end(sp->layout, s, 1);
        if (f) {
            hy_segment_copy(sp->device, shape, 1, states + (size_t)f->slot * shape->h_bytes,
                            (char *)carried + (size_t)s * shape->h_bytes);
        }
    }
}
