/* Linear recurrences token by token in double, with their gradients (the equations stand in kernels/kernels.h), and
 * random problems for them: the oracle of tests of fast recurrences. */
#ifndef HY_TESTS_RECUR_ORACLE_H
#define HY_TESTS_RECUR_ORACLE_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/device.h"

#define GUARD       32 /* floats after every array, not to be written */
#define GUARD_VALUE 1234.5f

typedef struct shape {
    hy_decay decay;
    hy_rule rule;
    int exclusive, keyless; /* keyless: q and k are NULL, K = 1 */
    int64_t H, HV, K, V;
    const int64_t *lens; /* of runs, ending in −1 */
    double g_low;        /* log decays are uniform in [g_low, 0] ... */
    double g_reset;      /* ... but one in eight is this, if not 0 */
    double beta_high;    /* 0: no beta */
    double correlation;  /* of keys: weight of a direction they share */
} shape;

typedef struct problem {
    shape s;
    int64_t T, n_runs, slots, g_size, a_size;
    hy_run runs[16];
    float *q, *k, *a, *b, *v, *g, *beta, *d_o, *S0, *dS1; /* q, k NULL for K = V = 1: ones; a, b: dplr */
    /* results of the double recurrence, then of the table under test */
    double *o, *S1, *dq, *dk, *da, *db, *dv, *dg, *dbeta, *dS0, *A, *H, *dH, *inject;
} problem;

static uint64_t random_state = 1;

static double uniform(double low, double high) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return low + (high - low) * (double)(random_state >> 11) * 0x1p-53;
}

static float *floats(int64_t n, double low, double high) {
    float *p = malloc((size_t)(n + GUARD) * sizeof *p);
    for (int64_t i = 0; i < n; i++)
        p[i] = (float)uniform(low, high);
    for (int64_t i = n; i < n + GUARD; i++)
        p[i] = GUARD_VALUE;
    return p;
}

static double *doubles(int64_t n) {
    return calloc((size_t)n + 1, sizeof(double));
}

static int64_t count_g(const shape *s, int64_t T) {
    switch (s->decay) {
    case HY_DECAY_HEAD:
        return s->HV;
    case HY_DECAY_SCALAR:
        return T * s->HV;
    case HY_DECAY_VECTOR:
        return T * s->HV * s->K;
    default:
        return 0;
    }
}

static void make_keys(problem *p) {
    const shape *s = &p->s;
    for (int64_t i = 0; i < p->T * s->H; i++) {
        double sum = 1e-12;
        for (int64_t c = 0; c < s->K; c++) {
            float *x = &p->k[i * s->K + c];
            *x = (float)((1 - s->correlation) * (double)*x + s->correlation * (c % 3 ? 0.5 : -0.3));
            sum += (double)*x * (double)*x;
        }
        for (int64_t c = 0; c < s->K; c++)
            p->k[i * s->K + c] /= (float)sqrt(sum);
    }
}

/* As rwkv7 makes them: a of unit length, b = −a⊙r, r in (0, 1), so that states do not grow; off the exact line by
 * noise. */
static void make_low_rank(problem *p) {
    const int64_t n = p->T * p->s.H * p->s.K;
    p->a = floats(n, -1, 1);
    p->b = floats(n, -0.05, 0.05);
    for (int64_t i = 0; i < n; i += p->s.K) {
        double sum = 1e-12;
        for (int64_t c = 0; c < p->s.K; c++)
            sum += (double)p->a[i + c] * (double)p->a[i + c];
        for (int64_t c = 0; c < p->s.K; c++) {
            p->a[i + c] /= (float)sqrt(sum);
            p->b[i + c] -= (float)(uniform(0.2, 1) * (double)p->a[i + c]);
        }
    }
}

static problem make_problem(shape s) {
    problem p = {.s = s, .a_size = hy_transition_size(s.decay, s.rule, s.K)};
    for (; s.lens[p.n_runs] >= 0; p.n_runs++) {
        int64_t i = p.n_runs, len = s.lens[i];
        p.runs[i] = (hy_run){p.T, len, i % 3 == 1 ? -1 : p.slots, i % 4 == 2 ? -1 : p.slots};
        p.slots++;
        p.T += len;
    }
    int64_t T = p.T, states = p.slots * s.HV * s.K * s.V;
    p.g_size = count_g(&s, T);
    p.q = floats(T * s.H * s.K, -1, 1);
    p.k = floats(T * s.H * s.K, -1, 1);
    p.v = floats(T * s.HV * s.V, -1, 1);
    p.g = p.g_size ? floats(p.g_size, s.g_low, 0) : NULL;
    for (int64_t i = 0; s.g_reset < 0 && i < p.g_size; i++)
        if (uniform(0, 1) < 0.125)
            p.g[i] = (float)s.g_reset;
    p.beta = s.beta_high > 0 ? floats(T * s.HV, 0, s.beta_high) : NULL;
    p.d_o = floats(T * s.HV * s.V, -1, 1);
    p.S0 = floats(states, -1, 1);
    p.dS1 = floats(states, -1, 1);
    make_keys(&p);
    if (s.keyless) {
        free(p.q);
        free(p.k);
        p.q = p.k = NULL;
    }
    if (s.rule == HY_RULE_DPLR)
        make_low_rank(&p);
    p.da = doubles(T * s.H * s.K);
    p.db = doubles(T * s.H * s.K);
    p.o = doubles(T * s.HV * s.V);
    p.inject = doubles(T * s.HV * s.V);
    p.dq = doubles(T * s.H * s.K);
    p.dk = doubles(T * s.H * s.K);
    p.dv = doubles(T * s.HV * s.V);
    p.dg = doubles(p.g_size);
    p.dbeta = doubles(T * s.HV);
    p.S1 = doubles(states);
    p.dS0 = doubles(states);
    p.dH = doubles(states);
    p.H = doubles(states);
    p.A = doubles(p.slots * s.HV * p.a_size);
    return p;
}

static void free_problem(problem *p) {
    void *all[] = {p->q,  p->k,  p->v,  p->g,  p->beta, p->d_o, p->S0,    p->dS1, p->o, p->S1, p->a,  p->b,
                   p->da, p->db, p->dq, p->dk, p->dv,   p->dg,  p->dbeta, p->dS0, p->A, p->H,  p->dH, p->inject};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static double decay_at(const problem *p, int64_t t, int64_t h, int64_t c) {
    const shape *s = &p->s;
    switch (s->decay) {
    case HY_DECAY_HEAD:
        return exp((double)p->g[h]);
    case HY_DECAY_SCALAR:
        return exp((double)p->g[t * s->HV + h]);
    case HY_DECAY_VECTOR:
        return exp((double)p->g[(t * s->HV + h) * s->K + c]);
    default:
        return 1;
    }
}

static double scale_of(const problem *p) {
    return 1 / sqrt((double)p->s.K);
}

static double beta_at(const problem *p, int64_t t, int64_t h) {
    return p->beta ? (double)p->beta[t * p->s.HV + h] : 1;
}

/* Where the row of q, k, a, b of a value head begins, and an element of it; one without keys. */
static int64_t key_row(const shape *s, int64_t t, int64_t h) {
    return (t * s->H + h / (s->HV / s->H)) * s->K;
}

static double key_at(const float *keys, int64_t i) {
    return keys ? (double)keys[i] : 1;
}

/* S = state after token t from S before it [K,cols]; v NULL = 0; S before, decayed S', e and u = Sᵀa are kept; o may be
 * NULL. */
typedef struct token_kept {
    double *S, *decayed, *e, *u;
} token_kept;

static void token_forward(const problem *p, int64_t t, int64_t h, int64_t cols, const float *v, double *S,
                          token_kept kept, double *o) {
    const shape *s = &p->s;
    const int64_t at = key_row(s, t, h);
    const double beta = beta_at(p, t, h);
    memcpy(kept.S, S, (size_t)(s->K * cols) * sizeof *S);
    for (int64_t c = 0; c < s->K; c++) {
        const double decay = decay_at(p, t, h, c);
        for (int64_t j = 0; j < cols; j++)
            kept.decayed[c * cols + j] = decay * S[c * cols + j];
    }
    for (int64_t j = 0; j < cols; j++) {
        double e = v ? (double)v[j] : 0, u = 0, sum = 0;
        for (int64_t c = 0; s->rule == HY_RULE_DELTA && c < s->K; c++)
            e -= kept.decayed[c * cols + j] * key_at(p->k, at + c);
        for (int64_t c = 0; s->rule == HY_RULE_DPLR && c < s->K; c++)
            u += kept.S[c * cols + j] * key_at(p->a, at + c);
        for (int64_t c = 0; c < s->K; c++) {
            S[c * cols + j] = kept.decayed[c * cols + j] + beta * key_at(p->k, at + c) * e;
            if (s->rule == HY_RULE_DPLR)
                S[c * cols + j] += key_at(p->b, at + c) * u;
            sum += (s->exclusive ? kept.S : S)[c * cols + j] * key_at(p->q, at + c);
        }
        kept.e[j] = e;
        kept.u[j] = u;
        if (o)
            o[j] = scale_of(p) * sum;
    }
}

static void add_read(const problem *p, int64_t t, int64_t h, double *dS) {
    const int64_t at = key_row(&p->s, t, h);
    for (int64_t c = 0; c < p->s.K; c++)
        for (int64_t j = 0; j < p->s.V; j++)
            dS[c * p->s.V + j] += scale_of(p) * key_at(p->q, at + c) * (double)p->d_o[(t * p->s.HV + h) * p->s.V + j];
}

static int64_t gate_at(const shape *s, int64_t t, int64_t h, int64_t c) {
    return s->decay == HY_DECAY_HEAD ? h : s->decay == HY_DECAY_SCALAR ? t * s->HV + h : (t * s->HV + h) * s->K + c;
}

/* dS after token t becomes dS before it; gradients of the token are added. `after` is the state after it; kept NULL:
 * only dS. */
static void token_backward(problem *p, int64_t t, int64_t h, const double *after, const token_kept *kept, double *dS) {
    const shape *s = &p->s;
    int64_t K = s->K, V = s->V, at = key_row(s, t, h), vat = (t * s->HV + h) * V;
    double b = beta_at(p, t, h), delta = s->rule == HY_RULE_DELTA, db = 0;
    double *de = doubles(V), *du = doubles(V);
    if (!s->exclusive)
        add_read(p, t, h, dS);
    for (int64_t c = 0; c < K; c++)
        for (int64_t j = 0; j < V; j++) {
            de[j] += dS[c * V + j] * key_at(p->k, at + c);
            du[j] += s->rule == HY_RULE_DPLR ? dS[c * V + j] * key_at(p->b, at + c) : 0;
        }
    for (int64_t j = 0; j < V; j++) {
        db += kept ? de[j] * kept->e[j] : 0;
        de[j] *= b;
        if (kept)
            p->dv[vat + j] = de[j];
    }
    p->dbeta[t * s->HV + h] = kept ? db : p->dbeta[t * s->HV + h];
    for (int64_t c = 0; c < K; c++) {
        const double decay = decay_at(p, t, h, c), a = s->rule == HY_RULE_DPLR ? key_at(p->a, at + c) : 0;
        for (int64_t j = 0; j < V; j++) {
            int64_t i = c * V + j;
            double x = dS[i];
            if (kept) {
                p->dq[at + c] += scale_of(p) * (s->exclusive ? kept->S : after)[i] * (double)p->d_o[vat + j];
                p->dk[at + c] += b * x * kept->e[j] - delta * kept->decayed[i] * de[j];
                p->da[at + c] += kept->S[i] * du[j];
                p->db[at + c] += x * kept->u[j];
            }
            x -= delta * key_at(p->k, at + c) * de[j];
            if (kept && p->g_size)
                p->dg[gate_at(s, t, h, c)] += x * kept->decayed[i];
            dS[i] = x * decay + a * du[j];
        }
    }
    if (s->exclusive)
        add_read(p, t, h, dS);
    free(de);
    free(du);
}

static void load_state(double *S, const float *from, int64_t slot, const problem *p, int64_t h) {
    int64_t n = p->s.K * p->s.V;
    for (int64_t i = 0; i < n; i++)
        S[i] = slot >= 0 ? (double)from[(slot * p->s.HV + h) * n + i] : 0;
}

static token_kept kept_make(int64_t K, int64_t cols) {
    return (token_kept){doubles(K * cols), doubles(K * cols), doubles(cols), doubles(cols)};
}

static void kept_free(token_kept *kept) {
    free(kept->S);
    free(kept->decayed);
    free(kept->e);
    free(kept->u);
}

static void reference_run(problem *p, const hy_run *run, int64_t h) {
    const shape *s = &p->s;
    int64_t n = s->K * s->V, T = run->len;
    double *S = doubles((T + 1) * n), *dS = doubles(n);
    token_kept *kept = calloc((size_t)T + 1, sizeof *kept);
    load_state(S, p->S0, run->s0, p, h);
    for (int64_t i = 0; i < T; i++) {
        int64_t t = run->begin + i, at = (t * s->HV + h) * s->V;
        kept[i] = kept_make(s->K, s->V);
        memcpy(S + (i + 1) * n, S + i * n, (size_t)n * sizeof *S);
        token_forward(p, t, h, s->V, p->v + at, S + (i + 1) * n, kept[i], p->o + at);
    }
    if (run->s1 >= 0)
        memcpy(p->S1 + (run->s1 * s->HV + h) * n, S + T * n, (size_t)n * sizeof *S);
    load_state(dS, p->dS1, run->s1, p, h);
    for (int64_t i = T - 1; i >= 0; i--)
        token_backward(p, run->begin + i, h, S + (i + 1) * n, &kept[i], dS);
    if (run->s0 >= 0)
        memcpy(p->dS0 + (run->s0 * s->HV + h) * n, dS, (size_t)n * sizeof *S);
    memset(dS, 0, (size_t)n * sizeof *dS);
    for (int64_t i = T - 1; i >= 0; i--)
        token_backward(p, run->begin + i, h, NULL, NULL, dS);
    if (run->s0 >= 0)
        memcpy(p->dH + (run->s0 * s->HV + h) * n, dS, (size_t)n * sizeof *S);
    for (int64_t i = 0; i < T; i++)
        kept_free(&kept[i]);
    free(kept);
    free(S);
    free(dS);
}

/* H, A of a run, and what S0 adds to o. */
static void reference_map(problem *p, const hy_run *run, int64_t h) {
    const shape *s = &p->s;
    int64_t K = s->K, V = s->V, most = K > V ? K : V;
    double *X = doubles(K * most);
    token_kept kept = kept_make(K, most);
    for (int64_t i = 0; i < run->len; i++)
        token_forward(p, run->begin + i, h, V, p->v + ((run->begin + i) * s->HV + h) * V, X, kept, NULL);
    if (run->s1 >= 0)
        memcpy(p->H + (run->s1 * s->HV + h) * K * V, X, (size_t)(K * V) * sizeof *X);
    load_state(X, p->S0, run->s0, p, h);
    for (int64_t i = 0; i < run->len; i++)
        token_forward(p, run->begin + i, h, V, NULL, X, kept, p->inject + ((run->begin + i) * s->HV + h) * V);
    memset(X, 0, (size_t)(K * most) * sizeof *X);
    for (int64_t c = 0; c < K; c++)
        X[c * K + c] = 1;
    for (int64_t i = 0; i < run->len; i++)
        token_forward(p, run->begin + i, h, K, NULL, X, kept, NULL);
    const int dense = s->rule != HY_RULE_ADDITIVE;
    for (int64_t c = 0; run->s1 >= 0 && run->s0 >= 0 && c < p->a_size; c++)
        p->A[(run->s1 * s->HV + h) * p->a_size + c] = dense ? X[c] : X[c * K + c];
    free(X);
    kept_free(&kept);
}

/* All of the problem's results. */
static void solve_problem(problem *p) {
    for (int64_t i = 0; i < p->n_runs * p->s.HV; i++) {
        reference_run(p, &p->runs[i / p->s.HV], i % p->s.HV);
        reference_map(p, &p->runs[i / p->s.HV], i % p->s.HV);
    }
}

#endif
