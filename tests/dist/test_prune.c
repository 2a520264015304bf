/* ranks: 2 3 4 */
/* parallel.prune: what has decayed to less than the bound is not passed on. Outputs and all gradients differ from those of all states by no more than what
 * the certified bound gives, and do differ; less is sent, or in fewer rounds; where a decay is not fixed, or nothing lies between two fragments,
 * nothing changes to the bit. Every exchange of states, both layouts, one document or several, fragments of like and unlike lengths. */
#include "sp/reach.h"
#include "sp/state/state_exchange.h"
#include "tests/dist/sp_case.h"

enum { HEADS = 2, K = 3, V = 4, PER_FRAGMENT = 24, OUTPUTS = 4 };

static const double log_decays[HEADS] = {-0.5, -0.3}, scale = 0.7, asked = 0.02, rounding = 1e-12;

typedef struct problem {
    sp_case c;
    hy_layout *layout;
    double *q, *k, *v, *d_o; /* of all tokens */
    double S_max, dS_max;    /* largest norms of a state, of its gradient */
} problem;

typedef struct outcome {
    double *rows[OUTPUTS]; /* o, dq, dk, dv of own tokens */
    double sent, rounds;   /* of all ranks; rounds: messages one after the other, forward and backward, but gathers */
} outcome;

static const int64_t columns[OUTPUTS] = {HEADS * V, HEADS *K, HEADS *K, HEADS *V};
static int64_t cases;

static double norm_of(const double *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += x[i] * x[i];
    }
    return sqrt(sum);
}

/* The largest norm of a head's state S = e^g S + key·valueᵀ, token after token in either direction. */
static double largest_state(const problem *p, const double *keys, const double *values, int h, int step) {
    double S[K * V], largest = 0;
    for (int64_t d = 0; d < p->layout->n_docs; d++) {
        const int64_t first = p->layout->docs[d], end = p->layout->docs[d + 1];
        memset(S, 0, sizeof S);
        for (int64_t i = first; i < end; i++) {
            const int64_t t = step > 0 ? i : end - 1 - (i - first);
            for (int j = 0; j < K * V; j++) {
                S[j] =
                    exp(log_decays[h]) * S[j] + keys[(t * HEADS + h) * K + j / V] * values[(t * HEADS + h) * V + j % V];
            }
            largest = fmax(largest, norm_of(S, K * V));
        }
    }
    return largest;
}

static problem problem_on(hy_comm *world, hy_layout_kind kind, bool packed, bool uneven) {
    const int64_t fragments = (kind == HY_LAYOUT_ZIGZAG ? 2 : 1) * hy_comm_size(world);
    problem p = {.c = {.n_seq = 2, .len = PER_FRAGMENT * fragments, .n_docs = 2}};
    const int64_t len = p.c.len, n = 2 * len;
    memcpy(p.c.docs, (int64_t[]){0, len, n}, 3 * sizeof(int64_t));
    if (packed) {
        p.c.n_docs = 4;
        memcpy(p.c.docs, (int64_t[]){0, 7, len, n - 2 * PER_FRAGMENT + 5, n}, 5 * sizeof(int64_t));
    }
    for (int i = 0; i < 8 && uneven; i++) {
        p.c.weights[i] = i % 2 ? 3 : 1;
    }
    p.layout = sp_layout(&p.c, kind, world);
    p.q = sp_normal(n * HEADS * K, 1), p.k = sp_normal(n * HEADS * K, 1);
    p.v = sp_normal(n * HEADS * V, 1), p.d_o = sp_normal(n * HEADS * V, 1);
    for (int h = 0; h < HEADS; h++) {
        p.S_max = fmax(p.S_max, largest_state(&p, p.k, p.v, h, 1));
        p.dS_max = fmax(p.dS_max, scale * largest_state(&p, p.q, p.d_o, h, -1));
    }
    return p;
}

static void problem_end(problem *p) {
    hy_layout_destroy(p->layout);
    free(p->q);
    free(p->k);
    free(p->v);
    free(p->d_o);
}

/* Bytes of states that this rank sends. */
static double sent_bytes(void) {
    const hy_exchange_record *records = NULL;
    double bytes = 0;
    for (int i = hy_exchange_records(&records); i-- > 0;) {
        bytes +=
            strncmp(records[i].name, "state", 5) == 0 && records[i].kind != HY_X_RECV ? (double)records[i].bytes : 0;
    }
    return bytes;
}

static double rounds_of(const hy_state_lists *lists) {
    double rounds = 0;
    for (int i = 0; i < 2; i++) {
        rounds += lists->relays[i].n_messages > 0 ? (double)lists->relays[i].end : 0;
        for (int64_t r = 0; r < lists->scans[i].n_rounds; r++) {
            rounds += lists->scans[i].rounds[r].n_transfers > 0;
        }
    }
    return rounds;
}

static outcome solve(hy_comm *world, hy_comm *bound, hy_device *device, const problem *p, const hy_sp_method *method,
                     double log_decay) {
    const hy_layout_dims dims = hy_layout_dims_of(p->layout);
    hy_sp sp = {
        .profile = hy_device_profile(device), .device = device, .comm = bound, .layout = p->layout, .method = *method};
    hy_sp_recur r = {.op = {.decay = HY_DECAY_HEAD,
                            .rule = HY_RULE_ADDITIVE,
                            .H = HEADS,
                            .HV = HEADS,
                            .K = K,
                            .V = V,
                            .scale = scale,
                            .g = log_decays,
                            .log_decay_max = log_decay}};
    outcome out = {.sent = 0};
    for (int i = 0; i < OUTPUTS; i++) {
        out.rows[i] = sp_shard(p->layout, NULL, columns[i]);
    }
    double *q = sp_shard(p->layout, p->q, HEADS * K), *k = sp_shard(p->layout, p->k, HEADS * K),
           *v = sp_shard(p->layout, p->v, HEADS * V), *d_o = sp_shard(p->layout, p->d_o, HEADS * V);
    r.op.q = q, r.op.k = k, r.op.v = v, r.op.d_o = d_o;
    r.op.o = out.rows[0], r.op.dq = out.rows[1], r.op.dk = out.rows[2], r.op.dv = out.rows[3];
    hy_lists_needs needs = {.method = *method};
    hy_sp_recur_need(&needs, &r.op, 0);
    hy_lists *lists = sp_lists(&sp, &needs);
    const size_t work = hy_sp_recur_work(&sp, &dims, &r.op, 0);
    r.kept = sp_buffer(hy_sp_recur_kept(&sp, &dims, &r.op));
    r.work = sp_buffer(work);
    hy_exchange_reset();
    SP_CALL(&sp, NULL, hy_sp_recur_fwd(&sp, &r));
    SP_CALL(&sp, NULL, hy_sp_recur_bwd(&sp, &r));
    sp_wait(&sp);
    sp_buffer_check(r.work, work, "work");
    double sums[2] = {sent_bytes(), rounds_of(&lists->states[0])};
    sp_sum(world, sums, 2);
    out.sent = sums[0], out.rounds = sums[1];
    void *buffers[] = {q, k, v, d_o, r.kept, r.work};
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) {
        free(buffers[i]);
    }
    hy_lists_destroy(lists);
    return out;
}

static void outcome_end(outcome *x) {
    for (int i = 0; i < OUTPUTS; i++) {
        free(x->rows[i]);
    }
}

/* What an error of a state, or of its gradient, of norm `S` or `dS` makes of output i at a token: that times the norm of what it is multiplied with. */
static double allowed(const problem *p, int i, int64_t token, int h, double S, double dS) {
    const int64_t key = (token * HEADS + h) * K, value = (token * HEADS + h) * V;
    return i == 0   ? scale * S * norm_of(p->q + key, K)
           : i == 1 ? scale * S * norm_of(p->d_o + value, V)
           : i == 2 ? dS * norm_of(p->v + value, V)
                    : dS * norm_of(p->k + key, K);
}

/* Differences of own rows, all within the bound. Returns the largest part of what is allowed, or of the largest number where that is 0. */
static double compare(const problem *p, const outcome *all, const outcome *pruned, double bound, const char *what) {
    double largest = 0;
    for (int i = 0; i < OUTPUTS; i++) {
        const int64_t each = columns[i] / HEADS;
        for (int64_t row = 0; row < p->layout->T * HEADS; row++) {
            const int h = (int)(row % HEADS);
            double difference[V];
            for (int64_t j = 0; j < each; j++) {
                difference[j] = pruned->rows[i][row * each + j] - all->rows[i][row * each + j];
            }
            const double most = allowed(p, i, p->layout->pos[row / HEADS], h, bound * p->S_max, bound * p->dS_max);
            const double off = norm_of(difference, each);
            CHECK(off <= most + rounding, "%s: output %d of token %lld is %.3g off, certified %.3g", what, i,
                  (long long)p->layout->pos[row / HEADS], off, most);
            largest = fmax(largest, bound > 0 ? off / most : off);
        }
    }
    return largest;
}

/* Fragments that some document passes and whose decay is below the bound. */
static int64_t left_out(const problem *p, int64_t reach) {
    int64_t n = 0;
    for (int64_t id = 0; id < p->layout->n_frags; id++) {
        const hy_fragment *f = &p->layout->frags[id];
        n += hy_segment_passes(f, 0) && !hy_segment_passes(f, reach);
    }
    return n;
}

static void test_case(hy_comm *world, hy_comm *bound, hy_device *device, const problem *p, hy_sp_method method,
                      const char *kind) {
    char what[128];
    snprintf(what, sizeof what, "%s, %s, %s", hy_state_exchange_names[method.state], hy_layout_names[method.layout],
             kind);
    outcome all = solve(world, bound, device, p, &method, log_decays[1]);
    method.prune = asked;
    outcome pruned = solve(world, bound, device, p, &method, log_decays[1]);
    outcome learned = solve(world, bound, device, p, &method, 0);
    const hy_reach_facts facts = hy_reach_facts_of(&method, &p->layout->dims, log_decays[1]);
    const int64_t n = left_out(p, facts.reach);
    CHECK(facts.bound <= asked && (n == 0 || facts.bound > 0), "%s: bound %g", what, facts.bound);
    double off[2] = {compare(p, &all, &pruned, n > 0 ? facts.bound : 0, what), 0};
    off[1] = compare(p, &all, &learned, 0, what);
    sp_sum(world, off, 2);
    CHECK(n > 0 ? off[0] > 1e-3 : off[0] == 0, "%s: %g of what is certified, of %lld fragments", what, off[0],
          (long long)n);
    CHECK(off[1] == 0 && learned.sent == all.sent && learned.rounds == all.rounds, "%s: pruned without a fixed decay",
          what);
    CHECK(pruned.sent <= all.sent && pruned.rounds <= fmax(all.rounds, 2 * hy_comm_size(world)), "%s: more is sent",
          what);
    CHECK(n == 0 || kind[0] == 'u' || pruned.sent < all.sent || pruned.rounds < all.rounds, "%s: as much is sent",
          what);
    outcome_end(&all);
    outcome_end(&pruned);
    outcome_end(&learned);
    cases++;
}

int main(int argc, char **argv) {
    hy_comm *world = NULL;
    if (hy_comm_world_create(&argc, &argv, &world) != HY_OK) {
        return 1;
    }
    hy_device *device = sp_device();
    hy_comm *bound = sp_bound(world, device);
    static const char *const kinds[] = {"one document", "packed", "uneven", "uneven, packed"};
    for (int kind = 0; hy_layout_names[kind]; kind++) {
        for (int form = 0; form < 4; form++) {
            problem p = problem_on(world, (hy_layout_kind)kind, form & 1, form & 2);
            for (int state = 0; state < HY_STATE_HEADS; state++) {
                for (int node = 1; node <= 2; node++) {
                    const hy_sp_method method = {.layout = (hy_layout_kind)kind,
                                                 .state = (hy_state_exchange)state,
                                                 .node = node,
                                                 .block = sizeof(double)};
                    test_case(world, bound, device, &p, method, kinds[form]);
                }
            }
            problem_end(&p);
        }
    }
    hy_comm_destroy(bound);
    hy_device_destroy(device);
    return hy_test_finish(world, "prune", cases);
}
