/* ranks: 1 2 3 4 5 7 8 */
/* Linear recurrences: P ranks equal one rank, for every decay, form, layout, state exchange and overlap, on random
 * packed documents, several sequences, lengths below the number of ranks, with and without states per document. One
 * all-gather per direction, or what heads need; a recompute exchanges nothing and gives the same bits; sizes of scratch are exact bounds.
 */
#include "sp/head_shares.h"
#include "tests/dist/sp_case.h"

typedef struct problem {
    sp_case c;
    hy_recur_args op; /* shape only */
    int64_t g_row;    /* elements of g per token; 0: per head or none */
    bool states;
    double *q, *k, *a, *b, *v, *g, *beta, *d_o, *h0, *dht;
} problem;

typedef struct result {
    double *o, *dq, *dk, *da, *db, *dv, *dg, *dbeta, *ht, *dh0;
} result;

typedef struct form {
    hy_rule rule;
    int exclusive;
    bool elementwise; /* K = V = 1, no keys */
} form;

static const form forms[] = {{HY_RULE_ADDITIVE, 0, false},
                             {HY_RULE_DELTA, 0, false},
                             {HY_RULE_ADDITIVE, 1, false},
                             {HY_RULE_DPLR, 0, false},
                             {HY_RULE_ADDITIVE, 0, true}};
enum { FORMS = sizeof forms / sizeof forms[0] };

typedef struct mode {
    hy_layout_kind kind;
    hy_state_exchange state;
    hy_overlap overlap;
    int64_t node;
    int broken;
} mode;

static int64_t cases;

static int64_t state_size(const problem *p) {
    return p->op.HV * p->op.K * p->op.V;
}

static problem problem_draw(hy_decay decay, const form *f, const sp_case *c) {
    const int64_t H = f->elementwise ? 1 : 1 + sp_draw(3), group = 1 + sp_draw(3), n = c->n_seq * c->len;
    problem p = {.c = *c, .states = sp_draw(2)};
    p.op = (hy_recur_args){.decay = decay, .rule = f->rule, .exclusive = f->exclusive, .H = H, .HV = H * group};
    p.op.scale = 0.7;
    p.op.K = f->elementwise ? 1 : 1 + sp_draw(4);
    p.op.V = f->elementwise ? 1 : 1 + sp_draw(5);
    const int64_t HV = p.op.HV, K = p.op.K;
    p.q = f->elementwise ? NULL : sp_normal(n * H * K, 1);
    p.k = f->elementwise ? NULL : sp_normal(n * H * K, 0.5);
    p.a = f->rule == HY_RULE_DPLR ? sp_normal(n * H * K, 0.5) : NULL;
    p.b = f->rule == HY_RULE_DPLR ? sp_normal(n * H * K, 0.5) : NULL;
    p.v = sp_normal(n * HV * p.op.V, 1);
    p.d_o = sp_normal(n * HV * p.op.V, 1);
    p.g_row = decay == HY_DECAY_SCALAR ? HV : decay == HY_DECAY_VECTOR ? HV * K : 0;
    const int64_t n_g = decay == HY_DECAY_HEAD ? HV : n * p.g_row;
    p.g = sp_normal(n_g, 0.3);
    for (int64_t i = 0; i < n_g; i++) {
        p.g[i] = -fabs(p.g[i]);
    }
    p.beta = sp_normal(n * HV, 0.5);
    for (int64_t i = 0; i < n * HV; i++) {
        p.beta[i] = 1 / (1 + exp(p.beta[i]));
    }
    if (sp_draw(4) == 0) {
        free(p.beta);
        p.beta = NULL;
    }
    p.h0 = p.states && sp_draw(4) > 0 ? sp_normal(c->n_docs * state_size(&p), 1) : NULL;
    p.dht = p.states && sp_draw(4) > 0 ? sp_normal(c->n_docs * state_size(&p), 1) : NULL;
    return p;
}

static void problem_free(problem *p) {
    double *arrays[] = {p->q, p->k, p->a, p->b, p->v, p->g, p->beta, p->d_o, p->h0, p->dht};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        free(arrays[i]);
    }
}

static void result_free(result *r) {
    double *arrays[] = {r->o, r->dq, r->dk, r->da, r->db, r->dv, r->dg, r->dbeta, r->ht, r->dh0};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        free(arrays[i]);
    }
}

static result result_make(const problem *p, const hy_layout *layout) {
    const int64_t q = p->op.H * p->op.K, v = p->op.HV * p->op.V, states = p->states ? p->c.n_docs * state_size(p) : 0;
    result r = {.o = sp_shard(layout, NULL, v), .dq = sp_shard(layout, NULL, q), .dk = sp_shard(layout, NULL, q)};
    r.da = sp_shard(layout, NULL, q);
    r.db = sp_shard(layout, NULL, q);
    r.dv = sp_shard(layout, NULL, v);
    r.dg = p->g_row ? sp_shard(layout, NULL, p->g_row) : calloc((size_t)p->op.HV, sizeof(double));
    r.dbeta = sp_shard(layout, NULL, p->op.HV);
    r.ht = calloc((size_t)states + 1, sizeof(double));
    r.dh0 = calloc((size_t)states + 1, sizeof(double));
    for (int64_t i = 0; i < states; i++) {
        r.ht[i] = r.dh0[i] = NAN;
    }
    return r;
}

/* One all-gather, or one state for every own fragment whose document goes on (backward: came from) elsewhere. Of the others
 * test_state_bytes.c counts. */
/* Every other rank gets its heads' share of the own tokens, and its tokens' share of the own heads; of states of documents every rank
 * gathers all. */
static int64_t sent_by_heads(const hy_sp *sp, const problem *p, bool backward) {
    const hy_layout_dims dims = hy_layout_dims_of(sp->layout);
    const hy_heads heads = {p->op.HV, p->op.H};
    const int64_t keys = p->q ? (p->op.rule == HY_RULE_DPLR ? 4 : 2) * p->op.K : 0;
    const int64_t values = p->op.V + p->g_row / p->op.HV + (p->beta ? 1 : 0);
    const int64_t own = hy_head_range_of(&heads, HY_HEADS_MAIN, dims.size, dims.rank).n;
    const int64_t own_keys = hy_head_range_of(&heads, HY_HEADS_SHARED, dims.size, dims.rank).n;
    int64_t sent = 0;
    for (int r = 0; r < dims.size; r++) {
        const int64_t n = hy_head_range_of(&heads, HY_HEADS_MAIN, dims.size, r).n;
        const int64_t n_keys = hy_head_range_of(&heads, HY_HEADS_SHARED, dims.size, r).n;
        const int64_t tokens = hy_layout_rank_tokens(&dims, r);
        if (r != dims.rank) {
            sent += backward ? dims.T * n * p->op.V : dims.T * (n * values + n_keys * keys);
            sent += backward ? tokens * (own * values + own_keys * keys) : tokens * own * p->op.V;
        }
    }
    return sent * (int64_t)sizeof(double);
}

static void check_heads(const hy_sp *sp, const problem *p, bool backward) {
    int64_t sent, gathered;
    const int64_t n_gathers = sp_exchanges(HY_X_ALL_GATHER, &gathered), want = sent_by_heads(sp, p, backward);
    (void)sp_exchanges(HY_X_SEND, &sent);
    CHECK(n_gathers == p->states, "%lld all-gathers", (long long)n_gathers);
    CHECK(sent == want, "%lld bytes sent by heads, %lld by the formula", (long long)sent, (long long)want);
}

/* One all-gather, or one state for every own fragment whose document goes on (backward: came from) elsewhere. */
static void check_exchanges(const hy_sp *sp, const problem *p, bool backward) {
    int64_t gathered;
    if (sp->layout->size > 1 && sp->method.state == HY_STATE_HEADS) {
        check_heads(sp, p, backward);
        return;
    }
    const int64_t n_gathers = sp_exchanges(HY_X_ALL_GATHER, &gathered);
    const bool gathers = sp_gathers_states(sp);
    CHECK(n_gathers == gathers, "%lld all-gathers", (long long)n_gathers);
    if (sp->method.state != HY_STATE_ALLGATHER && sp->method.state != HY_STATE_RING &&
        sp->method.state != HY_STATE_CHAIN) {
        return;
    }
    int64_t sent, want = 0;
    (void)sp_exchanges(HY_X_SEND, &sent);
    for (int64_t i = 0; i < sp->layout->n_local && !gathers; i++) {
        const hy_fragment *f = &sp->layout->frags[sp->layout->local[i]];
        const int64_t next = hy_layout_neighbour(sp->layout, sp->layout->local[i], backward ? -1 : 1);
        const bool leaves = f->len > 0 && (backward ? f->continues : f->flows);
        want += leaves && sp->layout->frags[next].owner != sp->layout->rank ? p->op.HV * p->op.K * p->op.V : 0;
    }
    CHECK(sent == want * (int64_t)sizeof(double), "%lld bytes sent, %lld states' elements leave", (long long)sent,
          (long long)want);
}

static void check_recompute(hy_sp *sp, hy_sp_recur *r, const problem *p, double *o) {
    const int64_t n = sp->layout->T * p->op.HV * p->op.V;
    double *again = calloc((size_t)n + 1, sizeof *again);
    r->op.o = again;
    int64_t bytes;
    hy_exchange_reset();
    hy_sp_recur_recompute(sp, r);
    sp_wait(sp);
    for (int kind = 0; kind < HY_X_KINDS; kind++) {
        CHECK(sp_exchanges((hy_exchange_kind)kind, &bytes) == 0, "a recompute exchanges");
    }
    CHECK(memcmp(again, o, (size_t)n * sizeof *again) == 0, "a recompute gives other bits");
    r->op.o = o;
    free(again);
}

static result run(const problem *p, hy_comm *comm, const mode *m, hy_layout **layout_out) {
    hy_device *device = sp_device();
    hy_comm *bound = sp_bound(comm, device);
    hy_layout *layout = sp_layout(&p->c, m->kind, comm);
    const hy_layout_dims dims = hy_layout_dims_of(layout);
    hy_sp sp = {.profile = hy_device_profile(device), .device = device, .comm = bound, .layout = layout};
    sp.method.state = m->state;
    sp.method.overlap = m->overlap;
    sp.method.node = m->node;
    sp.method.block = sizeof(double); /* as many blocks as there may be */
    sp.broken = m->broken;
    hy_lists_needs needs = {.method = sp.method};
    hy_sp_recur_need(&needs, &p->op, p->states ? p->c.n_docs : 0);
    hy_lists *lists = sp_lists(&sp, &needs);
    result out = result_make(p, layout);
    const int64_t q = p->op.H * p->op.K, v = p->op.HV * p->op.V;
    double *in[8] = {
        sp_shard(layout, p->q, q),           sp_shard(layout, p->k, q),
        sp_shard(layout, p->v, v),           sp_shard(layout, p->g_row ? p->g : NULL, p->g_row ? p->g_row : 1),
        sp_shard(layout, p->beta, p->op.HV), sp_shard(layout, p->d_o, v),
        sp_shard(layout, p->a, q),           sp_shard(layout, p->b, q)};
    hy_sp_recur r = {.op = p->op, .h0 = p->h0, .dht = p->dht};
    r.op.q = p->q ? in[0] : NULL;
    r.op.k = p->k ? in[1] : NULL;
    r.op.a = in[6];
    r.op.b = in[7];
    r.op.v = in[2];
    r.op.g = p->op.decay == HY_DECAY_NONE ? NULL : p->g_row ? in[3] : p->g;
    r.op.beta = p->beta ? in[4] : NULL;
    r.op.o = out.o;
    r.ht = p->states ? out.ht : NULL;
    r.dh0 = p->states ? out.dh0 : NULL;
    const size_t kept = hy_sp_recur_kept(&sp, &dims, &p->op);
    const size_t work = hy_sp_recur_work(&sp, &dims, &p->op, p->states ? p->c.n_docs : 0);
    r.kept = sp_buffer(kept);
    r.work = sp_buffer(work);
    hy_exchange_reset();
    SP_CALL(&sp, &r.op.q, hy_sp_recur_fwd(&sp, &r));
    sp_wait(&sp);
    check_exchanges(&sp, p, false);
    memset(r.work, 0xFF, work);
    check_recompute(&sp, &r, p, out.o);
    memset(r.work, 0xFF, work);
    r.op.d_o = in[5];
    r.op.dq = out.dq;
    r.op.dk = out.dk;
    r.op.da = out.da;
    r.op.db = out.db;
    r.op.dv = out.dv;
    r.op.dg = p->op.decay == HY_DECAY_NONE ? NULL : out.dg;
    r.op.dbeta = p->beta ? out.dbeta : NULL;
    hy_exchange_reset();
    SP_CALL(&sp, NULL, hy_sp_recur_bwd(&sp, &r));
    sp_wait(&sp);
    check_exchanges(&sp, p, true);
    sp_buffer_check(r.kept, kept, "kept");
    sp_buffer_check(r.work, work, "work");
    free(r.kept);
    free(r.work);
    hy_lists_destroy(lists);
    hy_comm_destroy(bound);
    hy_device_destroy(device);
    for (int i = 0; i < 8; i++) {
        free(in[i]);
    }
    if (p->op.decay == HY_DECAY_HEAD) {
        sp_sum(comm, out.dg, p->op.HV);
    }
    *layout_out = layout;
    return out;
}

/* Documents whose last (first) token, or nothing at all, is on this rank. */
static int64_t states_differ(const problem *p, const hy_layout *layout, const double *got, const double *want,
                             bool last) {
    const int64_t n = state_size(p);
    const double rms = sp_rms(want, p->c.n_docs * n);
    int64_t wrong = 0;
    for (int64_t d = 0; d < p->c.n_docs; d++) {
        const bool empty = p->c.docs[d] == p->c.docs[d + 1];
        const int64_t token = last ? p->c.docs[d + 1] - 1 : p->c.docs[d];
        bool mine = empty;
        for (int64_t t = 0; t < layout->T; t++) {
            mine = mine || layout->pos[t] == token;
        }
        wrong += mine ? sp_differences(got + d * n, want + d * n, n, HY_TOL_F64_REORDERED, rms) : 0;
    }
    return wrong;
}

static void compare(const problem *p, const hy_layout *layout, const result *got, const result *want, const mode *m) {
    const int64_t q = p->op.H * p->op.K, v = p->op.HV * p->op.V;
    int64_t wrong[10] = {sp_rows_differ(layout, got->o, want->o, v), sp_rows_differ(layout, got->dq, want->dq, q),
                         sp_rows_differ(layout, got->dk, want->dk, q), sp_rows_differ(layout, got->dv, want->dv, v)};
    wrong[4] = p->g_row ? sp_rows_differ(layout, got->dg, want->dg, p->g_row)
                        : sp_differences(got->dg, want->dg, p->op.HV, HY_TOL_F64_REORDERED, sp_rms(want->dg, p->op.HV));
    wrong[5] = sp_rows_differ(layout, got->dbeta, want->dbeta, p->op.HV);
    if (p->states) {
        wrong[6] = states_differ(p, layout, got->ht, want->ht, true);
        wrong[7] = states_differ(p, layout, got->dh0, want->dh0, false);
    }
    wrong[8] = sp_rows_differ(layout, got->da, want->da, q);
    wrong[9] = sp_rows_differ(layout, got->db, want->db, q);
    static const char *const names[] = {"o", "dq", "dk", "dv", "dg", "dbeta", "ht", "dh0", "da", "db"};
    for (int i = 0; i < 10; i++) {
        CHECK(wrong[i] == 0,
              "%s: %lld elements differ; decay %d rule %d%s layout %d state %s overlap %d nodes of %lld, %lld×%lld "
              "tokens",
              names[i], (long long)wrong[i], (int)p->op.decay, (int)p->op.rule, p->op.exclusive ? " exclusive" : "",
              (int)m->kind, hy_state_exchange_names[m->state], (int)m->overlap, (long long)m->node,
              (long long)p->c.n_seq, (long long)p->c.len);
    }
}

/* A damaged exchange must change o and dv of some rank wherever a state crosses ranks. */
static void check_broken(const problem *p, hy_comm *world, const result *want, mode m) {
    hy_layout *layout;
    m.broken = 1;
    result got = run(p, world, &m, &layout);
    double wrong[2] = {(double)sp_rows_differ(layout, got.o, want->o, p->op.HV * p->op.V),
                       (double)sp_rows_differ(layout, got.dv, want->dv, p->op.HV * p->op.V)};
    sp_sum(world, wrong, 2);
    CHECK(wrong[0] > 0 && wrong[1] > 0, "a damaged exchange is not noticed");
    result_free(&got);
    hy_layout_destroy(layout);
}

static void test_case(hy_comm *world, hy_comm *self, hy_decay decay, const form *f, const sp_case *c) {
    problem p = problem_draw(decay, f, c);
    hy_layout *layout, *whole;
    const mode one = {.kind = HY_LAYOUT_CONTIGUOUS};
    result want = run(&p, self, &one, &whole);
    for (int i = 0; hy_state_exchange_names[i / 2]; i++) {
        const mode m = {.kind = i & 1 ? HY_LAYOUT_ZIGZAG : HY_LAYOUT_CONTIGUOUS,
                        .state = (hy_state_exchange)(i / 2),
                        .overlap = sp_draw(2) ? HY_OVERLAP_SEEDED : HY_OVERLAP_SPLIT,
                        .node = 1 + sp_draw(hy_comm_size(world))};
        result got = run(&p, world, &m, &layout);
        compare(&p, layout, &got, &want, &m);
        if (hy_comm_size(world) > 1 && c->n_docs == c->n_seq && c->len >= 20) {
            check_broken(&p, world, &want, m);
        }
        result_free(&got);
        hy_layout_destroy(layout);
        cases++;
    }
    result_free(&want);
    hy_layout_destroy(whole);
    problem_free(&p);
}

int main(int argc, char **argv) {
    hy_comm *world = NULL, *self = NULL;
    if (hy_comm_world_create(&argc, &argv, &world) != HY_OK || hy_comm_self_create(&self) != HY_OK) {
        return 1;
    }
    const int64_t lengths[] = {0, 1, 3, 6, 13, 29, 40};
    const int P = hy_comm_size(world);
    const int rounds =
        P > 3 || hy_test_device(NULL) != NULL ? 7 : 21; /* on other devices again, with fewer documents */
    for (int decay = HY_DECAY_NONE; decay <= HY_DECAY_VECTOR; decay++) {
        for (int f = 0; f < FORMS; f++) {
            for (int round = 0; round < rounds; round++) {
                const sp_case c = sp_case_draw(1 + (round / 7 + f) % 3, lengths[round % 7], round % 2 ? P : 2 * P);
                test_case(world, self, (hy_decay)decay, &forms[f], &c);
            }
        }
        const sp_case whole = {.n_seq = 1, .len = 23, .n_docs = 1, .docs = {0, 23}};
        test_case(world, self, (hy_decay)decay, &forms[1 + 2 * (decay % 2)], &whole);
        const sp_case longer = {.n_seq = 1, .len = 1999, .n_docs = 2, .docs = {0, 1400, 1999}};
        test_case(world, self, (hy_decay)decay, &forms[decay], &longer);
    }
    hy_comm_destroy(self);
    return hy_test_finish(world, "recurrence", cases);
}
