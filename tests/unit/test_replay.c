/* Schedules of ranks that are not there, replayed: the times that closed forms give, on networks of one level and of two. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/memory.h"
#include "comm/schedule_replay.h"

enum { RANKS_MAX = 64 };

static const double L = 1e-5, B = 1e9;

static hy_network_shape flat(void) {
    return (hy_network_shape){.latency = {L, L}, .bandwidth = {B, B}};
}

/* `bytes` are the seconds, here. */
static double as_said(const void *context, int op, double flops, double bytes) {
    (void)context;
    (void)op;
    (void)flops;
    return bytes;
}

static const hy_replay_rates plain = {.seconds = as_said};

typedef void (*rank_program)(hy_comm *world, hy_schedule *schedule);

static hy_replay *replay_of(rank_program program, int ranks, const hy_network_shape *network,
                            const hy_replay_rates *rates, hy_status expected) {
    static hy_schedule schedules[RANKS_MAX];
    static hy_exchange_log log;
    const hy_schedule *all[RANKS_MAX] = {NULL};
    hy_replay *replay = NULL;
    for (int r = 0; r < ranks; r++) {
        hy_comm *world = NULL;
        schedules[r] = (hy_schedule){.waited = -1};
        all[r] = &schedules[r];
        assert_int_equal(hy_comm_schedule_create(ranks, r, &log, &schedules[r], &world), HY_OK);
        program(world, &schedules[r]);
        hy_comm_destroy(world);
        assert_int_equal(schedules[r].status, HY_OK);
    }
    assert_int_equal(hy_replay_run(all, ranks, network, rates, &replay), expected);
    for (int r = 0; r < ranks; r++) {
        hy_schedule_clear(&schedules[r]);
    }
    return replay;
}

static void takes(rank_program program, int ranks, hy_network_shape network, double seconds) {
    const int64_t before = hy_alloc_bytes();
    hy_replay *replay = replay_of(program, ranks, &network, &plain, HY_OK);
    if (fabs(replay->seconds - seconds) > 1e-9 * seconds) {
        fail_msg("%d ranks: %.12g s, not %.12g", ranks, replay->seconds, seconds);
    }
    hy_replay_destroy(replay);
    assert_int_equal(hy_alloc_bytes(), before);
}

static char *buffer(void) { /* an address */
    static char here;
    return &here;
}

/* ---- one exchange ---- */

static void large_gather(hy_comm *world, hy_schedule *s) {
    hy_req r;
    (void)s;
    hy_comm_all_gather(world, "gather", buffer(), buffer(), 1000000, &r);
    hy_comm_wait(&r);
}

static void small_gather(hy_comm *world, hy_schedule *s) {
    hy_req r;
    (void)s;
    hy_comm_all_gather(world, "gather", buffer(), buffer(), 1000, &r);
    hy_comm_wait(&r);
}

static void large_sum(hy_comm *world, hy_schedule *s) {
    hy_req r;
    (void)s;
    hy_comm_all_reduce(world, "sum", buffer(), 1 << 20, HY_TYPE_F32, HY_SUM, &r);
    hy_comm_wait(&r);
}

static void scattered_sum(hy_comm *world, hy_schedule *s) {
    hy_req r;
    (void)s;
    hy_comm_reduce_scatter(world, "sum", buffer(), buffer(), 1 << 18, HY_TYPE_F32, &r);
    hy_comm_wait(&r);
}

static void everyone_to_all(hy_comm *world, hy_schedule *s) {
    hy_req r;
    (void)s;
    hy_comm_all_to_all(world, "all", buffer(), buffer(), 1000000, &r);
    hy_comm_wait(&r);
}

static void test_one_exchange(void **unused) {
    (void)unused;
    takes(large_gather, 1, flat(), 0.0);
    takes(large_gather, 2, flat(), L + 1e6 / B);
    takes(large_gather, 4, flat(), L + 3e6 / B); /* direct: three share the port */
    takes(large_gather, 7, flat(), 6 * (L + 1e6 / B));
    takes(large_gather, 64, flat(), 63 * (L + 1e6 / B));
    takes(small_gather, 64, flat(), 6 * L + 63e3 / B); /* recursive doubling */
    takes(large_sum, 8, flat(), 14 * (L + (1 << 19) / B));
    takes(scattered_sum, 4, flat(), L + 3.0 * (1 << 20) / B); /* direct */
    takes(large_sum, 2, flat(), 2 * (L + (1 << 21) / B));
    takes(scattered_sum, 5, flat(), 4 * (L + (1 << 20) / B));
    takes(everyone_to_all, 8, flat(), L + 7e6 / B);
    takes(everyone_to_all, 16, flat(), 2 * L + 15e6 / B);
}

/* ---- levels ---- */

static void pairs_across(hy_comm *world, hy_schedule *s) {
    const int half = hy_comm_size(world) / 2, peer = (hy_comm_rank(world) + half) % hy_comm_size(world);
    hy_req r[2];
    (void)s;
    hy_comm_recv(world, "pair", buffer(), 4000000, peer, 7, &r[0]);
    hy_comm_send(world, "pair", buffer(), 4000000, peer, 7, &r[1]);
    hy_comm_wait_all(r, 2);
}

static void test_levels(void **unused) {
    (void)unused;
    hy_network_shape two = {.node = 4, .latency = {1e-6, 5e-6}, .bandwidth = {1e11, 1e10}};
    takes(pairs_across, 8, two, 5e-6 + 4e6 / 1e10);
    two.uplink = 1e10; /* four pairs share it */
    takes(pairs_across, 8, two, 5e-6 + 16e6 / 1e10);
    takes(pairs_across, 2, two, 1e-6 + 4e6 / 1e11);
    takes(large_gather, 16, two, 15 * (5e-6 + 1e6 / 1e10)); /* the ring is as slow as its slowest link */
}

static int distance;

/* To the rank `distance` places on. */
static void moved_on(hy_comm *world, hy_schedule *s) {
    const int P = hy_comm_size(world), rank = hy_comm_rank(world);
    hy_req r[2];
    (void)s;
    hy_comm_send(world, "on", buffer(), 4000000, (rank + distance) % P, 7, &r[0]);
    hy_comm_recv(world, "on", buffer(), 4000000, (rank + P - distance) % P, 7, &r[1]);
    hy_comm_wait_all(r, 2);
}

/* Four nodes of two ranks, two nodes under a switch, whose trunk carries what one rank's port does. */
static void test_switches(void **unused) {
    (void)unused;
    hy_network_shape tree = {
        .node = 2, .latency = {1e-6, 5e-6}, .bandwidth = {1e11, 1e10}, .leaf = 2, .trunk = 1e10, .trunk_latency = 2e-6};
    distance = 4; /* the four ranks of a leaf share its trunk */
    takes(moved_on, 8, tree, 7e-6 + 16e6 / 1e10);
    distance = 2; /* two of the four leave */
    takes(moved_on, 8, tree, 7e-6 + 8e6 / 1e10);
    distance = 1; /* one does */
    takes(moved_on, 8, tree, 7e-6 + 4e6 / 1e10);
    tree.rails = true;
    distance = 2; /* of the two ranks on a rail one leaves */
    takes(moved_on, 8, tree, 7e-6 + 4e6 / 1e10);
    distance = 4; /* both do */
    takes(moved_on, 8, tree, 7e-6 + 8e6 / 1e10);
    distance =
        3; /* to the other rail, from the even ranks to the next node, from the odd ones to the one behind it: all through trunks */
    takes(moved_on, 8, tree, 7e-6 + 8e6 / 1e10);
    tree.leaf = 0; /* two switches in all */
    takes(moved_on, 8, tree, 7e-6 + 16e6 / 1e10);
    distance = 2;
    takes(moved_on, 8, tree, 5e-6 + 4e6 / 1e10);
    tree = (hy_network_shape){.node = 2, .latency = {1e-6, 5e-6}, .bandwidth = {1e11, 1e10}, .leaf = 2};
    distance = 4; /* trunks as wide as all ports */
    takes(moved_on, 8, tree, 5e-6 + 4e6 / 1e10);
}

/* ---- computing beside it ---- */

static double computing;

static void computes_meanwhile(hy_comm *world, hy_schedule *s) {
    hy_req r;
    hy_schedule_place(s, 1);
    hy_comm_all_gather(world, "gather", buffer(), buffer(), 1000000, &r);
    hy_schedule_place(s, 2);
    hy_schedule_compute(s, 3, 0, computing / 2);
    hy_schedule_compute(s, 3, 0, computing / 2);
    hy_comm_wait(&r);
}

static void last_rank_is_slow(hy_comm *world, hy_schedule *s) {
    hy_schedule_compute(s, 3, 0, hy_comm_rank(world) == hy_comm_size(world) - 1 ? 0.5 : 0.25);
    large_gather(world, s);
}

/* A step that leaves an exchange for the next to wait for. */
static void two_steps(hy_comm *world, hy_schedule *s) {
    hy_req r[2];
    for (int step = 0; step < 2; step++) {
        if (step > 0) {
            hy_schedule_mark(s);
            hy_schedule_compute(s, 3, 0, 1e-3);
            hy_comm_wait(&r[0]);
        }
        hy_schedule_compute(s, 3, 0, 0.25);
        hy_comm_all_gather(world, "left", buffer(), buffer(), 1000000, &r[step]);
    }
}

static void test_mark(void **unused) {
    (void)unused;
    const double exchange = 7 * (L + 1e6 / B);
    const hy_network_shape network = flat();
    takes(two_steps, 8, network, exchange + 0.25);
    hy_replay *r = replay_of(two_steps, 8, &network, &plain, HY_OK);
    assert_int_equal(r->exchanges[0].count, 8);
    assert_int_equal(r->exchanges[0].sent, 8 * 7 * 1000000); /* also what nobody waits for */
    assert_true(fabs(r->ranks[3].computing - 0.251) < 1e-12 && fabs(r->ranks[3].waiting - (exchange - 1e-3)) < 1e-9);
    hy_replay_destroy(r);
}

static void test_overlap(void **unused) {
    (void)unused;
    const double exchange = 7 * (L + 1e6 / B);
    const hy_network_shape network = flat();
    computing = 0.5 * exchange;
    takes(computes_meanwhile, 8, network, exchange);
    hy_replay *r = replay_of(computes_meanwhile, 8, &network, &plain, HY_OK);
    assert_int_equal(r->n_places, 3);
    assert_true(fabs(r->places[2].waited - 8 * 0.5 * exchange) < 1e-9 && r->places[1].waited == 0);
    assert_true(fabs(r->places[2].computed - 8 * 0.5 * exchange) < 1e-9);
    assert_int_equal(r->places[1].messages, 8 * 7);
    assert_int_equal(r->places[1].sent, 8 * 7 * 1000000);
    assert_int_equal(r->n_exchanges, 1);
    assert_string_equal(r->exchanges[0].name, "gather");
    assert_int_equal(r->exchanges[0].sent, 8 * 7 * 1000000);
    assert_int_equal(r->exchanges[0].messages, 8 * 7);
    assert_true(fabs(r->exchanges[0].in_flight - 8 * exchange) < 1e-9);
    hy_replay_destroy(r);
    computing = 2 * exchange;
    takes(computes_meanwhile, 8, network, 2 * exchange);
    /* Steps that begin between operations only: one at the first's end, the others while waiting. */
    const hy_replay_rates calls = {.seconds = as_said, .calls_progress = true};
    r = replay_of(computes_meanwhile, 8, &network, &calls, HY_OK);
    assert_true(fabs(r->seconds - (2 * exchange + 5 * exchange / 7)) < 1e-9);
    hy_replay_destroy(r);
    takes(last_rank_is_slow, 8, network, 0.5 + exchange);
}

/* ---- what goes on between operations ---- */

/* A state that passes from rank to rank, each of which computes meanwhile and folds it first; the last one computes when it is there. */
static void passes_on(hy_comm *world, hy_schedule *s) {
    const int rank = hy_comm_rank(world), last = hy_comm_size(world) - 1;
    hy_req from, to;
    if (rank > 0) {
        hy_comm_recv(world, "state", buffer(), 1000000, rank - 1, 0, &from);
    } else {
        hy_comm_send(world, "state", buffer(), 1000000, rank + 1, 0, &to);
    }
    hy_comm_early(world, HY_EARLY_FROM);
    for (int i = 0; i < 10; i++) {
        hy_schedule_compute(s, 3, 0, 1e-3);
    }
    hy_comm_early(world, HY_EARLY_BEGIN);
    if (rank > 0) {
        hy_comm_wait(&from);
        hy_schedule_compute(s, 3, 0, rank < last ? 2e-3 : 10e-3);
    }
    if (rank > 0 && rank < last) {
        hy_comm_send(world, "state", buffer(), 1000000, rank + 1, 0, &to);
    }
    hy_comm_early(world, HY_EARLY_END);
    if (rank < last) {
        hy_comm_wait(&to);
    }
}

static void test_early(void **unused) {
    (void)unused;
    const hy_network_shape network = flat();
    takes(passes_on, 2, flat(), 20e-3); /* the last one's own is not early: nobody waits for it */
    takes(passes_on, 3, flat(),
          20e-3); /* at 2 ms rank 1 sees it, at 4 ms it is on its way: it comes while the last one computes */
    /* Rank i sees it at the end of an operation, 2 ms after rank i - 1, and folds 2 ms: at 4 i ms it goes on, to the fourth while it computes. */
    takes(passes_on, 4, flat(), 20e-3);
    takes(passes_on, 6, flat(),
          10e-3 + 2e-3 + 2 * (1e-3 + L) + 2e-3 + 10e-3); /* rank 3 at 12 ms, rank 4 when it waits */
    hy_replay *r = replay_of(passes_on, 3, &network, &plain, HY_OK);
    assert_true(fabs(r->ranks[1].computing - 12e-3) < 1e-12 && fabs(r->ranks[2].computing - 20e-3) < 1e-12);
    assert_true(r->ranks[1].waiting == 0 && r->ranks[2].waiting == 0);
    hy_replay_destroy(r);
}

/* ---- what is sent before it is wanted; what nobody sends ---- */

static void receives_late(hy_comm *world, hy_schedule *s) {
    hy_req r;
    if (hy_comm_rank(world) == 0) {
        hy_comm_send(world, "late", buffer(), 1000, 1, 0, &r);
    } else {
        hy_schedule_compute(s, 0, 0, 1.0);
        hy_comm_recv(world, "late", buffer(), 1000, 0, 0, &r);
    }
    hy_comm_wait(&r);
}

static void receives_in_vain(hy_comm *world, hy_schedule *s) {
    hy_req r;
    (void)s;
    hy_comm_recv(world, "never", buffer(), 1000, 1 - hy_comm_rank(world), 0, &r);
    hy_comm_wait(&r);
}

static void test_sides(void **unused) {
    (void)unused;
    const hy_network_shape network = flat();
    const hy_replay_rates eager = {.seconds = as_said, .eager = 4096};
    takes(receives_late, 2, network, 1.0 + L + 1e3 / B);
    hy_replay *r = replay_of(receives_late, 2, &network, &eager, HY_OK);
    assert_true(r->seconds == 1.0 && r->ranks[0].end == 0.0);
    hy_replay_destroy(r);
    assert_null(replay_of(receives_in_vain, 2, &network, &plain, HY_ERR_DATA));
}

/* ---- a mesh: each exchange among its own ranks ---- */

static void on_a_mesh(hy_comm *world, hy_schedule *s) {
    hy_mesh mesh;
    hy_req r[2];
    (void)s;
    assert_int_equal(hy_mesh_create(world, 2, hy_comm_size(world) / 2, &mesh), HY_OK);
    hy_comm_all_gather(mesh.sequence, "sequence", buffer(), buffer(), 1000000, &r[0]);
    hy_comm_wait(&r[0]);
    hy_comm_all_gather(mesh.data, "data", buffer(), buffer(), 1000000, &r[1]);
    hy_comm_wait(&r[1]);
    hy_mesh_destroy(&mesh);
}

static void test_mesh(void **unused) {
    (void)unused;
    takes(on_a_mesh, 6, (hy_network_shape){.node = 3, .latency = {1e-6, 5e-6}, .bandwidth = {1e11, 1e10}},
          1e-6 + 2e6 / 1e11 + 5e-6 + 1e6 / 1e10);
}

/* ---- what a schedule holds ---- */

static void gather_bytes(hy_comm *world, int64_t bytes) {
    hy_req r;
    hy_comm_all_gather(world, "gather", buffer(), buffer(), (size_t)bytes, &r);
    hy_comm_wait(&r);
}

/* Exchanges that are alike are held once, whatever came between; others are not taken for them. */
static void test_alike(void **unused) {
    static hy_exchange_log log;
    hy_schedule s = {.waited = -1};
    hy_comm *world = NULL;
    (void)unused;
    assert_int_equal(hy_comm_schedule_create(24, 5, &log, &s, &world), HY_OK);
    gather_bytes(world, 1000000);
    const int64_t one = s.n_parts;
    assert_int_equal(one, 3 * 23 - 1); /* a message each way, and a step between */
    gather_bytes(world, 1000001);
    assert_int_equal(s.n_parts, 2 * one);
    for (int i = 0; i < 5; i++) {
        gather_bytes(world, 1000000 + i % 2);
    }
    assert_int_equal(s.n_parts, 2 * one);
    assert_int_equal(s.n_bodies, 2);
    int posts = 0;
    for (int64_t i = 0; i < s.n; i++) {
        const hy_event *e = &s.events[i];
        if (e->kind == HY_EVENT_POST) {
            const int odd = posts == 1 || (posts > 2 && posts % 2 == 1);
            assert_int_equal(s.parts[s.bodies[e->how.body].first].bytes, 1000000 + odd);
            posts++;
        }
    }
    assert_int_equal(posts, 7);
    hy_comm_destroy(world);
    hy_schedule_clear(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_exchange), cmocka_unit_test(test_levels), cmocka_unit_test(test_switches),
        cmocka_unit_test(test_overlap),      cmocka_unit_test(test_mark),   cmocka_unit_test(test_sides),
        cmocka_unit_test(test_mesh),         cmocka_unit_test(test_alike),  cmocka_unit_test(test_early)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
