/* Published models: every tiny model of the data folder is understood, its tensors go in and come out byte for byte, and what would
 * change the mathematics without being supported is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "train/publish/hf.h"
#include "train/publish/safetensors.h"

static const char *const models[] = {"transformer",
                                     "retnet",
                                     "gla",
                                     "gla_hybrid_packed",
                                     "delta_net",
                                     "gated_deltanet",
                                     "gated_deltanet_hybrid",
                                     "gated_deltanet_hybrid_packed",
                                     "mla",
                                     "mla_packed",
                                     "mamba2",
                                     "log_linear_mamba2",
                                     "kda",
                                     "kda_hybrid_packed",
                                     "kda_safe_gate",
                                     "linear_attn",
                                     "linear_attn_relu_norm",
                                     "based",
                                     "rebased",
                                     "samba",
                                     "hgrn",
                                     "hgrn2",
                                     "rwkv6",
                                     "rwkv6_packed",
                                     "rwkv7",
                                     "rwkv7_packed"};
enum { N_MODELS = sizeof models / sizeof models[0] };

static char dir[] = "/tmp/hylas-hf-XXXXXX";
static char log_path[64];

static int make_dir(void **unused) {
    (void)unused;
    if (!mkdtemp(dir))
        return 1;
    snprintf(log_path, sizeof log_path, "%s/log", dir);
    return 0;
}

static int remove_dir(void **unused) {
    (void)unused;
    static const char *const names[] = {"config.json", "model.safetensors", "log"};
    for (int i = 0; i < 3; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

static const char *model_dir(int i) {
    static char path[512];
    snprintf(path, sizeof path, "%s/models/%s", HY_TEST_DATA, models[i]);
    return path;
}

static char *slurp(const char *folder, const char *name, size_t *len) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = malloc(1 << 20);
    assert_non_null(text);
    *len = fread(text, 1, 1 << 20, file);
    assert_true(*len < 1 << 20);
    fclose(file);
    return text;
}

static void assert_same_file(const char *a, const char *b, const char *name) {
    size_t la, lb;
    char *x = slurp(a, name, &la), *y = slurp(b, name, &lb);
    assert_int_equal(la, lb);
    assert_memory_equal(x, y, la);
    free(x), free(y);
}

/* Model `i` with its parameters as dtype. */
static void load(int i, hy_dtype dtype, hy_hf **hf, hy_model **model, void **flat, char **types) {
    assert_int_equal(hy_hf_open(model_dir(i), hf), HY_OK);
    assert_int_equal(hy_model_create(hy_hf_model_config(*hf), 3, model), HY_OK);
    assert_int_equal(hy_alloc("flat", (size_t)hy_model_flat_size(*model) * hy_dtype_size(dtype), flat), HY_OK);
    assert_int_equal(hy_hf_read_params(*hf, model_dir(i), *model, dtype, *flat, types), HY_OK);
}

static void unload(hy_hf *hf, hy_model *model, void *flat, char *types) {
    hy_free(flat);
    hy_free(types);
    hy_model_destroy(model);
    hy_hf_close(hf);
}

static void test_files_come_back(void **unused) {
    (void)unused;
    for (int i = 0; i < N_MODELS; i++)
        for (int d = 0; d < 2; d++) {
            hy_hf *hf;
            hy_model *model;
            void *flat;
            char *types;
            hy_dtype dtype = d ? HY_F64 : HY_F32;
            load(i, dtype, &hf, &model, &flat, &types);
            assert_int_equal(hy_hf_write(hf, dir, model, dtype, flat, types), HY_OK);
            assert_same_file(model_dir(i), dir, "model.safetensors");
            assert_same_file(model_dir(i), dir, "config.json");
            unload(hf, model, flat, types);
        }
}

/* A description made from our own config, without the original, must give the same tensors. */
static void test_description_is_exact(void **unused) {
    (void)unused;
    for (int i = 0; i < N_MODELS; i++) {
        hy_hf *hf, *made;
        hy_model *model;
        void *flat;
        char *types;
        load(i, HY_F32, &hf, &model, &flat, &types);
        assert_int_equal(hy_hf_describe(hy_hf_model_config(hf), NULL, &(hy_hf_extra){0}, &made), HY_OK);
        assert_string_equal(hy_hf_model_config(made)->family, hy_hf_model_config(hf)->family);
        assert_int_equal(hy_hf_write(made, dir, model, HY_F32, flat, NULL), HY_OK);
        assert_same_file(model_dir(i), dir, "model.safetensors");
        hy_hf_close(made);
        unload(hf, model, flat, types);
    }
}

typedef struct flat_source {
    const hy_model *model;
    const float *flat;
} flat_source;

static hy_status give_params(void *context, const hy_safetensor *tensor, int64_t first, int64_t n, hy_dtype dtype,
                             void *out) {
    const flat_source *s = context;
    int64_t count;
    const hy_param *params = hy_model_params(s->model, &count);
    assert_int_equal(dtype, HY_F32);
    for (int64_t i = 0; i < count; i++)
        if (strcmp(params[i].name, tensor->name) == 0) {
            memcpy(out, s->flat + params[i].offset + first, (size_t)n * sizeof(float));
            return HY_OK;
        }
    return HY_ERR_FAILED;
}

/* A published model in bfloat16 but for its norms, as large ones are: the same bytes after in and out. */
static void test_bfloat16_comes_back(void **unused) {
    (void)unused;
    hy_hf *hf;
    hy_model *model;
    void *flat;
    char *types, path[128];
    size_t len;
    load(6, HY_F32, &hf, &model, &flat, &types);
    hy_free(types);
    flat_source source = {model, flat};
    int64_t n;
    const hy_param *params = hy_model_params(model, &n);
    hy_safetensor *tensors = calloc((size_t)n, sizeof *tensors);
    assert_non_null(tensors);
    for (int64_t i = 0; i < n; i++) {
        tensors[i] = (hy_safetensor){.name = params[i].name,
                                     .type = strstr(params[i].name, "norm") ? HY_SAFETENSOR_F32 : HY_SAFETENSOR_BF16,
                                     .n_dims = params[i].n_dims};
        memcpy(tensors[i].shape, params[i].shape, sizeof params[i].shape);
    }
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    assert_int_equal(hy_safetensors_write(path, tensors, n, give_params, &source), HY_OK);
    char *before = slurp(dir, "model.safetensors", &len);
    memset(flat, 0, (size_t)hy_model_flat_size(model) * sizeof(float));
    assert_int_equal(hy_hf_read_params(hf, dir, model, HY_F32, flat, &types), HY_OK);
    assert_int_equal(hy_hf_write(hf, dir, model, HY_F32, flat, types), HY_OK);
    size_t after_len;
    char *after = slurp(dir, "model.safetensors", &after_len);
    assert_int_equal(len, after_len);
    assert_memory_equal(before, after, len);
    free(before), free(after), free(tensors);
    unload(hf, model, flat, types);
}

typedef struct seen {
    int64_t tensors, elements;
    bool unfused;
} seen;

static hy_status look(void *context, const char *name, int n_dims, const int64_t *shape, const void *data) {
    seen *s = context;
    int64_t size = 1;
    for (int d = 0; d < n_dims; d++)
        size *= shape[d];
    assert_non_null(data);
    s->tensors++;
    s->elements += size;
    s->unfused = s->unfused || strstr(name, ".attn.g_norm.weight");
    return HY_OK;
}

/* gla's output norm has another name where it was not fused with its gate. */
static void test_unfused_norm_is_renamed(void **unused) {
    (void)unused;
    size_t len;
    char *text = slurp(model_dir(2), "config.json", &len);
    json_t *json = json_loadb(text, len, 0, NULL);
    json_object_set_new(json, "fuse_norm", json_false());
    char *changed = json_dumps(json, 0);
    hy_hf *hf;
    hy_model *model;
    float *flat;
    seen s = {0};
    assert_int_equal(hy_hf_parse("changed", changed, strlen(changed), &hf), HY_OK);
    assert_int_equal(hy_model_create(hy_hf_model_config(hf), 1, &model), HY_OK);
    assert_int_equal(HY_NEW("flat", hy_model_flat_size(model), &flat), HY_OK);
    assert_int_equal(hy_hf_visit_tensors(hf, model, HY_F32, flat, look, &s), HY_OK);
    int64_t n;
    hy_model_params(model, &n);
    assert_int_equal(s.tensors, n);
    assert_int_equal(s.elements, hy_model_parameter_count(model));
    assert_true(s.unfused);
    hy_free(flat);
    hy_model_destroy(model);
    hy_hf_close(hf);
    json_decref(json);
    free(changed), free(text);
}

/* Parses config.json of model `i` with `key` set to `value` (JSON text); the log's last words go to `message`. */
static hy_status parse_changed(int i, const char *key, const char *value, char *message, size_t size,
                               hy_model_config *out) {
    size_t len;
    char *text = slurp(model_dir(i), "config.json", &len);
    json_t *json = json_loadb(text, len, 0, NULL);
    assert_int_equal(json_object_set_new(json, key, json_loads(value, JSON_DECODE_ANY, NULL)), 0);
    char *changed = json_dumps(json, 0);
    hy_hf *hf = NULL;
    remove(log_path);
    assert_int_equal(hy_log_set_file(log_path), HY_OK);
    hy_status status = hy_hf_parse("config.json", changed, strlen(changed), &hf);
    assert_int_equal(hy_log_set_file(NULL), HY_OK);
    if (status == HY_OK && out)
        *out = *hy_hf_model_config(hf);
    hy_hf_close(hf);
    FILE *log = fopen(log_path, "rb");
    message[0] = '\0';
    if (log) {
        message[fread(message, 1, size - 1, log)] = '\0';
        fclose(log);
    }
    json_decref(json);
    free(changed), free(text);
    return status;
}

/* RetNet's model class has the keys of a short convolution but never builds one; gla's does. */
static void test_retnet_has_no_convolution(void **unused) {
    (void)unused;
    char message[1024];
    hy_model_config *model = calloc(1, sizeof *model);
    assert_non_null(model);
    for (int i = 1; i <= 2; i++) {
        assert_int_equal(parse_changed(i, "use_short_conv", "true", message, sizeof message, model), HY_OK);
        assert_int_equal(model->mixers[0].conv, i == 1 ? 0 : 4);
    }
    free(model);
}

static void test_unsupported_keys_are_named(void **unused) {
    (void)unused;
    static const struct {
        int model;
        const char *key, *value;
        hy_status want;
    } cases[] = {
        {0, "window_size", "37", HY_OK},
        {0, "qk_norm", "true", HY_OK},
        {0, "qkv_bias", "true", HY_OK},
        {0, "some_new_key", "1", HY_ERR_USAGE},
        {0, "expand_k", "1.0", HY_ERR_USAGE}, /* known elsewhere, not to this family */
        {0, "hidden_act", "\"gelu\"", HY_ERR_USAGE},
        {0, "elementwise_affine", "false", HY_ERR_USAGE},
        {0, "use_l2warp", "true", HY_ERR_USAGE},
        {0, "attnres_block_size", "4", HY_ERR_USAGE},
        {0, "quantization_config", "{\"bits\":4}", HY_ERR_USAGE},
        {0, "rope_scaling", "{\"factor\":4}", HY_ERR_USAGE},
        {0, "num_kv_heads", "3", HY_ERR_USAGE},
        {0, "rope_theta", "0", HY_ERR_USAGE},
        {0, "model_type", "\"mistral\"", HY_ERR_USAGE},
        {0, "hidden_size", "\"wide\"", HY_ERR_DATA},
        {0, "hidden_size", "-4", HY_ERR_DATA},
        {0, "qkv_bias", "1", HY_ERR_DATA},
        {1, "feature_map", "\"relu\"", HY_OK},
        {1, "feature_map", "\"gelu\"", HY_ERR_USAGE},
        {1, "use_short_conv", "true", HY_OK},
        {1, "expand_v", "1.03", HY_ERR_USAGE},
        {2, "clamp_min", "-1.5", HY_OK},
        {2, "use_gv", "true", HY_ERR_USAGE},
        {2, "use_gk", "false", HY_ERR_USAGE},
        {2, "norm_eps", "-1", HY_ERR_USAGE},
        {3, "attn", "{\"layers\":[0],\"num_heads\":4,\"sinks\":1}", HY_ERR_USAGE},
        {3, "attn", "{\"layers\":[0]}", HY_ERR_DATA},
        {3, "attn", "{\"num_heads\":4}", HY_ERR_USAGE},
        {3, "attn", "7", HY_ERR_USAGE},
        {3, "attn", "[{\"layers\":[0],\"num_heads\":4},{\"layers\":[0],\"num_heads\":2}]", HY_ERR_USAGE},
        {4, "qk_norm", "\"sum\"", HY_OK},
        {4, "qk_norm", "\"rms\"", HY_ERR_USAGE},
        {4, "qk_activation", "\"elu\"", HY_OK},
        {4, "qk_activation", "\"tanh\"", HY_ERR_USAGE},
        {4, "use_output_norm", "false", HY_ERR_USAGE},
        {5, "allow_neg_eigval", "true", HY_OK},
        {5, "output_gate_activation", "\"relu\"", HY_ERR_USAGE},
        {5, "num_v_heads", "3", HY_ERR_USAGE},
        {8, "window_size", "5", HY_OK},
        {8, "rope_scaling", "{\"factor\":4}", HY_OK}, /* not used by the model's code */
        {8, "q_lora_rank", "null", HY_OK},
        {8, "qk_head_dim", "null", HY_OK},
        {8, "qk_head_dim", "20", HY_ERR_USAGE},
        {8, "rope_theta", "0", HY_ERR_USAGE},
    };
    char message[2048];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(parse_changed(cases[i].model, cases[i].key, cases[i].value, message, sizeof message, NULL),
                         cases[i].want);
        if (cases[i].want != HY_OK)
            assert_non_null(strstr(message, cases[i].key));
    }
}

static void test_options_reach_the_model(void **unused) {
    (void)unused;
    char message[2048];
    hy_model_config c;
    const hy_mixer_config *m = c.mixers;
    assert_int_equal(parse_changed(5, "allow_neg_eigval", "true", message, sizeof message, &c), HY_OK);
    assert_true(m[c.layer_mixer[0]].negative_eigenvalues && m[c.layer_mixer[0]].value_dim == 32 &&
                m[c.layer_mixer[0]].head_dim == 16);
    assert_int_equal(parse_changed(5, "use_gate", "false", message, sizeof message, &c), HY_OK);
    assert_true(m[c.layer_mixer[2]].output_gate == HY_GATE_NONE);
    assert_int_equal(parse_changed(2, "clamp_min", "-1.5", message, sizeof message, &c), HY_OK);
    assert_true(m[c.layer_mixer[0]].gate_floor == -1.5);
    assert_int_equal(parse_changed(0, "intermediate_size", "null", message, sizeof message, &c), HY_OK);
    assert_int_equal(c.mlp_width, 256);
    assert_int_equal(parse_changed(8, "q_lora_rank", "null", message, sizeof message, &c), HY_OK);
    assert_true(m[c.layer_mixer[0]].q_rank == 0 && m[c.layer_mixer[0]].head_dim == 24 &&
                m[c.layer_mixer[0]].rope_dim == 8);
    const char *specs =
        "[{\"layers\":[0],\"num_heads\":4,\"window_size\":9},{\"layers\":[2,77],\"num_heads\":2,\"rope_theta\":500}]";
    assert_int_equal(parse_changed(2, "attn", specs, message, sizeof message, &c), HY_OK);
    assert_non_null(strstr(message, "attn.layers")); /* 77 is no layer: a warning */
    assert_true(m[c.layer_mixer[0]].window == 9 && m[c.layer_mixer[0]].heads == 4 && m[c.layer_mixer[0]].kv_heads == 4);
    assert_string_equal(m[c.layer_mixer[1]].kind, "gla");
    assert_true(m[c.layer_mixer[2]].window == 0 && m[c.layer_mixer[2]].heads == 2 &&
                m[c.layer_mixer[2]].rope_base == 500);
    hy_hf *made;
    assert_int_equal(hy_hf_describe(&c, NULL, &(hy_hf_extra){0}, &made), HY_OK);
    hy_hf_close(made);
}

/* Keys may be missing: then the library's own defaults hold. */
static void test_mla_defaults(void **unused) {
    (void)unused;
    static const char text[] = "{\"model_type\":\"mla\"}";
    hy_hf *hf;
    assert_int_equal(hy_hf_parse("config.json", text, strlen(text), &hf), HY_OK);
    const hy_model_config *c = hy_hf_model_config(hf);
    const hy_mixer_config *m = &c->mixers[c->layer_mixer[0]];
    assert_true(c->layers == 24 && c->width == 2048 && m->heads == 16 && m->head_dim == 192 && m->rope_dim == 64);
    assert_true(m->value_dim == 128 && m->kv_rank == 512 && m->q_rank == 64 && m->window == 0 && m->rope_base == 10000);
    hy_hf_close(hf);
}

static void test_bad_json(void **unused) {
    (void)unused;
    static const char *const texts[] = {"",
                                        "[",
                                        "[]",
                                        "{}x",
                                        "{\"model_type\":\"gla\",\"model_type\":\"gla\"}",
                                        "\"gla\"",
                                        "{\"model_type\":Infinite}"};
    hy_hf *hf;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_int_equal(hy_hf_parse("bad", texts[i], strlen(texts[i]), &hf), HY_ERR_DATA);
    assert_int_equal(hy_hf_parse("bad", "{}", 2, &hf), HY_ERR_USAGE);
    const char *infinite = "{\"model_type\":\"gla\",\"clamp_min\":-Infinity,\"_name_or_path\":\"a \\\" Infinity\"}";
    assert_int_equal(hy_hf_parse("good", infinite, strlen(infinite), &hf), HY_OK);
    hy_hf_close(hf);
    assert_int_equal(hy_hf_open("/nonexistent", &hf), HY_ERR_DATA);
}

static hy_status give_ones(void *context, const hy_safetensor *tensor, int64_t first, int64_t n, hy_dtype dtype,
                           void *out) {
    (void)context, (void)tensor, (void)first, (void)dtype;
    for (int64_t i = 0; i < n; i++)
        ((float *)out)[i] = 1;
    return HY_OK;
}

/* The tensors of a published file, the first renamed, dropped, reshaped, or one added. */
static void test_wrong_tensors(void **unused) {
    (void)unused;
    hy_hf *hf;
    hy_model *model;
    void *flat;
    char *types, path[128];
    hy_safetensors *set;
    int64_t n;
    load(2, HY_F32, &hf, &model, &flat, &types);
    assert_int_equal(hy_safetensors_open(model_dir(2), &set), HY_OK);
    const hy_safetensor *all = hy_safetensors_all(set, &n);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    for (int change = 0; change < 5; change++) {
        hy_safetensor *copy = calloc((size_t)n + 1, sizeof *copy);
        assert_non_null(copy);
        memcpy(copy, all, (size_t)n * sizeof *copy);
        int64_t count = n;
        if (change == 1)
            copy[0].name = "model.surplus.weight";
        else if (change == 2)
            copy[0] = copy[--count];
        else if (change == 3)
            copy[0].shape[0] *= 2;
        else if (change == 4)
            copy[count++] = (hy_safetensor){
                .name = "model.layers.0.attn.rotary.inv_freq", .type = HY_SAFETENSOR_F32, .n_dims = 1, .shape = {4}};
        assert_int_equal(hy_safetensors_write(path, copy, count, give_ones, NULL), HY_OK);
        assert_int_equal(hy_hf_read_params(hf, dir, model, HY_F32, flat, NULL),
                         change == 0 || change == 4 ? HY_OK : HY_ERR_DATA);
        free(copy);
    }
    hy_safetensors_close(set);
    unload(hf, model, flat, types);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_come_back),
        cmocka_unit_test(test_description_is_exact),
        cmocka_unit_test(test_bfloat16_comes_back),
        cmocka_unit_test(test_unfused_norm_is_renamed),
        cmocka_unit_test(test_retnet_has_no_convolution),
        cmocka_unit_test(test_unsupported_keys_are_named),
        cmocka_unit_test(test_options_reach_the_model),
        cmocka_unit_test(test_bad_json),
        cmocka_unit_test(test_mla_defaults),
        cmocka_unit_test(test_wrong_tensors),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
