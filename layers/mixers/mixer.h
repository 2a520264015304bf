/* The table of mixers. A row is data (linear_row.h) or a build function of its own; docs/add-a-mixer.md walks through adding one. */
#ifndef HY_LAYERS_MIXER_H
#define HY_LAYERS_MIXER_H

#include "base/schema.h"
#include "layers/nodes/nodes.h"

typedef struct hy_linear_row hy_linear_row;
typedef struct hy_conv_row hy_conv_row; /* conv_mixer.c */

/* A key that a mixer uses. */
typedef struct hy_mixer_key {
    const char *name;
    char preset[32];  /* its default, a value or a product: "2*width/value_dim"; "": the schema's */
    const char *help; /* NULL: the schema's */
} hy_mixer_key;
enum { HY_MIXER_KEYS_MAX = 32 };

typedef struct hy_mixer_row hy_mixer_row;

/* One mixer while its defaults are filled in. Keys that it does not use are at their defaults already. */
typedef struct hy_mixer_request {
    const hy_mixer_row *row;
    const hy_model_config *config;
    const hy_mixer_config *asked;     /* as it was configured */
    const hy_schema_origins *origins; /* NULL: not from a file */
    hy_mixer_config *mixer;           /* the answer */
} hy_mixer_request;

struct hy_mixer_row {
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
    const hy_mixer_key
        *keys; /* what it uses beside `kind` and the keys of every layer, up to a NULL name; of a linear row NULL:
                                    the row tells */
    /* Fills what is HY_DEFAULT in request->mixer and checks it. HY_ERR_USAGE naming the key. */
    hy_status (*resolve)(const hy_mixer_request *request);
    /* Adds the mixer's nodes for input x (already normed) and returns its output, both [T,width]. */
    hy_var (*build)(const struct hy_mixer_row *row, hy_graph *g, const hy_model_config *config,
                    const hy_mixer_config *mixer, int64_t layer, hy_var x);
};

/* NULL if there is no such row. */
const hy_mixer_row *hy_mixer_row_find(const char *kind);
/* The i-th row, NULL past the last. */
const hy_mixer_row *hy_mixer_row_at(int i);

/* The keys a mixer uses, in the schema's order but for `kind`; returns their number. */
int hy_mixer_keys(const hy_mixer_row *row, hy_mixer_key keys[HY_MIXER_KEYS_MAX]);
/* Those of a linear row, which follow from its data. */
int hy_linear_keys(const hy_linear_row *row, hy_mixer_key keys[HY_MIXER_KEYS_MAX]);
bool hy_mixer_uses(const hy_mixer_row *row, const char *key);

/* Resolves one mixer. A key it does not use is refused, with its place and the nearest that it does, unless what it says is so anyway: its
 * default, or the value that a resolved config of before had there. */
HY_MUST_CHECK hy_status hy_mixer_resolve(const hy_model_config *config, const hy_schema_origins *origins,
                                         hy_mixer_config *mixer);

/* For resolve functions. *field = fallback if it is HY_DEFAULT; then it must be ≥ least. */
HY_MUST_CHECK hy_status hy_mixer_default(const hy_mixer_request *request, const char *key, int64_t *field,
                                         int64_t fallback, int64_t least);
/* "heads = 4", or "value_heads = 2 (by default 2*width/value_dim)" where nobody set it. */
typedef struct hy_mixer_text {
    char s[192];
} hy_mixer_text;
hy_mixer_text hy_mixer_value(const hy_mixer_request *request, const char *key);
/* HY_ERR_USAGE: "a.yaml:7: model.mixers.NAME: <value of key> <message>". */
HY_MUST_CHECK hy_status hy_mixer_fail(const hy_mixer_request *request, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

hy_status hy_linear_resolve(const hy_mixer_request *r);
hy_var hy_linear_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config,
                       const hy_mixer_config *mixer, int64_t layer, hy_var x);
hy_status hy_attention_resolve(const hy_mixer_request *r);
hy_var hy_attention_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config,
                          const hy_mixer_config *mixer, int64_t layer, hy_var x);
hy_status hy_mla_resolve(const hy_mixer_request *r);
hy_var hy_mla_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config, const hy_mixer_config *mixer,
                    int64_t layer, hy_var x);
hy_status hy_mamba1_resolve(const hy_mixer_request *r);
hy_var hy_mamba1_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config,
                       const hy_mixer_config *mixer, int64_t layer, hy_var x);
hy_status hy_hgrn_resolve(const hy_mixer_request *r);
hy_var hy_hgrn_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config, const hy_mixer_config *mixer,
                     int64_t layer, hy_var x);
hy_status hy_hgrn2_resolve(const hy_mixer_request *r);
hy_var hy_hgrn2_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config, const hy_mixer_config *mixer,
                      int64_t layer, hy_var x);

extern const hy_conv_row hy_conv_short, hy_conv_medium, hy_conv_long;
extern const hy_mixer_key hy_conv_short_keys[], hy_conv_medium_keys[], hy_conv_long_keys[], hy_attention_keys[],
    hy_mla_keys[], hy_mamba1_keys[], hy_hgrn_keys[], hy_hgrn2_keys[], hy_rwkv6_keys[], hy_rwkv7_keys[],
    hy_lizard_keys[];
hy_status hy_conv_resolve(const hy_mixer_request *r);
hy_var hy_conv_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config, const hy_mixer_config *mixer,
                     int64_t layer, hy_var x);
hy_status hy_rwkv6_resolve(const hy_mixer_request *r);
hy_var hy_rwkv6_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config, const hy_mixer_config *mixer,
                      int64_t layer, hy_var x);
hy_status hy_rwkv7_resolve(const hy_mixer_request *r);
hy_var hy_rwkv7_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config, const hy_mixer_config *mixer,
                      int64_t layer, hy_var x);
hy_status hy_lizard_resolve(const hy_mixer_request *r);
hy_var hy_lizard_build(const hy_mixer_row *row, hy_graph *g, const hy_model_config *config,
                       const hy_mixer_config *mixer, int64_t layer, hy_var x);

#endif
