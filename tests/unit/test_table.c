/* Layout of tables, character by character. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/memory.h"
#include "base/table.h"
#include "capture.h"

static void check_print(const hy_text_table *table, const char *wanted) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    assert_int_equal(hy_text_table_print(table, out), HY_OK);
    (void)fclose(out);
    assert_string_equal(text, wanted);
    free(text);
}

static void test_alignment(void **unused) {
    (void)unused;
    hy_text_table *table = NULL;
    assert_int_equal(hy_text_table_create(4, (const char *const[]){"name", "bytes", "time", "note"}, &table), HY_OK);
    hy_text_table_cell(table, "%s", "q");
    hy_text_table_cell(table, "%s", "1.50 GiB");
    hy_text_table_cell(table, "%s", "-");
    hy_text_table_cell(table, "%s", "");
    hy_text_table_cell(table, "%s",
                       "gr\xc3\xb6\xc3\x9f"
                       "er");
    hy_text_table_cell(table, "%d", -12);
    hy_text_table_cell(table, "%s", "3m12s");
    hy_text_table_cell(table, "%s", "two words");
    hy_text_table_rule(table);
    hy_text_table_cell(table, "%s", "total");
    check_print(table, "name       bytes   time  note\n"
                       "------  --------  -----  ---------\n"
                       "q       1.50 GiB      -\n"
                       "gr\xc3\xb6\xc3\x9f"
                       "er       -12  3m12s  two words\n"
                       "------  --------  -----  ---------\n"
                       "total\n");
    hy_text_table_destroy(table);
    hy_text_table_destroy(NULL);
}

static void test_header_alone(void **unused) {
    (void)unused;
    hy_text_table *table = NULL;
    assert_int_equal(hy_text_table_create(2, (const char *const[]){"a", "bc"}, &table), HY_OK);
    check_print(table, "a  bc\n-  --\n");
    hy_text_table_destroy(table);
}

static void test_many_rows(void **unused) {
    (void)unused;
    hy_text_table *table = NULL;
    assert_int_equal(hy_text_table_create(1, (const char *const[]){"n"}, &table), HY_OK);
    for (int i = 0; i < 1000; i++) {
        hy_text_table_cell(table, "%d", i);
        hy_text_table_rule(table);
    }
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    assert_int_equal(hy_text_table_print(table, out), HY_OK);
    (void)fclose(out);
    assert_int_equal(length, 4 * (2 + 2 * 1000 - 1));
    free(text);
    hy_text_table_destroy(table);
}

static hy_status build_and_print(FILE *out) {
    hy_text_table *table = NULL;
    HY_TRY(hy_text_table_create(2, (const char *const[]){"a", "b"}, &table));
    hy_text_table_cell(table, "1");
    hy_text_table_rule(table);
    hy_text_table_cell(table, "2");
    const hy_status status = hy_text_table_print(table, out);
    hy_text_table_destroy(table);
    return status;
}

static void test_every_allocation_may_fail(void **unused) {
    (void)unused;
    FILE *out = fopen("/dev/null", "w");
    assert_non_null(out);
    const int64_t bytes = hy_alloc_bytes();
    hy_status status = HY_ERR_MEMORY;
    int n = 0;
    while (status != HY_OK) {
        capture_begin();
        hy_alloc_fail_after(++n);
        status = build_and_print(out);
        hy_alloc_fail_after(0);
        (void)capture_end();
        assert_true(status == HY_OK || status == HY_ERR_MEMORY);
        assert_int_equal(hy_alloc_bytes(), bytes);
    }
    assert_int_equal(n, 8);
    (void)fclose(out);
}

static void test_impossible_tables(void **unused) {
    (void)unused;
    hy_text_table *table = NULL;
    capture_begin();
    assert_int_equal(hy_text_table_create(0, NULL, &table), HY_ERR_FAILED);
    assert_int_equal(hy_text_table_create(65, NULL, &table), HY_ERR_FAILED);
    (void)capture_end();
    assert_null(table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alignment),         cmocka_unit_test(test_header_alone),
        cmocka_unit_test(test_many_rows),         cmocka_unit_test(test_every_allocation_may_fail),
        cmocka_unit_test(test_impossible_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
