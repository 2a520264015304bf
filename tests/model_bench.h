/* A whole model on one rank in float64: gradients against central differences of the loss, on packed documents; and every recompute mode
 * and offload against none, which must agree bit for bit. Include it behind cmocka.h. */
#ifndef HY_TESTS_MODEL_BENCH_H
#define HY_TESTS_MODEL_BENCH_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "layers/mixers/mixer.h"
#include "layers/model.h"

enum { TOKENS = 45, VOCAB = 19, WIDTH = 12 };

typedef struct bench {
    hy_model *model;
    hy_device *device;
    hy_comm *comm;
    hy_layout *layout;
    hy_runner *runner;
    int64_t size;
    double *params, *grads;
    int32_t tokens[TOKENS], labels[TOKENS];
} bench;

/* Away from zeros and small weights; by name, so that it does not matter where a parameter lies. */
static void move_params(bench *b) {
    int64_t count;
    const hy_param *params = hy_model_params(b->model, &count);
    for (int64_t p = 0; p < count; p++) {
        for (int64_t i = 0; i < params[p].size; i++) {
            b->params[params[p].offset + i] += 0.3 * hy_random_normal(5, hy_random_stream(params[p].name), (uint64_t)i);
        }
    }
}

static void open_bench(bench *b, const hy_model_config *config, hy_recompute recompute, hy_offload_to offload) {
    static const int64_t docs[] = {0, 1, 17, 17, 40, TOKENS};
    assert_int_equal(hy_model_create(config, 1, &b->model), HY_OK);
    assert_int_equal(hy_device_create("cpu_ref", HY_F64, &b->device), HY_OK);
    assert_int_equal(hy_comm_self_create(&b->comm), HY_OK);
    assert_int_equal(hy_layout_create(HY_LAYOUT_ZIGZAG, 1, 0, 1, TOKENS, &b->layout), HY_OK);
    assert_int_equal(hy_layout_set_documents(b->layout, docs, 5), HY_OK);
    b->size = hy_model_flat_size(b->model);
    assert_int_equal(HY_NEW("params", b->size, &b->params), HY_OK);
    assert_int_equal(HY_NEW("grads", b->size, &b->grads), HY_OK);
    hy_model_init_params(b->model, 3, HY_F64, b->params);
    move_params(b);
    for (int t = 0; t < TOKENS; t++) {
        b->tokens[t] = (int32_t)(hy_random_u64(5, 2, (uint64_t)t) % VOCAB);
        b->labels[t] = t % 7 == 3 ? -100 : (int32_t)(hy_random_u64(5, 3, (uint64_t)t) % VOCAB);
    }
    hy_run_shape shape = {.method.layout = HY_LAYOUT_ZIGZAG,
                          .sequence_size = 1,
                          .n_seq = 1,
                          .len = TOKENS,
                          .dtype = HY_F64,
                          .recompute = recompute,
                          .offload = offload,
                          .train = true,
                          .head_tile = 7};
    assert_int_equal(hy_runner_create(b->model, &shape, b->device, b->comm, b->params, b->grads, 0, &b->runner), HY_OK);
}

static void close_bench(bench *b) {
    hy_runner_destroy(b->runner);
    hy_device_destroy(b->device);
    hy_layout_destroy(b->layout);
    hy_comm_destroy(b->comm);
    hy_model_destroy(b->model);
    hy_free(b->params);
    hy_free(b->grads);
}

static double loss_of(bench *b) {
    double loss = 0;
    memset(b->grads, 0, (size_t)b->size * sizeof(double));
    hy_runner_step(b->runner, &(hy_batch){b->layout, b->tokens, b->labels}, 1, &loss, NULL, NULL);
    return loss;
}

/* Three random elements of every parameter. */
static void check_gradients(const hy_model_config *config) {
    bench b = {0};
    open_bench(&b, config, HY_RECOMPUTE_BLOCK, HY_OFFLOAD_NONE);
    loss_of(&b);
    double *grads = NULL;
    assert_int_equal(HY_NEW("grads", b.size, &grads), HY_OK);
    memcpy(grads, b.grads, (size_t)b.size * sizeof(double));
    int64_t count;
    const hy_param *params = hy_model_params(b.model, &count);
    for (int64_t p = 0; p < count; p++) {
        double largest = 0;
        for (int64_t i = 0; i < params[p].size; i++) {
            largest = fmax(largest, fabs(grads[params[p].offset + i]));
        }
        for (uint64_t pick = 0; pick < 3; pick++) {
            int64_t i = params[p].offset + (int64_t)(hy_random_u64((uint64_t)p, 9, pick) % (uint64_t)params[p].size);
            double h = 1e-5, kept = b.params[i];
            b.params[i] = kept + h;
            double up = loss_of(&b);
            b.params[i] = kept - h;
            double down = loss_of(&b);
            b.params[i] = kept;
            double numeric = (up - down) / (2 * h);
            if (fabs(numeric - grads[i]) > 1e-6 * (fabs(numeric) + largest + 1e-2)) {
                fail_msg("%s[%lld]: gradient %.12g, central difference %.12g", params[p].name,
                         (long long)(i - params[p].offset), grads[i], numeric);
            }
        }
    }
    hy_free(grads);
    close_bench(&b);
}

static void check_recompute(const hy_model_config *config) {
    bench none = {0};
    open_bench(&none, config, HY_RECOMPUTE_NONE, HY_OFFLOAD_NONE);
    double loss = loss_of(&none);
    for (int how = 1; hy_recompute_names[how / 2]; how++) {
        bench other = {0};
        open_bench(&other, config, (hy_recompute)(how / 2), (hy_offload_to)(how % 2));
        assert_true(loss_of(&other) == loss);
        assert_memory_equal(none.grads, other.grads, (size_t)none.size * sizeof(double));
        close_bench(&other);
    }
    close_bench(&none);
}

static hy_mixer_config *add_mixer(hy_model_config *config, const char *name, const char *kind) {
    hy_mixer_config *m = &config->mixers[config->n_mixers++];
    hy_mixer_config_init(m, name);
    snprintf(m->kind, sizeof(m->kind), "%s", kind);
    snprintf(config->pattern[config->n_pattern++], HY_NAME_MAX, "%s", name);
    m->heads = hy_mixer_uses(hy_mixer_row_find(kind), "heads") ? 2 : HY_DEFAULT;
    return m;
}

static hy_model_config base_config(void) {
    hy_model_config config;
    hy_model_config_init(&config);
    config.width = WIDTH;
    config.vocab = VOCAB;
    config.mlp_width = 10;
    return config;
}

static void check(hy_model_config *config) {
    config->layers = config->n_pattern;
    assert_int_equal(hy_model_config_resolve(config), HY_OK);
    check_gradients(config);
    check_recompute(config);
}

#endif
