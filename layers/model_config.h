/* What a model is: sizes, the hybrid schedule (which mixer each layer has), and the parameters of every mixer used.
 * Filled from YAML (keys in model_config.c) or from a published model's config.json; hy_model_config_resolve then checks it and
 * replaces every "default" by a number, so that code after it reads plain values. */
#ifndef HY_LAYERS_MODEL_CONFIG_H
#define HY_LAYERS_MODEL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/schema.h"
#include "base/status.h"
#include "kernels/kernels.h"

enum { HY_LAYERS_MAX = 512, HY_MIXERS_MAX = 32, HY_NAME_MAX = 48 };

typedef enum hy_qk_norm {
    HY_QK_NORM_DEFAULT,
    HY_QK_NORM_NONE,
    HY_QK_NORM_L2,
    HY_QK_NORM_SUM,
    HY_QK_NORM_RMS_HEAD,
    HY_QK_NORM_RMS_ALL,
    HY_QK_NORM_LAYER
} hy_qk_norm;
typedef enum hy_out_gate {
    HY_GATE_DEFAULT,
    HY_GATE_NONE,
    HY_GATE_SWISH,
    HY_GATE_SIGMOID,
    HY_GATE_HEAD,
    HY_GATE_CHANNEL
} hy_out_gate;
typedef enum hy_feature_map {
    HY_FEATURE_DEFAULT,
    HY_FEATURE_IDENTITY,
    HY_FEATURE_RELU,
    HY_FEATURE_SILU,
    HY_FEATURE_ELU,      /* elu + 1 */
    HY_FEATURE_PRODUCT,  /* elementwise product of two learned affine maps */
    HY_FEATURE_HEDGEHOG, /* softmax of ±2 times a learned affine map */
    HY_FEATURE_T2R,      /* relu of a learned linear map */
    HY_FEATURE_DPFP,
    HY_FEATURE_TAYLOR, /* exp to second order */
    HY_FEATURE_SQUARE  /* all products of two channels */
} hy_feature_map;
typedef enum hy_feature_norm {
    HY_FEATURE_NORM_NONE,
    HY_FEATURE_NORM_Q,
    HY_FEATURE_NORM_K,
    HY_FEATURE_NORM_BOTH
} hy_feature_norm;
typedef enum hy_skip { HY_SKIP_DEFAULT, HY_SKIP_HEAD, HY_SKIP_CHANNEL } hy_skip;
typedef enum hy_switch { HY_SWITCH_DEFAULT, HY_SWITCH_OFF, HY_SWITCH_ON } hy_switch;
typedef enum hy_norm_kind { HY_NORM_RMS, HY_NORM_LAYER } hy_norm_kind;
typedef enum hy_norm_place { HY_NORM_PRE, HY_NORM_POST } hy_norm_place;
enum { HY_DEFAULT = -1 }; /* integer and double fields: take the mixer row's default */

/* One entry of model.mixers. */
typedef struct hy_mixer_config {
    char name[HY_NAME_MAX]; /* key under model.mixers */
    char kind[HY_NAME_MAX]; /* row of the mixer table; default: the name */
    int64_t heads;          /* query/key heads */
    int64_t kv_heads;       /* attention, gla, retention: key/value heads, each serving heads/kv_heads query heads */
    int64_t value_heads;    /* delta rules: value heads, a multiple of heads */
    int64_t head_dim;       /* K (attention: D) */
    int64_t value_dim;      /* V */
    int64_t conv;           /* width of the short convolution on q, k, v; 0 = none */
    int64_t window;         /* softmax attention: tokens incl. self, 0 = all */
    int64_t sinks;          /* softmax attention: learned logits per head in the softmax's denominator */
    int64_t feature_dim;    /* lizard: rows of the learned feature map */
    int64_t kv_rank;        /* mla: width of the latent that keys and values are made of */
    int64_t q_rank;         /* mla: rank of the queries' projection; 0 = full */
    int64_t rope_dim;       /* mla: last channels of a key head, the same for all heads; of q and k, those that turn */
    double rope_base;       /* 0 = no rotary embedding */
    double rope_fraction;   /* share of the head's channels that turn */
    hy_switch conv_bias;    /* of the short convolution */
    bool qkv_bias;
    bool proj_bias; /* mamba: biases in in_proj and out_proj */
    hy_qk_norm qk_norm;
    hy_out_gate output_gate;
    hy_feature_map feature_map;
    bool tie_feature_maps;        /* learned feature maps: one for q and k */
    hy_feature_norm feature_norm; /* mapped q, k divided by the sum of their channels */
    hy_switch normaliser;         /* output divided by that of values 1 */
    int64_t gate_rank;            /* gla, kda, mamba1, rwkv: rank of the decay projection */
    double gate_divisor;          /* gla: decay = logsigmoid/divisor */
    double gate_floor;            /* gla: lower clamp of the decay (clamp_min); -INFINITY = none */
    double lower_bound;           /* kda: the decay's lowest value, in a gate that stays above it; 0 = plain gate */
    double step_low, step_high;   /* mamba2: limits of the step */
    hy_skip skip;                 /* mamba2: the skip's factor per head or per channel */
    hy_switch gate_first;         /* output gate before the output norm */
    hy_switch output_norm;
    bool beta;                                  /* delta rules: learned write strength; false = 1 */
    bool negative_eigenvalues;                  /* delta rules: beta up to 2 */
    int64_t filter_width;                       /* conv_short, conv_medium: taps */
    int64_t filter_groups;                      /* conv_*: filters, each shared by width/filter_groups channels */
    int64_t filter_order;                       /* conv_long: exponentials of a filter */
    bool learned_decay;                         /* conv_medium: the damping of the taps is learned */
    bool lower_bounds;                          /* hgrn, hgrn2: learned lower bounds of the decays */
    int64_t levels;                             /* log-linear: reach 2^(levels−1) tokens */
    int64_t mix_rank;                           /* rwkv6: rank of each mixture of a token with the one before it */
    int64_t rate_rank, value_rank, output_rank; /* rwkv7: ranks of a, of the value residual, of the output gate */
    double key_norm_eps;                        /* rwkv7: under the root of the removed key's norm */
    double norm_eps;                            /* of the output norm */
    double qk_norm_eps;       /* attention: of the RMSNorms of q and k; mla: of those inside its projections */
    hy_switch mlp;            /* whether its layers have an MLP after it */
    hy_norm_place norm_place; /* its layers' norms: x += f(norm(x)) or x += norm(f(x)) */
} hy_mixer_config;

typedef struct hy_model_config {
    int64_t layers, width, vocab;
    bool tied;
    int64_t pad_token;          /* its embedding is not trained by where it stands in the input; -1 = none */
    char mlp_kind[HY_NAME_MAX]; /* row of the MLP table; "" = that of the first layer's mixer */
    int64_t mlp_width;          /* 0 = from the ratio, as the kind says; stays 0 if no layer has an MLP */
    double mlp_ratio;           /* 0 = 4 (retention: 2) */
    hy_norm_kind norm;          /* block and final norms */
    bool norm_bias;             /* LayerNorm: with a bias */
    bool zero_centred;          /* norms of blocks, of q and k and the final one multiply by 1 + weight */
    bool pre_norm;              /* the residual stream is a norm of the embedding */
    double norm_eps;
    double init_std;
    int64_t n_pattern;
    char pattern[HY_LAYERS_MAX][HY_NAME_MAX]; /* repeated over the layers */
    int64_t n_overrides;
    struct {
        int64_t layer;
        char mixer[HY_NAME_MAX];
    } overrides[HY_LAYERS_MAX];
    int64_t n_mixers;
    hy_mixer_config mixers[HY_MIXERS_MAX];
    char family[HY_NAME_MAX]; /* published family this model was imported from ("" = none): decides names on export */

    /* filled by hy_model_config_resolve */
    int layer_mixer[HY_LAYERS_MAX]; /* index into mixers, per layer */
} hy_model_config;

/* Defaults of every field (mixer fields HY_DEFAULT etc). */
void hy_model_config_init(hy_model_config *config);
void hy_mixer_config_init(hy_mixer_config *mixer, const char *name);

/* Checks, fills defaults from the mixer rows, expands the schedule. A mixer named in the schedule but absent from
 * `mixers` is added with its row's defaults. HY_ERR_USAGE naming key and nearest valid value. Idempotent. Local. */
HY_MUST_CHECK hy_status hy_model_config_resolve(hy_model_config *config);
/* The same; errors tell where their key was set: `origins` of a schema that has this model under the key "model". */
HY_MUST_CHECK hy_status hy_model_config_resolve_from(hy_model_config *config, const hy_schema_origins *origins);

/* L levels of a log-linear mixer reach 2^(L−1) tokens of a document. HY_ERR_USAGE if some of `len` do not: of `what`, in the plural. Local. */
HY_MUST_CHECK hy_status hy_model_config_check_reach(const hy_model_config *config, int64_t len, const char *what);

#endif
