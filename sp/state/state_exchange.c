/* What all ways to exchange states share. */
#include "sp/state/state_exchange.h"

size_t hy_state_kept_bytes(const hy_layout_dims *dims, const hy_segment_shape *shape) {
    return hy_layout_dims_cut(dims) ? hy_aligned((size_t)dims->n_local * shape->a_bytes) : 0;
}

void hy_state_open(hy_state_pass *pass, hy_sp *sp, const hy_layout_dims *dims, const hy_segment_shape *shape, int step,
                   hy_carve *work) {
    pass->sp = sp;
    pass->row = hy_state_row_of(sp->method.state);
    pass->step = step;
    pass->shape = *shape;
    pass->reach = hy_reach_among(dims, hy_reach_of(&sp->method, shape->log_decay));
    if (sp->lists) { /* not while sizes are planned */
        pass->requests = sp->lists->requests;
        pass->lists = hy_lists_states(sp->lists, pass->reach);
    }
    pass->row->open(pass, dims, work);
}

const char *hy_state_pass_name(const hy_state_pass *pass) {
    return pass->step > 0 ? "state" : "state gradient";
}

void hy_state_damage(const hy_state_pass *pass, char *state, int64_t n) {
    hy_axpy(pass->sp->device,
            &(hy_axpy_args){.n = n, .a = 0.5, .x = state, .y = state, .from = HY_ROLE_STAT, .to = HY_ROLE_STAT});
}

const hy_state_row *hy_state_row_of(hy_state_exchange exchange) {
#define HY_X(value, name, row) [value] = &hy_state_row_##row,
    static const hy_state_row *const rows[] = {HY_STATE_EXCHANGES(HY_X)};
#undef HY_X
    return rows[exchange];
}

const char *hy_sp_state_title(const hy_sp_method *method) {
    return hy_state_row_of(method->state)->title;
}

/* On an asynchronous device what advances the pass waits (advance): that is written down as it stands. */
static void note_early(const hy_state_pass *pass, hy_early early) {
    if (!pass->sp->profile->async) {
        hy_comm_early(pass->sp->comm, early);
    }
}

void hy_state_post(hy_state_pass *pass) {
    pass->row->post(pass);
    note_early(pass, HY_EARLY_FROM);
    *pass->sp->lists->pass = *pass;
    pass->sp->lists->pass->in_flight = true;
}

void hy_state_resume(hy_state_pass *pass) {
    *pass = *pass->sp->lists->pass;
    pass->sp->lists->pass->in_flight = false;
    hy_state_progress(pass);
}

/* Nothing is gained by taking up the last message early; but one that another depends on goes on as soon as it has come. On an asynchronous device
 * the host cannot see that, and what it gives next waits for it: there it is waited for between two operations, one message at a time, so that
 * the rest can hide what follows. */
static void advance(hy_state_pass *pass) {
    if (pass->row->posts_later(pass)) {
        pass->row->move_on(pass, pass->sp->profile->async ? HY_MOVE_ONE : HY_MOVE_WHAT_CAME);
    }
}

void hy_state_progress(hy_state_pass *pass) {
    hy_comm_progress(pass->sp->comm);
    if (pass->in_flight) {
        advance(pass);
    }
}

void hy_sp_progress(const hy_sp *sp) {
    hy_comm_progress(sp->comm);
    if (sp->lists->pass && sp->lists->pass->in_flight) {
        advance(sp->lists->pass);
    }
}

void hy_state_finish(hy_state_pass *pass) {
    pass->sp->lists->pass->in_flight = pass->in_flight = false;
    note_early(pass, HY_EARLY_BEGIN);
    pass->row->move_on(pass, HY_MOVE_ALL);
    note_early(pass, HY_EARLY_END);
    if (pass->row->finish) {
        pass->row->finish(pass);
    }
}
