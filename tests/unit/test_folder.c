/* Folders: made, listed in order, removed without following links. */
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

static void touch(const char *name) {
    assert_int_equal(hy_file_write_atomic(scratch_path(name), "x", 1, HY_ERR_DATA), HY_OK);
}

static void test_make_dirs(void **unused) {
    (void)unused;
    assert_int_equal(hy_file_make_dirs(scratch_path("a/b//c/"), HY_ERR_DATA), HY_OK);
    assert_true(hy_file_is_dir(scratch_path("a/b/c")));
    assert_int_equal(hy_file_make_dirs(scratch_path("a/b/c"), HY_ERR_DATA), HY_OK);
    assert_int_equal(hy_file_make_dirs("/", HY_ERR_DATA), HY_OK);
    touch("file");
    assert_true(hy_file_exists(scratch_path("file")));
    assert_false(hy_file_is_dir(scratch_path("file")));
    capture_begin();
    assert_int_equal(hy_file_make_dirs(scratch_path("file/x"), HY_ERR_CHECKPOINT), HY_ERR_CHECKPOINT);
    assert_contains(capture_end(), "/file: cannot create the folder: ");
}

static void test_list_is_sorted(void **unused) {
    (void)unused;
    assert_int_equal(hy_file_make_dirs(scratch_path("list/sub"), HY_ERR_DATA), HY_OK);
    for (int i = 149; i >= 0; i--) {
        char name[32];
        (void)snprintf(name, sizeof(name), "list/n%03d", (i * 37) % 150);
        touch(name);
    }
    touch("list/.hidden");
    hy_file_list list;
    assert_int_equal(hy_file_list_dir(scratch_path("list"), HY_ERR_DATA, &list), HY_OK);
    assert_int_equal(list.count, 152);
    assert_string_equal(list.names[0], ".hidden");
    for (int i = 0; i < 150; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "n%03d", i);
        assert_string_equal(list.names[i + 1], name);
    }
    assert_string_equal(list.names[151], "sub");
    hy_file_list_free(&list);
    assert_int_equal(hy_file_list_dir(scratch_path("list/sub"), HY_ERR_DATA, &list), HY_OK);
    assert_int_equal(list.count, 0);
    hy_file_list_free(&list);
    capture_begin();
    assert_int_equal(hy_file_list_dir(scratch_path("none"), HY_ERR_DATA, &list), HY_ERR_DATA);
    assert_contains(capture_end(), "/none: cannot list the folder: No such file");
}

static void test_unfinished_files_go(void **unused) {
    (void)unused;
    assert_int_equal(hy_file_make_dirs(scratch_path("left/step-3.tmp/inside"), HY_ERR_DATA), HY_OK);
    touch("left/latest.12.part");
    touch("left/latest");
    touch("left/part");
    touch("left/.tmp.keep");
    assert_int_equal(hy_file_remove_unfinished(scratch_path("left"), HY_ERR_DATA), HY_OK);
    assert_false(hy_file_exists(scratch_path("left/step-3.tmp")));
    assert_false(hy_file_exists(scratch_path("left/latest.12.part")));
    assert_true(hy_file_exists(scratch_path("left/latest")));
    assert_true(hy_file_exists(scratch_path("left/part")));
    assert_true(hy_file_exists(scratch_path("left/.tmp.keep")));
}

static void test_list_survives_failed_allocations(void **unused) {
    (void)unused;
    assert_int_equal(hy_file_make_dirs(scratch_path("few"), HY_ERR_DATA), HY_OK);
    touch("few/1");
    touch("few/2");
    const int64_t bytes = hy_alloc_bytes();
    for (int n = 1; n <= 3; n++) {
        hy_file_list list = {0};
        capture_begin();
        hy_alloc_fail_after(n);
        const hy_status status = hy_file_list_dir(scratch_path("few"), HY_ERR_DATA, &list);
        hy_alloc_fail_after(0);
        (void)capture_end();
        assert_int_equal(status, HY_ERR_MEMORY);
        assert_int_equal(hy_alloc_bytes(), bytes);
    }
}

static void test_remove_tree_keeps_what_links_point_to(void **unused) {
    (void)unused;
    assert_int_equal(hy_file_make_dirs(scratch_path("keep"), HY_ERR_DATA), HY_OK);
    touch("keep/me");
    assert_int_equal(hy_file_make_dirs(scratch_path("gone/x/y/z"), HY_ERR_DATA), HY_OK);
    touch("gone/x/file");
    assert_int_equal(symlink(scratch_path("keep"), scratch_path("gone/x/link")), 0);
    assert_int_equal(symlink("nowhere", scratch_path("gone/dangling")), 0);
    assert_int_equal(hy_file_remove_tree(scratch_path("gone"), HY_ERR_DATA), HY_OK);
    assert_false(hy_file_exists(scratch_path("gone")));
    assert_true(hy_file_exists(scratch_path("keep/me")));
    assert_int_equal(hy_file_remove_tree(scratch_path("gone"), HY_ERR_DATA), HY_OK);
    assert_int_equal(hy_file_remove_tree(scratch_path("keep/me"), HY_ERR_DATA), HY_OK);
    assert_false(hy_file_exists(scratch_path("keep/me")));
}

static void test_remove_tree_reports_failure(void **unused) {
    (void)unused;
    capture_begin();
    assert_int_equal(hy_file_remove_tree("/proc/self/fd", HY_ERR_CHECKPOINT), HY_ERR_CHECKPOINT);
    assert_contains(capture_end(), "/proc/self/fd: cannot remove it: ");
}

static void test_free_space(void **unused) {
    (void)unused;
    int64_t bytes = -1;
    assert_int_equal(hy_file_free_space(scratch_dir, HY_ERR_DATA, &bytes), HY_OK);
    assert_true(bytes >= 0);
    const char *const missing[] = {"not/yet/there", "/not_yet/there", "", "not_yet"};
    for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++) {
        bytes = -1;
        assert_int_equal(hy_file_free_space(missing[i], HY_ERR_DATA, &bytes), HY_OK);
        assert_true(bytes >= 0);
    }
    capture_begin();
    assert_int_equal(hy_file_free_space("/proc/self/status/x", HY_ERR_DATA, &bytes), HY_ERR_DATA);
    assert_contains(capture_end(), "cannot ask for free space: Not a directory");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_make_dirs),
        cmocka_unit_test(test_list_is_sorted),
        cmocka_unit_test(test_unfinished_files_go),
        cmocka_unit_test(test_list_survives_failed_allocations),
        cmocka_unit_test(test_remove_tree_keeps_what_links_point_to),
        cmocka_unit_test(test_remove_tree_reports_failure),
        cmocka_unit_test(test_free_space),
    };
    return cmocka_run_group_tests(tests, scratch_create, remove_scratch);
}
