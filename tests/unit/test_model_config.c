/* Block structure and options of attention as config keys: what they default to, which parameters they make, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "layers/model.h"
#include "layers/model_config_keys.h"

/* Defaults, then this YAML, resolved. */
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
    return NULL;
}

static void test_layers_without_mlp(void **unused) {
    (void)unused;
    hy_model *none =
        make("{layers: 3, width: 16, vocab: 11, schedule: {pattern: [gla]}, mixers: {gla: {heads: 2, mlp: false}}}");
    assert_null(find(none, "model.layers.1.mlp_norm.weight"));
    assert_null(find(none, "model.layers.1.mlp.gate_proj.weight"));
    assert_int_equal(hy_model_config_of(none)->mlp_width, 0);
    hy_model_destroy(none);
    hy_model *some = make("{layers: 4, width: 16, vocab: 11, mlp: {width: 24}, schedule: {pattern: [a, b]}, "
                          "mixers: {a: {kind: gla, heads: 2}, b: {kind: gla, heads: 2, mlp: false}}}");
    assert_non_null(find(some, "model.layers.2.mlp.gate_proj.weight"));
    assert_null(find(some, "model.layers.3.mlp_norm.weight"));
    hy_model_destroy(some);
    hy_model *bare = make("{layers: 2, width: 16, vocab: 11, mlp: {width: 24}, schedule: {pattern: [mamba2, asked]}, "
                          "mixers: {mamba2: {value_dim: 8}, asked: {kind: mamba2, value_dim: 8, mlp: true}}}");
    assert_null(find(bare, "model.layers.0.mlp.up_proj.weight"));
    assert_non_null(find(bare, "model.layers.1.mlp.up_proj.weight"));
    hy_model_destroy(bare);
}

static double initial_value(const hy_model *model, const char *name) {
    double *flat = NULL;
    assert_non_null(find(model, name));
    assert_int_equal(HY_NEW("flat", hy_model_flat_size(model), &flat), HY_OK);
    hy_model_init_params(model, 1, HY_F64, flat);
    double value = flat[find(model, name)->offset];
    hy_free(flat);
    return value;
}

static void test_norms(void **unused) {
    (void)unused;
    hy_model *layer = make("{layers: 2, width: 16, vocab: 11, norm: layer, pre_norm: true, schedule: {pattern: [gla]}, "
                           "mixers: {gla: {heads: 2}}}");
    assert_non_null(find(layer, "model.layers.0.pre_norm.bias"));
    assert_null(find(layer, "model.layers.1.pre_norm.weight"));
    assert_non_null(find(layer, "model.layers.1.mlp_norm.bias"));
    assert_non_null(find(layer, "model.norm.bias"));
    assert_false(find(layer, "model.norm.bias")->decay);
    assert_true(initial_value(layer, "model.layers.1.attn_norm.weight") == 1 &&
                initial_value(layer, "model.norm.bias") == 0);
    hy_model_destroy(layer);
    hy_model *unbiased = make("{layers: 1, width: 16, vocab: 11, norm: layer, norm_bias: false, schedule: {pattern: "
                              "[gla]}, mixers: {gla: {heads: 2}}}");
    assert_null(find(unbiased, "model.norm.bias"));
    hy_model_destroy(unbiased);
    hy_model *zero = make("{layers: 1, width: 16, vocab: 11, zero_centred: true, schedule: {pattern: [attention]}, "
                          "mixers: {attention: {heads: 2, qk_norm: rms_head}}}");
    static const char *const names[] = {"model.norm.weight", "model.layers.0.attn_norm.weight",
                                        "model.layers.0.mlp_norm.weight", "model.layers.0.attn.q_norm.weight"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_true(initial_value(zero, names[i]) == 0);
        assert_false(find(zero, names[i])->decay);
    }
    hy_model_destroy(zero);
    hy_model *plain = make(
        "{layers: 1, width: 16, vocab: 11, zero_centred: true, schedule: {pattern: [gla]}, mixers: {gla: {heads: 2}}}");
    assert_true(initial_value(plain, "model.layers.0.attn.g_norm_swish_gate.weight") ==
                1); /* the mixer's own norm is none of them */
    hy_model_destroy(plain);
}

static void test_attention_shapes(void **unused) {
    (void)unused;
    static const char text[] =
        "{layers: 2, width: 16, vocab: 11, schedule: {pattern: [channel, head]}, mixers: "
        "{channel: {kind: attention, heads: 4, kv_heads: 2, head_dim: 10, output_gate: channel, qk_norm: rms_all}, "
        "head: {kind: attention, heads: 4, output_gate: head, qk_norm: rms_head, rope_fraction: 0.5}}}";
    static const struct {
        const char *name;
        int64_t rows;
    } wanted[] = {
        {"model.layers.0.attn.q_proj.weight", 40}, {"model.layers.0.attn.k_proj.weight", 20},
        {"model.layers.0.attn.g_proj.weight", 40}, {"model.layers.0.attn.o_proj.weight", 16},
        {"model.layers.0.attn.q_norm.weight", 40}, {"model.layers.0.attn.k_norm.weight", 20},
        {"model.layers.1.attn.g_proj.weight", 4},  {"model.layers.1.attn.k_norm.weight", 4},
    };
    hy_model *model = make(text);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        assert_non_null(find(model, wanted[i].name));
        assert_int_equal(find(model, wanted[i].name)->shape[0], wanted[i].rows);
    }
    assert_int_equal(find(model, "model.layers.0.attn.o_proj.weight")->shape[1], 40);
    hy_model_destroy(model);
}

/* A gate per channel costs one more projection of the queries' size, forward. */
static void test_gates_count(void **unused) {
    (void)unused;
    hy_model *with = make("{layers: 1, width: 16, vocab: 11, schedule: {pattern: [attention]}, mixers: {attention: "
                          "{heads: 2, output_gate: channel}}}");
    hy_model *without =
        make("{layers: 1, width: 16, vocab: 11, schedule: {pattern: [attention]}, mixers: {attention: {heads: 2}}}");
    int64_t docs[] = {0, 5};
    double more = hy_model_flops_fwd(with, docs, 1) - hy_model_flops_fwd(without, docs, 1);
    assert_true(more == 2.0 * 5 * 16 * 16);
    assert_int_equal(hy_model_parameter_count(with) - hy_model_parameter_count(without), 256);
    hy_model_destroy(with);
    hy_model_destroy(without);
}

/* Softmax layers by hand, for documents of 5 and 3 tokens: every pair of tokens that see each other costs D + DV, a latent its
 * product once per token. Without mixer: the MLP of 256, and the head. */
static void test_softmax_flops(void **unused) {
    (void)unused;
    int64_t docs[] = {0, 5, 8};
    const double T = 8, rest = T * (3 * 16 * 256 + 16 * 11), all = 15 + 6, window2 = 9 + 5;
    hy_model *mla = make("{layers: 1, width: 16, vocab: 11, schedule: {pattern: [mla]}, mixers: {mla: {heads: 2, "
                         "head_dim: 7, rope_dim: 4, "
                         "value_dim: 5, kv_rank: 6, q_rank: 9, window: 2, sinks: 3}}}");
    const double projections = T * (16 * 9 + 9 * 14 + 16 * 4 + 16 * 6 + 6 * 2 * (3 + 5) + 10 * 16);
    assert_true(hy_model_flops_fwd(mla, docs, 2) == 2 * (projections + window2 * 2 * (7 + 5) + rest));
    hy_model *plain = make("{layers: 1, width: 16, vocab: 11, schedule: {pattern: [attention]}, mixers: {attention: "
                           "{heads: 2, sinks: 1}}}");
    assert_true(hy_model_flops_fwd(plain, docs, 2) == 2 * (T * 4 * 16 * 16 + all * 2 * 16 + rest));
    hy_model_destroy(mla);
    hy_model_destroy(plain);
}

static void test_refused(void **unused) {
    (void)unused;
    static const char *const texts[] = {
        "{mlp: {kind: swigluu}}",
        "{norm: layer, zero_centred: true}",
        "{schedule: {pattern: [attention]}, mixers: {attention: {output_gate: swish}}}",
        "{schedule: {pattern: [attention]}, mixers: {attention: {qk_norm: l2}}}",
        "{schedule: {pattern: [attention]}, mixers: {attention: {rope_fraction: 0.52}}}", /* 33 of 64 channels */
        "{schedule: {pattern: [gla]}, mixers: {gla: {output_gate: head}}}",
        "{schedule: {pattern: [gla]}, mixers: {gla: {qk_norm: rms_all}}}",
        "{schedule: {pattern: [mla]}, mixers: {mla: {kv_heads: 1, heads: 2}}}",
        "{schedule: {pattern: [mla]}, mixers: {mla: {rope_dim: 192}}}",
        "{schedule: {pattern: [mla]}, mixers: {mla: {rope_dim: 63}}}",
        "{schedule: {pattern: [mla]}, mixers: {mla: {output_gate: head}}}",
        "{schedule: {pattern: [lizard]}, mixers: {lizard: {rope_base: 10000}}}",
        "{schedule: {pattern: [gla]}, mixers: {gla: {sinks: 1}}}",
        "{schedule: {pattern: [lizard]}, mixers: {lizard: {heads: 3, kv_heads: 2}}}",
    };
    hy_model_config *config = calloc(1, sizeof *config);
    assert_non_null(config);
    hy_log_set_level(HY_LOG_NONE);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (load(texts[i], config) != HY_ERR_USAGE)
            fail_msg("%s", texts[i]);
    free(config);
}

/* A resolved config says the same after it was written and read, and resolving it again changes nothing. */
static void test_written_and_read(void **unused) {
    (void)unused;
    hy_model_config *a = calloc(1, sizeof *a), *b = calloc(1, sizeof *b);
    char *text = NULL;
    size_t len;
    assert_true(a && b);
    assert_int_equal(load("{layers: 3, width: 16, norm: layer, norm_bias: false, pre_norm: true, schedule: {pattern: "
                          "[a, b, mamba2]}, "
                          "mixers: {a: {kind: attention, heads: 2, norm_place: post, qk_norm_eps: 0.01}, b: {kind: "
                          "gla, heads: 2, mlp: false}, "
                          "mamba2: {value_dim: 4}}}",
                          a),
                     HY_OK);
    assert_int_equal(hy_schema_write(&hy_model_schema, a, &text, &len), HY_OK);
    hy_model_config_init(b);
    assert_int_equal(hy_schema_parse(&hy_model_schema, b, "written", text, len, NULL), HY_OK);
    assert_int_equal(hy_model_config_resolve(b), HY_OK);
    assert_memory_equal(a, b, sizeof *a);
    assert_int_equal(hy_model_config_resolve(b), HY_OK);
    assert_memory_equal(a, b, sizeof *a);
    hy_free(text);
    free(a), free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layers_without_mlp), cmocka_unit_test(test_norms),
        cmocka_unit_test(test_attention_shapes),   cmocka_unit_test(test_gates_count),
        cmocka_unit_test(test_softmax_flops),      cmocka_unit_test(test_refused),
        cmocka_unit_test(test_written_and_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
