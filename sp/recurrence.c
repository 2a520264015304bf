/* A linear recurrence over sharded sequences, in three phases so that the exchange hides:
 *
 *   map     each fragment's (A, H), where its document goes on
 *   local   outputs from zero state, while the maps travel (overlap = split)
 *   inject  what the incoming state adds; or, with overlap = seeded, one pass from the incoming state
 *
 * Backward: the gradient dH that each fragment sends to what came before, the exchange, and one pass with dS_out. Only dH travels:
 * A is kept from the forward pass, and so is S_in, so that a recompute is local.
 *
 * States per document (h0, ht, dht, dh0; `hylas op`) use entries n_local + document of the state arrays.
 *
 * Source: LASP-2 (Sun et al. 2025), generalised to every decay and to the delta rule. */
#include <string.h>

#include "base/memory.h"
#include "sp/state_exchange.h"

/* Scratch of one call and what is kept, cut from the caller's buffers. */
typedef struct buffers {
    char *S_in;                    /* kept [n_local] */
    hy_state_buffers x;
    char *op_work;
    char *dS_out;                  /* [n_local] */
    hy_run *runs, *map_runs;       /* with states per document: own lists */
    char *S0, *S1, *dS1, *dS0;     /* with states per document: [n_local + n_docs] */
    char *A_end;                   /* with states per document: [n_local] transitions */
} buffers;

typedef struct call {
    hy_sp *sp;
    hy_sp_recur *r;
    hy_layout_dims dims;
    hy_map_size size;
    size_t esize;
    int64_t n_docs; /* documents with states, 0 in training */
    buffers b;
} call;

static char *take(char *base, size_t *total, size_t bytes) {
    char *here = base ? base + *total : NULL;
    *total += (bytes + HY_ALIGN - 1) / HY_ALIGN * HY_ALIGN;
    return here;
}

static size_t cut_kept(const hy_sp *sp, const hy_layout_dims *dims, const hy_map_size *size, char *base, buffers *b) {
    size_t total = 0, esize = hy_dtype_size(sp->device->table.dtype);
    if (dims->size > 1) {
        b->S_in = take(base, &total, (size_t)(dims->n_local * size->S) * esize);
        b->x.A_kept = take(base, &total, (size_t)(hy_state_blocks(sp, dims) * dims->n_local * size->A) * esize);
    }
    return total;
}

static size_t cut_work(const hy_sp *sp, const hy_layout_dims *dims, const hy_recur_args *shape, const hy_map_size *size, int64_t n_docs,
                       char *base, buffers *b) {
    size_t total = 0, esize = hy_dtype_size(sp->device->table.dtype), state = (size_t)size->S * esize;
    b->op_work = take(base, &total, sp->device->table.recur_work(shape));
    if (dims->size > 1) {
        size_t block = (size_t)(dims->n_local * (size->A + size->S)) * esize;
        int64_t blocks = hy_state_blocks(sp, dims);
        b->x.maps = take(base, &total, (size_t)blocks * block);
        b->x.temp = take(base, &total, 2 * state);
        b->x.out = take(base, &total, sp->state == HY_STATE_RING ? (size_t)dims->n_local * state : 0);
        b->x.reqs = (hy_req *)(void *)take(base, &total, (size_t)(dims->n_local + 1) * sizeof(hy_req));
        b->dS_out = take(base, &total, (size_t)dims->n_local * state);
    }
    if (n_docs > 0) {
        size_t states = (size_t)(dims->n_local + n_docs) * state, runs = (size_t)dims->T * sizeof(hy_run);
        b->runs = (hy_run *)(void *)take(base, &total, runs);
        b->map_runs = (hy_run *)(void *)take(base, &total, runs);
        b->S0 = take(base, &total, states);
        b->S1 = take(base, &total, states);
        b->dS1 = take(base, &total, states);
        b->dS0 = take(base, &total, states);
        b->A_end = take(base, &total, (size_t)(dims->n_local * size->A) * esize);
    }
    return total;
}

size_t hy_sp_recur_kept(const hy_sp *sp, const hy_layout_dims *dims, const hy_recur_args *shape) {
    buffers b = {0};
    hy_map_size size = hy_map_size_of(shape);
    return cut_kept(sp, dims, &size, NULL, &b);
}

size_t hy_sp_recur_work(const hy_sp *sp, const hy_layout_dims *dims, const hy_recur_args *shape, int64_t n_docs_with_states) {
    buffers b = {0};
    hy_map_size size = hy_map_size_of(shape);
    hy_recur_args local = *shape;
    local.T = dims->T;
    return cut_work(sp, dims, &local, &size, n_docs_with_states, NULL, &b);
}

/* ---- states per document ---- */

static char *state_at(const call *c, const void *states, int64_t entry) {
    return (char *)(uintptr_t)states + (size_t)(entry * c->size.S) * c->esize;
}

static void copy_states(call *c, int64_t n, const void *src, void *dst) {
    int64_t cols = n * c->size.S;
    hy_copy2d(c->sp->device, &(hy_copy2d_args){.rows = 1, .cols = cols, .src_ld = cols, .dst_ld = cols, .src = src, .dst = dst});
}

static void zero_states(call *c, int64_t n, void *y) {
    hy_fill(c->sp->device, &(hy_fill_args){.n = n * c->size.S, .y = y});
}

/* Own run lists: `runs` gives every document that starts (ends) here its entry n_local + document; `map_runs` keeps only the
 * fragments' entries on the outgoing side. */
static void list_runs(call *c) {
    const hy_layout *layout = c->sp->layout;
    const hy_sp_recur *r = c->r;
    for (int64_t i = 0; i < layout->n_runs; i++) {
        hy_run run = layout->runs[i];
        int64_t doc = layout->n_local + layout->run_doc[i];
        run.s0 = run.s0 < 0 && r->h0 ? doc : run.s0;
        c->b.map_runs[i] = run;
        run.s1 = run.s1 < 0 && (r->ht || r->dht) ? doc : run.s1;
        c->b.runs[i] = run;
    }
}

static call begin_call(hy_sp *sp, hy_sp_recur *r) {
    call c = {.sp = sp, .r = r, .dims = hy_layout_dims_of(sp->layout), .size = hy_map_size_of(&r->op), .esize = hy_dtype_size(sp->device->table.dtype)};
    bool states = r->h0 || r->ht || r->dht || r->dh0;
    c.n_docs = states ? sp->layout->n_docs : 0;
    r->op.T = sp->layout->T;
    cut_kept(sp, &c.dims, &c.size, r->kept, &c.b);
    cut_work(sp, &c.dims, &r->op, &c.size, c.n_docs, r->work, &c.b);
    r->op.work = c.b.op_work;
    r->op.runs = sp->layout->runs;
    r->op.n_runs = sp->layout->n_runs;
    if (c.dims.size > 1) {
        memset(c.b.x.reqs, 0, (size_t)(c.dims.n_local + 1) * sizeof(hy_req));
        size_t block = (size_t)(c.dims.n_local * (c.size.A + c.size.S)) * c.esize;
        c.b.x.mine = c.b.x.maps + (sp->state == HY_STATE_ALLGATHER ? (size_t)c.dims.rank * block : 0);
    }
    if (c.n_docs > 0) {
        list_runs(&c);
        zero_states(&c, c.dims.n_local, c.b.S0);
        if (r->h0) {
            copy_states(&c, c.n_docs, r->h0, state_at(&c, c.b.S0, c.dims.n_local));
        }
    }
    return c;
}

/* ---- forward ---- */

/* A document that starts in a fragment with h0 and goes on: its map is (0, A·h0 + H). */
static void add_initial_states(call *c, char *A, char *H) {
    const hy_layout *layout = c->sp->layout;
    for (int64_t i = 0; i < layout->n_runs && c->r->h0; i++) {
        const hy_run *run = &c->b.map_runs[i];
        if (run->s1 >= 0 && run->s0 >= c->dims.n_local) {
            char *a = A + (size_t)(run->s1 * c->size.A) * c->esize, *h = state_at(c, H, run->s1);
            hy_map_step(c->sp->device, &c->size, 0, a, state_at(c, c->b.S0, run->s0), h, h);
        }
    }
}

static void map_phase(call *c) {
    hy_recur_args op = c->r->op;
    char *A = c->b.x.mine, *H = A + (size_t)(c->dims.n_local * c->size.A) * c->esize;
    hy_fill(c->sp->device, &(hy_fill_args){.n = c->dims.n_local * (c->size.A + c->size.S), .y = A});
    op.A_map = A;
    op.H_map = H;
    if (c->n_docs > 0) {
        op.runs = c->b.map_runs;
    }
    hy_recur_map(c->sp->device, &op);
    add_initial_states(c, A, H);
    hy_state_forward_begin(c->sp, &c->size, &c->b.x);
}

static void forward_pass(call *c, const void *S0, void *S1) {
    hy_recur_args op = c->r->op;
    op.S0 = S0;
    op.S1 = S1;
    if (c->n_docs > 0) {
        op.runs = c->b.runs;
    }
    hy_recur_fwd(c->sp->device, &op);
}

static void inject(call *c) {
    hy_recur_args op = c->r->op;
    op.S0 = c->b.S_in;
    hy_recur_inject(c->sp->device, &op);
}

/* Final states of the documents that end here, and of empty documents. */
static void store_final_states(call *c) {
    const hy_layout *layout = c->sp->layout;
    for (int64_t i = 0; i < layout->n_runs; i++) {
        if (c->b.runs[i].s1 >= c->dims.n_local) {
            int64_t doc = c->b.runs[i].s1 - c->dims.n_local;
            copy_states(c, 1, state_at(c, c->b.S1, c->b.runs[i].s1), state_at(c, c->r->ht, doc));
        }
    }
    for (int64_t d = 0; d < layout->n_docs; d++) {
        if (layout->docs[d] == layout->docs[d + 1] && c->r->h0) {
            copy_states(c, 1, state_at(c, c->r->h0, d), state_at(c, c->r->ht, d));
        }
    }
}

/* One pass from S_in (kept) and h0. */
static void seeded_pass(call *c) {
    if (c->n_docs == 0) {
        forward_pass(c, c->b.S_in, NULL);
        return;
    }
    if (c->dims.size > 1) {
        copy_states(c, c->dims.n_local, c->b.S_in, c->b.S0);
    }
    forward_pass(c, c->b.S0, c->b.S1);
    if (c->r->ht) {
        store_final_states(c);
    }
}

void hy_sp_recur_fwd(hy_sp *sp, hy_sp_recur *r) {
    call c = begin_call(sp, r);
    if (c.dims.size == 1) {
        seeded_pass(&c);
        return;
    }
    map_phase(&c);
    zero_states(&c, c.dims.n_local, c.b.S_in);
    if (sp->overlap == HY_OVERLAP_SPLIT && c.n_docs == 0) {
        forward_pass(&c, NULL, NULL);
        hy_state_forward_end(sp, &c.size, &c.b.x, c.b.S_in);
        inject(&c);
    } else {
        hy_state_forward_end(sp, &c.size, &c.b.x, c.b.S_in);
        seeded_pass(&c);
    }
}

void hy_sp_recur_recompute(hy_sp *sp, hy_sp_recur *r) {
    call c = begin_call(sp, r);
    if (c.dims.size > 1 && sp->overlap == HY_OVERLAP_SPLIT && c.n_docs == 0) {
        forward_pass(&c, NULL, NULL); /* the same two steps as before, so that the bits are the same */
        inject(&c);
    } else {
        seeded_pass(&c);
    }
}

/* ---- backward ---- */

/* A document that enters from another fragment and ends in this one: its dht reaches back through the run, dH += Aᵀ·dht. */
static void add_final_gradients(call *c, char *dH) {
    const hy_layout *layout = c->sp->layout;
    hy_recur_args op = c->r->op;
    for (int64_t i = 0; i < layout->n_runs; i++) {
        const hy_run *run = &c->b.runs[i];
        bool through = run->s0 >= 0 && run->s0 < c->dims.n_local && run->s1 >= c->dims.n_local;
        c->b.map_runs[i] = (hy_run){run->begin, run->len, run->s0, through ? run->s0 : -1};
    }
    op.runs = c->b.map_runs;
    op.A_map = c->b.A_end;
    op.H_map = c->b.S1; /* not wanted */
    hy_recur_map(c->sp->device, &op);
    for (int64_t i = 0; i < layout->n_runs; i++) {
        int64_t slot = c->b.map_runs[i].s1;
        if (slot >= 0) {
            const char *dht = state_at(c, c->b.dS1, c->b.runs[i].s1);
            char *dh = state_at(c, dH, slot);
            hy_map_step(c->sp->device, &c->size, 1, c->b.A_end + (size_t)(slot * c->size.A) * c->esize, dht, dh, dh);
        }
    }
}

static void gradient_exchange(call *c) {
    hy_recur_args op = c->r->op;
    size_t block = (size_t)(c->dims.n_local * c->size.S) * c->esize;
    c->b.x.mine = c->b.x.maps + (c->sp->state == HY_STATE_ALLGATHER ? (size_t)c->dims.rank * block : 0);
    zero_states(c, c->dims.n_local, c->b.x.mine);
    op.dH = c->b.x.mine;
    hy_recur_map_bwd(c->sp->device, &op);
    if (c->n_docs > 0 && c->r->dht) {
        add_final_gradients(c, c->b.x.mine);
    }
    hy_state_backward_begin(c->sp, &c->size, &c->b.x);
    zero_states(c, c->dims.n_local, c->b.dS_out);
    hy_state_backward_end(c->sp, &c->size, &c->b.x, c->b.dS_out);
}

/* Initial-state gradients of the documents that begin here, and of empty documents. */
static void store_initial_gradients(call *c) {
    const hy_layout *layout = c->sp->layout;
    for (int64_t i = 0; i < layout->n_runs; i++) {
        if (c->b.runs[i].s0 >= c->dims.n_local) {
            int64_t doc = c->b.runs[i].s0 - c->dims.n_local;
            copy_states(c, 1, state_at(c, c->b.dS0, c->b.runs[i].s0), state_at(c, c->r->dh0, doc));
        }
    }
    for (int64_t d = 0; d < layout->n_docs; d++) {
        if (layout->docs[d] == layout->docs[d + 1] && c->r->dht) {
            copy_states(c, 1, state_at(c, c->r->dht, d), state_at(c, c->r->dh0, d));
        }
    }
}

void hy_sp_recur_bwd(hy_sp *sp, hy_sp_recur *r) {
    call c = begin_call(sp, r);
    if (c.n_docs > 0) {
        zero_states(&c, c.dims.n_local + c.n_docs, c.b.dS1);
        if (r->dht) {
            copy_states(&c, c.n_docs, r->dht, state_at(&c, c.b.dS1, c.dims.n_local));
        }
    }
    if (c.dims.size > 1) {
        gradient_exchange(&c);
    }
    hy_recur_args op = r->op;
    op.S0 = c.b.S_in;
    op.dS1 = c.b.dS_out;
    if (c.n_docs > 0) {
        if (c.dims.size > 1) {
            copy_states(&c, c.dims.n_local, c.b.S_in, c.b.S0);
            copy_states(&c, c.dims.n_local, c.b.dS_out, c.b.dS1);
        }
        op.runs = c.b.runs;
        op.S0 = c.b.S0;
        op.dS1 = c.b.dS1;
        op.dS0 = c.b.dS0;
    }
    hy_recur_bwd(sp->device, &op);
    if (r->dh0) {
        store_initial_gradients(&c);
    }
}

void hy_sp_recur_bytes(const hy_sp *sp, const hy_layout_dims *dims, const hy_recur_args *shape, int64_t *fwd, int64_t *bwd) {
    hy_map_size size = hy_map_size_of(shape);
    int64_t esize = (int64_t)hy_dtype_size(sp->device->table.dtype);
    *fwd = *bwd = 0;
    if (dims->size > 1) {
        *fwd = dims->n_local * (size.S + (sp->state == HY_STATE_ALLGATHER ? size.A : 0)) * esize;
        *bwd = dims->n_local * size.S * esize;
    }
}
