/* hylas plan CONFIG: what a run of CONFIG takes, without running it: parameters, memory of a rank, FLOPs, bytes of every exchange.
 *
 * Memory is the list that a run reserves (train/run/trainer.h). FLOPs are those of the model, forward once and backward twice that, for
 * sequences of one document each: recomputation is not counted, shorter documents make softmax attention cheaper. Bytes are what one
 * rank hands to its exchanges in one step. */
#include <stdio.h>

#include "base/memory.h"
#include "base/table.h"
#include "base/text.h"
#include "launch/commands.h"
#include "launch/config_option.h"
#include "launch/model_parts.h"
#include "launch/options.h"
#include "launch/plan_json.h"
#include "train/run/trainer.h"

typedef struct plan_job {
    const hy_config *config;
    int ranks, rank; /* rank: the one that has the most tokens */
    hy_model *model;
    hy_device device;
    hy_run_shape shape;
    hy_data_split split;
    bool json;
} plan_job;

/* ---- parameters ---- */

static hy_status print_parameters(const plan_job *job) {
    hy_model_part parts[HY_MODEL_PARTS_MAX];
    hy_text_table *table = NULL;
    const int n = hy_model_parts(&job->config->model, job->model, parts);
    const int64_t total = hy_model_parameter_count(job->model);
    int64_t arrays = 0;
    HY_TRY(hy_text_table_create(4, (const char *const[]){"parameters", "arrays", "count", "share"}, &table));
    for (int i = 0; i < n; i++) {
        hy_text_table_cell(table, "%s", parts[i].name);
        hy_text_table_cell(table, "%lld", (long long)parts[i].arrays);
        hy_text_table_cell(table, "%lld", (long long)parts[i].count);
        hy_text_table_cell(table, "%.1f%%", 100.0 * (double)parts[i].count / (double)total);
        arrays += parts[i].arrays;
    }
    hy_text_table_rule(table);
    hy_text_table_cell(table, "total");
    hy_text_table_cell(table, "%lld", (long long)arrays);
    hy_text_table_cell(table, "%lld", (long long)total);
    const hy_status status = hy_text_table_print(table, stdout);
    hy_text_table_destroy(table);
    putchar('\n');
    return status;
}

/* ---- memory ---- */

static hy_status print_memory(const plan_job *job) {
    hy_plan plan;
    hy_text_table *table = NULL;
    char title[48];
    HY_TRY(hy_trainer_plan(job->config, job->ranks, job->rank, &plan));
    snprintf(title, sizeof title, "memory of rank %d", job->rank);
    HY_TRY(hy_text_table_create(4, (const char *const[]){title, "lifetime", "bytes", "size"}, &table));
    for (int i = 0; i < plan.n; i++) {
        hy_text_table_cell(table, "%s", plan.entries[i].name);
        hy_text_table_cell(table, "%s", plan.entries[i].lifetime);
        hy_text_table_cell(table, "%lld", (long long)plan.entries[i].bytes);
        hy_text_table_cell(table, "%s", hy_text_bytes((double)plan.entries[i].bytes).s);
    }
    hy_text_table_rule(table);
    hy_text_table_cell(table, "total");
    hy_text_table_cell(table, "%s", "");
    hy_text_table_cell(table, "%lld", (long long)hy_plan_total(&plan));
    hy_text_table_cell(table, "%s", hy_text_bytes((double)hy_plan_total(&plan)).s);
    const hy_status status = hy_text_table_print(table, stdout);
    hy_text_table_destroy(table);
    printf("The total is the most at a time: what the start takes is given back. Beside it: the program, its "
           "libraries, MPI's buffers.\n\n");
    return status;
}

/* ---- layers: work and exchanges ---- */

static void add_exchange(hy_text_table *table, const char *name, const char *method, double share, double fwd,
                         double bwd) {
    hy_text_table_cell(table, "%s", name);
    hy_text_table_cell(table, "%s", method);
    hy_text_table_cell(table, "%.1f%%", 100.0 * share);
    hy_text_table_cell(table, "%s", hy_text_bytes(fwd).s);
    hy_text_table_cell(table, "%s", hy_text_bytes(bwd).s);
}

/* Forward FLOPs of one micro-step of one group. */
static double flops_of_call(const plan_job *job) {
    const int64_t docs[2] = {0, job->shape.len};
    return (double)job->shape.n_seq * hy_model_flops_fwd(job->model, docs, 1);
}

static hy_status print_layers(const plan_job *job) {
    hy_text_table *table = NULL;
    const bool alone = job->shape.sequence_size == 1;
    const double calls = (double)job->split.calls, all = flops_of_call(job);
    double fwd = 0.0, bwd = 0.0, flops = 0.0;
    HY_TRY(hy_text_table_create(
        6, (const char *const[]){"layer", "mixer", "exchange", "FLOPs", "sent forward", "sent backward"}, &table));
    for (int64_t layer = 0; layer < job->config->model.layers; layer++) {
        hy_layer_info info;
        hy_model_layer_info(job->model, &job->shape, &job->device, layer, &info);
        hy_text_table_cell(table, "%lld", (long long)layer);
        add_exchange(table, info.mixer, alone ? "none: one rank" : info.method, info.flops_fwd / all,
                     calls * (double)info.bytes_fwd, calls * (double)info.bytes_bwd);
        fwd += calls * (double)info.bytes_fwd;
        bwd += calls * (double)info.bytes_bwd;
        flops += info.flops_fwd;
    }
    hy_text_table_cell(table, "%s", "");
    add_exchange(table, "head and loss", "none: local", 1.0 - flops / all, 0.0, 0.0);
    hy_text_table_rule(table);
    hy_text_table_cell(table, "all");
    add_exchange(table, "", "", 1.0, fwd, bwd);
    const hy_status status = hy_text_table_print(table, stdout);
    hy_text_table_destroy(table);
    return status;
}

static void print_step(const plan_job *job) {
    const hy_config *config = job->config;
    const double flops = 3.0 * flops_of_call(job) / (double)job->shape.n_seq * (double)config->data.batch;
    const double tokens = (double)config->data.batch * (double)config->data.sequence;
    const double flat = (double)hy_model_flat_size(job->model) * (double)hy_dtype_size(HY_F32), ranks = job->ranks;
    if (job->ranks > 1) {
        printf("optimizer   gradients reduce-scattered: %s sent per rank; parameters all-gathered: %s\n",
               hy_text_bytes(flat * (ranks - 1.0) / ranks).s, hy_text_bytes(flat * (ranks - 1.0) / ranks).s);
    }
    printf("step        %s tokens, %sFLOP forward and backward: %sFLOP per token, %sFLOP per rank\n",
           hy_text_count(tokens).s, hy_text_count(flops).s, hy_text_count(flops / tokens).s,
           hy_text_count(flops / ranks).s);
    printf("run         %lld steps: %s tokens, %sFLOP\n", (long long)config->train.steps,
           hy_text_count(tokens * (double)config->train.steps).s, hy_text_count(flops * (double)config->train.steps).s);
}

/* ---- */

static void print_head(const plan_job *job) {
    const hy_config *config = job->config;
    printf("mesh        %d ranks = data %lld x sequence %d, layout %s\n", job->ranks, (long long)config->parallel.data,
           job->shape.sequence_size, config->parallel.layout == HY_LAYOUT_ZIGZAG ? "zigzag" : "contiguous");
    printf("model       %lld layers of width %lld, MLPs of %lld, vocabulary %lld\n", (long long)config->model.layers,
           (long long)config->model.width, (long long)config->model.mlp_width, (long long)config->model.vocab);
    printf("step        %lld sequences of %lld tokens; %lld micro-steps of %lld in a group\n\n",
           (long long)config->data.batch, (long long)config->data.sequence, (long long)job->split.calls,
           (long long)job->shape.n_seq);
}

/* The first rank of the first group that has as many tokens as any. */
static hy_status find_fullest_rank(plan_job *job) {
    const int size = hy_trainer_sequence_size(job->config, job->ranks);
    for (int rank = 0; rank < size; rank++) {
        HY_TRY(hy_trainer_shape(job->config, job->ranks, rank, &job->shape, &job->split));
        const hy_layout_dims dims = hy_layout_sizes(job->shape.layout, size, rank, job->shape.n_seq, job->shape.len);
        job->rank = rank;
        if (dims.T == dims.T_max) {
            break;
        }
    }
    return HY_OK;
}

static hy_status print_plan(plan_job *job) {
    HY_TRY(find_fullest_rank(job));
    HY_TRY(hy_device_init(&job->device, job->config->run.device, HY_F32));
    HY_TRY(hy_model_create(&job->config->model, job->ranks, &job->model));
    if (job->json) {
        const hy_status status = hy_plan_json(job->config, job->model, &job->device, job->ranks, job->rank);
        hy_model_destroy(job->model);
        return status;
    }
    print_head(job);
    hy_status status = print_parameters(job);
    if (status == HY_OK) {
        status = print_memory(job);
    }
    if (status == HY_OK) {
        status = print_layers(job);
    }
    if (status == HY_OK) {
        print_step(job);
    }
    hy_model_destroy(job->model);
    return status;
}

/* Ranks asked for; else those of mpirun; else those the config fixes. */
static hy_status choose_ranks(int64_t asked, const hy_comm *world, plan_job *job) {
    const int64_t fixed =
        job->config->parallel.data * (job->config->parallel.sequence > 0 ? job->config->parallel.sequence : 1);
    const int64_t ranks = asked > 0 ? asked : hy_comm_size(world) > 1 ? hy_comm_size(world) : fixed;
    if (asked < 0 || ranks > 1 << 24) {
        return hy_fail(HY_ERR_USAGE, "--ranks %lld: must be 1 to %d", (long long)asked, 1 << 24);
    }
    job->ranks = (int)ranks;
    return HY_OK;
}

hy_status hy_cmd_plan(int argc, char **argv, hy_comm *world) {
    int64_t ranks = 0;
    bool json = false;
    hy_option_list sets = {.n = 0};
    const hy_option options[] = {
        {"--ranks", HY_OPTION_INT, &ranks, "N",
         "plan for N ranks (default: parallel.data x parallel.sequence, where that is fixed, else 1)"},
        {"--set", HY_OPTION_LIST, &sets, "a.b=value", "changes one key of the config; may be given many times"},
        {"--json", HY_OPTION_FLAG, &json, NULL, "one JSON document instead of text (docs/json.md)"},
    };
    const hy_usage usage = {"hylas plan CONFIG [options]",
                            "What a run of CONFIG takes, without running it: parameters by kind, memory of the fullest "
                            "rank, FLOPs, and what every\n"
                            "layer's exchange sends in one step. Needs neither mpirun nor a token store.",
                            options,
                            3,
                            1,
                            1};
    hy_args args;
    hy_config *config = NULL;
    HY_TRY(hy_options_parse(&usage, argc, argv, world, &args));
    if (args.help) {
        return HY_OK;
    }
    HY_TRY(hy_config_load_on_all(world, args.positional[0], &sets, &config));
    plan_job job = {.config = config, .json = json};
    hy_status status = choose_ranks(ranks, world, &job);
    if (status == HY_OK && hy_comm_rank(world) == 0) {
        status = print_plan(&job);
    }
    hy_free(config);
    return hy_comm_agree(world, status);
}
