/* A training step on `cuda_host` calls what `dry` counts, operation by operation; and a call launches as many kernels as its operation has
 * phases, whatever its lists say: the same for one document and for many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#ifdef HY_TEST_CUDA_HOST

#include <stdlib.h>
#include <string.h>

#include "kernels/device_internal.h"
#include "kernels/dry.h"
#include "layers/mixers/mixer.h"
#include "layers/model.h"
#include "tests/simt/simt.h"

enum { LENGTH = 67 };

static hy_table real;
static int64_t kernels[HY_OP_COUNT];

static void count_from(hy_op_id op, int64_t before) {
    kernels[op] += hy_simt_launches() - before;
}

#define HY_X(op, type)                                                                                                 \
    static void counted_##op(const type##_args *a) {                                                                   \
        const int64_t before = hy_simt_launches();                                                                     \
        real.op(a);                                                                                                    \
        count_from(HY_OP_##op, before);                                                                                \
    }
HY_OPS(HY_X)
#undef HY_X

static void count_kernels(hy_device *device) {
    real = device->table;
    memset(kernels, 0, sizeof kernels);
#define HY_X(op, type) device->table.op = counted_##op;
    HY_OPS(HY_X)
#undef HY_X
}

static hy_model *hybrid(void) {
    static const char *const pattern[] = {"gated_deltanet", "attention"};
    hy_model_config config;
    hy_model *model = NULL;
    hy_model_config_init(&config);
    config.width = 64;
    config.vocab = 40;
    config.layers = 2;
    for (int i = 0; i < 2; i++) {
        hy_mixer_config *m = &config.mixers[config.n_mixers++];
        hy_mixer_config_init(m, pattern[i]);
        m->heads = 2;
        snprintf(config.pattern[config.n_pattern++], HY_NAME_MAX, "%s", pattern[i]);
    }
    assert_int_equal(hy_model_config_resolve(&config), HY_OK);
    assert_int_equal(hy_model_create(&config, 1, &model), HY_OK);
    return model;
}

typedef struct step_case {
    const int64_t *docs;
    int64_t n_docs;
    int size; /* ranks, the others of which are not there: what they send is zeros */
    hy_dtype precision;
} step_case;

typedef struct step_counts {
    int64_t calls[HY_OP_COUNT], kernels[HY_OP_COUNT];
} step_counts;

/* Of one step, forward and backward. */
static step_counts count_step(const step_case *c, const char *name) {
    static hy_exchange_log log;
    hy_model *model = hybrid();
    hy_device *device = NULL;
    hy_comm *comm = NULL;
    hy_layout *layout = NULL;
    hy_runner *runner = NULL;
    void *params = NULL, *grads = NULL;
    int32_t tokens[LENGTH + 1] = {0};
    double loss = 0;
    step_counts counts;
    const hy_run_shape shape = {.method = {.layout = HY_LAYOUT_ZIGZAG},
                                .sequence_size = c->size,
                                .n_seq = 1,
                                .len = LENGTH,
                                .dtype = c->precision,
                                .train = true};
    const size_t bytes = (size_t)hy_model_flat_size(model) * sizeof(float);
    float *start = calloc(1, bytes);
    for (size_t i = 0; i < bytes / sizeof(float); i++) {
        start[i] = (float)(i % 17) / 64 - 0.125f;
    }
    assert_int_equal(hy_device_create(name, c->precision, &device), HY_OK);
    assert_int_equal(hy_comm_count_create(c->size, 0, &log, &comm), HY_OK);
    assert_int_equal(hy_layout_create(shape.method.layout, c->size, 0, 1, LENGTH, &layout), HY_OK);
    assert_int_equal(hy_layout_set_documents(layout, c->docs, c->n_docs), HY_OK);
    assert_int_equal(hy_device_alloc(device, "parameters", bytes, &params), HY_OK);
    assert_int_equal(hy_device_alloc(device, "gradients", bytes, &grads), HY_OK);
    hy_device_write(device, start, bytes, params);
    assert_int_equal(hy_runner_create(model, &shape, device, comm, params, grads, 0, &runner), HY_OK);
    count_kernels(device);
    const hy_op_counts before = *hy_device_counts(device);
    const hy_batch batch = {layout, tokens, tokens};
    hy_runner_step(runner, &batch, 1, &loss, NULL, NULL);
    for (int op = 0; op < HY_OP_COUNT; op++) {
        counts.calls[op] = hy_device_counts(device)->calls[op] - before.calls[op];
        counts.kernels[op] = kernels[op];
        const hy_dry_record *record = hy_dry_record_of(device);
        assert_true(record == NULL || record->ops[op].launches == hy_device_counts(device)->calls[op]);
    }
    hy_runner_destroy(runner);
    hy_device_free(device, params);
    hy_device_free(device, grads);
    hy_layout_destroy(layout);
    hy_comm_destroy(comm);
    hy_device_destroy(device);
    hy_model_destroy(model);
    free(start);
    return counts;
}

/* Kernels of one call, at most: phases that wait for each other, and parts of sums over rows that are added up in a second kernel. What is not
 * here has one. */
static int64_t phases_of(hy_op_id op) {
    switch (op) {
    case HY_OP_attn_bwd:      /* dq; dk, dv */
    case HY_OP_cross_entropy: /* tokens, their sum */
    case HY_OP_embed_bwd:
        return 2;
    case HY_OP_recur_fwd: /* chunks, what is inside them, states */
    case HY_OP_recur_inject:
    case HY_OP_recur_map_bwd:
    case HY_OP_rmsnorm_bwd:
        return 3;
    case HY_OP_recur_map:
    case HY_OP_conv_bwd: /* dx; dx before the runs; parts of dw; their sum */
        return 4;
    case HY_OP_recur_bwd: /* chunks, inside, states both ways, gradients */
    case HY_OP_decay_gate_bwd:
        return 5;
    default:
        return 1;
    }
}

static void check_op(const step_case *c, hy_op_id op, const step_counts *dry, const step_counts *run) {
    if (run->calls[op] != dry->calls[op] || run->kernels[op] > run->calls[op] * phases_of(op)) {
        fail_msg("%s: %lld calls, dry counts %lld; %lld kernels, %lld of a call; %d ranks, %d documents",
                 hy_op_name(op), (long long)run->calls[op], (long long)dry->calls[op], (long long)run->kernels[op],
                 (long long)phases_of(op), c->size, (int)c->n_docs);
    }
}

static void test_calls_and_kernels(void **unused) {
    static const int64_t one[] = {0, LENGTH}, many[] = {0, 3, 4, 5, 20, 21, 22, 41, 60, LENGTH};
    static const step_case cases[] = {
        {one, 1, 1, HY_BF16}, {many, 9, 1, HY_F32}, {one, 1, 3, HY_F32}, {many, 9, 3, HY_BF16}};
    int64_t lists = 0;
    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const step_case *c = &cases[i];
        const step_counts dry = count_step(c, "dry:cuda_host"), run = count_step(c, "cuda_host");
        int64_t calls = 0, launched = 0;
        for (int op = 0; op < HY_OP_COUNT; op++) {
            check_op(c, (hy_op_id)op, &dry, &run);
            calls += run.calls[op];
            launched += run.kernels[op];
        }
        print_message("%d ranks, %d documents: %lld calls, %lld kernels\n", c->size, (int)c->n_docs, (long long)calls,
                      (long long)launched);
        assert_true(calls > 50 && launched > calls / 2);
        lists += run.kernels[HY_OP_copy_blocks] + run.kernels[HY_OP_rows_add];
    }
    assert_true(lists > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_calls_and_kernels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void test_without_interpreter(void **unused) {
    (void)unused;
    skip();
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_without_interpreter)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
