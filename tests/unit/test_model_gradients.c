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

#include "tests/model_bench.h"

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
    hy_profile profile;
    hy_run_bytes bytes;
    assert_int_equal(hy_model_create(&config, 1, &model), HY_OK);
    assert_int_equal(hy_profile_of("cpu_ref", HY_F64, &profile), HY_OK);
    hy_run_shape shape = {.sequence_size = 1, .n_seq = 1, .len = TOKENS, .dtype = HY_F64};
    assert_int_equal(hy_runner_plan_bytes(model, &shape, &profile, &bytes), HY_ERR_USAGE);
    hy_model_destroy(model);
    snprintf(config.mixers[0].kind, sizeof config.mixers[0].kind, "gated_deltanet");
    assert_int_equal(hy_model_config_resolve(&config), HY_ERR_USAGE);
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

static hy_model_config embedding_config(bool tied, int64_t pad) {
    hy_model_config config = base_config();
    add_mixer(&config, "gla", "gla");
    config.tied = tied;
    config.pad_token = pad;
    config.layers = 1;
    assert_int_equal(hy_model_config_resolve(&config), HY_OK);
    return config;
}

static const hy_param *find_param(const bench *b, const char *name) {
    int64_t n;
    const hy_param *params = hy_model_params(b->model, &n);
    for (int64_t i = 0; i < n; i++) {
        if (strcmp(params[i].name, name) == 0) {
            return &params[i];
        }
    }
    return NULL;
}

/* A model with a tied head, and one whose head equals its embedding: the same function. */
static void open_pair(bench *tied, bench *untied, int64_t pad) {
    const hy_model_config one = embedding_config(true, pad), two = embedding_config(false, pad);
    int64_t n;
    open_bench(tied, &one, HY_RECOMPUTE_NONE, HY_OFFLOAD_NONE);
    open_bench(untied, &two, HY_RECOMPUTE_NONE, HY_OFFLOAD_NONE);
    const hy_param *params = hy_model_params(untied->model, &n);
    for (int64_t i = 0; i < n; i++) {
        const bool head = strcmp(params[i].name, "lm_head.weight") == 0;
        const hy_param *same = find_param(tied, head ? "model.embeddings.weight" : params[i].name);
        memcpy(untied->params + params[i].offset, tied->params + same->offset,
               (size_t)same->size * sizeof *tied->params);
    }
    assert_true(fabs(loss_of(tied) - loss_of(untied)) < 1e-10);
}

/* Where the padding token stands in the input its embedding gets no gradient. All other gradients stay, that of a tied head too. */
static void test_pad_token(void **state) {
    (void)state;
    enum { PAD = 4, ROWS = VOCAB * WIDTH };
    bench tied[2] = {{0}}, untied[2] = {{0}};
    int stands = 0;
    for (int pad = 0; pad < 2; pad++) {
        open_pair(&tied[pad], &untied[pad], pad ? PAD : -1);
    }
    for (int t = 0; t < TOKENS; t++) {
        stands += tied->tokens[t] == PAD;
    }
    assert_true(stands > 0);
    const int64_t embedding = find_param(tied, "model.embeddings.weight")->offset;
    const int64_t apart = find_param(untied, "model.embeddings.weight")->offset;
    const int64_t head = find_param(untied, "lm_head.weight")->offset;
    for (int64_t i = 0; i < untied->size; i++) {
        const bool pad = i >= apart + (int64_t)PAD * WIDTH && i < apart + (int64_t)(PAD + 1) * WIDTH;
        assert_true(pad ? untied[0].grads[i] != 0 && untied[1].grads[i] == 0
                        : untied[0].grads[i] == untied[1].grads[i]);
    }
    for (int64_t i = 0; i < ROWS; i++) {
        const double sum = untied[1].grads[apart + i] + untied[1].grads[head + i];
        assert_true(fabs(tied[1].grads[embedding + i] - sum) < 1e-12);
        assert_true(i / WIDTH == PAD || tied[0].grads[embedding + i] == tied[1].grads[embedding + i]);
    }
    for (int pad = 0; pad < 2; pad++) {
        close_bench(&tied[pad]);
        close_bench(&untied[pad]);
    }
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
        cmocka_unit_test(test_latent_attention),
        cmocka_unit_test(test_lizard),
        cmocka_unit_test(test_convolution_rows),
        cmocka_unit_test(test_log_linear),
        cmocka_unit_test(test_log_linear_refusals),
        cmocka_unit_test(test_pad_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
