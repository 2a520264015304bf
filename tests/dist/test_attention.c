/* ranks: 1 2 3 4 5 7 8 */
/* Softmax attention: P ranks equal one rank, forward and backward, for every layout and method, on random packed
 * documents, windows from one token to more than the sequence, grouped heads, sinks, empty fragments. What somebody
 * sees, and no other row, is sent in one message; by heads travels what heads need, and what is kept is their share. Attention over a latent
 * equals attention over the keys and values made from it,
 * and sends latent rows only. */
#include "sp/head_shares.h"
#include "tests/dist/sp_case.h"

typedef struct problem {
    sp_case c;
    hy_sp_attn shape;
    int64_t k, v; /* columns of k and v: of keys and values, or of the latent and its shared part */
    double *in_q, *in_k, *in_v, *d_o, *w, *sinks;
} problem;

typedef struct result {
    double *o, *lse, *dq, *dk, *dv;
    double *dw, *dsinks; /* summed over ranks */
} result;

typedef struct mode {
    hy_layout_kind kind;
    hy_attention_method method;
    int node; /* ranks of a node */
    int broken;
} mode;

static int64_t cases;

static int64_t w_rows(const hy_sp_attn *a) {
    return a->HKV * (a->D - a->latent.rope + a->DV);
}

/* Random inputs for the shape. */
static problem problem_fill(const sp_case *c, const hy_sp_attn *shape) {
    const int64_t n = c->n_seq * c->len;
    const bool latent = shape->latent.rank > 0;
    problem p = {.c = *c, .shape = *shape};
    p.k = latent ? shape->latent.rank : shape->HKV * shape->D;
    p.v = latent ? shape->latent.rope : shape->HKV * shape->DV;
    p.in_q = sp_normal(n * shape->H * shape->D, 1);
    p.in_k = sp_normal(n * p.k, 1);
    p.in_v = sp_normal(n * p.v, 1);
    p.d_o = sp_normal(n * shape->H * shape->DV, 1);
    p.w = sp_normal(w_rows(shape) * shape->latent.rank, 0.7);
    p.sinks = sp_normal(shape->H * shape->n_sinks, 1);
    return p;
}

static problem problem_draw(const sp_case *c) {
    hy_sp_attn a = {.HKV = 1 + sp_draw(3), .D = 1 + sp_draw(4), .DV = 1 + sp_draw(4), .scale = 0.6};
    a.H = a.HKV * (1 + sp_draw(3));
    a.window = sp_draw(3) == 0 ? 0 : 1 + sp_draw(sp_draw(2) ? 6 : c->len + 3);
    a.n_sinks = sp_draw(2) * sp_draw(4);
    if (sp_draw(2)) {
        a.latent.rope = 1 + sp_draw(3);
        a.latent.rank = 1 + sp_draw(5);
        a.D += a.latent.rope;
    }
    return problem_fill(c, &a);
}

static void problem_free(problem *p) {
    free(p->in_q);
    free(p->in_k);
    free(p->in_v);
    free(p->d_o);
    free(p->w);
    free(p->sinks);
}

static void result_free(result *r) {
    free(r->o);
    free(r->lse);
    free(r->dq);
    free(r->dk);
    free(r->dv);
    free(r->dw);
    free(r->dsinks);
}

/* ---- what is sent ---- */

/* By heads: every other member of the group gets its heads' share of the own tokens, and its tokens' share of the own heads. */
static int64_t sent_by_heads(const hy_sp *sp, const problem *p, int members, bool backward) {
    const hy_layout_dims dims = hy_layout_dims_of(sp->layout);
    const hy_sp_attn *a = &p->shape;
    const bool latent = a->latent.rank > 0;
    const hy_heads heads = {a->H, a->HKV};
    const hy_head_kind keys = latent ? HY_HEADS_COMMON : HY_HEADS_SHARED;
    const int64_t row = latent ? p->k + p->v : a->D + a->DV; /* of a key head, or of the latent */
    const int64_t to_main = backward ? a->DV + 1 : a->D, to_keys = backward ? 0 : row;
    const int64_t back_main = backward ? a->D : a->DV + 1, back_keys = backward ? row : 0;
    const int own = dims.rank % members, first = dims.rank - own;
    const int64_t q = hy_head_range_of(&heads, HY_HEADS_MAIN, members, own).n;
    const int64_t k = hy_head_range_of(&heads, keys, members, own).n;
    int64_t sent = 0;
    for (int r = 0; r < members; r++) {
        const int64_t tokens = hy_layout_rank_tokens(&dims, first + r);
        if (r != own) {
            sent += dims.T * (hy_head_range_of(&heads, HY_HEADS_MAIN, members, r).n * to_main +
                              hy_head_range_of(&heads, keys, members, r).n * to_keys);
            sent += tokens * (q * back_main + k * back_keys);
        }
    }
    return sent * (int64_t)sizeof(double);
}

/* Rows of `owner` that fragments of ranks first.. see, the slow way. */
static int64_t rows_seen_by(const hy_layout *layout, int64_t window, int owner, int first, int n) {
    int64_t rows = 0;
    for (int64_t i = 0; i < layout->n_frags; i++) {
        const hy_fragment *keys = &layout->frags[i];
        for (int64_t p = keys->begin; p < keys->begin + keys->len && keys->owner == owner; p++) {
            bool seen = false;
            for (int64_t j = i + 1; j < layout->n_frags && !seen; j++) {
                const hy_fragment *f = &layout->frags[j];
                seen = f->owner >= first && f->owner < first + n && f->len > 0 && f->doc_begin <= p &&
                       (window == 0 || f->begin - p < window);
            }
            rows += seen;
        }
    }
    return rows;
}

/* 2d: and what goes round between groups, of own key heads. */
static int64_t sent_between_groups(const hy_sp *sp, const problem *p, int members, bool backward) {
    const hy_layout *outer = sp->lists->near_layout;
    const hy_sp_attn *a = &p->shape;
    const hy_head_range keys =
        hy_head_range_of(&(hy_heads){a->H, a->HKV}, a->latent.rank > 0 ? HY_HEADS_COMMON : HY_HEADS_SHARED, members,
                         sp->layout->rank % members);
    int64_t rows = 0;
    for (int r = 0; r < outer->size; r++) {
        if (r != outer->rank) {
            rows += rows_seen_by(outer, a->window, outer->rank, r, 1);
            rows += backward ? rows_seen_by(outer, a->window, r, outer->rank, 1) : 0;
        }
    }
    return rows * keys.n * (a->latent.rank > 0 ? p->k + p->v : a->D + a->DV) * (int64_t)sizeof(double);
}

typedef struct traffic {
    int64_t messages, bytes;
} traffic;

/* Of all messages of a kind, those between nodes or the others. */
static traffic traffic_recorded(hy_exchange_kind kind, bool across) {
    const hy_exchange_record *records;
    const int n = hy_exchange_records(&records);
    traffic t = {0, 0};
    for (int i = 0; i < n; i++) {
        if (records[i].kind == kind && (strstr(records[i].name, "between nodes") != NULL) == across) {
            t.messages += records[i].count;
            t.bytes += records[i].bytes;
        }
    }
    return t;
}

/* What this rank sends and receives of rows, each `row` bytes: [0] sent, [1] received. */
static void add_message(traffic t[2], int rank, int from, int to, int64_t rows, int64_t row) {
    if (rows > 0 && from != to && (from == rank || to == rank)) {
        t[to == rank].messages++;
        t[to == rank].bytes += rows * row;
    }
}

/* A block of keys enters a node of `node` ranks once, by one rank that then has it for the others, and goes to who sees it; gradients go back
 * the same way. Rows that nobody sees are not sent. */
static void check_traffic(const hy_sp *sp, const problem *p, int node, bool backward) {
    const int P = sp->layout->size, rank = sp->layout->rank;
    const int64_t row = (p->k + p->v) * (int64_t)sizeof(double), window = p->shape.window;
    const bool near = sp->method.attention == HY_ATTENTION_2D;
    if ((sp->method.attention == HY_ATTENTION_HEADS || near) && P > 1) {
        const int members = near ? hy_sp_group_ranks(&sp->method, P) : P;
        const int64_t by_heads =
            sent_by_heads(sp, p, members, backward) + (near ? sent_between_groups(sp, p, members, backward) : 0);
        int64_t sent;
        (void)sp_exchanges(HY_X_SEND, &sent);
        CHECK(sent == by_heads, "%lld bytes sent by heads of %d ranks, %lld by the formula", (long long)sent, members,
              (long long)by_heads);
        return;
    }
    traffic want[2][2] = {{{0, 0}, {0, 0}}, {{0, 0}, {0, 0}}}; /* inside, across */
    for (int owner = 0; owner < P; owner++) {
        for (int first = 0; first < P; first += node) {
            const int n = P - first < node ? P - first : node;
            const bool own = owner / node * node == first;
            const int holder = own ? owner : first + owner % node % n;
            if (holder != rank && owner != rank && rank / node * node != first) {
                continue;
            }
            const int64_t entering = own ? 0 : rows_seen_by(sp->layout, window, owner, first, n);
            add_message(want[1], rank, owner, holder, entering, row);
            add_message(want[1], rank, holder, owner, backward ? entering : 0, row);
            for (int reader = first; reader < first + n; reader++) {
                const int64_t seen = rows_seen_by(sp->layout, window, owner, reader, 1);
                add_message(want[0], rank, holder, reader, seen, row);
                add_message(want[0], rank, reader, holder, backward ? seen : 0, row);
            }
        }
    }
    for (int i = 0; i < 4; i++) {
        const traffic got = traffic_recorded(i & 1 ? HY_X_RECV : HY_X_SEND, i / 2), *is = &want[i / 2][i & 1];
        CHECK(got.messages == is->messages && got.bytes == is->bytes,
              "%s %s nodes of %d: %lld bytes in %lld messages, %lld in %lld are seen", i & 1 ? "received" : "sent",
              i / 2 ? "between" : "inside", node, (long long)got.bytes, (long long)got.messages, (long long)is->bytes,
              (long long)is->messages);
    }
    int64_t bytes;
    CHECK(sp_exchanges(HY_X_ALL_GATHER, &bytes) + sp_exchanges(HY_X_ALL_TO_ALL, &bytes) == 0, "more is exchanged");
}

/* ---- what is computed ---- */

/* Keys that a pair's queries see. */
static int64_t seen_of_pair(const hy_attn_pair *pair, const int64_t *lo) {
    int64_t seen = 0;
    for (int64_t i = 0; i < pair->nq; i++) {
        const int64_t q = pair->q_begin + i, end = pair->k_begin + pair->nk, first = lo[pair->q + i];
        const int64_t from = first > pair->k_begin ? first : pair->k_begin, to = q + 1 < end ? q + 1 : end;
        seen += to > from ? to - from : 0;
    }
    return seen;
}

/* Every query and key that sees it are in one pair, and no pair is empty. */
static void check_pairs(const hy_sp *sp, const problem *p) {
    const hy_lists *all = sp->lists->near ? sp->lists->near : sp->lists->whole ? sp->lists->whole : sp->lists;
    const hy_attn_lists *lists = all->attentions[0];
    const int64_t *lo = hy_lists_window(all, p->shape.window)->lo.host;
    int64_t seen = 0, want = 0, empty = 0;
    for (int h = 0; h < lists->n_hops; h++) {
        for (int64_t i = 0; i < lists->hops[h].n_parts; i++) {
            const hy_attn_part *part = &lists->hops[h].parts[i];
            for (int64_t g = part->first_group; g < part->first_group + part->n_groups; g++) {
                for (int64_t x = lists->groups[g].first; x < lists->groups[g].first + lists->groups[g].n; x++) {
                    const int64_t n = seen_of_pair(&lists->built[x], lo);
                    seen += n;
                    empty += n == 0;
                }
            }
        }
    }
    for (int64_t t = 0; t < all->layout->T; t++) {
        want += all->layout->pos[t] - lo[t] + 1;
    }
    CHECK(seen == want && empty == 0, "%lld keys are seen, %lld computed; %lld empty pairs", (long long)want,
          (long long)seen, (long long)empty);
}

static result run(const problem *p, hy_comm *comm, const mode *m, hy_layout **layout_out) {
    hy_device *device = sp_device();
    hy_comm *bound = sp_bound(comm, device);
    hy_layout *layout = sp_layout(&p->c, m->kind, comm);
    const hy_layout_dims dims = hy_layout_dims_of(layout);
    hy_sp sp = {.profile = hy_device_profile(device), .device = device, .comm = bound, .layout = layout};
    sp.method.attention = m->method;
    sp.method.node = m->node;
    sp.broken = m->broken;
    hy_lists_needs needs = {.method = sp.method};
    hy_sp_attn_need(&needs, &p->shape);
    hy_lists *lists = sp_lists(&sp, &needs);
    check_pairs(&sp, p);
    const int node = m->method == HY_ATTENTION_NODE && m->node > 0 && m->node < dims.size ? m->node : dims.size;
    hy_sp_attn a = p->shape;
    const int64_t q = a.H * a.D, o = a.H * a.DV, n_w = w_rows(&a) * a.latent.rank;
    result r = {.o = sp_shard(layout, NULL, o), .lse = sp_shard(layout, NULL, a.H), .dq = sp_shard(layout, NULL, q)};
    r.dk = sp_shard(layout, NULL, p->k);
    r.dv = sp_shard(layout, NULL, p->v);
    r.dw = calloc((size_t)n_w + 1, sizeof(double));
    r.dsinks = calloc((size_t)(a.H * a.n_sinks) + 1, sizeof(double));
    double *in[4] = {sp_shard(layout, p->in_q, q), sp_shard(layout, p->in_k, p->k), sp_shard(layout, p->in_v, p->v),
                     sp_shard(layout, p->d_o, o)};
    const size_t work = hy_sp_attn_work(&sp, &dims, &p->shape), kept = hy_sp_attn_kept(&sp, &dims, &p->shape);
    a.q = in[0];
    a.k = in[1];
    a.v = in[2];
    a.o = r.o;
    a.lse = r.lse;
    a.latent.w = p->w;
    a.sinks = p->sinks;
    a.kept = sp_buffer(kept);
    a.work = sp_buffer(work);
    hy_exchange_reset();
    SP_CALL(&sp, &a.q, hy_sp_attn_fwd(&sp, &a));
    sp_wait(&sp);
    check_traffic(&sp, p, node, false);
    memset(a.work, 0xFF, work);
    a.d_o = in[3];
    a.dq = r.dq;
    a.dk = r.dk;
    a.dv = r.dv;
    a.latent.dw = r.dw;
    a.dsinks = r.dsinks;
    hy_exchange_reset();
    SP_CALL(&sp, NULL, hy_sp_attn_bwd(&sp, &a));
    sp_wait(&sp);
    check_traffic(&sp, p, node, true);
    sp_sum(comm, r.dw, n_w);
    sp_sum(comm, r.dsinks, a.H * a.n_sinks);
    sp_buffer_check(a.kept, kept, "kept");
    sp_buffer_check(a.work, work, "work");
    free(a.kept);
    free(a.work);
    hy_lists_destroy(lists);
    hy_comm_destroy(bound);
    hy_device_destroy(device);
    for (int i = 0; i < 4; i++) {
        free(in[i]);
    }
    *layout_out = layout;
    return r;
}

static int64_t arrays_differ(const double *got, const double *want, int64_t n) {
    return sp_differences(got, want, n, HY_TOL_F64_REORDERED, sp_rms(want, n));
}

/* One value of what a token's latent becomes: key head h channel c, or value (c ≥ D). */
static double made(const problem *p, int64_t t, int64_t h, int64_t c) {
    const hy_sp_attn *a = &p->shape;
    const int64_t nope = a->D - a->latent.rope;
    if (c >= nope && c < a->D) {
        return p->in_v[t * p->v + c - nope];
    }
    double sum = 0;
    for (int64_t j = 0; j < p->k; j++) {
        sum += p->w[(h * (nope + a->DV) + (c < nope ? c : c - a->latent.rope)) * p->k + j] * p->in_k[t * p->k + j];
    }
    return sum;
}

/* On one rank: attention over the keys and values themselves, its gradients brought back by hand. */
static void check_latent(hy_comm *self, const problem *p, const result *got) {
    const hy_sp_attn *a = &p->shape;
    const int64_t n = p->c.n_seq * p->c.len, nope = a->D - a->latent.rope, wide = nope + a->DV;
    hy_sp_attn plain_shape = *a;
    plain_shape.latent = (hy_sp_latent){0};
    problem plain = *p;
    plain.shape = plain_shape;
    plain.k = a->HKV * a->D;
    plain.v = a->HKV * a->DV;
    plain.in_k = sp_normal(n * plain.k, 0);
    plain.in_v = sp_normal(n * plain.v, 0);
    double *d_latent = sp_normal(n * p->k, 0), *d_shared = sp_normal(n * p->v, 0);
    double *dw = sp_normal(w_rows(a) * p->k, 0);
    for (int64_t th = 0; th < n * a->HKV; th++) {
        for (int64_t c = 0; c < a->D + a->DV; c++) {
            *(c < a->D ? &plain.in_k[th * a->D + c] : &plain.in_v[th * a->DV + c - a->D]) =
                made(p, th / a->HKV, th % a->HKV, c);
        }
    }
    hy_layout *layout;
    result want = run(&plain, self, &(mode){.kind = HY_LAYOUT_CONTIGUOUS}, &layout);
    for (int64_t th = 0; th < n * a->HKV; th++) {
        const int64_t t = th / a->HKV, h = th % a->HKV;
        for (int64_t c = 0; c < a->D + a->DV; c++) {
            const double d = c < a->D ? want.dk[th * a->D + c] : want.dv[th * a->DV + c - a->D];
            if (c >= nope && c < a->D) {
                d_shared[t * p->v + c - nope] += d;
                continue;
            }
            const int64_t row = (h * wide + (c < nope ? c : c - a->latent.rope)) * p->k;
            for (int64_t j = 0; j < p->k; j++) {
                d_latent[t * p->k + j] += d * p->w[row + j];
                dw[row + j] += d * p->in_k[t * p->k + j];
            }
        }
    }
    const int64_t wrong =
        arrays_differ(got->o, want.o, n * a->H * a->DV) + arrays_differ(got->dq, want.dq, n * a->H * a->D);
    CHECK(wrong + arrays_differ(got->dk, d_latent, n * p->k) + arrays_differ(got->dv, d_shared, n * p->v) +
                  arrays_differ(got->dw, dw, w_rows(a) * p->k) ==
              0,
          "attention over a latent of %lld+%lld differs from attention over its keys and values", (long long)p->k,
          (long long)p->v);
    result_free(&want);
    hy_layout_destroy(layout);
    free(plain.in_k);
    free(plain.in_v);
    free(d_latent);
    free(d_shared);
    free(dw);
}

static void test_problem(hy_comm *world, hy_comm *self, problem p) {
    const sp_case *c = &p.c;
    const hy_sp_attn *a = &p.shape;
    hy_layout *whole, *layout;
    result want = run(&p, self, &(mode){.kind = HY_LAYOUT_CONTIGUOUS}, &whole);
    if (a->latent.rank > 0) {
        check_latent(self, &p, &want);
    }
    static const hy_attention_method methods[] = {HY_ATTENTION_RING, HY_ATTENTION_ALLGATHER, HY_ATTENTION_HEADS,
                                                  HY_ATTENTION_2D,   HY_ATTENTION_NODE,      HY_ATTENTION_NODE};
    for (int i = 0; i < 24; i++) {
        const mode m = {.kind = i & 1 ? HY_LAYOUT_ZIGZAG : HY_LAYOUT_CONTIGUOUS,
                        .method = methods[i / 2 % 6],
                        .node = (int)sp_draw(5),
                        .broken = i >= 12};
        if (m.broken && i / 2 % 6 == 5) {
            continue;
        }
        result got = run(&p, world, &m, &layout);
        double wrong[7] = {(double)sp_rows_differ(layout, got.o, want.o, a->H * a->DV),
                           (double)sp_rows_differ(layout, got.lse, want.lse, a->H),
                           (double)sp_rows_differ(layout, got.dq, want.dq, a->H * a->D),
                           (double)sp_rows_differ(layout, got.dk, want.dk, p.k),
                           (double)sp_rows_differ(layout, got.dv, want.dv, p.v),
                           (double)arrays_differ(got.dw, want.dw, w_rows(a) * a->latent.rank),
                           (double)arrays_differ(got.dsinks, want.dsinks, a->H * a->n_sinks)};
        if (m.broken) {
            sp_sum(world, wrong, 7);
            const bool crosses =
                hy_comm_size(world) > 1 && c->n_docs == c->n_seq && c->len >= 30 && (a->window == 0 || a->window > 1);
            CHECK(!crosses || (wrong[0] > 0 && wrong[2] > 0), "a damaged exchange is not noticed");
        } else {
            CHECK(wrong[0] + wrong[1] + wrong[2] + wrong[3] + wrong[4] + wrong[5] + wrong[6] == 0,
                  "o %g lse %g dq %g dk %g dv %g dw %g dsinks %g elements differ; layout %d method %d node %d, "
                  "%lld×%lld tokens, window %lld, latent %lld, heads %lld of %lld",
                  wrong[0], wrong[1], wrong[2], wrong[3], wrong[4], wrong[5], wrong[6], (int)m.kind, (int)m.method,
                  m.node, (long long)c->n_seq, (long long)c->len, (long long)a->window, (long long)a->latent.rank,
                  (long long)a->H, (long long)a->HKV);
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

/* Long enough that a block's queries are computed in several calls, and a latent is made in several blocks. */
static void test_long(hy_comm *world, hy_comm *self, int64_t n, const hy_sp_attn *shape) {
    const sp_case c = {.n_seq = 1, .len = n, .n_docs = 2, .docs = {0, 250, n}};
    problem p = problem_fill(&c, shape);
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
    for (int round = 0; round < (P <= 4 ? 70 : 35); round++) {
        const sp_case c = sp_case_draw(1 + round / 7 % 3, lengths[round % 7], round % 2 ? P : 2 * P);
        test_case(world, self, &c);
    }
    if (P == 2) {
        test_long(world, self, 1200, &(hy_sp_attn){.HKV = 2, .H = 2, .D = 24, .DV = 40, .scale = 0.2});
        test_long(world, self, 2300,
                  &(hy_sp_attn){.HKV = 1, .H = 1, .D = 4, .DV = 3, .scale = 0.2, .latent = {.rank = 4, .rope = 2}});
    }
    hy_comm_destroy(self);
    return hy_test_finish(world, "attention", cases);
}
