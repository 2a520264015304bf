/* Reading and writing whole files: contents, limits, what is left behind by a failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "base/file.h"
#include "base/memory.h"
#include "capture.h"
#include "scratch.h"

static int remove_scratch(void **unused) {
    (void)unused;
    return hy_file_remove_tree(scratch_dir, HY_ERR_DATA) != HY_OK;
}

static void check_content(const char *path, const char *wanted, size_t wanted_length) {
    char *data = NULL;
    size_t length = 0;
    assert_int_equal(hy_file_read(path, 1 << 22, HY_ERR_DATA, &data, &length), HY_OK);
    assert_int_equal(length, wanted_length);
    assert_memory_equal(data, wanted, length);
    assert_int_equal(data[length], 0);
    hy_free(data);
}

static void test_write_then_read(void **unused) {
    (void)unused;
    const size_t sizes[] = {0, 1, 4095, 4096, 4097, 1 << 20};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *data = NULL;
        assert_int_equal(hy_alloc("test", sizes[i], (void **)&data), HY_OK);
        for (size_t k = 0; k < sizes[i]; k++) {
            data[k] = (char)(k * 7 + k / 256);
        }
        const char *path = scratch_path("data");
        assert_int_equal(hy_file_write_atomic(path, data, sizes[i], HY_ERR_DATA), HY_OK);
        check_content(path, data, sizes[i]);
        hy_free(data);
    }
}

static void test_limit(void **unused) {
    (void)unused;
    const char *path = scratch_path("limit");
    assert_int_equal(hy_file_write_atomic(path, "12345", 5, HY_ERR_DATA), HY_OK);
    char *data = NULL;
    size_t length = 0;
    assert_int_equal(hy_file_read(path, 5, HY_ERR_DATA, &data, &length), HY_OK);
    assert_int_equal(length, 5);
    hy_free(data);
    data = NULL;
    capture_begin();
    const hy_status status = hy_file_read(path, 4, HY_ERR_DATA, &data, &length);
    assert_contains(capture_end(), "limit: larger than the 4 bytes allowed here");
    assert_int_equal(status, HY_ERR_DATA);
    assert_null(data);
}

/* /proc files say they are empty; their content comes anyway. */
static void test_file_without_a_size(void **unused) {
    (void)unused;
    char *data = NULL;
    size_t length = 0;
    assert_int_equal(hy_file_read("/proc/self/status", 1 << 20, HY_ERR_DATA, &data, &length), HY_OK);
    assert_true(length > 100);
    assert_contains(data, "Pid:");
    hy_free(data);
    capture_begin();
    assert_int_equal(hy_file_read("/dev/zero", 100000, HY_ERR_DATA, &data, &length), HY_ERR_DATA);
    assert_contains(capture_end(), "/dev/zero: larger than");
}

static void test_errors_carry_path_and_status(void **unused) {
    (void)unused;
    char *data = NULL;
    size_t length = 0;
    capture_begin();
    assert_int_equal(hy_file_read("/nowhere/x", 10, HY_ERR_CHECKPOINT, &data, &length), HY_ERR_CHECKPOINT);
    assert_contains(capture_end(), "/nowhere/x: cannot open it: No such file or directory");
    capture_begin();
    assert_int_equal(hy_file_read(scratch_dir, 10, HY_ERR_DATA, &data, &length), HY_ERR_DATA);
    assert_contains(capture_end(), "Is a directory");
    capture_begin();
    assert_int_equal(hy_file_write_atomic("/nowhere/x", "a", 1, HY_ERR_CHECKPOINT), HY_ERR_CHECKPOINT);
    assert_contains(capture_end(), "/nowhere/x: cannot write it: No such file or directory");
    capture_begin();
    assert_int_equal(hy_file_sync("/nowhere/x", HY_ERR_DATA), HY_ERR_DATA);
    assert_contains(capture_end(), "/nowhere/x: cannot open it");
    assert_null(data);
}

/* A write that cannot be renamed into place leaves neither a changed target nor a temporary file. */
static void test_failed_write_leaves_nothing(void **unused) {
    (void)unused;
    const char *folder = scratch_path("occupied");
    assert_int_equal(hy_file_make_dirs(scratch_path("occupied/target/full"), HY_ERR_DATA), HY_OK);
    capture_begin();
    assert_int_equal(hy_file_write_atomic(scratch_path("occupied/target"), "a", 1, HY_ERR_DATA), HY_ERR_DATA);
    (void)capture_end();
    hy_file_list list;
    assert_int_equal(hy_file_list_dir(folder, HY_ERR_DATA, &list), HY_OK);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.names[0], "target");
    hy_file_list_free(&list);
}

static void test_rename(void **unused) {
    (void)unused;
    assert_int_equal(hy_file_make_dirs(scratch_path("from.part"), HY_ERR_DATA), HY_OK);
    assert_int_equal(hy_file_rename(scratch_path("from.part"), scratch_path("to"), HY_ERR_DATA), HY_OK);
    assert_false(hy_file_exists(scratch_path("from.part")));
    assert_true(hy_file_is_dir(scratch_path("to")));
    capture_begin();
    assert_int_equal(hy_file_rename(scratch_path("gone"), scratch_path("to2"), HY_ERR_CHECKPOINT), HY_ERR_CHECKPOINT);
    assert_contains(capture_end(), "cannot rename it to");
}

static void test_relative_paths(void **unused) {
    (void)unused;
    char before[HY_PATH_MAX];
    assert_non_null(getcwd(before, sizeof(before)));
    assert_int_equal(chdir(scratch_dir), 0);
    assert_int_equal(hy_file_write_atomic("plain", "x", 1, HY_ERR_DATA), HY_OK);
    check_content("plain", "x", 1);
    assert_int_equal(chdir(before), 0);
}

static void test_long_paths_are_errors(void **unused) {
    (void)unused;
    char path[2 * HY_PATH_MAX];
    memset(path, 'p', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    capture_begin();
    assert_int_equal(hy_file_write_atomic(path, "x", 1, HY_ERR_DATA), HY_ERR_DATA);
    assert_int_equal(hy_file_make_dirs(path, HY_ERR_DATA), HY_ERR_DATA);
    (void)capture_end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_then_read),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_file_without_a_size),
        cmocka_unit_test(test_errors_carry_path_and_status),
        cmocka_unit_test(test_failed_write_leaves_nothing),
        cmocka_unit_test(test_rename),
        cmocka_unit_test(test_relative_paths),
        cmocka_unit_test(test_long_paths_are_errors),
    };
    return cmocka_run_group_tests(tests, scratch_create, remove_scratch);
}
