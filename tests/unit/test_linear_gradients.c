/* Gradients of whole models (tests/model_bench.h) for the linear mixers beyond those of test_model_gradients.c, with all their options. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/model_bench.h"

static void test_mamba2(void **state) {
    (void)state;
    hy_model_config config = base_config();
    hy_mixer_config *grouped = add_mixer(&config, "grouped", "mamba2");
    grouped->value_heads = 4;
    grouped->value_dim = 3;
    grouped->head_dim = 5;
    hy_mixer_config *other = add_mixer(&config, "other", "mamba2");
    *other = *grouped;
    snprintf(other->name, sizeof(other->name), "other");
    other->step_low = 0.5; /* both limits are reached */
    other->step_high = 0.8;
    other->proj_bias = true;
    other->conv_bias = HY_SWITCH_OFF;
    other->gate_first = HY_SWITCH_OFF;
    other->skip = HY_SKIP_CHANNEL;
    other->mlp = HY_SWITCH_ON;
    hy_mixer_config *plain = add_mixer(&config, "plain", "mamba2");
    plain->heads = 1;
    plain->value_dim = 6;
    plain->head_dim = 4;
    plain->output_norm = HY_SWITCH_OFF;
    check(&config);
}

static void test_mamba1(void **state) {
    (void)state;
    hy_model_config config = base_config();
    hy_mixer_config *m = add_mixer(&config, "mamba1", "mamba1");
    m->heads = HY_DEFAULT;
    m->value_heads = 5;
    m->head_dim = 3;
    m->gate_rank = 2;
    hy_mixer_config *other = add_mixer(&config, "other", "mamba1");
    other->heads = HY_DEFAULT;
    other->head_dim = 2;
    other->conv = 2;
    other->conv_bias = HY_SWITCH_OFF;
    other->proj_bias = true;
    check(&config);
}

static void test_kda(void **state) {
    (void)state;
    hy_model_config config = base_config();
    hy_mixer_config *plain = add_mixer(&config, "plain", "kda");
    plain->head_dim = 4;
    plain->value_heads = 4;
    plain->value_dim = 3;
    hy_mixer_config *safe = add_mixer(&config, "safe", "kda");
    safe->head_dim = 5;
    safe->conv = 0;
    safe->lower_bound = -3;
    safe->negative_eigenvalues = true;
    check(&config);
}

/* Every feature map; the normaliser where weights are positive. */
static void test_feature_maps(void **state) {
    (void)state;
    static const struct {
        hy_feature_map map;
        hy_switch normaliser;
        hy_feature_norm norm;
        bool tie;
    } cases[] = {{HY_FEATURE_PRODUCT, HY_SWITCH_OFF, HY_FEATURE_NORM_NONE, false},
                 {HY_FEATURE_PRODUCT, HY_SWITCH_OFF, HY_FEATURE_NORM_NONE, true},
                 {HY_FEATURE_HEDGEHOG, HY_SWITCH_ON, HY_FEATURE_NORM_BOTH, false},
                 {HY_FEATURE_T2R, HY_SWITCH_OFF, HY_FEATURE_NORM_NONE, true},
                 {HY_FEATURE_DPFP, HY_SWITCH_OFF, HY_FEATURE_NORM_NONE, false},
                 {HY_FEATURE_ELU, HY_SWITCH_ON, HY_FEATURE_NORM_Q, false},
                 {HY_FEATURE_SILU, HY_SWITCH_OFF, HY_FEATURE_NORM_NONE, false},
                 {HY_FEATURE_ELU, HY_SWITCH_OFF, HY_FEATURE_NORM_K, false}};
    for (int first = 0; first < 8; first += 4) {
        hy_model_config config = base_config();
        config.norm_eps = 0.1; /* small outputs bend much under their norm */
        for (int i = first; i < first + 4; i++) {
            hy_mixer_config *m =
                add_mixer(&config, (const char *[]){"one", "two", "three", "four"}[i - first], "linear");
            m->feature_map = cases[i].map;
            m->normaliser = cases[i].normaliser;
            m->feature_norm = cases[i].norm;
            m->tie_feature_maps = cases[i].tie;
            m->kv_heads = i % 3 == 2 ? 1 : 2;
            m->head_dim = 3;
        }
        check(&config);
    }
}

/* rebased alone: where a document's first scores are near 0 its normaliser bends much, which its neighbours would multiply. */
static void test_rebased(void **state) {
    (void)state;
    hy_model_config config = base_config();
    config.norm_eps = 0.1;
    add_mixer(&config, "rebased", "rebased")->head_dim = 4;
    check(&config);
}

static void test_expansions(void **state) {
    (void)state;
    hy_model_config config = base_config();
    config.norm_eps = 0.1;
    add_mixer(&config, "based", "based")->head_dim = 3;
    add_mixer(&config, "lightning", "lightning");
    add_mixer(&config, "minimax", "lightning_minimax");
    hy_mixer_config *other = add_mixer(&config, "other", "based");
    other->head_dim = 2;
    other->output_norm = HY_SWITCH_ON;
    other->output_gate = HY_GATE_SWISH;
    other->gate_first = HY_SWITCH_ON;
    check(&config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mamba2),       cmocka_unit_test(test_mamba1),  cmocka_unit_test(test_kda),
        cmocka_unit_test(test_feature_maps), cmocka_unit_test(test_rebased), cmocka_unit_test(test_expansions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
