/* safetensors: what real files hold is read, writing gives the same file back, and files that lie are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/half.h"
#include "base/random.h"
#include "train/publish/safetensors.h"

static char dir[] = "/tmp/hylas-safetensors-XXXXXX";
static char path[64];

static int make_dir(void **unused) {
    (void)unused;
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    return 0;
}

static int remove_dir(void **unused) {
    (void)unused;
    static const char *const names[] = {"model.safetensors", "model.safetensors.index.json", "a.safetensors",
                                        "b.safetensors"};
    for (int i = 0; i < 4; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s/%s", dir, names[i]);
        unlink(name);
    }
    return rmdir(dir);
}

static char *slurp(const char *name, size_t *len) {
    FILE *file = fopen(name, "rb");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    *len = (size_t)ftell(file);
    rewind(file);
    char *text = malloc(*len + 1);
    assert_non_null(text);
    assert_int_equal(fread(text, 1, *len, file), *len);
    fclose(file);
    return text;
}

static void spill(const char *name, const void *bytes, size_t len) {
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    fclose(file);
}

/* A file of this header and `bytes` zero bytes. */
static void write_file(const char *name, const char *header, size_t bytes) {
    size_t len = strlen(header);
    char *text = calloc(1, 8 + len + bytes);
    assert_non_null(text);
    for (int i = 0; i < 8; i++)
        text[i] = (char)(len >> (8 * i) & 255);
    memcpy(text + 8, header, len);
    spill(name, text, 8 + len + bytes);
    free(text);
}

static hy_status copy_elements(void *context, const hy_safetensor *tensor, int64_t first, int64_t n, hy_dtype dtype,
                               void *out) {
    const hy_safetensors *from = context;
    return hy_safetensors_read(from, hy_safetensors_find(from, tensor->name), first, n, dtype, out);
}

static void test_published_file_comes_back(void **unused) {
    (void)unused;
    const char *source = HY_TEST_DATA "/models/gla/model.safetensors";
    hy_safetensors *set;
    int64_t n;
    size_t len, copied;
    assert_int_equal(hy_safetensors_open(HY_TEST_DATA "/models/gla", &set), HY_OK);
    const hy_safetensor *all = hy_safetensors_all(set, &n), *norm = hy_safetensors_find(set, "model.norm.weight");
    assert_non_null(norm);
    assert_true(norm->type == HY_SAFETENSOR_F32 && norm->n_dims == 1 && norm->shape[0] == 48 && norm->size == 48);
    assert_null(hy_safetensors_find(set, "model.norm"));
    hy_safetensor *copy = calloc((size_t)n, sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, all, (size_t)n * sizeof *copy);
    assert_int_equal(hy_safetensors_write(path, copy, n, copy_elements, set), HY_OK);
    char *a = slurp(source, &len), *b = slurp(path, &copied);
    assert_int_equal(len, copied);
    assert_memory_equal(a, b, len);
    free(a), free(b), free(copy);
    hy_safetensors_close(set);
}

static hy_status give_random(void *context, const hy_safetensor *tensor, int64_t first, int64_t n, hy_dtype dtype,
                             void *out) {
    (void)context;
    for (int64_t i = 0; i < n; i++) {
        double x = hy_random_normal(5, hy_random_stream(tensor->name), (uint64_t)(first + i));
        if (dtype == HY_F64)
            ((double *)out)[i] = x;
        else
            ((float *)out)[i] = (float)x;
    }
    return HY_OK;
}

static void test_every_type(void **unused) {
    (void)unused;
    hy_safetensor tensors[] = {{.name = "half", .type = HY_SAFETENSOR_F16, .n_dims = 1, .shape = {9001}},
                               {.name = "brain", .type = HY_SAFETENSOR_BF16, .n_dims = 2, .shape = {3, 5}},
                               {.name = "none", .type = HY_SAFETENSOR_F32, .n_dims = 2, .shape = {0, 4}},
                               {.name = "full", .type = HY_SAFETENSOR_F64, .n_dims = 0},
                               {.name = "single", .type = HY_SAFETENSOR_F32, .n_dims = 3, .shape = {2, 1, 4}}};
    hy_safetensors *set;
    assert_int_equal(hy_safetensors_write(path, tensors, 5, give_random, NULL), HY_OK);
    assert_int_equal(hy_safetensors_open_file(path, &set), HY_OK);
    int64_t n;
    const hy_safetensor *all = hy_safetensors_all(set, &n);
    assert_int_equal(n, 5);
    double *x = malloc(9001 * sizeof *x);
    assert_non_null(x);
    for (int64_t t = 0; t < n; t++) {
        assert_int_equal(hy_safetensors_read(set, &all[t], 0, all[t].size, HY_F64, x), HY_OK);
        for (int64_t i = 0; i < all[t].size; i++) {
            double want = hy_random_normal(5, hy_random_stream(all[t].name), (uint64_t)i);
            if (all[t].type == HY_SAFETENSOR_F16)
                want = (double)hy_f16_to_float(hy_float_to_f16((float)want));
            else if (all[t].type == HY_SAFETENSOR_BF16)
                want = (double)hy_bf16_to_float(hy_float_to_bf16((float)want));
            else if (all[t].type == HY_SAFETENSOR_F32)
                want = (double)(float)want;
            assert_true(x[i] == want);
        }
    }
    float part[7];
    const hy_safetensor *half = hy_safetensors_find(set, "half");
    assert_int_equal(hy_safetensors_read(set, half, 8990, 7, HY_F32, part), HY_OK);
    assert_int_equal(hy_safetensors_read(set, half, 0, 9001, HY_F64, x), HY_OK);
    assert_true((double)part[6] == x[8996]);
    free(x);
    hy_safetensors_close(set);
}

static void test_sharded(void **unused) {
    (void)unused;
    hy_safetensors *set;
    char index[128], name[128];
    snprintf(index, sizeof index, "%s/model.safetensors.index.json", dir);
    const char *a = "{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}";
    const char *b = "{\"y\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[0,6]}}";
    snprintf(name, sizeof name, "%s/a.safetensors", dir);
    write_file(name, a, 8);
    snprintf(name, sizeof name, "%s/b.safetensors", dir);
    write_file(name, b, 6);
    const struct {
        const char *json;
        hy_status want;
    } cases[] = {
        {"{\"weight_map\":{\"x\":\"a.safetensors\",\"y\":\"b.safetensors\"}}", HY_OK},
        {"{\"weight_map\":{\"x\":\"b.safetensors\",\"y\":\"a.safetensors\"}}", HY_ERR_DATA},
        {"{\"weight_map\":{\"x\":\"a.safetensors\",\"z\":\"a.safetensors\"}}", HY_ERR_DATA},
        {"{\"weight_map\":{\"x\":\"a.safetensors\",\"y\":\"../b.safetensors\"}}", HY_ERR_DATA},
        {"{\"weight_map\":{\"x\":\"a.safetensors\",\"y\":\"c.safetensors\"}}", HY_ERR_DATA},
        {"{\"weight_map\":{\"x\":1}}", HY_ERR_DATA},
        {"{\"weight_map\":[]}", HY_ERR_DATA},
        {"{", HY_ERR_DATA},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        spill(index, cases[i].json, strlen(cases[i].json));
        set = NULL;
        assert_int_equal(hy_safetensors_open(dir, &set), cases[i].want);
        if (i == 0) {
            int64_t n;
            hy_safetensors_all(set, &n);
            assert_int_equal(n, 2);
            hy_safetensors_close(set);
        }
    }
    unlink(index);
}

static void test_lies(void **unused) {
    (void)unused;
    static const struct {
        const char *header;
        size_t bytes;
    } cases[] = {
        {"[]", 0},
        {"{\"x\":3}", 0},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4},  /* truncated */
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 12}, /* bytes left over */
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4},  /* shape and bytes differ */
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", 8},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}", 0},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"y\":{\"dtype\":\"F32\",\"shape\":[1],"
         "\"data_offsets\":[0,4]}}",
         4},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"y\":{\"dtype\":\"F32\",\"shape\":[1],"
         "\"data_offsets\":[8,12]}}",
         12},
        {"{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"x\":{\"dtype\":\"F32\",\"shape\":[1],"
         "\"data_offsets\":[4,8]}}",
         8},
    };
    hy_safetensors *set;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_file(path, cases[i].header, cases[i].bytes);
        assert_int_equal(hy_safetensors_open_file(path, &set), HY_ERR_DATA);
    }
    write_file(path, "{\"x\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8);
    assert_int_equal(hy_safetensors_open_file(path, &set), HY_OK);
    double x;
    assert_int_equal(hy_safetensors_read(set, hy_safetensors_find(set, "x"), 0, 1, HY_F64, &x), HY_ERR_DATA);
    hy_safetensors_close(set);
    spill(path, "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10);
    assert_int_equal(hy_safetensors_open_file(path, &set), HY_ERR_DATA);
    spill(path, "1234", 4);
    assert_int_equal(hy_safetensors_open_file(path, &set), HY_ERR_DATA);
    assert_int_equal(hy_safetensors_open(HY_TEST_DATA "/golden", &set), HY_ERR_DATA);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published_file_comes_back),
        cmocka_unit_test(test_every_type),
        cmocka_unit_test(test_sharded),
        cmocka_unit_test(test_lies),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
