/* Every mixer of the table in float32, trained one step where its parameters are extreme: matrices forty times as large as at the start,
 * decays that forget all within a token, decays that forget nothing. Loss and gradients stay finite. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "layers/mixers/mixer.h"
#include "layers/model.h"

enum { TOKENS = 150, VOCAB = 23, WIDTH = 32 };

typedef enum extreme { EXTREME_LARGE, EXTREME_FORGETFUL, EXTREME_MINDFUL } extreme;

/* A_log = 5: −exp(5)·softplus(x + 1) is below −190. A_log = −80: exactly 0 behind the exponential. */
static void make_extreme(const hy_model *model, extreme how, float *flat) {
    int64_t n;
    const hy_param *params = hy_model_params(model, &n);
    for (int64_t p = 0; p < n; p++) {
        const bool rate = strstr(params[p].name, "A_log"), bias = strstr(params[p].name, "bias");
        for (int64_t i = params[p].offset; i < params[p].offset + params[p].size; i++) {
            if (how == EXTREME_LARGE && params[p].n_dims == 2 && !rate) {
                flat[i] *= 40;
            } else if (how != EXTREME_LARGE && rate) {
                flat[i] = how == EXTREME_FORGETFUL ? 5 : -80;
            } else if (how != EXTREME_LARGE && bias) {
                flat[i] = how == EXTREME_FORGETFUL ? 1 : 30;
            }
        }
    }
}

static void assert_finite(const char *kind, const hy_model *model, double loss, const float *grads) {
    int64_t n;
    const hy_param *params = hy_model_params(model, &n);
    if (!isfinite(loss)) {
        fail_msg("%s: loss %g", kind, loss);
    }
    for (int64_t p = 0; p < n; p++) {
        for (int64_t i = 0; i < params[p].size; i++) {
            if (!isfinite(grads[params[p].offset + i])) {
                fail_msg("%s: gradient of %s[%lld] is %g", kind, params[p].name, (long long)i,
                         (double)grads[params[p].offset + i]);
            }
        }
    }
}

static void run_step(const hy_model_config *config, extreme how) {
    static const int64_t docs[] = {0, 1, 70, TOKENS};
    hy_model *model = NULL;
    hy_device *device;
    hy_comm *comm = NULL;
    hy_layout *layout = NULL;
    hy_runner *runner = NULL;
    float *params = NULL, *grads = NULL;
    int32_t tokens[TOKENS], labels[TOKENS];
    double loss = 0;
    assert_int_equal(hy_model_create(config, 1, &model), HY_OK);
    assert_int_equal(hy_device_create("cpu", HY_F32, &device), HY_OK);
    assert_int_equal(hy_comm_self_create(&comm), HY_OK);
    assert_int_equal(hy_layout_create(HY_LAYOUT_CONTIGUOUS, 1, 0, 1, TOKENS, &layout), HY_OK);
    assert_int_equal(hy_layout_set_documents(layout, docs, 3), HY_OK);
    assert_int_equal(HY_NEW("params", hy_model_flat_size(model), &params), HY_OK);
    assert_int_equal(HY_NEW("grads", hy_model_flat_size(model), &grads), HY_OK);
    hy_model_init_params(model, 1, HY_F32, params);
    make_extreme(model, how, params);
    for (int t = 0; t < TOKENS; t++) {
        tokens[t] = (int32_t)(hy_random_u64(4, 1, (uint64_t)t) % VOCAB);
        labels[t] = (int32_t)(hy_random_u64(4, 2, (uint64_t)t) % VOCAB);
    }
    const hy_run_shape shape = {.method.layout = HY_LAYOUT_CONTIGUOUS,
                                .sequence_size = 1,
                                .n_seq = 1,
                                .len = TOKENS,
                                .dtype = HY_F32,
                                .train = true};
    assert_int_equal(hy_runner_create(model, &shape, device, comm, params, grads, 0, &runner), HY_OK);
    hy_runner_step(runner, &(hy_batch){.layout = layout, .tokens = tokens, .labels = labels}, 1.0 / TOKENS, &loss, NULL,
                   NULL);
    assert_finite(config->mixers[0].kind, model, loss, grads);
    hy_runner_destroy(runner);
    hy_device_destroy(device);
    hy_free(params);
    hy_free(grads);
    hy_layout_destroy(layout);
    hy_comm_destroy(comm);
    hy_model_destroy(model);
}

static void check(extreme how) {
    for (int i = 0; hy_mixer_row_at(i); i++) {
        hy_model_config *config = calloc(1, sizeof *config);
        assert_non_null(config);
        hy_model_config_init(config);
        config->layers = 2;
        config->width = WIDTH;
        config->vocab = VOCAB;
        config->mlp_width = 16;
        config->n_pattern = 1;
        snprintf(config->pattern[0], HY_NAME_MAX, "%s", hy_mixer_row_at(i)->kind);
        assert_int_equal(hy_model_config_resolve(config), HY_OK);
        run_step(config, how);
        free(config);
    }
}

static void test_large_matrices(void **state) {
    (void)state;
    check(EXTREME_LARGE);
}

static void test_decays_that_forget_all(void **state) {
    (void)state;
    check(EXTREME_FORGETFUL);
}

static void test_decays_that_forget_nothing(void **state) {
    (void)state;
    check(EXTREME_MINDFUL);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_large_matrices),
                                       cmocka_unit_test(test_decays_that_forget_all),
                                       cmocka_unit_test(test_decays_that_forget_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
