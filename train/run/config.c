/* The keys of a config as one table; the section `model` has a table of its own in layers/model_config_keys.c. */
#include "train/run/config.h"

#include <stdio.h>

#include "base/count.h"
#include "base/schema.h"
#include "layers/model_config_keys.h"
#include "train/run/config_dir.h"
#include "train/run/stage.h"
#include "train/trace/step_set.h"

static const char *const loss_names[] = {"all", "answers", NULL};
static const char *const graph_use_names[] = {[HY_GRAPH_AUTO] = "auto", [HY_GRAPH_OFF] = "off", NULL};
const char *const hy_precision_names[] = {[HY_PRECISION_F32] = "f32", [HY_PRECISION_BF16] = "bf16", NULL};
static const char *const schedule_names[] = {"cosine", "constant", "wsd", NULL};
static const char *const stage_schedule_names[] = {"default", "cosine", "constant", "wsd", NULL};

#define INT(field, key, preset, low, high, help)                                                                       \
    { HY_SCHEMA_INT(hy_config, field, key, preset, low, high, help) }
#define DOUBLE(field, key, preset, low, high, help)                                                                    \
    { HY_SCHEMA_DOUBLE(hy_config, field, key, preset, low, high, help) }
#define TEXT(field, key, preset, help)                                                                                 \
    { HY_SCHEMA_STRING(hy_config, field, key, preset, help) }
#define NAME(field, key, preset, names, help)                                                                          \
    { HY_SCHEMA_ENUM(hy_config, field, key, preset, names, help) }

static const hy_schema_entry store_rows[] = {
    {HY_SCHEMA_STRING(hy_store_config, path, "path", NULL, "token store")},
    {HY_SCHEMA_DOUBLE(hy_store_config, weight, "weight", "1", 0.0, 1e9,
                      "its share of the sequences is its share of all weights")},
    {HY_SCHEMA_STRING(hy_store_config, name, "name", NULL,
                      "what reports and checkpoints call it; empty: the file's name without folder and ending")},
};
static const hy_schema store_schema = HY_SCHEMA(hy_store_config, store_rows);

#define STAGE_INT(field, low, high, help)                                                                              \
    {                                                                                                                  \
        HY_SCHEMA_INT(hy_stage_config, field, #field, "default", low, high, help),                                     \
            HY_SCHEMA_SPECIAL("default", HY_DEFAULT)                                                                   \
    }
#define STAGE_DOUBLE(field, low, high, help)                                                                           \
    {                                                                                                                  \
        HY_SCHEMA_DOUBLE(hy_stage_config, field, #field, "default", low, high, help),                                  \
            HY_SCHEMA_SPECIAL("default", HY_DEFAULT)                                                                   \
    }

static const hy_schema_entry stage_rows[] = {
    {HY_SCHEMA_INT(hy_stage_config, steps, "steps", "1", 1, HY_SCHEMA_NO_MAX, "optimizer steps of the stage")},
    STAGE_INT(sequence, 1, HY_SCHEMA_NO_MAX, "instead of data.sequence"),
    STAGE_INT(batch, 1, 1 << 24, "instead of data.batch"),
    STAGE_INT(accumulate, 1, 1 << 24, "instead of train.accumulate"),
    {HY_SCHEMA_LIST(hy_stage_config, store.items, store.n, "store", NULL, &store_schema, "path",
                    "instead of data.store")},
    STAGE_DOUBLE(rope_base, DBL_MIN, HY_SCHEMA_HIGHEST, "of the softmax mixers that have a rotary embedding"),
    STAGE_DOUBLE(lr, 0.0, 1e3, "with this or one of the next four: a schedule of the stage's own, over its steps"),
    {HY_SCHEMA_ENUM(hy_stage_config, schedule, "schedule", "default", stage_schedule_names,
                    "instead of train.schedule")},
    STAGE_INT(warmup, 0, HY_SCHEMA_NO_MAX, "instead of train.warmup"),
    STAGE_DOUBLE(min_lr_ratio, 0.0, 1.0, "instead of train.min_lr_ratio"),
    {HY_SCHEMA_INT(hy_stage_config, decay_steps, "decay_steps", "default", 1, HY_SCHEMA_NO_MAX,
                   "instead of train.decay_steps"),
     HY_SCHEMA_SPECIAL("default", HY_DEFAULT)},
};
static const hy_schema stage_schema = HY_SCHEMA(hy_stage_config, stage_rows);

static const hy_schema_entry config_rows[] = {
    {HY_SCHEMA_GROUP(hy_config, model, "model", &hy_model_schema, "what is trained")},

    {HY_SCHEMA_LIST(hy_config, data.store.items, data.store.n, "data.store", "data/train.h5", &store_schema, "path",
                    "token stores to train on, mixed by weight")},
    {HY_SCHEMA_LIST(hy_config, data.eval_store.items, data.eval_store.n, "data.eval_store", NULL, &store_schema, "path",
                    "token stores for validation, each reported by name; empty: none")},
    TEXT(data.tokenizer, "data.tokenizer", NULL,
         "what the stores' tokenizer is taken to be; empty: as they say, and all the same"),
    INT(data.sequence, "data.sequence", "32768", 1, HY_SCHEMA_NO_MAX, "tokens per sequence"),
    INT(data.batch, "data.batch", "1", 1, 1 << 24, "sequences per step, over all ranks and micro-steps"),
    {HY_SCHEMA_INT(hy_config, data.block, "data.block", "auto", 1, HY_SCHEMA_NO_MAX,
                   "tokens that stay together when stores are shuffled, for longer sequences later; auto: the longest "
                   "sequence of any stage that reads the store"),
     HY_SCHEMA_SPECIAL("auto", 0)},
    NAME(data.loss, "data.loss", "all", loss_names, "targets that train: all, or those the store marks as answers"),

    INT(train.steps, "train.steps", "1000", 0, HY_SCHEMA_NO_MAX, "optimizer steps of the whole run"),
    {HY_SCHEMA_LIST(hy_config, train.stages, train.n_stages, "train.stages", NULL, &stage_schema, NULL,
                    "stretches of the run, each with what differs in it; train.steps is their sum")},
    DOUBLE(train.lr, "train.lr", "3e-4", 0.0, 1e3, "highest learning rate"),
    DOUBLE(train.min_lr_ratio, "train.min_lr_ratio", "0.1", 0.0, 1.0, "cosine and wsd end at lr times this"),
    NAME(train.schedule, "train.schedule", "cosine", schedule_names,
         "learning rate after the warm-up: cosine to the end; constant; wsd: constant, then a line down"),
    INT(train.warmup, "train.warmup", "100", 0, HY_SCHEMA_NO_MAX, "steps of linear warm-up"),
    {HY_SCHEMA_INT(hy_config, train.decay_steps, "train.decay_steps", "auto", 1, HY_SCHEMA_NO_MAX,
                   "wsd: steps of the line down at the end; auto: a tenth of all"),
     HY_SCHEMA_SPECIAL("auto", 0)},
    DOUBLE(train.weight_decay, "train.weight_decay", "0.1", 0.0, 1e3,
           "AdamW, not on norms, biases and decay parameters"),
    DOUBLE(train.beta1, "train.beta1", "0.9", 0.0, 1.0 - DBL_EPSILON, "AdamW"),
    DOUBLE(train.beta2, "train.beta2", "0.95", 0.0, 1.0 - DBL_EPSILON, "AdamW"),
    DOUBLE(train.eps, "train.eps", "1e-8", DBL_MIN, 1.0, "AdamW"),
    DOUBLE(train.clip, "train.clip", "1.0", 0.0, HY_SCHEMA_HIGHEST, "largest global gradient norm; 0 = no clipping"),
    INT(train.accumulate, "train.accumulate", "1", 1, 1 << 24, "micro-steps per step: less memory, same result"),
    NAME(train.precision, "train.precision", "f32", hy_precision_names,
         "bf16: activations and matrices in bfloat16, sums, gradients and the optimizer's parameters in float32"),
    NAME(train.recompute, "train.recompute", "block", hy_recompute_names,
         "what backward computes again: nothing; norms and gates; whole blocks"),
    NAME(train.offload, "train.offload", "none", hy_offload_names,
         "where blocks leave what their backward needs and does not compute again, their inputs above all: on the "
         "device; "
         "in the host's memory, sent and fetched while blocks run"),
    {HY_SCHEMA_BOOL(hy_config, train.carry_state, "train.carry_state", "false",
                    "a document longer than a sequence goes on in the next step with the states that this one left")},
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
    NAME(parallel.method.layout, "parallel.layout", "zigzag", hy_layout_choices,
         "how a sequence is cut; zigzag balances attention; auto: what a simulation finds faster"),
    {HY_SCHEMA_INT_LIST(
        hy_config, parallel.method.cuts.each, parallel.method.cuts.n, "parallel.weights", NULL, 1, HY_WEIGHT_MAX,
        "how many tokens the ranks of a sequence have, in proportion: a number for every rank or, of fewer, "
        "for as many equal stretches of ranks (nodes); [2, 2, 1, 2]: the third has half; empty: all alike")},
    NAME(parallel.method.state, "parallel.state", "allgather", hy_state_exchange_choices,
         "exchange of linear layers; auto: as above"),
    NAME(parallel.method.attention, "parallel.attention", "ring", hy_attention_method_choices,
         "exchange of softmax layers; auto: as above"),
    NAME(parallel.method.overlap, "parallel.overlap", "split", hy_overlap_names,
         "split: compute from zero state while states travel; seeded: wait, then one pass"),
    {HY_SCHEMA_INT(
         hy_config, parallel.method.node, "parallel.node", "auto", 1, 1 << 20,
         "consecutive ranks of a sequence that are near each other, for exchanges that treat them apart; auto: "
         "those of a host"),
     HY_SCHEMA_SPECIAL("auto", 0)},
    {HY_SCHEMA_INT(hy_config, parallel.method.block, "parallel.block", "auto", 1, 1 << 30,
                   "bytes of a state that travel at once, at least, where an exchange cuts it (chain, hierarchical); "
                   "auto: 262144"),
     HY_SCHEMA_SPECIAL("auto", 0)},
    DOUBLE(parallel.method.prune, "parallel.prune", "0", 0.0, 0.5,
           "a state is not passed on that a fragment has decayed to at most this part, e.g. 1e-8, where decays are "
           "constants "
           "(retention, lightning_minimax); 0: all is passed"),
    {HY_SCHEMA_BOOL(hy_config, parallel.invariant, "parallel.invariant", "false",
                    "loss, gradients and states of linear layers are the same to the bit on 1, 2, 4, ... ranks")},
    INT(parallel.fragments, "parallel.fragments", "16", 1, 1 << 20,
        "with parallel.invariant: what a sequence is cut into, a power of two; zigzag takes half as many ranks"),
    NAME(parallel.transport, "parallel.transport", "auto", hy_transport_names,
         "what moves exchanges between ranks; auto: nccl where it serves run.device, else mpi"),
    TEXT(parallel.machine, "parallel.machine", "measured",
         "what `auto` takes the machine for: measured at the start, or a description as in `hylas scale --simulate`"),

    TEXT(run.dir, "run.dir", "runs/default",
         "metrics, log and checkpoints; ${key} is that key's value, ${model.schedule} the layers: 18gla-6attention"),
    TEXT(run.device, "run.device", "cpu",
         "what computes: cpu, cpu_ref, cuda, or auto: cuda where there is a GPU, else cpu; cpu_async and cpu_apart to "
         "test asynchrony, cuda_host to run what cuda does on the host, paced:cpu to be as slow as HYLAS_PACE says"),
    NAME(
        run.graph, "run.graph", "auto", graph_use_names,
        "auto: calls that come again just as they were are given to a GPU in one go, as a CUDA graph; off: one by one"),
    DOUBLE(run.timeout, "run.timeout", "1800", 0.0, HY_SCHEMA_HIGHEST,
           "seconds in one exchange after which the ranks that did not arrive are named and the run ends (exit 8); 0: "
           "never"),
    DOUBLE(run.slow, "run.slow", "0.25", 0.0, 1.0,
           "a rank is named when the others waited for it for more than this share of a minute (of run.timeout / 4, if "
           "that is less); 0: never"),

    {HY_SCHEMA_BOOL(hy_config, trace.on, "trace.on", "true",
                    "record what each rank does when, for hylas trace: totals of all steps, in run.dir's trace/")},
    TEXT(trace.steps, "trace.steps", NULL,
         "steps of which every exchange and operation is kept, as in 10-12,50; empty: none"),
};
static const hy_schema config_schema = HY_SCHEMA(hy_config, config_rows);

/* The batch's places read one store from front to back, a stretch each. */
static hy_status check_carry(const hy_config *config, const hy_schema_origins *origins) {
    const char *what = config->train.n_stages > 0 ? "train.stages" : config->data.store.n > 1 ? "several stores" : NULL;
    if (config->train.carry_state && !hy_sp_method_carries(&config->parallel.method)) {
        return hy_fail(
            HY_ERR_USAGE,
            "%s: train.carry_state does not go with parallel.state %s and parallel.attention %s: computed by "
            "heads, nothing goes on; choose others",
            hy_schema_origin(origins, "train.carry_state"), hy_state_exchange_choices[config->parallel.method.state],
            hy_attention_method_choices[config->parallel.method.attention]);
    }
    if (!config->train.carry_state || what == NULL) {
        return HY_OK;
    }
    return hy_fail(HY_ERR_USAGE, "%s: train.carry_state does not go with %s: one store is read from front to back",
                   hy_schema_origin(origins, "train.carry_state"), what);
}

/* What `auto` chooses depends on the number of ranks. Fixed fragments are what everything below knows of the key. */
static hy_status settle_invariance(hy_config *config, const hy_schema_origins *origins) {
    hy_sp_method *method = &config->parallel.method;
    method->cuts.fixed = config->parallel.invariant ? config->parallel.fragments : 0;
    const bool open = method->layout == HY_LAYOUT_AUTO || method->state == HY_STATE_AUTO;
    if (method->cuts.fixed == 0 || (!open && method->state != HY_STATE_HEADS)) {
        return HY_OK;
    }
    return hy_fail(HY_ERR_USAGE,
                   "%s: parallel.invariant goes with neither parallel.layout nor parallel.state auto, nor "
                   "with parallel.state heads; choose others",
                   hy_schema_origin(origins, "parallel.invariant"));
}

/* Checks of several keys at once: the model's own, then those of every stage. */
static hy_status resolve(hy_config *config, const hy_schema_origins *origins) {
    if (config->run.dir[0] == '\0') {
        return hy_fail(HY_ERR_USAGE, "%s: run.dir is empty", hy_schema_origin(origins, "run.dir"));
    }
    HY_TRY(hy_model_config_resolve_from(&config->model, origins));
    HY_TRY(hy_stages_resolve(config, origins));
    HY_TRY(check_carry(config, origins));
    HY_TRY(settle_invariance(config, origins));
    hy_step_set named;
    HY_TRY(hy_step_set_parse(hy_schema_origin(origins, "trace.steps"), config->trace.steps, &named));
    return hy_config_expand_dir(config, hy_schema_origin(origins, "run.dir"));
}

static hy_status fill_config(const char *name, const char *text, size_t len, const char *const *sets, int n_sets,
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

/* Reads `text`, or the file `name` if text is NULL. *kept: the origins; NULL: not wanted. */
static hy_status read_config(const char *name, const char *text, size_t len, const char *const *sets, int n_sets,
                             hy_config *config, hy_schema_origins **kept) {
    hy_schema_origins *origins = NULL;
    HY_TRY(hy_schema_origins_create(&origins));
    hy_schema_defaults(&config_schema, config);
    const hy_status status = fill_config(name, text, len, sets, n_sets, config, origins);
    if (status == HY_OK && kept != NULL) {
        *kept = origins;
    } else {
        hy_schema_origins_destroy(origins);
    }
    return status;
}

hy_status hy_config_load(const char *path, const char *const *sets, int n_sets, hy_config *config) {
    return read_config(path, NULL, 0, sets, n_sets, config, NULL);
}

hy_status hy_config_load_with_origins(const char *path, const char *const *sets, int n_sets, hy_config *config,
                                      hy_schema_origins **origins) {
    return read_config(path, NULL, 0, sets, n_sets, config, origins);
}

hy_status hy_config_parse(const char *name, const char *text, size_t len, hy_config *config) {
    return read_config(name, text, len, NULL, 0, config, NULL);
}

hy_status hy_config_parse_with(const char *name, const char *text, size_t len, const char *const *sets, int n_sets,
                               hy_config *config) {
    return read_config(name, text, len, sets, n_sets, config, NULL);
}

hy_status hy_config_write(const hy_config *config, char **text, size_t *len) {
    return hy_schema_write(&config_schema, config, text, len);
}

hy_status hy_config_check_table(void) {
    return hy_schema_check(&config_schema);
}

void hy_config_help(void) {
    fputs("# Every key with its default. Integers may have a unit, as in 32k, 32Ki, 1.5M, 1e6: " HY_COUNT_UNITS ".\n"
          "# `hylas help mixers` says which of the keys of model.mixers.NAME each kind of mixer has.\n\n",
          stdout);
    hy_schema_help(&config_schema, stdout);
}
