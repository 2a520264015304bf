/* Gated convolutions as config keys: parameters by hand, where they start, what the layers cost and send, what is
 * refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "layers/model.h"
#include "layers/model_config_keys.h"
#include "tests/unit/capture.h"

static hy_status load(const char *yaml, hy_model_config *config) {
    hy_model_config_init(config);
    assert_int_equal(hy_schema_parse(&hy_model_schema, config, "test", yaml, strlen(yaml), NULL), HY_OK);
    return hy_model_config_resolve(config);
}

static hy_model *make(const char *yaml) {
    hy_model_config *config = calloc(1, sizeof *config);
    hy_model *model = NULL;
    assert_non_null(config);
    assert_int_equal(load(yaml, config), HY_OK);
    assert_int_equal(hy_model_create(config, 1, &model), HY_OK);
    free(config);
    return model;
}

static const hy_param *find(const hy_model *model, const char *name) {
    int64_t n;
    const hy_param *params = hy_model_params(model, &n);
    for (int64_t i = 0; i < n; i++)
        if (strcmp(params[i].name, name) == 0)
            return &params[i];
    fail_msg("no parameter %s", name);
    return NULL;
}

static const char *const three =
    "{layers: 4, width: 48, vocab: 11, mlp: {width: 24}, schedule: {pattern: [conv_short, conv_medium, conv_long, "
    "learned]}, mixers: {learned: {kind: conv_medium, learned_decay: true, filter_groups: 6, conv: 0}}}";

/* Width 48: 16 channels share a filter, so 3 filters; the long one has 48 of 16 exponentials. */
static void test_parameters(void **unused) {
    (void)unused;
    hy_model *model = make(three);
    const int64_t D = 48, outside = 2 * 11 * D + D, block = 2 * D + 3 * D * 24 + 4 * D * D, narrow = 3 * 3 * D;
    assert_int_equal(hy_model_parameter_count(model),
                     outside + 4 * block + 3 * narrow + 3 * 7 + 3 * 128 + 2 * 48 * 16 + 6 * 128 + 6);
    assert_false(find(model, "model.layers.2.attn.filter.R")->decay);
    assert_false(find(model, "model.layers.2.attn.filter.p")->decay);
    assert_false(find(model, "model.layers.3.attn.filter.log_alpha")->decay);
    hy_model_destroy(model);
}

static double rms(const double *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sqrt(sum / (double)n);
}

/* Random sizes within 15% of what docs/mixers.md says, the sweep of α exactly, every time constant in its range. */
static void test_start(void **unused) {
    (void)unused;
    hy_model *model = make(three);
    double *flat = NULL;
    assert_int_equal(HY_NEW("flat", hy_model_flat_size(model), &flat), HY_OK);
    hy_model_init_params(model, 1, HY_F64, flat);
    const hy_param *alpha = find(model, "model.layers.3.attn.filter.log_alpha");
    assert_true(fabs(flat[alpha->offset] - log(0.1)) < 1e-12 && fabs(flat[alpha->offset + 5] - log(100)) < 1e-12);
    const hy_param *h = find(model, "model.layers.1.attn.filter.h"), *R = find(model, "model.layers.2.attn.filter.R");
    const hy_param *w = find(model, "model.layers.0.attn.k_conv1d.weight"),
                   *p = find(model, "model.layers.2.attn.filter.p");
    assert_true(fabs(rms(flat + h->offset, h->size) * sqrt(128) - 1) < 0.15);
    assert_true(fabs(rms(flat + R->offset, R->size) * sqrt(16) - 0.1) < 0.015);
    assert_true(fabs(rms(flat + w->offset, w->size) * sqrt(3) - 1) < 0.15);
    for (int64_t i = 0; i < p->size; i++) {
        const double rate = log1p(exp(flat[p->offset + i]));
        assert_true(rate > 0.99e-3 && rate < 1.01e-1);
    }
    hy_free(flat);
    hy_model_destroy(model);
}

/* One sequence of 40 tokens on 4 ranks. */
static void test_layer_info(void **unused) {
    (void)unused;
    hy_model *model = make(three);
    hy_layer_info info;
    const hy_run_shape shape = {.sequence_size = 4, .n_seq = 1, .len = 40, .dtype = HY_F32, .train = true};
    hy_model_layer_info(model, &shape, 0, &info);
    assert_string_equal(info.method, "halo");
    const double projections = 2.0 * 40 * (4 * 48 * 48 + 3 * 48 * 24);
    assert_true(info.flops_fwd == projections + 2.0 * 40 * 48 * (3 * 3 + 7));
    hy_model_layer_info(model, &shape, 2, &info);
    assert_string_equal(info.method, "channel all-to-all");
    hy_model_destroy(model);
}

static void test_refusals(void **unused) {
    (void)unused;
    static const struct {
        const char *kind, *key, *names;
    } bad[] = {
        {"conv_medium", "filter_groups: 5", "filter_groups"},
        {"conv_long", "filter_width: 9", "filter_width"},
        {"conv_short", "learned_decay: true", "learned_decay"},
        {"conv_short", "filter_width: 0", "filter_width"},
        {"conv_long", "window: 4", "window"},
    };
    hy_model_config *config = calloc(1, sizeof *config);
    assert_non_null(config);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char yaml[256];
        snprintf(yaml, sizeof yaml, "{layers: 1, width: 16, vocab: 11, schedule: {pattern: [%s]}, mixers: {%s: {%s}}}",
                 bad[i].kind, bad[i].kind, bad[i].key);
        capture_begin();
        const hy_status status = load(yaml, config);
        const char *text = capture_end();
        assert_int_equal(status, HY_ERR_USAGE);
        assert_contains(text, bad[i].names);
    }
    free(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_start),
        cmocka_unit_test(test_layer_info),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
