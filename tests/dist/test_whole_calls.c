/* ranks: 1 2 3 */
/* A device that likes its work whole against one that likes it cut, on as many tokens as it takes to cut it: the loss of a step and every gradient
 * on this rank, for mixers of every kind of exchange and every way of each. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "layers/mixers/mixer.h"
#include "layers/model.h"
#include "tests/dist/dist.h"

enum { TOKENS = 1501 };

static const int64_t documents[] = {0, 7, 1100, 1100, TOKENS};

typedef struct subject {
    const char *kind;
    int64_t vocab;
    bool same_loss; /* its bits: what cutting changes is the order in which gradients are summed */
    bool cut;       /* on two ranks, by any method */
} subject;

static const subject subjects[] = {
    {"attention", 37, true, true},      {"mla", 37, false, true}, /* products of fewer rows of a latent */
    {"gated_deltanet", 37, true, true}, {"log_linear_gated_deltanet", 37, true, false},
    {"conv_short", 37, true, false},    {"conv_long", 37, true, true},
    {"retention", 3000, false, true}}; /* tiles of the loss */

static void must(int ok, const char *what) {
    if (!ok) {
        (void)fprintf(stderr, "failed: %s\n", what);
        hy_comm_abort(1);
    }
}

static hy_model *model_of(const subject *s) {
    static hy_model_config config;
    hy_model *model = NULL;
    hy_model_config_init(&config);
    config.width = 64;
    config.vocab = s->vocab;
    config.mlp_width = 48;
    config.layers = config.n_pattern = config.n_mixers = 1;
    snprintf(config.pattern[0], HY_NAME_MAX, "%s", s->kind);
    hy_mixer_config_init(&config.mixers[0], s->kind);
    config.mixers[0].heads = hy_mixer_uses(hy_mixer_row_find(s->kind), "heads") ? 2 : HY_DEFAULT;
    must(hy_model_config_resolve(&config) == HY_OK && hy_model_create(&config, 1, &model) == HY_OK, s->kind);
    return model;
}

typedef struct outcome {
    double loss;
    float *grads;
    int64_t calls; /* of the device */
} outcome;

static void step_on(const hy_model *model, hy_comm *comm, const char *name, hy_sp_method method, const subject *s,
                    outcome *out) {
    const int64_t flat = hy_model_flat_size(model);
    hy_run_shape shape = {.method = method,
                          .sequence_size = hy_comm_size(comm),
                          .sequence_rank = hy_comm_rank(comm),
                          .n_seq = 1,
                          .len = TOKENS,
                          .dtype = HY_F32,
                          .recompute = HY_RECOMPUTE_BLOCK,
                          .train = true};
    static int32_t all[2][TOKENS], local[2][TOKENS];
    hy_device *device = NULL;
    hy_layout *layout = NULL;
    hy_runner *runner = NULL;
    float *params = NULL;
    must(hy_device_create(name, HY_F32, &device) == HY_OK, "device");
    must(hy_layout_create(method.layout, shape.sequence_size, shape.sequence_rank, 1, TOKENS, &layout) == HY_OK &&
             hy_layout_set_documents(layout, documents, 4) == HY_OK,
         "layout");
    must(HY_NEW("params", flat, &params) == HY_OK && HY_NEW("grads", flat, &out->grads) == HY_OK, "memory");
    hy_model_init_params(model, 3, HY_F32, params);
    for (int64_t i = 0; i < flat; i++) {
        params[i] += (float)(0.2 * hy_random_normal(5, 1, (uint64_t)i));
    }
    for (int t = 0; t < TOKENS; t++) {
        all[0][t] = (int32_t)(hy_random_u64(5, 2, (uint64_t)t) % (uint64_t)s->vocab);
        all[1][t] = t % 7 == 3 ? -100 : (int32_t)(hy_random_u64(5, 3, (uint64_t)t) % (uint64_t)s->vocab);
    }
    hy_layout_shard(layout, all[0], sizeof(int32_t), local[0]);
    hy_layout_shard(layout, all[1], sizeof(int32_t), local[1]);
    must(hy_runner_create(model, &shape, device, comm, params, out->grads, 0, &runner) == HY_OK, "runner");
    out->loss = 0;
    hy_runner_step(runner, &(hy_batch){layout, local[0], local[1]}, 1.0 / TOKENS, &out->loss, NULL, NULL);
    out->calls = 0;
    for (int op = 0; op < HY_OP_COUNT; op++) {
        out->calls += hy_device_counts(device)->calls[op];
    }
    hy_runner_destroy(runner);
    hy_device_destroy(device);
    hy_layout_destroy(layout);
    hy_free(params);
}

/* Largest error of any parameter's gradient, relative root mean square. */
static double worst(const hy_model *model, const float *got, const float *want, const char **where) {
    int64_t count;
    const hy_param *params = hy_model_params(model, &count);
    double result = 0;
    for (int64_t p = 0; p < count; p++) {
        double error = 0, size = 1e-30;
        for (int64_t i = params[p].offset; i < params[p].offset + params[p].size; i++) {
            const double difference = (double)got[i] - (double)want[i];
            error += difference * difference;
            size += (double)want[i] * (double)want[i];
        }
        if (!(sqrt(error / size) <= result)) {
            result = sqrt(error / size);
            *where = params[p].name;
        }
    }
    return result;
}

static void compare(hy_comm *world, const subject *s, hy_sp_method method) {
    hy_model *model = model_of(s);
    outcome cut, whole;
    const char *where = "";
    step_on(model, world, "cpu", method, s, &cut);
    step_on(model, world, "whole:cpu", method, s, &whole);
    const double error = worst(model, whole.grads, cut.grads, &where);
    CHECK(fabs(whole.loss - cut.loss) <= 1e-6 * fabs(cut.loss) && error <= 1e-5,
          "%s: loss %.9g, cut %.9g; gradient of %s off by %.3g; layout %d, state %d, attention %d", s->kind, whole.loss,
          cut.loss, where, error, (int)method.layout, (int)method.state, (int)method.attention);
    CHECK(whole.loss == cut.loss || !s->same_loss, "%s: loss %.17g, cut %.17g", s->kind, whole.loss, cut.loss);
    CHECK(whole.calls + (s->cut && hy_comm_size(world) == 2) <= cut.calls, "%s: %lld calls, cut %lld", s->kind,
          (long long)whole.calls, (long long)cut.calls);
    hy_free(cut.grads);
    hy_free(whole.grads);
    hy_model_destroy(model);
}

int main(int argc, char **argv) {
    hy_comm *world = NULL;
    must(hy_comm_world_create(&argc, &argv, &world) == HY_OK, "communicators");
    int64_t cases = 0;
    for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
        for (int mode = 0; mode < (hy_comm_size(world) > 1 ? 2 : 1); mode++) {
            compare(world, &subjects[i],
                    (hy_sp_method){.layout = mode & 1 ? HY_LAYOUT_ZIGZAG : HY_LAYOUT_CONTIGUOUS,
                                   .state = mode & 1 ? HY_STATE_RING : HY_STATE_ALLGATHER,
                                   .attention = mode & 1 ? HY_ATTENTION_ALLGATHER : HY_ATTENTION_RING,
                                   .overlap = mode & 1 ? HY_OVERLAP_SEEDED : HY_OVERLAP_SPLIT});
            cases++;
        }
    }
    return hy_test_finish(world, "whole calls", cases);
}
