#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "tests/unit/capture.h"
#include "train/run/config.h"

static hy_config config, again;

static hy_status parse(const char *text, const char **said) {
    capture_begin();
    const hy_status status = hy_config_parse("a.yaml", text, strlen(text), &config);
    *said = capture_end();
    return status;
}

static void table_is_sound(void **state) {
    (void)state;
    assert_int_equal(hy_config_check_table(), HY_OK);
}

static void defaults(void **state) {
    (void)state;
    const char *said = NULL;
    assert_int_equal(parse("", &said), HY_OK);
    assert_int_equal(config.model.layers, 24);
    assert_int_equal(config.model.width, 1024);
    assert_int_equal(config.model.mlp_width, 2816);
    assert_string_equal(config.model.mixers[config.model.layer_mixer[0]].kind, "gated_deltanet");
    assert_string_equal(config.model.mixers[config.model.layer_mixer[3]].kind, "attention");
    assert_int_equal(config.data.sequence, 32768);
    assert_int_equal(config.parallel.sequence, 0);
    assert_int_equal(config.train.recompute, HY_RECOMPUTE_BLOCK);
    assert_int_equal(config.train.checkpoint.every, 200);
    assert_string_equal(config.run.device, "cpu");
}

static const char full[] = "model:\n"
                           "  layers: 5\n"
                           "  width: 96\n"
                           "  vocab: 256\n"
                           "  tied: true\n"
                           "  mlp: {width: 200}\n"
                           "  schedule:\n"
                           "    pattern: [fast, attention]\n"
                           "    overrides: {4: gla}\n"
                           "  mixers:\n"
                           "    fast: {kind: deltanet, heads: 3, head_dim: 32, beta: false, qk_norm: l2}\n"
                           "    attention: {heads: 6, kv_heads: 2, window: 100}\n"
                           "data: {store: a.h5, sequence: 1000, batch: 6}\n"
                           "train: {steps: 7, lr: 1e-2, checkpoint: {every: 3, keep: 1}, accumulate: 2}\n"
                           "parallel: {data: 2, sequence: 2, layout: contiguous, weights: [2, 1], state: ring}\n"
                           "run: {dir: x, device: cpu_ref}\n";

static void every_key_survives_writing(void **state) {
    (void)state;
    const char *said = NULL;
    char *text = NULL;
    size_t length = 0;
    if (parse(full, &said) != HY_OK) {
        fail_msg("%s", said);
    }
    assert_string_equal(config.model.mixers[config.model.layer_mixer[0]].kind, "deltanet");
    assert_string_equal(config.model.mixers[config.model.layer_mixer[4]].name, "gla");
    assert_int_equal(config.model.mixers[config.model.layer_mixer[1]].window, 100);
    assert_int_equal(hy_config_write(&config, &text, &length), HY_OK);
    memcpy(&again, &config, sizeof config);
    if (parse(text, &said) != HY_OK) {
        fail_msg("%s in:\n%s", said, text);
    }
    assert_memory_equal(&again, &config, sizeof config);
    hy_free(text);
}

static void errors_name_the_key(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"train:\n  stepz: 3\n", "a.yaml:2"},
        {"train:\n  stepz: 3\n", "steps"},
        {"train: {steps: many}\n", "train.steps"},
        {"train: {lr: -1}\n", "train.lr"},
        {"parallel: {layout: zigzga}\n", "zigzag"},
        {"data: {batch: 3}\nparallel: {data: 4}\n", "data.batch 4"},
        {"data: {batch: 4}\ntrain: {accumulate: 3}\nparallel: {data: 2}\n", "nearest: 2"},
        {"model: {schedule: {pattern: [gated_deltane]}}\n", "gated_deltanet"},
        {"model: {layers: 4, schedule: {overrides: {4: attention}}}\n", "0 to 3"},
        {"run: {dir: ''}\n", "run.dir is empty"},
        {"run: {dir: 'a/${train.lr'}\n", "'}' is missing after '${train.lr'"},
        {"run: {dir: 'a/${train.lrr}'}\n", "a.yaml:1: run.dir: unknown key in ${train.lrr}; nearest: ${train.lr}"},
        {"run: {dir: 'a/${train}'}\n", "${train} is not a key with a value"},
        {"run: {dir: '${run.dir}'}\n", "${run.dir} is not a key with a value"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        const char *said = NULL;
        assert_int_equal(parse(cases[c].text, &said), HY_ERR_USAGE);
        assert_contains(said, cases[c].says);
    }
}

static void init_equals_the_tables_defaults(void **state) {
    (void)state;
    const char *said = NULL;
    hy_mixer_config mixer;
    assert_int_equal(parse("model: {mixers: {gla: {}}}\n", &said), HY_OK);
    hy_mixer_config_init(&mixer, "gla");
    assert_true(mixer.beta);
    assert_int_equal(mixer.heads, HY_DEFAULT);
    assert_true(mixer.gate_divisor == 16.0 && mixer.rope_fraction == 1.0);
}

static void folders_by_interpolation(void **state) {
    (void)state;
    static const struct {
        const char *dir, *expanded;
    } cases[] = {
        {"runs/x", "runs/x"},
        {"runs/$x}-{y", "runs/$x}-{y"},
        {"${model.width}", "96"},
        {"runs/${model.schedule}/lr-${train.lr}", "runs/2fast-2attention-1gla/lr-0.01"},
        {"a-${model.schedule.pattern}-b", "a-fast-attention-b"},
        {"a-${model.schedule.overrides}${data.store}", "a-4-glaa.h5"},
        {"${parallel.layout}-${model.tied}", "contiguous-true"},
    };
    char text[2048];
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        const char *said = NULL;
        snprintf(text, sizeof text, "%.*srun: {dir: '%s'}\n", (int)(strstr(full, "run: {") - full), full, cases[c].dir);
        if (parse(text, &said) != HY_OK) {
            fail_msg("%s", said);
        }
        assert_string_equal(config.run.dir, cases[c].expanded);
    }
    const char *said = NULL; /* short as it is written, too long as it is meant */
    char store[501];
    memset(store, 'x', 500);
    store[500] = '\0';
    snprintf(text, sizeof text, "data: {store: %s}\nrun: {dir: 'a-long-name-${data.store}'}\n", store);
    assert_int_equal(parse(text, &said), HY_ERR_USAGE);
    assert_contains(said, "longer than 511 bytes");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_is_sound),
        cmocka_unit_test(defaults),
        cmocka_unit_test(every_key_survives_writing),
        cmocka_unit_test(errors_name_the_key),
        cmocka_unit_test(init_equals_the_tables_defaults),
        cmocka_unit_test(folders_by_interpolation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
