#include "fuzz_model.h"

#include <stdbool.h>
#include <string.h>

#include "base/memory.h"
#include "train/run/dry_run.h"
#include "train/run/stage.h"

enum { LAYERS_FEW = 6, RANKS_FEW = 64, TOKENS_FEW = 1 << 14 };

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

/* Small enough to execute, though dry. */
static bool is_small(const hy_config *config, int64_t ranks) {
    bool small = ranks <= RANKS_FEW && config->model.layers <= LAYERS_FEW && hy_stage_count(config) <= LAYERS_FEW &&
                 config->train.eval.sequences <= TOKENS_FEW;
    for (int i = 0; i < hy_stage_count(config) && small; i++) {
        const hy_stage stage = hy_stage_get(config, i);
        small = stage.sequence <= TOKENS_FEW && stage.batch <= TOKENS_FEW && stage.sequence * stage.batch <= TOKENS_FEW;
    }
    return small;
}

static void plan(const hy_config *config) {
    const int64_t ranks = config->parallel.data * (config->parallel.sequence > 0 ? config->parallel.sequence : 1);
    hy_dry_run *run = NULL;
    if (!is_small(config, ranks)) {
        return;
    }
    const hy_status status = hy_dry_run_create(config, (int)ranks, 0, true, &run);
    if (status != HY_ERR_MEMORY) {        /* more addresses than there are */
        FUZZ_REFUSED(status, HY_ERR_ENV); /* run.device: no such table */
    }
    if (status == HY_OK) {
        for (int i = 0; i < run->memory.n; i++) {
            FUZZ_NEED(run->memory.entries[i].bytes >= 0);
        }
        FUZZ_NEED(hy_plan_total(&run->memory) > 0);
        hy_dry_run_destroy(run);
    }
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
