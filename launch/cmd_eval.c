/* hylas eval CKPT: loss and perplexity of a checkpoint on a token store, also by position within the document; where
 * the store marks answers, how many the model gives. The configuration is the one saved in the checkpoint, changed by
 * the options. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/table.h"
#include "launch/commands.h"
#include "launch/options.h"
#include "launch/report_once.h"
#include "train/checkpoint/checkpoint.h"
#include "train/run/eval_pass.h"
#include "train/run/method_choice.h"
#include "train/run/stage.h"
#include "train/run/trainer.h"

typedef struct eval_options {
    const char *checkpoint;
    hy_option_list stores;
    int64_t sequences, sequence; /* 0: as in the checkpoint's configuration */
    hy_option_list sets;
    bool json;
} eval_options;

typedef struct load_job {
    const eval_options *options;
    const char *text; /* the checkpoint's configuration */
    int64_t step;     /* the stage that trained it counts */
    hy_config *config;
} load_job;

static hy_status take_stores(const hy_option_list *given, hy_store_list *list) {
    if (given->n > HY_STORES_MAX) {
        return hy_fail(HY_ERR_USAGE, "--store: %d stores; at most %d at a time", given->n, HY_STORES_MAX);
    }
    if (given->n > 0) {
        *list = (hy_store_list){.n = given->n};
    }
    for (int i = 0; i < given->n; i++) {
        hy_store_config *store = &list->items[i];
        store->weight = 1.0;
        if (snprintf(store->path, sizeof store->path, "%s", given->items[i]) >= (int)sizeof store->path) {
            return hy_fail(HY_ERR_USAGE, "--store %s: the path is too long", given->items[i]);
        }
    }
    return HY_OK;
}

/* The checkpoint's configuration as the stage that trained it had it, as YAML. */
static hy_status write_stage_config(const load_job *job, char **text, size_t *length) {
    HY_TRY(hy_config_parse(job->options->checkpoint, job->text, strlen(job->text), job->config));
    hy_stage_enter_config(job->config, job->step);
    return hy_config_write(job->config, text, length);
}

/* The mesh of the training run is not this one's: all ranks share each sequence unless --set says otherwise. */
static hy_status load_config(void *context) {
    const load_job *job = context;
    hy_config *config = job->config;
    enum { OWN = 5 };
    const char *sets[HY_OPTION_LIST_MAX + OWN] = {"parallel.data=1", "parallel.sequence=auto",
                                                  "parallel.invariant=false", "data.batch=1", "train.accumulate=1"};
    const int n_sets = OWN + job->options->sets.n;
    char *text = NULL;
    size_t length = 0;
    memcpy(sets + OWN, job->options->sets.items, (size_t)job->options->sets.n * sizeof *sets);
    HY_TRY(write_stage_config(job, &text, &length));
    const hy_status status = hy_config_parse_with(job->options->checkpoint, text, length, sets, n_sets, config);
    hy_free(text);
    HY_TRY(status);
    HY_TRY(take_stores(&job->options->stores, &config->data.eval_store));
    config->train.eval.sequences = job->options->sequences > 0 ? job->options->sequences : config->train.eval.sequences;
    config->data.sequence = job->options->sequence > 0 ? job->options->sequence : config->data.sequence;
    if (config->data.eval_store.n == 0) {
        return hy_fail(HY_ERR_USAGE, "the checkpoint names no validation store: give one with --store FILE");
    }
    return HY_OK;
}

static hy_status print_result(const hy_eval_result *result, const hy_checkpoint *checkpoint, const char *store) {
    hy_text_table *table = NULL;
    printf("checkpoint  %s (step %lld)\nstore       %s, %lld sequences, %lld targets\nloss        %.6f\nperplexity  "
           "%.4f\n",
           checkpoint->path, (long long)checkpoint->manifest.progress.step, store, (long long)result->sequences,
           (long long)result->valid, result->loss, exp(result->loss));
    if (result->answers >= 0) {
        printf("answers     %lld, %lld of them right: %.4f%%, loss %.6f; other targets: loss %.6f\n",
               (long long)result->answers, (long long)result->correct, 100.0 * hy_eval_accuracy(result),
               result->answer_loss, result->other_loss);
    }
    printf("\n");
    HY_TRY(hy_text_table_create(4, (const char *const[]){"position in document", "targets", "loss", "perplexity"},
                                &table));
    for (int i = 0; i < HY_EVAL_BUCKETS; i++) {
        if (result->bucket_valid[i] == 0) {
            continue;
        }
        const int64_t end = (int64_t)HY_EVAL_FIRST_BUCKET << i;
        hy_text_table_cell(table, "%lld to %lld", (long long)(i == 0 ? 0 : end / 2), (long long)end - 1);
        hy_text_table_cell(table, "%lld", (long long)result->bucket_valid[i]);
        hy_text_table_cell(table, "%.4f", result->bucket_loss[i]);
        hy_text_table_cell(table, "%.3f", exp(result->bucket_loss[i]));
    }
    const hy_status status = hy_text_table_print(table, stdout);
    hy_text_table_destroy(table);
    return status;
}

static void write_answers(hy_json *json, const hy_eval_result *result) {
    if (result->answers < 0) {
        hy_json_null(json, "answers");
        return;
    }
    hy_json_open_object(json, "answers");
    hy_json_int(json, "count", result->answers);
    hy_json_int(json, "correct", result->correct);
    hy_json_double(json, "accuracy", hy_eval_accuracy(result));
    hy_json_double(json, "loss", result->answer_loss);
    hy_json_double(json, "other_loss", result->other_loss);
    hy_json_close(json);
}

/* One member of "stores". */
static void write_store(hy_json *json, const hy_eval_result *result, const char *store) {
    hy_json_open_object(json, NULL);
    hy_json_string(json, "store", store);
    hy_json_int(json, "sequences", result->sequences);
    hy_json_int(json, "targets", result->valid);
    hy_json_double(json, "loss", result->loss);
    hy_json_double(json, "perplexity", exp(result->loss));
    write_answers(json, result);
    hy_json_open_array(json, "by_position");
    for (int i = 0; i < HY_EVAL_BUCKETS; i++) {
        const int64_t end = (int64_t)HY_EVAL_FIRST_BUCKET << i;
        if (result->bucket_valid[i] == 0) {
            continue;
        }
        hy_json_open_object(json, NULL);
        hy_json_int(json, "first", i == 0 ? 0 : end / 2);
        hy_json_int(json, "last", end - 1);
        hy_json_int(json, "targets", result->bucket_valid[i]);
        hy_json_double(json, "loss", result->bucket_loss[i]);
        hy_json_close(json);
    }
    hy_json_close(json);
    hy_json_close(json);
}

static void print_eval_text(const hy_eval_result *results, const hy_checkpoint *checkpoint, const hy_trainer *trainer,
                            hy_status *status) {
    for (int i = 0; i < trainer->stores.n_eval && *status == HY_OK; i++) {
        printf("%s", i > 0 ? "\n" : "");
        *status = print_result(&results[i], checkpoint, trainer->stores.eval[i].config->path);
    }
}

static hy_status write_eval_json(const hy_eval_result *results, const hy_checkpoint *checkpoint,
                                 const hy_trainer *trainer) {
    hy_json json;
    hy_json_begin(&json, stdout);
    hy_json_open_object(&json, NULL);
    hy_json_string(&json, "checkpoint", checkpoint->path);
    hy_json_int(&json, "step", checkpoint->manifest.progress.step);
    hy_json_open_array(&json, "stores");
    for (int i = 0; i < trainer->stores.n_eval; i++) {
        write_store(&json, &results[i], trainer->stores.eval[i].config->path);
    }
    hy_json_close(&json);
    hy_json_close(&json);
    return hy_json_end(&json, HY_ERR_FAILED);
}

static hy_status evaluate_stores(const hy_checkpoint *checkpoint, hy_trainer *trainer, bool json, hy_comm *world) {
    hy_eval_result results[HY_STORES_MAX];
    for (int i = 0; i < trainer->stores.n_eval; i++) {
        HY_TRY(hy_eval_pass(trainer, i, &results[i]));
    }
    hy_status status = HY_OK;
    if (hy_comm_rank(world) == 0 && json) {
        status = write_eval_json(results, checkpoint, trainer);
    } else if (hy_comm_rank(world) == 0) {
        print_eval_text(results, checkpoint, trainer, &status);
    }
    return hy_comm_agree(world, status);
}

static hy_status evaluate(const hy_checkpoint *checkpoint, const hy_config *config, bool json, hy_comm *world) {
    hy_trainer *trainer = NULL;
    HY_TRY(hy_trainer_create(config, false, world, &trainer));
    hy_status status =
        hy_one_tokenizer_add(&trainer->tokenizer, world, checkpoint->manifest.tokenizer, checkpoint->path);
    if (status == HY_OK) {
        status = hy_parameters_read(trainer->parameters, checkpoint, world, NULL, NULL);
    }
    if (status == HY_OK) {
        status = evaluate_stores(checkpoint, trainer, json, world);
    }
    status = hy_comm_agree(world, status);
    hy_trainer_destroy(trainer);
    return status;
}

static hy_status eval_checkpoint(const eval_options *options, hy_comm *world) {
    hy_checkpoint checkpoint;
    hy_config *config = NULL;
    HY_TRY(hy_checkpoint_open(options->checkpoint, world, NULL, &checkpoint));
    hy_status status = hy_comm_agree(world, HY_NEW("config", 1, &config));
    if (status == HY_OK) {
        status =
            hy_report_once(world, load_config,
                           &(load_job){options, checkpoint.manifest.config, checkpoint.manifest.progress.step, config});
    }
    if (status == HY_OK) {
        config->parallel.method = hy_method_first(&config->parallel.method);
        config->parallel.method.cuts = (hy_cuts){.n = 0}; /* any number of ranks */
        status = evaluate(&checkpoint, config, options->json, world);
    }
    hy_free(config);
    hy_checkpoint_close(&checkpoint);
    return status;
}

hy_status hy_cmd_eval(int argc, char **argv, hy_comm *world) {
    eval_options options = {.checkpoint = NULL};
    const hy_option rows[] = {
        {"--store", HY_OPTION_LIST, &options.stores, "FILE",
         "token store; may be given many times (default: data.eval_store of the checkpoint's configuration)"},
        {"--sequences", HY_OPTION_COUNT, &options.sequences, "N", "sequences to read"},
        {"--sequence", HY_OPTION_COUNT, &options.sequence, "N", "tokens per sequence, e.g. longer than in training"},
        {"--set", HY_OPTION_LIST, &options.sets, "a.b=value",
         "changes one key of the configuration; parallel.*, for example"},
        {"--json", HY_OPTION_FLAG, &options.json, NULL, "one JSON document instead of text (docs/json.md)"},
    };
    const hy_usage usage = {
        "[mpirun -np N] hylas eval CHECKPOINT|RUN [options]",
        "Mean loss and perplexity over the first sequences of a store, and by position in the document; where the\n"
        "store marks answers (hylas data recall), the share of them that are the model's first choice.\n"
        "A run folder stands for its newest whole checkpoint.",
        rows,
        5,
        1,
        1};
    hy_args args;
    HY_TRY(hy_options_parse(&usage, argc, argv, world, &args));
    if (args.help) {
        return HY_OK;
    }
    options.checkpoint = args.positional[0];
    return eval_checkpoint(&options, world);
}
