#include "launch/bench/useful_work.h"

#include "kernels/cost.h"
#include "layers/mixers/linear_row.h"

double hy_useful_recurrence(hy_rule rule, int64_t T, int64_t value_heads, int64_t K, int64_t V) {
    return hy_recur_flops(rule, K, V) * (double)T * (double)value_heads;
}

double hy_useful_attention(int64_t T, int64_t heads, int64_t D, int64_t window) {
    const double t = (double)T, w = window > 0 && window < T ? (double)window : t;
    return 4 * (double)D * (double)heads * (t * w - w * w / 2);
}

double hy_useful_step(const hy_model *model, int64_t T) {
    const hy_model_config *config = hy_model_config_of(model);
    double work = 6 * (double)hy_model_parameter_count(model) * (double)T;
    for (int64_t layer = 0; layer < config->layers; layer++) {
        const hy_mixer_config *m = &config->mixers[config->layer_mixer[layer]];
        const hy_mixer_row *row = hy_mixer_row_find(m->kind);
        work += 3 * (row->linear != NULL
                         ? hy_useful_recurrence(row->linear->rule, T, m->value_heads, m->head_dim, m->value_dim)
                         : hy_useful_attention(T, m->heads, m->head_dim, m->window));
    }
    return work;
}
