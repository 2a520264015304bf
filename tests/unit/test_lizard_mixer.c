/* Lizard against its definition, written down token by token: a model of one such layer and nothing else but norms,
 * embedding and head, on packed documents. The linear part is summed over pairs of tokens, without a state. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "layers/model.h"

enum { T = 33, VOCAB = 11, WIDTH = 12, H = 4, HKV = 2, D = 5, V = 3, F = 6, WINDOW = 7, SINKS = 2 };

static const int64_t docs[] = {0, 1, 14, 14, T};
static double emb[T][WIDTH], normed[T][WIDTH], q[T][H * D], k[T][HKV * D], v[T][HKV * V], gate[T][1], mixed[T][H * V],
    out[T][WIDTH];

static hy_model *model;
static double *params;

static const double *weight(const char *name) {
    int64_t count;
    const hy_param *all = hy_model_params(model, &count);
    for (int64_t i = 0; i < count; i++) {
        if (strcmp(all[i].name, name) == 0) {
            return params + all[i].offset;
        }
    }
    fail_msg("no parameter %s", name);
    return NULL;
}

static const double *mixer_weight(const char *name) {
    char full[128];
    snprintf(full, sizeof(full), "model.layers.0.attn.%s", name);
    return weight(full);
}

static void product(const double *x, int64_t in, const double *w, int64_t rows, double *y) {
    for (int64_t r = 0; r < rows; r++) {
        y[r] = 0;
        for (int64_t c = 0; c < in; c++) {
            y[r] += w[r * in + c] * x[c];
        }
    }
}

static void rmsnorm(const double *x, const double *w, double *y) {
    double sum = 0;
    for (int c = 0; c < WIDTH; c++) {
        sum += x[c] * x[c];
    }
    for (int c = 0; c < WIDTH; c++) {
        y[c] = x[c] / sqrt(sum / WIDTH + 1e-6) * w[c];
    }
}

/* φ(a)·φ(b) */
static double similarity(const double *a, const double *b) {
    double total = 0, x[F], y[F];
    product(a, D, mixer_weight("feature_map.weight"), F, x);
    product(b, D, mixer_weight("feature_map.weight"), F, y);
    for (int sign = -1; sign <= 1; sign += 2) {
        double dot = 0, sum_x = 0, sum_y = 0;
        for (int i = 0; i < F; i++) {
            dot += exp(sign * (x[i] + y[i]));
            sum_x += exp(sign * x[i]);
            sum_y += exp(sign * y[i]);
        }
        total += dot / sum_x / sum_y;
    }
    return total;
}

/* Output of head h at token t of a document that starts at `start`. */
static void mix(int64_t t, int64_t start, int h, double *o) {
    const int kh = h / (H / HKV);
    double far[V] = {0}, near[V] = {0}, z = 0, weights = 0, decay = 1;
    for (int n = 0; n < SINKS; n++) {
        weights += exp(mixer_weight("sinks")[h * SINKS + n]);
    }
    for (int64_t s = t; s >= start; s--) {
        double score = 0;
        const double far_weight = decay * similarity(&q[t][h * D], &k[s][kh * D]);
        for (int c = 0; c < D; c++) {
            score += q[t][h * D + c] * k[s][kh * D + c];
        }
        const double near_weight = t - s < WINDOW ? exp(score / sqrt((double)D)) : 0;
        z += far_weight;
        weights += near_weight;
        for (int c = 0; c < V; c++) {
            far[c] += far_weight * v[s][kh * V + c];
            near[c] += near_weight * v[s][kh * V + c];
        }
        decay /= 1 + exp(-gate[s][0]);
    }
    for (int c = 0; c < V; c++) {
        o[c] = far[c] / z + mixer_weight("alpha")[0] * near[c] / weights;
    }
}

static void forward(const int32_t *tokens, double logits[T][VOCAB]) {
    for (int64_t t = 0, start = 0; t < T; t++) {
        for (size_t d = 0; d < sizeof docs / sizeof docs[0]; d++) {
            start = docs[d] == t ? t : start;
        }
        memcpy(emb[t], weight("model.embeddings.weight") + (int64_t)tokens[t] * WIDTH, sizeof emb[t]);
        rmsnorm(emb[t], weight("model.layers.0.attn_norm.weight"), normed[t]);
        product(normed[t], WIDTH, mixer_weight("q_proj.weight"), H * D, q[t]);
        product(normed[t], WIDTH, mixer_weight("k_proj.weight"), HKV * D, k[t]);
        product(normed[t], WIDTH, mixer_weight("v_proj.weight"), HKV * V, v[t]);
        product(normed[t], WIDTH, mixer_weight("gate_proj.weight"), 1, gate[t]);
        for (int h = 0; h < H; h++) {
            mix(t, start, h, &mixed[t][h * V]);
        }
        product(mixed[t], H * V, mixer_weight("o_proj.weight"), WIDTH, out[t]);
        for (int c = 0; c < WIDTH; c++) {
            out[t][c] += emb[t][c];
        }
        rmsnorm(out[t], weight("model.norm.weight"), normed[t]);
        product(normed[t], WIDTH, weight("lm_head.weight"), VOCAB, logits[t]);
    }
}

static hy_model_config one_layer(void) {
    hy_model_config config;
    hy_model_config_init(&config);
    config.width = WIDTH;
    config.vocab = VOCAB;
    config.layers = config.n_pattern = config.n_mixers = 1;
    snprintf(config.pattern[0], HY_NAME_MAX, "lizard");
    hy_mixer_config *m = &config.mixers[0];
    hy_mixer_config_init(m, "lizard");
    m->heads = H;
    m->kv_heads = HKV;
    m->head_dim = D;
    m->value_dim = V;
    m->feature_dim = F;
    m->window = WINDOW;
    m->sinks = SINKS;
    m->mlp = HY_SWITCH_OFF;
    assert_int_equal(hy_model_config_resolve(&config), HY_OK);
    return config;
}

static void test_definition(void **unused) {
    (void)unused;
    static double got[T][VOCAB], want[T][VOCAB];
    const hy_model_config config = one_layer();
    hy_device *device;
    hy_comm *comm;
    hy_layout *layout;
    hy_runner *runner;
    int32_t tokens[T], labels[T] = {0};
    double loss = 0;
    assert_int_equal(hy_model_create(&config, 1, &model), HY_OK);
    assert_int_equal(HY_NEW("params", hy_model_flat_size(model), &params), HY_OK);
    hy_model_init_params(model, 1, HY_F64, params);
    for (int64_t i = 0; i < hy_model_flat_size(model); i++) {
        params[i] += 0.5 * hy_random_normal(1, 1, (uint64_t)i);
    }
    for (int t = 0; t < T; t++) {
        tokens[t] = (int32_t)(hy_random_u64(1, 2, (uint64_t)t) % VOCAB);
    }
    assert_int_equal(hy_device_create("cpu_ref", HY_F64, &device), HY_OK);
    assert_int_equal(hy_comm_self_create(&comm), HY_OK);
    assert_int_equal(hy_layout_create(HY_LAYOUT_CONTIGUOUS, 1, 0, 1, T, &layout), HY_OK);
    assert_int_equal(hy_layout_set_documents(layout, docs, sizeof docs / sizeof docs[0] - 1), HY_OK);
    const hy_run_shape shape = {.sequence_size = 1, .n_seq = 1, .len = T, .dtype = HY_F64};
    assert_int_equal(hy_runner_create(model, &shape, device, comm, params, NULL, 0, &runner), HY_OK);
    hy_runner_eval(runner, &(hy_batch){layout, tokens, labels}, &loss, &(hy_eval_rows){.logits = got});
    forward(tokens, want);
    for (int t = 0; t < T; t++) {
        for (int c = 0; c < VOCAB; c++) {
            if (!(fabs(got[t][c] - want[t][c]) <= 1e-11 * (1 + fabs(want[t][c])))) {
                fail_msg("logits[%d,%d] = %.15g, want %.15g", t, c, got[t][c], want[t][c]);
            }
        }
    }
    hy_runner_destroy(runner);
    hy_device_destroy(device);
    hy_layout_destroy(layout);
    hy_comm_destroy(comm);
    hy_model_destroy(model);
    hy_free(params);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_definition)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
