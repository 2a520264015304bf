/* Reference linear recurrences, token by token:
 *
 *   S' = D_t S;  e = v − δ S'ᵀk;  S = S' + b k eᵀ;  o = scale·Sᵀq       S ∈ R^{K×V} per value head, in double
 *
 * The backward pass needs S before and after each token. It keeps the state at the head of every segment of √T tokens
 * and recomputes the states inside one segment at a time, so it never divides by a decay.
 * This part holds the arithmetic on states; ref_recurrence.inc loads, stores and loops over runs and heads. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "kernels/cpu/ref.h"

/* One token of one value head. decay[i] multiplies row i of S. */
typedef struct token {
    double *q, *k, *decay; /* [K] */
    double *v;             /* [V]; d_o in the operations that read no v */
    double b;
} token;

typedef struct token_grad {
    double *dq, *dk, *dg; /* [K]; dg per row of S */
    double *dv;           /* [V] */
    double db;
} token_grad;

/* What one thread needs. M = max(K,V): the map of a delta run is a recurrence with V = K. */
typedef struct scratch {
    int64_t K, V, segment;
    int delta;
    double scale;
    token in;
    token_grad out;
    double *d_o, *e, *zeros; /* [M] */
    double *S, *dS;          /* [K,M] */
    double *heads;           /* [segment,K,V] state before each segment */
    double *path;            /* [segment+1,K,V] states inside one segment */
} scratch;

static int64_t segment_of(int64_t T) {
    int64_t n = 1;
    while (n * n < T)
        n++;
    return n;
}

static int64_t wide_of(const hy_recur_args *a) {
    return a->K > a->V ? a->K : a->V;
}

static int64_t scratch_doubles(const hy_recur_args *a) {
    int64_t M = wide_of(a);
    return 6 * a->K + 5 * M + 2 * a->K * M + (2 * segment_of(a->T) + 1) * a->K * a->V;
}

size_t hy_ref_recur_work(const hy_recur_args *a) {
    return (size_t)(omp_get_max_threads() * scratch_doubles(a)) * sizeof(double);
}

static double *take(double **at, int64_t n) {
    double *p = *at;
    *at += n;
    return p;
}

static scratch scratch_of_thread(const hy_recur_args *a) {
    int64_t K = a->K, V = a->V, M = wide_of(a), segment = segment_of(a->T);
    double *at = (double *)a->work + omp_get_thread_num() * scratch_doubles(a);
    scratch w = {.K = K, .V = V, .segment = segment, .delta = a->rule == HY_RULE_DELTA, .scale = a->scale};
    w.in = (token){.q = take(&at, K), .k = take(&at, K), .decay = take(&at, K), .v = take(&at, M)};
    w.out = (token_grad){.dq = take(&at, K), .dk = take(&at, K), .dg = take(&at, K), .dv = take(&at, M)};
    w.d_o = take(&at, M);
    w.e = take(&at, M);
    w.zeros = take(&at, M);
    memset(w.zeros, 0, (size_t)M * sizeof(double));
    w.S = take(&at, K * M);
    w.dS = take(&at, K * M);
    w.heads = take(&at, segment * K * V);
    w.path = take(&at, (segment + 1) * K * V);
    return w;
}

/* Threads cost more than they give below this many multiplications. */
static int worth_threads(const hy_recur_args *a) {
    return a->T * a->HV * a->K * a->V > 1 << 16;
}

/* y[j] = Σ_i x[i]·row_scale[i]·S[i,j]; row_scale NULL = 1. */
static void state_times(const scratch *w, int64_t V, const double *S, const double *x, const double *row_scale,
                        double *y) {
    memset(y, 0, (size_t)V * sizeof(double));
    for (int64_t i = 0; i < w->K; i++) {
        const double xi = row_scale != NULL ? x[i] * row_scale[i] : x[i];
        for (int64_t j = 0; j < V; j++)
            y[j] += xi * S[i * V + j];
    }
}

/* S_t from S_{t−1}; `to` may be `from`. v is separate because maps run with zeros, and with V = K. */
static void state_advance(const scratch *w, int64_t V, const double *v, const double *from, double *to) {
    const token *in = &w->in;
    memcpy(w->e, v, (size_t)V * sizeof(double));
    if (w->delta) {
        state_times(w, V, from, in->k, in->decay, w->e);
        for (int64_t j = 0; j < V; j++)
            w->e[j] = v[j] - w->e[j];
    }
    for (int64_t i = 0; i < w->K; i++) {
        const double d = in->decay[i], bk = in->b * in->k[i];
        for (int64_t j = 0; j < V; j++)
            to[i * V + j] = d * from[i * V + j] + bk * w->e[j];
    }
}

/* o = scale·Sᵀq */
static void state_read(const scratch *w, const double *S, double *o) {
    state_times(w, w->V, S, w->in.q, NULL, o);
    for (int64_t j = 0; j < w->V; j++)
        o[j] *= w->scale;
}

/* dS += scale·q d_oᵀ */
static void state_grad_read(const scratch *w) {
    for (int64_t i = 0; i < w->K; i++) {
        const double q = w->scale * w->in.q[i];
        for (int64_t j = 0; j < w->V; j++)
            w->dS[i * w->V + j] += q * w->d_o[j];
    }
}

/* dS at the end of the token to dS at its beginning, without the gradients of anything else. out.dv receives de. */
static void state_grad_retreat(scratch *w) {
    const token *in = &w->in;
    double *de = w->out.dv;
    state_times(w, w->V, w->dS, in->k, NULL, de);
    for (int64_t i = 0; i < w->K; i++) {
        const double k = w->delta ? in->b * in->k[i] : 0;
        for (int64_t j = 0; j < w->V; j++)
            w->dS[i * w->V + j] = in->decay[i] * (w->dS[i * w->V + j] - k * de[j]);
    }
}

/* One token backward: from dS after it (w->dS) and d_o to w->out and dS before it.
 *   dS += scale·q d_oᵀ;  dq = scale·S d_o;  u = dSᵀk;  db = u·e;  dv = de = b u
 *   dk = b dS e − δ S' de;  dS' = dS − δ k deᵀ;  dg_i = Σ_j dS'_ij S'_ij;  dS = D dS' */
static void token_backward(scratch *w, const double *before, const double *after) {
    const int64_t K = w->K, V = w->V;
    const token *in = &w->in;
    token_grad *out = &w->out;
    state_grad_read(w);
    memcpy(w->e, in->v, (size_t)V * sizeof(double));
    if (w->delta) {
        state_times(w, V, before, in->k, in->decay, w->e);
        for (int64_t j = 0; j < V; j++)
            w->e[j] = in->v[j] - w->e[j];
    }
    state_times(w, V, w->dS, in->k, NULL, out->dv);
    out->db = 0;
    for (int64_t j = 0; j < V; j++) {
        out->db += out->dv[j] * w->e[j];
        out->dv[j] *= in->b;
    }
    for (int64_t i = 0; i < K; i++) {
        double dq = 0, dk = 0, dg = 0;
        for (int64_t j = 0; j < V; j++) {
            const double decayed = in->decay[i] * before[i * V + j];
            double dS = w->dS[i * V + j];
            dq += after[i * V + j] * w->d_o[j];
            dk += in->b * dS * w->e[j];
            if (w->delta) {
                dk -= decayed * out->dv[j];
                dS -= in->k[i] * out->dv[j];
            }
            dg += dS * decayed;
            w->dS[i * V + j] = in->decay[i] * dS;
        }
        out->dq[i] = w->scale * dq;
        out->dk[i] = dk;
        out->dg[i] = dg;
    }
}

#define REF_BODY "kernels/cpu/ref_recurrence.inc"
#include "kernels/cpu/ref_twice.h"
