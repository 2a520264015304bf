/* How RWKV's parameters start: by channel and by depth. Counts of parameters against a sum by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "layers/model.h"

enum { LAYERS = 3, WIDTH = 48, VOCAB = 96, K = 16 };

static hy_model *model;
static double *values;

/* A model of one kind; its initial parameters are in `values`. */
static void open_model(const char *kind) {
    static hy_model_config config;
    hy_model_config_init(&config);
    config.layers = LAYERS;
    config.width = WIDTH;
    config.vocab = VOCAB;
    config.norm = HY_NORM_LAYER;
    config.n_pattern = config.n_mixers = 1;
    hy_mixer_config_init(&config.mixers[0], kind);
    config.mixers[0].heads = WIDTH / K;
    config.mixers[0].head_dim = K;
    snprintf(config.pattern[0], HY_NAME_MAX, "%s", kind);
    assert_int_equal(hy_model_config_resolve(&config), HY_OK);
    assert_int_equal(hy_model_create(&config, 1, &model), HY_OK);
    assert_int_equal(HY_NEW("values", hy_model_flat_size(model), &values), HY_OK);
    hy_model_init_params(model, 1, HY_F64, values);
}

static void close_model(void) {
    hy_free(values);
    hy_model_destroy(model);
}

static const double *values_of(const char *name) {
    int64_t n;
    const hy_param *params = hy_model_params(model, &n);
    for (int64_t i = 0; i < n; i++)
        if (strcmp(params[i].name, name) == 0)
            return values + params[i].offset;
    fail_msg("no parameter %s", name);
    return NULL;
}

static void assert_near(double got, double want) {
    if (!(fabs(got - want) < 1e-12))
        fail_msg("%.15g, wanted %.15g", got, want);
}

/* Layer 1 of 3: 2/3 of the way is left, half of it is gone. */
static void test_rwkv7_starts(void **state) {
    (void)state;
    open_model("rwkv7");
    const double left = 2.0 / 3, n = 21, y = n / (WIDTH - 1) - 0.5, s = 2.0 * 5 / (K - 1) - 1, z = s * fabs(s);
    assert_near(values_of("model.layers.1.attn.x_r")[21], 1 - pow(n / WIDTH, 0.2 * left));
    assert_near(values_of("model.layers.1.attn.x_w")[21], 1 - pow(n / WIDTH, 0.9 * left));
    assert_near(values_of("model.layers.1.attn.x_v")[21], 1 - pow(n / WIDTH, 0.7 * left));
    assert_near(values_of("model.layers.1.attn.x_v")[0], 1);
    assert_near(values_of("model.layers.1.ffn.x_k")[21], 1 - pow(n / WIDTH, pow(left, 4)));
    assert_near(values_of("model.layers.1.attn.w_lora.lora.2.bias")[21],
                -5.5 + 6 * pow(n / (WIDTH - 1), 1 + pow(0.5, 0.3)) + 2.5 * z);
    assert_near(values_of("model.layers.1.attn.a_lora.lora.2.bias")[21], -0.19 + 0.3 * z + 0.4 * y);
    assert_near(values_of("model.layers.1.attn.v_lora.lora.2.bias")[21], 0.73 - 0.4 * y);
    assert_near(values_of("model.layers.1.attn.k_k")[21], 0.71 - 0.1 * y);
    assert_near(values_of("model.layers.1.attn.k_a")[21], 1.02);
    assert_near(values_of("model.layers.1.attn.r_k")[21], -0.04);
    assert_near(values_of("model.layers.1.attn.g_norm.weight")[21], pow(left, 0.7));
    assert_near(values_of("model.layers.1.attn.o_proj.weight")[21], 0);
    assert_near(values_of("model.layers.1.ffn.value.weight")[21], 0);
    assert_near(values_of("model.layers.1.attn.g_lora.lora.0.weight")[21], 0);
    const double *head = values_of("lm_head.weight"), *k = values_of("model.layers.1.attn.k_proj.weight");
    double column = 0, row = 0;
    for (int i = 0; i < VOCAB; i++)
        column += head[i * WIDTH + 7] * head[i * WIDTH + 7];
    for (int i = 0; i < WIDTH; i++)
        row += k[7 * WIDTH + i] * k[7 * WIDTH + i];
    assert_near(column, 0.25 * VOCAB / WIDTH);
    assert_near(row, 0.01);
    for (int i = 0; i < VOCAB * WIDTH; i++)
        assert_true(fabs(values_of("model.embeddings.weight")[i]) <= 1e-4);
    close_model();
}

static void test_rwkv6_starts(void **state) {
    (void)state;
    open_model("rwkv6");
    double largest = 0;
    for (int i = 0; i < WIDTH * WIDTH; i++)
        largest = fmax(largest, fabs(values_of("model.layers.0.attn.r_proj.linear.weight")[i]));
    const double bound = exp2(-2.5) * sqrt(6.0 / (2 * WIDTH));
    assert_true(largest <= bound && largest > 0.95 * bound);
    assert_near(values_of("model.layers.0.attn.bonus")[3], 0);
    assert_near(values_of("model.layers.0.attn.w_proj.linear.lora.2.bias")[3], 0);
    close_model();
}

/* Ranks by default: 32 for all but wide models. With D = 48, K = V = 16, H = 3: a block has two norms, four projections, four chains, six
 * mixtures and three vectors of weights, an output norm, and an MLP of width 192. */
static void test_counts(void **state) {
    (void)state;
    open_model("rwkv7");
    const int64_t D = WIDTH, rank = 32, mlp = 192, chain = 2 * D * rank, norms = 2 * 2 * D;
    const int64_t block = norms + 4 * D * D + (3 * (chain + D) + chain) + 6 * D + 3 * D + 2 * D + D + 2 * D * mlp;
    const int64_t first = block - (chain + D); /* has no share of the first layer's values */
    assert_int_equal(hy_model_parameter_count(model), 2 * VOCAB * D + 2 * D + first + (LAYERS - 1) * block);
    close_model();
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rwkv7_starts), cmocka_unit_test(test_rwkv6_starts),
                                       cmocka_unit_test(test_counts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
