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
 * Behind the exchange run what needs nothing from elsewhere: forward the runs whose document starts here, backward
 * those whose document ends here. The others start from what arrives, whatever sp->overlap says. */
#include "sp/sp.h"
#include "sp/state/state_exchange.h"

typedef enum level_phase { LEVEL_FWD, LEVEL_BWD } level_phase;

typedef struct level_call {
    hy_sp *sp;
    const hy_layout *layout;
    hy_segment_shape shape, piece; /* N states, one state */
    hy_level_recur_args op;
    hy_state_pass pass;
    char *states;             /* [n_local,N,HV,K,V] S_in, kept from forward to backward */
    char *dS1;                /* [n_local,N,HV,K,V] backward: gradient of what leaves runs */
    hy_run *runs;             /* [n_local·N]: pieces, or the runs that wait */
    char *piece_A, *piece_H;  /* [n_local·N,...] maps of pieces */
    char *suffix[2], *unused; /* [HV,a_size] transition from a piece's end to the run's; [HV,K,V] */
} level_call;

static int64_t bit_length(int64_t x) {
    int64_t n = 0;
    for (; x > 0; x >>= 1) {
        n++;
    }
    return n;
}

/* States that positions below len can have, as far as l has levels for them. */
static int64_t state_count(const hy_level_recur_args *op, int64_t len) {
    const int64_t bits = bit_length(len - 1), most = op->L - 1;
    const int64_t n = bits < most ? bits : most;
    return n > 1 ? n : 1;
}

static level_call call_of(hy_sp *sp, const hy_layout_dims *dims, const hy_level_recur_args *op) {
    level_call c = {.sp = sp, .op = *op};
    c.op.N = state_count(op, dims->len);
    c.op.base.T = dims->T;
    c.piece = hy_segment_shape_of(&op->base, sp->profile->dtype);
    c.shape = hy_segment_shape_leveled(&c.piece, c.op.N);
    return c;
}

static size_t states_bytes(const level_call *c, const hy_layout_dims *dims) {
    return dims->size > 1 ? hy_aligned((size_t)dims->n_local * c->shape.h_bytes) : 0;
}

static size_t cut(level_call *c, const hy_layout_dims *dims, level_phase phase, hy_carve *work) {
    const hy_profile *profile = c->sp->profile;
    const size_t of_levels = profile->level_work(&c->op), of_maps = profile->recur_work(&c->op.base);
    const size_t pieces = (size_t)(dims->n_local * c->op.N);
    c->op.base.work = hy_carve_take(work, of_levels > of_maps ? of_levels : of_maps);
    c->runs = hy_carve_take(work, pieces * sizeof(hy_run));
    if (dims->size == 1) {
        return work->used;
    }
    if (phase == LEVEL_FWD) {
        c->piece_A = hy_carve_take(work, pieces * c->piece.a_bytes);
        c->piece_H = hy_carve_take(work, pieces * c->piece.h_bytes);
        c->suffix[0] = hy_carve_take(work, c->piece.a_bytes);
        c->suffix[1] = hy_carve_take(work, c->piece.a_bytes);
        c->unused = hy_carve_take(work, c->piece.h_bytes);
    } else {
        c->dS1 = hy_carve_take(work, (size_t)dims->n_local * c->shape.h_bytes);
    }
    c->pass.in = phase == LEVEL_FWD ? c->states : c->dS1;
    hy_state_open(&c->pass, c->sp, dims, &c->shape, phase == LEVEL_FWD ? 1 : -1, work);
    return work->used;
}

void hy_sp_level_recur_need(hy_lists_needs *needs, const hy_level_recur_args *shape) {
    (void)shape;
    needs->recurrences = true;
}

size_t hy_sp_level_recur_kept(const hy_sp *sp, const hy_layout_dims *dims, const hy_level_recur_args *shape) {
    hy_sp copy = *sp;
    const level_call c = call_of(&copy, dims, shape);
    return states_bytes(&c, dims) + hy_state_kept_bytes(sp, dims, &c.shape);
}

size_t hy_sp_level_recur_work(const hy_sp *sp, const hy_layout_dims *dims, const hy_level_recur_args *shape) {
    hy_sp copy = *sp;
    level_call c = call_of(&copy, dims, shape);
    const size_t fwd = cut(&c, dims, LEVEL_FWD, &(hy_carve){0});
    const size_t bwd = cut(&c, dims, LEVEL_BWD, &(hy_carve){0});
    return fwd > bwd ? fwd : bwd;
}

void hy_sp_level_recur_bytes(const hy_sp *sp, const hy_layout_dims *dims, const hy_level_recur_args *shape,
                             int64_t *fwd, int64_t *bwd) {
    hy_sp copy = *sp;
    const level_call c = call_of(&copy, dims, shape);
    hy_state_bytes(sp, dims, &c.shape, fwd, bwd);
}

static level_call begin(hy_sp *sp, hy_sp_level_recur *r, level_phase phase) {
    const hy_layout_dims dims = hy_layout_dims_of(sp->layout);
    level_call c = call_of(sp, &dims, &r->op);
    c.layout = sp->layout;
    c.op.pos = sp->lists->doc_pos.device;
    c.states = r->kept;
    if (dims.size > 1) {
        c.pass.kept_A = (char *)r->kept + states_bytes(&c, &dims);
    }
    cut(&c, &dims, phase, &(hy_carve){.base = r->work});
    return c;
}

/* ---- maps of fragments ---- */

/* The run that leaves a fragment: the last, if its document goes on. NULL if there is none. */
static const hy_run *flowing_run(const level_call *c, int64_t slot) {
    const int64_t end = c->layout->first_run[slot + 1];
    return end > c->layout->first_run[slot] && c->layout->runs[end - 1].s1 >= 0 ? &c->layout->runs[end - 1] : NULL;
}

/* The part of a run that lies in the block of bit `bit` of the position at its end; len 0 if none does. */
static hy_run piece_of(const level_call *c, const hy_run *run, int64_t bit) {
    const int64_t first = c->layout->doc_pos[run->begin], end = first + run->len, block = end >> (bit + 1) << (bit + 1);
    const int64_t from = block > first ? block : first, to = block + ((int64_t)1 << bit);
    if (!(end >> bit & 1) || to <= from) {
        return (hy_run){0};
    }
    const int64_t at = run->s1 * c->op.N + bit;
    return (hy_run){.begin = run->begin + from - first, .len = to - from, .s0 = at, .s1 = at};
}

static void piece_maps(level_call *c) {
    hy_recur_args op = c->op.base;
    op.runs = c->runs;
    op.A_map = c->piece_A;
    op.H_map = c->piece_H;
    for (int64_t slot = 0; slot < c->layout->n_local; slot++) {
        const hy_run *run = flowing_run(c, slot);
        for (int64_t bit = 0; run && bit < c->op.N; bit++) {
            const hy_run piece = piece_of(c, run, bit);
            if (piece.len > 0) {
                c->runs[op.n_runs++] = piece;
            }
        }
    }
    hy_recur_map(c->sp->device, &op);
}

/* A and H of one fragment from its pieces, the last (lowest bit) first. */
static void join_pieces(level_call *c, const hy_run *run) {
    hy_device *device = c->sp->device;
    const size_t a = c->piece.a_bytes, h = c->piece.h_bytes;
    char *A = NULL, *H = c->pass.own_H + (size_t)run->s1 * c->shape.h_bytes;
    for (int64_t bit = 0; bit < c->op.N; bit++, H += h) {
        if (piece_of(c, run, bit).len == 0) {
            hy_fill(device, &(hy_fill_args){.n = c->piece.HV * c->piece.K * c->piece.V, .y = H, .role = HY_ROLE_STAT});
            continue;
        }
        char *A_i = c->piece_A + (size_t)(run->s1 * c->op.N + bit) * a;
        char *H_i = c->piece_H + (size_t)(run->s1 * c->op.N + bit) * h;
        if (!A) {
            hy_segment_copy(device, &c->piece, H_i, H);
            A = A_i;
            continue;
        }
        hy_segment_apply(device, &c->piece, 1, A, H_i, NULL, H);
        char *product = c->suffix[A == c->suffix[0]];
        hy_map_compose(device, &(hy_map_compose_args){.n = c->piece.HV,
                                                      .K = c->piece.K,
                                                      .V = c->piece.V,
                                                      .a_size = c->piece.a_size,
                                                      .A1 = A_i,
                                                      .H1 = H_i,
                                                      .A2 = A,
                                                      .H2 = H_i,
                                                      .A = product,
                                                      .H = c->unused});
        A = product;
    }
    const int64_t n = c->piece.HV * c->piece.a_size;
    hy_copy2d(device, &(hy_copy2d_args){.rows = 1,
                                        .cols = n,
                                        .src_ld = n,
                                        .dst_ld = n,
                                        .src = A,
                                        .dst = c->pass.own_A + (size_t)run->s1 * a,
                                        .from = HY_ROLE_STAT,
                                        .to = HY_ROLE_STAT});
}

static void maps(level_call *c) {
    piece_maps(c);
    for (int64_t slot = 0; slot < c->layout->n_local; slot++) {
        const hy_run *run = flowing_run(c, slot);
        if (run) {
            join_pieces(c, run);
        }
    }
}

/* ---- forward and backward ---- */

typedef void level_kernel(hy_device *device, const hy_level_recur_args *op);

/* Whether a run waits for what another fragment sends: forward if it continues a document, backward if its document
 * goes on. */
static bool waits(const hy_run *run, int step) {
    return (step > 0 ? run->s0 : run->s1) >= 0;
}

static void on_runs(level_call *c, level_kernel *kernel, const hy_run *runs, int64_t n_runs) {
    c->op.base.runs = runs;
    c->op.base.n_runs = n_runs;
    if (n_runs > 0) {
        kernel(c->sp->device, &c->op);
    }
}

/* Of a fragment's runs only the first (backward: the last) can wait. */
static void on_local_runs(level_call *c, level_kernel *kernel, int step) {
    for (int64_t slot = 0; slot < c->layout->n_local; slot++) {
        const hy_run *first = &c->layout->runs[c->layout->first_run[slot]];
        int64_t n = c->layout->first_run[slot + 1] - c->layout->first_run[slot];
        if (n > 0 && waits(step > 0 ? first : first + n - 1, step)) {
            n--;
            first += step > 0;
        }
        on_runs(c, kernel, first, n);
        hy_state_progress(&c->pass);
    }
}

static void on_waiting_runs(level_call *c, level_kernel *kernel, int step) {
    int64_t n = 0;
    for (int64_t slot = 0; slot < c->layout->n_local; slot++) {
        const int64_t first = c->layout->first_run[slot], end = c->layout->first_run[slot + 1];
        if (first < end && waits(&c->layout->runs[step > 0 ? first : end - 1], step)) {
            c->runs[n++] = c->layout->runs[step > 0 ? first : end - 1];
        }
    }
    on_runs(c, kernel, c->runs, n);
}

void hy_sp_level_recur_fwd(hy_sp *sp, hy_sp_level_recur *r) {
    level_call c = begin(sp, r, LEVEL_FWD);
    c.op.base.S0 = c.states;
    if (sp->layout->size == 1) {
        on_runs(&c, hy_level_fwd, sp->layout->runs, sp->layout->n_runs);
        return;
    }
    maps(&c);
    hy_state_post(&c.pass);
    on_local_runs(&c, hy_level_fwd, 1);
    hy_state_finish(&c.pass);
    on_waiting_runs(&c, hy_level_fwd, 1);
}

/* No run's result depends on which call it is in, so the bits are the same. */
void hy_sp_level_recur_recompute(hy_sp *sp, hy_sp_level_recur *r) {
    level_call c = begin(sp, r, LEVEL_FWD);
    c.op.base.S0 = c.states;
    on_runs(&c, hy_level_fwd, sp->layout->runs, sp->layout->n_runs);
}

void hy_sp_level_recur_bwd(hy_sp *sp, hy_sp_level_recur *r) {
    level_call c = begin(sp, r, LEVEL_BWD);
    c.op.base.S0 = c.states;
    c.op.base.dS1 = c.dS1;
    if (sp->layout->size == 1) {
        on_runs(&c, hy_level_bwd, sp->layout->runs, sp->layout->n_runs);
        return;
    }
    c.op.base.dH = c.pass.own_H;
    on_runs(&c, hy_level_map_bwd, sp->layout->runs, sp->layout->n_runs);
    hy_state_post(&c.pass);
    on_local_runs(&c, hy_level_bwd, -1);
    hy_state_finish(&c.pass);
    on_waiting_runs(&c, hy_level_bwd, -1);
}
