/* Published hgrn, hgrn2, rwkv6 and rwkv7: what their keys become, what is refused, and the older form of rwkv7's files. */
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

#include "base/memory.h"
#include "train/publish/hf.h"

static hy_model_config config;
static const hy_mixer_config *first; /* the first layer's mixer */

static const char *folder_of(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/models/%s", HY_TEST_DATA, name);
    return path;
}

/* config.json of `name` with keys of `changes`, an object, set; a key that becomes "remove" goes. */
static hy_status parse(const char *name, const char *changes) {
    char path[600];
    snprintf(path, sizeof path, "%s/config.json", folder_of(name));
    json_t *json = json_load_file(path, 0, NULL), *more = json_loads(changes, 0, NULL), *value;
    const char *key;
    assert_true(json && more);
    json_object_update(json, more);
    json_object_foreach(more, key, value) if (json_is_string(value) && strcmp(json_string_value(value), "remove") == 0)
        json_object_del(json, key);
    char *text = json_dumps(json, 0);
    hy_hf *hf = NULL;
    hy_status status = hy_hf_parse("config.json", text, strlen(text), &hf);
    if (status == HY_OK) {
        config = *hy_hf_model_config(hf);
        first = &config.mixers[config.layer_mixer[0]];
    }
    hy_hf_close(hf);
    free(text);
    json_decref(json);
    json_decref(more);
    return status;
}

static void test_hgrn(void **state) {
    (void)state;
    assert_int_equal(parse("hgrn", "{\"use_lower_bound\": false, \"expand_ratio\": 2, \"use_short_conv\": true}"),
                     HY_OK);
    assert_true(!first->lower_bounds && first->value_dim == 96 && first->conv == 4);
    assert_int_equal(parse("hgrn", "{\"expand_ratio\": 2}"), HY_ERR_USAGE); /* bounds are for hidden_size channels */
    assert_int_equal(parse("hgrn2", "{\"expand_ratio\": null, \"num_heads\": 4}"), HY_OK);
    assert_true(first->heads == 4 && first->head_dim == 12 && first->value_dim == 12 && first->norm_eps == 1e-5);
    assert_int_equal(parse("hgrn2", "{\"expand_ratio\": 8, \"num_heads\": 5}"), HY_OK); /* heads follow the ratio */
    assert_true(first->heads == 6 && first->head_dim == 8);
    assert_int_equal(parse("hgrn2", "{\"expand_ratio\": 20, \"use_lower_bound\": false}"), HY_OK);
    assert_true(first->heads == 2 && first->head_dim == 20 && first->value_dim == 24);
    assert_int_equal(parse("hgrn2", "{\"expand_ratio\": 20}"), HY_ERR_USAGE);
    assert_int_equal(parse("hgrn2", "{\"expand_ratio\": 9}"), HY_ERR_USAGE);
    assert_int_equal(parse("hgrn2", "{\"hidden_size\": 256, \"expand_ratio\": \"remove\"}"), HY_OK);
    assert_true(first->head_dim == 128 && first->heads == 2);
    assert_int_equal(parse("hgrn2", "{\"num_kv_heads\": 1}"), HY_ERR_USAGE);
}

static void test_rwkv6(void **state) {
    (void)state;
    assert_int_equal(
        parse("rwkv6",
              "{\"norm_first\": false, \"norm_bias\": false, \"expand_k\": \"remove\", \"norm_eps\": \"remove\"}"),
        HY_OK);
    assert_true(config.norm == HY_NORM_LAYER && !config.pre_norm && !config.norm_bias && config.norm_eps == 1e-5 &&
                first->head_dim == 12);
    assert_int_equal(parse("rwkv6", "{\"intermediate_size\": null, \"hidden_ratio\": null}"), HY_OK);
    assert_int_equal(config.mlp_width, 192); /* 32·⌈168/32⌉ */
    assert_int_equal(parse("rwkv6", "{\"hidden_act\": \"relu\"}"), HY_ERR_USAGE);
    assert_int_equal(parse("rwkv6", "{\"gate_low_rank_dim\": null}"), HY_ERR_USAGE);
    assert_int_equal(parse("rwkv6", "{\"head_dim\": 16}"), HY_ERR_USAGE); /* of rwkv7 only */
}

static void test_rwkv7(void **state) {
    (void)state;
    assert_int_equal(parse("rwkv7", "{\"decay_low_rank_dim\": null, \"v_low_rank_dim\": \"remove\", "
                                    "\"gate_low_rank_dim\": null, \"hidden_size\": 2048,"
                                    "\"head_dim\": 128, \"value_dim\": null}"),
                     HY_OK);
    assert_true(first->gate_rank == 224 && first->value_rank == 16 && first->output_rank == 224 &&
                first->rate_rank == 6);
    assert_true(first->heads == 16 && first->norm_eps == 128 * 1e-5 && first->key_norm_eps == 1e-6);
    assert_int_equal(parse("rwkv7", "{\"fuse_norm\": false, \"value_dim\": 96, \"head_dim\": null, \"num_heads\": 4}"),
                     HY_OK);
    assert_true(first->head_dim == 12 && first->value_dim == 24 && first->key_norm_eps == 1e-24);
    assert_int_equal(parse("rwkv7", "{\"value_dim\": [48, 96, 48]}"), HY_ERR_USAGE);
    assert_int_equal(parse("rwkv7", "{\"value_dim\": [48, 48]}"), HY_ERR_USAGE);
    assert_int_equal(parse("rwkv7", "{\"value_dim\": 50}"), HY_ERR_USAGE);
    assert_int_equal(parse("rwkv7", "{\"head_dim\": 20}"), HY_ERR_USAGE);
    assert_int_equal(parse("rwkv7", "{\"use_l2warp\": true}"), HY_ERR_USAGE);
    assert_int_equal(parse("rwkv7", "{\"use_l2warp\": \"remove\"}"), HY_OK);
    assert_int_equal(parse("rwkv7", "{\"attn\": {\"layers\": [0], \"num_heads\": 4}}"), HY_ERR_USAGE);
    assert_int_equal(parse("rwkv7", "{\"attn\": {\"layers\": [1], \"num_heads\": 4}}"), HY_OK);
}

/* Older files hold a layer's six mixtures as rows of one tensor; they come back as they were. */
static void test_joined_mixtures(void **state) {
    (void)state;
    char dir[] = "/tmp/hylas-rwkv-XXXXXX", path[128], *types = NULL;
    assert_non_null(mkdtemp(dir));
    hy_hf *hf;
    hy_model *model;
    float *flat, *again;
    assert_int_equal(hy_hf_open(folder_of("rwkv7"), &hf), HY_OK);
    assert_int_equal(hy_model_create(hy_hf_model_config(hf), 1, &model), HY_OK);
    const int64_t size = hy_model_flat_size(model);
    assert_int_equal(HY_NEW("flat", size, &flat), HY_OK);
    assert_int_equal(HY_NEW("again", size, &again), HY_OK);
    assert_int_equal(hy_hf_read_params(hf, folder_of("rwkv7"), model, HY_F32, flat, NULL), HY_OK);
    assert_int_equal(hy_hf_write(hf, dir, model, HY_F32, flat, "{\"model.layers.0.attn.x_x\": \"F32\"}"), HY_OK);
    assert_int_equal(hy_hf_read_params(hf, dir, model, HY_F32, again, &types), HY_OK);
    assert_memory_equal(flat, again, (size_t)size * sizeof *flat);
    assert_non_null(strstr(types, "model.layers.2.attn.x_x"));
    assert_null(strstr(types, "attn.x_r"));
    assert_non_null(strstr(types, "ffn.x_k"));
    static const char *const names[] = {"config.json", "model.safetensors"};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
    hy_free(types);
    hy_free(flat);
    hy_free(again);
    hy_model_destroy(model);
    hy_hf_close(hf);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_hgrn), cmocka_unit_test(test_rwkv6),
                                       cmocka_unit_test(test_rwkv7), cmocka_unit_test(test_joined_mixtures)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
