/* Lines: level, rank, filters, the file, long messages, bytes that are no text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "capture.h"

static void restore(void) {
    hy_log_set_rank(0, 1);
    hy_log_set_level(HY_LOG_INFO);
}

static void test_levels(void **unused) {
    (void)unused;
    capture_begin();
    hy_log(HY_LOG_DEBUG, "fine detail");
    hy_info("seen %d", 5);
    hy_warn("careful");
    const char *log = capture_end();
    assert_null(strstr(log, "fine detail"));
    assert_contains(log, " info seen 5\n");
    assert_contains(log, " warn careful\n");
    hy_log_set_level(HY_LOG_DEBUG);
    capture_begin();
    hy_log(HY_LOG_DEBUG, "fine detail");
    assert_contains(capture_end(), " debug fine detail\n");
    hy_log_set_level(HY_LOG_NONE);
    capture_begin();
    assert_int_equal(hy_fail(HY_ERR_DATA, "quiet"), HY_ERR_DATA);
    hy_log(HY_LOG_NONE, "not a level to log at");
    assert_string_equal(capture_end(), "");
    restore();
}

static void test_other_ranks_only_warn(void **unused) {
    (void)unused;
    hy_log_set_rank(2, 8);
    capture_begin();
    hy_info("not from here");
    hy_warn("from here");
    assert_int_equal(hy_fail(HY_ERR_USAGE, "and this"), HY_ERR_USAGE);
    const char *log = capture_end();
    restore();
    assert_null(strstr(log, "not from here"));
    assert_contains(log, " warn [2/8] from here\n");
    assert_contains(log, " error [2/8] and this\n");
}

static void test_long_and_odd_messages(void **unused) {
    (void)unused;
    char text[10000];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    capture_begin();
    hy_info("%s", text);
    const char *log = capture_end();
    assert_true(strlen(log) <= 4096);
    assert_contains(log, "xxx...\n");
    capture_begin();
    hy_info("a\x1b[31mb\rc");
    assert_contains(capture_end(), "a?[31mb?c\n");
}

static void read_file(const char *path, char *content, size_t size) {
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    content[fread(content, 1, size - 1, file)] = '\0';
    (void)fclose(file);
}

/* Runs first: what is said before any file is set. */
static void test_early_lines_go_into_the_file(void **unused) {
    (void)unused;
    char path[] = "/tmp/hylas_log_XXXXXX", content[4096] = "";
    (void)close(mkstemp(path));
    capture_begin();
    hy_warn("before the file");
    hy_log_record("for the file alone\n");
    assert_int_equal(hy_log_set_file(path), HY_OK);
    hy_warn("after");
    const char *log = capture_end();
    assert_contains(log, "before the file\n");
    assert_null(strstr(log, "alone"));
    read_file(path, content, sizeof content);
    assert_contains(content, " warn before the file\nfor the file alone\n");
    assert_contains(content, " warn after\n");
    hy_log_await_file(); /* there is one */
    hy_log_record("still there\n");
    assert_int_equal(hy_log_set_file(NULL), HY_OK);
    hy_log_record("between files\n");
    hy_log_await_file();
    hy_log_record("for the next\n");
    assert_int_equal(hy_log_set_file(path), HY_OK);
    assert_int_equal(hy_log_set_file(NULL), HY_OK);
    read_file(path, content, sizeof content);
    assert_contains(content, " warn after\nstill there\nfor the next\n");
    (void)unlink(path);
}

static void test_file_gets_the_same_lines(void **unused) {
    (void)unused;
    char path[] = "/tmp/hylas_log_XXXXXX", content[4096] = "";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "before\n", 7), 7);
    (void)close(fd);
    capture_begin();
    assert_int_equal(hy_log_set_file(path), HY_OK);
    hy_info("first");
    hy_warn("second");
    assert_int_equal(hy_log_set_file(NULL), HY_OK);
    hy_info("third");
    const char *log = capture_end();
    read_file(path, content, sizeof content);
    (void)unlink(path);
    assert_true(strncmp(content, "before\n", 7) == 0);
    assert_true(strncmp(log, content + 7, strlen(content + 7)) == 0);
    assert_contains(content, "second\n");
    assert_null(strstr(content, "third"));
    capture_begin();
    const hy_status status = hy_log_set_file("/nowhere/at/all");
    assert_contains(capture_end(), "/nowhere/at/all: cannot open the log file: No such file");
    assert_int_equal(status, HY_ERR_ENV);
}

static void test_warnings_of_other_ranks_reach_the_file(void **unused) {
    (void)unused;
    char path[] = "/tmp/hylas_log_XXXXXX", content[4096] = "";
    (void)close(mkstemp(path));
    (void)unlink(path);
    hy_log_set_rank(3, 4);
    capture_begin();
    assert_int_equal(hy_log_set_file(path), HY_OK);
    assert_int_not_equal(access(path, F_OK), 0); /* nothing to say yet */
    hy_info("not from here");
    hy_print_detail("nor this\n");
    hy_warn("from here");
    (void)capture_end();
    assert_int_equal(hy_log_set_file(NULL), HY_OK);
    restore();
    read_file(path, content, sizeof content);
    (void)unlink(path);
    assert_contains(content, " warn [3/4] from here\n");
    assert_null(strstr(content, "not from here"));
    assert_null(strstr(content, "nor this"));
}

/* Standard output is a file meanwhile. */
static void test_quiet_hides_details_not_from_the_file(void **unused) {
    (void)unused;
    char path[] = "/tmp/hylas_log_XXXXXX", shown[] = "/tmp/hylas_out_XXXXXX", content[4096] = "";
    (void)close(mkstemp(path));
    const int fd = mkstemp(shown), saved = dup(STDOUT_FILENO);
    (void)fflush(stdout);
    (void)dup2(fd, STDOUT_FILENO);
    capture_begin();
    assert_int_equal(hy_log_set_file(path), HY_OK);
    hy_log_set_quiet(true);
    hy_info("hidden info");
    hy_warn("a warning");
    hy_print_detail("a detail %d\n", 1);
    hy_print("a result %d\n", 2);
    hy_log_set_quiet(false);
    hy_print_detail("a detail %d\n", 3);
    const char *log = capture_end();
    (void)fflush(stdout);
    (void)dup2(saved, STDOUT_FILENO);
    (void)close(saved);
    (void)close(fd);
    assert_int_equal(hy_log_set_file(NULL), HY_OK);
    assert_null(strstr(log, "hidden"));
    assert_contains(log, " warn a warning\n");
    read_file(shown, content, sizeof content);
    assert_string_equal(content, "a result 2\na detail 3\n");
    read_file(path, content, sizeof content);
    assert_contains(content, " info hidden info\n");
    assert_contains(content, " warn a warning\na detail 1\na result 2\na detail 3\n");
    (void)unlink(path);
    (void)unlink(shown);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_early_lines_go_into_the_file),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_other_ranks_only_warn),
        cmocka_unit_test(test_long_and_odd_messages),
        cmocka_unit_test(test_file_gets_the_same_lines),
        cmocka_unit_test(test_warnings_of_other_ranks_reach_the_file),
        cmocka_unit_test(test_quiet_hides_details_not_from_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
