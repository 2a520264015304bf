/* Models that were made here, as published ones: for every family that can be written a model goes out, comes in and goes out again the same;
 * which family is chosen; what a family cannot say is named; what config.json holds besides the model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "layers/model_config_keys.h"
#include "tests/unit/capture.h"
#include "train/publish/hf.h"
#include "train/publish/hf_companions.h"
#include "train/publish/hf_family.h"

static char dir[] = "/tmp/hylas-describe-XXXXXX";

static int make_dir(void **unused) {
    (void)unused;
    return mkdtemp(dir) ? 0 : 1;
}

static int remove_dir(void **unused) {
    (void)unused;
    return hy_file_remove_tree(dir, HY_ERR_FAILED) == HY_OK ? 0 : 1;
}

#define SIZES "layers: 4, width: 24, vocab: 31, mlp: {width: 20}"
#define GDN   "gated_deltanet: {heads: 2, head_dim: 8, value_heads: 4, value_dim: 6}"
#define MAMBA "mamba2: {heads: 2, value_dim: 12, head_dim: 8"
#define MIXED "schedule: {pattern: [gated_deltanet, gated_deltanet, gated_deltanet, attention]}"

static const struct {
    const char *family; /* that is chosen */
    const char *yaml;
} cases[] = {
    {"llama", SIZES ", tied: true, pad_token: 7, schedule: {pattern: [attention]}, mixers: {attention: {heads: 4, "
                    "kv_heads: 2, head_dim: 8, rope_base: 5e5}}"},
    {"mamba2", SIZES ", schedule: {pattern: [mamba2]}, mixers: {" MAMBA ", step_low: 0.001, proj_bias: true}}"},
    {"qwen3_5_text", SIZES ", tied: true, pad_token: 30, zero_centred: true, " MIXED ", mixers: {" GDN
                           ", attention: {heads: 2, kv_heads: 1, head_dim: 16, qk_norm: rms_head, qk_norm_eps: 1e-6, "
                           "output_gate: channel, rope_fraction: 0.25}}"},
    {"olmo_hybrid",
     SIZES ", " MIXED ", mixers: {gated_deltanet: {heads: 2, head_dim: 8, value_dim: 12, norm_eps: 1e-5, "
           "negative_eigenvalues: true}, attention: {heads: 4, qk_norm: rms_all, qk_norm_eps: 1e-6, "
           "rope_base: 0, norm_place: post}}"},
    {"bamba", SIZES ", schedule: {pattern: [mamba2, mamba2, attention]}, mixers: {" MAMBA
                    ", mlp: true}, attention: {heads: 2, kv_heads: 1, rope_fraction: 0.5}}"},
    {"transformer",
     SIZES ", pad_token: 0, schedule: {pattern: [attention]}, mixers: {attention: {heads: 4, window: 64}}"},
    {"retnet", SIZES ", schedule: {pattern: [retention]}, mixers: {retention: {heads: 2}}"},
    {"gla",
     SIZES ", schedule: {pattern: [gla, attention]}, mixers: {gla: {heads: 3, head_dim: 5}, attention: {heads: 2}}"},
    {"delta_net", SIZES ", schedule: {pattern: [deltanet]}, mixers: {deltanet: {heads: 2}}"},
    {"gated_deltanet", SIZES ", " MIXED ", mixers: {" GDN ", attention: {heads: 4, kv_heads: 2}}"},
    {"mla", SIZES ", schedule: {pattern: [mla]}, mixers: {mla: {heads: 2, kv_rank: 8, head_dim: 12, rope_dim: 4}}"},
    {"fla_mamba2", SIZES ", schedule: {pattern: [mamba2]}, mixers: {" MAMBA ", skip: channel}}"},
    {"hgrn", SIZES ", schedule: {pattern: [hgrn]}"},
    {"hgrn2", SIZES ", schedule: {pattern: [hgrn2]}, mixers: {hgrn2: {heads: 2}}"},
    {"log_linear_mamba2", "layers: 2, width: 24, vocab: 31, schedule: {pattern: [log_linear_mamba2]}, mixers: "
                          "{log_linear_mamba2: {heads: 1, value_dim: 12, head_dim: 8}}"},
    {"kda", SIZES ", schedule: {pattern: [kda]}, mixers: {kda: {heads: 2, head_dim: 8, value_dim: 12, gate_rank: 12, "
                  "lower_bound: -5}}"},
    {"linear_attn", SIZES ", schedule: {pattern: [linear]}, mixers: {linear: {heads: 2, feature_map: relu}}"},
    {"based", SIZES ", schedule: {pattern: [based]}, mixers: {based: {heads: 2, head_dim: 4}}"},
    {"rebased", SIZES ", schedule: {pattern: [rebased]}, mixers: {rebased: {heads: 2, head_dim: 4}}"},
    {"rwkv6",
     SIZES ", norm: layer, norm_eps: 1e-5, pre_norm: true, schedule: {pattern: [rwkv6]}, mixers: {rwkv6: {heads: 2}}"},
    {"rwkv7",
     SIZES ", norm: layer, norm_eps: 1e-5, pre_norm: true, schedule: {pattern: [rwkv7]}, mixers: {rwkv7: {heads: 2, "
           "head_dim: 12}}"},
    {"samba",
     "layers: 4, width: 24, vocab: 31, schedule: {pattern: [mamba1, attention]}, mixers: {mamba1: {head_dim: 4}, "
     "attention: {heads: 2, window: 32}}"},
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

static void load(const char *keys, hy_model_config *config) {
    char yaml[1024];
    snprintf(yaml, sizeof yaml, "{%s}", keys);
    hy_model_config_init(config);
    assert_int_equal(hy_schema_parse(&hy_model_schema, config, "test", yaml, strlen(yaml), NULL), HY_OK);
    assert_int_equal(hy_model_config_resolve(config), HY_OK);
}

static hy_hf *describe(const char *keys, const char *family, const hy_hf_extra *extra) {
    static hy_model_config config;
    hy_hf *hf = NULL;
    load(keys, &config);
    assert_int_equal(hy_hf_describe(&config, family, extra, &hf), HY_OK);
    return hf;
}

static char *slurp(const char *folder, const char *name, size_t *len) {
    char path[256], *text = NULL;
    snprintf(path, sizeof path, "%s/%s/%s", dir, folder, name);
    assert_int_equal(hy_file_read(path, 1 << 24, HY_ERR_DATA, &text, len), HY_OK);
    return text;
}

static void write_to(const hy_hf *hf, const char *folder, const hy_model *model, const float *flat, const char *types) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, folder);
    assert_int_equal(hy_hf_write(hf, path, model, HY_F32, flat, types), HY_OK);
}

/* Out, in, out again. */
static void test_round_trip(void **unused) {
    (void)unused;
    for (int i = 0; i < N_CASES; i++) {
        hy_hf *made = describe(cases[i].yaml, NULL, &(hy_hf_extra){NULL, 77}), *read = NULL;
        char path[256], *types = NULL;
        float *flat = NULL, *again = NULL;
        hy_model *model = NULL;
        if (strcmp(hy_hf_family_name(made), cases[i].family) != 0)
            fail_msg("%s became %s", cases[i].family, hy_hf_family_name(made));
        assert_int_equal(hy_model_create(hy_hf_model_config(made), 1, &model), HY_OK);
        const int64_t n = hy_model_flat_size(model);
        assert_int_equal(HY_NEW("flat", n, &flat), HY_OK);
        assert_int_equal(HY_NEW("again", n, &again), HY_OK);
        hy_model_init_params(model, 5, HY_F32, flat);
        write_to(made, "a", model, flat, NULL);
        snprintf(path, sizeof path, "%s/a", dir);
        assert_int_equal(hy_hf_open(path, &read), HY_OK);
        assert_true(hy_hf_fits(read, hy_hf_model_config(made)));
        assert_int_equal(hy_hf_read_params(read, path, model, HY_F32, again, &types), HY_OK);
        assert_memory_equal(flat, again, (size_t)n * sizeof *flat);
        write_to(read, "b", model, again, types);
        static const char *const files[] = {"config.json", "model.safetensors"};
        for (int f = 0; f < 2; f++) {
            size_t la, lb;
            char *a = slurp("a", files[f], &la), *b = slurp("b", files[f], &lb);
            assert_int_equal(la, lb);
            assert_memory_equal(a, b, la);
            hy_free(a);
            hy_free(b);
        }
        hy_free(types);
        hy_free(flat);
        hy_free(again);
        hy_model_destroy(model);
        hy_hf_close(made);
        hy_hf_close(read);
    }
}

/* No family that can be written is without a case. */
static void test_all_families(void **unused) {
    (void)unused;
    for (int i = 0; hy_hf_family_at(i); i++) {
        bool found = !hy_hf_family_at(i)->describe;
        for (int c = 0; c < N_CASES && !found; c++)
            found = strcmp(cases[c].family, hy_hf_family_called(hy_hf_family_at(i))) == 0;
        if (!found)
            fail_msg("%s has no case", hy_hf_family_called(hy_hf_family_at(i)));
    }
}

static const char mamba2_json[] = "{\n"
                                  "  \"architectures\": [\n"
                                  "    \"Mamba2ForCausalLM\"\n"
                                  "  ],\n"
                                  "  \"bos_token_id\": null,\n"
                                  "  \"conv_kernel\": 4,\n"
                                  "  \"dtype\": \"float32\",\n"
                                  "  \"eos_token_id\": null,\n"
                                  "  \"expand\": 2,\n"
                                  "  \"head_dim\": 12,\n"
                                  "  \"hidden_act\": \"silu\",\n"
                                  "  \"hidden_size\": 24,\n"
                                  "  \"initializer_range\": 0.02,\n"
                                  "  \"layer_norm_epsilon\": 1e-06,\n"
                                  "  \"max_position_embeddings\": 77,\n"
                                  "  \"model_type\": \"mamba2\",\n"
                                  "  \"n_groups\": 2,\n"
                                  "  \"num_heads\": 4,\n"
                                  "  \"num_hidden_layers\": 4,\n"
                                  "  \"pad_token_id\": null,\n"
                                  "  \"state_size\": 8,\n"
                                  "  \"tie_word_embeddings\": false,\n"
                                  "  \"time_step_limit\": [\n"
                                  "    0.001,\n"
                                  "    Infinity\n"
                                  "  ],\n"
                                  "  \"use_bias\": true,\n"
                                  "  \"use_cache\": true,\n"
                                  "  \"use_conv_bias\": true,\n"
                                  "  \"vocab_size\": 31\n"
                                  "}\n";

/* As Python writes it: whole counts are integers, reals stay reals and are as short as they read back. */
static void test_text(void **unused) {
    (void)unused;
    size_t len;
    hy_hf *hf = describe(cases[1].yaml, NULL, &(hy_hf_extra){NULL, 77});
    assert_string_equal(hy_hf_config_text(hf, &len), mamba2_json);
    hy_hf_close(hf);
    hf = describe(cases[0].yaml, NULL, &(hy_hf_extra){0});
    const char *text = hy_hf_config_text(hf, &len);
    assert_non_null(strstr(text, "\"rope_theta\": 500000.0,"));
    assert_non_null(strstr(text, "\"pad_token_id\": 7,"));
    assert_non_null(strstr(text, "\"rms_norm_eps\": 1e-06,"));
    assert_null(strstr(text, "max_position_embeddings")); /* never trained */
    hy_hf_close(hf);
}

/* Special tokens and length of the model that it was imported as. */
static void test_extra(void **unused) {
    (void)unused;
    static const char before[] = "{\"model_type\":\"llama\",\"eos_token_id\":[2,3],\"text_config\":{\"bos_token_id\":1,"
                                 "\"max_position_embeddings\":4096}}";
    size_t len;
    for (int more = 0; more < 2; more++) {
        hy_hf *hf = describe(cases[9].yaml, NULL, &(hy_hf_extra){before, more ? 65536 : 64});
        const char *text = hy_hf_config_text(hf, &len);
        assert_non_null(strstr(text, "\"eos_token_id\": [\n    2,\n    3\n  ]"));
        assert_non_null(strstr(text, "\"bos_token_id\": 1,"));
        assert_non_null(
            strstr(text, more ? "\"max_position_embeddings\": 65536," : "\"max_position_embeddings\": 4096,"));
        hy_hf_close(hf);
    }
}

static void test_allow_positions(void **unused) {
    (void)unused;
    static const struct {
        int64_t positions;
        const char *text;
    } wanted[] = {{4000, "{\"model_type\":\"mla\", \"max_position_embeddings\" : 4096,\"max_length\":7}"},
                  {131072, "{\"model_type\":\"mla\", \"max_position_embeddings\" : 131072,\"max_length\":7}"}};
    for (int i = 0; i < 2; i++) {
        hy_hf *hf = NULL;
        size_t len;
        assert_int_equal(hy_hf_parse("test", wanted[0].text, strlen(wanted[0].text), &hf), HY_OK);
        assert_int_equal(hy_hf_allow_positions(hf, wanted[i].positions), HY_OK);
        assert_string_equal(hy_hf_config_text(hf, &len), wanted[i].text);
        assert_int_equal(len, strlen(wanted[i].text));
        hy_hf_close(hf);
    }
}

static void test_refusals(void **unused) {
    (void)unused;
    static const struct {
        int model;
        const char *family, *word;
    } refused[] = {
        {9, "llama", "layer 0 is gated_deltanet"},
        {9, "qwen3_5_text", "model.zero_centred is false"},
        {9, "olmo_hybrid", "model.mixers.gated_deltanet.norm_eps is 1e-06"},
        {9, "bamba", "layer 0 is gated_deltanet"},
        {5, "llama", "model.mixers.attention.window is 64"},
        {0, "transformer", "model.mixers.attention.head_dim is 8"},
        {0, "qwen3_5_text", "no layer is gated_deltanet"},
        {11, "mamba2", "model.mixers.mamba2.skip is channel"},
        {1, "bamba", "no layer is attention"},
        {2, "gated_deltanet", "model.zero_centred is true"},
        {0, "gpt2", "not known; these can be: llama, mamba2"},
        {0, "qwen3_5", "only read"},
    };
    static hy_model_config config;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        hy_hf *hf = NULL;
        load(cases[refused[i].model].yaml, &config);
        capture_begin();
        const hy_status status = hy_hf_describe(&config, refused[i].family, &(hy_hf_extra){0}, &hf);
        const char *message = capture_end();
        if (status != HY_ERR_USAGE || !strstr(message, refused[i].word))
            fail_msg("%s: status %d, %s", refused[i].family, (int)status, message);
    }
    load(SIZES
         ", schedule: {pattern: [attention, gla]}, mixers: {attention: {heads: 2}, gla: {heads: 2, gate_rank: 5}}",
         &config);
    hy_hf *hf = NULL;
    capture_begin();
    assert_int_equal(hy_hf_describe(&config, NULL, &(hy_hf_extra){0}, &hf), HY_ERR_USAGE);
    assert_contains(capture_end(), "gla: model.mixers.gla.gate_rank is 5");
}

static void test_companions(void **unused) {
    (void)unused;
    char from[64], to[64], path[128];
    int64_t n;
    size_t len;
    snprintf(from, sizeof from, "%s/from", dir);
    snprintf(to, sizeof to, "%s/to", dir);
    assert_int_equal(hy_hf_companions_copy(from, to, &n), HY_OK);
    assert_true(n == 0 && !hy_file_exists(to));
    assert_int_equal(hy_file_make_dirs(from, HY_ERR_FAILED), HY_OK);
    static const char *const names[] = {"tokenizer.json", "generation_config.json", "model.safetensors"};
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", from, names[i]);
        assert_int_equal(hy_file_write_atomic(path, names[i], strlen(names[i]), HY_ERR_FAILED), HY_OK);
    }
    assert_int_equal(hy_hf_companions_copy(from, to, &n), HY_OK);
    assert_int_equal(n, 2);
    char *text = slurp("to", "tokenizer.json", &len);
    assert_string_equal(text, "tokenizer.json");
    hy_free(text);
    snprintf(path, sizeof path, "%s/model.safetensors", to);
    assert_false(hy_file_exists(path));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),      cmocka_unit_test(test_all_families), cmocka_unit_test(test_text),
        cmocka_unit_test(test_extra),           cmocka_unit_test(test_refusals),     cmocka_unit_test(test_companions),
        cmocka_unit_test(test_allow_positions),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
