/* Reference linear recurrences, token by token:
 *
 *   S' = D_t S;  e = v − δ S'ᵀk;  S⁺ = S' + b k eᵀ + w uᵀ        S ∈ R^{K×V} per value head, in double
 *   o = scale·S⁺ᵀq, or scale·Sᵀq if exclusive
 *
 * with u = Sᵀa for dplr (its a and b are `reads` and `writes` here: w = writes) and 0 for the other rules.
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
    double *q, *k, *decay;  /* [K] */
    double *reads, *writes; /* [K] a and b of dplr */
    double *v;              /* [V]; d_o in the operations that read no v */
    double b;
} token;

typedef struct token_grad {
    double *dq, *dk, *dg;     /* [K]; dg per row of S */
    double *dreads, *dwrites; /* [K] */
    double *dv;               /* [V] */
    double db;
} token_grad;

/* What one thread needs. M = max(K,V): the map of a delta run is a recurrence with V = K. */
typedef struct scratch {
    int64_t K, V, segment;
    int delta, dplr, exclusive;
    double scale;
    token in;
    token_grad out;
    double *d_o, *o, *e, *zeros; /* [M] */
    double *u, *du;              /* [M] Sᵀa and its gradient, dplr */
    double *S, *dS;              /* [K,M] */
    double *heads;               /* [segment,K,V] state before each segment */
    double *path;                /* [segment+1,K,V] states inside one segment */
    /* backward: the value heads of a q/k head go through a segment one after another, so that what they give to its q, k, a, b
     * is complete before it is rounded. dS and heads are one of these: */
    double *all_dS, *all_heads; /* [group,K,M], [group,segment,K,V] */
    double *all_dg;             /* [group] */
    double *keys;               /* [4,segment,K] dq, dk, da, db */
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

static int64_t group_of(const hy_recur_args *a) {
    return a->H > 0 ? a->HV / a->H : 0;
}

static int64_t scratch_doubles(const hy_recur_args *a) {
    int64_t M = wide_of(a), group = group_of(a), segment = segment_of(a->T);
    return 10 * a->K + 8 * M + (1 + group) * a->K * M + ((1 + group) * segment + 1) * a->K * a->V + group +
           4 * segment * a->K;
}

size_t hy_ref_recur_work(const hy_recur_args *a) {
    return (size_t)(omp_get_max_threads() * scratch_doubles(a)) * sizeof(double);
}

static double *take_doubles(double **at, int64_t n) {
    double *p = *at;
    *at += n;
    return p;
}

/* Works on value head number j of the group. */
static void choose_head(scratch *w, int64_t j) {
    const int64_t M = w->K > w->V ? w->K : w->V;
    w->dS = w->all_dS + j * w->K * M;
    w->heads = w->all_heads + j * w->segment * w->K * w->V;
}

static void add_keys(const scratch *w, int array, int64_t i, const double *from) {
    double *to = w->keys + (array * w->segment + i) * w->K;
    for (int64_t c = 0; c < w->K; c++)
        to[c] += from[c];
}

static scratch scratch_of_thread(const hy_recur_args *a) {
    int64_t K = a->K, V = a->V, M = wide_of(a), segment = segment_of(a->T), group = group_of(a);
    double *at = (double *)a->work + omp_get_thread_num() * scratch_doubles(a);
    scratch w = {.K = K,
                 .V = V,
                 .segment = segment,
                 .delta = a->rule == HY_RULE_DELTA,
                 .dplr = a->rule == HY_RULE_DPLR,
                 .exclusive = a->exclusive,
                 .scale = a->scale};
    w.in = (token){
        .q = take_doubles(&at, K), .k = take_doubles(&at, K), .decay = take_doubles(&at, K), .v = take_doubles(&at, M)};
    w.in.reads = take_doubles(&at, K);
    w.in.writes = take_doubles(&at, K);
    w.out = (token_grad){
        .dq = take_doubles(&at, K), .dk = take_doubles(&at, K), .dg = take_doubles(&at, K), .dv = take_doubles(&at, M)};
    w.out.dreads = take_doubles(&at, K);
    w.out.dwrites = take_doubles(&at, K);
    w.u = take_doubles(&at, M);
    w.du = take_doubles(&at, M);
    w.d_o = take_doubles(&at, M);
    w.o = take_doubles(&at, M);
    w.e = take_doubles(&at, M);
    w.zeros = take_doubles(&at, M);
    memset(w.zeros, 0, (size_t)M * sizeof(double));
    w.S = take_doubles(&at, K * M);
    w.path = take_doubles(&at, (segment + 1) * K * V);
    w.all_dS = take_doubles(&at, group * K * M);
    w.all_heads = take_doubles(&at, group * segment * K * V);
    w.all_dg = take_doubles(&at, group);
    w.keys = take_doubles(&at, 4 * segment * K);
    choose_head(&w, 0);
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
    if (w->dplr)
        state_times(w, V, from, in->reads, NULL, w->u);
    for (int64_t i = 0; i < w->K; i++) {
        const double d = in->decay[i], bk = in->b * in->k[i], b = w->dplr ? in->writes[i] : 0;
        for (int64_t j = 0; j < V; j++)
            to[i * V + j] = d * from[i * V + j] + bk * w->e[j] + (w->dplr ? b * w->u[j] : 0);
    }
}

/* The token's output into w->o, and the state after it. */
static void step_and_read(const scratch *w, const double *v) {
    if (!w->exclusive)
        state_advance(w, w->V, v, w->S, w->S);
    state_times(w, w->V, w->S, w->in.q, NULL, w->o);
    for (int64_t j = 0; j < w->V; j++)
        w->o[j] *= w->scale;
    if (w->exclusive)
        state_advance(w, w->V, v, w->S, w->S);
}

/* dS += scale·q d_oᵀ */
static void state_grad_read(const scratch *w) {
    for (int64_t i = 0; i < w->K; i++) {
        const double q = w->scale * w->in.q[i];
        for (int64_t j = 0; j < w->V; j++)
            w->dS[i * w->V + j] += q * w->d_o[j];
    }
}

/* dS after what the token does to the state to dS before it, without the gradients of anything else. out.dv receives
 * dSᵀk. */
static void state_grad_retreat(scratch *w) {
    const token *in = &w->in;
    double *de = w->out.dv;
    if (w->delta)
        state_times(w, w->V, w->dS, in->k, NULL, de);
    if (w->dplr)
        state_times(w, w->V, w->dS, in->writes, NULL, w->du);
    for (int64_t i = 0; i < w->K; i++) {
        const double k = in->b * in->k[i], a = w->dplr ? in->reads[i] : 0;
        for (int64_t j = 0; j < w->V; j++) {
            double *dS = &w->dS[i * w->V + j];
            *dS = in->decay[i] * (w->delta ? *dS - k * de[j] : *dS) + (w->dplr ? a * w->du[j] : 0);
        }
    }
}

/* One token of the gradient of a state that only outputs depend on. */
static void state_grad_step(scratch *w) {
    if (!w->exclusive)
        state_grad_read(w);
    state_grad_retreat(w);
    if (w->exclusive)
        state_grad_read(w);
}

/* The token's error e = v − δ S'ᵀk and u = Sᵀa, as in the forward pass. */
static void token_errors(scratch *w, const double *before) {
    const token *in = &w->in;
    memcpy(w->e, in->v, (size_t)w->V * sizeof(double));
    if (w->delta) {
        state_times(w, w->V, before, in->k, in->decay, w->e);
        for (int64_t j = 0; j < w->V; j++)
            w->e[j] = in->v[j] - w->e[j];
    }
    if (w->dplr)
        state_times(w, w->V, before, in->reads, NULL, w->u);
}

/* Row i of the state: everything that sums over V, and dS before the token. */
static void token_backward_row(scratch *w, int64_t i, const double *before) {
    const int64_t V = w->V;
    const token *in = &w->in;
    token_grad *out = &w->out;
    double dk = 0, dg = 0, da = 0, db = 0;
    for (int64_t j = 0; j < V; j++) {
        const double decayed = in->decay[i] * before[i * V + j];
        double dS = w->dS[i * V + j];
        dk += in->b * dS * w->e[j];
        if (w->delta) {
            dk -= decayed * out->dv[j];
            dS -= in->k[i] * out->dv[j];
        }
        dg += dS * decayed;
        w->dS[i * V + j] = in->decay[i] * dS;
        if (w->dplr) {
            da += before[i * V + j] * w->du[j];
            db += dS * w->u[j];
            w->dS[i * V + j] += in->reads[i] * w->du[j];
        }
    }
    out->dk[i] = dk;
    out->dg[i] = dg;
    out->dreads[i] = da;
    out->dwrites[i] = db;
}

/* One token backward: from dS after it (w->dS) and d_o to w->out and dS before it.
 *   dS += scale·q d_oᵀ (here, or at the end if exclusive);  dq = scale·S d_o of the state that q reads
 *   c = dSᵀk;  dβ = c·e;  dv = de = β c;  du = dSᵀb;  db = dS u;  da = S du
 *   dk = β dS e − δ S' de;  dS' = dS − δ k deᵀ;  dg_i = Σ_j dS'_ij S'_ij;  dS = D dS' + a duᵀ */
static void token_backward(scratch *w, const double *before, const double *after) {
    const int64_t K = w->K, V = w->V;
    const token *in = &w->in;
    token_grad *out = &w->out;
    const double *read = w->exclusive ? before : after;
    for (int64_t i = 0; i < K; i++) {
        double dq = 0;
        for (int64_t j = 0; j < V; j++)
            dq += read[i * V + j] * w->d_o[j];
        out->dq[i] = w->scale * dq;
    }
    if (!w->exclusive)
        state_grad_read(w);
    token_errors(w, before);
    if (w->dplr)
        state_times(w, V, w->dS, in->writes, NULL, w->du);
    state_times(w, V, w->dS, in->k, NULL, out->dv);
    out->db = 0;
    for (int64_t j = 0; j < V; j++) {
        out->db += out->dv[j] * w->e[j];
        out->dv[j] *= in->b;
    }
    for (int64_t i = 0; i < K; i++)
        token_backward_row(w, i, before);
    if (w->exclusive)
        state_grad_read(w);
}

#define REF_BODY "kernels/cpu/ref_recurrence.inc"
#include "kernels/cpu/ref_precisions.h"
