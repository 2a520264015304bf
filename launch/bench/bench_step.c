/* `hylas bench step CONFIG`: training steps (forward, backward, reduction of gradients, clipping, AdamW) of the
 * config's model on synthetic tokens, one sequence for each group of ranks; the best of a few counts. Peak memory is
 * the kernel's count of resident pages, summed over ranks, before the GEMM rate is measured; shared pages (the program
 * itself) count once per rank. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/text.h"
#include "launch/bench/bench.h"
#include "launch/bench/machine_rates.h"
#include "launch/bench/span_cost.h"
#include "launch/bench/step_operations.h"
#include "launch/bench/useful_work.h"
#include "launch/config_option.h"
#include "launch/options.h"
#include "launch/report_once.h"
#include "train/run/adamw_sharded.h"
#include "train/run/fixed_sums.h"
#include "train/run/method_start.h"
#include "train/run/phase_report.h"
#include "train/run/trainer.h"

typedef struct step_bench {
    const char *path; /* options */
    int64_t tokens, steps;
    bool times, each, spans, json;
    const char *described; /* the machine in words; NULL: none */
    hy_machine machine;
    const hy_config *config;
    hy_comm *world;
    hy_mesh mesh;
    hy_device *device;
    hy_model *model;
    hy_comm *all, *sequence; /* bound to the device */
    hy_parameters *parameters;
    void *grads;                 /* flat, in the device's memory */
    int64_t grad_elements, sums; /* sums: with parallel.invariant several (hy_sp_sums) */
    double *scalars;             /* [2,sums] likewise: sum of losses, of squares of gradients */
    double *read;                /* [2,sums] what a step read of them */
    hy_adamw_sharded *optimizer;
    hy_layout *layout;
    int32_t *ids, *labels; /* [T] of this rank */
    hy_runner *runner;
    double best, total, gemm, peak_bytes; /* seconds; total without warming up */
    hy_step_seconds seconds;
    hy_step_operations operations;
    hy_span_cost *cost;   /* NULL without --spans */
    int64_t ran;          /* steps, all of them */
    double exposed, sent; /* the mean of ranks: seconds that the fastest step waited for exchanges; bytes of a step */
} step_bench;

static double reduce_value(hy_comm *comm, double value, hy_reduce op) {
    hy_req req = {0};
    hy_comm_all_reduce(comm, "bench", &value, 1, HY_TYPE_F64, op, &req);
    hy_comm_wait(&req);
    return value;
}

static hy_status make_tokens(step_bench *b) {
    const hy_mesh *mesh = &b->mesh;
    HY_TRY(hy_layout_create_cut(b->config->parallel.method.layout, &b->config->parallel.method.cuts,
                                mesh->sequence_size, mesh->sequence_index, 1, b->tokens, &b->layout));
    HY_TRY(HY_NEW("tokens", b->layout->T, &b->ids));
    HY_TRY(HY_NEW("labels", b->layout->T, &b->labels));
    const uint64_t stream = (uint64_t)mesh->data_index, vocab = (uint64_t)b->config->model.vocab;
    for (int64_t t = 0; t < b->layout->T; t++) {
        const uint64_t at = (uint64_t)b->layout->pos[t];
        b->ids[t] = (int32_t)(hy_random_u64(1, stream, at) % vocab);
        b->labels[t] = (int32_t)(hy_random_u64(1, stream, at + 1) % vocab);
    }
    return HY_OK;
}

static hy_status take_params(step_bench *b, hy_dtype precision) {
    const hy_sp_method *method = &b->config->parallel.method;
    b->sums = hy_sp_sums(method, b->mesh.sequence_size);
    b->grad_elements = hy_fixed_sums_arrays(method, b->mesh.sequence_size) * hy_model_flat_size(b->model);
    const size_t bytes = (size_t)b->grad_elements * hy_role_size(precision, HY_ROLE_GRAD);
    HY_TRY(hy_device_alloc(b->device, "gradients", bytes, &b->grads));
    HY_TRY(hy_device_alloc(b->device, "sums of a step", (size_t)(2 * b->sums) * sizeof(double), (void **)&b->scalars));
    HY_TRY(HY_NEW("sums of a step", 2 * b->sums, &b->read));
    HY_TRY(hy_parameters_create(b->model, b->all, b->device, precision, &b->parameters));
    HY_TRY(hy_parameters_init(b->parameters, (uint64_t)b->config->train.seed, b->grads));
    return hy_adamw_sharded_create(b->parameters, b->grads, method, b->sums, &b->optimizer);
}

/* Local. */
static hy_status reserve_step(step_bench *b) {
    const hy_config *c = b->config;
    const hy_mesh *mesh = &b->mesh;
    const hy_run_shape shape = {.method = c->parallel.method,
                                .sequence_size = mesh->sequence_size,
                                .sequence_rank = mesh->sequence_index,
                                .n_seq = 1,
                                .len = b->tokens,
                                .dtype = hy_config_precision(c),
                                .recompute = c->train.recompute,
                                .offload = c->train.offload,
                                .train = true};
    HY_TRY(hy_model_create(
        &c->model, hy_fixed_sums_shards(&c->parallel.method, hy_comm_size(b->world), mesh->sequence_size), &b->model));
    HY_TRY(take_params(b, hy_config_precision(c)));
    HY_TRY(make_tokens(b));
    HY_TRY(hy_runner_create(b->model, &shape, b->device, b->sequence, b->parameters->compute, b->grads, 0, &b->runner));
    hy_runner_set_needed(b->runner, hy_parameters_needed, b->parameters);
    return HY_OK;
}

/* The mean loss. */
static double train_step(step_bench *b, int64_t number) {
    const hy_config *c = b->config;
    const hy_adamw_settings settings = {c->train.beta1, c->train.beta2, c->train.eps, c->train.weight_decay};
    const double scale = 1.0 / (double)(b->tokens * b->mesh.data_size);
    const hy_batch batch = {b->layout, b->ids, b->labels};
    double sums[2];
    const size_t read = (size_t)(2 * b->sums) * sizeof *b->read;
    hy_device_zero(b->device, HY_LANE_COMPUTE, b->scalars, read);
    hy_fill(b->device, &(hy_fill_args){.n = b->grad_elements, .value = 0, .y = b->grads, .role = HY_ROLE_GRAD});
    hy_runner_step(b->runner, &batch, scale, &b->scalars[0], hy_adamw_sharded_bucket_ready, b->optimizer);
    hy_adamw_sharded_reduce(b->optimizer, &b->scalars[b->sums]);
    hy_device_read(b->device, b->scalars, read, b->read);
    for (int i = 0; i < 2; i++) {
        sums[i] = i == 0 ? hy_fixed_sum_fragments(&c->parallel.method, b->read, b->sums)
                         : hy_fixed_sum(&b->read[b->sums], b->sums);
    }
    const double norm = sqrt(reduce_value(b->world, sums[1], HY_SUM));
    const double clip = c->train.clip > 0 && norm > c->train.clip ? c->train.clip / norm : 1.0;
    hy_adamw_sharded_update(b->optimizer, &settings, number, c->train.lr, clip);
    return reduce_value(b->world, sums[0], HY_SUM) * scale;
}

static bool is_own(const hy_exchange_record *record) {
    return strcmp(record->name, "bench") == 0;
}

/* Seconds that this rank waited for exchanges of its steps. */
static double waited_so_far(void) {
    const hy_exchange_record *records = NULL;
    double waited = 0.0;
    for (int i = hy_exchange_records(&records) - 1; i >= 0; i--) {
        waited += is_own(&records[i]) ? 0.0 : records[i].waited;
    }
    return waited;
}

/* The slowest rank's seconds. */
static double time_step(step_bench *b, bool with_spans, double *loss) {
    hy_comm_barrier(b->world);
    const double begin = hy_now();
    if (with_spans) {
        hy_span_cost_begin(b->cost, b->ran + 1);
    }
    *loss = train_step(b, ++b->ran);
    hy_device_wait(b->device, hy_device_mark(b->device, HY_LANE_COMPUTE));
    if (with_spans) {
        hy_span_cost_end(b->cost);
    }
    return reduce_value(b->world, hy_now() - begin, HY_MAX);
}

static void time_steps(step_bench *b) {
    double exposed = 0.0, loss, with = 0.0;
    b->best = (double)INFINITY;
    for (int64_t i = 0; i <= b->steps; i++) {
        if (b->spans && i % 2 == 0) {
            with = time_step(b, true, &loss);
        }
        hy_step_seconds_begin(&b->seconds, b->device);
        const double waited = waited_so_far(), seconds = time_step(b, false, &loss);
        const double exposed_now = waited_so_far() - waited;
        if (b->spans && i % 2 == 1) {
            with = time_step(b, true, &loss);
        }
        hy_print_detail("step %lld%s: %.3f s, loss %.4f\n", (long long)i, i == 0 ? " (warm-up)" : "", seconds, loss);
        if (i == 0) {
            hy_exchange_reset();
            for (int op = 0; op < HY_OP_COUNT; op++) {
                hy_device_counts(b->device)->seconds[op] = 0;
            }
        }
        if (i > 0) {
            b->total += seconds;
            hy_step_seconds_end(&b->seconds, b->device);
        }
        if (i > 0 && b->spans) {
            hy_span_cost_add(b->cost, with, seconds);
        }
        if (i > 0 && seconds < b->best) {
            b->best = seconds;
            exposed = exposed_now;
        }
    }
    b->exposed = reduce_value(b->world, exposed / hy_comm_size(b->world), HY_SUM);
}

static void count_step_exchanges(step_bench *b) {
    const hy_exchange_record *records = NULL;
    const int n = hy_exchange_records(&records);
    const double share = 1.0 / ((double)(b->steps * (b->spans ? 2 : 1)) * hy_comm_size(b->world));
    double sent = 0;
    for (int i = 0; i < n; i++) {
        sent += is_own(&records[i]) || records[i].kind == HY_X_RECV ? 0.0 : (double)records[i].bytes;
    }
    b->sent = reduce_value(b->world, share * sent, HY_SUM);
}

typedef struct step_rates {
    double tokens, work; /* per second: tokens, useful operations */
} step_rates;

/* The last line is for programs. */
static hy_status print_report(const step_bench *b, const step_rates *of) {
    if (b->each) {
        printf("\n");
        HY_TRY(hy_step_operations_print(&b->operations));
    }
    if (b->spans) {
        hy_span_cost_print(b->cost);
    }
    printf("\n%s; useful work %.1f GFLOP/s, %.1f%% of the GEMM rate %.1f GFLOP/s (all ranks at once); peak memory %s\n",
           hy_text_rate(of->tokens, "tokens").s, 1e-9 * of->work, 100 * of->work / b->gemm, 1e-9 * b->gemm,
           hy_text_bytes(b->peak_bytes).s);
    printf("tokens=%lld ranks=%d seconds=%.4f tokens_per_second=%.1f gemm_gflops=%.1f gemm_share=%.4f peak_mib=%.0f\n",
           (long long)b->tokens, hy_comm_size(b->world), b->best, of->tokens, 1e-9 * b->gemm, of->work / b->gemm,
           b->peak_bytes / 1048576);
    return HY_OK;
}

static hy_status write_report(const step_bench *b, const step_rates *of) {
    hy_json json;
    hy_json_begin(&json, stdout);
    hy_json_open_object(&json, NULL);
    hy_json_string(&json, "config", b->path);
    hy_json_int(&json, "ranks", hy_comm_size(b->world));
    hy_json_int(&json, "data_groups", b->mesh.data_size);
    hy_json_int(&json, "sequence_ranks", b->mesh.sequence_size);
    hy_json_int(&json, "tokens", b->tokens);
    hy_json_int(&json, "parameters", hy_model_parameter_count(b->model));
    hy_json_double(&json, "seconds", b->best);
    hy_json_double(&json, "tokens_per_second", of->tokens);
    hy_json_double(&json, "work_flops_per_second", of->work);
    hy_json_double(&json, "gemm_flops_per_second", b->gemm);
    hy_json_double(&json, "peak_bytes", b->peak_bytes);
    hy_json_double(&json, "exposed_seconds", b->exposed);
    hy_json_double(&json, "sent_bytes", b->sent);
    if (b->each) {
        hy_step_operations_write(&b->operations, &json);
    }
    if (b->spans) {
        hy_span_cost_write(b->cost, &json);
    }
    hy_json_close(&json);
    return hy_json_end(&json, HY_ERR_FAILED);
}

/* Rank 0. */
static hy_status report_step_bench(const step_bench *b) {
    const double groups = (double)b->mesh.data_size;
    const step_rates of = {.tokens = groups * (double)b->tokens / b->best,
                           .work = groups * hy_useful_step(b->model, b->tokens) / b->best};
    return b->json ? write_report(b, &of) : print_report(b, &of);
}

static hy_status run_step_bench(step_bench *b) {
    const int sequence = hy_trainer_sequence_size(b->config, hy_comm_size(b->world));
    HY_TRY(hy_fixed_sums_check(b->config, sequence));
    HY_TRY(hy_mesh_create(b->world, (int)b->config->parallel.data, sequence, &b->mesh));
    HY_TRY(
        hy_comm_agree(b->world, hy_device_create(b->config->run.device, hy_config_precision(b->config), &b->device)));
    HY_TRY(hy_mesh_bind(&b->mesh, b->device, b->config->parallel.transport, &b->all, &b->sequence));
    HY_TRY(hy_comm_agree(b->world, reserve_step(b)));
    hy_print_detail("%s: %lld layers, %s parameters; %lld tokens, %d ranks = data %d x sequence %d, table %s (%s)\n",
                    b->path, (long long)b->config->model.layers,
                    hy_text_count((double)hy_model_parameter_count(b->model)).s, (long long)b->tokens,
                    hy_comm_size(b->world), b->mesh.data_size, sequence, hy_device_profile(b->device)->name,
                    hy_device_profile(b->device)->detail);
    if (b->spans) {
        HY_TRY(hy_span_cost_create(b->config, &b->mesh, b->device, b->steps, &b->cost));
    }
    time_steps(b);
    count_step_exchanges(b);
    const hy_phase_seconds seconds = {.total = b->total};
    b->peak_bytes = reduce_value(b->world, (double)hy_resident_peak(), HY_SUM);
    if (b->times) {
        HY_TRY(hy_phase_report(b->world, b->device, &seconds));
    }
    if (b->each) {
        HY_TRY(hy_step_operations_collect(&b->seconds, b->config, b->tokens, b->described != NULL ? &b->machine : NULL,
                                          b->world, &b->operations));
    }
    HY_TRY(hy_gemm_rate(b->world, "cpu", hy_config_precision(b->config), &b->gemm));
    return hy_comm_agree(b->world, hy_comm_rank(b->world) == 0 ? report_step_bench(b) : HY_OK);
}

static void destroy(step_bench *b) {
    if (b->parameters != NULL) {
        hy_parameters_wait(b->parameters); /* of the last step */
    }
    hy_span_cost_destroy(b->cost);
    hy_comm_destroy(b->sequence);
    hy_comm_destroy(b->all);
    hy_runner_destroy(b->runner);
    hy_layout_destroy(b->layout);
    hy_adamw_sharded_destroy(b->optimizer);
    hy_parameters_destroy(b->parameters);
    hy_device_free(b->device, b->grads);
    hy_device_free(b->device, b->scalars);
    hy_free(b->read);
    hy_free(b->ids);
    hy_free(b->labels);
    hy_model_destroy(b->model);
    hy_mesh_destroy(&b->mesh);
    hy_device_destroy(b->device);
}

static hy_status check_step_options(void *context) {
    step_bench *b = context;
    if (b->tokens < 1 || b->tokens > (int64_t)1 << 32 || b->steps < 1 || b->steps > 100000) {
        return hy_fail(HY_ERR_USAGE, "--tokens %lld --repeats %lld: wanted 1 to 4G tokens, 1 to 100000 steps",
                       (long long)b->tokens, (long long)b->steps);
    }
    if (b->described != NULL && !b->each) {
        return hy_fail(HY_ERR_USAGE, "--machine is for --operations");
    }
    if (b->spans && (b->each || b->times)) {
        return hy_fail(HY_ERR_USAGE,
                       "--spans goes without --operations and --times, which would count steps with spans too");
    }
    if (b->spans && b->steps < HY_SPAN_PAIRS_MIN) {
        return hy_fail(HY_ERR_USAGE, "--spans wants --repeats %d at least; hundreds, to tell a percent",
                       HY_SPAN_PAIRS_MIN);
    }
    return b->described != NULL ? hy_machine_parse(b->described, &b->machine) : HY_OK;
}

hy_status hy_bench_step(int argc, char **argv, hy_comm *world) {
    step_bench b = {.world = world, .steps = 3};
    hy_option_list sets = {.n = 0};
    const hy_option options[] = {
        {"--tokens", HY_OPTION_COUNT, &b.tokens, "N", "tokens of each sequence (data.sequence)"},
        {"--repeats", HY_OPTION_COUNT, &b.steps, "N", "steps after one for warming up; the best counts (3)"},
        {"--times", HY_OPTION_FLAG, &b.times, NULL, "where the time went, operations and waits"},
        {"--operations", HY_OPTION_FLAG, &b.each, NULL,
         "each operation: calls, FLOPs and bytes of a step, the least seconds, rates; the mean of ranks"},
        {"--machine", HY_OPTION_TEXT, &b.described, "MACHINE",
         "with --operations: and what they are predicted to take there; a description as in `hylas scale --simulate`"},
        {"--spans", HY_OPTION_FLAG, &b.spans, NULL,
         "what recording spans (trace.on) costs: each step once with and once without, the median of their ratios"},
        {"--json", HY_OPTION_FLAG, &b.json, NULL, "one JSON document instead of text (docs/json.md)"},
        {"--set", HY_OPTION_LIST, &sets, "a.b=value", "changes one key of the config; may be given many times"},
    };
    const hy_usage usage = {
        "[mpirun -np N] hylas bench step CONFIG [options]",
        "Times training steps of CONFIG's model on random tokens, one sequence per group of ranks, and relates their "
        "useful\n"
        "work to the rate of float32 matrix products on all ranks at once. Needs no data and writes none.",
        options,
        (int)(sizeof options / sizeof options[0]),
        1,
        1};
    hy_args args;
    hy_config *config = NULL;
    HY_TRY(hy_options_parse(&usage, argc, argv, world, &args));
    if (args.help) {
        return HY_OK;
    }
    hy_log_set_quiet(b.json || hy_log_quiet()); /* nothing else on stdout */
    b.path = args.positional[0];
    HY_TRY(hy_config_load_on_all(world, b.path, &sets, &config));
    b.config = config;
    b.tokens = b.tokens == 0 ? config->data.sequence : b.tokens;
    hy_status status = hy_report_once(world, check_step_options, &b);
    if (status == HY_OK) {
        status = hy_method_start(config, world);
    }
    if (status == HY_OK) {
        status = run_step_bench(&b);
    }
    destroy(&b);
    hy_free(config);
    return status;
}
