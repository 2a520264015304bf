/* Stages of a run: what each inherits, where it lies, its learning rate, and the mistakes in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "tests/unit/capture.h"
#include "train/run/stage.h"

static hy_config config, again;

static hy_status parse(const char *text) {
    return hy_config_parse("a.yaml", text, strlen(text), &config);
}

static const char three[] =
    "model: {layers: 2, schedule: {pattern: [gated_deltanet, attention]}, mixers: {attention: {rope_base: 500}}}\n"
    "data: {store: x/a.h5, sequence: 100, batch: 8}\n"
    "train:\n"
    "  lr: 1e-2\n"
    "  warmup: 10\n"
    "  accumulate: 2\n"
    "  stages:\n"
    "    - {steps: 50}\n"
    "    - {steps: 30, sequence: 400, batch: 2, store: [b.h5, {path: c.h5, weight: 3}], rope_base: 1e6}\n"
    "    - {steps: 20, sequence: 1000, batch: 4, accumulate: 1, lr: 1e-3, schedule: wsd, warmup: 0, min_lr_ratio: 0,\n"
    "       decay_steps: 10}\n";

static void values_of_stages(void **state) {
    (void)state;
    char name[HY_STORE_NAME_MAX];
    assert_int_equal(parse(three), HY_OK);
    assert_int_equal(config.train.steps, 100);
    assert_int_equal(hy_stage_count(&config), 3);
    const hy_stage a = hy_stage_get(&config, 0), b = hy_stage_get(&config, 1), c = hy_stage_get(&config, 2);
    assert_true(a.first == 1 && a.steps == 50 && a.sequence == 100 && a.batch == 8 && a.accumulate == 2);
    assert_true(b.first == 51 && b.sequence == 400 && b.batch == 2 && b.accumulate == 2 && b.rope_base == 1e6);
    assert_true(c.first == 81 && c.sequence == 1000 && c.accumulate == 1 && c.rope_base == 0.0);
    assert_true(a.stores == &config.data.store && c.stores == a.stores && b.stores->n == 2);
    hy_store_name(&a.stores->items[0], name);
    assert_string_equal(name, "a");
    static const int64_t steps[] = {0, 1, 50, 51, 80, 81, 100, 101};
    static const int stage[] = {0, 0, 0, 1, 1, 2, 2, 2};
    for (int i = 0; i < 8; i++) {
        assert_int_equal(hy_stage_at(&config, steps[i]), stage[i]);
    }
    /* the first two follow the run's cosine over 100 steps, the last its own over 20 */
    assert_true(fabs(hy_stage_lr(&a, 55) - 1e-2 * 0.55) < 1e-15 && hy_stage_lr(&b, 55) == hy_stage_lr(&a, 55));
    assert_true(hy_stage_lr(&c, 81) == 1e-3 && hy_stage_lr(&c, 90) == 1e-3);
    assert_true(fabs(hy_stage_lr(&c, 95) - 0.5e-3) < 1e-15 && hy_stage_lr(&c, 100) == 0.0);
    /* blocks: the longest sequence that reads the store */
    assert_true(hy_store_block(&config, "a") == 1000 && hy_store_block(&config, "c") == 400);
    config.data.block = 77;
    assert_int_equal(hy_store_block(&config, "a"), 77);
}

static void a_run_without_stages(void **state) {
    (void)state;
    assert_int_equal(parse("data: {sequence: 100}\ntrain: {steps: 40, lr: 1, warmup: 0, schedule: wsd}\n"), HY_OK);
    const hy_stage whole = hy_stage_get(&config, 0);
    assert_true(hy_stage_count(&config) == 1 && hy_stage_at(&config, 17) == 0);
    assert_true(whole.first == 1 && whole.steps == 40 && whole.sequence == 100 && whole.rope_base == 0.0);
    assert_true(hy_stage_lr(&whole, 36) == 1.0 && fabs(hy_stage_lr(&whole, 38) - 0.55) < 1e-15); /* decay: 4 steps */
}

/* The stage that made a checkpoint, as a configuration of its own. */
static void entering_a_stage(void **state) {
    (void)state;
    assert_int_equal(parse(three), HY_OK);
    hy_stage_enter_config(&config, 50);
    assert_true(config.data.sequence == 100 && config.model.mixers[0].rope_base == 500);
    assert_int_equal(parse(three), HY_OK);
    hy_stage_enter_config(&config, 60);
    assert_true(config.data.sequence == 400 && config.data.batch == 2 && config.train.n_stages == 0);
    assert_int_equal(config.data.store.n, 2);
    assert_true(config.model.mixers[config.model.layer_mixer[1]].rope_base == 1e6);
    assert_true(config.model.mixers[config.model.layer_mixer[0]].rope_base == 0.0);
}

static void stages_survive_writing(void **state) {
    (void)state;
    char *text = NULL;
    size_t length = 0;
    assert_int_equal(parse(three), HY_OK);
    assert_int_equal(hy_config_write(&config, &text, &length), HY_OK);
    assert_int_equal(hy_config_parse("again", text, length, &again), HY_OK);
    assert_memory_equal(&again, &config, sizeof config);
    hy_free(text);
}

/* As configurations were written before there could be several stores. */
static void single_stores(void **state) {
    (void)state;
    char *text = NULL;
    size_t length = 0;
    assert_int_equal(parse("data: {store: data/a.h5, eval_store: \"\"}\n"), HY_OK);
    assert_true(config.data.store.n == 1 && config.data.eval_store.n == 0 && config.data.store.items[0].weight == 1.0);
    assert_int_equal(hy_config_write(&config, &text, &length), HY_OK);
    assert_contains(text, "\n  store: data/a.h5\n  eval_store: \"\"\n");
    hy_free(text);
}

static void mistakes(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"train:\n  steps: 7\n  stages: [{steps: 2}, {steps: 3}]\n",
         "a.yaml:2: train.steps 7, but train.stages have 5 steps in all; leave train.steps out"},
        {"parallel: {data: 4}\ndata: {batch: 4}\ntrain:\n  stages:\n    - {steps: 1}\n    - {steps: 1, batch: 3}\n",
         "a.yaml:6: train.stages.1.batch 3: fewer sequences than the 4 groups"},
        {"data: {batch: 4}\ntrain: {accumulate: 4, stages: [{steps: 1}, {steps: 1, batch: 3}]}\n",
         "train.accumulate 4: train.stages.1.batch 3 over parallel.data 1"},
        {"data: {batch: 4}\ntrain: {stages: [{steps: 1, accumulate: 5}]}\n",
         "train.stages.0.accumulate 5: data.batch 4 over parallel.data 1"},
        {"model: {schedule: {pattern: [gla]}}\ntrain: {stages: [{steps: 1, rope_base: 1e6}]}\n",
         "train.stages.0.rope_base: no layer of this model is a softmax mixer with a rotary embedding"},
        {"train: {stages: [{steps: 1, rope_base: 0}]}\n", "train.stages.0.rope_base: needs a number"},
        {"train: {stages: [{sequence: 5}, {steps: 0}]}\n", "train.stages.1.steps: needs an integer of at least 1"},
        {"train: {stages: [{steps: 9223372036854775807}, {steps: 1}]}\n", "more steps than can be counted"},
        {"data: {store: []}\n", "data.store is empty"},
        {"data: {store: [{weight: 1}]}\n", "data.store.0 has no path"},
        {"data: {store: [x/a.h5, y/a.h5]}\n", "x/a.h5 and y/a.h5 are both called 'a'; give one of them a name"},
        {"data: {eval_store: [a.h5, {path: b.h5, name: a}]}\n", "a.h5 and b.h5 are both called 'a'"},
        {"data: {store: [{path: a.h5, weight: 0}]}\n", "data.store: all weights are 0"},
        {"data: {store: [{path: a.h5, weight: -1}]}\n", "data.store.0.weight: needs a number"},
        {"data: {store: x/a.h5}\ntrain: {stages: [{steps: 1}, {steps: 1, store: y/a.h5}]}\n",
         "train.stages.1.store: x/a.h5 and y/a.h5 are both called 'a'"},
        {"train: {schedule: cosin}\n", "nearest: 'cosine'"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        capture_begin();
        const hy_status status = parse(cases[c].text);
        assert_contains(capture_end(), cases[c].says);
        assert_int_equal(status, HY_ERR_USAGE);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_stages), cmocka_unit_test(a_run_without_stages),
        cmocka_unit_test(entering_a_stage), cmocka_unit_test(stages_survive_writing),
        cmocka_unit_test(single_stores),    cmocka_unit_test(mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
