/* ranks: 1 2 3 4 7 */
/* A simulation whose dry runs the ranks of a job share says to the last bit what one process says by itself, of as many ranks, of fewer and of more; and
 * with it all ranks take the same way, the one that a process takes by itself. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "tests/dist/dist.h"
#include "train/run/method_choice.h"
#include "train/run/simulate.h"

enum { FEW = 5 }; /* ranks that are simulated */

static hy_comm *self; /* one process by itself */

static const char text[] =
    "model: {layers: 4, width: 32, vocab: 64, mlp: {width: 32}, schedule: {pattern: [gated_deltanet, attention, gla]}, "
    "mixers: {gated_deltanet: {heads: 4}, gla: {heads: 2}, attention: {heads: 4, kv_heads: 2, head_dim: 8}}}\n"
    "data: {store: none.h5, sequence: 611, batch: 2}\n"
    "parallel: {node: 2, layout: %s, state: %s, attention: %s}\n";

static hy_status config_of(const char *layout, const char *state, const char *attention, hy_config *config) {
    char words[sizeof text + 64];
    snprintf(words, sizeof words, text, layout, state, attention);
    return hy_config_parse("test", words, strlen(words), config);
}

static bool same_exchange(const hy_replay_exchange *a, const hy_replay_exchange *b) {
    return strcmp(a->name, b->name) == 0 && a->count == b->count && a->messages == b->messages && a->sent == b->sent &&
           a->received == b->received && a->in_flight == b->in_flight && a->waited == b->waited;
}

static bool same_place(const hy_replay_place *a, const hy_replay_place *b) {
    return a->computed == b->computed && a->waited == b->waited && a->sent == b->sent && a->messages == b->messages;
}

static bool same_replay(const hy_replay *a, const hy_replay *b) {
    bool same = a->seconds == b->seconds && a->n_ranks == b->n_ranks && a->n_exchanges == b->n_exchanges &&
                a->n_places == b->n_places && a->n_exchanges > 0;
    for (int i = 0; same && i < a->n_exchanges; i++) {
        same = same_exchange(&a->exchanges[i], &b->exchanges[i]);
    }
    for (int i = 0; same && i < a->n_places; i++) {
        same = same_place(&a->places[i], &b->places[i]);
    }
    return same;
}

static hy_status compare_simulations(hy_config *config, int ranks, const hy_machine *machine, hy_comm *world) {
    hy_simulation shared, alone;
    const bool first = hy_comm_rank(world) == 0;
    HY_TRY(hy_simulate(config, 0, ranks, machine, world, &shared));
    hy_status status = HY_OK;
    if (first != (shared.replay != NULL)) {
        status = hy_fail(HY_ERR_FAILED, "rank %d has %s replay", hy_comm_rank(world), first ? "no" : "a");
    } else if (first) {
        status = hy_simulate(config, 0, ranks, machine, self, &alone);
        if (status == HY_OK && !(same_replay(shared.replay, alone.replay) && shared.tokens == alone.tokens &&
                                 shared.memory == alone.memory && shared.memory > 0)) {
            status = hy_fail(HY_ERR_FAILED, "%d ranks: %.17g s shared, %.17g s alone", ranks, shared.replay->seconds,
                             alone.replay->seconds);
        }
        if (status == HY_OK) {
            hy_simulation_clear(&alone);
        }
    }
    hy_simulation_clear(&shared);
    return hy_comm_agree(world, status);
}

static bool same_choice(const hy_method_choice *a, const hy_method_choice *b) {
    bool same = a->n == b->n && a->best == b->best && a->taken == b->taken && a->n > 5;
    for (int i = 0; same && i < a->n; i++) {
        const hy_tried_method *x = &a->tried[i], *y = &b->tried[i];
        same = x->seconds == y->seconds && x->sent == y->sent && x->activations == y->activations &&
               x->layers[1].exposed == y->layers[1].exposed;
    }
    return same;
}

static bool same_method(const hy_sp_method *a, const hy_sp_method *b) {
    return a->layout == b->layout && a->state == b->state && a->attention == b->attention;
}

static hy_status compare_choices(hy_config *config, int ranks, const hy_machine *machine, hy_comm *world) {
    hy_sp_method shared = config->parallel.method, alone = shared;
    hy_method_choice *of_all = NULL, *of_one = NULL;
    HY_TRY(hy_method_choose(config, 0, ranks, false, machine, world, &shared, &of_all));
    hy_status status = hy_method_choose(config, 0, ranks, false, machine, self, &alone, &of_one);
    if (status == HY_OK && !(same_choice(of_all, of_one) && same_method(&shared, &alone))) {
        status = hy_fail(HY_ERR_FAILED, "%d ranks: of %d ways number %d is taken together, of %d number %d alone",
                         ranks, of_all->n, of_all->taken, of_one->n, of_one->taken);
    }
    hy_free(of_all);
    hy_free(of_one);
    return hy_comm_agree(world, status);
}

/* The last rank that has something to do runs out of memory, at its n-th allocation: all ranks fail, or none. */
static hy_status fail_together(const hy_config *config, const hy_machine *machine, hy_comm *world) {
    const int size = hy_comm_size(world);
    const bool last = hy_comm_rank(world) == (size < FEW ? size : FEW) - 1;
    int64_t some_failed = 0;
    for (int64_t n = 1; n < 100000; n = n * 3 + 1) {
        hy_simulation simulation;
        hy_alloc_fail_after(last ? n : 0);
        const hy_status status = hy_simulate(config, 0, FEW, machine, world, &simulation);
        hy_alloc_fail_after(0);
        int64_t failed = status != HY_OK;
        hy_req req;
        hy_simulation_clear(&simulation);
        hy_comm_all_reduce(world, "failed", &failed, 1, HY_TYPE_I64, HY_SUM, &req);
        hy_comm_wait(&req);
        if (failed != 0 && failed != size) {
            return hy_fail(HY_ERR_FAILED, "allocation %lld: %lld ranks failed", (long long)n, (long long)failed);
        }
        some_failed += failed > 0;
    }
    return some_failed > 2 ? HY_OK : hy_fail(HY_ERR_FAILED, "allocations that fail are not noticed");
}

static hy_status with(hy_config *config, hy_comm *world) {
    static const int ranks[] = {2, 5, 8};
    hy_machine machine;
    for (int i = 0; i < 3; i++) {
        HY_TRY(hy_machine_parse("dgx-a100,node=2,far=1e9", &machine));
        HY_TRY(config_of("zigzag", "scan", "node", config));
        HY_TRY(compare_simulations(config, ranks[i], &machine, world));
        machine.calls_progress = 1;
        HY_TRY(config_of("contiguous", "ring", "heads", config));
        HY_TRY(compare_simulations(config, ranks[i], &machine, world));
    }
    HY_TRY(hy_comm_size(world) > 1 ? fail_together(config, &machine, world) : HY_OK);
    HY_TRY(config_of("auto", "auto", "auto", config));
    HY_TRY(compare_choices(config, 4, &machine, world));
    /* a mesh that no rank can have is refused on all of them */
    config->parallel.data = 3;
    hy_simulation none;
    const hy_status refused = hy_simulate(config, 0, 8, &machine, world, &none);
    return refused == HY_ERR_USAGE ? HY_OK : hy_fail(HY_ERR_FAILED, "a wrong mesh: status %d", (int)refused);
}

static hy_status run(hy_comm *world) {
    hy_config *config = NULL;
    HY_TRY(hy_comm_agree(world, HY_NEW("configuration", 1, &config)));
    HY_TRY(hy_comm_agree(world, hy_comm_self_create(&self)));
    const hy_status status = with(config, world);
    hy_comm_destroy(self);
    hy_free(config);
    return status;
}

int main(int argc, char **argv) {
    hy_comm *world = NULL;
    if (hy_comm_world_create(&argc, &argv, &world) != HY_OK) {
        return 1;
    }
    hy_test_failed += run(world) != HY_OK;
    return hy_test_finish(world, "simulate_shared", 8);
}
