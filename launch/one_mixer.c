#include "launch/one_mixer.h"

#include <stdio.h>

#include "base/memory.h"

hy_status hy_one_mixer_create(const char *kind, hy_model **model) {
    hy_model_config *config = NULL;
    HY_TRY(HY_NEW("config", 1, &config));
    hy_model_config_init(config);
    config->layers = config->n_pattern = 1;
    (void)snprintf(config->pattern[0], HY_NAME_MAX, "%s", kind);
    hy_status status = hy_model_config_resolve(config);
    if (status == HY_OK) {
        status = hy_model_create(config, 1, model);
    }
    hy_free(config);
    return status;
}
