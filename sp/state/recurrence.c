/* Linear recurrences over sharded sequences. Forward: maps of the fragments → post the exchange → local: what needs no
 * state from elsewhere → finish → the rest. Backward alike, with adjoints. With one rank there is no map and no
 * exchange.
 *
 * Local in forward are the runs whose document starts here and, in `split`, the others from a zero state, to which
 * inject adds the incoming state's part. Local in backward are the runs whose document ends here.
 *
 * Source: LASP-2 (Sun et al. 2025), generalised to all decays and the delta rule. */
#include "sp/state/carried_states.h"
#include "sp/state/recurrence_internal.h"
#include "sp/state/state_heads.h"

static size_t recurrence_cut(hy_recur_call *c, const hy_layout_dims *dims, hy_recur_phase phase, hy_carve *work) {
    const size_t state = c->shape.h_bytes;
    const int64_t slots = dims->n_local + c->n_docs;
    c->op.work = hy_carve_take(work, c->sp->profile->recur_work(&c->op));
    if (c->sp->carries && phase == HY_RECUR_FWD) {
        c->S1 = hy_carve_take(work, (size_t)slots * state);
    }
    if (c->n_docs > 0) {
        c->S0 = hy_carve_take(work, (size_t)slots * state);
        if (phase == HY_RECUR_FWD) {
            c->S1 = hy_carve_take(work, (size_t)slots * state);
        } else {
            c->dS0 = hy_carve_take(work, (size_t)slots * state);
            c->end_A = hy_carve_take(work, (size_t)dims->n_local * c->shape.a_bytes);
            c->end_H = hy_carve_take(work, (size_t)dims->n_local * state);
        }
    }
    if (phase == HY_RECUR_BWD) {
        c->dS1 = hy_carve_take(work, (size_t)slots * state);
    } else {
        c->between[0] = hy_carve_take(work, state);
        c->between[1] = hy_carve_take(work, state);
    }
    if (hy_layout_dims_cut(dims)) {
        c->pass.in = phase == HY_RECUR_FWD ? c->kept_states : c->dS1;
        hy_state_open(&c->pass, c->sp, dims, &c->shape, phase == HY_RECUR_FWD ? 1 : -1, work);
    }
    return work->used;
}

/* S_in of every own fragment, behind the transitions. One rank keeps nothing but what is carried. */
static size_t kept_states_bytes(const hy_sp *sp, const hy_layout_dims *dims, const hy_segment_shape *shape) {
    return hy_layout_dims_cut(dims) || sp->carries ? hy_aligned((size_t)dims->n_local * shape->h_bytes) : 0;
}

bool hy_state_is_by_heads(const hy_sp *sp, int size) {
    return size > 1 && hy_state_row_of(sp->method.state)->by_heads;
}

void hy_sp_recur_need(hy_lists_needs *needs, const hy_recur_args *shape, int64_t n_docs_with_states) {
    if (hy_state_row_of(needs->method.state)->by_heads) {
        hy_state_heads_need(needs, shape);
    }
    needs->recurrences = true;
    hy_lists_need_reach(needs, hy_reach_of(&needs->method, shape->log_decay_max));
    needs->n_states = n_docs_with_states > needs->n_states ? n_docs_with_states : needs->n_states;
}

size_t hy_sp_recur_kept(const hy_sp *sp, const hy_layout_dims *dims, const hy_recur_args *shape) {
    if (hy_state_is_by_heads(sp, dims->size)) {
        return hy_state_heads_kept(sp, dims, shape);
    }
    const hy_segment_shape s = hy_segment_shape_of(shape, sp->profile->dtype);
    return kept_states_bytes(sp, dims, &s) + hy_state_kept_bytes(dims, &s);
}

size_t hy_sp_recur_carried(const hy_sp *sp, const hy_recur_args *shape) {
    return hy_segment_shape_of(shape, sp->profile->dtype).h_bytes;
}

size_t hy_sp_recur_work(const hy_sp *sp, const hy_layout_dims *dims, const hy_recur_args *shape,
                        int64_t n_docs_with_states) {
    if (hy_state_is_by_heads(sp, dims->size)) {
        return hy_state_heads_work(sp, dims, shape, n_docs_with_states);
    }
    hy_sp copy = *sp;
    hy_recur_call c = {.sp = &copy, .op = *shape, .n_docs = n_docs_with_states};
    c.op.T = dims->T;
    c.shape = hy_segment_shape_of(shape, sp->profile->dtype);
    const size_t fwd = recurrence_cut(&c, dims, HY_RECUR_FWD, &(hy_carve){0});
    const size_t bwd = recurrence_cut(&c, dims, HY_RECUR_BWD, &(hy_carve){0});
    return fwd > bwd ? fwd : bwd;
}

static hy_recur_call recurrence_begin(hy_sp *sp, hy_sp_recur *r, hy_recur_phase phase) {
    const hy_layout_dims dims = hy_layout_dims_of(sp->layout);
    hy_recur_call c = {.sp = sp, .r = r, .layout = sp->layout, .op = r->op};
    c.op.T = sp->layout->T;
    c.shape = hy_segment_shape_of(&r->op, sp->profile->dtype);
    c.n_docs = r->h0 || r->dht || r->ht || r->dh0 ? sp->layout->n_docs : 0;
    c.pass.own_A = r->kept;
    c.kept_states = c.pass.own_A + hy_state_kept_bytes(&dims, &c.shape);
    recurrence_cut(&c, &dims, phase, &(hy_carve){.base = r->work});
    c.runs = c.n_docs > 0 ? &sp->lists->document_runs : c.S1 ? &sp->lists->carrying_runs : &sp->lists->runs;
    if (c.n_docs > 0) {
        hy_document_load_h0(&c);
    } else {
        c.S0 = kept_states_bytes(sp, &dims, &c.shape) > 0 ? c.kept_states : NULL;
    }
    return c;
}

/* ---- forward ---- */

static void recurrence_fwd(hy_recur_call *c, const hy_run_list *runs, const void *S0, void *S1) {
    if (runs->n == 0) {
        return;
    }
    hy_recur_set_runs(&c->op, runs);
    c->op.S0 = S0;
    c->op.S1 = S1;
    hy_recur_fwd(c->sp->device, &c->op);
}

/* One run in parts, so that the exchange in flight advances between them: the state passes from part to part. */
static void fwd_in_parts(hy_recur_call *c, const hy_run_list *parts, const void *S0, void *S1) {
    for (int64_t i = 0; i < parts->n; i++) {
        const hy_run_list part = hy_run_list_part(parts, i, 1);
        const bool last = i + 1 == parts->n;
        recurrence_fwd(c, &part, i == 0 ? S0 : c->between[i % 2], last ? S1 : c->between[(i + 1) % 2]);
        hy_state_progress(&c->pass);
    }
}

/* Runs in groups of about one part's tokens, longer ones in parts; *next_part: the first's. */
static void fwd_grouped(hy_recur_call *c, const hy_run_list *runs, int64_t *next_part, const void *S0, void *S1) {
    const int64_t part = c->runs->part;
    for (int64_t first = 0, next; first < runs->n; first = next) {
        int64_t tokens = runs->host[first].len;
        for (next = first + 1; next < runs->n && tokens + runs->host[next].len <= part; next++) {
            tokens += runs->host[next].len;
        }
        if (tokens > part) {
            const int64_t n = (tokens + part - 1) / part;
            const hy_run_list parts = hy_run_list_part(&c->runs->parts, *next_part, n);
            fwd_in_parts(c, &parts, S0, S1);
            *next_part += n;
        } else {
            const hy_run_list group = hy_run_list_part(runs, first, next - first);
            recurrence_fwd(c, &group, S0, S1);
            hy_state_progress(&c->pass);
        }
    }
}

/* Continuing runs that start from the incoming state, and so wait for it; the others start from zero, and what it adds is injected.
 * Only a pass from the incoming state gives the state at a document's end. */
static hy_run_list seeded_runs(const hy_recur_call *c) {
    const hy_run_list *all = &c->runs->continuing;
    const int64_t first = c->sp->method.overlap == HY_OVERLAP_SEEDED ? 0 : c->S1 ? c->runs->n_passing : all->n;
    return hy_run_list_part(all, first, all->n - first);
}

static hy_run_list injected_runs(const hy_recur_call *c) {
    return hy_run_list_part(&c->runs->continuing, 0, c->runs->continuing.n - seeded_runs(c).n);
}

static void recurrence_maps(hy_recur_call *c) {
    hy_recur_set_runs(&c->op, &c->sp->lists->runs.all);
    c->op.A_map = c->pass.own_A;
    c->op.H_map = c->pass.own_H;
    hy_recur_map(c->sp->device, &c->op);
    if (c->n_docs > 0 && c->r->h0) {
        hy_document_add_h0(c);
    }
    if (c->sp->carries) {
        const hy_segment_maps maps = {
            .shape = c->shape, .A = c->pass.own_A, .H = c->pass.own_H, .group = c->layout->n_local};
        hy_segment_fold(c->sp->device, &c->sp->lists->carried.enter, 1, &maps, c->kept_states);
    }
}

/* What needs nothing from elsewhere, in as few calls as there are places where states come from. */
static void local_whole(hy_recur_call *c) {
    const hy_run_list injected = injected_runs(c);
    if (c->S1 == NULL && injected.n == c->runs->continuing.n) {
        recurrence_fwd(c, &c->runs->all, NULL, NULL);
        return;
    }
    recurrence_fwd(c, &injected, NULL, NULL);
    recurrence_fwd(c, &c->runs->starting, c->S0, c->S1);
}

static void recurrence_local(hy_recur_call *c) {
    const hy_run_lists *runs = c->runs;
    const int64_t n_injected = injected_runs(c).n;
    int64_t part = 0; /* parts are in the order of the runs */
    if (runs->part == 0) {
        local_whole(c);
        return;
    }
    for (int64_t slot = 0; slot < c->layout->n_local; slot++) {
        const int64_t at = runs->continuing_at[slot], first = runs->first_starting[slot];
        if (at >= 0 && at < n_injected) {
            const hy_run_list run = hy_run_list_part(&runs->continuing, at, 1);
            fwd_grouped(c, &run, &part, NULL, NULL);
        } else if (at >= 0 && runs->continuing.host[at].len > runs->part) {
            part += (runs->continuing.host[at].len + runs->part - 1) / runs->part;
        }
        const hy_run_list starting = hy_run_list_part(&runs->starting, first, runs->first_starting[slot + 1] - first);
        fwd_grouped(c, &starting, &part, c->S0, c->S1);
    }
}

/* Injected runs, then seeded ones: each in one call. */
static void add_incoming(hy_recur_call *c) {
    const hy_run_list injected = injected_runs(c), seeded = seeded_runs(c);
    if (injected.n > 0) {
        hy_recur_set_runs(&c->op, &injected);
        c->op.S0 = c->S0;
        hy_recur_inject(c->sp->device, &c->op);
    }
    recurrence_fwd(c, &seeded, c->S0, c->S1);
}

/* After S_in has arrived in kept_states. */
static void take_incoming(hy_recur_call *c) {
    if (c->S0 != c->kept_states && hy_layout_cut(c->layout)) {
        hy_segment_copy(c->sp->device, &c->shape, c->layout->n_local, c->kept_states, c->S0);
    }
}

static void finish_fwd(hy_recur_call *c) {
    if (!hy_layout_cut(c->layout)) {
        recurrence_fwd(c, &c->runs->all, c->S0, c->S1);
    } else {
        hy_state_resume(&c->pass);
        recurrence_local(c);
        hy_state_finish(&c->pass);
        take_incoming(c);
        add_incoming(c);
    }
    if (c->r->ht) {
        hy_document_store_ht(c);
    }
    if (c->sp->carries) {
        hy_carried_states_store(c->sp, &c->shape, c->S1, c->r->carried);
    }
}

void hy_sp_recur_fwd(hy_sp *sp, hy_sp_recur *r) {
    if (hy_state_is_by_heads(sp, sp->layout->size)) {
        hy_state_heads_fwd(sp, r);
        return;
    }
    hy_recur_call c = recurrence_begin(sp, r, HY_RECUR_FWD);
    if (sp->carries && sp->part != HY_SP_FINISH) {
        hy_carried_states_load(sp, &c.shape, r->carried, c.kept_states);
    }
    if (hy_sp_starts(sp)) {
        recurrence_maps(&c);
        hy_state_post(&c.pass);
    }
    if (hy_sp_finishes(sp)) {
        finish_fwd(&c);
    }
}

/* The same calls on the same pieces, so that the bits are the same. */
void hy_sp_recur_recompute(hy_sp *sp, hy_sp_recur *r) {
    if (hy_state_is_by_heads(sp, sp->layout->size)) {
        hy_state_heads_recompute(sp, r);
        return;
    }
    hy_recur_call c = recurrence_begin(sp, r, HY_RECUR_FWD);
    if (!hy_layout_cut(sp->layout)) {
        recurrence_fwd(&c, &c.runs->all, c.S0, c.S1);
    } else {
        take_incoming(&c);
        recurrence_local(&c);
        add_incoming(&c);
    }
}

/* ---- backward ---- */

static void recurrence_bwd(hy_recur_call *c, const hy_run_list *runs) {
    if (runs->n == 0) {
        return;
    }
    hy_recur_set_runs(&c->op, runs);
    c->op.S0 = c->S0;
    c->op.dS1 = c->dS1;
    c->op.dS0 = c->dS0;
    hy_recur_bwd(c->sp->device, &c->op);
}

static void maps_bwd(hy_recur_call *c) {
    if (c->sp->lists->runs.continuing.n > 0) {
        hy_recur_set_runs(&c->op, &c->sp->lists->runs.continuing);
        c->op.dH = c->pass.own_H;
        hy_recur_map_bwd(c->sp->device, &c->op);
    }
    if (c->n_docs > 0 && c->r->dht) {
        hy_document_add_dht(c);
    }
}

static void local_bwd(hy_recur_call *c) {
    const hy_run_lists *runs = c->runs;
    if (runs->part == 0) {
        recurrence_bwd(c, &runs->ending);
        return;
    }
    for (int64_t slot = 0; slot < c->layout->n_local; slot++) {
        const int64_t first = runs->first_ending[slot];
        const hy_run_list ending = hy_run_list_part(&runs->ending, first, runs->first_ending[slot + 1] - first);
        recurrence_bwd(c, &ending);
        hy_state_progress(&c->pass);
    }
}

static void finish_bwd(hy_recur_call *c) {
    if (!hy_layout_cut(c->layout)) {
        recurrence_bwd(c, &c->runs->all);
    } else {
        hy_state_resume(&c->pass);
        local_bwd(c);
        hy_state_finish(&c->pass);
        recurrence_bwd(c, &c->runs->flowing);
    }
    if (c->r->dh0) {
        hy_document_store_dh0(c);
    }
}

void hy_sp_recur_bwd(hy_sp *sp, hy_sp_recur *r) {
    if (hy_state_is_by_heads(sp, sp->layout->size)) {
        hy_state_heads_bwd(sp, r);
        return;
    }
    hy_recur_call c = recurrence_begin(sp, r, HY_RECUR_BWD);
    take_incoming(&c);
    if (c.n_docs > 0) {
        hy_document_load_dht(&c);
    }
    if (hy_sp_starts(sp)) {
        maps_bwd(&c);
        hy_state_post(&c.pass);
    }
    if (hy_sp_finishes(sp)) {
        finish_bwd(&c);
    }
}
