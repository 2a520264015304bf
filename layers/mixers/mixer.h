/* The table of mixers. A row is data (linear_row.h) or a build function of its own; docs/add-a-mixer.md walks through adding one. */
#ifndef HY_LAYERS_MIXER_H
#define HY_LAYERS_MIXER_H

#include "layers/nodes/nodes.h"

typedef struct hy_linear_row hy_linear_row;
typedef struct hy_conv_row hy_conv_row; /* conv_mixer.c */

typedef struct hy_mixer_row {
    const char *kind, *help;
    double mlp_ratio; /* default width of the MLP beside it, relative to the model's */
    bool no_mlp;      /* its layers have no MLP unless asked for */
    const char *mlp;  /* default kind of MLP of a model that begins with it; NULL = swiglu */
    bool softmax;     /* softmax attention: its rotary base may change as sequences grow */
    bool leveled;     /* one state per Fenwick level: a log-linear mixer */
    double
        embedding_range; /* a model that begins with it has embeddings that start U(−range, range); 0: N(0, init_std) */
    double head_gain;    /* and a head that starts orthogonal, gain·√max(1, vocab/width); 0: N(0, init_std) */
    const hy_linear_row *linear; /* row of the generic linear layer, or NULL */
    const hy_conv_row *conv;     /* row of the gated convolutions, or NULL */
    /* Fills what is HY_DEFAULT in *mixer and checks it. HY_ERR_USAGE naming the key. */
    hy_status (*resolve)(const struct hy_mixer_row *row, const hy_model_config *config, hy_mixer_config *mixer);
    /* Adds the mixer's nodes for input x (already normed) and returns its output, both [T,width]. */
    hy_var (*build)(const struct hy_mixer_row *row, hy_graph *g, const hy_model_config *config,
                    const hy_mixer_config *mixer, int64_t layer, hy_var x);
} hy_mixer_row;

/* NULL if there is no such row. */
const hy_mixer_row *hy_mixer_row_find(const char *kind);
/* The i-th row, NULL past the last. */
const hy_mixer_row *hy_mixer_row_at(int i);

/* Shared by resolve functions: *field = fallback if it is HY_DEFAULT; then it must be ≥ least. */
HY_MUST_CHECK hy_status hy_mixer_default(const hy_mixer_config *mixer, const char *key, int64_t *field,
                                         int64_t fallback, int64_t least);

hy_status hy_linear_resolve(const hy_mixer_row *row, const hy_model_config *config, hy_mixer_config *mixer);
hy_var hy_linear_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config,
                       const hy_mixer_config *mixer, int64_t layer, hy_var x);
hy_status hy_attention_resolve(const hy_mixer_row *row, const hy_model_config *config, hy_mixer_config *mixer);
hy_var hy_attention_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config,
                          const hy_mixer_config *mixer, int64_t layer, hy_var x);
hy_status hy_mla_resolve(const hy_mixer_row *row, const hy_model_config *config, hy_mixer_config *mixer);
hy_var hy_mla_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config, const hy_mixer_config *mixer,
                    int64_t layer, hy_var x);
hy_status hy_mamba1_resolve(const hy_mixer_row *row, const hy_model_config *config, hy_mixer_config *mixer);
hy_var hy_mamba1_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config,
                       const hy_mixer_config *mixer, int64_t layer, hy_var x);
hy_status hy_hgrn_resolve(const hy_mixer_row *row, const hy_model_config *config, hy_mixer_config *mixer);
hy_var hy_hgrn_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config, const hy_mixer_config *mixer,
                     int64_t layer, hy_var x);
hy_status hy_hgrn2_resolve(const hy_mixer_row *row, const hy_model_config *config, hy_mixer_config *mixer);
hy_var hy_hgrn2_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config, const hy_mixer_config *mixer,
                      int64_t layer, hy_var x);

extern const hy_conv_row hy_conv_short, hy_conv_medium, hy_conv_long;
hy_status hy_conv_resolve(const hy_mixer_row *row, const hy_model_config *config, hy_mixer_config *mixer);
hy_var hy_conv_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config, const hy_mixer_config *mixer,
                     int64_t layer, hy_var x);
hy_status hy_rwkv6_resolve(const hy_mixer_row *row, const hy_model_config *config, hy_mixer_config *mixer);
hy_var hy_rwkv6_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config, const hy_mixer_config *mixer,
                      int64_t layer, hy_var x);
hy_status hy_rwkv7_resolve(const hy_mixer_row *row, const hy_model_config *config, hy_mixer_config *mixer);
hy_var hy_rwkv7_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config, const hy_mixer_config *mixer,
                      int64_t layer, hy_var x);
hy_status hy_lizard_resolve(const hy_mixer_row *row, const hy_model_config *config, hy_mixer_config *mixer);
hy_var hy_lizard_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config,
                       const hy_mixer_config *mixer, int64_t layer, hy_var x);

#endif
