#include "launch/model_parts.h"

#include <stdio.h>
#include <string.h>

#include "layers/mixers/mlp.h"

static void name_part(const hy_model_config *model, const hy_param *param, char *name, size_t size) {
    const bool in_block = param->block > 0;
    const hy_mlp_row *mlp = hy_mlp_row_find(model->mlp_kind);
    const char *kind = "norms", *own = in_block ? strchr(param->name + strlen("model.layers."), '.')
                                                : NULL; /* after the layer's number */
    if (!in_block && strncmp(param->name, "model.embeddings", 16) == 0) {
        kind = model->tied ? "embedding and head" : "embedding";
    } else if (!in_block && strncmp(param->name, "lm_head", 7) == 0) {
        kind = "head";
    } else if (own && strncmp(own + 1, mlp->part, strlen(mlp->part)) == 0) {
        kind = "MLPs";
    } else if (own && strncmp(own, ".attn.", 6) == 0) {
        snprintf(name, size, "mixers: %s", model->mixers[model->layer_mixer[param->block - 1]].name);
        return;
    }
    snprintf(name, size, "%s", kind);
}

int hy_model_parts(const hy_model_config *config, const hy_model *model, hy_model_part *parts) {
    int64_t n_params = 0;
    const hy_param *params = hy_model_params(model, &n_params);
    int n = 0;
    for (int64_t i = 0; i < n_params; i++) {
        char name[sizeof parts[0].name];
        int at = 0;
        name_part(config, &params[i], name, sizeof name);
        while (at < n && strcmp(parts[at].name, name) != 0) {
            at++;
        }
        if (at == n) {
            parts[n++] = (hy_model_part){.count = 0};
            snprintf(parts[at].name, sizeof parts[at].name, "%s", name);
        }
        parts[at].arrays++;
        parts[at].count += params[i].size;
    }
    return n;
}
