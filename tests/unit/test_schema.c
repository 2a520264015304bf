/* Reading configs: defaults, files, overrides, and the wording of every kind of error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/memory.h"
#include "capture.h"
#include "sample_config.h"

static hy_status parse(sample_config *c, const char *text) {
    return hy_schema_parse(&sample_schema, c, "a.yaml", text, strlen(text), NULL);
}

static void test_defaults(void **unused) {
    (void)unused;
    sample_config c;
    memset(&c, 0x5a, sizeof(c));
    hy_schema_defaults(&sample_schema, &c);
    assert_int_equal(c.model.layers, 24);
    assert_int_equal(c.model.n_pattern, 2);
    assert_string_equal(c.model.pattern[0], "gla");
    assert_string_equal(c.model.pattern[1], "attention");
    assert_int_equal(c.model.n_overrides, 0);
    assert_int_equal(c.model.n_mixers, 0);
    assert_int_equal(c.steps, 1000);
    assert_true(c.lr == 3e-4);
    assert_false(c.tied);
    assert_int_equal(c.checkpoint.keep, 2);
    assert_int_equal(c.layout, SAMPLE_ZIGZAG);
    assert_int_equal(c.n_sizes, 2);
    assert_int_equal(c.sizes[1], 2);
    assert_string_equal(c.dir, "runs/x");
}

static void test_parse_sets_every_kind(void **unused) {
    (void)unused;
    sample_config c;
    hy_schema_defaults(&sample_schema, &c);
    assert_int_equal(parse(&c, sample_yaml), HY_OK);
    assert_int_equal(c.model.layers, 12);
    assert_int_equal(c.model.n_pattern, 3);
    assert_string_equal(c.model.pattern[2], "attention");
    assert_int_equal(c.model.n_overrides, 2);
    assert_int_equal(c.model.overrides[1].layer, 11);
    assert_string_equal(c.model.overrides[1].mixer, "gla");
    assert_int_equal(c.model.n_mixers, 2);
    assert_string_equal(c.model.mixers[0].name, "gla");
    assert_int_equal(c.model.mixers[0].heads, 4);
    assert_true(c.model.mixers[0].floor == -5.5);
    assert_true(c.model.mixers[0].bias);
    assert_string_equal(c.model.mixers[0].note, "two\nlines");
    assert_int_equal(c.model.mixers[1].heads, -1);
    assert_true(isinf(c.model.mixers[1].floor));
    assert_false(c.model.mixers[1].bias);
    assert_int_equal(c.model.mixers[1].layout, SAMPLE_CONTIGUOUS);
    assert_true(c.tied);
    assert_int_equal(c.steps, 1000000);
    assert_int_equal(c.seed, 1);
    assert_true(c.lr == 1e-3);
    assert_int_equal(c.checkpoint.every, 50);
    assert_int_equal(c.checkpoint.keep, 2);
    assert_int_equal(c.layout, SAMPLE_STRIPED);
    assert_int_equal(c.n_sizes, 2);
    assert_int_equal(c.sizes[0], 3);
    assert_string_equal(c.dir, "runs/a b");
}

/* The spellings themselves: test_count.c. */
static void test_integers_may_have_units(void **unused) {
    (void)unused;
    sample_config c;
    hy_schema_defaults(&sample_schema, &c);
    assert_int_equal(parse(&c, "train: {steps: 32k, seed: -1.5Ki}\nmodel: {mixers: {a: {heads: 1Ki}}}"), HY_OK);
    assert_int_equal(c.steps, 32000);
    assert_int_equal(c.seed, -1536);
    assert_int_equal(c.model.mixers[0].heads, 1024);
    assert_int_equal(hy_schema_set(&sample_schema, &c, "train.steps=1e6", NULL), HY_OK);
    assert_int_equal(c.steps, 1000000);
    assert_int_equal(hy_schema_set(&sample_schema, &c, "parallel.sizes=[5e0, 0.008k]", NULL), HY_OK);
    assert_int_equal(c.sizes[1], 8);
}

static void test_empty_documents_change_nothing(void **unused) {
    (void)unused;
    sample_config c, d;
    hy_schema_defaults(&sample_schema, &c);
    d = c;
    const char *const texts[] = {
        "", "# nothing\n", "---\n", "{}", "train:\n", "train:\n  checkpoint: ~\nmodel: null\n", "model: {mixers: }"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(parse(&c, texts[i]), HY_OK);
        assert_memory_equal(&c, &d, sizeof(c));
    }
}

/* Every error: the text, and what the message must say. */
static void test_errors_say_where_and_what(void **unused) {
    (void)unused;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"train:\n  steps: 1\n  learning_rate: 1\n",
         "a.yaml:3: unknown key 'train.learning_rate'; nearest: 'train.lr'"},
        {"trian: {lr: 1}", "a.yaml:1: unknown key 'trian'; nearest: 'train'"},
        {"\n\nlr: 1", "a.yaml:3: unknown key 'lr'; nearest: 'train.lr'"},
        {"train:\n checkpoint_every: 1", "unknown key 'train.checkpoint_every'; nearest: 'train.checkpoint.every'"},
        {"model:\n mixers:\n  gdn:\n   head: 1",
         "a.yaml:4: unknown key 'model.mixers.gdn.head'; nearest: 'model.mixers.gdn.heads'"},
        {"model: {mixers: {gdn: {extra: {bais: true}}}}", "nearest: 'model.mixers.gdn.extra.bias'"},
        {"train.lr: 1", "a.yaml:1: unknown key 'train.lr': in YAML, dotted keys are nested maps"},
        {"'': 1", "unknown key ''"},
        {"<<: {a: 1}", "unknown key '<<'"},
        {"train:\n  steps: -1", "a.yaml:2: train.steps: needs an integer of at least 0, not '-1'"},
        {"train:\n  steps:\n    1.5", "a.yaml:2: train.steps: needs an integer of at least 0, not '1.5'"},
        {"train: {steps: \"5\"}", "train.steps: needs an integer of at least 0, not \"5\""},
        {"train: {steps: }", "train.steps: needs an integer of at least 0, not ''"},
        {"train: {steps: [1]}", "train.steps: needs an integer of at least 0, not a list"},
        {"train: {steps: {a: 1}}", "train.steps: needs an integer of at least 0, not a map"},
        {"train: {seed: 9223372036854775808}", "train.seed: needs an integer, not '9223372036854775808'"},
        {"train: {seed: 0x10}", "train.seed: needs an integer, not '0x10'"},
        {"train: {steps: 32K}", "train.steps: needs an integer of at least 0, not '32K' (units: k, M, G, T are powers"},
        {"train: {steps: 1.0005k}", "not '1.0005k'"},
        {"train: {steps: 9e18k}", "not '9e18k'"},
        {"train: {seed: 1_}", "not '1_'"},
        {"train: {seed: _1}", "not '_1'"},
        {"train: {seed: '-'}", "train.seed: needs an integer"},
        {"train: {lr: 1.5}", "train.lr: needs a number from 0 to 1, not '1.5'"},
        {"train: {lr: .nan}", "train.lr: needs a number from 0 to 1, not '.nan'"},
        {"train: {lr: nan}", "not 'nan'"},
        {"train: {lr: 0x1p-3}", "not '0x1p-3'"},
        {"train: {lr: 1.2.3}", "not '1.2.3'"},
        {"train: {lr: .}", "not '.'"},
        {"train: {lr: 1e}", "not '1e'"},
        {"train: {min_lr_ratio: .inf}", "train.min_lr_ratio: needs a number, not '.inf'"},
        {"train: {min_lr_ratio: 1e999}", "train.min_lr_ratio: needs a number, not '1e999'"},
        {"train: {checkpoint: {keep: 101}}", "train.checkpoint.keep: needs an integer from 1 to 100, not '101'"},
        {"model: {mixers: {m: {heads: -1}}}",
         "model.mixers.m.heads: needs an integer of at least 1 or default, not '-1'"},
        {"model: {mixers: {m: {floor: .inf}}}", "model.mixers.m.floor: needs a number of at most 0, not '.inf'"},
        {"tied: yes", "tied: needs true or false, not 'yes'"},
        {"parallel: {layout: zigzg}",
         "parallel.layout: needs one of contiguous, zigzag, striped, not 'zigzg'; nearest: 'zigzag'"},
        {"run: {dir: [a]}", "run.dir: needs a text, not a list"},
        {"run: {dir: ~}", "run.dir: needs a text; write \"\" for none"},
        {"run: {dir: 0123456789012345678901234567890123456789}", "run.dir: longer than 39 bytes"},
        {"parallel: {sizes: [1, 2, 3, 4, 5, 6]}", "parallel.sizes: more than 5 entries"},
        {"parallel:\n sizes:\n  - 1\n  - 10",
         "a.yaml:4: parallel.sizes: needs a list of integers, each from 0 to 9, not '10'"},
        {"parallel: {sizes: 3}", "parallel.sizes: needs a list of integers, each from 0 to 9, not '3'"},
        {"model: {schedule: {pattern: [a, [b]]}}", "model.schedule.pattern: needs a text, not a list"},
        {"model: {schedule: {overrides: {512: gla}}}",
         "model.schedule.overrides: needs a map from integers from 0 to 511 to texts; '512'"},
        {"model: {schedule: {overrides: {x: gla}}}", "'x' cannot be a key"},
        {"model: {schedule: {overrides: {1: a, 01: b}}}", "model.schedule.overrides: duplicate key '1'"},
        {"model: {schedule: {overrides: {1: a, 2: b, 3: c, 4: d, 5: e}}}",
         "model.schedule.overrides: more than 4 entries"},
        {"model: {schedule: {overrides: [1]}}", "model.schedule.overrides: needs a map of keys, not a list"},
        {"model: {mixers: {a: {}, b: {}, c: {}, d: {}}}", "model.mixers.d: more than 3 entries"},
        {"model: {mixers: {a b: {}}}", "model.mixers.a b: a name has 1 to 23 letters, digits, '_' or '-'"},
        {"model: {mixers: {aaaaaaaaaaaaaaaaaaaaaaaa: {}}}", "a name has 1 to 23 letters"},
        {"model: {mixers: {a: 5}}", "model.mixers.a: needs a map of keys, not a single value"},
        {"model: 5", "model: needs a map of keys, not a single value"},
        {"- a\n", "a.yaml:1: config: needs a map of keys, not a list"},
        {"train:\n  lr: 0.1\n  steps: 1\n  lr: 0.2\n", "a.yaml:4: duplicate key 'train.lr' (first on line 2)"},
        {"train: {lr: 0.1}\ntied: true\ntrain: {steps: 1}\n", "a.yaml:3: duplicate key 'train' (first on line 1)"},
        {"model: {mixers: {a: {}, a: {}}}", "duplicate key 'model.mixers.a'"},
        {"run: {stages: {steps: 1}}", "run.stages: needs a list of maps, each with its own keys, not a map"},
        {"run: {stages: 5}", "run.stages: needs a list of maps, each with its own keys, not a single value"},
        {"run: {stages: [5]}", "run.stages.0: needs a map of keys, not a single value"},
        {"run:\n stages:\n  - {steps: 1}\n  - {stepz: 1}\n",
         "a.yaml:4: unknown key 'run.stages.1.stepz'; nearest: 'run.stages.1.steps'"},
        {"run: {stages: [{steps: 0}]}", "run.stages.0.steps: needs an integer from 1 to 1000, not '0'"},
        {"run: {stages: [{}, {}, {}, {}]}", "run.stages: more than 3 entries"},
        {"run: {parts: [a, [b]]}", "run.parts.1: needs a map of keys, not a list"},
        {"run: {parts: [{path: a, weight: 11}]}", "run.parts.0.weight: needs a number from 0 to 10, not '11'"},
        {"run: {parts: 0123456789012345678901234}", "run.parts: longer than 23 bytes"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sample_config c, before;
        hy_schema_defaults(&sample_schema, &c);
        before = c;
        capture_begin();
        const hy_status status = parse(&c, cases[i].text);
        const char *log = capture_end();
        assert_contains(log, cases[i].message);
        assert_int_equal(status, HY_ERR_USAGE);
        assert_memory_equal(&c, &before, sizeof(c));
    }
}

static hy_status set(sample_config *c, const char *assignment) {
    return hy_schema_set(&sample_schema, c, assignment, NULL);
}

static void test_set_overrides(void **unused) {
    (void)unused;
    sample_config c;
    hy_schema_defaults(&sample_schema, &c);
    assert_int_equal(parse(&c, sample_yaml), HY_OK);
    assert_int_equal(set(&c, "train.lr=0.5"), HY_OK);
    assert_true(c.lr == 0.5);
    assert_int_equal(set(&c, "train={steps: 7, checkpoint: {keep: 3}}"), HY_OK);
    assert_int_equal(c.steps, 7);
    assert_int_equal(c.checkpoint.keep, 3);
    assert_int_equal(c.checkpoint.every, 50);
    assert_int_equal(set(&c, "train.checkpoint={every: 9}"), HY_OK);
    assert_int_equal(c.checkpoint.every, 9);
    assert_int_equal(set(&c, "parallel.sizes=[9, 8, 7]"), HY_OK);
    assert_int_equal(c.n_sizes, 3);
    assert_int_equal(c.sizes[2], 7);
    assert_int_equal(set(&c, "parallel.sizes=[]"), HY_OK);
    assert_int_equal(c.n_sizes, 0);
    assert_int_equal(set(&c, "run.dir=a=b"), HY_OK);
    assert_string_equal(c.dir, "a=b");
    assert_int_equal(set(&c, "run.dir="), HY_OK);
    assert_string_equal(c.dir, "");
}

static void test_set_lists(void **unused) {
    (void)unused;
    sample_config c;
    hy_schema_origins *origins = NULL;
    hy_schema_defaults(&sample_schema, &c);
    assert_true(c.n_parts == 1 && strcmp(c.parts[0].path, "a.h5") == 0 && c.parts[0].weight == 1.0);
    assert_int_equal(parse(&c, sample_yaml), HY_OK);
    assert_true(c.n_parts == 2 && strcmp(c.parts[1].path, "b") == 0 && c.parts[1].weight == 2.0);
    assert_true(c.parts[0].weight == 1.0 && c.n_stages == 2 && c.stages[0].steps == 5 && c.stages[1].steps == 1);
    assert_true(c.stages[0].layout == SAMPLE_STRIPED && c.stages[1].layout == SAMPLE_ZIGZAG);
    assert_true(c.stages[0].n_parts == 1 && strcmp(c.stages[0].parts[0].path, "c") == 0);
    assert_true(c.stages[1].n_parts == 1 && c.stages[1].parts[0].weight == 0.5);
    assert_int_equal(hy_schema_origins_create(&origins), HY_OK);
    assert_int_equal(hy_schema_set(&sample_schema, &c, "run.stages.1.steps=9", origins), HY_OK);
    assert_string_equal(hy_schema_origin(origins, "run.stages.1.steps"), "--set run.stages.1.steps=9");
    hy_schema_origins_destroy(origins);
    assert_true(c.stages[1].steps == 9 && c.stages[1].layout == SAMPLE_ZIGZAG);
    assert_int_equal(set(&c, "run.stages.1={steps: 10}"), HY_OK);
    assert_true(c.stages[1].steps == 10 && c.stages[1].layout == SAMPLE_ZIGZAG);
    assert_int_equal(set(&c, "run.parts=x"), HY_OK);
    assert_true(c.n_parts == 1 && strcmp(c.parts[0].path, "x") == 0 && c.parts[1].path[0] == '\0');
    assert_int_equal(set(&c, "run.parts.0.weight=3"), HY_OK);
    assert_true(strcmp(c.parts[0].path, "x") == 0 && c.parts[0].weight == 3.0);
    assert_int_equal(set(&c, "run.parts="), HY_OK);
    assert_int_equal(c.n_parts, 0);
    static const char *const wrong[] = {"run.stages.2.steps=1", "run.stages.x=1", "run.stages.1x.steps=1",
                                        "run.stages.99999999999.steps=1"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        capture_begin();
        const hy_status status = set(&c, wrong[i]);
        assert_contains(capture_end(), "is none of its 2 entries, which count from 0");
        assert_int_equal(status, HY_ERR_USAGE);
    }
}

static void test_set_maps_and_names(void **unused) {
    (void)unused;
    sample_config c;
    hy_schema_defaults(&sample_schema, &c);
    assert_int_equal(parse(&c, sample_yaml), HY_OK);
    assert_int_equal(set(&c, "model.schedule.overrides.3=gla"), HY_OK);
    assert_int_equal(set(&c, "model.schedule.overrides.7=gla"), HY_OK);
    assert_int_equal(c.model.n_overrides, 3);
    assert_string_equal(c.model.overrides[0].mixer, "gla");
    assert_int_equal(c.model.overrides[2].layer, 7);
    assert_int_equal(set(&c, "model.schedule.overrides={1: x}"), HY_OK);
    assert_int_equal(c.model.n_overrides, 1);
    assert_string_equal(c.model.overrides[0].mixer, "x");
    assert_int_equal(set(&c, "model.mixers.gla.heads=8"), HY_OK);
    assert_int_equal(c.model.mixers[0].heads, 8);
    assert_true(c.model.mixers[0].floor == -5.5);
    assert_int_equal(set(&c, "model.mixers.gla.heads=default"), HY_OK);
    assert_int_equal(c.model.mixers[0].heads, -1);
    assert_int_equal(set(&c, "model.mixers.new.extra.bias=false"), HY_OK);
    assert_int_equal(c.model.n_mixers, 3);
    assert_string_equal(c.model.mixers[2].name, "new");
    assert_false(c.model.mixers[2].bias);
    assert_int_equal(c.model.mixers[2].layout, SAMPLE_STRIPED);
}

static void test_set_errors(void **unused) {
    (void)unused;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"train.lr", "--set train.lr: needs the form key=value"},
        {"=1", "--set =1: needs the form key=value"},
        {"train.lr=abc", "error --set train.lr=abc: train.lr: needs a number from 0 to 1, not 'abc'"},
        {"train.rl=1", "--set train.rl=1: unknown key 'train.rl'; nearest: 'train.lr'"},
        {"train.lr.x=1", "unknown key 'train.lr.x'"},
        {"train..lr=1", "unknown key 'train..lr'"},
        {".train=1", "unknown key '.train'"},
        {"train.=1", "unknown key 'train.'"},
        {"train.lr=[1", "not valid YAML"},
        {"model.mixers.=1", "a name has 1 to 23 letters"},
        {"model.mixers.a.=1", "unknown key 'model.mixers.a.'"},
        {"model.schedule.overrides.x=1", "'x' cannot be a key"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sample_config c;
        hy_schema_defaults(&sample_schema, &c);
        capture_begin();
        const hy_status status = set(&c, cases[i].text);
        const char *log = capture_end();
        assert_contains(log, cases[i].message);
        assert_int_equal(status, HY_ERR_USAGE);
    }
}

static void test_load_reads_a_file(void **unused) {
    (void)unused;
    char path[] = "/tmp/hylas_schema_XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "tied: true\n", 11), 11);
    (void)close(fd);
    sample_config c;
    hy_schema_defaults(&sample_schema, &c);
    assert_int_equal(hy_schema_load(&sample_schema, &c, path, NULL), HY_OK);
    assert_true(c.tied);
    (void)unlink(path);
    capture_begin();
    const hy_status status = hy_schema_load(&sample_schema, &c, path, NULL);
    assert_contains(capture_end(), "No such file");
    assert_int_equal(status, HY_ERR_USAGE);
}

static void test_origins(void **unused) {
    (void)unused;
    hy_schema_origins *origins = NULL;
    assert_int_equal(hy_schema_origins_create(&origins), HY_OK);
    sample_config c;
    hy_schema_defaults(&sample_schema, &c);
    assert_string_equal(hy_schema_origin(origins, "train.lr"), "default");
    assert_int_equal(hy_schema_parse(&sample_schema, &c, "b.yaml", sample_yaml, strlen(sample_yaml), origins), HY_OK);
    assert_string_equal(hy_schema_origin(origins, "train.lr"), "b.yaml:16");
    assert_string_equal(hy_schema_origin(origins, "train.seed"), "default");
    assert_string_equal(hy_schema_origin(origins, "model.mixers.attention.extra.bias"), "b.yaml:11");
    assert_string_equal(hy_schema_origin(origins, "model.schedule.overrides"), "b.yaml:6");
    assert_int_equal(hy_schema_set(&sample_schema, &c, "train.lr=0.25", origins), HY_OK);
    assert_string_equal(hy_schema_origin(origins, "train.lr"), "--set train.lr=0.25");
    capture_begin();
    assert_int_equal(hy_schema_set(&sample_schema, &c, "train={lr: 0.5, steps: -1}", origins), HY_ERR_USAGE);
    (void)capture_end();
    assert_string_equal(hy_schema_origin(origins, "train.lr"), "--set train.lr=0.25");
    hy_schema_origins_destroy(origins);
    hy_schema_origins_destroy(NULL);
}

/* Each allocation of a load fails in turn: memory error, nothing changed, nothing leaked. */
static void test_every_allocation_may_fail(void **unused) {
    (void)unused;
    const int64_t bytes = hy_alloc_bytes();
    hy_schema_origins *origins = NULL;
    assert_int_equal(hy_schema_origins_create(&origins), HY_OK);
    sample_config c, before;
    hy_schema_defaults(&sample_schema, &c);
    before = c;
    hy_status status = HY_ERR_MEMORY;
    int64_t n = 1;
    for (; status != HY_OK; n++) {
        hy_alloc_fail_after(n);
        capture_begin();
        status = hy_schema_parse(&sample_schema, &c, "a.yaml", sample_yaml, strlen(sample_yaml), origins);
        (void)capture_end();
        hy_alloc_fail_after(0);
        if (status != HY_OK) {
            assert_int_equal(status, HY_ERR_MEMORY);
            assert_memory_equal(&c, &before, sizeof(c));
            assert_string_equal(hy_schema_origin(origins, "train.lr"), "default");
        }
    }
    assert_true(n > 5);
    hy_schema_origins_destroy(origins);
    assert_int_equal(hy_alloc_bytes(), bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_parse_sets_every_kind),
        cmocka_unit_test(test_integers_may_have_units),
        cmocka_unit_test(test_empty_documents_change_nothing),
        cmocka_unit_test(test_errors_say_where_and_what),
        cmocka_unit_test(test_set_overrides),
        cmocka_unit_test(test_set_lists),
        cmocka_unit_test(test_set_maps_and_names),
        cmocka_unit_test(test_set_errors),
        cmocka_unit_test(test_load_reads_a_file),
        cmocka_unit_test(test_origins),
        cmocka_unit_test(test_every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
