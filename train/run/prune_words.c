#include "train/run/prune_words.h"

#include <stdio.h>

hy_reach_facts hy_prune_facts(const hy_run_shape *shape, const hy_layer_info *layer) {
    const hy_sp_method *method = &shape->method;
    const hy_layout_dims dims =
        hy_layout_sizes_cut(method->layout, &method->cuts, shape->sequence_size, 0, shape->n_seq, shape->len);
    return hy_reach_facts_of(method, &dims, layer->recurs ? layer->log_decay_max : 0);
}

typedef struct prune_sum {
    int64_t recurrent, fixed, pruned,
        least; /* layers; least: the fewest tokens of a fragment that one of them asks for */
    double bound;
} prune_sum;

static prune_sum sum_layers(const hy_model *model, const hy_run_shape *shape) {
    prune_sum sum = {.recurrent = 0};
    for (int64_t l = 0; l < hy_model_config_of(model)->layers; l++) {
        hy_layer_info info;
        hy_model_layer_info(model, shape, l, &info);
        const hy_reach_facts facts = hy_prune_facts(shape, &info);
        sum.recurrent += info.recurs;
        sum.fixed += info.recurs && info.log_decay_max < 0;
        sum.pruned += facts.closed > 0;
        sum.bound = facts.bound > sum.bound ? facts.bound : sum.bound;
        sum.least = facts.reach > 0 && (sum.least == 0 || facts.reach < sum.least) ? facts.reach : sum.least;
    }
    return sum;
}

void hy_prune_words(const hy_model *model, const hy_run_shape *shape, char *text, size_t size) {
    const prune_sum sum = sum_layers(model, shape);
    const double asked = shape->method.prune;
    if (sum.pruned > 0) {
        snprintf(
            text, size,
            "of %lld recurrent layers, %lld pass no state through fragments that decay it to %g; error of a state at "
            "most %.2g of the largest",
            (long long)sum.recurrent, (long long)sum.pruned, asked, sum.bound);
    } else if (sum.fixed == 0) {
        snprintf(text, size, "%g has no effect: no layer's decay is fixed by the configuration", asked);
    } else if (sum.least == 0) {
        snprintf(text, size, "%g has no effect: with parallel.state %s no states travel, or no fragment is long enough",
                 asked, hy_state_exchange_names[shape->method.state]);
    } else {
        snprintf(text, size,
                 "%g leaves out no part of a state: it takes fragments of %lld tokens and more, with one before and "
                 "one behind",
                 asked, (long long)sum.least);
    }
}
