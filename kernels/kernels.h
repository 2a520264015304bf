/* The one list of device operations. A table (cpu_ref, cpu, later cuda) holds one function per operation; each
 * function takes one args struct. Layers and sp call operations only through hy_<op>(device, &args), which
 * times and dispatches (device.h, dispatch.c); a table entry is arithmetic only.
 *
 * Conventions
 * - Every untyped pointer is an array whose role (dtype.h) gives it its element type: `act` unless the field says `stat`, `weight`
 *   or `grad`, or an hy_role field of the struct. Arrays are dense and row-major; the shape stands beside each field.
 * - T = local tokens. Inside it, `hy_run`s are ranges of consecutive tokens of one document; recurrences and
 *   convolutions never cross a run's edge except through the state or halo they are given.
 * - Parameter gradients (dw, db, dA_log, ...) accumulate. Activation gradients overwrite when the `acc` flag
 *   beside them is 0 and accumulate when it is 1. An output pointer that may be NULL says so.
 * - Sizes may be 0; nothing is read or written then. Nothing allocates: scratch is passed in `work`.
 * - Operations cannot fail. Shapes are checked by the caller when the plan is made. */
#ifndef HY_KERNELS_KERNELS_H
#define HY_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "kernels/dtype.h"

/* ---- memory ---- */

typedef struct hy_fill {
    int64_t n;
    double value;
    void *y; /* [n] */
    hy_role role;
} hy_fill_args;

/* y[i] = value[i]. */
enum { HY_VALUES_MAX = 64 };
typedef struct hy_values {
    int64_t n; /* ≤ HY_VALUES_MAX */
    double value[HY_VALUES_MAX];
    void *y; /* [n] */
    hy_role role;
} hy_values_args;

typedef struct hy_copy2d {
    int64_t rows, cols, src_ld, dst_ld; /* leading dimensions in elements */
    const void *src;
    void *dst;
    int acc;          /* dst = src or dst += src */
    hy_role from, to; /* of src, of dst */
} hy_copy2d_args;

/* dst[c·dst_ld + r] (+)= src[r·src_ld + c]: a matrix [rows,cols] turned. dst must not overlap src. */
typedef struct hy_transpose {
    int64_t rows, cols, src_ld, dst_ld;
    const void *src;
    void *dst;
    int acc;
} hy_transpose_args;

/* Blocks of one array copied into (or added to) another, in the order of the list; of the blocks' numbers all but rows count
 * `unit` elements. from < 0: zeros are written. */
typedef struct hy_block {
    int64_t rows, cols, from, from_ld, to, to_ld;
} hy_block;
typedef struct hy_copy_blocks {
    const hy_block *blocks;
    int64_t n_blocks, unit;
    int turn; /* each block is turned, as hy_transpose does: unit 1, role act, no zeros, none writes what another does */
    int acc;
    const void *src;
    void *dst;
    hy_role role; /* of both */
} hy_copy_blocks_args;

/* y = a·x + (acc ? y : 0);  y may alias x if their roles are the same. */
typedef struct hy_axpy {
    int64_t n;
    double a;
    const void *x;
    void *y;
    int acc;
    hy_role from, to; /* of x, of y */
} hy_axpy_args;

/* y = a + b elementwise; y may alias either. */
typedef struct hy_add {
    int64_t n;
    const void *a, *b;
    void *y;
} hy_add_args;

/* Rows of src added to rows of dst, block by block in the list's order; blocks may share rows of either. All stat. */
typedef struct hy_row_block {
    int64_t from, to, n; /* first row in src, in dst; rows */
} hy_row_block;

typedef struct hy_rows_add {
    const hy_row_block *blocks; /* [n_blocks] */
    int64_t n_blocks, n, cols;  /* n: the most rows of any block */
    const void *src;
    void *dst;
} hy_rows_add_args;

/* y[r,i,:] = x[r,:] for i < repeat: heads that read one key head. bwd: dx[r,:] (+)= Σ_i dy[r,i,:], in order of i. */
typedef struct hy_repeat {
    int64_t rows, repeat, cols;
    const void *x; /* [rows,cols] */
    void *y;       /* [rows,repeat,cols] */
    const void *dy;
    void *dx;
    int acc;
    hy_role from, to; /* of x, dx; of y, dy */
} hy_repeat_args;

/* ---- products ---- */

/* C [m,n] = alpha·op(A)·op(B) + beta·C, row-major; op = transpose if the flag is set. A is [m,k] ([k,m] if
 * trans_a), B is [k,n] ([n,k] if trans_b). beta = 0 never reads C. */
typedef struct hy_gemm {
    int trans_a, trans_b;
    int64_t m, n, k;
    double alpha;
    const void *a;
    int64_t lda;
    const void *b;
    int64_t ldb;
    double beta;
    void *c;
    int64_t ldc;
    hy_role a_role, b_role, c_role;
} hy_gemm_args;

/* fwd: y[t,:] += bias.  bwd: dbias += Σ_t dy[t,:]. */
typedef struct hy_bias {
    int64_t rows, cols;
    const void *bias; /* stat */
    void *y;
    const void *dy;
    void *dbias;  /* grad */
    hy_role role; /* of y, dy */
} hy_bias_args;

/* fwd: y[t,:] = w[tokens[t],:].  bwd: dw[tokens[t],:] += dy[t,:], in token order (deterministic), but not where tokens[t] is
 * `frozen`. */
typedef struct hy_embed {
    int64_t T, D, vocab, frozen; /* frozen: -1 = none */
    const int32_t *tokens;       /* [T], each in [0, vocab) */
    const void *w;               /* [vocab,D] weight */
    void *y;                     /* [T,D] */
    const void *dy;
    void *dw; /* grad */
} hy_embed_args;

typedef enum hy_act {
    HY_ACT_IDENTITY,
    HY_ACT_SIGMOID,
    HY_ACT_SILU, /* x·sigmoid(x), also called swish */
    HY_ACT_RELU,
    HY_ACT_RELU2, /* relu(x)² */
    HY_ACT_ELU1,  /* elu(x) + 1 */
    HY_ACT_TANH,
    HY_ACT_SOFTPLUS,
    HY_ACT_LOGSIGMOID,
    HY_ACT_EXP,
    HY_ACT_NEG_EXP, /* −exp(x) */
    HY_ACT_SQUARE
} hy_act;

/* ---- norms; a row is `cols` consecutive elements (per head: rows = T·H, cols = head size) ---- */

/* y = x/sqrt(mean(x²) + eps) · (w + zero_centred).  w repeats: row r uses w[(r % w_rows)·cols ...], w_rows = 1
 * for one weight [cols] shared by all rows, H for [H,cols]; w NULL = no weight. bwd recomputes the scale from x.
 * fwd with `branch`: sum = x + branch, and the norm is of that, as `add` and the norm of what it leaves would do one behind the other, to the
 * bit. bwd of such a norm: x is the sum, and acc adds to the residual stream's gradient.
 * With `gate`, which no norm of a sum has: y = the norm ⊙ act(gate), rounded once. bwd: with d = dy ⊙ act(gate) in dy's place, and
 * dgate = dy ⊙ the norm ⊙ act'(gate). */
typedef struct hy_rmsnorm {
    int64_t rows, cols, w_rows;
    double eps;
    int zero_centred;
    const void *x;
    const void *branch; /* may be NULL */
    void *sum;          /* with branch */
    const void *w;      /* stat */
    const void *gate;   /* [rows,cols], may be NULL */
    hy_act act;         /* of gate */
    void *y;
    const void *dy;
    void *dx; /* may be NULL */
    int acc;
    void *dgate; /* with gate, may be NULL */
    int acc_gate;
    void *dw; /* [w_rows,cols] grad, may be NULL */
} hy_rmsnorm_args;

/* y = (x − mean)/sqrt(var + eps) · w + b (biased variance); w, b [w_rows,cols] or NULL. With rows = T·H and
 * w_rows = H this is a GroupNorm with one group per head. branch, sum: as above. */
typedef struct hy_layernorm {
    int64_t rows, cols, w_rows;
    double eps;
    const void *x;
    const void *branch; /* may be NULL */
    void *sum;          /* with branch */
    const void *w, *b;  /* stat */
    void *y;
    const void *dy;
    void *dx;
    int acc;
    void *dw, *db; /* grad */
} hy_layernorm_args;

/* l2norm: y = x / sqrt(Σx² + eps).  sumnorm: y = x / (Σx + eps). */
typedef struct hy_l2norm {
    int64_t rows, cols;
    double eps;
    const void *x;
    void *y;
    const void *dy;
    void *dx;
    int acc;
} hy_l2norm_args;

/* ---- elementwise ---- */

/* y = max(scale·act(x), floor); floor = -INFINITY for none. Where the floor holds the gradient is 0.
 * bwd: dx (+)= dy · scale·act'(x). y may alias x in fwd, dx may alias dy in bwd, where
 * their roles are the same. */
typedef struct hy_unary {
    hy_act act;
    int64_t n;
    double scale, floor;
    const void *x;
    void *y;
    const void *dy;
    void *dx;
    int acc;
    hy_role from, to; /* of x, dx; of y, dy */
} hy_unary_args;

/* y = a ⊙ act(z). One z element covers `group` consecutive elements of a: group = 1 elementwise, group = V for
 * one gate per head of V channels. a, y: [n]; z: [n/group]. bwd: da (+)= dy ⊙ act(z), dz (+)= Σ dy ⊙ a ⊙ act'(z). */
typedef struct hy_glu {
    hy_act act;
    int64_t n, group;
    const void *a, *z;
    void *y;
    const void *dy;
    void *da, *dz;
    int acc_a, acc_z;
    hy_role z_role; /* of z, dz */
} hy_glu_args;

/* Rotary position embedding, half-split: channels (first + i, first + i + rot/2), i < rot/2, of each head turn by
 * pos·base^(−2i/rot); the others pass. `inverse` turns the other way, which is the backward pass.
 * y may alias x. acc adds to y. */
typedef struct hy_rope {
    int64_t T, H, D, first, rot;
    double base;
    int inverse, acc;
    const int64_t *pos; /* [T] position inside the document */
    const void *x;      /* [T,H,D] */
    void *y;
} hy_rope_args;

/* Decay gates of gated_deltanet, mamba2, kda; x [T,H,K] (K = 1: one per head), A_log [H], dt_bias [H,K] or NULL.
 *   lower_bound == 0:  g = −exp(A_log_h)·softplus(x + dt_bias)
 *   lower_bound <  0:  g = lower_bound·sigmoid(exp(A_log_h)·(x + dt_bias))        (kda's safe gate) */
typedef struct hy_decay_gate {
    int64_t T, H, K;
    double lower_bound;
    const void *x;
    const void *A_log, *dt_bias; /* stat */
    void *g;                     /* [T,H,K] stat */
    const void *dg;              /* stat */
    void *dx;
    int acc;
    void *dA_log, *ddt_bias; /* grad */
} hy_decay_gate_args;

/* A learned factor per channel or group of channels:  y[t,j] = add[t,j] + x[t, j/expand]·act(w[j/group]),  add NULL = 0.
 * cols counts the columns of y and add; x has cols/expand, w cols/group. expand or group is 1.
 * bwd: dx[t,i] (+)= Σ_j dy·act(w), dw += Σ dy·x·act'(w); the gradient of add is dy itself. */
typedef struct hy_scale {
    hy_act act;
    int64_t T, cols, expand, group;
    const void *x, *add;
    const void *w; /* stat */
    void *y;
    const void *dy;
    void *dx;
    int acc;
    void *dw;     /* grad */
    hy_role role; /* of x, add, y, dy, dx */
} hy_scale_args;

/* ---- feature maps; a row is one head's `cols` channels ---- */

typedef enum hy_feature_kind {
    HY_FEATURES_TAYLOR, /* 1, x_i/d^¼, x_i²/√(2d), x_i x_j/√d for i < j:  φ(q)·φ(k) = 1 + s + s²/2, s = q·k/√d */
    HY_FEATURES_SQUARE,     /* x_i²/√d, x_i x_j·√(2/d) for i < j:  φ(q)·φ(k) = (q·k)²/d */
    HY_FEATURES_DPFP,       /* z = [relu x, relu −x], then z ⊙ (z turned by j places), j = 1..4 */
    HY_FEATURES_HEDGEHOG,   /* softmax of [2x, −2x] */
    HY_FEATURES_TWO_SOFTMAX /* softmax of x, then softmax of −x */
} hy_feature_kind;

static inline int64_t hy_feature_cols(hy_feature_kind kind, int64_t d) {
    switch (kind) {
    case HY_FEATURES_TAYLOR:
        return 1 + d + d * (d + 1) / 2;
    case HY_FEATURES_SQUARE:
        return d * (d + 1) / 2;
    case HY_FEATURES_DPFP:
        return 8 * d;
    default:
        return 2 * d;
    }
}

/* y [rows, hy_feature_cols] from x [rows,cols]; bwd: dx (+)=. */
typedef struct hy_feature {
    hy_feature_kind kind;
    int64_t rows, cols;
    const void *x;
    void *y;
    const void *dy;
    void *dx;
    int acc;
} hy_feature_args;

/* y[r,:] = x[r,:cols] / (x[r,cols] + eps): the last column of x [rows,cols+1] normalises the others. bwd: dx (+)=. */
typedef struct hy_ratio {
    int64_t rows, cols;
    double eps;
    const void *x;
    void *y;
    const void *dy;
    void *dx;
    int acc;
} hy_ratio_args;

/* Lower bounds of decays, learned for all layers together (hgrn): with p = softmax over the layers j of w[j,c],
 * y[c] = Σ_{1 ≤ j ≤ layer} p[j,c]. bwd: dw += . */
typedef struct hy_bound {
    int64_t layers, layer, C;
    const void *w;  /* [layers,C] stat */
    void *y;        /* [C] stat */
    const void *dy; /* stat */
    void *dw;       /* grad */
} hy_bound_args;

/* A decay that stays above a bound: e^g = bound + (1 − bound)·σ(x), k = 1 − e^g. */
typedef struct hy_bound_gate {
    int64_t T, C;
    const void *x;     /* [T,C] */
    const void *bound; /* [C] stat, each in [0,1]; NULL = 0 */
    void *g;           /* [T,C] stat */
    void *k;           /* [T,C] */
    const void *dg;    /* stat */
    const void *dk;
    void *dx;
    int acc;
    void *dbound; /* stat; accumulates; NULL if bound is */
} hy_bound_gate_args;

/* Mixtures of two arrays, i < parts:  y_i = x + (z − x) ⊙ s_i,  s_i = act(m_i + w_i);  act: identity or sigmoid. m_i and dm_i may be NULL.
 * bwd: dx (+)= Σ_i dy_i ⊙ (1 − s_i), dz (+)= Σ_i dy_i ⊙ s_i, dm_i = dy_i ⊙ (z − x) ⊙ act', dw_i += the same summed over rows; dm_i may
 * alias dy_i. */
enum { HY_LERP_MAX = 6 };
typedef struct hy_lerp {
    hy_act act;
    int64_t rows, cols;
    int parts;                  /* ≤ HY_LERP_MAX */
    const void *x, *z;          /* [rows,cols], as y_i, dy_i, dx, dz */
    const void *m[HY_LERP_MAX]; /* [rows,cols] */
    const void *w[HY_LERP_MAX]; /* [cols] stat */
    void *y[HY_LERP_MAX];
    const void *dy[HY_LERP_MAX];
    void *dx, *dz;
    int acc_x, acc_z;
    void *dm[HY_LERP_MAX], *dw[HY_LERP_MAX]; /* dw: grad */
} hy_lerp_args;

/* What a token's own value adds to its output where weights are squared scores: y[r,:] = add[r,:] + s²/cols·v[r,:], s = q[r]·k[r]; add NULL = 0.
 * bwd: dq, dk, dv (+)=; the gradient of add is dy itself. */
typedef struct hy_own {
    int64_t rows, cols, V;
    const void *q, *k; /* [rows,cols] */
    const void *v;     /* [rows,V] */
    const void *add;   /* [rows,V] */
    void *y;
    const void *dy;
    void *dq, *dk, *dv;
    int acc_q, acc_k, acc_v;
} hy_own_args;

/* ---- runs, convolution ---- */

/* A range of consecutive local tokens of one document. s0: which entry of a state (or halo) array enters before
 * its first token, −1 for none (the document starts here: zero). s1: which entry receives the state after its
 * last token, −1 if nobody wants it. No two runs share an s0 or an s1. */
typedef struct hy_run {
    int64_t begin, len, s0, s1;
} hy_run;

/* s0 of a run of a convolution that continues the one before it: the W − 1 rows before it in x are its past, and their gradients are
 * added to dx there. */
enum { HY_RUN_GOES_ON = -2 };

/* Depthwise causal convolution of width W, then act: y[t,c] = act(bias[c] + Σ_j w[c,j]·x[t−(W−1)+j, c]), j = W−1 being
 * the present token. Tokens before a run's first come from halo[s0] (rows oldest first; row W−2 is the token just
 * before the run), zeros if s0 = −1.
 * bwd: dx, dw, dbias, and dhalo[s0] (every row of it overwritten) for runs with s0 ≥ 0. act: identity or silu. */
typedef struct hy_conv {
    int64_t T, C, W;
    hy_act act;
    const hy_run *runs;
    int64_t n_runs, run_tokens, run_longest; /* see hy_recur */
    const void *x;                           /* [T,C] */
    const void *w;                           /* [C,W] stat */
    const void *bias;                        /* [C] stat, or NULL */
    const void *halo;                        /* [slots, W−1, C] or NULL if no run has one */
    void *y;
    const void *dy;
    void *dx;
    int acc;
    void *dw, *dbias; /* grad or stat, which have one type; dbias may be NULL */
    void *dhalo;
} hy_conv_args;

/* Taps of a convolution from G filters, each shared by C/G consecutive channels (G divides C) and damped with its age,
 * W−1−j tokens for tap j:   w[c,j] = h[g,j]·exp(−α_g·(W−1−j)/(W−1)).
 * α_g = exp(log_alpha[g]); without log_alpha they are fixed, from `low` to `high` in equal ratios; high = 0: no damping.
 * bwd: dh and dlog_alpha from dw. All stat, dh and dlog_alpha grad. */
typedef struct hy_window_filter {
    int64_t C, G, W;
    double low, high;
    const void *h;         /* [G,W] */
    const void *log_alpha; /* [G] or NULL */
    void *w;               /* [C,W] */
    const void *dw;
    void *dh, *dlog_alpha;
} hy_window_filter_args;

/* Implicit filters, sums of N decaying exponentials: h[c,τ] = Σ_n R[g,n]·λ[g,n]^τ with λ = exp(−softplus(p)) and
 * g = (first + c)/group: channel c of the array is channel first + c of the model. bwd: dR, dp from dh. All stat, dR and dp
 * grad. */
typedef struct hy_modal_filter {
    int64_t C, L, N, first, group;
    const void *R, *p; /* [.,N] */
    void *h;           /* [C,L] */
    const void *dh;
    void *dR, *dp;
} hy_modal_filter_args;

/* Causal convolution as long as the documents, a row of tokens per channel: y[c,t] = Σ_τ h[c,τ]·x[c,t−τ], τ from 0 to
 * t's place in its document. No document is longer than L. bwd: dx and dh overwrite. */
typedef struct hy_long_conv {
    int64_t C, T, L;
    const int64_t *docs; /* [n_docs+1] from 0 to T, nondecreasing */
    int64_t n_docs;
    const void *x; /* [C,T] */
    const void *h; /* [C,L] stat */
    void *y;       /* [C,T] */
    const void *dy;
    void *dx;   /* [C,T] */
    void *dh;   /* [C,L] stat */
    void *work; /* the profile's long_conv_work(args) bytes (device.h) */
} hy_long_conv_args;

/* ---- linear recurrences: mixers.md section 1 ----
 *
 *   additive, delta:  S' = D_t S;  e = v − δ S'ᵀk;  S = S' + β k eᵀ       S ∈ R^{K×V} per value head
 *   dplr:             S = D_t S + b (aᵀS) + β k vᵀ                        diagonal plus low rank: a reads the undecayed S
 *   o = scale·Sᵀq, of the new S; `exclusive`: of the S before the token
 *
 * Value head i reads the q, k, a, b of head i / (HV/H). With K = 1, q or k NULL stand for ones and have no gradient:
 * h = e^g h + x is the additive rule with H = 1, a value head per channel, V = 1, scalar decay, v = x.
 *
 * Roles: q, k, a, b, v, o and their gradients act; g, beta and their gradients, states and maps stat; dg of HY_DECAY_HEAD grad. */
typedef enum hy_decay {
    HY_DECAY_NONE,   /* g NULL */
    HY_DECAY_HEAD,   /* g [HV] */
    HY_DECAY_SCALAR, /* g [T,HV] */
    HY_DECAY_VECTOR  /* g [T,HV,K] */
} hy_decay;
typedef enum hy_rule { HY_RULE_ADDITIVE, HY_RULE_DELTA, HY_RULE_DPLR } hy_rule;

/* Elements of the transition A of a segment map, per head: 1 (additive; the factor exp Σg), K (additive, vector
 * decay), K·K row-major (delta, dplr; S_out = A·S_in + H). */
static inline int64_t hy_transition_size(hy_decay decay, hy_rule rule, int64_t K) {
    return rule != HY_RULE_ADDITIVE ? K * K : decay == HY_DECAY_VECTOR ? K : 1;
}

typedef struct hy_recur {
    hy_decay decay;
    hy_rule rule;
    int exclusive; /* additive rule only */
    int64_t T, H, HV, K, V;
    double scale;
    const hy_run *runs;
    int64_t n_runs, run_tokens,
        run_longest;   /* tokens of all runs, of the longest: for launchers, which do not read `runs` */
    const void *q, *k; /* [T,H,K] */
    const void *a, *b; /* [T,H,K]; read by dplr only */
    const void *v;     /* [T,HV,V] */
    const void *g;     /* log decay ≤ 0, or NULL; shape as in hy_decay */
    double
        log_decay_max; /* of g, where the configuration fixes it; 0: not known. For what lies above kernels, which do not read it */
    const void *beta; /* [T,HV] or NULL = 1 */
    void *work;       /* the profile's recur_work(args) bytes (device.h) */

    /* recur_map: for each run with s1 ≥ 0: H_map[s1] = state made from zero, A_map[s1] = transition of the run if its
     * s0 ≥ 0, zeros otherwise. A_map may be NULL. q is not read.
     * recur_map_bwd: for each run with s0 ≥ 0: dH[s0] = gradient of the state entering the run, coming from `d_o` of this
     * run alone (the state's gradient at its end taken as zero). Linear in d_o; needs q, k, a, b, g, beta, not v. */
    void *A_map; /* [slots,HV,transition] */
    void *H_map; /* [slots,HV,K,V] */
    void *dH;    /* [slots,HV,K,V] */

    /* recur_fwd: o from S0[s0] (zero where s0 = −1 or S0 is NULL); S1[s1] where s1 ≥ 0 and S1 is not NULL.
     * recur_inject: o += what S0[s0] adds, for runs with s0 ≥ 0:  fwd(S0) == fwd(0) then inject(S0). */
    const void *S0; /* [slots,HV,K,V] or NULL */
    void *o;        /* [T,HV,V] */
    void *S1;       /* [slots,HV,K,V] or NULL */

    /* recur_bwd: from d_o and dS1[s1] (zero where s1 = −1 or dS1 is NULL), with S0 as in fwd. Outputs dq, dk, da, db,
     * dv, dbeta overwrite (they have one consumer each); dg overwrites, but for HY_DECAY_HEAD it is a parameter's and
     * accumulates; dg, dbeta may be NULL. dS0[s0] for runs with s0 ≥ 0, dS0 may be NULL. */
    const void *d_o; /* [T,HV,V] */
    const void *dS1;
    void *dq, *dk; /* [T,H,K] */
    void *da, *db; /* [T,H,K]; dplr only */
    void *dv;      /* [T,HV,V] */
    void *dg, *dbeta;
    void *dS0;
} hy_recur_args;

/* What a token adds to its own output past the state (rwkv6's bonus u, rwkv7's r_k), per head:
 *   s = Σ_i r_i u_i k_i;  o (+)= s v;  from d_o: dr, dk, dv, and du, which accumulates */
typedef struct hy_bonus {
    int64_t T, H, K, V;
    const void *r, *k; /* [T,H,K] */
    const void *u;     /* [H,K] stat */
    const void *v;     /* [T,H,V] */
    void *o;           /* [T,H,V] */
    int acc_o;
    const void *d_o;
    void *dr, *dk;
    int acc_r, acc_k;
    void *dv;
    int acc_v;
    void *du; /* grad */
} hy_bonus_args;

/* ---- log-linear recurrences (Guo et al. 2025) ----
 *
 * Position p of a document holds one state for each set bit of p: bit b stands for the 2^b tokens from (p >> (b+1)) << (b+1) on,
 * which lie at level b+1 of the Fenwick tree seen from p (level of p and s: bit length of p xor s). At token p
 *
 *   S_b = M_p E_b  for every state E_b entering it, M_p the transition of the recurrence above: (I − δ b k kᵀ) D_p
 *   o   = scale·( l_0 (b k vᵀ)ᵀq + Σ_b l_{b+1} S_bᵀq )
 *
 * and the step to p+1 is the carry of a binary counter: with z the trailing ones of p, the states of bits below z and b k vᵀ add up
 * to bit z. With l = 1 it is the recurrence above.
 *
 * A state array is [slots,N,HV,K,V], bit b at index b. Of what enters only set bits are read; unset ones leave as zeros. */
typedef struct hy_level_recur {
    hy_recur_args
        base; /* additive or delta, not exclusive; all as above but for states (S0, dS1, dS0, dH); scratch: level_work */
    int64_t L, N;       /* columns of l; states of a slot. Positions are below 2^N and below 2^(L−1) */
    const int64_t *pos; /* [T] position inside the document */
    const void *l;      /* [T,HV,L] stat */
    void *dl;           /* [T,HV,L] stat, overwritten */
} hy_level_recur_args;

/* Segment maps on states, for `n` heads: out[n] = A[n]·S[n] + H[n], or Aᵀ·S + H if `transpose`. A has `a_size`
 * elements per head: 1, K or K·K. S NULL = 0 (A is not read then), H NULL = 0. out may alias H, not S. All stat. */
typedef struct hy_map_apply {
    int64_t n, K, V, a_size;
    int transpose;
    const void *A, *S, *H; /* S, H [n,K,V] */
    void *out;             /* [n,K,V] */
} hy_map_apply_args;

/* A state on its way along the maps of fragments, one step after the other. A step's state is what map `from` left, H[from], and is
 * written to in[read] if read ≥ 0; with from < 0 it is in[read] itself, which is only read. If at ≥ 0 it then passes map `at`:
 * H[at] += A[at]·S, or A[at]ᵀ·S if `transpose`.
 * levels > 0: a state is one per set bit of the position `first` at the beginning of map `at` (hy_level_recur), and the one of bit b is at
 * its end, position `end`, part of bit hy_level_merged(first, end, b); transposed the other way. All stat. */
typedef struct hy_fold_step {
    int64_t from, read, at, first, end;
} hy_fold_step;
typedef struct hy_map_fold {
    int64_t n, K, V, a_size, levels; /* heads, as in hy_map_apply */
    int transpose;
    const hy_fold_step *steps;
    int64_t n_steps;
    int64_t group, group_ld; /* H[i] is at element (i / group)·group_ld + (i % group)·max(levels,1)·n·K·V */
    const void *A;           /* [.,n,a_size] */
    void *H;
    void *in; /* [.,max(levels,1),n,K,V] */
} hy_map_fold_args;

static inline int64_t hy_fold_place(const hy_map_fold_args *a, int64_t i) {
    const int64_t size = (a->levels > 0 ? a->levels : 1) * a->n * a->K * a->V;
    return i / a->group * a->group_ld + i % a->group * size;
}

/* The bit of position `end` > first whose block holds that of set bit `bit` of `first`. */
static inline int64_t hy_level_merged(int64_t first, int64_t end, int64_t bit) {
    int64_t merged = -1;
    for (int64_t x = end ^ (first >> (bit + 1) << (bit + 1)); x > 0; x >>= 1) {
        merged++;
    }
    return merged;
}

/* One map from those of its pieces, which lie in the blocks of the bits of `bits`, the lowest bit last in time: with A_i, H_i at index
 * slot·levels + bit and A⁺ the product of the later pieces' transitions,  H[slot,bit] = A⁺·H_i, or 0 without a piece;  A[slot] the
 * product of all. At least one piece each. All stat. */
typedef struct hy_map_join_entry {
    int64_t slot, bits;
} hy_map_join_entry;
typedef struct hy_map_join {
    int64_t n, K, V, a_size, levels;
    const hy_map_join_entry *joins;
    int64_t n_joins;
    const void *A_pieces, *H_pieces; /* [.,levels,n,a_size], [.,levels,n,K,V] */
    void *A, *H;                     /* [.,n,a_size], [.,levels,n,K,V] */
    void *work;                      /* [2,n,a_size] */
} hy_map_join_args;

/* Composition, first map 1, then map 2: (A,H) = (A2·A1, A2·H1 + H2) for n heads. Outputs alias no input. All stat. */
typedef struct hy_map_compose {
    int64_t n, K, V, a_size;
    const void *A1, *H1, *A2, *H2;
    void *A, *H;
} hy_map_compose_args;

/* ---- softmax attention over a list of pairs: a range of queries, a block of keys ----
 *
 * In a pair queries have consecutive global positions q_begin.., keys k_begin..; query i sees the keys at positions
 * max(lo[i], k_begin) .. min(q_begin + i, k_begin + nk − 1): causal, its document, its window. Query head h reads key head
 * h / (H/HKV). Pairs may share queries and keys: what they add is added in the list's order. What is added to from pair to pair is
 * stat: o, lse, dq, dk, dv.
 *   attn_fwd merges each pair into the running (o, lse): o normalised, lse = log Σ exp(scale·q·k) natural; start: o = 0, lse = −inf.
 *   attn_delta: delta[r] = Σ_c d_o·y, y the finished o  (once, before attn_bwd)
 *   attn_bwd: with the final lse and delta: dq += , dk += , dv += what the pairs contribute. */
typedef struct hy_attn_pair {
    int64_t q, nq, q_begin; /* first row in q, o, ... and lo; rows; global position of the first */
    int64_t k, nk, k_begin; /* first row in k, v, dk, dv; rows; global position */
} hy_attn_pair;

/* What the host that made a list knows of it, so that a launcher can use it without reading the list. */
typedef enum hy_attn_sight {
    HY_ATTN_SOME,  /* nothing */
    HY_ATTN_ALL,   /* it is one pair, `known`, whose queries see all of its keys */
    HY_ATTN_CAUSAL /* it is one pair, `known`, whose query i sees its keys 0 .. i; nq = nk */
} hy_attn_sight;

/* What a table is asked about a library's plan for attn_fwd of known pairs with the sizes, scale and sight of an args struct. */
typedef enum hy_attn_plan_step {
    HY_ATTN_PLAN_MAKE, /* a plan, on trial: attn_fwd uses it from now on. False: there can be none */
    HY_ATTN_PLAN_ACCEPT,
    HY_ATTN_PLAN_REFUSE, /* attn_fwd never uses it again */
    HY_ATTN_PLAN_FIND    /* whether there is one that was accepted */
} hy_attn_plan_step;

typedef struct hy_attn {
    int64_t H, HKV, D, DV;
    double scale;
    const hy_attn_pair *pairs; /* [n_pairs] */
    int64_t n_pairs, nq, nk;   /* nq, nk: the most of any pair */
    hy_attn_sight sight;
    hy_attn_pair known; /* zeros with HY_ATTN_SOME */
    const int64_t *lo;  /* [queries] first position that the query sees; never decreases in a pair */
    const void *q;      /* [queries,H,D] */
    const void *k;      /* [keys,HKV,D] */
    const void *v;      /* [keys,HKV,DV] */
    void *o;            /* [queries,H,DV] stat */
    void *lse;          /* [queries,H] stat */
    const void *d_o;    /* [queries,H,DV] */
    const void *delta;  /* [queries,H] stat */
    void *dq, *dk, *dv; /* stat; shapes of q, k, v */
    void *work;         /* the profile's attn_work(args) bytes (device.h) */
} hy_attn_args;

typedef struct hy_attn_delta {
    int64_t rows, DV;
    const void *y, *d_o; /* [rows,DV] */
    void *delta;         /* [rows] stat */
} hy_attn_delta_args;

/* Keys and values of all heads from the product of a latent with its matrix and the part of the keys that heads share (multi-head
 * latent attention):   k[t,h] = [product[t,h], first nope | shared[t]];   v[t,h] = product[t,h], last DV
 * bwd: dproduct[t,h] = [dk[t,h], first nope | dv[t,h]];   dshared[t] += Σ_h dk[t,h], last rope, in order of h. */
typedef struct hy_latent_heads {
    int64_t T, H, nope, rope, DV;
    const void *product; /* [T,H,nope+DV] */
    const void *shared;  /* [T,rope] */
    void *k, *v;         /* [T,H,nope+rope] [T,H,DV] */
    const void *dk, *dv; /* stat */
    void *dproduct;
    void *dshared; /* stat */
} hy_latent_heads_args;

/* Attention sinks: logits of each query head that take part in the denominator of its softmax only. They are where the
 * running result starts:
 *   attn_sink_fwd: lse[t,h] = log Σ_n exp(sinks[h,n])          (o = 0; then attn_fwd merges block after block)
 *   attn_sink_bwd: dsinks[h,n] −= Σ_t exp(sinks[h,n] − lse[t,h])·delta[t,h]          (with the final lse) */
typedef struct hy_attn_sink {
    int64_t T, H, N;
    const void *sinks; /* [H,N] stat */
    void *lse;         /* [T,H] stat */
    const void *delta; /* [T,H] stat */
    void *dsinks;      /* [H,N] grad */
} hy_attn_sink_args;

/* ---- loss, optimizer ---- */

/* Softmax cross-entropy over a tile of rows. label −100 = not counted. Adds Σ (lse − logit[label]) to *loss and, if
 * `grad`, writes dlogits = d_scale·(softmax − onehot), zeros in rows not counted; dlogits may alias logits where act and stat have
 * one type. d_scale lies on the device, because it is another number in every step of the same calls. */
typedef struct hy_cross_entropy {
    int64_t rows, vocab;
    const int32_t *labels; /* [rows] */
    void *logits;          /* [rows,vocab] stat */
    void *dlogits;         /* [rows,vocab] */
    int grad;
    const double *d_scale; /* [1], read if `grad` */
    double *loss;
    double *row_loss; /* [rows] or NULL: each row's loss, 0 where not counted */
    uint8_t *
        row_correct; /* [rows] or NULL: 1 where the label is the argmax of the logits (of equal ones the first), else 0 */
} hy_cross_entropy_args;

/* *sum += Σ x² in double. Non-finite elements make it non-finite. */
typedef struct hy_sumsq {
    int64_t n;
    const void *x; /* grad */
    double *sum;
} hy_sumsq_args;

/* Elements at, at + 1, ..., at + n − 1 of arrays that an update walks together. */
typedef struct hy_adamw_segment {
    int64_t at, n;
    int decays;
} hy_adamw_segment;

/* AdamW (Loshchilov & Hutter 2019, decoupled) of the segments' elements; what lies between them stays. g is multiplied by g_scale
 * (clipping) first; decay' = decay where the segment decays, else 0.
 *   m = b1 m + (1−b1) g;  v = b2 v + (1−b2) g²;  w −= lr·( (m/(1−b1^t)) / (sqrt(v/(1−b2^t)) + eps) + decay'·w );  copy = w */
typedef struct hy_adamw {
    const hy_adamw_segment *segments; /* [n_segments] disjoint */
    int64_t n_segments, step;         /* step t counts from 1 */
    double lr, b1, b2, eps, decay, g_scale;
    const void *g;   /* grad */
    void *w, *m, *v; /* stat */
    void *copy;      /* of copy_role: w rounded; may be NULL */
    hy_role copy_role;
} hy_adamw_args;

/* ---- the list ---- */

/* X(operation, args struct without the suffix) */
#define HY_OPS(X)                                                                                                      \
    X(fill, hy_fill)                                                                                                   \
    X(values, hy_values)                                                                                               \
    X(copy2d, hy_copy2d)                                                                                               \
    X(transpose, hy_transpose)                                                                                         \
    X(copy_blocks, hy_copy_blocks)                                                                                     \
    X(axpy, hy_axpy)                                                                                                   \
    X(add, hy_add)                                                                                                     \
    X(rows_add, hy_rows_add)                                                                                           \
    X(repeat_fwd, hy_repeat)                                                                                           \
    X(repeat_bwd, hy_repeat)                                                                                           \
    X(gemm, hy_gemm)                                                                                                   \
    X(bias_fwd, hy_bias)                                                                                               \
    X(bias_bwd, hy_bias)                                                                                               \
    X(embed_fwd, hy_embed)                                                                                             \
    X(embed_bwd, hy_embed)                                                                                             \
    X(rmsnorm_fwd, hy_rmsnorm)                                                                                         \
    X(rmsnorm_bwd, hy_rmsnorm)                                                                                         \
    X(layernorm_fwd, hy_layernorm)                                                                                     \
    X(layernorm_bwd, hy_layernorm)                                                                                     \
    X(l2norm_fwd, hy_l2norm)                                                                                           \
    X(l2norm_bwd, hy_l2norm)                                                                                           \
    X(sumnorm_fwd, hy_l2norm)                                                                                          \
    X(sumnorm_bwd, hy_l2norm)                                                                                          \
    X(unary_fwd, hy_unary)                                                                                             \
    X(unary_bwd, hy_unary)                                                                                             \
    X(glu_fwd, hy_glu)                                                                                                 \
    X(glu_bwd, hy_glu)                                                                                                 \
    X(rope, hy_rope)                                                                                                   \
    X(decay_gate_fwd, hy_decay_gate)                                                                                   \
    X(decay_gate_bwd, hy_decay_gate)                                                                                   \
    X(scale_fwd, hy_scale)                                                                                             \
    X(scale_bwd, hy_scale)                                                                                             \
    X(feature_fwd, hy_feature)                                                                                         \
    X(feature_bwd, hy_feature)                                                                                         \
    X(ratio_fwd, hy_ratio)                                                                                             \
    X(ratio_bwd, hy_ratio)                                                                                             \
    X(own_fwd, hy_own)                                                                                                 \
    X(own_bwd, hy_own)                                                                                                 \
    X(bound_fwd, hy_bound)                                                                                             \
    X(bound_bwd, hy_bound)                                                                                             \
    X(bound_gate_fwd, hy_bound_gate)                                                                                   \
    X(bound_gate_bwd, hy_bound_gate)                                                                                   \
    X(lerp_fwd, hy_lerp)                                                                                               \
    X(lerp_bwd, hy_lerp)                                                                                               \
    X(conv_fwd, hy_conv)                                                                                               \
    X(conv_bwd, hy_conv)                                                                                               \
    X(window_filter_fwd, hy_window_filter)                                                                             \
    X(window_filter_bwd, hy_window_filter)                                                                             \
    X(modal_filter_fwd, hy_modal_filter)                                                                               \
    X(modal_filter_bwd, hy_modal_filter)                                                                               \
    X(long_conv_fwd, hy_long_conv)                                                                                     \
    X(long_conv_bwd, hy_long_conv)                                                                                     \
    X(recur_map, hy_recur)                                                                                             \
    X(recur_fwd, hy_recur)                                                                                             \
    X(recur_inject, hy_recur)                                                                                          \
    X(recur_map_bwd, hy_recur)                                                                                         \
    X(recur_bwd, hy_recur)                                                                                             \
    X(bonus_fwd, hy_bonus)                                                                                             \
    X(bonus_bwd, hy_bonus)                                                                                             \
    X(level_fwd, hy_level_recur)                                                                                       \
    X(level_map_bwd, hy_level_recur)                                                                                   \
    X(level_bwd, hy_level_recur)                                                                                       \
    X(map_apply, hy_map_apply)                                                                                         \
    X(map_fold, hy_map_fold)                                                                                           \
    X(map_join, hy_map_join)                                                                                           \
    X(map_compose, hy_map_compose)                                                                                     \
    X(attn_fwd, hy_attn)                                                                                               \
    X(attn_delta, hy_attn_delta)                                                                                       \
    X(attn_bwd, hy_attn)                                                                                               \
    X(latent_heads_fwd, hy_latent_heads)                                                                               \
    X(latent_heads_bwd, hy_latent_heads)                                                                               \
    X(attn_sink_fwd, hy_attn_sink)                                                                                     \
    X(attn_sink_bwd, hy_attn_sink)                                                                                     \
    X(cross_entropy, hy_cross_entropy)                                                                                 \
    X(sumsq, hy_sumsq)                                                                                                 \
    X(adamw, hy_adamw)

typedef enum hy_op_id {
#define HY_X(op, args) HY_OP_##op,
    HY_OPS(HY_X)
#undef HY_X
        HY_OP_COUNT
} hy_op_id;

typedef struct hy_table {
    const char *name;   /* "cpu_ref", "cpu" */
    const char *detail; /* "avx512", "avx2", "plain", ... */
    hy_dtype dtype;     /* of activations: the run's precision */
#define HY_X(op, args) void (*op)(const args##_args *);
    HY_OPS(HY_X)
#undef HY_X
    /* Bytes of args->work. They depend on T, H, HV, K, V and the thread count (recur), on all sizes but n_pairs (attn), on
     * C, L and the thread count (long_conv, which also prepares what documents of up to L tokens need); never on runs. */
    size_t (*recur_work)(const hy_recur_args *);
    size_t (*level_work)(const hy_level_recur_args *); /* of base.work; on N too */
    size_t (*attn_work)(const hy_attn_args *);
    size_t (*long_conv_work)(const hy_long_conv_args *);
    bool (*attn_plan)(const hy_attn_args *, hy_attn_plan_step); /* NULL: no library computes any attn_fwd */
} hy_table;

/* Name of an operation, for tables and traces. */
const char *hy_op_name(hy_op_id op);

/* hy_<op>(device, args): what layers and sp call; device.h. */
typedef struct hy_device hy_device;
#define HY_X(op, args) void hy_##op(hy_device *device, const args##_args *a);
HY_OPS(HY_X)
#undef HY_X

#endif
