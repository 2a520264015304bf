/* Every mixer, one row each. Definitions: docs/mixers.md. */
#include <math.h>
#include <string.h>

#include "layers/mixers/linear_row.h"
#include "layers/mixers/mamba2.h"

/* Retention (Sun et al. 2023, RetNet): log(1 − 2^(−5−h)). */
static double retention_log_decay(int64_t head, int64_t heads, int64_t layer, int64_t layers) {
    (void)heads;
    (void)layer;
    (void)layers;
    return log1p(-exp2(-5.0 - (double)head));
}

static const hy_linear_row retention = {.decay = HY_DECAY_HEAD,
                                        .rule = HY_RULE_ADDITIVE,
                                        .source = HY_DECAY_FROM_HEAD,
                                        .log_decay = retention_log_decay,
                                        .heads = 8,
                                        .key_ratio = 1,
                                        .value_ratio = 2,
                                        .feature_map = HY_FEATURE_IDENTITY,
                                        .rope_base = 10000,
                                        .qk_norm = HY_QK_NORM_NONE,
                                        .gate = HY_GATE_SWISH,
                                        .norm = "g_norm",
                                        .gated_norm = "g_norm_swish_gate"};

/* Gated linear attention (Yang et al. 2023). */
static const hy_linear_row gla = {.decay = HY_DECAY_VECTOR,
                                  .rule = HY_RULE_ADDITIVE,
                                  .source = HY_DECAY_FROM_LOW_RANK,
                                  .heads = 4,
                                  .key_ratio = 0.5,
                                  .value_ratio = 1,
                                  .gate_rank = 16,
                                  .feature_map = HY_FEATURE_IDENTITY,
                                  .qk_norm = HY_QK_NORM_NONE,
                                  .gate = HY_GATE_SWISH,
                                  .norm = "g_norm",
                                  .gated_norm = "g_norm_swish_gate"};

/* DeltaNet (Yang et al. 2024, parallelising linear transformers with the delta rule over sequence length). */
static const hy_linear_row deltanet = {.decay = HY_DECAY_NONE,
                                       .rule = HY_RULE_DELTA,
                                       .source = HY_DECAY_FROM_NOTHING,
                                       .key_ratio = 1,
                                       .value_ratio = 1,
                                       .conv = 4,
                                       .activated = true,
                                       .feature_map = HY_FEATURE_SILU,
                                       .qk_norm = HY_QK_NORM_L2,
                                       .gate = HY_GATE_NONE,
                                       .norm = "o_norm",
                                       .gated_norm = "o_norm"};

/* Gated DeltaNet (Yang, Kautz, Hatamizadeh 2024). */
static const hy_linear_row gated_deltanet = {.decay = HY_DECAY_SCALAR,
                                             .rule = HY_RULE_DELTA,
                                             .source = HY_DECAY_FROM_STEP,
                                             .head_dim = 256,
                                             .conv = 4,
                                             .activated = true,
                                             .feature_map = HY_FEATURE_SILU,
                                             .qk_norm = HY_QK_NORM_L2,
                                             .gate = HY_GATE_SWISH,
                                             .norm = "o_norm",
                                             .gated_norm = "o_norm"};

/* Kimi delta attention (Kimi team 2025): gated DeltaNet with a decay per key channel; both gates of low rank. */
static const hy_linear_row kda = {.decay = HY_DECAY_VECTOR,
                                  .rule = HY_RULE_DELTA,
                                  .source = HY_DECAY_FROM_LOW_RANK_STEP,
                                  .head_dim = 128,
                                  .conv = 4,
                                  .activated = true,
                                  .feature_map = HY_FEATURE_SILU,
                                  .qk_norm = HY_QK_NORM_L2,
                                  .gate = HY_GATE_SIGMOID,
                                  .low_rank_gate = true,
                                  .norm = "o_norm",
                                  .gated_norm = "o_norm"};

/* Linear attention (Katharopoulos et al. 2020). */
static const hy_linear_row linear = {.decay = HY_DECAY_NONE,
                                     .rule = HY_RULE_ADDITIVE,
                                     .heads = 4,
                                     .key_ratio = 1,
                                     .value_ratio = 1,
                                     .feature_map = HY_FEATURE_PRODUCT,
                                     .qk_norm = HY_QK_NORM_NONE,
                                     .normaliser_eps = 1e-10,
                                     .gate = HY_GATE_NONE,
                                     .norm = "norm",
                                     .gated_norm = "norm"};

/* Based (Arora et al. 2024): exp to second order, normalised. */
static const hy_linear_row based = {.decay = HY_DECAY_NONE,
                                    .rule = HY_RULE_ADDITIVE,
                                    .heads = 16,
                                    .head_dim = 16,
                                    .value_ratio = 1,
                                    .feature_map = HY_FEATURE_TAYLOR,
                                    .qk_norm = HY_QK_NORM_NONE,
                                    .unit_scale = true,
                                    .normaliser = true,
                                    .normaliser_eps = 1e-6,
                                    .gate = HY_GATE_NONE,
                                    .scope = HY_SCOPE_NOTHING,
                                    .norm = "norm",
                                    .gated_norm = "norm"};

/* ReBased (Aksenov et al. 2024): squared products of affinely normed queries and keys. The sum over features has the rounding error of its
 * largest terms, too much for the first token of a document, which is normalised by its own score alone: that one is computed apart. */
static const hy_linear_row rebased = {.decay = HY_DECAY_NONE,
                                      .rule = HY_RULE_ADDITIVE,
                                      .heads = 16,
                                      .head_dim = 16,
                                      .value_ratio = 1,
                                      .feature_map = HY_FEATURE_SQUARE,
                                      .qk_norm = HY_QK_NORM_LAYER,
                                      .unit_scale = true,
                                      .own_apart = true,
                                      .normaliser = true,
                                      .normaliser_eps = 1e-5,
                                      .gate = HY_GATE_NONE,
                                      .scope = HY_SCOPE_NOTHING,
                                      .norm = "norm",
                                      .gated_norm = "norm"};

/* Lightning attention (Qin et al. 2024): slopes that shrink with depth. */
static double lightning_log_decay(int64_t head, int64_t heads, int64_t layer, int64_t layers) {
    return -8.0 / (double)heads * (1 - (double)layer / (double)layers) * (double)head;
}

/* MiniMax-01 (2025): slopes of ALiBi; the small terms are the model's own. */
static double minimax_log_decay(int64_t head, int64_t heads, int64_t layer, int64_t layers) {
    return -exp2(-8.0 * (double)(head + 1) / (double)heads) * (1 - (double)layer / ((double)layers - 1 + 1e-5) + 1e-5);
}

static const hy_linear_row lightning = {.decay = HY_DECAY_HEAD,
                                        .rule = HY_RULE_ADDITIVE,
                                        .source = HY_DECAY_FROM_HEAD,
                                        .log_decay = lightning_log_decay,
                                        .key_ratio = 1,
                                        .value_ratio = 1,
                                        .feature_map = HY_FEATURE_IDENTITY,
                                        .qk_norm = HY_QK_NORM_NONE,
                                        .gate = HY_GATE_NONE,
                                        .norm = "norm",
                                        .gated_norm = "norm"};

static const hy_linear_row lightning_minimax = {.decay = HY_DECAY_HEAD,
                                                .rule = HY_RULE_ADDITIVE,
                                                .source = HY_DECAY_FROM_HEAD,
                                                .log_decay = minimax_log_decay,
                                                .key_ratio = 1,
                                                .value_ratio = 1,
                                                .activated = true,
                                                .feature_map = HY_FEATURE_SILU,
                                                .qk_norm = HY_QK_NORM_NONE,
                                                .unit_scale = true,
                                                .gate = HY_GATE_SIGMOID,
                                                .scope = HY_SCOPE_ALL,
                                                .norm = "norm",
                                                .gated_norm = "norm"};

#define CONV_ROW(row)                                                                                                  \
    .conv = &(row), .keys = row##_keys, .mlp_ratio = 4, .resolve = hy_conv_resolve, .build = hy_conv_build
#define LINEAR_ROW(row) .linear = &(row), .resolve = hy_linear_resolve, .build = hy_linear_build

static const hy_mixer_row rows[] = {
    {.kind = "attention",
     .softmax = true,
     .help = "softmax attention: grouped heads, RoPE or none, window, output gate",
     .mlp_ratio = 4,
     .keys = hy_attention_keys,
     .resolve = hy_attention_resolve,
     .build = hy_attention_build},
    {.kind = "mla",
     .softmax = true,
     .help = "softmax attention whose keys and values come from a narrow latent, which is what ranks exchange",
     .mlp_ratio = 4,
     .keys = hy_mla_keys,
     .resolve = hy_mla_resolve,
     .build = hy_mla_build},
    {.kind = "lizard",
     .help = "linear attention on softmax features, plus softmax attention over a window with sinks",
     .mlp_ratio = 4,
     .keys = hy_lizard_keys,
     .resolve = hy_lizard_resolve,
     .build = hy_lizard_build},
    {.kind = "retention",
     .help = "linear attention with one constant decay per head",
     .mlp_ratio = 2,
     LINEAR_ROW(retention)},
    {.kind = "gla", .help = "gated linear attention: a learned decay per key channel", .mlp_ratio = 4, LINEAR_ROW(gla)},
    {.kind = "deltanet", .help = "delta rule without decay", .mlp_ratio = 4, LINEAR_ROW(deltanet)},
    {.kind = "gated_deltanet",
     .help = "delta rule with a learned decay per head",
     .mlp_ratio = 4,
     LINEAR_ROW(gated_deltanet)},
    {.kind = "log_linear_gated_deltanet",
     .help = "gated_deltanet with one state per Fenwick level",
     .mlp_ratio = 4,
     .leveled = true,
     LINEAR_ROW(gated_deltanet)},
    {.kind = "kda", .help = "delta rule with a learned decay per key channel", .mlp_ratio = 4, LINEAR_ROW(kda)},
    {.kind = "linear", .help = "linear attention with a feature map", .mlp_ratio = 4, LINEAR_ROW(linear)},
    {.kind = "based", .help = "linear attention, exp to second order", .mlp_ratio = 4, LINEAR_ROW(based)},
    {.kind = "rebased", .help = "linear attention, learned quadratic kernel", .mlp_ratio = 4, LINEAR_ROW(rebased)},
    {.kind = "lightning",
     .help = "linear attention with slopes that shrink with depth",
     .mlp_ratio = 4,
     LINEAR_ROW(lightning)},
    {.kind = "lightning_minimax",
     .help = "the same with MiniMax-01's slopes, activations, norm and gate",
     .mlp_ratio = 4,
     LINEAR_ROW(lightning_minimax)},
    {.kind = "mamba1",
     .help = "state space: a learned step and a decaying state per channel",
     .mlp_ratio = 4,
     .keys = hy_mamba1_keys,
     .resolve = hy_mamba1_resolve,
     .build = hy_mamba1_build},
    {.kind = "mamba2",
     .help = "state space: a learned step per head, skip, gate before the norm",
     .mlp_ratio = 4,
     .no_mlp = true,
     .keys = hy_mamba2_keys,
     .resolve = hy_mamba2_resolve,
     .build = hy_mamba2_build},
    {.kind = "conv_short", .help = "gated convolution with a few explicit taps", CONV_ROW(hy_conv_short)},
    {.kind = "conv_medium",
     .help = "gated convolution with a hundred taps, damped with their age",
     CONV_ROW(hy_conv_medium)},
    {.kind = "conv_long",
     .help = "gated convolution as long as the document, by FFT; its filters are sums of exponentials",
     CONV_ROW(hy_conv_long)},
    {.kind = "hgrn",
     .help = "gated linear recurrence per channel",
     .mlp_ratio = 4,
     .keys = hy_hgrn_keys,
     .resolve = hy_hgrn_resolve,
     .build = hy_hgrn_build},
    {.kind = "rwkv6",
     .help = "linear attention with token shift, a decay per channel and a bonus for the present token",
     .mlp_ratio = 3.5,
     .mlp = "rwkv6",
     .keys = hy_rwkv6_keys,
     .resolve = hy_rwkv6_resolve,
     .build = hy_rwkv6_build},
    {.kind = "rwkv7",
     .help = "decay per channel plus rank one, token shift, values of the first layer mixed in",
     .mlp_ratio = 4,
     .mlp = "rwkv7",
     .embedding_range = 1e-4,
     .head_gain = 0.5,
     .keys = hy_rwkv7_keys,
     .resolve = hy_rwkv7_resolve,
     .build = hy_rwkv7_build},
    {.kind = "hgrn2",
     .help = "linear attention whose keys are what its decays let go",
     .mlp_ratio = 4,
     .keys = hy_hgrn2_keys,
     .resolve = hy_hgrn2_resolve,
     .build = hy_hgrn2_build},
    {.kind = "log_linear_mamba2",
     .help = "mamba2 with one state per Fenwick level",
     .mlp_ratio = 4,
     .leveled = true,
     .keys = hy_mamba2_keys,
     .resolve = hy_mamba2_resolve,
     .build = hy_mamba2_build},
};

const hy_mixer_row *hy_mixer_row_at(int i) {
    return i >= 0 && i < (int)(sizeof(rows) / sizeof(rows[0])) ? &rows[i] : NULL;
}

const hy_mixer_row *hy_mixer_row_find(const char *kind) {
    for (int i = 0; hy_mixer_row_at(i); i++) {
        if (strcmp(rows[i].kind, kind) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}
