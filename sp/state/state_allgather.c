/* One all-gather of all maps: the message is gathered in place, own maps written straight into it. What no fragment reads is not folded. */
#include "sp/state/state_exchange.h"

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
    hy_comm_all_gather(pass->sp->comm, hy_state_pass_name(pass),
                       pass->message + (size_t)pass->sp->layout->rank * pass->rank_bytes, pass->message,
                       pass->rank_bytes, pass->gather);
}

static void gather_finish(hy_state_pass *pass) {
    const hy_layout *layout = pass->sp->layout;
    hy_comm_wait(pass->gather);
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
    char *H = pass->own_H - (size_t)layout->rank * pass->rank_bytes;
    for (int64_t id = 0; pass->sp->broken && id < layout->n_frags; id++) {
        const hy_fragment *f = &layout->frags[id];
        if (f->owner != layout->rank && hy_segment_leaves(f, pass->step)) {
            hy_state_damage(pass, H + (size_t)f->owner * pass->rank_bytes + (size_t)f->slot * pass->shape.h_bytes);
        }
    }
    const hy_segment_maps maps = {.shape = pass->shape,
                                  .A = pass->kept_A,
                                  .H = H,
                                  .group = layout->n_local,
                                  .group_ld = (int64_t)(pass->rank_bytes / hy_sp_size(pass->sp, HY_ROLE_STAT))};
    hy_segment_fold(pass->sp->device, &hy_state_pass_lists(pass)->fold, pass->step, &maps, pass->in);
}

const hy_state_row hy_state_row_allgather = {.title = "state all-gather",
                                             .kept = gather_kept,
                                             .open = gather_open,
                                             .post = gather_post,
                                             .finish = gather_finish};
