/* Published decoders of transformers' library: their tensors go in and come out as they were, in every form their files have had, whole
 * or in shards; keys that changed their place over the versions mean the same; what is not supported is refused by name. */
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

static char dir[] = "/tmp/hylas-decoders-XXXXXX";

static int make_dir(void **unused) {
    (void)unused;
    return !mkdtemp(dir);
}

static int remove_dir(void **unused) {
    (void)unused;
    static const char *const names[] = {
        "config.json", "model.safetensors", "a.safetensors", "b.safetensors", "model.safetensors.index.json", "log"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

static const char *model_dir(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/models/hf_%s", HY_TEST_DATA, name);
    return path;
}

static const char *in_dir(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static char *slurp(const char *folder, const char *name, size_t *len) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = malloc(1 << 20);
    assert_non_null(text);
    *len = fread(text, 1, (1 << 20) - 1, file);
    text[*len] = '\0';
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

/* A model with the parameters of the files in `folder`. */
typedef struct loaded {
    hy_hf *hf;
    hy_model *model;
    float *flat;
    char *types;
} loaded;

static loaded load(const char *config_folder, const char *folder) {
    loaded m = {0};
    assert_int_equal(hy_hf_open(config_folder, &m.hf), HY_OK);
    assert_int_equal(hy_model_create(hy_hf_model_config(m.hf), 1, &m.model), HY_OK);
    assert_int_equal(HY_NEW("flat", hy_model_flat_size(m.model), &m.flat), HY_OK);
    assert_int_equal(hy_hf_read_params(m.hf, folder, m.model, HY_F32, m.flat, &m.types), HY_OK);
    return m;
}

static void unload(loaded *m) {
    hy_free(m->flat);
    hy_free(m->types);
    hy_model_destroy(m->model);
    hy_hf_close(m->hf);
}

static void assert_same_params(const loaded *a, const loaded *b) {
    assert_int_equal(hy_model_flat_size(a->model), hy_model_flat_size(b->model));
    assert_memory_equal(a->flat, b->flat, (size_t)hy_model_flat_size(a->model) * sizeof(float));
}

static void test_files_come_back(void **unused) {
    (void)unused;
    static const char *const models[] = {"llama", "llama_packed", "qwen3_5", "olmo_hybrid", "mamba2", "bamba"};
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        loaded m = load(model_dir(models[i]), model_dir(models[i]));
        assert_int_equal(hy_hf_write(m.hf, dir, m.model, HY_F32, m.flat, m.types), HY_OK);
        assert_same_file(model_dir(models[i]), dir, "model.safetensors");
        assert_same_file(model_dir(models[i]), dir, "config.json");
        unload(&m);
    }
}

/* A description made from our own config, without the original, gives the same tensors. */
static void test_description_is_exact(void **unused) {
    (void)unused;
    static const char *const models[] = {"llama", "llama_packed", "qwen3_5", "olmo_hybrid", "bamba"};
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        loaded m = load(model_dir(models[i]), model_dir(models[i]));
        hy_hf *made = NULL;
        assert_int_equal(hy_hf_describe(hy_hf_model_config(m.hf), NULL, &(hy_hf_extra){0}, &made), HY_OK);
        assert_string_equal(hy_hf_model_config(made)->family, hy_hf_model_config(m.hf)->family);
        assert_int_equal(hy_hf_write(made, dir, m.model, HY_F32, m.flat, NULL), HY_OK);
        assert_same_file(model_dir(models[i]), dir, "model.safetensors");
        hy_hf_close(made);
        unload(&m);
    }
}

/* Tensors held in memory, to be written under other names or divided otherwise. */
typedef struct tensor {
    char name[160];
    hy_safetensor_type type;
    int n_dims;
    int64_t shape[4], size;
    float *data;
} tensor;

typedef struct tensor_list {
    int64_t n;
    tensor *all;
} tensor_list;

static tensor_list read_tensors(const char *folder) {
    hy_safetensors *set;
    tensor_list list;
    assert_int_equal(hy_safetensors_open(folder, &set), HY_OK);
    const hy_safetensor *all = hy_safetensors_all(set, &list.n);
    list.all = calloc((size_t)list.n, sizeof *list.all);
    assert_non_null(list.all);
    for (int64_t i = 0; i < list.n; i++) {
        tensor *t = &list.all[i];
        snprintf(t->name, sizeof t->name, "%s", all[i].name);
        t->type = all[i].type;
        t->n_dims = all[i].n_dims < 4 ? all[i].n_dims : 4;
        memcpy(t->shape, all[i].shape, sizeof t->shape);
        t->size = all[i].size;
        t->data = malloc((size_t)t->size * sizeof(float) + 1);
        assert_non_null(t->data);
        assert_int_equal(hy_safetensors_read(set, &all[i], 0, t->size, HY_F32, t->data), HY_OK);
    }
    hy_safetensors_close(set);
    return list;
}

static void free_tensors(tensor_list *list) {
    for (int64_t i = 0; i < list->n; i++)
        free(list->all[i].data);
    free(list->all);
}

static tensor *find(const tensor_list *list, const char *name) {
    for (int64_t i = 0; i < list->n; i++)
        if (strcmp(list->all[i].name, name) == 0)
            return &list->all[i];
    return NULL;
}

static hy_status give(void *context, const hy_safetensor *wanted, int64_t first, int64_t n, hy_dtype dtype, void *out) {
    const tensor *t = find(context, wanted->name);
    assert_non_null(t);
    assert_int_equal(dtype, HY_F32);
    memcpy(out, t->data + first, (size_t)n * sizeof(float));
    return HY_OK;
}

/* Tensors begin .. end − 1 of the list into one file. */
static void write_tensors(const char *path, const tensor_list *list, int64_t begin, int64_t end) {
    hy_safetensor *out = calloc((size_t)(end - begin) + 1, sizeof *out);
    assert_non_null(out);
    for (int64_t i = begin; i < end; i++) {
        out[i - begin] =
            (hy_safetensor){.name = list->all[i].name, .type = list->all[i].type, .n_dims = list->all[i].n_dims};
        memcpy(out[i - begin].shape, list->all[i].shape, sizeof list->all[i].shape);
    }
    assert_int_equal(hy_safetensors_write(path, out, end - begin, give, (void *)(uintptr_t)list), HY_OK);
    free(out);
}

/* The published form around the text model: what sees is skipped, all else comes back under its name. */
static void test_nested_skips_by_name(void **unused) {
    (void)unused;
    loaded m = load(model_dir("qwen3_5_nested"), model_dir("qwen3_5_nested"));
    assert_int_equal(hy_hf_write(m.hf, dir, m.model, HY_F32, m.flat, m.types), HY_OK);
    tensor_list before = read_tensors(model_dir("qwen3_5_nested")), after = read_tensors(dir);
    int64_t kept = 0;
    for (int64_t i = 0; i < before.n; i++) {
        const tensor *b = &before.all[i], *a = find(&after, b->name);
        if (strncmp(b->name, "model.visual.", 13) == 0 || strncmp(b->name, "mtp.", 4) == 0) {
            assert_null(a);
            continue;
        }
        kept++;
        assert_non_null(a);
        assert_memory_equal(a->shape, b->shape, sizeof a->shape);
        assert_memory_equal(a->data, b->data, (size_t)a->size * sizeof(float));
    }
    assert_int_equal(kept, after.n);
    free_tensors(&before), free_tensors(&after);
    unload(&m);
}

/* Renames every tensor of the softmax layer 3 (`full`), or of the linear layers. */
static void rename_norms(tensor_list *list, bool full, const char *from, const char *to) {
    for (int64_t i = 0; i < list->n; i++) {
        char *name = list->all[i].name, tail[160], *at = strstr(name, from);
        if (at && full == (strstr(name, ".layers.3.") != NULL)) {
            snprintf(tail, sizeof tail, "%s", at + strlen(from));
            snprintf(at, sizeof list->all[i].name - (size_t)(at - name), "%s%s", to, tail);
        }
    }
}

/* q, k, v filters of a layer one after the other, cut again into three of equal height. */
static void cut_filters(tensor_list *list, int layer) {
    tensor *part[3];
    int64_t rows = 0, done = 0;
    for (int i = 0; i < 3; i++) {
        char name[160];
        snprintf(name, sizeof name, "model.layers.%d.linear_attn.%c_conv1d.weight", layer, "qkv"[i]);
        part[i] = find(list, name);
        assert_non_null(part[i]);
        rows += part[i]->shape[0];
    }
    int64_t width = part[0]->size / part[0]->shape[0];
    float *all = malloc((size_t)(rows * width) * sizeof(float));
    assert_non_null(all);
    for (int i = 0; i < 3; i++) {
        memcpy(all + done, part[i]->data, (size_t)part[i]->size * sizeof(float));
        done += part[i]->size;
    }
    assert_int_equal(rows % 3, 0);
    for (int i = 0; i < 3; i++) {
        part[i]->shape[0] = rows / 3;
        part[i]->size = rows / 3 * width;
        part[i]->data = realloc(part[i]->data, (size_t)part[i]->size * sizeof(float));
        assert_non_null(part[i]->data);
        memcpy(part[i]->data, all + i * part[i]->size, (size_t)part[i]->size * sizeof(float));
    }
    free(all);
}

/* The two other forms of OLMo-Hybrid's files hold the same parameters, and come back in their form. */
static void test_olmo_forms(void **unused) {
    (void)unused;
    for (int form = 0; form < 2; form++) {
        tensor_list list = read_tensors(model_dir("olmo_hybrid"));
        if (form == 0) {
            rename_norms(&list, false, ".feedforward_layer_norm.", ".post_attention_layernorm.");
            rename_norms(&list, false, ".attention_layer_norm.", ".input_layernorm.");
        } else {
            rename_norms(&list, true, ".post_attention_layernorm.", ".feedforward_layer_norm.");
            for (int layer = 0; layer < 3; layer++)
                cut_filters(&list, layer);
        }
        write_tensors(in_dir("model.safetensors"), &list, 0, list.n);
        size_t before_len, after_len;
        char *before = slurp(dir, "model.safetensors", &before_len);
        loaded original = load(model_dir("olmo_hybrid"), model_dir("olmo_hybrid")),
               m = load(model_dir("olmo_hybrid"), dir);
        assert_same_params(&original, &m);
        assert_int_equal(hy_hf_write(original.hf, dir, m.model, HY_F32, m.flat, m.types),
                         HY_OK); /* the form is in the types */
        char *after = slurp(dir, "model.safetensors", &after_len);
        assert_int_equal(before_len, after_len);
        assert_memory_equal(before, after, before_len);
        free(before), free(after);
        unload(&original), unload(&m);
        free_tensors(&list);
    }
}

static void test_shards(void **unused) {
    (void)unused;
    tensor_list list = read_tensors(model_dir("qwen3_5"));
    json_t *map = json_object();
    for (int64_t i = 0; i < list.n; i++) {
        list.all[i].type = i % 2 ? HY_SAFETENSOR_BF16 : HY_SAFETENSOR_F32;
        json_object_set_new(map, list.all[i].name, json_string(i < list.n / 3 ? "a.safetensors" : "b.safetensors"));
    }
    json_t *index = json_pack("{s:{s:i}, s:o}", "metadata", "total_size", 0, "weight_map", map);
    write_tensors(in_dir("model.safetensors"), &list, 0, list.n);
    loaded whole = load(model_dir("qwen3_5"), dir);
    unlink(in_dir("model.safetensors"));
    write_tensors(in_dir("a.safetensors"), &list, 0, list.n / 3);
    write_tensors(in_dir("b.safetensors"), &list, list.n / 3, list.n);
    assert_int_equal(json_dump_file(index, in_dir("model.safetensors.index.json"), 0), 0);
    loaded shards = load(model_dir("qwen3_5"), dir);
    assert_same_params(&whole, &shards);
    assert_string_equal(whole.types, shards.types);
    unlink(in_dir("b.safetensors"));
    char *types = NULL;
    assert_int_equal(hy_hf_read_params(shards.hf, dir, shards.model, HY_F32, shards.flat, &types), HY_ERR_DATA);
    unlink(in_dir("a.safetensors")), unlink(in_dir("model.safetensors.index.json"));
    json_decref(index);
    unload(&whole), unload(&shards);
    free_tensors(&list);
}

/* Parses config.json of `model` with changes merged in ("-key": dropped; a section merges) and the log's words in `message`. */
static hy_status parse_changed(const char *model, const char *changes, char *message, size_t size,
                               hy_model_config *out) {
    size_t len;
    char *text = slurp(model_dir(model), "config.json", &len);
    /* bare Infinity is no JSON; the reader also knows the other form */
    for (char *at = text; (at = strstr(at, " Infinity")) != NULL;)
        memcpy(at, "    1e300", 9);
    json_t *json = json_loads(text, 0, NULL), *change = json_loads(changes, 0, NULL), *value;
    const char *key;
    assert_non_null(json);
    assert_non_null(change);
    json_t *target = json_object_get(change, "text_config") ? json_object_get(json, "text_config") : json;
    json_t *from = json_object_get(change, "text_config") ? json_object_get(change, "text_config") : change;
    json_object_foreach(from, key, value) {
        if (key[0] == '-')
            json_object_del(target, key + 1);
        else
            json_object_set(target, key, value);
    }
    char *changed = json_dumps(json, 0);
    hy_hf *hf = NULL;
    unlink(in_dir("log"));
    assert_int_equal(hy_log_set_file(in_dir("log")), HY_OK);
    hy_status status = hy_hf_parse("config.json", changed, strlen(changed), &hf);
    assert_int_equal(hy_log_set_file(NULL), HY_OK);
    if (status == HY_OK && out)
        *out = *hy_hf_model_config(hf);
    hy_hf_close(hf);
    FILE *log = fopen(in_dir("log"), "rb");
    message[0] = '\0';
    if (log) {
        message[fread(message, 1, size - 1, log)] = '\0';
        fclose(log);
    }
    json_decref(json), json_decref(change);
    free(changed), free(text);
    return status;
}

static hy_model_config config_of(const char *model, const char *changes) {
    hy_model_config config;
    char message[2048];
    assert_int_equal(parse_changed(model, changes, message, sizeof message, &config), HY_OK);
    return config;
}

static const hy_mixer_config *mixer_of(const hy_model_config *config, int64_t layer) {
    return &config->mixers[config->layer_mixer[layer]];
}

static void test_rope_forms(void **unused) {
    (void)unused;
    static const struct {
        const char *model, *changes;
        int layer;
        double base, fraction;
    } cases[] = {
        {"llama", "{}", 0, 500000, 1},
        {"llama", "{\"-rope_parameters\":0}", 0, 10000, 1},
        {"llama", "{\"-rope_parameters\":0,\"rope_theta\":7}", 0, 7, 1},
        {"llama", "{\"rope_theta\":7}", 0, 500000, 1},
        {"llama", "{\"rope_parameters\":{\"rope_type\":\"default\"},\"rope_theta\":7}", 0, 7, 1},
        {"llama", "{\"rope_scaling\":{\"type\":\"default\",\"rope_theta\":9}}", 0, 9, 1},
        {"qwen3_5", "{\"-rope_parameters\":0,\"rope_theta\":1e7}", 3, 1e7, 0.25},
        {"qwen3_5", "{\"-rope_parameters\":0,\"partial_rotary_factor\":0.5}", 3, 10000, 0.5},
        {"qwen3_5_nested", "{}", 2, 1e7, 0.5},
        {"olmo_hybrid", "{}", 3, 0, 1},
        {"olmo_hybrid", "{\"rope_parameters\":null}", 3, 10000, 1},
        {"olmo_hybrid", "{\"-rope_parameters\":0}", 3, 10000, 1},
        {"olmo_hybrid", "{\"rope_parameters\":{\"rope_theta\":5000,\"rope_type\":\"default\"}}", 3, 5000, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        hy_model_config c = config_of(cases[i].model, cases[i].changes);
        const hy_mixer_config *m = mixer_of(&c, cases[i].layer);
        assert_string_equal(m->kind, "attention");
        if (m->rope_base != cases[i].base || m->rope_fraction != cases[i].fraction)
            fail_msg("case %zu: base %g, fraction %g", i, m->rope_base, m->rope_fraction);
    }
}

static void test_missing_keys_are_the_class_defaults(void **unused) {
    (void)unused;
    hy_model_config c = config_of(
        "llama", "{\"-head_dim\":0,\"num_key_value_heads\":null,\"-rms_norm_eps\":0,\"-intermediate_size\":0}");
    assert_true(mixer_of(&c, 0)->head_dim == 8 && mixer_of(&c, 0)->kv_heads == 4 && c.norm_eps == 1e-6 &&
                c.mlp_width == 11008);
    c = config_of("qwen3_5",
                  "{\"-layer_types\":0,\"num_hidden_layers\":9,\"-linear_num_value_heads\":0,\"-head_dim\":0}");
    for (int64_t l = 0; l < 9; l++)
        assert_string_equal(mixer_of(&c, l)->kind, l % 4 == 3 ? "attention" : "gated_deltanet");
    assert_true(mixer_of(&c, 0)->value_heads == 32 && mixer_of(&c, 3)->head_dim == 256 &&
                mixer_of(&c, 3)->qk_norm_eps == 1e-6);
    c = config_of("qwen3_5", "{\"layer_types\":null,\"full_attention_interval\":2}");
    assert_string_equal(mixer_of(&c, 1)->kind, "attention");
    c = config_of("qwen3_5_nested", "{\"text_config\":{\"-layer_types\":0,\"full_attention_interval\":3}}");
    assert_string_equal(mixer_of(&c, 2)->kind, "attention");
    c = config_of("olmo_hybrid",
                  "{\"-layer_types\":0,\"num_hidden_layers\":2,\"-linear_key_head_dim\":0,\"-linear_value_head_dim\":0,"
                  "\"-linear_num_key_heads\":0,\"-linear_num_value_heads\":0,\"-linear_allow_neg_eigval\":0}");
    assert_string_equal(mixer_of(&c, 1)->kind, "attention");
    const hy_mixer_config *m = mixer_of(&c, 0);
    assert_true(m->heads == 4 && m->value_heads == 4 && m->head_dim == 6 && m->value_dim == 12 &&
                m->negative_eigenvalues && m->norm_eps == 1e-5);
    c = config_of(
        "bamba",
        "{\"-mamba_d_head\":0,\"-mamba_d_state\":0,\"attn_layer_indices\":null,\"partial_rotary_factor\":1.0}");
    m = mixer_of(&c, 2);
    assert_true(strcmp(m->kind, "mamba2") == 0 && m->mlp == HY_SWITCH_ON && m->value_dim == 16 && m->head_dim == 256 &&
                m->heads == 1);
    assert_true(config_of("bamba", "{\"head_dim\":12}").mixers[1].head_dim == 12);
    assert_true(config_of("bamba", "{\"num_key_value_heads\":null}").mixers[1].kv_heads == 4);
    assert_true(config_of("bamba", "{\"-num_key_value_heads\":0,\"num_attention_heads\":16,\"head_dim\":4}")
                    .mixers[1]
                    .kv_heads == 8);
    c = config_of("bamba", "{\"rope_parameters\":null,\"rope_theta\":77}");
    assert_true(mixer_of(&c, 2)->rope_base == 77 && mixer_of(&c, 2)->rope_fraction == 0.5);
    c = config_of(
        "mamba2",
        "{\"-head_dim\":0,\"num_heads\":1,\"hidden_size\":32,\"-layer_norm_epsilon\":0,\"time_step_limit\":[0.25,2]}");
    m = mixer_of(&c, 0);
    assert_true(m->value_dim == 64 && m->mlp == HY_SWITCH_OFF && m->step_low == 0.25 && m->step_high == 2 &&
                c.norm_eps == 1e-5);
    c = config_of("olmo_hybrid", "{}");
    assert_true(mixer_of(&c, 3)->norm_place == HY_NORM_POST && mixer_of(&c, 0)->norm_place == HY_NORM_PRE &&
                !c.zero_centred);
}

static void test_unsupported_is_named(void **unused) {
    (void)unused;
    static const struct {
        const char *model, *changes, *word; /* word: must be in the message; NULL: supported */
    } cases[] = {
        {"llama", "{\"attention_bias\":true}", "attention_bias"},
        {"llama", "{\"mlp_bias\":true}", "mlp_bias"},
        {"llama", "{\"hidden_act\":\"gelu\"}", "hidden_act"},
        {"llama", "{\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":8.0}}", "rope_scaling."},
        {"llama", "{\"rope_parameters\":{\"rope_type\":\"yarn\",\"rope_theta\":1e4}}", "rope_parameters.rope_type"},
        {"llama", "{\"rope_parameters\":{\"rope_theta\":null}}", "rope_theta"},
        {"llama", "{\"rope_theta\":0,\"-rope_parameters\":0}", "rope_theta"},
        {"llama", "{\"partial_rotary_factor\":0.5}", "partial_rotary_factor"},
        {"llama", "{\"num_key_value_heads\":3}", "num_key_value_heads"},
        {"llama", "{\"sliding_window\":4}", "sliding_window"},
        {"llama", "{\"num_local_experts\":4}", "mixture-of-experts"},
        {"llama", "{\"model_type\":\"qwen3_next\"}", "mixture-of-experts"},
        {"llama", "{\"model_type\":\"mistral\"}", "llama, mamba2, qwen3_5_text"},
        {"qwen3_5", "{\"attn_output_gate\":false}", "attn_output_gate"},
        {"qwen3_5", "{\"attn_output_gate\":true,\"mamba_ssm_dtype\":\"float32\",\"mtp_num_hidden_layers\":1}", NULL},
        {"qwen3_5", "{\"layer_types\":[\"linear_attention\"]}", "layer_types"},
        {"qwen3_5", "{\"layer_types\":[\"a\",\"b\",\"c\",\"d\"]}", "layer_types"},
        {"qwen3_5", "{\"linear_num_value_heads\":3}", "linear_num_value_heads"},
        {"qwen3_5", "{\"add_cross_attention\":false,\"num_beams\":1,\"top_p\":1.0,\"tie_encoder_decoder\":false}",
         NULL},
        {"qwen3_5", "{\"add_cross_attention\":true}", "add_cross_attention"},
        {"qwen3_5_nested", "{\"tie_word_embeddings\":true}", "tie_word_embeddings"},
        {"qwen3_5_nested", "{\"text_config\":{\"new_key\":1}}", "text_config.new_key"},
        {"qwen3_5_nested", "{\"text_config\":{\"num_experts\":8}}", "mixture-of-experts"},
        {"qwen3_5_nested", "{\"-text_config\":0}", "text_config"},
        {"olmo_hybrid", "{\"linear_num_value_heads\":3}", "linear_num_value_heads"},
        {"olmo_hybrid", "{\"rope_parameters\":{\"rope_theta\":1e4,\"partial_rotary_factor\":0.5}}",
         "partial_rotary_factor"},
        {"olmo_hybrid", "{\"sliding_window\":64}", "sliding_window"},
        {"mamba2", "{\"num_heads\":4}", "num_heads"},
        {"mamba2", "{\"n_groups\":2}", "n_groups"},
        {"mamba2", "{\"hidden_act\":\"gelu\"}", "hidden_act"},
        {"mamba2", "{\"norm_eps\":1e-5}", "norm_eps"}, /* the other library's */
        {"mamba2", "{\"time_step_limit\":[1,0.5]}", "time_step_limit"},
        {"mamba2", "{\"time_step_limit\":[0.0,{\"__float__\":\"Infinity\"}],\"use_bias\":true,\"use_conv_bias\":false}",
         NULL},
        {"bamba", "{\"time_step_limit\":null,\"mamba_proj_bias\":true,\"mamba_d_head\":\"auto\"}", NULL},
        {"bamba", "{\"attn_layer_indices\":[4]}", "attn_layer_indices"},
        {"bamba", "{\"attn_layer_indices\":[1,1]}", "attn_layer_indices"},
        {"bamba", "{\"attn_layer_indices\":7}", "attn_layer_indices"},
        {"bamba", "{\"rope_parameters\":{\"partial_rotary_factor\":1.0}}", "rope_parameters"},
        {"bamba", "{\"z_loss_coefficient\":0.1}", "z_loss_coefficient"},
        {"bamba", "{\"mamba_expand\":3}", "mamba_n_heads"},
    };
    char message[2048];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        hy_status status = parse_changed(cases[i].model, cases[i].changes, message, sizeof message, NULL);
        if (cases[i].word ? status != HY_ERR_USAGE || !strstr(message, cases[i].word) : status != HY_OK)
            fail_msg("%s: status %d, %s", cases[i].changes, (int)status, message);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files_come_back),
        cmocka_unit_test(test_description_is_exact),
        cmocka_unit_test(test_nested_skips_by_name),
        cmocka_unit_test(test_olmo_forms),
        cmocka_unit_test(test_shards),
        cmocka_unit_test(test_rope_forms),
        cmocka_unit_test(test_missing_keys_are_the_class_defaults),
        cmocka_unit_test(test_unsupported_is_named),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
