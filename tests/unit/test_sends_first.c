/* Where messages go both ways between two ranks at once, the send is posted before the receive (comm.h): in every exchange of a step, as a dry run writes
 * them down, for every way to exchange states and attention, both layouts, on 2 to 8 ranks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "train/run/dry_run.h"

enum { RANKS_MAX = 8, COMMS = 8 };

static const char text[] =
    "model: {layers: 4, width: 48, vocab: 16, schedule: {pattern: [gated_deltanet, hgrn, attention, conv_long]}, "
    "mixers: {gated_deltanet: {heads: 2}, attention: {heads: 4, kv_heads: 2}}}\n"
    "data: {store: none.h5, sequence: 512, batch: 1}\n"
    "parallel: {state: %s, attention: %s, layout: %s, node: 2}\n"
    "run: {device: %s}\n";

/* Posted since something was waited for or computed; names: that of the last receive. */
typedef struct between {
    int sends[COMMS][RANKS_MAX], recvs[COMMS][RANKS_MAX], names[COMMS][RANKS_MAX];
} between;

/* Receives that were posted before a send to the same rank. *both: pairs of messages that go both ways. */
static int late_sends(const hy_schedule *s, int *both) {
    between b = {{{0}}, {{0}}, {{0}}};
    int late = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const hy_event *e = &s->events[i];
        if (e->kind == HY_EVENT_WAIT || e->kind == HY_EVENT_COMPUTE) {
            memset(&b, 0, sizeof b);
        }
        if (e->kind != HY_EVENT_POST) {
            continue;
        }
        const int comm = (int)e->at.comm;
        const hy_body *body = &s->bodies[e->how.body];
        const bool steps = body->n > 1; /* an exchange of its own, with one tag */
        between own = {{{0}}, {{0}}, {{0}}};
        between *seen = steps ? &own : &b;
        assert_in_range(comm, 0, COMMS - 1);
        for (int64_t m = body->first; m < body->first + body->n; m++) {
            const hy_part *part = &s->parts[m];
            if (part->kind == HY_PART_SEND) {
                const bool alike =
                    seen->names[comm][part->peer] == e->how.name; /* messages of one exchange of several */
                if (seen->recvs[comm][part->peer] > (alike ? 0 : seen->sends[comm][part->peer])) {
                    late++;
                    print_error("after a receive from the same rank: '%s'\n", s->names[e->how.name]);
                }
                seen->sends[comm][part->peer]++;
            } else if (part->kind == HY_PART_RECV) {
                *both += seen->sends[comm][part->peer] > seen->recvs[comm][part->peer];
                seen->recvs[comm][part->peer]++;
                seen->names[comm][part->peer] = e->how.name;
            } else { /* what came is what goes on */
                memset(seen, 0, sizeof *seen);
            }
        }
    }
    return late;
}

static int check(const char *state, const char *attention, const char *layout, const char *device) {
    hy_config *config = NULL;
    char full[sizeof text + 96];
    int both = 0;
    (void)snprintf(full, sizeof full, text, state, attention, layout, device);
    assert_int_equal(HY_NEW("configuration", 1, &config), HY_OK);
    assert_int_equal(hy_config_parse("sends first", full, strlen(full), config), HY_OK);
    for (int ranks = 2; ranks <= RANKS_MAX; ranks += ranks < 4 ? 1 : 2) {
        for (int rank = 0; rank < ranks; rank++) {
            hy_schedule schedule = {.waited = -1};
            assert_int_equal(hy_dry_run_schedule(config, 0, ranks, rank, false, &schedule, NULL), HY_OK);
            const int late = late_sends(&schedule, &both);
            if (late > 0) {
                fail_msg("state %s, attention %s, %s, %s, rank %d of %d: %d sends after the receive from their rank",
                         state, attention, layout, device, rank, ranks, late);
            }
            hy_schedule_clear(&schedule);
        }
    }
    hy_free(config);
    return both;
}

static void test_every_way(void **unused) {
    static const char *const states[] = {"allgather", "ring", "chain", "scan", "heads", "hierarchical"},
                             *const attentions[] = {"ring", "allgather", "heads", "2d", "node"},
                             *const layouts[] = {"zigzag", "contiguous"};
    (void)unused;
    for (int s = 0; s < 6; s++) {
        for (int l = 0; l < 2; l++) {
            assert_true(check(states[s], attentions[s % 5], layouts[l], s & 1 ? "cpu" : "cpu_async") > 0);
        }
    }
    for (int a = 0; a < 5; a++) {
        assert_true(check("ring", attentions[a], "zigzag", "cpu") > 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_way)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
