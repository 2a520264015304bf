/* What a dry run writes down of states that go from rank to rank: on a device of the host, that they may go on between operations; on an asynchronous
 * one, that they are waited for there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "train/run/dry_run.h"

static const char text[] = "model: {layers: 1, width: 32, vocab: 16, schedule: {pattern: [gated_deltanet]}, "
                           "mixers: {gated_deltanet: {heads: 2}}}\n"
                           "data: {store: none.h5, sequence: 256, batch: 1}\n"
                           "parallel: {state: ring, layout: contiguous}\n"
                           "run: {device: %s}\n";

typedef struct seen {
    int early[3]; /* of each kind */
    int posts; /* of messages with states before the first recurrence computes: what is received, then what is sent */
} seen;

static void look(const hy_schedule *s, seen *out) {
    bool computed = false;
    for (int64_t i = 0; i < s->n; i++) {
        const hy_event *e = &s->events[i];
        if (e->kind == HY_EVENT_EARLY) {
            out->early[e->a]++;
        } else if (e->kind == HY_EVENT_POST) {
            out->posts += !computed && strcmp(s->names[e->how.name], "state") == 0;
        } else if (e->kind == HY_EVENT_COMPUTE && e->a == HY_OP_recur_fwd) {
            computed = true;
        }
    }
}

static seen schedule_on(const char *device) {
    hy_config *config = NULL;
    hy_schedule schedule = {.waited = -1};
    char full[sizeof text + 32];
    seen out = {.posts = 0};
    (void)snprintf(full, sizeof full, text, device);
    assert_int_equal(HY_NEW("configuration", 1, &config), HY_OK);
    assert_int_equal(hy_config_parse("early", full, strlen(full), config), HY_OK);
    assert_int_equal(hy_dry_run_schedule(config, 0, 4, 1, false, &schedule, NULL), HY_OK);
    look(&schedule, &out);
    hy_schedule_clear(&schedule);
    hy_free(config);
    return out;
}

static void test_host(void **unused) {
    (void)unused;
    const seen s = schedule_on("cpu");
    assert_true(s.early[HY_EARLY_FROM] == 4); /* two steps, forward and backward */
    assert_true(s.early[HY_EARLY_BEGIN] == 4 && s.early[HY_EARLY_END] == 4);
    assert_int_equal(s.posts, 1);
}

static void test_async(void **unused) {
    (void)unused;
    const seen s = schedule_on("cpu_async");
    assert_int_equal(s.early[HY_EARLY_FROM] + s.early[HY_EARLY_BEGIN] + s.early[HY_EARLY_END], 0);
    assert_int_equal(s.posts, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_host), cmocka_unit_test(test_async)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
