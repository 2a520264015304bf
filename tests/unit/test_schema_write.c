/* What is written reads back as the same bytes: for defaults, for a file, and for structs of random values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/memory.h"
#include "base/random.h"
#include "capture.h"
#include "sample_config.h"

static void check_round_trip(const sample_config *c) {
    char *text = NULL, *again = NULL;
    size_t length = 0, length_again = 0;
    assert_int_equal(hy_schema_write(&sample_schema, c, &text, &length), HY_OK);
    assert_int_equal(strlen(text), length);
    sample_config back;
    hy_schema_defaults(&sample_schema, &back);
    assert_int_equal(hy_schema_parse(&sample_schema, &back, "written", text, length, NULL), HY_OK);
    assert_memory_equal(&back, c, sizeof(back));
    assert_int_equal(hy_schema_write(&sample_schema, &back, &again, &length_again), HY_OK);
    assert_string_equal(again, text);
    hy_free(text);
    hy_free(again);
}

static void test_defaults_round_trip(void **unused) {
    (void)unused;
    sample_config c;
    hy_schema_defaults(&sample_schema, &c);
    check_round_trip(&c);
}

static void test_file_round_trips(void **unused) {
    (void)unused;
    sample_config c;
    hy_schema_defaults(&sample_schema, &c);
    assert_int_equal(hy_schema_parse(&sample_schema, &c, "a", sample_yaml, strlen(sample_yaml), NULL), HY_OK);
    check_round_trip(&c);
}

static void test_written_text(void **unused) {
    (void)unused;
    sample_config c;
    hy_schema_defaults(&sample_schema, &c);
    assert_int_equal(hy_schema_set(&sample_schema, &c, "model.mixers.gla.note=\"a\\tb\"", NULL), HY_OK);
    assert_int_equal(hy_schema_set(&sample_schema, &c, "model.schedule.overrides={5: 'no'}", NULL), HY_OK);
    char *text = NULL;
    size_t length = 0;
    assert_int_equal(hy_schema_write(&sample_schema, &c, &text, &length), HY_OK);
    assert_string_equal(text, "model:\n"
                              "  layers: 24\n"
                              "  schedule:\n"
                              "    pattern: [gla, attention]\n"
                              "    overrides: {5: \"no\"}\n"
                              "  mixers:\n"
                              "    gla:\n"
                              "      heads: default\n"
                              "      floor: -.inf\n"
                              "      extra:\n"
                              "        bias: true\n"
                              "        layout: striped\n"
                              "      note: \"a\\u0009b\"\n"
                              "tied: false\n"
                              "train:\n"
                              "  steps: 1000\n"
                              "  seed: 1\n"
                              "  lr: 0.0003\n"
                              "  min_lr_ratio: 0.1\n"
                              "  checkpoint:\n"
                              "    every: 200\n"
                              "    keep: 2\n"
                              "parallel:\n"
                              "  layout: zigzag\n"
                              "  sizes: [1, 2]\n"
                              "run:\n"
                              "  dir: runs/x\n"
                              "  parts: a.h5\n"
                              "  stages: []\n");
    hy_free(text);
    assert_int_equal(hy_schema_set(&sample_schema, &c, "run.parts=[a, b]", NULL), HY_OK);
    assert_int_equal(
        hy_schema_set(&sample_schema, &c, "run.stages=[{steps: 3, parts: [a, {path: b, weight: 3}]}, {}]", NULL),
        HY_OK);
    assert_int_equal(hy_schema_write(&sample_schema, &c, &text, &length), HY_OK);
    assert_contains(text, "  parts: [a, b]\n"
                          "  stages:\n"
                          "    -\n"
                          "      steps: 3\n"
                          "      inner:\n"
                          "        layout: striped\n"
                          "      parts:\n"
                          "        -\n"
                          "          path: a\n"
                          "          weight: 1\n"
                          "        -\n"
                          "          path: b\n"
                          "          weight: 3\n"
                          "    -\n"
                          "      steps: 1\n"
                          "      inner:\n"
                          "        layout: striped\n"
                          "      parts: \"\"\n");
    hy_free(text);
}

static uint64_t draw(uint64_t trial, uint64_t below) {
    static uint64_t index;
    return hy_random_u64(trial, 77, index++) % below;
}

/* Any characters at all, as UTF-8, from the ranges where YAML is delicate. */
static void random_text(uint64_t trial, char *out, size_t capacity) {
    static const char *const pieces[] = {"a",
                                         "Z",
                                         "0",
                                         " ",
                                         "'",
                                         "\"",
                                         "\\",
                                         "\n",
                                         "\r",
                                         "\t",
                                         "\x01",
                                         "\x7f",
                                         ":",
                                         "#",
                                         "-",
                                         "{",
                                         "]",
                                         ",",
                                         "&",
                                         "*",
                                         "!",
                                         "%",
                                         "@",
                                         "`",
                                         "|",
                                         ">",
                                         "?",
                                         "~",
                                         "null",
                                         "true",
                                         ".inf",
                                         "\xc2\x85",
                                         "\xc2\x81",
                                         "\xc2\xa0",
                                         "\xc3\xa9",
                                         "\xe2\x80\xa8",
                                         "\xef\xbb\xbf",
                                         "\xef\xbf\xbe",
                                         "\xf0\x9f\x98\x80",
                                         "\xe4\xb8\xad",
                                         "---",
                                         "..."};
    memset(out, 0, capacity);
    size_t used = 0;
    for (uint64_t n = draw(trial, 8); n > 0; n--) {
        const char *piece = pieces[draw(trial, sizeof(pieces) / sizeof(pieces[0]))];
        if (used + strlen(piece) < capacity) {
            memcpy(out + used, piece, strlen(piece));
            used += strlen(piece);
        }
    }
}

static double random_double(uint64_t trial, double low, double high) {
    if (draw(trial, 8) == 0) {
        return low;
    }
    for (;;) {
        const uint64_t bits = hy_random_u64(trial, 78, draw(trial, UINT64_MAX));
        double value = 0.0;
        memcpy(&value, &bits, sizeof(value));
        if (value >= low && value <= high) {
            return value;
        }
    }
}

static void random_mixer(uint64_t trial, int i, sample_mixer *m) {
    (void)snprintf(m->name, sizeof(m->name), "%s%d", i == 0 ? "true" : "m-", i);
    m->heads = draw(trial, 3) == 0 ? -1 : 1 + (int64_t)draw(trial, INT64_MAX);
    m->floor = draw(trial, 3) == 0 ? -INFINITY : random_double(trial, -DBL_MAX, 0.0);
    m->bias = draw(trial, 2) == 1;
    m->layout = (sample_layout)draw(trial, 3);
    random_text(trial, m->note, sizeof(m->note));
}

static void random_parts(uint64_t trial, int64_t n, sample_part *parts) {
    const bool plain = draw(trial, 2) == 0;
    for (int64_t i = 0; i < n; i++) {
        random_text(trial, parts[i].path, sizeof(parts[i].path));
        parts[i].weight = plain ? 1.0 : random_double(trial, 0.0, 10.0);
    }
}

static void random_config(uint64_t trial, sample_config *c) {
    memset(c, 0, sizeof(*c));
    c->model.layers = 1 + (int64_t)draw(trial, 512);
    c->model.n_pattern = (int64_t)draw(trial, 7);
    for (int64_t i = 0; i < c->model.n_pattern; i++) {
        random_text(trial, c->model.pattern[i], sizeof(c->model.pattern[i]));
    }
    c->model.n_overrides = (int64_t)draw(trial, 5);
    for (int64_t i = 0; i < c->model.n_overrides; i++) {
        c->model.overrides[i].layer = 100 * i + (int64_t)draw(trial, 100);
        random_text(trial, c->model.overrides[i].mixer, sizeof(c->model.overrides[i].mixer));
    }
    c->model.n_mixers = (int64_t)draw(trial, 4);
    for (int64_t i = 0; i < c->model.n_mixers; i++) {
        random_mixer(trial, (int)i, &c->model.mixers[i]);
    }
    c->steps = (int64_t)(draw(trial, UINT64_MAX) >> 1);
    c->seed = (int64_t)draw(trial, UINT64_MAX);
    c->lr = random_double(trial, 0.0, 1.0);
    c->min_lr_ratio = random_double(trial, -DBL_MAX, DBL_MAX);
    c->tied = draw(trial, 2) == 1;
    c->checkpoint.keep = 1 + (int64_t)draw(trial, 100);
    c->layout = (sample_layout)draw(trial, 3);
    c->n_sizes = (int64_t)draw(trial, 6);
    for (int64_t i = 0; i < c->n_sizes; i++) {
        c->sizes[i] = (int64_t)draw(trial, 10);
    }
    random_text(trial, c->dir, sizeof(c->dir));
    c->n_parts = (int64_t)draw(trial, 4);
    random_parts(trial, c->n_parts, c->parts);
    c->n_stages = (int64_t)draw(trial, 4);
    for (int64_t i = 0; i < c->n_stages; i++) {
        c->stages[i].steps = 1 + (int64_t)draw(trial, 1000);
        c->stages[i].layout = (sample_layout)draw(trial, 3);
        c->stages[i].n_parts = (int64_t)draw(trial, 3);
        random_parts(trial, c->stages[i].n_parts, c->stages[i].parts);
    }
}

static void test_random_structs_round_trip(void **unused) {
    (void)unused;
    for (uint64_t trial = 0; trial < 500; trial++) {
        sample_config c;
        random_config(trial, &c);
        check_round_trip(&c);
    }
}

static void test_unwritable_values_are_errors(void **unused) {
    (void)unused;
    sample_config c;
    char *text = NULL;
    size_t length = 0;
    hy_schema_defaults(&sample_schema, &c);
    (void)strcpy(c.dir, "caf\xe9");
    capture_begin();
    assert_int_equal(hy_schema_write(&sample_schema, &c, &text, &length), HY_ERR_USAGE);
    assert_contains(capture_end(), "not UTF-8");
    hy_schema_defaults(&sample_schema, &c);
    c.layout = (sample_layout)3;
    capture_begin();
    assert_int_equal(hy_schema_write(&sample_schema, &c, &text, &length), HY_ERR_USAGE);
    assert_contains(capture_end(), "value without a name");
    assert_null(text);
}

/* The help is itself a config: the defaults, and one mixer called NAME. */
static void test_help_is_a_config(void **unused) {
    (void)unused;
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    hy_schema_help(&sample_schema, out);
    (void)fclose(out);
    assert_contains(text, "# peak learning rate: a number from 0 to 1\n  lr: 3e-4\n");
    assert_contains(text,
                    "  mixers:\n    NAME:\n      # heads: an integer of at least 1 or default\n      heads: default\n");
    assert_contains(text, "  # parts: a text, a list of texts, or a list of maps, each with its own keys\n"
                          "  parts: a.h5\n"
                          "  #   # where: a text\n"
                          "  #   path: \"\"\n");
    sample_config c, wanted;
    hy_schema_defaults(&sample_schema, &wanted);
    assert_int_equal(hy_schema_set(&sample_schema, &wanted, "model.mixers.NAME={}", NULL), HY_OK);
    hy_schema_defaults(&sample_schema, &c);
    assert_int_equal(hy_schema_parse(&sample_schema, &c, "help", text, length, NULL), HY_OK);
    assert_memory_equal(&c, &wanted, sizeof(c));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_round_trip),
        cmocka_unit_test(test_file_round_trips),
        cmocka_unit_test(test_written_text),
        cmocka_unit_test(test_random_structs_round_trip),
        cmocka_unit_test(test_unwritable_values_are_errors),
        cmocka_unit_test(test_help_is_a_config),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
