/* Linear recurrences over sharded sequences. Forward: maps of the fragments → post the exchange → local: what needs no
 * state from elsewhere → finish → the rest. Backward alike, with adjoints. With one rank there is no map and no
 * exchange.
 *
 * Local in forward are the runs whose document starts here and, in `split`, the others from a zero state, to which
 * inject adds the incoming state's part. Local in backward are the runs whose document ends here.
 *
 * Source: LASP-2 (Sun et al. 2025), generalised to all decays and the delta rule. */
#include "sp/state/recurrence_internal.h"

enum { PIECE_MIN = 256, PIECE_MULTIPLE = 64 };

static size_t cut(hy_recur_call *c, const hy_layout_dims *dims, hy_recur_phase phase, hy_carve *work) {
    const size_t state = c->shape.h_bytes;
    const int64_t slots = dims->n_local + c->n_docs;
    c->op.work = hy_carve_take(work, c->sp->profile->recur_work(&c->op));
    c->edge = hy_carve_take(work, (size_t)dims->n_local * sizeof(hy_run));
    if (c->n_docs > 0) {
        c->pass_runs = hy_carve_take(work, (size_t)slots * sizeof(hy_run));
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
    if (dims->size > 1) {
        c->pass.in = phase == HY_RECUR_FWD ? c->kept_states : c->dS1;
        hy_state_open(&c->pass, c->sp, dims, &c->shape, phase == HY_RECUR_FWD ? 1 : -1, work);
    }
    return work->used;
}

/* S_in of every own fragment, then the transitions. One rank keeps nothing. */
static size_t kept_states_bytes(const hy_layout_dims *dims, const hy_segment_shape *shape) {
    return dims->size > 1 ? hy_aligned((size_t)dims->n_local * shape->h_bytes) : 0;
}

void hy_sp_recur_need(hy_lists_needs *needs, int64_t n_docs_with_states) {
    needs->recurrences = true;
    needs->n_states = n_docs_with_states > needs->n_states ? n_docs_with_states : needs->n_states;
}

size_t hy_sp_recur_kept(const hy_sp *sp, const hy_layout_dims *dims, const hy_recur_args *shape) {
    const hy_segment_shape s = hy_segment_shape_of(shape, sp->profile->dtype);
    return kept_states_bytes(dims, &s) + hy_state_kept_bytes(sp, dims, &s);
}

size_t hy_sp_recur_work(const hy_sp *sp, const hy_layout_dims *dims, const hy_recur_args *shape,
                        int64_t n_docs_with_states) {
    hy_sp copy = *sp;
    hy_recur_call c = {.sp = &copy, .op = *shape, .n_docs = n_docs_with_states};
    c.op.T = dims->T;
    c.shape = hy_segment_shape_of(shape, sp->profile->dtype);
    const size_t fwd = cut(&c, dims, HY_RECUR_FWD, &(hy_carve){0});
    const size_t bwd = cut(&c, dims, HY_RECUR_BWD, &(hy_carve){0});
    return fwd > bwd ? fwd : bwd;
}

static hy_recur_call begin(hy_sp *sp, hy_sp_recur *r, hy_recur_phase phase) {
    const hy_layout_dims dims = hy_layout_dims_of(sp->layout);
    hy_recur_call c = {.sp = sp, .r = r, .layout = sp->layout, .op = r->op};
    c.op.T = sp->layout->T;
    c.shape = hy_segment_shape_of(&r->op, sp->profile->dtype);
    c.n_docs = r->h0 || r->dht || r->ht || r->dh0 ? sp->layout->n_docs : 0;
    c.kept_states = r->kept;
    if (dims.size > 1) {
        c.pass.kept_A = (char *)r->kept + kept_states_bytes(&dims, &c.shape);
    }
    cut(&c, &dims, phase, &(hy_carve){.base = r->work});
    if (c.n_docs > 0) {
        hy_document_runs(&c);
        hy_document_load_h0(&c);
    } else {
        c.pass_runs = sp->layout->runs;
        c.S0 = dims.size > 1 ? c.kept_states : NULL;
    }
    return c;
}

/* ---- forward ---- */

static void fwd(hy_recur_call *c, const hy_run *runs, int64_t n_runs, const void *S0, void *S1) {
    c->op.runs = runs;
    c->op.n_runs = n_runs;
    c->op.S0 = S0;
    c->op.S1 = S1;
    hy_recur_fwd(c->sp->device, &c->op);
}

/* One run in pieces, so that the exchange in flight advances between them: the state passes from piece to piece. */
static void fwd_in_pieces(hy_recur_call *c, const hy_run *run, int64_t piece, const void *S0, void *S1) {
    for (int64_t done = 0, i = 0; done < run->len; done += piece, i++) {
        const bool last = run->len - done <= piece;
        const hy_run part = {.begin = run->begin + done,
                             .len = last ? run->len - done : piece,
                             .s0 = i == 0 ? run->s0 : 0,
                             .s1 = last ? run->s1 : 0};
        fwd(c, &part, 1, i == 0 ? S0 : c->between[i % 2], last ? S1 : c->between[(i + 1) % 2]);
        hy_state_progress(&c->pass);
    }
}

/* Runs in groups of about one piece of tokens; one piece if the device likes whole calls. */
static void fwd_grouped(hy_recur_call *c, const hy_run *runs, int64_t n_runs, const void *S0, void *S1) {
    const int64_t pieces = c->sp->profile->tuning.recur_pieces, T = c->layout->T;
    const int64_t share = pieces > 0 ? T / pieces / PIECE_MULTIPLE * PIECE_MULTIPLE : T;
    const int64_t piece = share > PIECE_MIN ? share : PIECE_MIN;
    for (int64_t first = 0, next; first < n_runs; first = next) {
        int64_t tokens = runs[first].len;
        for (next = first + 1; next < n_runs && tokens + runs[next].len <= piece; next++) {
            tokens += runs[next].len;
        }
        if (tokens > piece) {
            fwd_in_pieces(c, &runs[first], piece, S0, S1);
        } else {
            fwd(c, &runs[first], next - first, S0, S1);
            hy_state_progress(&c->pass);
        }
    }
}

/* An own fragment's first run if it continues a document begun elsewhere, else NULL. */
static const hy_run *continuing_run(const hy_recur_call *c, int64_t slot) {
    const int64_t first = c->layout->first_run[slot];
    return first < c->layout->first_run[slot + 1] && c->layout->runs[first].s0 >= 0 ? &c->pass_runs[first] : NULL;
}

/* Only a pass from the incoming state gives the state at a document's end. */
static bool wants_seed(const hy_recur_call *c, const hy_run *run) {
    return c->sp->method.overlap == HY_OVERLAP_SEEDED || (c->n_docs > 0 && run->s1 >= c->layout->n_local);
}

static void maps(hy_recur_call *c) {
    c->op.runs = c->layout->runs;
    c->op.n_runs = c->layout->n_runs;
    c->op.A_map = c->pass.own_A;
    c->op.H_map = c->pass.own_H;
    hy_recur_map(c->sp->device, &c->op);
    if (c->n_docs > 0 && c->r->h0) {
        hy_document_add_h0(c);
    }
}

static void local(hy_recur_call *c) {
    for (int64_t slot = 0; slot < c->layout->n_local; slot++) {
        int64_t first = c->layout->first_run[slot];
        const hy_run *run = continuing_run(c, slot);
        if (run) {
            first++;
            if (!wants_seed(c, run)) {
                fwd_grouped(c, run, 1, NULL, NULL);
            }
        }
        fwd_grouped(c, &c->pass_runs[first], c->layout->first_run[slot + 1] - first, c->S0, c->S1);
    }
}

static void add_incoming(hy_recur_call *c) {
    int64_t n = 0;
    for (int pass = 0; pass < 2; pass++) { /* injected runs, then seeded ones: each in one call */
        n = 0;
        for (int64_t slot = 0; slot < c->layout->n_local; slot++) {
            const hy_run *run = continuing_run(c, slot);
            if (run && wants_seed(c, run) == (pass == 1)) {
                c->edge[n++] = *run;
            }
        }
        if (n == 0) {
            continue;
        }
        if (pass == 1) {
            fwd(c, c->edge, n, c->S0, c->S1);
        } else {
            c->op.runs = c->edge;
            c->op.n_runs = n;
            c->op.S0 = c->S0;
            hy_recur_inject(c->sp->device, &c->op);
        }
    }
}

/* After S_in has arrived in kept_states. */
static void take_incoming(hy_recur_call *c) {
    if (c->S0 != c->kept_states && c->layout->size > 1) {
        for (int64_t slot = 0; slot < c->layout->n_local; slot++) {
            const size_t at = (size_t)slot * c->shape.h_bytes;
            hy_segment_copy(c->sp->device, &c->shape, c->kept_states + at, c->S0 + at);
        }
    }
}

void hy_sp_recur_fwd(hy_sp *sp, hy_sp_recur *r) {
    hy_recur_call c = begin(sp, r, HY_RECUR_FWD);
    if (sp->layout->size == 1) {
        fwd(&c, c.pass_runs, sp->layout->n_runs, c.S0, c.S1);
    } else {
        maps(&c);
        hy_state_post(&c.pass);
        local(&c);
        hy_state_finish(&c.pass);
        take_incoming(&c);
        add_incoming(&c);
    }
    if (r->ht) {
        hy_document_store_ht(&c);
    }
}

/* The same calls on the same pieces, so that the bits are the same. */
void hy_sp_recur_recompute(hy_sp *sp, hy_sp_recur *r) {
    hy_recur_call c = begin(sp, r, HY_RECUR_FWD);
    if (sp->layout->size == 1) {
        fwd(&c, c.pass_runs, sp->layout->n_runs, c.S0, c.S1);
    } else {
        take_incoming(&c);
        local(&c);
        add_incoming(&c);
    }
}

/* ---- backward ---- */

static void bwd(hy_recur_call *c, const hy_run *runs, int64_t n_runs) {
    if (n_runs == 0) {
        return;
    }
    c->op.runs = runs;
    c->op.n_runs = n_runs;
    c->op.S0 = c->S0;
    c->op.dS1 = c->dS1;
    c->op.dS0 = c->dS0;
    hy_recur_bwd(c->sp->device, &c->op);
}

static void maps_bwd(hy_recur_call *c) {
    c->op.runs = c->layout->runs;
    c->op.n_runs = c->layout->n_runs;
    c->op.dH = c->pass.own_H;
    hy_recur_map_bwd(c->sp->device, &c->op);
    if (c->n_docs > 0 && c->r->dht) {
        hy_document_add_dht(c);
    }
}

/* An own fragment's last run if its document goes on elsewhere, else NULL. */
static const hy_run *flowing_run(const hy_recur_call *c, int64_t slot) {
    const int64_t end = c->layout->first_run[slot + 1];
    return end > c->layout->first_run[slot] && c->layout->runs[end - 1].s1 >= 0 ? &c->pass_runs[end - 1] : NULL;
}

static void local_bwd(hy_recur_call *c) {
    for (int64_t slot = 0; slot < c->layout->n_local; slot++) {
        const int64_t first = c->layout->first_run[slot], n = c->layout->first_run[slot + 1] - first;
        bwd(c, &c->pass_runs[first], flowing_run(c, slot) ? n - 1 : n);
        hy_state_progress(&c->pass);
    }
}

static void incoming_bwd(hy_recur_call *c) {
    int64_t n = 0;
    for (int64_t slot = 0; slot < c->layout->n_local; slot++) {
        const hy_run *run = flowing_run(c, slot);
        if (run) {
            c->edge[n++] = *run;
        }
    }
    bwd(c, c->edge, n);
}

void hy_sp_recur_bwd(hy_sp *sp, hy_sp_recur *r) {
    hy_recur_call c = begin(sp, r, HY_RECUR_BWD);
    take_incoming(&c);
    if (c.n_docs > 0) {
        hy_document_load_dht(&c);
    }
    if (sp->layout->size == 1) {
        bwd(&c, c.pass_runs, sp->layout->n_runs);
    } else {
        maps_bwd(&c);
        hy_state_post(&c.pass);
        local_bwd(&c);
        hy_state_finish(&c.pass);
        incoming_bwd(&c);
    }
    if (r->dh0) {
        hy_document_store_dh0(&c);
    }
}

void hy_sp_recur_bytes(const hy_sp *sp, const hy_layout_dims *dims, const hy_recur_args *shape, int64_t *fwd_bytes,
                       int64_t *bwd_bytes) {
    const hy_segment_shape s = hy_segment_shape_of(shape, sp->profile->dtype);
    hy_state_bytes(sp, dims, &s, fwd_bytes, bwd_bytes);
}
