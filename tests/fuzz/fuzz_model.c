#include "fuzz_model.h"

#include <string.h>

#include "base/memory.h"
#include "train/run/trainer.h"

enum { LAYERS_FEW = 6, RANKS_FEW = 64 };

hy_model *fuzz_build_model(const hy_model_config *config) {
    hy_model *model = NULL;
    if (config->layers <= LAYERS_FEW) {
        const hy_status status = hy_model_create(config, 3, &model);
        FUZZ_REFUSED(status, HY_ERR_USAGE);
        FUZZ_NEED(status != HY_OK || (hy_model_parameter_count(model) > 0 &&
                                      hy_model_flat_size(model) >= hy_model_parameter_count(model)));
    }
    return model;
}

static void plan(const hy_config *config) {
    const int64_t ranks = config->parallel.data * (config->parallel.sequence > 0 ? config->parallel.sequence : 1);
    static hy_plan memory;
    if (ranks > RANKS_FEW || config->model.layers > LAYERS_FEW) {
        return;
    }
    const hy_status status = hy_trainer_plan(config, (int)ranks, 0, &memory);
    FUZZ_REFUSED(status, HY_ERR_ENV); /* run.device: no such table */
    for (int i = 0; i < memory.n && status == HY_OK; i++) {
        FUZZ_NEED(memory.entries[i].bytes >= 0);
    }
    FUZZ_NEED(status != HY_OK || hy_plan_total(&memory) > 0);
}

static void write_and_read_back(const hy_config *config) {
    static hy_config back;
    char *text = NULL, *again = NULL;
    size_t length = 0, length_again = 0;
    FUZZ_NEED(hy_config_write(config, &text, &length) == HY_OK);
    FUZZ_NEED(hy_config_parse("written", text, length, &back) == HY_OK);
    FUZZ_NEED(hy_config_write(&back, &again, &length_again) == HY_OK);
    FUZZ_NEED(length == length_again && memcmp(text, again, length) == 0);
    hy_free(text);
    hy_free(again);
}

void fuzz_use_config(const hy_config *config) {
    const int64_t bytes = hy_alloc_bytes();
    write_and_read_back(config);
    plan(config);
    FUZZ_NEED(hy_alloc_bytes() == bytes);
}
