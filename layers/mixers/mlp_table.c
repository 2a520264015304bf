/* Every kind of MLP, one row each. */
#include <string.h>

#include "layers/mixers/mlp.h"
#include "layers/mixers/rwkv.h"

static int64_t swiglu_width(int64_t model_width, double ratio) {
    int64_t wanted = (int64_t)((double)model_width * ratio * 2 / 3);
    return 256 * ((wanted + 255) / 256);
}

/* down(silu(gate x) ⊙ up x) */
static hy_var swiglu_build(hy_graph *g, const hy_model_config *config, int64_t layer, hy_var x) {
    (void)layer;
    hy_var gate = hy_node_linear(g, x, "gate_proj", config->mlp_width, false);
    hy_var up = hy_node_linear(g, x, "up_proj", config->mlp_width, false);
    return hy_node_linear(g, hy_node_glu(g, up, gate, HY_ACT_SILU), "down_proj", config->width, false);
}

static const hy_mlp_row rows[] = {
    {.kind = "swiglu",
     .help = "down(silu(gate x) * up x)",
     .norm = "mlp_norm",
     .part = "mlp.",
     .width = swiglu_width,
     .build = swiglu_build},
    {.kind = "rwkv6",
     .help = "sigmoid(r) * value(relu(key)^2), r and key of a token and the one before it",
     .norm = "ffn_norm",
     .part = "ffn.",
     .width = hy_rwkv_mlp_width,
     .build = hy_rwkv6_mlp_build},
    {.kind = "rwkv7",
     .help = "value(relu(key)^2), key of a token and the one before it",
     .norm = "ffn_norm",
     .part = "ffn.",
     .width = hy_rwkv_mlp_width,
     .build = hy_rwkv7_mlp_build},
};

const hy_mlp_row *hy_mlp_row_at(int i) {
    return i >= 0 && i < (int)(sizeof(rows) / sizeof(rows[0])) ? &rows[i] : NULL;
}

const hy_mlp_row *hy_mlp_row_find(const char *kind) {
    for (int i = 0; hy_mlp_row_at(i); i++) {
        if (strcmp(rows[i].kind, kind) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}
