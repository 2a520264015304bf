#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "capture.h"
#include "train/run/config_change.h"
#include "train/run/config_diff.h"

static char seen[4096];

static void collect(void *context, const char *key, const char *before, const char *after) {
    (void)context;
    const size_t n = strlen(seen);
    snprintf(seen + n, sizeof seen - n, "%s: %s -> %s\n", key, before, after);
}

static void differences_by_dotted_key(void **state) {
    (void)state;
    static const char a[] = "model:\n  layers: 3\n  mlp:\n    width: 10\n    ratio: 4\ntrain:\n  lr: 0.1\n  "
                            "checkpoint:\n    every: 5\n  seed: 1\n";
    static const char b[] = "model:\n  layers: 4\n  mlp:\n    width: 10\n  extra: [1, 2]\ntrain:\n  lr: 0.1\n  "
                            "checkpoint:\n    every: 6\n  seed: 1\n";
    seen[0] = '\0';
    hy_config_diff(a, b, collect, NULL);
    assert_string_equal(seen, "model.layers: 3 -> 4\nmodel.mlp.ratio: 4 -> absent\ntrain.checkpoint.every: 5 -> "
                              "6\nmodel.extra: absent -> [1, 2]\n");
    seen[0] = '\0';
    hy_config_diff(a, a, collect, NULL);
    assert_string_equal(seen, "");
    hy_config_diff("", "", collect, NULL);
    assert_string_equal(seen, "");
}

static void real_configs(void **state) {
    (void)state;
    static hy_config config;
    char *one = NULL, *two = NULL;
    size_t n = 0;
    assert_int_equal(hy_config_parse("x", "", 0, &config), HY_OK);
    assert_int_equal(hy_config_write(&config, &one, &n), HY_OK);
    config.train.checkpoint.keep = 77;
    config.model.mixers[0].heads = 8;
    strcpy(config.run.dir, "elsewhere: or not");
    assert_int_equal(hy_config_write(&config, &two, &n), HY_OK);
    seen[0] = '\0';
    hy_config_diff(one, two, collect, NULL);
    assert_non_null(strstr(seen, "train.checkpoint.keep: 2 -> 77\n"));
    assert_non_null(strstr(seen, "model.mixers.gated_deltanet.heads: 4 -> 8\n"));
    assert_non_null(strstr(seen, "run.dir: runs/default -> "));
    int lines = 0;
    for (const char *at = seen; (at = strchr(at, '\n')) != NULL; at++) {
        lines++;
    }
    assert_int_equal(lines, 3);
    hy_free(one);
    hy_free(two);
}

/* The table of free keys names keys or sections that there are, and none that changes the mathematics. */
static void free_keys(void **state) {
    (void)state;
    static hy_config config;
    char *text = NULL, nearest[128];
    size_t n = 0;
    assert_int_equal(hy_config_parse("x", "", 0, &config), HY_OK);
    assert_int_equal(hy_config_write(&config, &text, &n), HY_OK);
    int keys = 0;
    for (; hy_config_free_key(keys) != NULL; keys++) {
        assert_true(hy_config_has(text, hy_config_free_key(keys), nearest, sizeof nearest));
        assert_string_not_equal(hy_config_free_key(keys), "train");
        assert_string_not_equal(hy_config_free_key(keys), "data");
    }
    assert_true(keys > 5);
    assert_false(hy_config_has(text, "train.lrr", nearest, sizeof nearest));
    assert_string_equal(nearest, "train.lr");
    assert_false(hy_config_has(text, "tra", nearest, sizeof nearest));
    assert_string_equal(hy_config_value(text, "train.checkpoint.keep"), "2");
    assert_null(hy_config_value(text, "train.checkpoint"));
    hy_free(text);
}

/* A checkpoint of before a key was there has its default; what a key of then became is compared as it is. */
static void older_configurations(void **state) {
    (void)state;
    static hy_config config;
    char *text = NULL;
    size_t n = 0;
    assert_int_equal(hy_config_parse("x", "train: {lr: 0.5}\n", 17, &config), HY_OK);
    assert_int_equal(hy_config_write(&config, &text, &n), HY_OK);
    hy_manifest manifest = {.config = (char *)(uintptr_t) "train:\n  lr: 0.5\n"};
    assert_int_equal(hy_config_change_check("run", &manifest, text, "", NULL), HY_OK);
    manifest.config = (char *)(uintptr_t) "train:\n  lr: 0.25\n";
    capture_begin();
    assert_int_equal(hy_config_change_check("run", &manifest, text, "", NULL), HY_ERR_USAGE);
    assert_non_null(strstr(capture_end(), "\n  train.lr: 0.25 -> 0.5\n"));
    manifest.config = (char *)(uintptr_t) "train:\n  lr: 0.5\nparallel:\n  state: ring\n  prune: 1e-8\n";
    capture_begin();
    assert_int_equal(hy_config_change_check("run", &manifest, text, "", NULL), HY_ERR_USAGE);
    const char *said = capture_end();
    assert_non_null(strstr(said, "\n  parallel.prune: ")); /* no rounding */
    assert_null(strstr(said, "\n  parallel.state: "));
    manifest.config = (char *)(uintptr_t) "train:\n  lr: 0.25\n";
    manifest.stores = (char *)(uintptr_t) "data:\n  store: 0123456789abcdef\n";
    const hy_allowed_changes allowed = {(const char *const[]){"data.batch,train", "model"}, 2, NULL};
    assert_int_equal(hy_config_change_check("run", &manifest, text, "", &allowed), HY_OK);
    capture_begin();
    assert_int_equal(hy_config_change_check("run", &manifest, text, "data:\n  store: 0123456789abcdee\n", &allowed),
                     HY_ERR_USAGE);
    assert_non_null(strstr(capture_end(), "data.store: 0123456789abcdef -> 0123456789abcdee"));
    hy_free(text);
}

/* Items of lists have their number as key; nested lists count for themselves. */
static void items_of_lists(void **state) {
    (void)state;
    static const char one[] =
        "train: {stages: [{steps: 3, store: [a.h5, {path: b.h5, weight: 2}]}, {steps: 4, sequence: 5}]}";
    static hy_config config;
    char *before = NULL, *after = NULL;
    size_t n = 0;
    assert_int_equal(hy_config_parse("x", one, strlen(one), &config), HY_OK);
    assert_int_equal(hy_config_write(&config, &before, &n), HY_OK);
    config.train.stages[0].store.items[1].weight = 3.0;
    config.train.stages[1].sequence = 6;
    assert_int_equal(hy_config_write(&config, &after, &n), HY_OK);
    seen[0] = '\0';
    hy_config_diff(before, after, collect, NULL);
    assert_string_equal(seen, "train.stages.0.store.1.weight: 2 -> 3\ntrain.stages.1.sequence: 5 -> 6\n");
    hy_free(before);
    hy_free(after);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(differences_by_dotted_key), cmocka_unit_test(real_configs),
                                       cmocka_unit_test(free_keys), cmocka_unit_test(older_configurations),
                                       cmocka_unit_test(items_of_lists)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
