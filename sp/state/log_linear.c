/* Log-linear recurrences over sharded sequences (Guo et al. 2025, made sequence-parallel; the derivation is in
 * docs/mixers.md).
 *
 * The state that passes from fragment to fragment is one matrix per set bit of the position, but a fragment acts on all
 * of them by one transition A, that of the base recurrence; blocks are merged on the way, which the positions at its
 * two ends tell. So the exchange is the base recurrence's, with N states instead of one (segment_map.h, levels).
 *
 * H at the end of a run, position p: the blocks of p's set bits cut the run into at most N pieces. Each piece is a run
 * of the base recurrence, whose map (A_i,H_i) the base kernels make; the later pieces' transitions carry H_i to the
 * end, and all of them together are A.
 *
 * The state that a sequence leaves to the next step (sp->carries) is made of its last fragment's map in the same way, since the
 * kernels give none.
 *
 * Behind the exchange run what needs nothing from elsewhere: forward the runs whose document starts here, backward
 * those whose document ends here. The others start from what arrives, whatever sp->overlap says. */
#include "sp/lists/state_lists.h"
#include "sp/sp.h"
#include "sp/state/carried_states.h"
#include "sp/state/state_exchange.h"
#include "sp/state/state_heads.h"

typedef enum level_phase { LEVEL_FWD, LEVEL_BWD } level_phase;

typedef struct level_call {
    hy_sp *sp;
    hy_segment_shape shape, piece; /* N states, one state */
    hy_level_recur_args op;
    hy_state_pass pass;
    char *states; /* [n_local,N,HV,K,V] S_in, kept from forward to backward */
    char *dS1;    /* [n_local,N,HV,K,V] backward: gradient of what leaves runs */
    const hy_level_lists *lists;
    char *piece_A, *piece_H; /* [n_local·N,...] maps of pieces */
    char *join_work;         /* of hy_map_join */
} level_call;

static level_call call_of(hy_sp *sp, const hy_layout_dims *dims, const hy_level_recur_args *op) {
    level_call c = {.sp = sp, .op = *op};
    c.op.N = hy_level_states(op->L, dims->len, sp->carries);
    c.op.base.T = dims->T;
    c.piece = hy_segment_shape_of(&op->base, sp->profile->dtype);
    c.shape = hy_segment_shape_leveled(&c.piece, c.op.N);
    return c;
}

static size_t states_bytes(const level_call *c, const hy_layout_dims *dims) {
    return hy_layout_dims_cut(dims) || c->sp->carries ? hy_aligned((size_t)dims->n_local * c->shape.h_bytes) : 0;
}

static size_t log_linear_cut(level_call *c, const hy_layout_dims *dims, level_phase phase, hy_carve *work) {
    const hy_profile *profile = c->sp->profile;
    const size_t of_levels = profile->level_work(&c->op), of_maps = profile->recur_work(&c->op.base);
    const size_t pieces = (size_t)(dims->n_local * c->op.N);
    c->op.base.work = hy_carve_take(work, of_levels > of_maps ? of_levels : of_maps);
    if (phase == LEVEL_FWD && (hy_layout_dims_cut(dims) || c->sp->carries)) {
        c->piece_A = hy_carve_take(work, pieces * c->piece.a_bytes);
        c->piece_H = hy_carve_take(work, pieces * c->piece.h_bytes);
        c->join_work = hy_carve_take(work, 2 * c->piece.a_bytes);
    }
    if (!hy_layout_dims_cut(dims)) {
        if (phase == LEVEL_FWD && c->sp->carries) {
            c->pass.own_A = hy_carve_take(work, (size_t)dims->n_local * c->piece.a_bytes);
            c->pass.own_H = hy_carve_take(work, (size_t)dims->n_local * c->shape.h_bytes);
        }
        return work->used;
    }
    if (phase == LEVEL_BWD) {
        c->dS1 = hy_carve_take(work, (size_t)dims->n_local * c->shape.h_bytes);
    }
    c->pass.in = phase == LEVEL_FWD ? c->states : c->dS1;
    hy_state_open(&c->pass, c->sp, dims, &c->shape, phase == LEVEL_FWD ? 1 : -1, work);
    return work->used;
}

void hy_sp_level_recur_need(hy_lists_needs *needs, const hy_level_recur_args *shape) {
    if (hy_state_row_of(needs->method.state)->by_heads) {
        hy_state_heads_need(needs, &shape->base);
    }
    needs->recurrences = true;
    hy_lists_need_reach(needs, hy_reach_of(&needs->method, shape->base.log_decay_max));
    hy_lists_need_key(needs, &needs->levels, shape->L);
}

size_t hy_sp_level_recur_kept(const hy_sp *sp, const hy_layout_dims *dims, const hy_level_recur_args *shape) {
    if (hy_state_is_by_heads(sp, dims->size)) {
        return hy_level_heads_kept(sp, dims, shape);
    }
    hy_sp copy = *sp;
    const level_call c = call_of(&copy, dims, shape);
    return states_bytes(&c, dims) + hy_state_kept_bytes(dims, &c.shape);
}

size_t hy_sp_level_recur_carried(const hy_sp *sp, const hy_level_recur_args *shape) {
    const int64_t states = hy_level_states(shape->L, 0, true);
    return (size_t)states * hy_segment_shape_of(&shape->base, sp->profile->dtype).h_bytes;
}

size_t hy_sp_level_recur_work(const hy_sp *sp, const hy_layout_dims *dims, const hy_level_recur_args *shape) {
    if (hy_state_is_by_heads(sp, dims->size)) {
        return hy_level_heads_work(sp, dims, shape);
    }
    hy_sp copy = *sp;
    level_call c = call_of(&copy, dims, shape);
    const size_t fwd = log_linear_cut(&c, dims, LEVEL_FWD, &(hy_carve){0});
    const size_t bwd = log_linear_cut(&c, dims, LEVEL_BWD, &(hy_carve){0});
    return fwd > bwd ? fwd : bwd;
}

static level_call log_linear_begin(hy_sp *sp, hy_sp_level_recur *r, level_phase phase) {
    const hy_layout_dims dims = hy_layout_dims_of(sp->layout);
    level_call c = call_of(sp, &dims, &r->op);
    c.lists = hy_lists_levels(sp->lists, r->op.L);
    c.op.pos = sp->lists->doc_pos.device;
    c.pass.own_A = r->kept;
    c.states = c.pass.own_A + hy_state_kept_bytes(&dims, &c.shape);
    log_linear_cut(&c, &dims, phase, &(hy_carve){.base = r->work});
    return c;
}

/* ---- maps of fragments ---- */

static void log_linear_maps(level_call *c) {
    if (c->lists->n_joins == 0) {
        return;
    }
    hy_recur_args op = c->op.base;
    hy_recur_set_runs(&op, &c->lists->pieces);
    op.A_map = c->piece_A;
    op.H_map = c->piece_H;
    hy_recur_map(c->sp->device, &op);
    hy_map_join(c->sp->device, &(hy_map_join_args){.n = c->piece.HV,
                                                   .K = c->piece.K,
                                                   .V = c->piece.V,
                                                   .a_size = c->piece.a_size,
                                                   .levels = c->op.N,
                                                   .joins = c->lists->joins_device,
                                                   .n_joins = c->lists->n_joins,
                                                   .A_pieces = c->piece_A,
                                                   .H_pieces = c->piece_H,
                                                   .A = c->pass.own_A,
                                                   .H = c->pass.own_H,
                                                   .work = c->join_work});
}

/* ---- from step to step ---- */

/* Through own maps, which are there whether or not they were sent. */
static void fold_carried(level_call *c, const hy_fold_list *list) {
    const hy_segment_maps maps = {
        .shape = c->shape, .A = c->pass.own_A, .H = c->pass.own_H, .group = c->sp->layout->n_local};
    hy_segment_fold(c->sp->device, list, 1, &maps, c->states);
}

static void log_linear_take_up(level_call *c, const hy_sp_level_recur *r) {
    hy_carried_states_load(c->sp, &c->shape, r->carried, c->states);
    if (!hy_layout_cut(c->sp->layout)) {
        log_linear_maps(c);
    }
}

static void log_linear_leave(level_call *c, const hy_sp_level_recur *r) {
    fold_carried(c, &c->sp->lists->carried.leave);
    hy_carried_states_store(c->sp, &c->shape, c->pass.own_H, r->carried);
}

/* ---- forward and backward ---- */

typedef void level_kernel(hy_device *device, const hy_level_recur_args *op);

static void log_linear_on_runs(level_call *c, level_kernel *kernel, const hy_run_list *runs) {
    if (runs->n > 0) {
        hy_recur_set_runs(&c->op.base, runs);
        kernel(c->sp->device, &c->op);
    }
}

/* Runs that wait for nothing: forward those that start a document, backward those that end one. */
static void on_local_runs(level_call *c, level_kernel *kernel, int step) {
    const hy_run_lists *lists = &c->sp->lists->runs;
    const hy_run_list *runs = step > 0 ? &lists->starting : &lists->ending;
    const int64_t *first = step > 0 ? lists->first_starting : lists->first_ending;
    if (lists->part == 0) {
        log_linear_on_runs(c, kernel, runs);
        return;
    }
    for (int64_t slot = 0; slot < c->sp->layout->n_local; slot++) {
        const hy_run_list some = hy_run_list_part(runs, first[slot], first[slot + 1] - first[slot]);
        log_linear_on_runs(c, kernel, &some);
        hy_state_progress(&c->pass);
    }
}

void hy_sp_level_recur_fwd(hy_sp *sp, hy_sp_level_recur *r) {
    if (hy_state_is_by_heads(sp, sp->layout->size)) {
        hy_level_heads_fwd(sp, r);
        return;
    }
    level_call c = log_linear_begin(sp, r, LEVEL_FWD);
    c.op.base.S0 = c.states;
    if (sp->carries && sp->part != HY_SP_FINISH) {
        log_linear_take_up(&c, r);
    }
    if (hy_sp_starts(sp)) {
        log_linear_maps(&c);
        fold_carried(&c, &sp->lists->carried.enter);
        hy_state_post(&c.pass);
    }
    if (hy_sp_finishes(sp) && !hy_layout_cut(sp->layout)) {
        log_linear_on_runs(&c, hy_level_fwd, &sp->lists->runs.all);
    } else if (hy_sp_finishes(sp)) {
        hy_state_resume(&c.pass);
        on_local_runs(&c, hy_level_fwd, 1);
        hy_state_finish(&c.pass);
        log_linear_on_runs(&c, hy_level_fwd, &sp->lists->runs.continuing);
    }
    if (sp->carries && hy_sp_finishes(sp)) {
        log_linear_leave(&c, r);
    }
}

/* No run's result depends on which call it is in, so the bits are the same. */
void hy_sp_level_recur_recompute(hy_sp *sp, hy_sp_level_recur *r) {
    if (hy_state_is_by_heads(sp, sp->layout->size)) {
        hy_level_heads_recompute(sp, r);
        return;
    }
    level_call c = log_linear_begin(sp, r, LEVEL_FWD);
    c.op.base.S0 = c.states;
    log_linear_on_runs(&c, hy_level_fwd, &sp->lists->runs.all);
}

void hy_sp_level_recur_bwd(hy_sp *sp, hy_sp_level_recur *r) {
    if (hy_state_is_by_heads(sp, sp->layout->size)) {
        hy_level_heads_bwd(sp, r);
        return;
    }
    level_call c = log_linear_begin(sp, r, LEVEL_BWD);
    c.op.base.S0 = c.states;
    c.op.base.dS1 = c.dS1;
    if (hy_sp_starts(sp)) {
        c.op.base.dH = c.pass.own_H;
        log_linear_on_runs(&c, hy_level_map_bwd, &sp->lists->runs.continuing);
        hy_state_post(&c.pass);
    }
    if (hy_sp_finishes(sp) && !hy_layout_cut(sp->layout)) {
        log_linear_on_runs(&c, hy_level_bwd, &sp->lists->runs.all);
    } else if (hy_sp_finishes(sp)) {
        hy_state_resume(&c.pass);
        on_local_runs(&c, hy_level_bwd, -1);
        hy_state_finish(&c.pass);
        log_linear_on_runs(&c, hy_level_bwd, &sp->lists->runs.flowing);
    }
}
