/* What distinguishes one linear mixer from another, as data. The generic layer (linear_mixer.c) reads it:
 *
 *   q, k, v = projections of x, short convolution and activation where asked, q/k normalised, rotated, mapped to features
 *   g = the row's decay, b = sigmoid(b_proj x)
 *   o = recurrence(q, k, v, g, b), divided by that of values 1 where asked;  y = o_proj( RMSNorm(o) ⊙ act(g_proj x) ) */
#ifndef HY_LAYERS_LINEAR_ROW_H
#define HY_LAYERS_LINEAR_ROW_H

#include "layers/mixers/mixer.h"

typedef enum hy_decay_source {
    HY_DECAY_FROM_NOTHING,
    HY_DECAY_FROM_HEAD,     /* a constant per head: log_decay() */
    HY_DECAY_FROM_LOW_RANK, /* logsigmoid(W2 W1 x + b2)/divisor: gk_proj.0, gk_proj.1 */
    HY_DECAY_FROM_STEP,     /* −exp(A_log)·softplus(a_proj x + dt_bias), per value head */
    HY_DECAY_FROM_LOW_RANK_STEP /* the same of f_proj.1 f_proj.0 x, per channel of every value head; or its form with a lower bound */
} hy_decay_source;

/* What one RMSNorm of the output spans. */
typedef enum hy_norm_scope { HY_SCOPE_HEAD, HY_SCOPE_ALL, HY_SCOPE_NOTHING } hy_norm_scope;

struct hy_linear_row {
    hy_decay decay;
    hy_rule rule;
    hy_decay_source source;
    double (*log_decay)(int64_t head, int64_t heads, int64_t layer, int64_t layers);
    int64_t heads;                 /* default number; 0 = width/head_dim or width/128 */
    int64_t head_dim;              /* default K; 0 = width·key_ratio/heads */
    double key_ratio, value_ratio; /* of the width; value_ratio 0: V = K */
    int64_t gate_rank;             /* default rank of the decay's projection; 0 = V */
    int64_t conv;                  /* default width of the short convolutions */
    bool activated;                /* q, k, v get their activation even without convolution */
    hy_feature_map feature_map;    /* default map of q and k */
    double rope_base;
    hy_qk_norm qk_norm;
    bool unit_scale; /* 1 instead of (channels of a mapped key)^(−1/2) */
    bool own_apart;  /* the recurrence stops before the present token, whose squared score is computed directly */
    bool normaliser; /* default */
    double normaliser_eps;
    hy_out_gate gate;
    bool low_rank_gate; /* g_proj.1 g_proj.0 x of rank V, with a bias, instead of g_proj x */
    hy_norm_scope scope;
    const char *norm, *gated_norm; /* names of the output norm without and with a gate */
};

#endif
