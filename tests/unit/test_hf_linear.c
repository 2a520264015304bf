/* Published linear attention models: which keys of kda, mamba2, linear_attn, samba are understood and which refused, and how a tied feature
 * map may be stored. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "train/publish/hf.h"

static char *slurp(const char *path, size_t *len) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = malloc(1 << 20);
    assert_non_null(text);
    *len = fread(text, 1, 1 << 20, file);
    fclose(file);
    return text;
}

/* The config.json of a tiny model with one key changed; NULL removes it. */
static hy_status parse_with(const char *model, const char *key, const char *value, hy_hf **out) {
    char path[512];
    size_t len;
    snprintf(path, sizeof path, "%s/models/%s/config.json", HY_TEST_DATA, model);
    char *text = slurp(path, &len), *bare;
    while ((bare = strstr(text, "Infinity")) && bare[-1] != '"')
        memcpy(bare, "1e300   ", 8); /* no JSON; nothing here reads it */
    json_t *json = json_loadb(text, len, 0, NULL);
    assert_non_null(json);
    if (value)
        json_object_set_new(json, key, json_loads(value, JSON_DECODE_ANY, NULL));
    else
        json_object_del(json, key);
    char *changed = json_dumps(json, 0);
    hy_status status = hy_hf_parse("config.json", changed, strlen(changed), out);
    json_decref(json);
    free(changed), free(text);
    return status;
}

static void test_keys(void **unused) {
    (void)unused;
    static const struct {
        const char *model, *key, *value;
        hy_status want;
    } cases[] = {
        {"kda", "num_v_heads", "4", HY_OK},
        {"kda", "num_v_heads", "3", HY_ERR_USAGE},
        {"kda", "lower_bound", "-3.5", HY_OK},
        {"kda", "lower_bound", "0", HY_ERR_USAGE},
        {"kda", "safe_gate", "true", HY_ERR_USAGE},
        {"kda", "use_short_conv", "false", HY_OK},
        {"kda", "use_gate", "false", HY_ERR_USAGE},
        {"mamba2", "dt_limit", "[0.01, {\"__float__\": \"Infinity\"}]", HY_OK},
        {"mamba2", "dt_limit", "[0.01, \"Infinity\"]", HY_OK},
        {"mamba2", "dt_limit", "[0.2, 0.1]", HY_ERR_USAGE},
        {"mamba2", "dt_limit", "[0.2]", HY_ERR_USAGE},
        {"mamba2", "n_groups", "3", HY_OK},
        {"mamba2", "n_groups", "4", HY_ERR_USAGE},
        {"mamba2", "num_heads", "5", HY_ERR_USAGE},
        {"mamba2", "rmsnorm", "false", HY_OK},
        {"mamba2", "D_has_hdim", "true", HY_OK},
        {"mamba2", "attn", "null", HY_ERR_USAGE},
        {"linear_attn", "feature_map", "\"dpfp\"", HY_OK},
        {"linear_attn", "feature_map", "\"silu\"", HY_ERR_USAGE},
        {"linear_attn", "num_kv_heads", "1", HY_OK},
        {"linear_attn", "expand_k", "1.01", HY_ERR_USAGE},
        {"linear_attn", "norm_q", "true", HY_OK},
        {"based", "feature_dim", "7", HY_OK},
        {"rebased", "use_gamma", "true", HY_ERR_USAGE},
        {"samba", "time_step_rank", "\"auto\"", HY_OK},
        {"samba", "attn", "null", HY_OK},
        {"samba", "intermediate_size", NULL, HY_OK},
        {"samba", "use_bias", "true", HY_OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        hy_hf *hf = NULL, *made = NULL;
        assert_int_equal(parse_with(cases[i].model, cases[i].key, cases[i].value, &hf), cases[i].want);
        if (hf) { /* every option of theirs has a way back */
            assert_int_equal(hy_hf_describe(hy_hf_model_config(hf), NULL, &(hy_hf_extra){0}, &made), HY_OK);
            assert_string_equal(hy_hf_family_name(made), hy_hf_family_name(hf));
        }
        hy_hf_close(hf);
        hy_hf_close(made);
    }
}

static void test_values_reach_the_mixer(void **unused) {
    (void)unused;
    hy_hf *hf = NULL;
    assert_int_equal(parse_with("mamba2", "dt_limit", "[0.25, 0.5]", &hf), HY_OK);
    const hy_mixer_config *m = &hy_hf_model_config(hf)->mixers[0];
    assert_true(m->step_low == 0.25 && m->step_high == 0.5 && m->value_heads == 6 && m->value_dim == 16 &&
                m->head_dim == 16 && m->heads == 1);
    hy_hf_close(hf);
    assert_int_equal(parse_with("samba", "time_step_rank", "\"auto\"", &hf), HY_OK);
    m = &hy_hf_model_config(hf)->mixers[0];
    assert_true(m->gate_rank == 3 && m->value_heads == 96 && m->head_dim == 8 &&
                hy_hf_model_config(hf)->mlp_width == 256);
    hy_hf_close(hf);
    assert_int_equal(parse_with("kda_safe_gate", "use_cache", "true", &hf), HY_OK);
    assert_true(hy_hf_model_config(hf)->mixers[0].lower_bound == -5);
    hy_hf_close(hf);
}

/* The same tensors under the names of k go in, and come out under them. */
static void test_tied_feature_maps(void **unused) {
    (void)unused;
    char dir[] = "/tmp/hylas-tied-XXXXXX", path[64], config_path[64];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    snprintf(config_path, sizeof config_path, "%s/config.json", dir);
    hy_hf *hf = NULL;
    hy_model *model = NULL;
    float *flat = NULL, *again = NULL;
    char *types = NULL;
    assert_int_equal(parse_with("linear_attn", "tie_feature_map_qk", "true", &hf), HY_OK);
    assert_int_equal(hy_model_create(hy_hf_model_config(hf), 1, &model), HY_OK);
    const size_t bytes = (size_t)hy_model_flat_size(model) * sizeof(float);
    assert_int_equal(hy_alloc("flat", bytes, (void **)&flat), HY_OK);
    assert_int_equal(hy_alloc("again", bytes, (void **)&again), HY_OK);
    hy_model_init_params(model, 3, HY_F32, flat);
    assert_int_equal(hy_hf_write(hf, dir, model, HY_F32, flat, NULL), HY_OK);

    size_t len, after_len;
    char *file = slurp(path, &len), *at = file;
    int renamed = 0;
    while ((at = memmem(at, len - (size_t)(at - file), "feature_map_q", 13))) {
        at[12] = 'k';
        renamed++;
    }
    assert_int_equal(renamed, 3 * 4);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(file, 1, len, out), len);
    fclose(out);
    memset(again, 0, bytes);
    assert_int_equal(hy_hf_read_params(hf, dir, model, HY_F32, again, &types), HY_OK);
    assert_memory_equal(flat, again, bytes);
    assert_int_equal(hy_hf_write(hf, dir, model, HY_F32, again, types), HY_OK);
    char *after = slurp(path, &after_len);
    assert_int_equal(len, after_len);
    assert_memory_equal(file, after, len);
    unlink(path), unlink(config_path), rmdir(dir);
    free(file), free(after);
    hy_free(types), hy_free(flat), hy_free(again);
    hy_model_destroy(model);
    hy_hf_close(hf);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_keys), cmocka_unit_test(test_values_reach_the_mixer),
                                       cmocka_unit_test(test_tied_feature_maps)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
