/* ranks: 1 2 4 */
/* Every mixer in a model of two layers, in bf16 on P ranks against the same model in float64 on one, its matrices rounded to bf16: what is compared
 * is what the roundings of activations do. Packed documents, both layouts and all exchanges; log decays from 0 to where nothing is left.
 * And P ranks against one rank, both in bf16: they round in other places, so they agree as each agrees with float64, not closer. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "layers/mixers/mixer.h"
#include "layers/model.h"
#include "tests/dist/dist.h"

enum { VOCAB = 37, WIDTH = 32, TOKENS = 101 };

static const int64_t documents[] = {0, 1, 30, 30, 77, TOKENS};

static void must(int ok, const char *what) {
    if (!ok) {
        (void)fprintf(stderr, "failed: %s\n", what);
        hy_comm_abort(1);
    }
}

static hy_model *model_of(const char *kind) {
    hy_model_config *config = NULL;
    hy_model *model = NULL;
    must(HY_NEW("config", 1, &config) == HY_OK, "memory");
    hy_model_config_init(config);
    config->width = WIDTH;
    config->vocab = VOCAB;
    config->mlp_width = 48;
    config->layers = 2;
    config->n_pattern = config->n_mixers = 1;
    snprintf(config->pattern[0], HY_NAME_MAX, "%s", kind);
    hy_mixer_config_init(&config->mixers[0], kind);
    config->mixers[0].heads = hy_mixer_uses(hy_mixer_row_find(kind), "heads") ? 2 : HY_DEFAULT;
    config->mixers[0].value_dim = strstr(kind, "mamba2") ? 16 : HY_DEFAULT;
    must(hy_model_config_resolve(config) == HY_OK && hy_model_create(config, 1, &model) == HY_OK, kind);
    hy_free(config);
    return model;
}

/* What a run gives: logits of all tokens in global order, gradients, in double. */
typedef struct result {
    double *logits, *grads;
} result;

static result new_result(int64_t flat) {
    result r = {NULL, NULL};
    must(HY_NEW("logits", TOKENS * VOCAB, &r.logits) == HY_OK && HY_NEW("grads", flat, &r.grads) == HY_OK, "memory");
    return r;
}

static void free_result(result *r) {
    hy_free(r->logits);
    hy_free(r->grads);
}

static void sum(hy_comm *comm, double *x, int64_t n) {
    hy_req req = {0};
    hy_comm_all_reduce(comm, "sum", x, n, HY_TYPE_F64, HY_SUM, &req);
    hy_comm_wait(&req);
}

static double number(hy_dtype type, const void *x, int64_t i) {
    return type == HY_F64 ? ((const double *)x)[i] : (double)((const float *)x)[i];
}

typedef struct bench {
    hy_device *device;
    hy_layout *layout;
    hy_dtype stat;
    void *params, *grads, *logits;
    int32_t *tokens, *labels;
} bench;

static void open_bench(bench *b, const hy_model *model, hy_comm *comm, hy_layout_kind kind, hy_dtype dtype,
                       const float *masters) {
    const int64_t flat = hy_model_flat_size(model);
    int32_t all[2][TOKENS];
    b->stat = hy_dtype_of(dtype, HY_ROLE_STAT);
    must(hy_device_create(dtype == HY_F64 ? "cpu_ref" : "cpu", dtype, &b->device) == HY_OK, "device");
    must(hy_layout_create(kind, hy_comm_size(comm), hy_comm_rank(comm), 1, TOKENS, &b->layout) == HY_OK, "layout");
    must(hy_layout_set_documents(b->layout, documents, 5) == HY_OK, "documents");
    const size_t stat = hy_dtype_size(b->stat);
    void *wide = NULL;
    must(hy_alloc("params", (size_t)hy_model_compute_offset(model, dtype, flat), &b->params) == HY_OK &&
             hy_alloc("wide", (size_t)flat * stat, &wide) == HY_OK &&
             hy_alloc("grads", (size_t)flat * stat, &b->grads) == HY_OK &&
             hy_alloc("logits", (size_t)(b->layout->T * VOCAB + 1) * stat, &b->logits) == HY_OK &&
             HY_NEW("tokens", b->layout->T + 1, &b->tokens) == HY_OK &&
             HY_NEW("labels", b->layout->T + 1, &b->labels) == HY_OK,
         "memory");
    for (int64_t i = 0; i < flat; i++) {
        if (b->stat == HY_F64) {
            ((double *)wide)[i] = (double)masters[i];
        } else {
            ((float *)wide)[i] = masters[i];
        }
    }
    must(hy_model_write_params(model, b->device, wide, b->params) == HY_OK, "parameters");
    hy_free(wide);
    for (int t = 0; t < TOKENS; t++) {
        all[0][t] = (int32_t)(hy_random_u64(5, 2, (uint64_t)t) % VOCAB);
        all[1][t] = t % 7 == 3 ? -100 : (int32_t)(hy_random_u64(5, 3, (uint64_t)t) % VOCAB);
    }
    hy_layout_shard(b->layout, all[0], sizeof(int32_t), b->tokens);
    hy_layout_shard(b->layout, all[1], sizeof(int32_t), b->labels);
}

static void close_bench(bench *b) {
    hy_device_destroy(b->device);
    hy_layout_destroy(b->layout);
    hy_free(b->params);
    hy_free(b->grads);
    hy_free(b->logits);
    hy_free(b->tokens);
    hy_free(b->labels);
}

static void run(const hy_model *model, hy_comm *comm, hy_run_shape shape, hy_dtype dtype, const float *masters,
                result *r) {
    bench b = {0};
    const int64_t flat = hy_model_flat_size(model);
    double loss = 0;
    open_bench(&b, model, comm, shape.method.layout, dtype, masters);
    const hy_batch batch = {b.layout, b.tokens, b.labels};
    shape.sequence_size = hy_comm_size(comm);
    shape.sequence_rank = hy_comm_rank(comm);
    shape.n_seq = 1;
    shape.len = TOKENS;
    shape.dtype = dtype;
    for (int train = 0; train < 2; train++) {
        hy_runner *runner = NULL;
        shape.train = train;
        must(hy_runner_create(model, &shape, b.device, comm, b.params, train ? b.grads : NULL, 0, &runner) == HY_OK,
             "runner");
        if (train) {
            hy_runner_step(runner, &batch, 1.0 / TOKENS, &loss, NULL, NULL);
        } else {
            hy_runner_eval(runner, &batch, &loss, &(hy_eval_rows){.logits = b.logits});
        }
        hy_runner_destroy(runner);
    }
    memset(r->logits, 0, sizeof(double) * TOKENS * VOCAB);
    for (int64_t t = 0; t < b.layout->T; t++) {
        for (int64_t c = 0; c < VOCAB; c++) {
            r->logits[b.layout->pos[t] * VOCAB + c] = number(b.stat, b.logits, t * VOCAB + c);
        }
    }
    for (int64_t i = 0; i < flat; i++) {
        r->grads[i] = number(b.stat, b.grads, i);
    }
    sum(comm, r->logits, TOKENS * VOCAB);
    sum(comm, r->grads, flat);
    close_bench(&b);
}

/* Relative root-mean-square error; infinite where something is not finite. */
static double error_of(const double *got, const double *want, int64_t n) {
    double off = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        off += (got[i] - want[i]) * (got[i] - want[i]);
        size += want[i] * want[i];
    }
    return !isfinite(off) ? (double)INFINITY : off == 0 ? 0 : sqrt(off / (size + 1e-300));
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_error(const hy_model *model, const result *got, const result *want) {
    double errors[256];
    int64_t count;
    const hy_param *params = hy_model_params(model, &count);
    must(count <= 256, "room for errors");
    for (int64_t i = 0; i < count; i++) {
        errors[i] = error_of(got->grads + params[i].offset, want->grads + params[i].offset, params[i].size);
        CHECK(isfinite(errors[i]), "gradient of %s is not finite", params[i].name);
    }
    qsort(errors, (size_t)count, sizeof errors[0], ascending);
    return errors[count / 2];
}

/* Matrices as bf16 has them; with `extreme`, decays that leave nothing and decays that keep all. */
static void start(const hy_model *model, int extreme, float *masters) {
    int64_t count;
    const hy_param *params = hy_model_params(model, &count);
    hy_model_init_params(model, 3, HY_F32, masters);
    for (int64_t p = 0; p < count; p++) {
        float *w = masters + params[p].offset;
        const int decays = strstr(params[p].name, "A_log") || strstr(params[p].name, "dt_bias") ||
                           strstr(params[p].name, "gk_proj.1.bias") ||
                           strstr(params[p].name, "w_proj.linear.lora.2.bias");
        for (int64_t i = 0; i < params[p].size; i++) {
            w[i] += 0.05F * (float)hy_random_normal(5, hy_random_stream(params[p].name), (uint64_t)i);
            w[i] = params[p].role == HY_ROLE_WEIGHT ? hy_bf16_value(hy_bf16_of(w[i])) : w[i];
            if (extreme && decays) {
                w[i] = i % 3 == 0 ? -30.0F : i % 3 == 1 ? 4.0F : w[i];
            }
        }
    }
}

typedef struct bounds {
    double logits, grads;
} bounds;

/* rebased is not for bf16 (docs/numerics.md): its numbers are finite, no more. rwkv6 reaches 7e-2 with these parameters, 3e-2 in the
 * stored model. */
static bounds bounds_of(const char *kind) {
    return strcmp(kind, "rebased") == 0 ? (bounds){0.2, 5}
           : strcmp(kind, "rwkv6") == 0 ? (bounds){2e-2, 0.1}
                                        : (bounds){2e-2, 5e-2};
}

static void check_kind(const char *kind, hy_comm *world, hy_comm *self, int extreme) {
    hy_model *model = model_of(kind);
    const int64_t flat = hy_model_flat_size(model);
    float *masters = NULL;
    result exact = new_result(flat), one = new_result(flat), many = new_result(flat);
    must(HY_NEW("masters", flat, &masters) == HY_OK, "memory");
    start(model, extreme, masters);
    run(model, self, (hy_run_shape){.method = {.overlap = HY_OVERLAP_SEEDED}}, HY_F64, masters, &exact);
    run(model, self, (hy_run_shape){.method = {.overlap = HY_OVERLAP_SEEDED}}, HY_BF16, masters, &one);
    for (int mode = 0; mode < 2; mode++) {
        const hy_run_shape shape = {.method = {.layout = mode ? HY_LAYOUT_ZIGZAG : HY_LAYOUT_CONTIGUOUS,
                                               .state = mode ? HY_STATE_RING : HY_STATE_ALLGATHER,
                                               .attention = mode ? HY_ATTENTION_ALLGATHER : HY_ATTENTION_RING,
                                               .overlap = mode ? HY_OVERLAP_SEEDED : HY_OVERLAP_SPLIT},
                                    .recompute = mode ? HY_RECOMPUTE_BLOCK : HY_RECOMPUTE_NONE,
                                    .head_tile = 11};
        run(model, world, shape, HY_BF16, masters, &many);
        const double logits = error_of(many.logits, exact.logits, TOKENS * VOCAB),
                     grads = median_error(model, &many, &exact),
                     apart = error_of(many.logits, one.logits, TOKENS * VOCAB);
        if (hy_comm_rank(world) == 0) {
            (void)printf("%-26s %s mode %d: logits %.1e, gradients %.1e; against one rank %.1e\n", kind,
                         extreme ? "extreme" : "plain  ", mode, logits, grads, apart);
        }
        const bounds limits = bounds_of(kind);
        CHECK(logits <= limits.logits, "%s, mode %d: %g", kind, mode, logits);
        CHECK(grads <= limits.grads, "%s, mode %d: %g", kind, mode, grads);
        CHECK(apart <= limits.logits, "%s, mode %d: %g", kind, mode, apart);
    }
    free_result(&exact);
    free_result(&one);
    free_result(&many);
    hy_free(masters);
    hy_model_destroy(model);
}

int main(int argc, char **argv) {
    hy_comm *world = NULL, *self = NULL;
    must(hy_comm_world_create(&argc, &argv, &world) == HY_OK && hy_comm_self_create(&self) == HY_OK, "communicators");
    int64_t cases = 0;
    for (int i = 0; hy_mixer_row_at(i); i++) {
        check_kind(hy_mixer_row_at(i)->kind, world, self, 0);
        cases += 2;
    }
    static const char *const decaying[] = {"gated_deltanet", "kda", "gla", "mamba2", "rwkv6", "log_linear_mamba2"};
    for (int i = 0; i < (int)(sizeof decaying / sizeof decaying[0]); i++) {
        check_kind(decaying[i], world, self, 1);
        cases += 2;
    }
    hy_comm_destroy(self);
    return hy_test_finish(world, "models in bf16", cases);
}
