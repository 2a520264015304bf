/* The keys of a config as one table; the section `model` has a table of its own in layers/model_config_keys.c. */
#include "train/run/config.h"

#include <stdio.h>

#include "base/product.h"
#include "base/schema.h"
#include "layers/model_config_keys.h"

static const char *const loss_names[] = {"all", "answers", NULL};
static const char *const recompute_names[] = {"none", "light", "block", NULL};
static const char *const layout_names[] = {"contiguous", "zigzag", NULL};
static const char *const state_names[] = {"allgather", "ring", NULL};
static const char *const attention_names[] = {"ring", "allgather", NULL};
static const char *const overlap_names[] = {"split", "seeded", NULL};

#define INT(field, key, preset, low, high, help)                                                                       \
    { HY_SCHEMA_INT(hy_config, field, key, preset, low, high, help) }
#define DOUBLE(field, key, preset, low, high, help)                                                                    \
    { HY_SCHEMA_DOUBLE(hy_config, field, key, preset, low, high, help) }
#define TEXT(field, key, preset, help)                                                                                 \
    { HY_SCHEMA_STRING(hy_config, field, key, preset, help) }
#define NAME(field, key, preset, names, help)                                                                          \
    { HY_SCHEMA_ENUM(hy_config, field, key, preset, names, help) }

static const hy_schema_entry config_rows[] = {
    {HY_SCHEMA_GROUP(hy_config, model, "model", &hy_model_schema, "what is trained")},

    TEXT(data.store, "data.store", "data/train.h5", "token store to train on"),
    TEXT(data.eval_store, "data.eval_store", NULL, "token store for validation; empty: none"),
    INT(data.sequence, "data.sequence", "32768", 1, HY_SCHEMA_NO_MAX, "tokens per sequence"),
    INT(data.batch, "data.batch", "1", 1, 1 << 24, "sequences per step, over all ranks and micro-steps"),
    NAME(data.loss, "data.loss", "all", loss_names, "targets that train: all, or those the store marks as answers"),

    INT(train.steps, "train.steps", "1000", 0, HY_SCHEMA_NO_MAX, "optimizer steps of the whole run"),
    DOUBLE(train.lr, "train.lr", "3e-4", 0.0, 1e3, "highest learning rate"),
    DOUBLE(train.min_lr_ratio, "train.min_lr_ratio", "0.1", 0.0, 1.0, "the cosine ends at lr times this"),
    INT(train.warmup, "train.warmup", "100", 0, HY_SCHEMA_NO_MAX, "steps of linear warm-up"),
    DOUBLE(train.weight_decay, "train.weight_decay", "0.1", 0.0, 1e3,
           "AdamW, not on norms, biases and decay parameters"),
    DOUBLE(train.beta1, "train.beta1", "0.9", 0.0, 1.0 - DBL_EPSILON, "AdamW"),
    DOUBLE(train.beta2, "train.beta2", "0.95", 0.0, 1.0 - DBL_EPSILON, "AdamW"),
    DOUBLE(train.eps, "train.eps", "1e-8", DBL_MIN, 1.0, "AdamW"),
    DOUBLE(train.clip, "train.clip", "1.0", 0.0, HY_SCHEMA_HIGHEST, "largest global gradient norm; 0 = no clipping"),
    INT(train.accumulate, "train.accumulate", "1", 1, 1 << 24, "micro-steps per step: less memory, same result"),
    NAME(train.recompute, "train.recompute", "block", recompute_names,
         "what backward computes again: nothing; norms and gates; whole blocks"),
    INT(train.seed, "train.seed", "1", 0, HY_SCHEMA_NO_MAX, "initial parameters and order of the data"),
    INT(train.max_bad_steps, "train.max_bad_steps", "10", 1, HY_SCHEMA_NO_MAX,
        "steps in a row with a non-finite loss or gradient that end the run (exit 7)"),
    TEXT(train.init, "train.init", NULL, "checkpoint whose parameters the run starts from; empty: random"),
    INT(train.checkpoint.every, "train.checkpoint.every", "200", 0, HY_SCHEMA_NO_MAX,
        "steps between saves; 0: only at the end"),
    INT(train.checkpoint.keep, "train.checkpoint.keep", "2", 1, 1 << 20, "newest checkpoints that are kept"),
    INT(train.eval.every, "train.eval.every", "0", 0, HY_SCHEMA_NO_MAX,
        "steps between validations; 0: only at the end"),
    INT(train.eval.sequences, "train.eval.sequences", "4", 1, HY_SCHEMA_NO_MAX, "sequences per validation"),
    INT(train.log_every, "train.log_every", "1", 1, HY_SCHEMA_NO_MAX, "steps between lines on the console"),
    {HY_SCHEMA_BOOL(hy_config, train.tensorboard, "train.tensorboard", "false",
                    "write TensorBoard event files into run.dir as well")},
    DOUBLE(train.time_limit, "train.time_limit", "0", 0.0, HY_SCHEMA_HIGHEST,
           "seconds after which the run saves and exits with 75; 0 = none"),

    INT(parallel.data, "parallel.data", "1", 1, 1 << 20, "groups of ranks with different sequences"),
    {HY_SCHEMA_INT(hy_config, parallel.sequence, "parallel.sequence", "auto", 1, 1 << 20,
                   "ranks that share each sequence; auto: all ranks / parallel.data"),
     HY_SCHEMA_SPECIAL("auto", 0)},
    NAME(parallel.layout, "parallel.layout", "zigzag", layout_names,
         "how a sequence is cut; zigzag balances attention"),
    NAME(parallel.state, "parallel.state", "allgather", state_names, "exchange of linear layers"),
    NAME(parallel.attention, "parallel.attention", "ring", attention_names, "exchange of softmax layers"),
    NAME(parallel.overlap, "parallel.overlap", "split", overlap_names,
         "split: compute from zero state while states travel; seeded: wait, then one pass"),

    TEXT(run.dir, "run.dir", "runs/default", "metrics, log and checkpoints"),
    TEXT(run.device, "run.device", "cpu", "table of operations: cpu, cpu_ref"),
};
static const hy_schema config_schema = HY_SCHEMA(hy_config, config_rows);

/* Tokens and sequences are counted over whole runs: all of it must fit into numbers (base/product.h). */
static hy_status check_counts(const hy_config *config, const hy_schema_origins *origins) {
    if (hy_product(config->data.batch, config->data.sequence) >= 0 &&
        hy_product(config->data.batch, config->train.steps) >= 0 &&
        hy_product(config->train.eval.sequences, config->data.sequence) >= 0) {
        return HY_OK;
    }
    return hy_fail(HY_ERR_USAGE,
                   "%s: data.sequence %lld: sequences times tokens or steps are more than 2^48; smaller: data.batch "
                   "%lld, data.sequence, train.steps %lld or train.eval.sequences %lld",
                   hy_schema_origin(origins, "data.sequence"), (long long)config->data.sequence,
                   (long long)config->data.batch, (long long)config->train.steps,
                   (long long)config->train.eval.sequences);
}

/* Checks of several keys at once, then the model's own. */
static hy_status resolve(hy_config *config, const hy_schema_origins *origins) {
    const int64_t per_group = (config->data.batch + config->parallel.data - 1) / config->parallel.data;
    if (config->data.batch < config->parallel.data) {
        return hy_fail(
            HY_ERR_USAGE,
            "%s: data.batch %lld: fewer sequences than the %lld groups of parallel.data; nearest: data.batch %lld",
            hy_schema_origin(origins, "data.batch"), (long long)config->data.batch, (long long)config->parallel.data,
            (long long)config->parallel.data);
    }
    if (config->train.accumulate > per_group) {
        return hy_fail(HY_ERR_USAGE,
                       "%s: train.accumulate %lld: data.batch %lld over parallel.data %lld leaves micro-steps without "
                       "a sequence; nearest: %lld",
                       hy_schema_origin(origins, "train.accumulate"), (long long)config->train.accumulate,
                       (long long)config->data.batch, (long long)config->parallel.data, (long long)per_group);
    }
    if (config->data.store[0] == '\0' || config->run.dir[0] == '\0') {
        const char *key = config->run.dir[0] == '\0' ? "run.dir" : "data.store";
        return hy_fail(HY_ERR_USAGE, "%s: %s is empty", hy_schema_origin(origins, key), key);
    }
    HY_TRY(check_counts(config, origins));
    return hy_model_config_resolve(&config->model);
}

static hy_status fill(const char *name, const char *text, size_t len, const char *const *sets, int n_sets,
                      hy_config *config, hy_schema_origins *origins) {
    if (text != NULL) {
        HY_TRY(hy_schema_parse(&config_schema, config, name, text, len, origins));
    } else {
        HY_TRY(hy_schema_load(&config_schema, config, name, origins));
    }
    for (int i = 0; i < n_sets; i++) {
        HY_TRY(hy_schema_set(&config_schema, config, sets[i], origins));
    }
    return resolve(config, origins);
}

/* Reads `text`, or the file `name` if text is NULL. */
static hy_status read_config(const char *name, const char *text, size_t len, const char *const *sets, int n_sets,
                             hy_config *config) {
    hy_schema_origins *origins = NULL;
    HY_TRY(hy_schema_origins_create(&origins));
    hy_schema_defaults(&config_schema, config);
    const hy_status status = fill(name, text, len, sets, n_sets, config, origins);
    hy_schema_origins_destroy(origins);
    return status;
}

hy_status hy_config_load(const char *path, const char *const *sets, int n_sets, hy_config *config) {
    return read_config(path, NULL, 0, sets, n_sets, config);
}

hy_status hy_config_parse(const char *name, const char *text, size_t len, hy_config *config) {
    return read_config(name, text, len, NULL, 0, config);
}

hy_status hy_config_parse_with(const char *name, const char *text, size_t len, const char *const *sets, int n_sets,
                               hy_config *config) {
    return read_config(name, text, len, sets, n_sets, config);
}

hy_status hy_config_write(const hy_config *config, char **text, size_t *len) {
    return hy_schema_write(&config_schema, config, text, len);
}

hy_status hy_config_check_table(void) {
    return hy_schema_check(&config_schema);
}

void hy_config_help(void) {
    hy_schema_help(&config_schema, stdout);
}
