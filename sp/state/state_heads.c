/* Inputs of own heads are kept for backward, and so is o of own tokens: a recompute copies it. Gradients of key heads that several ranks
 * have are sums over these ranks, made where the tokens are; their parts are rounded to activations, as the kernels write them.
 *
 * Source: DeepSpeed-Ulysses (Jacobs et al. 2023), for linear recurrences. */
#include "sp/state/state_heads.h"

#include <string.h>

#include "sp/head_exchange.h"
#include "sp/state/state_exchange.h"

/* Inputs; START sends those before QUERY. */
enum { KEY, VALUE, DECAY, BETA, READ, WRITE, QUERY, LEVELS, INPUTS };

typedef struct recur_input {
    hy_head_kind kind;
    int64_t width; /* 0: there is none in this form */
    hy_role role;
    const char *to_heads, *to_tokens;
} recur_input;

typedef struct heads_recur {
    hy_sp whole; /* of all tokens */
    hy_layout_dims dims;
    hy_sp_level_recur sub; /* of own heads; without levels its base alone counts */
    hy_head_exchange x;
    hy_head_range main;
    int64_t n_docs, state; /* state: elements of a head's */
    recur_input inputs[INPUTS];
    char *kept[INPUTS], *kept_o; /* of own heads; of own tokens */
    char *o;                     /* o or d_o of own heads */
    char *d[INPUTS];             /* gradients of own heads */
    char *h0, *dht, *ht,
        *all_ht; /* states of documents: given; wanted (backward dh0), of own heads and of all ranks' */
    hy_head_move move[INPUTS], move_o;
} heads_recur;

void hy_state_heads_need(hy_lists_needs *needs, const hy_recur_args *shape) {
    const hy_heads heads = {shape->HV, shape->H};
    hy_lists_need_heads(needs, &(hy_head_need){heads, HY_HEADS_MAIN, false});
    hy_lists_need_heads(needs, &(hy_head_need){heads, HY_HEADS_SHARED, false});
}

static void list_inputs(heads_recur *c, const hy_recur_args *op, int64_t levels) {
    const int64_t low_rank = op->rule == HY_RULE_DPLR ? op->K : 0;
    const int64_t decay = op->decay == HY_DECAY_VECTOR ? op->K : op->decay == HY_DECAY_SCALAR;
    const recur_input inputs[INPUTS] = {
        [KEY] = {HY_HEADS_SHARED, op->K, HY_ROLE_ACT, "keys to heads", "dK to tokens"},
        [VALUE] = {HY_HEADS_MAIN, op->V, HY_ROLE_ACT, "values to heads", "dV to tokens"},
        [DECAY] = {HY_HEADS_MAIN, decay, HY_ROLE_STAT, "decays to heads", "gradients of decays to tokens"},
        [BETA] = {HY_HEADS_MAIN, 1, HY_ROLE_STAT, "betas to heads", "gradients of betas to tokens"},
        [READ] = {HY_HEADS_SHARED, low_rank, HY_ROLE_ACT, "a to heads", "da to tokens"},
        [WRITE] = {HY_HEADS_SHARED, low_rank, HY_ROLE_ACT, "b to heads", "db to tokens"},
        [QUERY] = {HY_HEADS_SHARED, op->K, HY_ROLE_ACT, "queries to heads", "dQ to tokens"},
        [LEVELS] = {HY_HEADS_MAIN, levels, HY_ROLE_STAT, "scales of levels to heads", "dl to tokens"}};
    memcpy(c->inputs, inputs, sizeof inputs);
}

/* levels: columns of l, 0 without. */
static heads_recur heads_recur_of(const hy_sp *sp, const hy_layout_dims *dims, const hy_recur_args *op, int64_t levels,
                                  int64_t n_docs) {
    heads_recur c = {.whole = *sp, .dims = hy_head_outer(dims, dims->size), .n_docs = n_docs};
    const hy_heads heads = {op->HV, op->H};
    hy_heads_open(&c.x, sp, dims, dims->size, &heads);
    c.main = hy_head_range_of(&heads, HY_HEADS_MAIN, dims->size, dims->rank);
    c.state = op->K * op->V;
    c.sub.op = (hy_level_recur_args){.base = *op, .L = levels};
    c.sub.op.base.T = c.dims.T;
    c.sub.op.base.HV = c.main.n;
    c.sub.op.base.H = hy_head_range_of(&heads, HY_HEADS_SHARED, dims->size, dims->rank).n;
    c.whole.part = HY_SP_WHOLE;
    c.whole.lists = sp->lists ? sp->lists->whole : NULL;
    c.whole.layout = sp->lists ? sp->lists->whole_layout : NULL;
    list_inputs(&c, op, levels);
    return c;
}

/* ---- memory ---- */

static char *take_recur_tokens(const heads_recur *c, const recur_input *input, hy_carve *carve) {
    const int64_t heads = input->kind == HY_HEADS_MAIN ? c->sub.op.base.HV : c->sub.op.base.H;
    return hy_carve_take(carve, (size_t)(c->dims.T * heads * input->width) * hy_sp_size(&c->whole, input->role));
}

static void cut_inputs(heads_recur *c, hy_carve *kept) {
    for (int i = 0; i < INPUTS; i++) {
        c->kept[i] = take_recur_tokens(c, &c->inputs[i], kept);
    }
    c->kept_o = hy_carve_take(kept, (size_t)(c->x.dims.T * c->main.total * c->inputs[VALUE].width) *
                                        hy_sp_size(&c->whole, HY_ROLE_ACT));
}

/* Most heads of any rank. */
static int64_t heads_most(const heads_recur *c) {
    int64_t most = 0;
    for (int r = 0; r < c->x.members; r++) {
        const int64_t n = hy_head_range_of(&c->x.heads, HY_HEADS_MAIN, c->x.members, r).n;
        most = n > most ? n : most;
    }
    return most;
}

static size_t states_bytes(const heads_recur *c, int64_t heads) {
    return (size_t)(c->n_docs * heads * c->state) * hy_sp_size(&c->whole, HY_ROLE_STAT);
}

static void cut_rest(heads_recur *c, hy_carve *work) {
    const hy_recur_args *op = &c->sub.op.base;
    c->o = take_recur_tokens(c, &c->inputs[VALUE], work);
    if (c->n_docs > 0) {
        c->h0 = hy_carve_take(work, states_bytes(c, c->main.n));
        c->dht = hy_carve_take(work, states_bytes(c, c->main.n));
        c->ht = hy_carve_take(work, states_bytes(c, heads_most(c)));
        c->all_ht = hy_carve_take(work, (size_t)c->x.members * states_bytes(c, heads_most(c)));
    }
    if (c->main.n > 0) {
        c->sub.work = hy_carve_take(work, c->sub.op.L > 0 ? hy_sp_level_recur_work(&c->whole, &c->dims, &c->sub.op)
                                                          : hy_sp_recur_work(&c->whole, &c->dims, op, c->n_docs));
    }
}

/* What comes and what goes is never on its way at once, and shares a place. */
static void cut_recur_fwd(heads_recur *c, hy_carve *work) {
    hy_carve in = *work, out = *work;
    for (int i = 0; i < INPUTS; i++) {
        const recur_input *input = &c->inputs[i];
        if (input->width > 0) {
            c->move[i] = hy_head_move_cut(&c->x, input->to_heads, input->kind, input->width, input->role, false, &in);
        }
    }
    c->move_o =
        hy_head_move_cut(&c->x, "outputs to tokens", HY_HEADS_MAIN, c->inputs[VALUE].width, HY_ROLE_ACT, true, &out);
    work->used = in.used > out.used ? in.used : out.used;
    cut_rest(c, work);
}

static void cut_recur_bwd(heads_recur *c, hy_carve *work) {
    hy_carve in = *work, out = *work;
    c->move_o = hy_head_move_cut(&c->x, "dO to heads", HY_HEADS_MAIN, c->inputs[VALUE].width, HY_ROLE_ACT, false, &in);
    for (int i = 0; i < INPUTS; i++) {
        const recur_input *input = &c->inputs[i];
        if (input->width > 0) {
            c->move[i] = hy_head_move_cut(&c->x, input->to_tokens, input->kind, input->width, input->role, true, &out);
        }
    }
    work->used = in.used > out.used ? in.used : out.used;
    for (int i = 0; i < INPUTS; i++) {
        c->d[i] = take_recur_tokens(c, &c->inputs[i], work);
    }
    cut_rest(c, work);
}

static size_t heads_kept_bytes(const hy_sp *sp, const hy_layout_dims *dims, const hy_recur_args *shape,
                               int64_t levels) {
    heads_recur c = heads_recur_of(sp, dims, shape, levels, 0);
    hy_carve kept = {0};
    cut_inputs(&c, &kept);
    return kept.used;
}

static size_t heads_work_bytes(const hy_sp *sp, const hy_layout_dims *dims, const hy_recur_args *shape, int64_t levels,
                               int64_t n_docs) {
    heads_recur fwd = heads_recur_of(sp, dims, shape, levels, n_docs), bwd = fwd;
    hy_carve of_fwd = {0}, of_bwd = {0};
    cut_recur_fwd(&fwd, &of_fwd);
    cut_recur_bwd(&bwd, &of_bwd);
    return of_fwd.used > of_bwd.used ? of_fwd.used : of_bwd.used;
}

/* ---- a call ---- */

typedef struct recur_pointers {
    const void *in[INPUTS];
    void *d[INPUTS];
} recur_pointers;

static recur_pointers pointers_of(const hy_level_recur_args *a) {
    const hy_recur_args *op = &a->base;
    return (recur_pointers){.in = {op->k, op->v, op->g, op->beta, op->a, op->b, op->q, a->l},
                            .d = {op->dk, op->dv, op->dg, op->dbeta, op->da, op->db, op->dq, a->dl}};
}

/* Of a parameter per head. */
static void *own_heads_of(const heads_recur *c, const void *base, hy_role role) {
    return base ? (char *)(uintptr_t)base + (size_t)c->main.begin * hy_sp_size(&c->whole, role) : NULL;
}

/* The arguments of own heads: of the inputs those that are there, and of gradients those that are wanted. */
static void set_sub(heads_recur *c, const hy_level_recur_args *args, bool backward) {
    const recur_pointers given = pointers_of(args);
    hy_recur_args *op = &c->sub.op.base;
    const char *in[INPUTS];
    char *d[INPUTS];
    for (int i = 0; i < INPUTS; i++) {
        in[i] = given.in[i] && c->inputs[i].width > 0 ? c->kept[i] : NULL;
        d[i] = in[i] && given.d[i] ? c->d[i] : NULL;
    }
    op->k = in[KEY], op->v = in[VALUE], op->g = in[DECAY], op->beta = in[BETA];
    op->a = in[READ], op->b = in[WRITE], op->q = in[QUERY], c->sub.op.l = in[LEVELS];
    op->dk = d[KEY], op->dv = d[VALUE], op->dg = d[DECAY], op->dbeta = d[BETA];
    op->da = d[READ], op->db = d[WRITE], op->dq = d[QUERY], c->sub.op.dl = d[LEVELS];
    if (op->decay == HY_DECAY_HEAD) {
        op->g = own_heads_of(c, args->base.g, HY_ROLE_STAT);
        op->dg = own_heads_of(c, args->base.dg, HY_ROLE_GRAD);
    }
    op->o = backward ? NULL : c->o;
    op->d_o = backward ? c->o : NULL;
}

static heads_recur heads_recur_begin(hy_sp *sp, const hy_level_recur_args *args, int64_t n_docs, void *kept, void *work,
                                     void (*cut)(heads_recur *, hy_carve *)) {
    const hy_layout_dims dims = hy_layout_dims_of(sp->layout);
    heads_recur c = heads_recur_of(sp, &dims, &args->base, args->L, n_docs);
    cut_inputs(&c, &(hy_carve){.base = kept});
    cut(&c, &(hy_carve){.base = work});
    set_sub(&c, args, cut == cut_recur_bwd);
    return c;
}

/* The inputs from `first` to `end`, or their gradients, that are there. */
static int arrays_of(heads_recur *c, const hy_level_recur_args *args, bool back, int first, int end,
                     hy_head_array *arrays) {
    const recur_pointers given = pointers_of(args), sub = pointers_of(&c->sub.op);
    int n = 0;
    for (int i = first; i < end; i++) {
        if (c->inputs[i].width > 0 && given.in[i] && (!back || given.d[i])) {
            arrays[n++] = back ? (hy_head_array){&c->move[i], sub.d[i], given.d[i]}
                               : (hy_head_array){&c->move[i], given.in[i], c->kept[i]};
        }
    }
    return n;
}

/* What START sends, then what it does not know yet. */
static bool bring_inputs(heads_recur *c, hy_sp *sp, const hy_level_recur_args *args) {
    hy_head_array early[INPUTS], late[INPUTS];
    const int n = arrays_of(c, args, false, 0, QUERY, early);
    if (hy_sp_starts(sp)) {
        hy_heads_post(&c->x, early, n);
    }
    if (!hy_sp_finishes(sp)) {
        return false;
    }
    const int n_late = arrays_of(c, args, false, QUERY, INPUTS, late);
    hy_heads_post(&c->x, late, n_late);
    hy_heads_take(&c->x, early, n);
    hy_heads_take(&c->x, late, n_late);
    return true;
}

static void copy_kept_o(const heads_recur *c, const void *from, void *to) {
    const int64_t cols = c->main.total * c->inputs[VALUE].width;
    hy_copy2d(
        c->whole.device,
        &(hy_copy2d_args){.rows = c->x.dims.T, .cols = cols, .src_ld = cols, .dst_ld = cols, .src = from, .dst = to});
}

static void send_outputs(heads_recur *c, void *o) {
    const hy_head_array output = {&c->move_o, c->o, o};
    hy_heads_post(&c->x, &output, 1);
    hy_heads_take(&c->x, &output, 1);
    copy_kept_o(c, o, c->kept_o);
}

static bool bring_d_o(heads_recur *c, hy_sp *sp, const void *d_o) {
    const hy_head_array gradient = {&c->move_o, d_o, c->o};
    if (hy_sp_starts(sp)) {
        hy_heads_post(&c->x, &gradient, 1);
    }
    if (hy_sp_finishes(sp)) {
        hy_heads_take(&c->x, &gradient, 1);
    }
    return hy_sp_finishes(sp);
}

static void send_gradients(heads_recur *c, const hy_level_recur_args *args) {
    hy_head_array arrays[INPUTS];
    const int n = arrays_of(c, args, true, 0, INPUTS, arrays);
    hy_heads_post(&c->x, arrays, n);
    hy_heads_take(&c->x, arrays, n);
}

/* ---- states of documents: own heads of them, and all heads on every rank ---- */

static void copy_states(const heads_recur *c, const hy_head_range *heads, bool out, const void *from, void *to) {
    const int64_t all = c->main.total * c->state, some = heads->n * c->state;
    const size_t at = (size_t)(heads->begin * c->state) * hy_sp_size(&c->whole, HY_ROLE_STAT);
    hy_copy2d(c->whole.device, &(hy_copy2d_args){.rows = c->n_docs,
                                                 .cols = some,
                                                 .src_ld = out ? some : all,
                                                 .dst_ld = out ? all : some,
                                                 .src = (const char *)from + (out ? 0 : at),
                                                 .dst = (char *)to + (out ? at : 0),
                                                 .from = HY_ROLE_STAT,
                                                 .to = HY_ROLE_STAT});
}

/* NULL: none. */
static const void *own_states(const heads_recur *c, const void *states, char *own) {
    if (states) {
        copy_states(c, &c->main, false, states, own);
    }
    return states ? own : NULL;
}

static void share_states(const heads_recur *c, void *states) {
    const size_t block = states_bytes(c, heads_most(c));
    hy_req req = {0};
    if (!states) {
        return;
    }
    hy_comm_all_gather(c->whole.comm, "states of documents", c->ht, c->all_ht, block, &req);
    hy_comm_wait(&req);
    for (int r = 0; r < c->x.members; r++) {
        const hy_head_range heads = hy_head_range_of(&c->x.heads, HY_HEADS_MAIN, c->x.members, r);
        copy_states(c, &heads, true, c->all_ht + (size_t)r * block, states);
    }
}

/* ---- recurrences ---- */

static hy_level_recur_args without_levels(const hy_recur_args *op) {
    return (hy_level_recur_args){.base = *op};
}

static int64_t docs_with_states(const hy_sp *sp, const hy_sp_recur *r) {
    return r->h0 || r->dht || r->ht || r->dh0 ? sp->layout->n_docs : 0;
}

size_t hy_state_heads_kept(const hy_sp *sp, const hy_layout_dims *dims, const hy_recur_args *shape) {
    return heads_kept_bytes(sp, dims, shape, 0);
}

size_t hy_state_heads_work(const hy_sp *sp, const hy_layout_dims *dims, const hy_recur_args *shape,
                           int64_t n_docs_with_states) {
    return heads_work_bytes(sp, dims, shape, 0, n_docs_with_states);
}

void hy_state_heads_fwd(hy_sp *sp, hy_sp_recur *r) {
    const hy_level_recur_args args = without_levels(&r->op);
    heads_recur c = heads_recur_begin(sp, &args, docs_with_states(sp, r), r->kept, r->work, cut_recur_fwd);
    if (!bring_inputs(&c, sp, &args)) {
        return;
    }
    if (c.main.n > 0) {
        hy_sp_recur sub = {.op = c.sub.op.base, .work = c.sub.work};
        sub.h0 = own_states(&c, r->h0, c.h0);
        sub.ht = r->ht ? c.ht : NULL;
        hy_sp_recur_fwd(&c.whole, &sub);
    }
    send_outputs(&c, r->op.o);
    share_states(&c, r->ht);
}

void hy_state_heads_recompute(hy_sp *sp, hy_sp_recur *r) {
    const hy_level_recur_args args = without_levels(&r->op);
    const heads_recur c = heads_recur_begin(sp, &args, 0, r->kept, r->work, cut_recur_fwd);
    copy_kept_o(&c, c.kept_o, r->op.o);
}

void hy_state_heads_bwd(hy_sp *sp, hy_sp_recur *r) {
    const hy_level_recur_args args = without_levels(&r->op);
    heads_recur c = heads_recur_begin(sp, &args, docs_with_states(sp, r), r->kept, r->work, cut_recur_bwd);
    if (!bring_d_o(&c, sp, r->op.d_o)) {
        return;
    }
    if (c.main.n > 0) {
        hy_sp_recur sub = {.op = c.sub.op.base, .work = c.sub.work};
        sub.h0 = own_states(&c, r->h0, c.h0);
        sub.dht = own_states(&c, r->dht, c.dht);
        sub.dh0 = r->dh0 ? c.ht : NULL;
        hy_sp_recur_bwd(&c.whole, &sub);
    }
    send_gradients(&c, &args);
    share_states(&c, r->dh0);
}

/* ---- with levels ---- */

size_t hy_level_heads_kept(const hy_sp *sp, const hy_layout_dims *dims, const hy_level_recur_args *shape) {
    return heads_kept_bytes(sp, dims, &shape->base, shape->L);
}

size_t hy_level_heads_work(const hy_sp *sp, const hy_layout_dims *dims, const hy_level_recur_args *shape) {
    return heads_work_bytes(sp, dims, &shape->base, shape->L, 0);
}

void hy_level_heads_fwd(hy_sp *sp, hy_sp_level_recur *r) {
    heads_recur c = heads_recur_begin(sp, &r->op, 0, r->kept, r->work, cut_recur_fwd);
    if (!bring_inputs(&c, sp, &r->op)) {
        return;
    }
    if (c.main.n > 0) {
        hy_sp_level_recur_fwd(&c.whole, &c.sub);
    }
    send_outputs(&c, r->op.base.o);
}

void hy_level_heads_recompute(hy_sp *sp, hy_sp_level_recur *r) {
    const heads_recur c = heads_recur_begin(sp, &r->op, 0, r->kept, r->work, cut_recur_fwd);
    copy_kept_o(&c, c.kept_o, r->op.base.o);
}

void hy_level_heads_bwd(hy_sp *sp, hy_sp_level_recur *r) {
    heads_recur c = heads_recur_begin(sp, &r->op, 0, r->kept, r->work, cut_recur_bwd);
    if (!bring_d_o(&c, sp, r->op.base.d_o)) {
        return;
    }
    if (c.main.n > 0) {
        hy_sp_level_recur_bwd(&c.whole, &c.sub);
    }
    send_gradients(&c, &r->op);
}

const hy_state_row hy_state_row_heads = {.title = "heads all-to-all", .by_heads = true};
