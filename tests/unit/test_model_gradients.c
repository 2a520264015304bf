/* A whole model on one rank in float64: gradients against central differences of the loss, for every mixer and its options, on
 * packed documents; and every recompute mode against none, which must agree bit for bit. */
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

enum { TOKENS = 45, VOCAB = 19, WIDTH = 12 };

typedef struct bench {
    hy_model *model;
    hy_device device;
    hy_comm *comm;
    hy_layout *layout;
    hy_runner *runner;
    int64_t size;
    double *params, *grads;
    int32_t tokens[TOKENS], labels[TOKENS];
} bench;

static void open_bench(bench *b, const hy_model_config *config, hy_recompute recompute) {
    static const int64_t docs[] = {0, 1, 17, 17, 40, TOKENS};
    assert_int_equal(hy_model_create(config, 1, &b->model), HY_OK);
    assert_int_equal(hy_device_init(&b->device, "cpu_ref", HY_F64), HY_OK);
    assert_int_equal(hy_comm_self_create(&b->comm), HY_OK);
    assert_int_equal(hy_layout_create(HY_LAYOUT_ZIGZAG, 1, 0, 1, TOKENS, &b->layout), HY_OK);
    assert_int_equal(hy_layout_set_documents(b->layout, docs, 5), HY_OK);
    b->size = hy_model_flat_size(b->model);
    assert_int_equal(HY_NEW("params", b->size, &b->params), HY_OK);
    assert_int_equal(HY_NEW("grads", b->size, &b->grads), HY_OK);
    hy_model_init_params(b->model, 3, HY_F64, b->params);
    for (int64_t i = 0; i < b->size; i++) {
        b->params[i] += 0.3 * hy_random_normal(5, 1, (uint64_t)i); /* away from zeros and small weights */
    }
    for (int t = 0; t < TOKENS; t++) {
        b->tokens[t] = (int32_t)(hy_random_u64(5, 2, (uint64_t)t) % VOCAB);
        b->labels[t] = t % 7 == 3 ? -100 : (int32_t)(hy_random_u64(5, 3, (uint64_t)t) % VOCAB);
    }
    hy_run_shape shape = {.layout = HY_LAYOUT_ZIGZAG, .sequence_size = 1, .n_seq = 1, .len = TOKENS, .dtype = HY_F64, .recompute = recompute, .train = true, .head_tile = 7};
    assert_int_equal(hy_runner_create(b->model, &shape, &b->device, b->comm, b->params, b->grads, 0, &b->runner), HY_OK);
}

static void close_bench(bench *b) {
    hy_runner_destroy(b->runner);
    hy_layout_destroy(b->layout);
    hy_comm_destroy(b->comm);
    hy_model_destroy(b->model);
    hy_free(b->params);
    hy_free(b->grads);
}

static double loss_of(bench *b) {
    double loss = 0;
    memset(b->grads, 0, (size_t)b->size * sizeof(double));
    hy_runner_step(b->runner, &(hy_batch){b->layout, b->tokens, b->labels}, 1, &loss, NULL, NULL);
    return loss;
}

/* Three random elements of every parameter. */
static void check_gradients(const hy_model_config *config) {
    bench b = {0};
    open_bench(&b, config, HY_RECOMPUTE_BLOCK);
    loss_of(&b);
    double *grads = NULL;
    assert_int_equal(HY_NEW("grads", b.size, &grads), HY_OK);
    memcpy(grads, b.grads, (size_t)b.size * sizeof(double));
    int64_t count;
    const hy_param *params = hy_model_params(b.model, &count);
    for (int64_t p = 0; p < count; p++) {
        double largest = 0;
        for (int64_t i = 0; i < params[p].size; i++) {
            largest = fmax(largest, fabs(grads[params[p].offset + i]));
        }
        for (uint64_t pick = 0; pick < 3; pick++) {
            int64_t i = params[p].offset + (int64_t)(hy_random_u64((uint64_t)p, 9, pick) % (uint64_t)params[p].size);
            double h = 1e-5, kept = b.params[i];
            b.params[i] = kept + h;
            double up = loss_of(&b);
            b.params[i] = kept - h;
            double down = loss_of(&b);
            b.params[i] = kept;
            double numeric = (up - down) / (2 * h);
            if (fabs(numeric - grads[i]) > 1e-6 * (fabs(numeric) + largest + 1e-2)) {
                fail_msg("%s[%lld]: gradient %.12g, central difference %.12g", params[p].name, (long long)(i - params[p].offset), grads[i], numeric);
            }
        }
    }
    hy_free(grads);
    close_bench(&b);
}

static void check_recompute(const hy_model_config *config) {
    bench none = {0};
    open_bench(&none, config, HY_RECOMPUTE_NONE);
    double loss = loss_of(&none);
    for (hy_recompute recompute = HY_RECOMPUTE_LIGHT; recompute <= HY_RECOMPUTE_BLOCK; recompute++) {
        bench other = {0};
        open_bench(&other, config, recompute);
        assert_true(loss_of(&other) == loss);
        assert_memory_equal(none.grads, other.grads, (size_t)none.size * sizeof(double));
        close_bench(&other);
    }
    close_bench(&none);
}

static hy_mixer_config *add_mixer(hy_model_config *config, const char *name, const char *kind) {
    hy_mixer_config *m = &config->mixers[config->n_mixers++];
    hy_mixer_config_init(m, name);
    snprintf(m->kind, sizeof(m->kind), "%s", kind);
    snprintf(config->pattern[config->n_pattern++], HY_NAME_MAX, "%s", name);
    m->heads = 2;
    return m;
}

static hy_model_config base_config(void) {
    hy_model_config config;
    hy_model_config_init(&config);
    config.width = WIDTH;
    config.vocab = VOCAB;
    config.mlp_width = 10;
    return config;
}

static void check(hy_model_config *config) {
    config->layers = config->n_pattern;
    assert_int_equal(hy_model_config_resolve(config), HY_OK);
    check_gradients(config);
    check_recompute(config);
}

static void test_hybrid(void **state) {
    (void)state;
    hy_model_config config = base_config();
    hy_mixer_config *gdn = add_mixer(&config, "gdn", "gated_deltanet");
    gdn->head_dim = 4;
    gdn->value_heads = 4;
    gdn->value_dim = 3;
    hy_mixer_config *attention = add_mixer(&config, "windowed", "attention");
    attention->kv_heads = 1;
    attention->window = 6;
    attention->qkv_bias = true;
    attention->qk_norm = HY_QK_NORM_RMS_HEAD;
    config.tied = true;
    check(&config);
}

static void test_additive_rows(void **state) {
    (void)state;
    hy_model_config config = base_config();
    add_mixer(&config, "retention", "retention");
    add_mixer(&config, "gla", "gla");
    hy_mixer_config *grouped = add_mixer(&config, "grouped", "gla");
    grouped->kv_heads = 1;
    grouped->conv = 4;
    grouped->feature_map = HY_FEATURE_ELU;
    grouped->output_gate = HY_GATE_NONE;
    hy_mixer_config *clamped = add_mixer(&config, "clamped", "gla");
    clamped->gate_floor = -0.04;
    clamped->output_gate = HY_GATE_SIGMOID;
    check(&config);
}

static void test_delta_rows(void **state) {
    (void)state;
    hy_model_config config = base_config();
    add_mixer(&config, "plain", "deltanet");
    hy_mixer_config *gated = add_mixer(&config, "gated", "deltanet");
    gated->output_gate = HY_GATE_SWISH;
    gated->negative_eigenvalues = true;
    gated->conv = 0;
    hy_mixer_config *fixed = add_mixer(&config, "fixed", "deltanet");
    fixed->beta = false;
    fixed->feature_map = HY_FEATURE_ELU;
    fixed->qk_norm = HY_QK_NORM_SUM;
    check(&config);
}

/* The lower bounds are shared by all layers; layer 0 has none. */
static void test_lower_bounds(void **state) {
    (void)state;
    hy_model_config config = base_config();
    add_mixer(&config, "first", "hgrn2");
    add_mixer(&config, "convolved", "hgrn2")->conv = 3;
    hy_mixer_config *wide = add_mixer(&config, "wide", "hgrn2");
    wide->lower_bounds = false;
    wide->head_dim = 5;
    add_mixer(&config, "hgrn", "hgrn")->heads = HY_DEFAULT;
    hy_mixer_config *narrow = add_mixer(&config, "narrow", "hgrn");
    narrow->heads = HY_DEFAULT;
    narrow->lower_bounds = false;
    narrow->value_dim = 7;
    narrow->conv = 4;
    check(&config);
}

/* RWKV's layers with attention among them: token shifts in mixers and MLPs, values of the first rwkv7 layer read by all later ones. */
static void test_rwkv6(void **state) {
    (void)state;
    hy_model_config config = base_config();
    hy_mixer_config *wide = add_mixer(&config, "wide", "rwkv6");
    wide->head_dim = 4;
    wide->value_dim = 5;
    wide->mix_rank = 3;
    wide->gate_rank = 2;
    add_mixer(&config, "attention", "attention");
    hy_mixer_config *narrow = add_mixer(&config, "narrow", "rwkv6");
    narrow->heads = 1;
    narrow->mix_rank = 1;
    narrow->gate_rank = 4;
    config.norm = HY_NORM_LAYER;
    config.pre_norm = true;
    check(&config);
}

static void test_rwkv7(void **state) {
    (void)state;
    hy_model_config config = base_config();
    add_mixer(&config, "attention", "attention");
    for (int i = 0; i < 3; i++) {
        char name[] = {'r', (char)('0' + i), 0};
        hy_mixer_config *m = add_mixer(&config, name, "rwkv7");
        m->heads = i == 1 ? 3 : 2;
        m->value_dim = i == 1 ? 8 : 12;
        m->gate_rank = 2 + i;
        m->rate_rank = 3;
        m->value_rank = 1 + i;
        m->output_rank = 5;
        m->key_norm_eps = i == 2 ? 1e-24 : 1e-6;
    }
    config.norm = HY_NORM_LAYER;
    snprintf(config.mlp_kind, sizeof(config.mlp_kind), "rwkv7");
    check(&config);
}

/* Norms before and behind, layers without MLP, weights counted from 1. */
static void test_block_structure(void **state) {
    (void)state;
    hy_model_config config = base_config();
    hy_mixer_config *post = add_mixer(&config, "post", "attention");
    post->norm_place = HY_NORM_POST;
    hy_mixer_config *bare = add_mixer(&config, "bare", "gla");
    bare->mlp = HY_SWITCH_OFF;
    hy_mixer_config *bare_post = add_mixer(&config, "bare_post", "gla");
    bare_post->mlp = HY_SWITCH_OFF;
    bare_post->norm_place = HY_NORM_POST;
    config.zero_centred = true;
    check(&config);
}

static void test_layernorm_blocks(void **state) {
    (void)state;
    hy_model_config config = base_config();
    add_mixer(&config, "first", "gla");
    hy_mixer_config *post = add_mixer(&config, "second", "attention");
    post->norm_place = HY_NORM_POST;
    config.norm = HY_NORM_LAYER;
    config.pre_norm = true;
    check(&config);
    config.norm_bias = false;
    check(&config);
}

static void test_attention_options(void **state) {
    (void)state;
    hy_model_config config = base_config();
    hy_mixer_config *channel = add_mixer(&config, "channel", "attention");
    channel->output_gate = HY_GATE_CHANNEL;
    channel->qk_norm = HY_QK_NORM_RMS_HEAD;
    channel->qk_norm_eps = 1e-3;
    channel->head_dim = 10;
    channel->kv_heads = 1;
    channel->conv = 3;
    channel->rope_fraction = 0.45; /* 4 of 10 channels */
    hy_mixer_config *head = add_mixer(&config, "head", "attention");
    head->output_gate = HY_GATE_HEAD;
    head->qk_norm = HY_QK_NORM_RMS_ALL;
    head->head_dim = 3;
    head->rope_base = 0;
    check(&config);
    config.zero_centred = true;
    check(&config);
}

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

static void test_latent_attention(void **state) {
    (void)state;
    hy_model_config config = base_config();
    hy_mixer_config *rotary = add_mixer(&config, "rotary", "mla");
    hy_mixer_config *plain = add_mixer(&config, "unrotated", "mla");
    rotary->head_dim = plain->head_dim = 7;
    rotary->rope_dim = 4;
    rotary->value_dim = plain->value_dim = 5;
    rotary->kv_rank = plain->kv_rank = 6;
    rotary->q_rank = 5;
    plain->rope_dim = 3;
    plain->rope_base = 0;
    plain->window = 6;
    plain->sinks = 2;
    hy_mixer_config *sinks = add_mixer(&config, "sinks", "attention");
    sinks->kv_heads = 1;
    sinks->sinks = 4;
    check(&config);
}

/* Groups of 4 channels per filter by default (the width is 12), filters wider than documents; 5 modes. */
static void test_convolution_rows(void **state) {
    (void)state;
    hy_model_config config = base_config();
    add_mixer(&config, "short", "conv_short");
    hy_mixer_config *medium = add_mixer(&config, "medium", "conv_medium");
    medium->filter_width = 20;
    hy_mixer_config *learned = add_mixer(&config, "learned", "conv_medium");
    learned->filter_groups = 12;
    learned->learned_decay = true;
    learned->filter_width = 30;
    hy_mixer_config *plain = add_mixer(&config, "long", "conv_long");
    plain->filter_order = 5;
    hy_mixer_config *shared = add_mixer(&config, "shared", "conv_long");
    shared->filter_groups = 2;
    shared->filter_order = 3;
    shared->conv = 0;
    check(&config);
}

static void test_log_linear(void **state) {
    (void)state;
    hy_model_config config = base_config();
    hy_mixer_config *mamba2 = add_mixer(&config, "mamba2", "log_linear_mamba2");
    mamba2->value_heads = 4;
    mamba2->value_dim = 3;
    mamba2->head_dim = 5;
    mamba2->levels = 7; /* sequences have 45 tokens */
    hy_mixer_config *gated = add_mixer(&config, "gated", "log_linear_gated_deltanet");
    gated->head_dim = 4;
    gated->value_heads = 4;
    gated->value_dim = 3;
    check(&config);
}

/* Sequences of 45 tokens need 7 levels; no other mixer has any. */
static void test_log_linear_refusals(void **state) {
    (void)state;
    hy_model_config config = base_config();
    add_mixer(&config, "short", "log_linear_gated_deltanet")->levels = 6;
    config.layers = 1;
    assert_int_equal(hy_model_config_resolve(&config), HY_OK);
    hy_model *model = NULL;
    hy_device device;
    hy_plan plan = {0};
    assert_int_equal(hy_model_create(&config, 1, &model), HY_OK);
    assert_int_equal(hy_device_init(&device, "cpu_ref", HY_F64), HY_OK);
    hy_run_shape shape = {.sequence_size = 1, .n_seq = 1, .len = TOKENS, .dtype = HY_F64};
    assert_int_equal(hy_runner_plan(model, &shape, &device, &plan), HY_ERR_USAGE);
    hy_model_destroy(model);
    snprintf(config.mixers[0].kind, sizeof config.mixers[0].kind, "gated_deltanet");
    assert_int_equal(hy_model_config_resolve(&config), HY_ERR_USAGE);
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
    } cases[] = {{HY_FEATURE_PRODUCT, HY_SWITCH_OFF, HY_FEATURE_NORM_NONE, false}, {HY_FEATURE_PRODUCT, HY_SWITCH_OFF, HY_FEATURE_NORM_NONE, true},
                 {HY_FEATURE_HEDGEHOG, HY_SWITCH_ON, HY_FEATURE_NORM_BOTH, false}, {HY_FEATURE_T2R, HY_SWITCH_OFF, HY_FEATURE_NORM_NONE, true},
                 {HY_FEATURE_DPFP, HY_SWITCH_OFF, HY_FEATURE_NORM_NONE, false},    {HY_FEATURE_ELU, HY_SWITCH_ON, HY_FEATURE_NORM_Q, false},
                 {HY_FEATURE_SILU, HY_SWITCH_OFF, HY_FEATURE_NORM_NONE, false},    {HY_FEATURE_ELU, HY_SWITCH_OFF, HY_FEATURE_NORM_K, false}};
    for (int first = 0; first < 8; first += 4) {
        hy_model_config config = base_config();
        config.norm_eps = 0.1; /* small outputs bend much under their norm */
        for (int i = first; i < first + 4; i++) {
            hy_mixer_config *m = add_mixer(&config, (const char *[]){"one", "two", "three", "four"}[i - first], "linear");
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

static void test_lizard(void **state) {
    (void)state;
    hy_model_config config = base_config();
    hy_mixer_config *plain = add_mixer(&config, "plain", "lizard");
    plain->feature_dim = 5;
    plain->window = 6;
    hy_mixer_config *grouped = add_mixer(&config, "grouped", "lizard");
    grouped->feature_dim = 3;
    grouped->kv_heads = 1;
    grouped->value_dim = 4;
    grouped->window = 0;
    grouped->sinks = 0;
    check(&config);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hybrid),
        cmocka_unit_test(test_additive_rows),
        cmocka_unit_test(test_delta_rows),
        cmocka_unit_test(test_lower_bounds),
        cmocka_unit_test(test_rwkv6),
        cmocka_unit_test(test_rwkv7),
        cmocka_unit_test(test_block_structure),
        cmocka_unit_test(test_layernorm_blocks),
        cmocka_unit_test(test_attention_options),
        cmocka_unit_test(test_mamba2),
        cmocka_unit_test(test_latent_attention),
        cmocka_unit_test(test_lizard),
        cmocka_unit_test(test_convolution_rows),
        cmocka_unit_test(test_log_linear),
        cmocka_unit_test(test_log_linear_refusals),
        cmocka_unit_test(test_mamba1),
        cmocka_unit_test(test_kda),
        cmocka_unit_test(test_feature_maps),
        cmocka_unit_test(test_expansions),
        cmocka_unit_test(test_rebased),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
