/* A model from top to bottom: embedding, blocks, final norm, head.
 *
 *   x = embed(tokens);   block: x += mixer(norm(x)), x += down(silu(gate x') ⊙ up x') with x' = norm(x);   loss(head(norm(x)))
 *
 * A block must hold a mixer that knows how to work across ranks: one without is an error, never silently local. */
#include <stdio.h>
#include <string.h>

#include "layers/mixer.h"
#include "layers/model_build.h"

static void set_prefix(hy_graph *g, int64_t layer, const char *part) {
    snprintf(g->prefix, sizeof(g->prefix), "model.layers.%lld.%s", (long long)layer, part);
}

static hy_var build_mlp(hy_graph *g, const hy_model_config *config, hy_var x) {
    hy_var gate = hy_node_linear(g, x, "gate_proj", config->mlp_width, false);
    hy_var up = hy_node_linear(g, x, "up_proj", config->mlp_width, false);
    return hy_node_linear(g, hy_node_glu(g, up, gate, HY_ACT_SILU), "down_proj", config->width, false);
}

static hy_status check_mixing(const hy_graph *g, int first_node, const hy_mixer_config *mixer, int64_t layer) {
    for (int n = first_node; n < g->n_nodes; n++) {
        if (g->nodes[n].class == &hy_class_recur || g->nodes[n].class == &hy_class_attention) {
            return HY_OK;
        }
    }
    return hy_fail(HY_ERR_USAGE, "layer %lld: mixer '%s' has no sequence-parallel method", (long long)layer, mixer->kind);
}

static hy_status build_block(hy_graph *g, const hy_model_config *config, int64_t layer, hy_var *x) {
    const hy_mixer_config *mixer = &config->mixers[config->layer_mixer[layer]];
    const hy_mixer_row *row = hy_mixer_row_find(mixer->kind);
    int first_node = g->n_nodes;
    g->block = (int)layer + 1;
    set_prefix(g, layer, "");
    hy_var normed = hy_node_rmsnorm(g, *x, "attn_norm", config->width, 1, config->norm_eps);
    set_prefix(g, layer, "attn.");
    *x = hy_node_residual(g, *x, row->build(row, g, config, mixer, layer, normed));
    set_prefix(g, layer, "");
    normed = hy_node_rmsnorm(g, *x, "mlp_norm", config->width, 1, config->norm_eps);
    set_prefix(g, layer, "mlp.");
    *x = hy_node_residual(g, *x, build_mlp(g, config, normed));
    HY_TRY(g->status);
    return check_mixing(g, first_node, mixer, layer);
}

hy_status hy_model_build(hy_graph *g, const hy_model_config *config) {
    int64_t shape[2] = {config->vocab, config->width};
    g->init_std = config->init_std;
    g->block = 0;
    g->prefix[0] = 0;
    hy_weight embedding = hy_graph_param(g, "model.embeddings.weight", 2, shape, HY_INIT_NORMAL, true);
    hy_var x = hy_node_embed(g, embedding, config->width, config->vocab);
    for (int64_t layer = 0; layer < config->layers; layer++) {
        HY_TRY(build_block(g, config, layer, &x));
    }
    g->block = 0;
    g->prefix[0] = 0;
    x = hy_node_rmsnorm(g, x, "model.norm", config->width, 1, config->norm_eps);
    hy_weight head = config->tied ? embedding : hy_graph_param(g, "lm_head.weight", 2, shape, HY_INIT_NORMAL, true);
    hy_node_head_loss(g, x, head, config->width, config->vocab);
    return g->status;
}
