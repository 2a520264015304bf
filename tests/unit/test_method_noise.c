/* What `auto` takes on a machine that was measured 20% wrong, at its worst, in every rate: on the machine as it is, the way it took is within 10%
 * of the best in at least 9 of 10 points of a grid of ranks, tokens, decay, latency and bandwidth. What is taken sends least of what is about as fast. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "train/run/method_choice.h"

static const char text[] =
    "model: {layers: 2, width: 128, vocab: 256, mlp: {width: 128}, schedule: {pattern: [%s, attention]}, "
    "mixers: {%s: {heads: 4}, attention: {heads: 4, kv_heads: 2, head_dim: 32}}}\n"
    "data: {store: none.h5, sequence: %d, batch: 1}\n"
    "parallel: {node: 2, layout: auto, state: auto, attention: auto}\n";

static hy_comm *self;

static hy_machine machine_of(double latency, double bandwidth) {
    hy_machine machine;
    assert_int_equal(hy_machine_parse("products=1e11,attention=5e10,recurrences=3e10,memory=1e10,near=1e10", &machine),
                     HY_OK);
    machine.network.node = 2;
    machine.network.latency[HY_FAR] = latency;
    machine.network.bandwidth[HY_FAR] = bandwidth;
    return machine;
}

static double noise(uint64_t point, uint64_t of) {
    return 0.8 + 0.4 * hy_random_uniform(11, point, of);
}

static hy_machine measured_wrong(const hy_machine *exact, uint64_t point) {
    hy_machine m = *exact;
    double *const rates[] = {&m.products, &m.attention, &m.recurrences, &m.memory};
    for (uint64_t i = 0; i < 4; i++) {
        *rates[i] *= noise(point, i);
    }
    for (int level = 0; level < HY_LEVELS; level++) {
        m.network.latency[level] *= noise(point, 4 + (uint64_t)level);
        m.network.bandwidth[level] *= noise(point, 6 + (uint64_t)level);
    }
    return m;
}

/* What is taken is as fast as the fastest, to 2%, and nothing that is as fast sends less. */
static void check_taken(const hy_method_choice *choice, const hy_sp_method *method) {
    const double most = 1.02 * choice->tried[choice->best].seconds;
    const hy_tried_method *taken = NULL;
    double least = INFINITY;
    for (int i = 0; i < choice->n; i++) {
        const hy_tried_method *t = &choice->tried[i];
        const bool is_it = t->method.layout == method->layout && t->method.state == method->state &&
                           t->method.attention == method->attention;
        taken = is_it ? t : taken;
        least = t->seconds <= most ? fmin(least, t->sent) : least;
    }
    assert_non_null(taken);
    assert_true(taken->seconds <= most && taken->sent <= least);
}

/* Seconds of the fastest of what `config` leaves open. */
static double fastest(const hy_config *config, int ranks, const hy_machine *machine, hy_sp_method *method) {
    hy_method_choice *choice = NULL;
    assert_int_equal(hy_method_choose(config, 0, ranks, false, machine, self, method, &choice), HY_OK);
    const double seconds = choice->tried[choice->best].seconds;
    check_taken(choice, method);
    hy_free(choice);
    return seconds;
}

/* How much longer than the best. */
static double loss_of_point(hy_config *config, int ranks, const hy_machine *exact, uint64_t point) {
    const hy_sp_method open = config->parallel.method;
    const hy_machine wrong = measured_wrong(exact, point);
    hy_sp_method best = open, taken = open;
    const double least = fastest(config, ranks, exact, &best);
    (void)fastest(config, ranks, &wrong, &taken);
    config->parallel.method = taken;
    const double seconds = fastest(config, ranks, exact, &taken);
    config->parallel.method = open;
    return seconds / least - 1.0;
}

static void test_grid(void **unused) {
    static const char *const mixers[] = {"gated_deltanet", "retention"};
    static const double latencies[] = {1e-5, 1e-3}, bandwidths[] = {1e7, 1e9};
    hy_config *config = NULL;
    uint64_t points = 0, near = 0;
    (void)unused;
    assert_int_equal(HY_NEW("configuration", 1, &config), HY_OK);
    assert_int_equal(hy_comm_self_create(&self), HY_OK);
    for (int mixer = 0; mixer < 2; mixer++) {
        for (int tokens = 512; tokens <= 8192; tokens *= 16) {
            char full[1024];
            (void)snprintf(full, sizeof full, text, mixers[mixer], mixers[mixer], tokens);
            assert_int_equal(hy_config_parse_with("noise", full, strlen(full), NULL, 0, config), HY_OK);
            for (int i = 0; i < 8; i++) {
                const hy_machine exact = machine_of(latencies[i & 1], bandwidths[i >> 1 & 1]);
                const double loss = loss_of_point(config, i & 4 ? 6 : 4, &exact, points);
                points++;
                near += loss <= 0.1;
            }
        }
    }
    print_message("within 10%% of the best at %d of %d points\n", (int)near, (int)points);
    if (10 * near < 9 * points) {
        fail_msg("within 10%% of the best at %d of %d points", (int)near, (int)points);
    }
    hy_comm_destroy(self);
    hy_free(config);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_grid)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
