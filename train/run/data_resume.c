#include "train/run/data_resume.h"

#include <string.h>

#include "base/memory.h"

/* What the configuration in `text` read in `step` steps; nothing if this run does not have its store. */
static hy_status derive(const char *text, int64_t step, const hy_trainer *trainer, hy_config *config,
                        hy_data_state *state) {
    char name[HY_STORE_NAME_MAX];
    int record = 0, fresh = 0;
    HY_TRY(hy_config_parse("the checkpoint's config", text, strlen(text), config));
    hy_store_name(&config->data.store.items[0], name);
    const int64_t count = step * config->data.batch, sequence = config->data.sequence;
    const int store = hy_run_stores_find(&trainer->stores, name);
    state->sequences = count;
    state->tokens = count * sequence;
    if (store < 0 || hy_token_store_tokens(trainer->stores.train[store].store) < sequence) {
        return HY_OK;
    }
    const int64_t tokens = hy_token_store_tokens(trainer->stores.train[store].store);
    HY_TRY(hy_data_state_find(state, name, tokens, &record, &fresh));
    state->stores[record].position = hy_store_position_after(tokens, sequence, count);
    return HY_OK;
}

hy_status hy_data_resume(const hy_manifest *manifest, hy_trainer *trainer) {
    hy_config *config = NULL;
    hy_data_state *state = NULL;
    if (manifest->progress.data.n_stores > 0) {
        return hy_trainer_set_data(trainer, &manifest->progress.data);
    }
    hy_status status = HY_NEW("old config", 1, &config);
    if (status == HY_OK) {
        status = HY_NEW("data position", 1, &state);
    }
    if (status == HY_OK) {
        status = derive(manifest->config, manifest->progress.step, trainer, config, state);
    }
    if (status == HY_OK) {
        status = hy_trainer_set_data(trainer, state);
    }
    hy_free(config);
    hy_free(state);
    return status;
}
