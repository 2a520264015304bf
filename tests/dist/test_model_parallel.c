/* ranks: 1 2 3 4 7 */
/* A whole hybrid model in float64: loss and every gradient on P ranks equal those on one rank, for every layout,
 * exchange and recompute mode, on packed documents of a length that nothing divides, and with more ranks than tokens. A
 * damaged exchange must be noticed. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "layers/model.h"
#include "tests/dist/dist.h"

enum { VOCAB = 19 };

static void must(int ok, const char *what) {
    if (!ok) {
        fprintf(stderr, "failed: %s\n", what);
        hy_comm_abort(1);
    }
}

static hy_model_config hybrid(void) {
    hy_model_config config;
    hy_model_config_init(&config);
    config.width = 12;
    config.vocab = VOCAB;
    config.mlp_width = 10;
    const char *names[] = {"gated_deltanet", "gla", "attention", "retention", "deltanet", "windowed"};
    for (int i = 0; i < 6; i++) {
        hy_mixer_config *m = &config.mixers[config.n_mixers++];
        hy_mixer_config_init(m, names[i]);
        snprintf(config.pattern[config.n_pattern++], HY_NAME_MAX, "%s", names[i]);
        m->heads = 2;
        if (strcmp(names[i], "windowed") == 0) {
            snprintf(m->kind, sizeof(m->kind), "attention");
            m->window = 6;
            m->kv_heads = 1;
        }
        if (strcmp(names[i], "gated_deltanet") == 0) {
            m->head_dim = 4;
            m->value_heads = 4;
        }
    }
    config.layers = 6;
    must(hy_model_config_resolve(&config) == HY_OK, "resolve");
    return config;
}

typedef struct problem {
    int64_t n_seq, len, n_docs;
    const int64_t *docs;
} problem;

/* Loss and gradients, summed over the ranks of `comm`. */
static double run(const hy_model *model, hy_comm *comm, const problem *p, hy_run_shape shape, int broken,
                  double *params, double *grads) {
    hy_device *device;
    hy_comm *bound = NULL;
    hy_layout *layout = NULL;
    hy_runner *runner = NULL;
    int size = hy_comm_size(comm), rank = hy_comm_rank(comm);
    shape.sequence_size = size;
    shape.sequence_rank = rank;
    shape.n_seq = p->n_seq;
    shape.len = p->len;
    shape.dtype = HY_F64;
    shape.train = true;
    shape.head_tile = 7;
    must(hy_device_create(hy_test_device("cpu_ref"), HY_F64, &device) == HY_OK, "device");
    must(hy_comm_bind(comm, device, hy_test_transport(), &bound) == HY_OK, "communicator");
    must(hy_layout_create_cut(shape.method.layout, &shape.method.cuts, size, rank, p->n_seq, p->len, &layout) == HY_OK,
         "layout");
    must(hy_layout_set_documents(layout, p->docs, p->n_docs) == HY_OK, "documents");
    must(hy_runner_create(model, &shape, device, bound, params, grads, broken, &runner) == HY_OK, "runner");
    int32_t *all = NULL, *tokens = NULL, *labels = NULL;
    int64_t n = p->n_seq * p->len;
    must(HY_NEW("all", 2 * n + 1, &all) == HY_OK && HY_NEW("tokens", layout->T + 1, &tokens) == HY_OK &&
             HY_NEW("labels", layout->T + 1, &labels) == HY_OK,
         "memory");
    for (int64_t t = 0; t < n; t++) {
        all[t] = (int32_t)(hy_random_u64(5, 2, (uint64_t)t) % VOCAB);
        all[n + t] = t % 7 == 3 ? -100 : (int32_t)(hy_random_u64(5, 3, (uint64_t)t) % VOCAB);
    }
    hy_layout_shard(layout, all, sizeof(int32_t), tokens);
    hy_layout_shard(layout, all + n, sizeof(int32_t), labels);
    int64_t flat = hy_model_flat_size(model);
    memset(grads, 0, (size_t)flat * sizeof(double));
    double loss = 0;
    hy_runner_step(runner, &(hy_batch){layout, tokens, labels}, 1, &loss, NULL, NULL);
    hy_device_wait(device,
                   hy_device_mark(device, HY_LANE_COMPUTE)); /* parameters, gradients, loss are the test's own memory */
    hy_req req[2] = {{0}};
    hy_comm_all_reduce(comm, "loss", &loss, 1, HY_TYPE_F64, HY_SUM, &req[0]);
    hy_comm_all_reduce(comm, "gradients", grads, flat, HY_TYPE_F64, HY_SUM, &req[1]);
    hy_comm_wait_all(req, 2);
    hy_comm_destroy(bound);
    hy_runner_destroy(runner);
    hy_device_destroy(device);
    hy_layout_destroy(layout);
    hy_free(all);
    hy_free(tokens);
    hy_free(labels);
    return loss;
}

/* Largest error of any parameter's gradient relative to that gradient's largest element. */
static double worst(const hy_model *model, const double *a, const double *b, const char **where) {
    int64_t count;
    const hy_param *params = hy_model_params(model, &count);
    double result = 0;
    for (int64_t i = 0; i < count; i++) {
        double error = 0, scale = 0;
        for (int64_t j = params[i].offset; j < params[i].offset + params[i].size; j++) {
            error = fmax(error, fabs(a[j] - b[j]));
            scale = fmax(scale, fabs(b[j]));
        }
        double relative = error / (scale + 1e-12);
        if (!(relative <= result)) {
            result = relative;
            *where = params[i].name;
        }
    }
    return result;
}

int main(int argc, char **argv) {
    hy_comm *world = NULL, *self = NULL;
    must(hy_comm_world_create(&argc, &argv, &world) == HY_OK && hy_comm_self_create(&self) == HY_OK, "communicators");
    hy_model_config config = hybrid();
    hy_model *model = NULL;
    must(hy_model_create(&config, 1, &model) == HY_OK, "model");
    int64_t flat = hy_model_flat_size(model);
    double *params = NULL, *one = NULL, *many = NULL;
    must(HY_NEW("params", flat, &params) == HY_OK && HY_NEW("one", flat, &one) == HY_OK &&
             HY_NEW("many", flat, &many) == HY_OK,
         "memory");
    hy_model_init_params(model, 3, HY_F64, params);
    for (int64_t i = 0; i < flat; i++) {
        params[i] += 0.2 * hy_random_normal(5, 1, (uint64_t)i);
    }
    const problem problems[] = {{1, 53, 1, (const int64_t[]){0, 53}},
                                {1, 53, 6, (const int64_t[]){0, 1, 17, 17, 26, 40, 53}},
                                {2, 31, 4, (const int64_t[]){0, 5, 31, 50, 62}},
                                {1, 3, 1, (const int64_t[]){0, 3}}};
    int failures = 0, states = 0, attentions = 0;
    while (hy_state_exchange_names[states]) {
        states++;
    }
    while (hy_attention_method_names[attentions]) {
        attentions++;
    }
    for (int p = 0; p < 4; p++) {
        double expected = run(model, self, &problems[p], (hy_run_shape){0}, 0, params, one);
        for (int mode = 0; mode < 12; mode++) {
            hy_run_shape shape = {.method = {.layout = mode & 1 ? HY_LAYOUT_ZIGZAG : HY_LAYOUT_CONTIGUOUS,
                                             .state = (hy_state_exchange)((mode / 2 + p) % states),
                                             .attention = (hy_attention_method)((mode / 2 + 2 * p) % attentions),
                                             .overlap = mode & 2 ? HY_OVERLAP_SEEDED : HY_OVERLAP_SPLIT,
                                             .node = 2},
                                  .recompute = mode & 4 ? HY_RECOMPUTE_LIGHT : HY_RECOMPUTE_BLOCK,
                                  .offload = mode & 2 ? HY_OFFLOAD_HOST : HY_OFFLOAD_NONE};
            shape.method.cuts = (hy_cuts){.n = mode % 3 ? hy_comm_size(world) : 0, .each = {3, 1, 7, 2, 1, 5, 4}};
            const char *where = "";
            double loss = run(model, world, &problems[p], shape, 0, params, many),
                   error = worst(model, many, one, &where);
            if (!(fabs(loss - expected) <= 1e-11 * fabs(expected)) || !(error <= 1e-9)) {
                failures++;
                if (hy_comm_rank(world) == 0) {
                    fprintf(stderr, "problem %d mode %d: loss %.15g, expected %.15g; gradient of %s off by %.3g\n", p,
                            mode, loss, expected, where, error);
                }
            }
            if (p == 0 && hy_comm_size(world) > 1) {
                run(model, world, &problems[p], shape, 1, params, many);
                if (worst(model, many, one, &where) <= 1e-6) {
                    failures++;
                    fprintf(stderr, "mode %d: a damaged exchange went unnoticed\n", mode);
                }
            }
        }
    }
    hy_free(params);
    hy_free(one);
    hy_free(many);
    hy_model_destroy(model);
    hy_comm_destroy(self);
    hy_comm_destroy(world);
    return failures > 0;
}
