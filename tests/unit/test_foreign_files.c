/* What files from strangers may not do: claim sizes whose products overflow, name files elsewhere, keep data elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <hdf5.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/product.h"
#include "scratch.h"
#include "train/data/h5.h"
#include "train/data/tensor_file.h"
#include "train/data/token_store.h"
#include "train/publish/hf.h"
#include "train/publish/safetensors.h"

static void test_product(void **unused) {
    (void)unused;
    assert_int_equal(hy_product(3, 5), 15);
    assert_int_equal(hy_product(0, INT64_MAX), 0);
    assert_int_equal(hy_product(INT64_MAX, 0), 0);
    assert_int_equal(hy_product(1 << 24, 1 << 24), HY_PRODUCT_MAX);
    assert_int_equal(hy_product((1 << 24) + 1, 1 << 24), -1);
    assert_int_equal(hy_product(INT64_MAX, INT64_MAX), -1);
    assert_int_equal(hy_product(hy_product(INT64_MAX, 2), 1), -1);
    assert_int_equal(hy_product(-1, 4), -1);
}

/* ---- sizes of a published model ---- */

static hy_status parse(const char *text) {
    hy_hf *hf = NULL;
    const hy_status status = hy_hf_parse("config.json", text, strlen(text), &hf);
    hy_hf_close(hf);
    return status;
}

static void test_sizes_of_published_models(void **unused) {
    (void)unused;
    assert_int_equal(parse("{\"model_type\": \"llama\", \"hidden_size\": 64, \"num_attention_heads\": 4}"), HY_OK);
    assert_int_equal(parse("{\"model_type\": \"llama\", \"hidden_size\": 64, \"num_attention_heads\": 1073741822, "
                           "\"head_dim\": 2097152}"),
                     HY_ERR_USAGE);
    assert_int_equal(parse("{\"model_type\": \"linear_attn\", \"hidden_size\": 1073741824, \"num_heads\": 4}"),
                     HY_ERR_USAGE);
    assert_int_equal(parse("{\"model_type\": \"linear_attn\", \"hidden_size\": 64, \"hidden_ratio\": 1e-9}"),
                     HY_ERR_USAGE); /* an MLP without channels, by which was divided */
    assert_int_equal(parse("{\"model_type\": \"gla\", \"hidden_size\": 64, \"conv_size\": 2147483647, "
                           "\"use_short_conv\": true}"),
                     HY_ERR_USAGE);
    assert_int_equal(parse("{\"model_type\": \"mla\", \"hidden_size\": 64, \"qk_nope_head_dim\": 2147483647, "
                           "\"qk_head_dim\": null}"),
                     HY_ERR_USAGE);
}

/* ---- names ---- */

static void put(const char *name, const char *text) {
    FILE *file = fopen(name, "wb");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void in_scratch(const char *name, char path[HY_PATH_MAX]) {
    assert_true(snprintf(path, HY_PATH_MAX, "%s", scratch_path(name)) < HY_PATH_MAX);
}

static hy_status inside(const char *folder, const char *name) {
    char top[HY_PATH_MAX], path[HY_PATH_MAX];
    in_scratch(folder, top);
    return hy_file_inside(top, name, HY_ERR_DATA, path);
}

static void test_names(void **unused) {
    (void)unused;
    char path[HY_PATH_MAX], folder[HY_PATH_MAX];
    in_scratch("model", folder);
    assert_int_equal(mkdir(folder, 0777), 0);
    in_scratch("secret", path);
    put(path, "x");
    in_scratch("model/a", path);
    put(path, "x");
    in_scratch("model/to-a", path);
    assert_int_equal(symlink("a", path), 0);
    in_scratch("model/to-secret", path);
    assert_int_equal(symlink("../secret", path), 0);
    in_scratch("model/to-nothing", path);
    assert_int_equal(symlink("nothing", path), 0);
    in_scratch("model/pipe", path);
    assert_int_equal(mkfifo(path, 0666), 0);
    assert_int_equal(inside("model", "a"), HY_OK);
    assert_int_equal(inside("model", "to-a"), HY_OK);
    const char *const bad[] = {"",       ".",       "..",         "../secret", "/etc/passwd", "./a",
                               "a/../a", "missing", "to-nothing", "to-secret", "pipe"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(inside("model", bad[i]), HY_ERR_DATA);
    }
}

/* The cache of downloaded models: files of a snapshot are links to blobs. */
static void test_model_cache(void **unused) {
    (void)unused;
    static const char *const folders[] = {"cache", "cache/blobs", "cache/snapshots", "cache/snapshots/0123"};
    char path[HY_PATH_MAX];
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
        in_scratch(folders[i], path);
        assert_int_equal(mkdir(path, 0777), 0);
    }
    in_scratch("cache/blobs/abc", path);
    put(path, "x");
    in_scratch("cache/other", path);
    put(path, "x");
    in_scratch("cache/snapshots/0123/a", path);
    assert_int_equal(symlink("../../blobs/abc", path), 0);
    in_scratch("cache/snapshots/0123/b", path);
    assert_int_equal(symlink("../../other", path), 0);
    assert_int_equal(inside("cache/snapshots/0123", "a"), HY_OK);
    assert_int_equal(inside("cache/snapshots/0123", "b"), HY_ERR_DATA);
}

/* An index whose shard is a link to a good file elsewhere. */
static void test_index_with_link(void **unused) {
    (void)unused;
    static const char shard[] = "\66\0\0\0\0\0\0\0"
                                "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}1234";
    char path[HY_PATH_MAX], folder[HY_PATH_MAX];
    hy_safetensors *set = NULL;
    in_scratch("linked", folder);
    assert_int_equal(mkdir(folder, 0777), 0);
    for (int elsewhere = 0; elsewhere < 2; elsewhere++) {
        in_scratch(elsewhere ? "good" : "linked/s", path);
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(shard, 1, sizeof(shard) - 1, file), sizeof(shard) - 1);
        assert_int_equal(fclose(file), 0);
    }
    in_scratch("linked/model.safetensors.index.json", path);
    put(path, "{\"weight_map\": {\"a\": \"s\"}}");
    assert_int_equal(hy_safetensors_open(folder, &set), HY_OK);
    hy_safetensors_close(set);
    in_scratch("linked/s", path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("../good", path), 0);
    assert_int_equal(hy_safetensors_open(folder, &set), HY_ERR_DATA);
}

/* ---- data that are elsewhere ---- */

typedef enum where { HERE, EXTERNAL, VIRTUAL, SOFT, ELSEWHERE, HUGE, EMPTY_HUGE, N_WHERE } where;

/* One dataset of four bytes, by the way asked for. */
static void put_dataset(hid_t file, const char *name, where place) {
    const hsize_t dims[2] = {place == HUGE || place == EMPTY_HUGE ? (hsize_t)1 << 40 : 4, 0}, chunk[2] = {4, 1};
    const int rank = place == EMPTY_HUGE ? 2 : 1;
    if (place == SOFT) {
        assert_true(H5Lcreate_soft("/plain", file, name, H5P_DEFAULT, H5P_DEFAULT) >= 0);
        return;
    }
    if (place == ELSEWHERE) {
        assert_true(H5Lcreate_external("other.h5", "plain", file, name, H5P_DEFAULT, H5P_DEFAULT) >= 0);
        return;
    }
    const hid_t space = H5Screate_simple(rank, dims, NULL), creation = H5Pcreate(H5P_DATASET_CREATE);
    if (place == EXTERNAL) {
        assert_true(H5Pset_external(creation, "elsewhere.bin", 0, 4) >= 0);
    } else if (place == VIRTUAL) {
        assert_true(H5Pset_virtual(creation, space, "other.h5", "plain", space) >= 0);
    } else {
        assert_true(H5Pset_chunk(creation, rank, chunk) >= 0);
    }
    const hid_t set = H5Dcreate2(file, name, H5T_STD_U8LE, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    assert_true(set >= 0);
    if (place == HERE) {
        assert_true(H5Dwrite(set, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, "\1\2\3\4") >= 0);
    }
    H5Dclose(set);
    H5Pclose(creation);
    H5Sclose(space);
}

/* other.h5, elsewhere.bin and name: where the data of each file would come from. */
static void make_file(const char *name, const char *dataset, where place, char path[HY_PATH_MAX]) {
    hid_t file = -1;
    in_scratch("elsewhere.bin", path);
    put(path, "abcd");
    in_scratch(name, path);
    assert_int_equal(hy_h5_create(path, HY_ERR_DATA, &file), HY_OK);
    put_dataset(file, "plain", HERE);
    put_dataset(file, dataset, place);
    H5Fclose(file);
}

static void test_data_elsewhere(void **unused) {
    (void)unused;
    char path[HY_PATH_MAX];
    make_file("other.h5", "x", HERE, path);
    assert_int_equal(chdir(scratch_dir), 0);
    for (where place = HERE; place < N_WHERE; place++) {
        hid_t file = -1, set = -1;
        hy_tensor_file *tensors = NULL;
        hy_shape shape;
        bool integer;
        uint8_t bytes[4];
        make_file("file.h5", "x", place, path);
        assert_int_equal(hy_h5_open(path, HY_ERR_CHECKPOINT, &file), HY_OK);
        const hy_status status = hy_h5_dataset_open(file, path, "x", HY_ERR_CHECKPOINT, &set);
        assert_int_equal(status, place == HERE ? HY_OK : HY_ERR_CHECKPOINT);
        if (status == HY_OK) {
            assert_true(hy_h5_read_range(set, H5T_NATIVE_UINT8, 0, 4, bytes) >= 0);
            assert_memory_equal(bytes, "\1\2\3\4", 4);
            H5Dclose(set);
        }
        H5Fclose(file);
        assert_int_equal(hy_tensor_file_open(path, &tensors), HY_OK);
        assert_int_equal(hy_tensor_file_shape(tensors, "x", &shape, &integer), place == HERE ? HY_OK : HY_ERR_DATA);
        hy_tensor_file_close(tensors);
    }
    assert_int_equal(chdir("/"), 0);
}

/* A group that is a link to another file. */
static void test_group_elsewhere(void **unused) {
    (void)unused;
    char path[HY_PATH_MAX];
    hid_t file = -1, set = -1;
    in_scratch("group.h5", path);
    make_file("other.h5", "x", HERE, path);
    in_scratch("group.h5", path);
    assert_int_equal(hy_h5_create(path, HY_ERR_DATA, &file), HY_OK);
    assert_true(H5Lcreate_external("other.h5", "/", file, "group", H5P_DEFAULT, H5P_DEFAULT) >= 0);
    assert_int_equal(hy_h5_dataset_open(file, path, "group/x", HY_ERR_DATA, &set), HY_ERR_DATA);
    assert_false(hy_h5_has(file, "group/x"));
    H5Fclose(file);
}

/* A store is one document of four tokens but for where its tokens are. */
static void test_store(void **unused) {
    (void)unused;
    char path[HY_PATH_MAX];
    assert_int_equal(chdir(scratch_dir), 0);
    for (where place = HERE; place < N_WHERE; place++) {
        const hsize_t two = 2;
        const int64_t offsets[2] = {0, place == HUGE ? (int64_t)1 << 40 : 4}, vocab = 8;
        hid_t file = -1;
        hy_token_store *store = NULL;
        make_file("store.h5", "tokens", place, path);
        file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT);
        assert_true(file >= 0);
        const hid_t space = H5Screate_simple(1, &two, NULL), one = H5Screate(H5S_SCALAR);
        const hid_t set = H5Dcreate2(file, "documents", H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        assert_true(H5Dwrite(set, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, offsets) >= 0);
        const hid_t a = H5Acreate2(file, "vocab", H5T_STD_I64LE, one, H5P_DEFAULT, H5P_DEFAULT);
        assert_true(H5Awrite(a, H5T_NATIVE_INT64, &vocab) >= 0);
        H5Aclose(a);
        H5Dclose(set);
        H5Sclose(one);
        H5Sclose(space);
        H5Fclose(file);
        assert_int_equal(hy_token_store_open(path, &store), place == HERE ? HY_OK : HY_ERR_DATA);
        hy_token_store_close(place == HERE ? store : NULL);
    }
    assert_int_equal(chdir("/"), 0);
}

/* Attributes with more values than are read, and more dimensions than are asked for. */
static void test_more_than_one(void **unused) {
    (void)unused;
    static const char many[8 * 60] = "x";
    const hsize_t eight = 8, square[2] = {2, 2};
    char path[HY_PATH_MAX];
    hid_t file = -1;
    uint8_t bytes[4];
    in_scratch("many.h5", path);
    assert_int_equal(hy_h5_create(path, HY_ERR_DATA, &file), HY_OK);
    const hid_t space = H5Screate_simple(1, &eight, NULL), plane = H5Screate_simple(2, square, NULL);
    const hid_t text = H5Tcopy(H5T_C_S1);
    assert_true(H5Tset_size(text, 60) >= 0);
    const hid_t a = H5Acreate2(file, "vocab", H5T_STD_I8LE, space, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t b = H5Acreate2(file, "tokenizer", text, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Awrite(a, H5T_NATIVE_INT8, many) >= 0 && H5Awrite(b, text, many) >= 0);
    assert_true(hy_h5_attribute_open(file, "vocab") < 0);
    assert_true(hy_h5_attribute_open(file, "tokenizer") < 0);
    assert_true(hy_h5_attribute_open(file, "missing") < 0);
    const hid_t set = H5Dcreate2(file, "plane", H5T_STD_U8LE, plane, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Dwrite(set, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, "\1\2\3\4") >= 0);
    assert_true(hy_h5_read_range(set, H5T_NATIVE_UINT8, 0, 4, bytes) < 0);
    H5Dclose(set);
    H5Aclose(b);
    H5Aclose(a);
    H5Tclose(text);
    H5Sclose(plane);
    H5Sclose(space);
    H5Fclose(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_product),         cmocka_unit_test(test_sizes_of_published_models),
        cmocka_unit_test(test_names),           cmocka_unit_test(test_model_cache),
        cmocka_unit_test(test_index_with_link), cmocka_unit_test(test_data_elsewhere),
        cmocka_unit_test(test_group_elsewhere), cmocka_unit_test(test_store),
        cmocka_unit_test(test_more_than_one),
    };
    return cmocka_run_group_tests(tests, scratch_create, NULL);
}
