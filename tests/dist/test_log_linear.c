/* ranks: 1 2 3 4 5 7 8 */
/* Log-linear recurrences: P ranks equal one rank for every decay, rule, layout and state exchange, on random packed
 * documents, several sequences, lengths below the number of ranks, and documents whose states merge many times inside a
 * fragment. One all-gather per direction; a recompute exchanges nothing and gives the same bits; sizes of scratch are
 * exact bounds. */
#include "tests/dist/sp_case.h"

enum { INPUTS = 7, OUTPUTS = 7 };

typedef struct problem {
    sp_case c;
    hy_level_recur_args op;
    int64_t rows[INPUTS]; /* elements per token of q k v g beta l do */
    double *in[INPUTS];
} problem;

typedef struct mode {
    hy_layout_kind kind;
    hy_state_exchange state;
    int64_t node;
    int broken;
} mode;

typedef struct result {
    double *x[OUTPUTS]; /* o dq dk dv dg dbeta dl */
} result;

static const int like[OUTPUTS] = {2, 0, 1, 2, 3, 4, 5}; /* the input whose shape an output has */
static const char *const names[OUTPUTS] = {"o", "dq", "dk", "dv", "dg", "dbeta", "dl"};
static int64_t cases;

static bool per_token(const problem *p, int input) {
    return input != 3 || p->op.base.decay > HY_DECAY_HEAD;
}

static problem problem_draw(hy_decay decay, hy_rule rule, const sp_case *c) {
    const int64_t H = 1 + sp_draw(3), HV = H * (1 + sp_draw(3)), K = 1 + sp_draw(4), V = 1 + sp_draw(5),
                  n = c->n_seq * c->len;
    problem p = {.c = *c, .op = {.L = 12}};
    p.op.base = (hy_recur_args){.decay = decay, .rule = rule, .H = H, .HV = HV, .K = K, .V = V, .scale = 0.7};
    const int64_t rows[INPUTS] = {H * K, H * K,       HV * V, decay == HY_DECAY_VECTOR ? HV * K : HV,
                                  HV,    HV * p.op.L, HV * V};
    for (int i = 0; i < INPUTS; i++) {
        p.rows[i] = rows[i];
        p.in[i] = sp_normal((per_token(&p, i) ? n : 1) * rows[i], i == 1 ? 0.5 : i == 3 ? 0.3 : 1);
    }
    for (int64_t i = 0; i < (per_token(&p, 3) ? n : 1) * rows[3]; i++) {
        p.in[3][i] = -fabs(p.in[3][i]);
    }
    for (int64_t i = 0; i < n * HV; i++) {
        p.in[4][i] = 1 / (1 + exp(p.in[4][i]));
    }
    return p;
}

static void free_all(double **x, int n) {
    for (int i = 0; i < n; i++) {
        free(x[i]);
    }
}

/* The all-gather is one call; what all exchanges send is compared with a dry run of every recipe (test_dry_run.c). */
static void check_exchanges(const hy_sp *sp) {
    int64_t gathered;
    const int64_t n_gathers = sp_exchanges(HY_X_ALL_GATHER, &gathered);
    const bool gathers = sp_gathers_states(sp);
    CHECK(n_gathers == gathers, "%lld all-gathers", (long long)n_gathers);
}

static void check_recompute(hy_sp *sp, hy_sp_level_recur *r, const problem *p, double *o) {
    const int64_t n = sp->layout->T * p->rows[2];
    double *again = calloc((size_t)n + 1, sizeof *again);
    r->op.base.o = again;
    int64_t bytes;
    hy_exchange_reset();
    hy_sp_level_recur_recompute(sp, r);
    sp_wait(sp);
    for (int kind = 0; kind < HY_X_KINDS; kind++) {
        CHECK(sp_exchanges((hy_exchange_kind)kind, &bytes) == 0, "a recompute exchanges");
    }
    CHECK(memcmp(again, o, (size_t)n * sizeof *again) == 0, "a recompute gives other bits");
    r->op.base.o = o;
    free(again);
}

static result run(const problem *p, hy_comm *comm, const mode *m, hy_layout **layout_out) {
    hy_device *device = sp_device();
    hy_comm *bound = sp_bound(comm, device);
    hy_layout *layout = sp_layout(&p->c, m->kind, comm);
    const hy_layout_dims dims = hy_layout_dims_of(layout);
    hy_sp sp = {.profile = hy_device_profile(device),
                .device = device,
                .comm = bound,
                .layout = layout,
                .method = {.state = m->state, .node = m->node, .block = sizeof(double)},
                .broken = m->broken};
    hy_lists_needs needs = {.method = sp.method};
    hy_sp_level_recur_need(&needs, &p->op);
    hy_lists *lists = sp_lists(&sp, &needs);
    double *in[INPUTS];
    result out;
    for (int i = 0; i < INPUTS; i++) {
        in[i] = sp_shard(layout, per_token(p, i) ? p->in[i] : NULL, p->rows[i]);
    }
    for (int i = 0; i < OUTPUTS; i++) {
        out.x[i] = per_token(p, like[i]) ? sp_shard(layout, NULL, p->rows[like[i]])
                                         : calloc((size_t)p->rows[like[i]], sizeof(double));
    }
    hy_sp_level_recur r = {.op = p->op};
    hy_recur_args *op = &r.op.base;
    op->q = in[0];
    op->k = in[1];
    op->v = in[2];
    op->g = op->decay == HY_DECAY_NONE ? NULL : per_token(p, 3) ? in[3] : p->in[3];
    op->beta = in[4];
    r.op.l = in[5];
    op->o = out.x[0];
    const size_t kept = hy_sp_level_recur_kept(&sp, &dims, &p->op), work = hy_sp_level_recur_work(&sp, &dims, &p->op);
    r.kept = sp_buffer(kept);
    r.work = sp_buffer(work);
    hy_exchange_reset();
    SP_CALL(&sp, &r.op.l, hy_sp_level_recur_fwd(&sp, &r));
    sp_wait(&sp);
    check_exchanges(&sp);
    memset(r.work, 0xFF, work);
    check_recompute(&sp, &r, p, out.x[0]);
    memset(r.work, 0xFF, work);
    op->d_o = in[6];
    op->dq = out.x[1];
    op->dk = out.x[2];
    op->dv = out.x[3];
    op->dg = op->decay == HY_DECAY_NONE ? NULL : out.x[4];
    op->dbeta = out.x[5];
    r.op.dl = out.x[6];
    hy_exchange_reset();
    SP_CALL(&sp, NULL, hy_sp_level_recur_bwd(&sp, &r));
    sp_wait(&sp);
    check_exchanges(&sp);
    sp_buffer_check(r.kept, kept, "kept");
    sp_buffer_check(r.work, work, "work");
    free(r.kept);
    free(r.work);
    hy_lists_destroy(lists);
    hy_comm_destroy(bound);
    hy_device_destroy(device);
    free_all(in, INPUTS);
    if (!per_token(p, 3)) {
        sp_sum(comm, out.x[4], p->rows[3]);
    }
    *layout_out = layout;
    return out;
}

static int64_t count_wrong(const problem *p, const hy_layout *layout, const result *got, const result *want, int i) {
    const int64_t row = p->rows[like[i]];
    return per_token(p, like[i])
               ? sp_rows_differ(layout, got->x[i], want->x[i], row)
               : sp_differences(got->x[i], want->x[i], row, HY_TOL_F64_REORDERED, sp_rms(want->x[i], row));
}

/* A damaged exchange must change o and dk of some rank wherever a state crosses ranks. */
static void check_broken(const problem *p, hy_comm *world, const result *want, mode m) {
    hy_layout *layout;
    m.broken = 1;
    result got = run(p, world, &m, &layout);
    double wrong[2] = {(double)count_wrong(p, layout, &got, want, 0), (double)count_wrong(p, layout, &got, want, 2)};
    sp_sum(world, wrong, 2);
    CHECK(wrong[0] > 0 && wrong[1] > 0, "a damaged exchange is not noticed");
    free_all(got.x, OUTPUTS);
    hy_layout_destroy(layout);
}

static void test_case(hy_comm *world, hy_comm *self, hy_decay decay, hy_rule rule, const sp_case *c) {
    problem p = problem_draw(decay, rule, c);
    hy_layout *layout, *whole;
    const mode one = {.kind = HY_LAYOUT_CONTIGUOUS};
    result want = run(&p, self, &one, &whole);
    for (int i = 0; hy_state_exchange_names[i / 2]; i++) {
        const mode m = {.kind = i & 1 ? HY_LAYOUT_ZIGZAG : HY_LAYOUT_CONTIGUOUS,
                        .state = (hy_state_exchange)(i / 2),
                        .node = 1 + sp_draw(hy_comm_size(world))};
        result got = run(&p, world, &m, &layout);
        for (int j = 0; j < OUTPUTS; j++) {
            const int64_t wrong = count_wrong(&p, layout, &got, &want, j);
            CHECK(wrong == 0, "%s: %lld elements differ; decay %d rule %d layout %d state %s, %lld×%lld tokens",
                  names[j], (long long)wrong, (int)decay, (int)rule, (int)m.kind, hy_state_exchange_names[m.state],
                  (long long)c->n_seq, (long long)c->len);
        }
        if (hy_comm_size(world) > 1 && c->n_docs == c->n_seq && c->len >= 20) {
            check_broken(&p, world, &want, m);
        }
        free_all(got.x, OUTPUTS);
        hy_layout_destroy(layout);
        cases++;
    }
    free_all(want.x, OUTPUTS);
    hy_layout_destroy(whole);
    free_all(p.in, INPUTS);
}

int main(int argc, char **argv) {
    hy_comm *world = NULL, *self = NULL;
    if (hy_comm_world_create(&argc, &argv, &world) != HY_OK || hy_comm_self_create(&self) != HY_OK) {
        return 1;
    }
    const int64_t lengths[] = {0, 1, 3, 6, 13, 29, 64, 101};
    const int P = hy_comm_size(world);
    for (int decay = HY_DECAY_NONE; decay <= HY_DECAY_VECTOR; decay++) {
        for (int rule = HY_RULE_ADDITIVE; rule <= HY_RULE_DELTA; rule++) {
            for (int round = 0; round < (P > 3 ? 8 : 16); round++) {
                const sp_case c = sp_case_draw(1 + (round / 8 + rule) % 2, lengths[round % 8], round % 2 ? P : 2 * P);
                test_case(world, self, (hy_decay)decay, (hy_rule)rule, &c);
            }
            const sp_case whole = {.n_seq = 1, .len = 128, .n_docs = 1, .docs = {0, 128}};
            test_case(world, self, (hy_decay)decay, (hy_rule)rule, &whole);
        }
        const sp_case longer = {.n_seq = 1, .len = 1999, .n_docs = 2, .docs = {0, 1400, 1999}};
        test_case(world, self, (hy_decay)decay, (hy_rule)(decay % 2), &longer);
    }
    hy_comm_destroy(self);
    return hy_test_finish(world, "log-linear", cases);
}
