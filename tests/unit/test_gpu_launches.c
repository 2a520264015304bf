/* A training step on `cuda_host` calls what `dry` counts, operation by operation, for every mixer; and a call launches exactly as many kernels as
 * kernel_counts.h says of its arguments, whatever its lists say. */
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
#include "tests/kernel_counts.h"
#include "tests/lone_rank.h"
#include "tests/simt/simt.h"
#include "train/run/train_step.h"

enum { LENGTH_MAX = 200 };

static hy_table real;
static int64_t kernels[HY_OP_COUNT];

static void count_from(hy_op_id op, const void *args, int64_t before) {
    const int64_t launched = hy_simt_launches() - before, wanted = kernels_of_call(op, args);
    kernels[op] += launched;
    if (wanted != UNSTATED && launched != wanted) {
        fail_msg("%s: %lld kernels in a call, stated are %lld", hy_op_name(op), (long long)launched, (long long)wanted);
    }
}

#define HY_X(op, type)                                                                                                 \
    static void counted_##op(const type##_args *a) {                                                                   \
        const int64_t before = hy_simt_launches();                                                                     \
        real.op(a);                                                                                                    \
        count_from(HY_OP_##op, a, before);                                                                             \
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

/* Of layers of these kinds: heads of 32 channels, or of 8 in log-linear mixers in float32, where the interpreter takes its time over chunks. */
static hy_model *model_of_kinds(const char *const *kinds, int n, hy_dtype precision) {
    hy_model_config config;
    hy_model *model = NULL;
    hy_model_config_init(&config);
    config.width = 64;
    config.vocab = 40;
    config.layers = n;
    for (int i = 0; i < n; i++) {
        hy_mixer_config *m = &config.mixers[config.n_mixers++];
        hy_mixer_config_init(m, kinds[i]);
        const hy_mixer_row *row = hy_mixer_row_find(kinds[i]);
        m->heads = hy_mixer_uses(row, "heads") ? 2 : HY_DEFAULT;
        m->head_dim = row->leveled && precision == HY_F32 ? 8 : HY_DEFAULT;
        snprintf(config.pattern[config.n_pattern++], HY_NAME_MAX, "%s", kinds[i]);
    }
    assert_int_equal(hy_model_config_resolve(&config), HY_OK);
    assert_int_equal(hy_model_create(&config, 1, &model), HY_OK);
    return model;
}

typedef struct step_case {
    const char *kinds[2];
    int n_kinds;
    const int64_t *docs;
    int64_t n_docs;
    int size; /* ranks */
    hy_dtype precision;
    hy_sp_method method;
} step_case;

typedef struct step_counts {
    int64_t calls[HY_OP_COUNT], kernels[HY_OP_COUNT];
} step_counts;

/* Of one step, forward and backward. */
static step_counts count_step(const step_case *c, const char *name) {
    static lone_rank r;
    hy_model *model = model_of_kinds(c->kinds, c->n_kinds, c->precision);
    int32_t tokens[LENGTH_MAX + 1] = {0};
    double loss = 0;
    step_counts counts;
    const hy_run_shape shape = {.method = c->method,
                                .sequence_size = c->size,
                                .n_seq = 1,
                                .len = c->docs[c->n_docs],
                                .dtype = c->precision,
                                .train = true};
    const int64_t flat = hy_model_flat_size(model);
    float *start = calloc((size_t)flat, sizeof *start);
    for (int64_t i = 0; i < flat; i++) {
        start[i] = (float)(i % 17) / 64 - 0.125f;
    }
    lone_rank_init(&r, model, name, &shape, c->docs, c->n_docs, start);
    count_kernels(r.device);
    const hy_op_counts before = *hy_device_counts(r.device);
    const hy_batch batch = {r.layout, tokens, tokens};
    hy_runner_step(r.runner, &batch, 1, &loss, NULL, NULL);
    for (int op = 0; op < HY_OP_COUNT; op++) {
        counts.calls[op] = hy_device_counts(r.device)->calls[op] - before.calls[op];
        counts.kernels[op] = kernels[op];
        const hy_dry_record *record = hy_dry_record_of(r.device);
        assert_true(record == NULL || record->ops[op].launches == hy_device_counts(r.device)->calls[op]);
    }
    lone_rank_fini(&r);
    hy_model_destroy(model);
    free(start);
    return counts;
}

static void check_step(const step_case *c) {
    const step_counts dry = count_step(c, "dry:cuda_host"), run = count_step(c, "cuda_host");
    int64_t calls = 0, launched = 0;
    for (int op = 0; op < HY_OP_COUNT; op++) {
        if (run.calls[op] != dry.calls[op]) {
            fail_msg("%s: %lld calls, dry counts %lld; %s, %d ranks, %d documents", hy_op_name((hy_op_id)op),
                     (long long)run.calls[op], (long long)dry.calls[op], c->kinds[0], c->size, (int)c->n_docs);
        }
        calls += run.calls[op];
        launched += run.kernels[op];
    }
    print_message("%-26s %d ranks, %d documents, %s: %lld calls, %lld kernels\n", c->kinds[c->n_kinds - 1], c->size,
                  (int)c->n_docs, c->precision == HY_BF16 ? "bf16" : "f32", (long long)calls, (long long)launched);
    assert_true(calls > 30 && launched > calls / 3);
}

static const int64_t one[] = {0, 41}, many[] = {0, 3, 4, 5, 20, 21, 22, 41}, longer[] = {0, 150, 171};

/* Every mixer alone, on one rank and on three; precisions, methods and documents take turns. */
static void test_every_mixer(void **unused) {
    (void)unused;
    for (int i = 0; hy_mixer_row_at(i) != NULL; i++) {
        for (int several = 0; several < 2; several++) {
            const bool odd = (i + several) % 2 != 0;
            const hy_sp_method methods[] = {
                {.layout = HY_LAYOUT_ZIGZAG, .state = HY_STATE_ALLGATHER, .attention = HY_ATTENTION_RING},
                {.layout = HY_LAYOUT_CONTIGUOUS,
                 .state = HY_STATE_RING,
                 .attention = HY_ATTENTION_ALLGATHER,
                 .overlap = HY_OVERLAP_SEEDED}};
            check_step(&(step_case){.kinds = {hy_mixer_row_at(i)->kind},
                                    .n_kinds = 1,
                                    .docs = odd ? one : many,
                                    .n_docs = odd ? 1 : 7,
                                    .size = several ? 3 : 1,
                                    .precision = odd ? HY_BF16 : HY_F32,
                                    .method = methods[i / 2 % 2]});
        }
    }
}

/* A hybrid on sequences whose sums over tokens have parts. */
static void test_hybrid(void **unused) {
    const step_case hybrid = {.kinds = {"gated_deltanet", "attention"},
                              .n_kinds = 2,
                              .docs = longer,
                              .n_docs = 2,
                              .size = 1,
                              .precision = HY_BF16};
    (void)unused;
    check_step(&hybrid);
}

/* ---- a whole step: micro-steps, reductions, norm, update ---- */

/* *updated: false where what ranks that are not there would have sent made no finite gradient. */
static hy_op_counts train_one_step(hy_config *config, const char *device, int ranks, bool *updated) {
    static hy_exchange_log log;
    hy_comm *world = NULL;
    hy_trainer *trainer = NULL;
    hy_step_result result;
    snprintf(config->run.device, sizeof config->run.device, "%s", device);
    assert_int_equal(hy_comm_count_create(ranks, 0, &log, &world), HY_OK);
    assert_int_equal(hy_trainer_create_blank(config, world, &trainer), HY_OK);
    if (hy_dry_record_of(trainer->device) == NULL) { /* a dry device has no parameters */
        assert_int_equal(hy_parameters_init(trainer->parameters, 1, trainer->grads), HY_OK);
    }
    count_kernels(trainer->device);
    const hy_op_counts before = *hy_device_counts(trainer->device);
    assert_int_equal(hy_train_step(trainer, 1, 1, false, &result), HY_OK);
    *updated = result.skipped == HY_STEP_TAKEN;
    assert_true(*updated || (ranks > 1 && result.skipped == HY_STEP_NOT_FINITE));
    hy_op_counts counts = *hy_device_counts(trainer->device);
    for (int op = 0; op < HY_OP_COUNT; op++) {
        counts.calls[op] -= before.calls[op];
    }
    hy_trainer_destroy(trainer);
    hy_comm_destroy(world);
    return counts;
}

/* With the update, which is one launch per bucket. */
static void test_whole_step(void **unused) {
    static const char *const sets[] = {"data.sequence=61",    "data.eval_store=",       "data.batch=2",
                                       "train.accumulate=2",  "parallel.sequence=auto", "model.layers=2",
                                       "train.precision=bf16"};
    hy_config *config = calloc(1, sizeof *config);
    (void)unused;
    assert_non_null(config);
    for (int ranks = 1; ranks <= 3; ranks += 2) {
        assert_int_equal(
            hy_config_load(HY_TEST_DATA "/../../configs/quickstart.yaml", sets, sizeof sets / sizeof sets[0], config),
            HY_OK);
        bool updated;
        const hy_op_counts dry = train_one_step(config, "dry:cuda_host", ranks, &updated);
        const hy_op_counts run = train_one_step(config, "cuda_host", ranks, &updated);
        for (int op = 0; op < HY_OP_COUNT; op++) {
            if (run.calls[op] != dry.calls[op] && (updated || op != HY_OP_adamw)) {
                fail_msg("%s: %lld calls, dry counts %lld; %d ranks", hy_op_name((hy_op_id)op),
                         (long long)run.calls[op], (long long)dry.calls[op], ranks);
            }
        }
        assert_true(run.calls[HY_OP_adamw] > 0 || !updated);
        assert_int_equal(kernels[HY_OP_adamw], run.calls[HY_OP_adamw]);
    }
    free(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_mixer), cmocka_unit_test(test_hybrid),
                                       cmocka_unit_test(test_whole_step)};
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
