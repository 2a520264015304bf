/* ranks: 1 2 3 4 7 */
/* Softmax attention: P ranks equal one rank, forward and backward, for every layout and method, on random packed
 * documents, windows from one token to more than the sequence, grouped heads, empty fragments. The ring sends exactly
 * the rows that somebody sees. */
#include "tests/dist/sp_case.h"

typedef struct problem {
    sp_case c;
    hy_sp_attn shape;
    double *q, *k, *v, *d_o;
} problem;

typedef struct result {
    double *o, *lse, *dq, *dk, *dv;
} result;

typedef struct mode {
    hy_layout_kind kind;
    hy_attention_method method;
    int broken;
} mode;

static int64_t cases;

static problem problem_draw(const sp_case *c) {
    const int64_t HKV = 1 + sp_draw(2), n = c->n_seq * c->len;
    problem p = {.c = *c};
    p.shape = (hy_sp_attn){.HKV = HKV, .H = HKV * (1 + sp_draw(2)), .D = 1 + sp_draw(4), .DV = 1 + sp_draw(4)};
    p.shape.window = sp_draw(3) == 0 ? 0 : 1 + sp_draw(sp_draw(2) ? 6 : c->len + 3);
    p.shape.scale = 0.6;
    p.q = sp_normal(n * p.shape.H * p.shape.D, 1);
    p.k = sp_normal(n * HKV * p.shape.D, 1);
    p.v = sp_normal(n * HKV * p.shape.DV, 1);
    p.d_o = sp_normal(n * p.shape.H * p.shape.DV, 1);
    return p;
}

static void problem_free(problem *p) {
    free(p->q);
    free(p->k);
    free(p->v);
    free(p->d_o);
}

static void result_free(result *r) {
    free(r->o);
    free(r->lse);
    free(r->dq);
    free(r->dk);
    free(r->dv);
}

/* Rows of `owner` that queries of `reader` see, the slow way. */
static int64_t rows_seen(const hy_layout *layout, int64_t window, int owner, int reader) {
    int64_t rows = 0;
    for (int64_t i = 0; i < layout->n_frags; i++) {
        const hy_fragment *keys = &layout->frags[i];
        for (int64_t p = keys->begin; p < keys->begin + keys->len && keys->owner == owner; p++) {
            bool seen = false;
            for (int64_t j = i + 1; j < layout->n_frags && !seen; j++) {
                const hy_fragment *f = &layout->frags[j];
                seen = f->owner == reader && f->len > 0 && f->doc_begin <= p && (window == 0 || f->begin - p < window);
            }
            rows += seen;
        }
    }
    return rows;
}

static void check_bytes(const hy_sp *sp, const problem *p, bool backward) {
    const hy_layout_dims dims = hy_layout_dims_of(sp->layout);
    const int64_t row = p->shape.HKV * (p->shape.D + p->shape.DV) * (int64_t)sizeof(double);
    int64_t fwd, bwd, sent, exchanged, other;
    hy_sp_attn_bytes(sp, &dims, &p->shape, &fwd, &bwd);
    exchanged = 0;
    for (int kind = 0; kind < HY_X_RECV; kind++) {
        (void)sp_exchanges((hy_exchange_kind)kind, &other);
        exchanged += other;
    }
    if (p->c.n_docs == p->c.n_seq || sp->attention == HY_ATTENTION_ALLGATHER) {
        CHECK(exchanged == (backward ? bwd : fwd), "%lld bytes sent, planned %lld", (long long)exchanged,
              (long long)(backward ? bwd : fwd));
    }
    if (sp->attention == HY_ATTENTION_RING) {
        (void)sp_exchanges(HY_X_SEND, &sent);
        int64_t want = 0;
        for (int r = 0; r < dims.size; r++) {
            if (r != dims.rank) {
                want += row * rows_seen(sp->layout, p->shape.window, dims.rank, r);
                want += backward ? row * rows_seen(sp->layout, p->shape.window, r, dims.rank) : 0;
            }
        }
        CHECK(sent == want, "%lld bytes sent, %lld are seen", (long long)sent, (long long)want);
    }
}

static result run(const problem *p, hy_comm *comm, const mode *m, hy_layout **layout_out) {
    hy_device device;
    if (hy_device_init(&device, "cpu_ref", HY_F64) != HY_OK) {
        hy_comm_abort(1);
    }
    hy_layout *layout = sp_layout(&p->c, m->kind, comm);
    const hy_layout_dims dims = hy_layout_dims_of(layout);
    hy_sp sp = {.device = &device, .comm = comm, .layout = layout};
    sp.attention = m->method;
    sp.broken = m->broken;
    hy_sp_attn a = p->shape;
    const int64_t q = a.H * a.D, k = a.HKV * a.D, v = a.HKV * a.DV, o = a.H * a.DV;
    result r = {.o = sp_shard(layout, NULL, o), .lse = sp_shard(layout, NULL, a.H), .dq = sp_shard(layout, NULL, q)};
    r.dk = sp_shard(layout, NULL, k);
    r.dv = sp_shard(layout, NULL, v);
    double *in[4] = {sp_shard(layout, p->q, q), sp_shard(layout, p->k, k), sp_shard(layout, p->v, v),
                     sp_shard(layout, p->d_o, o)};
    const size_t work = hy_sp_attn_work(&sp, &dims, &p->shape);
    a.q = in[0];
    a.k = in[1];
    a.v = in[2];
    a.o = r.o;
    a.lse = r.lse;
    a.work = sp_buffer(work);
    hy_exchange_reset();
    hy_sp_attn_fwd(&sp, &a);
    check_bytes(&sp, p, false);
    memset(a.work, 0xFF, work);
    a.d_o = in[3];
    a.dq = r.dq;
    a.dk = r.dk;
    a.dv = r.dv;
    hy_exchange_reset();
    hy_sp_attn_bwd(&sp, &a);
    check_bytes(&sp, p, true);
    sp_buffer_check(a.work, work, "work");
    free(a.work);
    for (int i = 0; i < 4; i++) {
        free(in[i]);
    }
    *layout_out = layout;
    return r;
}

static void test_problem(hy_comm *world, hy_comm *self, problem p) {
    const sp_case *c = &p.c;
    const hy_sp_attn *a = &p.shape;
    hy_layout *whole, *layout;
    result want = run(&p, self, &(mode){.kind = HY_LAYOUT_CONTIGUOUS}, &whole);
    for (int i = 0; i < 8; i++) {
        const mode m = {.kind = i & 1 ? HY_LAYOUT_ZIGZAG : HY_LAYOUT_CONTIGUOUS,
                        .method = i & 2 ? HY_ATTENTION_ALLGATHER : HY_ATTENTION_RING,
                        .broken = i >= 4};
        result got = run(&p, world, &m, &layout);
        double wrong[5] = {(double)sp_rows_differ(layout, got.o, want.o, a->H * a->DV),
                           (double)sp_rows_differ(layout, got.lse, want.lse, a->H),
                           (double)sp_rows_differ(layout, got.dq, want.dq, a->H * a->D),
                           (double)sp_rows_differ(layout, got.dk, want.dk, a->HKV * a->D),
                           (double)sp_rows_differ(layout, got.dv, want.dv, a->HKV * a->DV)};
        if (m.broken) {
            sp_sum(world, wrong, 5);
            const bool crosses =
                hy_comm_size(world) > 1 && c->n_docs == c->n_seq && c->len >= 30 && (a->window == 0 || a->window > 1);
            CHECK(!crosses || (wrong[0] > 0 && wrong[2] > 0), "a damaged exchange is not noticed");
        } else {
            CHECK(wrong[0] + wrong[1] + wrong[2] + wrong[3] + wrong[4] == 0,
                  "o %g lse %g dq %g dk %g dv %g elements differ; layout %d method %d, %lld×%lld tokens, window %lld",
                  wrong[0], wrong[1], wrong[2], wrong[3], wrong[4], (int)m.kind, (int)m.method, (long long)c->n_seq,
                  (long long)c->len, (long long)a->window);
        }
        result_free(&got);
        hy_layout_destroy(layout);
        cases++;
    }
    result_free(&want);
    hy_layout_destroy(whole);
}

static void test_case(hy_comm *world, hy_comm *self, const sp_case *c) {
    problem p = problem_draw(c);
    test_problem(world, self, p);
    problem_free(&p);
}

/* Long enough that a block's queries are computed in several calls. */
static void test_long(hy_comm *world, hy_comm *self) {
    const int64_t n = 1200;
    problem p = {.c = {.n_seq = 1, .len = n, .n_docs = 2, .docs = {0, 250, n}}};
    p.shape = (hy_sp_attn){.HKV = 2, .H = 2, .D = 24, .DV = 40, .scale = 0.2};
    p.q = sp_normal(n * 48, 1);
    p.k = sp_normal(n * 48, 1);
    p.v = sp_normal(n * 80, 1);
    p.d_o = sp_normal(n * 80, 1);
    test_problem(world, self, p);
    problem_free(&p);
}

int main(int argc, char **argv) {
    hy_comm *world = NULL, *self = NULL;
    if (hy_comm_world_create(&argc, &argv, &world) != HY_OK || hy_comm_self_create(&self) != HY_OK) {
        return 1;
    }
    const int64_t lengths[] = {0, 1, 2, 5, 11, 30, 64};
    const int P = hy_comm_size(world);
    for (int round = 0; round < 105; round++) {
        const sp_case c = sp_case_draw(1 + round / 7 % 3, lengths[round % 7], round % 2 ? P : 2 * P);
        test_case(world, self, &c);
    }
    if (P == 2) {
        test_long(world, self);
    }
    hy_comm_destroy(self);
    return hy_test_finish(world, "attention", cases);
}
