/* A model from top to bottom: embedding, blocks, final norm, head.
 *
 *   x = embed(tokens);   block: x += mixer(norm(x)), x += mlp(norm(x));   loss(head(norm(x)))
 *
 * By the config: norms behind mixer and MLP instead of before them, layers without MLP, a norm right after the embedding.
 *
 * A block must hold a mixer that knows how to work across ranks: one without is an error, never silently local. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "layers/mixers/mixer.h"
#include "layers/mixers/mlp.h"
#include "layers/model_build.h"

static void set_prefix(hy_graph *g, int64_t layer, const char *part) {
    snprintf(g->prefix, sizeof(g->prefix), "model.layers.%lld.%s", (long long)layer, part);
}

/* A norm over the width, of the model's kind. */
static hy_var build_norm(hy_graph *g, const hy_model_config *config, hy_var x, const char *name) {
    int64_t width = config->width;
    if (config->norm == HY_NORM_LAYER) {
        return hy_node_layernorm(g, x, name, width, 1, config->norm_eps, config->norm_bias);
    }
    return (config->zero_centred ? hy_node_rmsnorm_zero_centred : hy_node_rmsnorm)(g, x, name, width, 1,
                                                                                   config->norm_eps);
}

static hy_var norm_if(bool wanted, hy_graph *g, const hy_model_config *config, hy_var x, const char *name) {
    return wanted ? build_norm(g, config, x, name) : x;
}

static hy_status check_mixing(const hy_graph *g, int first_node, const hy_mixer_config *mixer, int64_t layer) {
    for (int n = first_node; n < g->n_nodes; n++) {
        if (g->nodes[n].class->mixes) {
            return HY_OK;
        }
    }
    return hy_fail(HY_ERR_USAGE, "layer %lld: mixer '%s' has no sequence-parallel method", (long long)layer,
                   mixer->kind);
}

static hy_status build_block(hy_graph *g, const hy_model_config *config, int64_t layer, hy_var *x) {
    const hy_mixer_config *mixer = &config->mixers[config->layer_mixer[layer]];
    const hy_mixer_row *row = hy_mixer_row_find(mixer->kind);
    const hy_mlp_row *mlp = hy_mlp_row_find(config->mlp_kind);
    int first_node = g->n_nodes;
    g->block = (int)layer + 1;
    set_prefix(g, layer, "");
    *x = norm_if(layer == 0 && config->pre_norm, g, config, *x, "pre_norm");
    hy_var y = norm_if(mixer->norm_place == HY_NORM_PRE, g, config, *x, "attn_norm");
    set_prefix(g, layer, "attn.");
    y = row->build(row, g, config, mixer, layer, y);
    set_prefix(g, layer, "");
    *x = hy_node_residual(g, *x, norm_if(mixer->norm_place == HY_NORM_POST, g, config, y, "attn_norm"));
    if (mixer->mlp == HY_SWITCH_ON) {
        y = norm_if(mixer->norm_place == HY_NORM_PRE, g, config, *x, mlp->norm);
        set_prefix(g, layer, mlp->part);
        y = mlp->build(g, config, layer, y);
        set_prefix(g, layer, "");
        *x = hy_node_residual(g, *x, norm_if(mixer->norm_place == HY_NORM_POST, g, config, y, mlp->norm));
    }
    HY_TRY(g->status);
    return check_mixing(g, first_node, mixer, layer);
}

/* The first layer's mixer may want embedding and head to start in a way of their own; a tied head starts as the embedding. */
static void start_ends(hy_graph *g, const hy_model_config *config, hy_weight embedding, hy_weight head) {
    const hy_mixer_row *first = hy_mixer_row_find(config->mixers[config->layer_mixer[0]].kind);
    double ratio = (double)config->vocab / (double)config->width;
    if (g->status == HY_OK && first->embedding_range > 0) {
        g->params[embedding.param].init = HY_INIT_UNIFORM;
        g->params[embedding.param].init_a = first->embedding_range;
    }
    if (g->status == HY_OK && first->head_gain > 0 && !config->tied) {
        g->params[head.param].init = HY_INIT_ORTHOGONAL;
        g->params[head.param].init_a = first->head_gain * sqrt(ratio > 1 ? ratio : 1);
    }
}

hy_status hy_model_build(hy_graph *g, const hy_model_config *config) {
    int64_t shape[2] = {config->vocab, config->width};
    g->init_std = config->init_std;
    g->block = 0;
    g->prefix[0] = 0;
    hy_weight embedding = hy_graph_param(g, "model.embeddings.weight", 2, shape, HY_INIT_NORMAL, true);
    hy_var x = hy_node_embed(g, embedding, config->width, config->vocab, config->pad_token);
    for (int64_t layer = 0; layer < config->layers; layer++) {
        HY_TRY(build_block(g, config, layer, &x));
    }
    g->block = 0;
    g->prefix[0] = 0;
    x = build_norm(g, config, x, "model.norm");
    hy_weight head = config->tied ? embedding : hy_graph_param(g, "lm_head.weight", 2, shape, HY_INIT_NORMAL, true);
    hy_node_head_loss(g, x, head, config->width, config->vocab);
    start_ends(g, config, embedding, head);
    HY_TRY(g->status);
    return hy_graph_roles(g);
}
