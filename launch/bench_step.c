/* hylas bench step CONFIG: whole training steps (read, forward, backward, reduction, AdamW) on a store of random tokens, one document per
 * sequence. Work is counted as 6 per parameter and token, 12·T²/2·heads·head_dim per softmax layer, 3 × the chunk form per linear
 * layer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "launch/bench.h"
#include "launch/config_option.h"
#include "layers/mixer.h"
#include "layers/linear_row.h"
#include "train/token_store.h"
#include "train/train_step.h"

typedef struct bench {
    hy_comm *world;
    hy_config *config;
    int64_t repeats;
    double gemm, seconds, flops; /* FLOP/s of all ranks; best step; useful work of a step */
    double memory;               /* bytes, all ranks */
} bench;

static hy_status write_store(const hy_config *config, const char *path, int64_t sequences) {
    hy_token_writer *writer = NULL;
    int32_t *tokens = NULL;
    int64_t n = config->data.sequence;
    HY_TRY(HY_NEW("random tokens", n, &tokens));
    hy_status status = hy_token_writer_create(path, config->model.vocab, "random", &writer);
    for (int64_t s = 0; s < sequences && status == HY_OK; s++) {
        for (int64_t t = 0; t < n; t++) {
            tokens[t] = (int32_t)(hy_random_u64(1, (uint64_t)s, (uint64_t)t) % (uint64_t)config->model.vocab);
        }
        status = hy_token_writer_append(writer, tokens, n);
        if (status == HY_OK) {
            status = hy_token_writer_end_document(writer);
        }
    }
    if (status == HY_OK) {
        status = hy_token_writer_finish(writer);
    }
    hy_token_writer_destroy(writer);
    hy_free(tokens);
    return status;
}

static double useful_flops(const hy_model *model, const hy_config *config) {
    const hy_model_config *m = &config->model;
    double T = (double)config->data.sequence, flops = 6.0 * (double)hy_model_parameter_count(model) * T;
    for (int64_t l = 0; l < m->layers; l++) {
        const hy_mixer_config *mixer = &m->mixers[m->layer_mixer[l]];
        const hy_linear_row *linear = hy_mixer_row_find(mixer->kind)->linear;
        flops += linear ? 3 * T * (double)mixer->value_heads * hy_bench_recur_flops(linear->rule, mixer->head_dim, mixer->value_dim)
                        : 12 * T * T / 2 * (double)(mixer->heads * mixer->head_dim);
    }
    return flops * (double)config->data.batch;
}

static double sum_over_ranks(hy_comm *world, double value) {
    hy_req req = {0};
    hy_comm_all_reduce(world, "bench", &value, 1, HY_TYPE_F64, HY_SUM, &req);
    hy_comm_wait(&req);
    return value;
}

static hy_status measure(bench *b) {
    hy_trainer *trainer = NULL;
    HY_TRY(hy_trainer_create(b->config, true, b->world, &trainer));
    hy_model_init_params(trainer->model, 1, trainer->dtype, trainer->params);
    double rate = 0;
    hy_comm_barrier(b->world);
    hy_status status = hy_comm_agree(b->world, hy_bench_gemm_rate(&trainer->device, 2048, 5, &rate));
    b->gemm = sum_over_ranks(b->world, rate);
    b->flops = useful_flops(trainer->model, b->config);
    b->seconds = 1e30;
    for (int64_t i = 1; i <= b->repeats && status == HY_OK; i++) {
        hy_step_result result;
        hy_comm_barrier(b->world);
        double begin = hy_now();
        status = hy_train_step(trainer, i, i, false, &result);
        double seconds = hy_now() - begin;
        b->seconds = seconds < b->seconds ? seconds : b->seconds;
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    b->memory = sum_over_ranks(b->world, (double)usage.ru_maxrss * 1024);
    hy_trainer_destroy(trainer);
    return status;
}

static hy_status with_store(bench *b) {
    char folder[64] = "/tmp/hylas-bench-XXXXXX";
    hy_config *config = b->config;
    hy_req req = {0};
    hy_status status = HY_OK;
    if (hy_comm_rank(b->world) == 0 && !mkdtemp(folder)) {
        status = hy_fail(HY_ERR_FAILED, "%s: cannot be created", folder);
    }
    HY_TRY(hy_comm_agree(b->world, status));
    hy_comm_broadcast(b->world, "bench", folder, sizeof(folder), 0, &req);
    hy_comm_wait(&req);
    snprintf(config->data.store, sizeof(config->data.store), "%s/random.h5", folder);
    config->data.eval_store[0] = 0;
    if (hy_comm_rank(b->world) == 0) {
        status = write_store(config, config->data.store, config->data.batch + 1);
    }
    status = hy_comm_agree(b->world, status);
    if (status == HY_OK) {
        status = measure(b);
    }
    if (hy_comm_rank(b->world) == 0 && hy_file_remove_tree(folder, HY_ERR_FAILED) != HY_OK && status == HY_OK) {
        status = HY_ERR_FAILED;
    }
    return hy_comm_agree(b->world, status);
}

hy_status hy_bench_step(int argc, char **argv, hy_comm *world) {
    int64_t tokens = 0;
    bench b = {.world = world, .repeats = 4};
    hy_option_list sets = {.n = 0};
    const hy_option rows[] = {
        {"--tokens", HY_OPTION_INT, &tokens, "T", "tokens per sequence (default: data.sequence)"},
        {"--repeats", HY_OPTION_INT, &b.repeats, "N", "steps, of which the best counts (default 4)"},
        {"--set", HY_OPTION_LIST, &sets, "a.b=value", "changes one key of the configuration"},
    };
    const hy_usage usage = {"[mpirun -np N] hylas bench step CONFIG [options]",
                            "Whole training steps on random tokens: tokens/s, share of the fp32 matrix-product rate that all ranks reach\n"
                            "together in the same run, and peak memory of all ranks.",
                            rows, 3, 1, 1};
    hy_args args;
    HY_TRY(hy_options_parse(&usage, argc, argv, world, &args));
    if (args.help) {
        return HY_OK;
    }
    HY_TRY(hy_config_load_on_all(world, args.positional[0], &sets, &b.config));
    b.config->data.sequence = tokens > 0 ? tokens : b.config->data.sequence;
    hy_status status = with_store(&b);
    if (status == HY_OK && hy_comm_rank(world) == 0) {
        double done = (double)(b.config->data.sequence * b.config->data.batch);
        printf("hylas ranks %d tokens %lld width %lld layers %lld: %.0f tokens/s, %.1f%% of sgemm %.0f GFLOP/s, peak memory %.2f GB\n", hy_comm_size(world),
               (long long)b.config->data.sequence, (long long)b.config->model.width, (long long)b.config->model.layers, done / b.seconds,
               100 * b.flops / b.seconds / b.gemm, b.gemm / 1e9, b.memory / 1e9);
    }
    hy_free(b.config);
    return status;
}
