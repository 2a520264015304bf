/* Tensors written are read back, in either precision; whatever a file lacks or claims falsely is an error, not a crash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/random.h"
#include "train/data/tensor_file.h"

static char path[] = "/tmp/hylas-tensor-XXXXXX";

static int make_path(void **unused) {
    (void)unused;
    int fd = mkstemp(path);
    return fd < 0 ? 1 : close(fd);
}

static int remove_path(void **unused) {
    (void)unused;
    return unlink(path);
}

static void write_sample(void) {
    hy_tensor_file *file;
    double a[6], loss = 2.5;
    int64_t cu[3] = {0, 4, 9};
    for (int i = 0; i < 6; i++)
        a[i] = hy_random_normal(3, 1, (uint64_t)i);
    assert_int_equal(hy_tensor_file_create(path, &file), HY_OK);
    assert_int_equal(hy_tensor_file_write(file, "grad/a.weight", HY_ELEMENT_F64, &(hy_shape){2, {2, 3}}, a), HY_OK);
    assert_int_equal(hy_tensor_file_write(file, "grad/b", HY_ELEMENT_F64, &(hy_shape){1, {6}}, a), HY_OK);
    assert_int_equal(hy_tensor_file_write(file, "cu", HY_ELEMENT_I64, &(hy_shape){1, {3}}, cu), HY_OK);
    assert_int_equal(hy_tensor_file_write(file, "loss", HY_ELEMENT_F64, &(hy_shape){0, {0}}, &loss), HY_OK);
    assert_int_equal(hy_tensor_file_write(file, "empty", HY_ELEMENT_F32, &(hy_shape){2, {0, 3}}, NULL), HY_OK);
    assert_int_equal(hy_tensor_file_finish(file), HY_OK);
}

static void test_round_trip(void **unused) {
    (void)unused;
    hy_tensor_file *file;
    hy_shape shape;
    bool integer;
    float a[6];
    double loss;
    int64_t cu[3];
    write_sample();
    assert_int_equal(hy_tensor_file_open(path, &file), HY_OK);
    assert_int_equal(hy_tensor_file_shape(file, "grad/a.weight", &shape, &integer), HY_OK);
    assert_true(!integer && shape.n == 2 && shape.dim[0] == 2 && shape.dim[1] == 3);
    assert_int_equal(hy_tensor_file_read(file, "grad/a.weight", HY_ELEMENT_F32, &shape, a), HY_OK);
    for (int i = 0; i < 6; i++)
        assert_true(a[i] == (float)hy_random_normal(3, 1, (uint64_t)i));
    assert_int_equal(hy_tensor_file_shape(file, "cu", &shape, &integer), HY_OK);
    assert_true(integer);
    assert_int_equal(hy_tensor_file_read(file, "cu", HY_ELEMENT_I64, &shape, cu), HY_OK);
    assert_int_equal(cu[2], 9);
    assert_int_equal(hy_tensor_file_read(file, "loss", HY_ELEMENT_F64, &(hy_shape){0, {0}}, &loss), HY_OK);
    assert_true(loss == 2.5);
    assert_int_equal(hy_tensor_file_read(file, "empty", HY_ELEMENT_F64, &(hy_shape){2, {0, 3}}, NULL), HY_OK);
    char(*names)[HY_TENSOR_NAME_MAX];
    int64_t n;
    assert_int_equal(hy_tensor_file_list(file, "grad", &names, &n), HY_OK);
    assert_int_equal(n, 2);
    assert_string_equal(names[0], "grad/a.weight");
    assert_string_equal(names[1], "grad/b");
    hy_free(names);
    hy_tensor_file_close(file);
}

static void test_errors(void **unused) {
    (void)unused;
    hy_tensor_file *file;
    hy_shape shape;
    bool integer, found = true;
    double x[8];
    char text[16];
    write_sample();
    assert_int_equal(hy_tensor_file_open("/nonexistent/x.h5", &file), HY_ERR_DATA);
    assert_int_equal(hy_tensor_file_create("/nonexistent/x.h5", &file), HY_ERR_DATA);
    assert_int_equal(hy_tensor_file_open(path, &file), HY_OK);
    assert_int_equal(hy_tensor_file_shape(file, "grad/none", &shape, &integer), HY_ERR_DATA);
    assert_int_equal(hy_tensor_file_shape(file, "none/at/all", &shape, &integer), HY_ERR_DATA);
    assert_int_equal(hy_tensor_file_shape(file, "grad", &shape, &integer), HY_ERR_DATA);
    assert_int_equal(hy_tensor_file_read(file, "grad/b", HY_ELEMENT_F64, &(hy_shape){1, {7}}, x), HY_ERR_DATA);
    assert_int_equal(hy_tensor_file_number(file, "scale", x, &found), HY_OK);
    assert_false(found);
    assert_int_equal(hy_tensor_file_text(file, "rule", text, sizeof text, &found), HY_OK);
    assert_false(found);
    hy_tensor_file_close(file);
}

static void test_attributes_of_a_golden_file(void **unused) {
    (void)unused;
    hy_tensor_file *file;
    char text[16];
    double scale;
    bool found;
    assert_int_equal(hy_tensor_file_open(HY_TEST_DATA "/golden/kda.h5", &file), HY_OK);
    assert_int_equal(hy_tensor_file_text(file, "rule", text, sizeof text, &found), HY_OK);
    assert_true(found);
    assert_string_equal(text, "delta");
    assert_int_equal(hy_tensor_file_number(file, "scale", &scale, &found), HY_OK);
    assert_true(found && scale == 0.25);
    assert_int_equal(hy_tensor_file_number(file, "rule", &scale, &found), HY_ERR_DATA);
    assert_int_equal(hy_tensor_file_text(file, "scale", text, sizeof text, &found), HY_ERR_DATA);
    hy_tensor_file_close(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_attributes_of_a_golden_file),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
