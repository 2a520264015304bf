#include "layers/graph/graph_carry.h"

#include <string.h>

#include "base/memory.h"
#include "sp/carve.h"

static hy_status refuse_node(const hy_model_config *config, const hy_node *node) {
    const int layer = node->block - 1;
    const hy_mixer_config *mixer = &config->mixers[config->layer_mixer[layer]];
    return hy_fail(HY_ERR_USAGE,
                   "train.carry_state: layer %d (model.mixers.%s, kind %s) cannot go on from step to step: what its %s "
                   "reads of earlier tokens is not carried; recurrences, short convolutions, token shifts and softmax "
                   "attention with a "
                   "window are",
                   layer, mixer->name, mixer->kind, node->class->name);
}

/* Sequences begin and end with whole fragments, whose last rows are what convolutions and attention carry. */
static hy_status check_fragments(const hy_sizing *sizing, const hy_lists_needs *needs) {
    const hy_layout_dims *dims = sizing->dims;
    const int64_t per_sequence = dims->n_seq > 0 ? dims->n_frags / dims->n_seq : 1;
    int64_t rows = 1;
    for (int i = 0; i < needs->widths.n; i++) {
        rows = needs->widths.at[i] - 1 > rows ? needs->widths.at[i] - 1 : rows;
    }
    for (int i = 0; i < needs->windows.n; i++) {
        rows = needs->windows.at[i] - 1 > rows ? needs->windows.at[i] - 1 : rows;
    }
    if (dims->frag_min >= rows) {
        return HY_OK;
    }
    return hy_fail(HY_ERR_USAGE,
                   "train.carry_state: sequences of %lld tokens are cut into %lld fragments, of which one is shorter "
                   "than the %lld "
                   "tokens that are carried; nearest: sequences of %lld tokens",
                   (long long)dims->len, (long long)per_sequence, (long long)rows,
                   (long long)hy_layout_length_for(dims, rows));
}

hy_status hy_graph_carry_init(const hy_graph *graph, const hy_sizing *sizing, const hy_model_config *config,
                              const hy_lists_needs *needs, hy_graph_carry *carry) {
    *carry = (hy_graph_carry){.n_nodes = graph->n_nodes, .n_seq = sizing->dims->n_seq};
    for (int n = 0; n < graph->n_nodes; n++) {
        const hy_node *node = &graph->nodes[n];
        if (node->class->mixes && (!node->class->carried || node->class->carried(sizing, node) < 0)) {
            return refuse_node(config, node);
        }
    }
    HY_TRY(check_fragments(sizing, needs));
    HY_TRY(HY_NEW("offsets of what is carried", graph->n_nodes, &carry->offset));
    HY_TRY(HY_NEW("bytes of what is carried", graph->n_nodes, &carry->entry));
    for (int n = 0; n < graph->n_nodes; n++) {
        const hy_node *node = &graph->nodes[n];
        carry->offset[n] = carry->bytes;
        carry->entry[n] = node->class->carried ? node->class->carried(sizing, node) : 0;
        carry->sequence += carry->entry[n];
        carry->bytes += (int64_t)hy_aligned((size_t)(carry->n_seq * carry->entry[n]));
    }
    return HY_OK;
}

void hy_graph_carry_fini(hy_graph_carry *carry) {
    hy_free(carry->offset);
    hy_free(carry->entry);
    *carry = (hy_graph_carry){0};
}
