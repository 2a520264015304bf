/* hylas plan CONFIG: what a run of CONFIG takes, without running it: parameters, memory of a rank, FLOPs, bytes of every exchange.
 *
 * Memory, operations and exchanges are those of a dry run (train/run/dry_run.h): the run itself, on a device that computes nothing, as one
 * rank of many that are not there. FLOPs are those of the model, forward once and backward twice that, for sequences of one document
 * each: recomputation is not counted, shorter documents make softmax attention cheaper. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/table.h"
#include "base/text.h"
#include "launch/commands.h"
#include "launch/config_option.h"
#include "launch/model_parts.h"
#include "launch/options.h"
#include "launch/plan_balance.h"
#include "launch/plan_json.h"
#include "launch/plan_methods.h"
#include "launch/plan_prune.h"
#include "train/run/dry_run.h"
#include "train/run/method_choice.h"
#include "train/run/run_work.h"
#include "train/run/trainer.h"

typedef struct plan_job {
    hy_config *config;
    int ranks, rank; /* rank: the one that has the most tokens */
    hy_model *model;
    hy_dry_run *dry, *whole; /* of the device's tuning; of calls as large as can be */
    hy_dry_run *unpruned;    /* as dry without parallel.prune; NULL: nothing is pruned */
    hy_stage stage;          /* the one at hand, with its shape on the rank */
    hy_run_shape shape;
    hy_data_split split;
    bool json, documents;     /* documents: as the store has them, where layouts are compared */
    const char *machine;      /* in words; NULL: none */
    hy_method_choice *choice; /* NULL: nothing was left open, nor asked for */
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
    const hy_plan *plan = &job->dry->memory;
    hy_text_table *table = NULL;
    char title[48];
    snprintf(title, sizeof title, "memory of rank %d", job->rank);
    HY_TRY(hy_text_table_create(4, (const char *const[]){title, "lifetime", "bytes", "size"}, &table));
    for (int i = 0; i < plan->n; i++) {
        hy_text_table_cell(table, "%s", plan->entries[i].name);
        hy_text_table_cell(table, "%s", plan->entries[i].lifetime);
        hy_text_table_cell(table, "%lld", (long long)plan->entries[i].bytes);
        hy_text_table_cell(table, "%s", hy_text_bytes((double)plan->entries[i].bytes).s);
    }
    hy_text_table_rule(table);
    hy_text_table_cell(table, "total");
    hy_text_table_cell(table, "%s", "");
    hy_text_table_cell(table, "%lld", (long long)hy_plan_total(plan));
    hy_text_table_cell(table, "%s", hy_text_bytes((double)hy_plan_total(plan)).s);
    const hy_status status = hy_text_table_print(table, stdout);
    hy_text_table_destroy(table);
    printf("The total is the most at a time: what the start takes is given back. Beside it: the program, its "
           "libraries, MPI's buffers.\n");
    const hy_run_bytes *with = &job->dry->activations, *without = &job->dry->on_device;
    if (with->host > 0) {
        printf("train.offload: activations take %s of the device's memory and %s of the host's; without it %s of the "
               "device's\n",
               hy_text_bytes((double)with->arena).s, hy_text_bytes((double)with->host).s,
               hy_text_bytes((double)without->arena).s);
    }
    putchar('\n');
    return status;
}

/* ---- layers: work and exchanges ---- */

static void add_planned_work(hy_text_table *table, const char *name, const char *method, double share,
                             const hy_dry_layer *layer, const hy_dry_layer *whole) {
    hy_text_table_cell(table, "%s", name);
    hy_text_table_cell(table, "%s", method);
    hy_text_table_cell(table, "%.1f%%", 100.0 * share);
    hy_text_table_cell(table, "%lld + %lld", (long long)layer->fwd.launches, (long long)layer->bwd.launches);
    hy_text_table_cell(table, "%lld + %lld", (long long)whole->fwd.launches, (long long)whole->bwd.launches);
    hy_text_table_cell(table, "%s", hy_text_bytes((double)layer->fwd.sent).s);
    hy_text_table_cell(table, "%s", hy_text_bytes((double)layer->bwd.sent).s);
}

static void sum_side(hy_dry_side *sum, const hy_dry_side *side) {
    sum->launches += side->launches;
    sum->sent += side->sent;
}

/* All layers and the ends. */
static hy_dry_layer sum_of(const hy_dry_run *run, int stage) {
    const hy_dry_stage *s = &run->stages[stage];
    hy_dry_layer sum = {.fwd = {0}};
    for (int64_t l = -1; l < run->n_layers; l++) {
        const hy_dry_layer *layer = l < 0 ? &s->ends : &s->layers[l];
        sum_side(&sum.fwd, &layer->fwd);
        sum_side(&sum.bwd, &layer->bwd);
    }
    return sum;
}

/* Forward FLOPs of one micro-step of one group. */
static double flops_of_call(const plan_job *job) {
    const int64_t docs[2] = {0, job->shape.len};
    return (double)job->shape.n_seq * hy_model_flops_fwd(job->model, docs, 1);
}

static hy_status print_planned_layers(const plan_job *job) {
    hy_text_table *table = NULL;
    const bool alone = job->shape.sequence_size == 1;
    const int number = job->stage.number;
    const hy_dry_stage *stage = &job->dry->stages[number], *whole = &job->whole->stages[number];
    const double all = flops_of_call(job);
    double flops = 0.0;
    HY_TRY(hy_text_table_create(8,
                                (const char *const[]){"layer", "mixer", "exchange", "FLOPs", "launches",
                                                      "in whole calls", "sent forward", "sent backward"},
                                &table));
    for (int64_t layer = 0; layer < job->config->model.layers; layer++) {
        hy_layer_info info;
        hy_model_layer_info(job->model, &job->shape, layer, &info);
        hy_text_table_cell(table, "%lld", (long long)layer);
        add_planned_work(table, info.mixer, alone ? "none: one rank" : info.method, info.flops_fwd / all,
                         &stage->layers[layer], &whole->layers[layer]);
        flops += info.flops_fwd;
    }
    hy_text_table_cell(table, "%s", "");
    add_planned_work(table, "embedding, head, loss", "none: local", 1.0 - flops / all, &stage->ends, &whole->ends);
    hy_text_table_rule(table);
    const hy_dry_layer sum = sum_of(job->dry, number), sum_whole = sum_of(job->whole, number);
    hy_text_table_cell(table, "all");
    add_planned_work(table, "", "", 1.0, &sum, &sum_whole);
    const hy_status status = hy_text_table_print(table, stdout);
    hy_text_table_destroy(table);
    return status;
}

static hy_status print_exchanges(const hy_exchange_log *log) {
    hy_text_table *table = NULL;
    HY_TRY(hy_text_table_create(4, (const char *const[]){"exchanges of a step", "kind", "count", "sent"}, &table));
    for (int i = 0; i < log->n; i++) {
        const hy_exchange_record *r = &log->records[i];
        if (r->kind != HY_X_RECV) {
            hy_text_table_cell(table, "%s", r->name);
            hy_text_table_cell(table, "%s", hy_exchange_kind_name(r->kind));
            hy_text_table_cell(table, "%lld", (long long)r->count);
            hy_text_table_cell(table, "%s", hy_text_bytes((double)r->bytes).s);
        }
    }
    const hy_status status = hy_text_table_print(table, stdout);
    hy_text_table_destroy(table);
    return status;
}

static hy_status print_step(const plan_job *job) {
    const hy_run_work work = hy_step_work(job->model, &job->stage);
    const hy_dry_stage *stage = &job->dry->stages[job->stage.number];
    const double ranks = job->ranks;
    if (job->ranks > 1) {
        HY_TRY(print_exchanges(&stage->step));
    }
    printf("optimizer   and counts: %lld launches; %lld in whole calls\n", (long long)stage->rest.launches,
           (long long)job->whole->stages[job->stage.number].rest.launches);
    if (stage->to_host > 0) {
        printf("offload     %s to the host's memory, %s back\n", hy_text_bytes((double)stage->to_host).s,
               hy_text_bytes((double)stage->from_host).s);
    }
    printf("step        %s tokens, %sFLOP forward and backward: %sFLOP per token, %sFLOP per rank\n",
           hy_text_count(work.tokens).s, hy_text_count(work.flops).s, hy_text_count(work.flops / work.tokens).s,
           hy_text_count(work.flops / ranks).s);
    return HY_OK;
}

/* ---- all of it ---- */

static void print_head(const plan_job *job) {
    const hy_config *config = job->config;
    printf("mesh        %d ranks = data %lld x sequence %d, layout %s\n", job->ranks, (long long)config->parallel.data,
           job->shape.sequence_size, hy_layout_names[config->parallel.method.layout]);
    printf("model       %lld layers of width %lld, MLPs of %lld, vocabulary %lld; precision %s\n",
           (long long)config->model.layers, (long long)config->model.width, (long long)config->model.mlp_width,
           (long long)config->model.vocab, hy_precision_names[config->train.precision]);
    if (job->stage.count == 1) {
        printf("step        %lld sequences of %lld tokens; %lld micro-steps of %lld in a group\n",
               (long long)job->stage.batch, (long long)job->stage.sequence, (long long)job->split.calls,
               (long long)job->shape.n_seq);
    }
    if (job->shape.method.cuts.n > 0 && job->shape.sequence_size > 1) {
        const hy_layout_dims dims = hy_layout_sizes_cut(job->shape.method.layout, &job->shape.method.cuts,
                                                        job->shape.sequence_size, 0, job->shape.n_seq, job->shape.len);
        printf("weights     tokens of a micro-step by rank:");
        for (int r = 0; r < job->shape.sequence_size; r++) {
            printf(" %lld", (long long)hy_layout_rank_tokens(&dims, r));
        }
        putchar('\n');
    }
    putchar('\n');
}

static hy_status enter_stage(plan_job *job, int number) {
    job->stage = hy_stage_get(job->config, number);
    return hy_trainer_shape(job->config, number, job->ranks, job->rank, &job->shape, &job->split);
}

/* The first rank of the first group that has as many tokens of a micro-step as any, in the stage that has most. */
static hy_status find_fullest_rank(plan_job *job) {
    const int size = hy_trainer_sequence_size(job->config, job->ranks);
    int64_t most = -1;
    int fullest = 0;
    for (int number = 0; number < hy_stage_count(job->config); number++) {
        for (job->rank = 0; job->rank < size; job->rank++) {
            HY_TRY(enter_stage(job, number));
            const hy_layout_dims dims = hy_layout_sizes_cut(job->shape.method.layout, &job->shape.method.cuts, size,
                                                            job->rank, job->shape.n_seq, job->shape.len);
            if (dims.T > most) {
                most = dims.T;
                fullest = job->rank;
            }
            if (dims.T == dims.T_max || dims.T_max <= most) {
                break;
            }
        }
    }
    job->rank = fullest;
    return enter_stage(job, 0);
}

/* ---- stages ---- */

static void print_stores(const hy_store_list *list, hy_text_table *table) {
    char text[256] = "";
    double all = 0.0;
    size_t used = 0;
    for (int64_t i = 0; i < list->n; i++) {
        all += list->items[i].weight;
    }
    for (int64_t i = 0; i < list->n && used < sizeof text; i++) {
        char name[HY_STORE_NAME_MAX], share[32] = "";
        hy_store_name(&list->items[i], name);
        if (list->n > 1) {
            snprintf(share, sizeof share, " %.1f%%", 100.0 * list->items[i].weight / all);
        }
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s%s", i > 0 ? ", " : "", name, share);
    }
    hy_text_table_cell(table, "%s", text);
}

static hy_status print_stages(plan_job *job) {
    hy_text_table *table = NULL;
    const int count = hy_stage_count(job->config);
    if (count == 1 && job->stage.stores->n == 1) {
        return HY_OK;
    }
    HY_TRY(hy_text_table_create(
        8, (const char *const[]){"stage", "steps", "sequence", "batch", "micro-steps", "tokens", "lr to", "stores"},
        &table));
    for (int number = 0; number < count; number++) {
        const hy_status status = enter_stage(job, number);
        if (status != HY_OK) {
            hy_text_table_destroy(table);
            return status;
        }
        const hy_stage *stage = &job->stage;
        hy_text_table_cell(table, "%d", number + 1);
        hy_text_table_cell(table, "%lld", (long long)stage->steps);
        hy_text_table_cell(table, "%lld", (long long)stage->sequence);
        hy_text_table_cell(table, "%lld", (long long)stage->batch);
        hy_text_table_cell(table, "%lld of %lld", (long long)job->split.calls, (long long)job->shape.n_seq);
        hy_text_table_cell(table, "%s",
                           hy_text_count((double)(stage->batch * stage->sequence) * (double)stage->steps).s);
        hy_text_table_cell(table, "%.3g", hy_stage_lr(stage, stage->first + stage->steps - 1));
        print_stores(stage->stores, table);
    }
    const hy_status status = hy_text_table_print(table, stdout);
    hy_text_table_destroy(table);
    putchar('\n');
    return status;
}

/* Work and exchanges of every stage, then of the run. */
static hy_status print_work(plan_job *job) {
    const hy_run_work run = hy_run_work_of(job->config, job->model);
    const int count = hy_stage_count(job->config);
    for (int number = 0; number < count; number++) {
        HY_TRY(enter_stage(job, number));
        if (count > 1) {
            printf("%sstage %d of %d: %lld sequences of %lld tokens\n", number > 0 ? "\n" : "", number + 1, count,
                   (long long)job->stage.batch, (long long)job->stage.sequence);
        }
        HY_TRY(print_planned_layers(job));
        HY_TRY(print_step(job));
        HY_TRY(job->unpruned != NULL ? hy_plan_prune_print(job->model, &job->shape, &job->dry->stages[number],
                                                           &job->unpruned->stages[number])
                                     : HY_OK);
        HY_TRY(hy_plan_balance_print(job->config, number, job->ranks, job->documents));
    }
    printf("%srun         %lld steps: %s tokens, %sFLOP\n",
           hy_trainer_sequence_size(job->config, job->ranks) > 1 ? "\n" : "", (long long)job->config->train.steps,
           hy_text_count(run.tokens).s, hy_text_count(run.flops).s);
    return HY_OK;
}

static hy_status print_plan_text(plan_job *job) {
    print_head(job);
    HY_TRY(print_stages(job));
    HY_TRY(print_parameters(job));
    HY_TRY(print_memory(job));
    HY_TRY(job->choice != NULL ? hy_plan_methods_print(job->choice, job->config, job->ranks, job->machine) : HY_OK);
    return print_work(job);
}

/* Methods that the configuration leaves open become those that auto takes on the machine; with --machine all are shown. The ranks of an mpirun share
 * the simulations. Collective. */
static hy_status choose_methods(plan_job *job, hy_comm *world) {
    hy_sp_method *method = &job->config->parallel.method;
    const char *configured = job->config->parallel.machine;
    const bool asked = job->machine != NULL, open = hy_method_is_open(method);
    hy_machine machine;
    hy_req req;
    if (!asked) {
        job->machine = strcmp(configured, "measured") == 0 ? "flat" : configured;
    }
    if ((!asked && !open) || job->ranks == 1) {
        *method = hy_method_first(method);
        return HY_OK;
    }
    HY_TRY(hy_comm_agree(world, hy_comm_rank(world) == 0 ? hy_machine_parse(job->machine, &machine) : HY_OK));
    hy_comm_broadcast(world, "machine", &machine, sizeof machine, 0, &req);
    hy_comm_wait(&req);
    method->node = method->node > 0 ? method->node : machine.network.node;
    return hy_method_choose(job->config, 0, job->ranks, asked, &machine, world, method, &job->choice);
}

static hy_status print_plan(plan_job *job) {
    hy_status status = find_fullest_rank(job);
    if (status == HY_OK) {
        status = hy_model_create(&job->config->model, job->ranks, &job->model);
    }
    if (status == HY_OK) {
        status = hy_dry_run_create(job->config, job->ranks, job->rank, false, &job->dry);
    }
    if (status == HY_OK) {
        status = hy_dry_run_create(job->config, job->ranks, job->rank, true, &job->whole);
    }
    if (status == HY_OK && !job->json && job->config->parallel.method.prune > 0) {
        status = hy_plan_unpruned(job->config, job->ranks, job->rank, &job->unpruned);
    }
    if (status == HY_OK) {
        status = job->json ? hy_plan_json(job->config, job->model, job->dry, job->whole, job->ranks, job->rank,
                                          job->documents)
                           : print_plan_text(job);
    }
    hy_dry_run_destroy(job->dry);
    hy_dry_run_destroy(job->whole);
    hy_dry_run_destroy(job->unpruned);
    hy_model_destroy(job->model);
    return status;
}

/* Ranks asked for; else those of mpirun; else those the config fixes. */
static hy_status choose_ranks(int64_t asked, const hy_comm *world, plan_job *job) {
    const int64_t fixed =
        job->config->parallel.data * (job->config->parallel.sequence > 0 ? job->config->parallel.sequence : 1);
    const int64_t ranks = asked > 0 ? asked : hy_comm_size(world) > 1 ? hy_comm_size(world) : fixed;
    if (ranks > 1 << 24) {
        return hy_fail(HY_ERR_USAGE, "%lld ranks: must be 1 to %d", (long long)ranks, 1 << 24);
    }
    job->ranks = (int)ranks;
    return HY_OK;
}

hy_status hy_cmd_plan(int argc, char **argv, hy_comm *world) {
    int64_t ranks = 0;
    bool json = false, documents = false;
    const char *machine = NULL;
    hy_option_list sets = {.n = 0};
    const hy_option options[] = {
        {"--ranks", HY_OPTION_COUNT, &ranks, "N",
         "plan for N ranks (default: parallel.data x parallel.sequence, where that is fixed, else 1)"},
        {"--set", HY_OPTION_LIST, &sets, "a.b=value", "changes one key of the config; may be given many times"},
        {"--machine", HY_OPTION_TEXT, &machine, "MACHINE",
         "what every layout and exchange would take there, simulated; a description as in `hylas scale --simulate`"},
        {"--documents", HY_OPTION_FLAG, &documents, NULL,
         "compare layouts with documents as the first store has them, instead of one in every sequence"},
        {"--json", HY_OPTION_FLAG, &json, NULL, "one JSON document instead of text (docs/json.md)"},
    };
    const hy_usage usage = {"hylas plan CONFIG [options]",
                            "What a run of CONFIG takes, without running it: parameters by kind, memory of the fullest "
                            "rank, FLOPs, and what every\n"
                            "layer's exchange sends in one step. Needs neither mpirun nor a token store; under mpirun "
                            "ranks share what is simulated.",
                            options,
                            5,
                            1,
                            1};
    hy_args args;
    hy_config *config = NULL;
    HY_TRY(hy_options_parse(&usage, argc, argv, world, &args));
    if (args.help) {
        return HY_OK;
    }
    HY_TRY(hy_config_load_on_all(world, args.positional[0], &sets, &config));
    plan_job job = {.config = config, .json = json, .documents = documents, .machine = machine};
    hy_status status = choose_ranks(ranks, world, &job);
    if (status == HY_OK) { /* on all ranks or none */
        status = choose_methods(&job, world);
    }
    if (status == HY_OK && hy_comm_rank(world) == 0) {
        status = print_plan(&job);
    }
    hy_free(job.choice);
    hy_free(config);
    return hy_comm_agree(world, status);
}
