/* A table with a mistake is found, and the row named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "capture.h"
#include "sample_config.h"

static void test_good_table(void **unused) {
    (void)unused;
    assert_int_equal(hy_schema_check(&sample_schema), HY_OK);
}

/* The sample's first rows with row `row` replaced. */
static void check_bad_row(size_t row, hy_schema_entry entry, const char *message) {
    hy_schema_entry rows[sizeof(sample_entries) / sizeof(sample_entries[0])];
    memcpy(rows, sample_entries, sizeof(rows));
    rows[row] = entry;
    const hy_schema schema = HY_SCHEMA(sample_config, rows);
    capture_begin();
    const hy_status status = hy_schema_check(&schema);
    assert_contains(capture_end(), message);
    assert_int_equal(status, HY_ERR_FAILED);
}

static hy_schema_entry with_key(size_t row, const char *key) {
    hy_schema_entry entry = sample_entries[row];
    entry.key = key;
    return entry;
}

static void test_bad_keys(void **unused) {
    (void)unused;
    check_bad_row(1, with_key(1, "run.dir"), "row 'run.dir': the key is there twice");
    check_bad_row(1, with_key(1, "train"), "row 'train': the key is also a section");
    check_bad_row(1, with_key(1, "run.tied"), "row 'run.dir': rows of its section stand apart");
    check_bad_row(4, with_key(4, "lr"), "row 'train.min_lr_ratio': rows of its section stand apart");
    check_bad_row(1, with_key(1, "a..b"), "row 'a..b': not a dotted key");
    check_bad_row(1, with_key(1, "a."), "row 'a.': not a dotted key");
    check_bad_row(1, with_key(1, ""), "not a dotted key");
}

static void test_bad_defaults(void **unused) {
    (void)unused;
    hy_schema_entry entry = sample_entries[2];
    entry.preset = "-5";
    check_bad_row(2, entry, "row 'train.steps': the default does not fit the row");
    entry = sample_entries[9];
    entry.preset = "1, 10";
    check_bad_row(9, entry, "row 'parallel.sizes': the default does not fit the row");
    entry = sample_entries[8];
    entry.preset = "zigzagged";
    check_bad_row(8, entry, "row 'parallel.layout': the default does not fit the row");
    entry = sample_entries[10];
    entry.preset = "0123456789012345678901234567890123456789";
    check_bad_row(10, entry, "row 'run.dir': the default does not fit the row");
}

static void test_bad_layouts(void **unused) {
    (void)unused;
    hy_schema_entry entry = sample_entries[10];
    entry.offset = sizeof(sample_config) - 8;
    check_bad_row(10, entry, "the field lies outside the struct");
    entry = sample_entries[0];
    entry.table = &sample_mixer_schema;
    check_bad_row(0, entry, "its table describes another struct");
    entry = sample_entries[8];
    entry.size = 1;
    check_bad_row(8, entry, "needs an enum");
    entry = sample_entries[3];
    entry.help = "";
    check_bad_row(3, entry, "has no help");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_table),
        cmocka_unit_test(test_bad_keys),
        cmocka_unit_test(test_bad_defaults),
        cmocka_unit_test(test_bad_layouts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
