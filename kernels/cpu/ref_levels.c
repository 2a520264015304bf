/* Reference log-linear recurrences, token by token in double (kernels.h has the equations): one state per set bit of
 * the position, merged like the carry of a binary counter.
 *
 * The backward pass needs the states entering each token. It keeps those at the head of every segment of √T tokens and
 * recomputes the others inside one segment at a time, so it never divides by a decay. This part holds the arithmetic on
 * states; ref_levels.inc loads, stores and loops over runs and heads. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "kernels/cpu/ref.h"

/* One token of one value head. decay[i] multiplies row i of a state. */
typedef struct level_token {
    int64_t pos;
    double *q, *k, *decay; /* [K] */
    double *v, *d_o;       /* [V] */
    double *l;             /* [N+1], scale included */
    double b;
} level_token;

typedef struct level_grad {
    double *dq, *dk, *dg; /* [K] */
    double *dv;           /* [V] */
    double *dl;           /* [N+1] */
    double db;
} level_grad;

typedef struct level_scratch {
    int64_t K, V, N, size, segment; /* size = N·K·V, of the states of one position */
    int delta;
    double scale;
    level_token in;
    level_grad out;
    double *u, *r, *o; /* [V] */
    double *S;         /* [K,V] */
    double *E, *dE;    /* [N,K,V] */
    double *heads;     /* [segment,N,K,V] states entering each segment */
    double *path;      /* [segment,N,K,V] states entering the tokens of one segment */
    /* as in ref_recurrence.c: */
    double *all_dE, *all_heads; /* [group,N,K,V], [group,segment,N,K,V] */
    double *all_dg;             /* [group] */
    double *keys;               /* [2,segment,K] dq, dk */
} level_scratch;

static int64_t level_segment(int64_t T) {
    int64_t n = 1;
    while (n * n < T)
        n++;
    return n;
}

/* Doubles handed out one after the other; with base NULL only counted. */
typedef struct level_cutter {
    double *base;
    int64_t used;
} level_cutter;

static double *level_take(level_cutter *at, int64_t n) {
    double *p = at->base != NULL ? at->base + at->used : NULL;
    at->used += n;
    return p;
}

/* Cuts a thread's scratch from `base`, NULL for none; returns how many doubles it takes. */
static int64_t level_cut(const hy_level_recur_args *a, double *base, level_scratch *w) {
    const int64_t K = a->base.K, V = a->base.V, size = a->N * K * V, segment = level_segment(a->base.T),
                  group = a->base.H > 0 ? a->base.HV / a->base.H : 0;
    level_cutter at = {base, 0};
    *w = (level_scratch){.K = K, .V = V, .N = a->N, .size = size, .segment = segment, .scale = a->base.scale};
    w->delta = a->base.rule == HY_RULE_DELTA;
    w->in = (level_token){.q = level_take(&at, K), .k = level_take(&at, K), .decay = level_take(&at, K)};
    w->in.v = level_take(&at, V);
    w->in.d_o = level_take(&at, V);
    w->in.l = level_take(&at, a->N + 1);
    w->out = (level_grad){.dq = level_take(&at, K), .dk = level_take(&at, K), .dg = level_take(&at, K)};
    w->out.dv = level_take(&at, V);
    w->out.dl = level_take(&at, a->N + 1);
    w->u = level_take(&at, V);
    w->r = level_take(&at, V);
    w->o = level_take(&at, V);
    w->S = level_take(&at, K * V);
    w->E = level_take(&at, size);
    w->path = level_take(&at, segment * size);
    w->all_dE = level_take(&at, group * size);
    w->all_heads = level_take(&at, group * segment * size);
    w->all_dg = level_take(&at, group);
    w->keys = level_take(&at, 2 * segment * K);
    w->dE = w->all_dE;
    w->heads = w->all_heads;
    return at.used;
}

/* Works on value head number j of the group. */
static void level_choose_head(level_scratch *w, int64_t j) {
    w->dE = w->all_dE + j * w->size;
    w->heads = w->all_heads + j * w->segment * w->size;
}

static int64_t level_scratch_doubles(const hy_level_recur_args *a) {
    level_scratch w;
    return level_cut(a, NULL, &w);
}

size_t hy_ref_level_work(const hy_level_recur_args *a) {
    return (size_t)(omp_get_max_threads() * level_scratch_doubles(a)) * sizeof(double);
}

static level_scratch level_scratch_of_thread(const hy_level_recur_args *a) {
    level_scratch w;
    (void)level_cut(a, (double *)a->base.work + omp_get_thread_num() * level_scratch_doubles(a), &w);
    return w;
}

static int level_worth_threads(const hy_level_recur_args *a) {
    return a->base.T * a->base.HV * a->base.K * a->base.V * a->N > 1 << 16;
}

static int64_t trailing_ones(int64_t p) {
    int64_t n = 0;
    for (; p & 1; p >>= 1)
        n++;
    return n;
}

/* y[j] = Σ_i x[i] S[i,j] */
static void level_times(const level_scratch *w, const double *S, const double *x, double *y) {
    memset(y, 0, (size_t)w->V * sizeof(double));
    for (int64_t i = 0; i < w->K; i++)
        for (int64_t j = 0; j < w->V; j++)
            y[j] += x[i] * S[i * w->V + j];
}

static double level_dot(const double *x, const double *y, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * y[i];
    return sum;
}

/* S = D E, u = Sᵀk (delta rule), S −= b k uᵀ. S may be E. */
static void level_transition(const level_scratch *w, const double *E, double *S) {
    const level_token *in = &w->in;
    const int64_t K = w->K, V = w->V;
    for (int64_t i = 0; i < K; i++)
        for (int64_t j = 0; j < V; j++)
            S[i * V + j] = in->decay[i] * E[i * V + j];
    if (!w->delta)
        return;
    level_times(w, S, in->k, w->u);
    for (int64_t i = 0; i < K; i++)
        for (int64_t j = 0; j < V; j++)
            S[i * V + j] -= in->b * in->k[i] * w->u[j];
}

/* The states entering the next token, from those after this one: bits below z and the token itself into bit z. Bit N is
 * of no use to anyone: a document that long ends here. */
static void level_carry(const level_scratch *w, double *E) {
    const level_token *in = &w->in;
    const int64_t n = w->K * w->V, z = trailing_ones(in->pos);
    if (z < w->N) {
        double *sum = E + z * n;
        for (int64_t i = 0; i < w->K; i++)
            for (int64_t j = 0; j < w->V; j++)
                sum[i * w->V + j] = in->b * in->k[i] * in->v[j];
        for (int64_t b = 0; b < z; b++)
            for (int64_t i = 0; i < n; i++)
                sum[i] += E[b * n + i];
    }
    memset(E, 0, (size_t)((z < w->N ? z : w->N) * n) * sizeof(double));
}

/* E from one token to the next; o of the token if it is not NULL. */
static void level_advance(const level_scratch *w, double *E, double *o) {
    const level_token *in = &w->in;
    const int64_t n = w->K * w->V;
    if (o != NULL) {
        const double own = in->l[0] * in->b * level_dot(in->q, in->k, w->K);
        for (int64_t j = 0; j < w->V; j++)
            o[j] = own * in->v[j];
    }
    for (int64_t b = 0; b < w->N; b++) {
        if (!(in->pos >> b & 1))
            continue;
        level_transition(w, E + b * n, E + b * n);
        if (o == NULL)
            continue;
        level_times(w, E + b * n, in->q, w->u);
        for (int64_t j = 0; j < w->V; j++)
            o[j] += in->l[b + 1] * w->u[j];
    }
    level_carry(w, E);
}

/* The carry's adjoint: dE of the next token to dS after this one, of bits and (into w->S) of the token's own b k vᵀ. */
static void level_carry_back(const level_scratch *w, double *dE) {
    const int64_t n = w->K * w->V, z = trailing_ones(w->in.pos);
    memset(w->S, 0, (size_t)n * sizeof(double));
    if (z >= w->N)
        return;
    memcpy(w->S, dE + z * n, (size_t)n * sizeof(double));
    memset(dE + z * n, 0, (size_t)n * sizeof(double));
    for (int64_t b = 0; b < z; b++)
        memcpy(dE + b * n, w->S, (size_t)n * sizeof(double));
}

/* dS += l q d_oᵀ */
static void level_grad_read(const level_scratch *w, double l, double *dS) {
    for (int64_t i = 0; i < w->K; i++)
        for (int64_t j = 0; j < w->V; j++)
            dS[i * w->V + j] += l * w->in.q[i] * w->in.d_o[j];
}

/* dS after the token to dE before it; r = dSᵀk is left in w->r. */
static void level_grad_transition(const level_scratch *w, double *dS) {
    const level_token *in = &w->in;
    level_times(w, dS, in->k, w->r);
    for (int64_t i = 0; i < w->K; i++)
        for (int64_t j = 0; j < w->V; j++)
            dS[i * w->V + j] = in->decay[i] * (dS[i * w->V + j] - (w->delta ? in->b * in->k[i] * w->r[j] : 0));
}

/* dE from one token's end to its beginning, without any other gradient. */
static void level_retreat(const level_scratch *w, double *dE) {
    const int64_t n = w->K * w->V;
    level_carry_back(w, dE);
    for (int64_t b = 0; b < w->N; b++) {
        if (!(w->in.pos >> b & 1))
            continue;
        level_grad_read(w, w->in.l[b + 1], dE + b * n);
        level_grad_transition(w, dE + b * n);
    }
}

/* What one state E of bit b gives to the token's gradients; dS becomes dE. With S' = D E, u = S'ᵀk, S = S' − δ b k uᵀ,
 * r = dSᵀk: dl = qᵀS d_o;  dq += l S d_o;  db −= r·u;  dk −= b (dS u + S' r);  dg_i += d_i Σ_j dE_ij E_ij  (of dE
 * before D) */
static void level_backward_state(level_scratch *w, int64_t b, const double *E, double *dS) {
    const level_token *in = &w->in;
    level_grad *out = &w->out;
    const int64_t K = w->K, V = w->V;
    double dl = 0;
    level_grad_read(w, in->l[b + 1], dS);
    level_transition(w, E, w->S);
    for (int64_t i = 0; i < K; i++) {
        const double read = level_dot(w->S + i * V, in->d_o, V);
        dl += in->q[i] * read;
        out->dq[i] += in->l[b + 1] * read;
    }
    out->dl[b + 1] = w->scale * dl;
    if (w->delta) {
        level_times(w, dS, in->k, w->r);
        out->db -= level_dot(w->r, w->u, V);
        for (int64_t i = 0; i < K; i++)
            out->dk[i] -= in->b * (level_dot(dS + i * V, w->u, V) + in->decay[i] * level_dot(E + i * V, w->r, V));
    }
    level_grad_transition(w, dS);
    for (int64_t i = 0; i < K; i++)
        out->dg[i] += level_dot(dS + i * V, E + i * V, V);
}

/* One token backward: from dE of the next token and the states E entering this one, to w->out and this one's dE. */
static void level_backward(level_scratch *w, const double *E, double *dE) {
    const level_token *in = &w->in;
    level_grad *out = &w->out;
    const int64_t K = w->K, V = w->V, n = K * V;
    const double gain = in->l[0] * in->b, read = level_dot(in->v, in->d_o, V);
    level_carry_back(w, dE);
    level_grad_read(w, in->l[0], w->S);
    level_times(w, w->S, in->k, out->dv);
    out->db = level_dot(out->dv, in->v, V);
    for (int64_t i = 0; i < K; i++) {
        out->dk[i] = in->b * level_dot(w->S + i * V, in->v, V);
        out->dq[i] = gain * in->k[i] * read;
        out->dg[i] = 0;
    }
    for (int64_t j = 0; j < V; j++)
        out->dv[j] *= in->b;
    memset(out->dl, 0, (size_t)(w->N + 1) * sizeof(double));
    out->dl[0] = w->scale * in->b * level_dot(in->q, in->k, K) * read;
    for (int64_t b = 0; b < w->N; b++)
        if (in->pos >> b & 1)
            level_backward_state(w, b, E + b * n, dE + b * n);
}

#define REF_BODY "kernels/cpu/ref_levels.inc"
#include "kernels/cpu/ref_precisions.h"
