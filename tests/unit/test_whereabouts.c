/* Who did not arrive, from what ranks say of themselves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "comm/comm.h"
#include "comm/whereabouts.h"

enum { P = 4 };
static const char *const hosts[P] = {"alpha", "beta", "gamma", "delta"};

static hy_whereabouts waits_in(const char *name, int64_t number) {
    hy_whereabouts at = {
        .kind = HY_X_ALL_REDUCE, .waits = 1, .number = number, .peer = -1, .step = 12, .seconds = 40.0};
    strcpy(at.name, name);
    strcpy(at.phase, "gradients");
    return at;
}

static hy_whereabouts receives_from(int peer, int64_t number) {
    hy_whereabouts at = waits_in("states", number);
    at.kind = HY_X_RECV;
    at.peer = peer;
    return at;
}

static hy_whereabouts computes(double seconds) {
    hy_whereabouts at = waits_in("states", 5);
    at.waits = 0;
    at.seconds = seconds;
    return at;
}

static void judge(const hy_whereabouts *all, int mine, int blamed, const char *expected) {
    char text[1024];
    assert_int_equal(hy_whereabouts_judge(all, hosts, P, mine, text, sizeof text), blamed);
    assert_string_equal(text, expected);
}

static void test_silence_comes_first(void **state) {
    (void)state;
    hy_whereabouts all[P] = {waits_in("loss", 7), computes(1.0), {.answer = HY_SILENT}, waits_in("loss", 7)};
    judge(all, 0, 1, "rank 2 on gamma does not answer: it is stopped, or its host is out of reach");
    all[3].answer = HY_GONE;
    judge(all, 0, 2,
          "rank 2 on gamma does not answer: it is stopped, or its host is out of reach; rank 3 on delta is gone");
}

static void test_who_computes(void **state) {
    (void)state;
    const hy_whereabouts all[P] = {waits_in("loss", 7), waits_in("other", 1), waits_in("loss", 7), computes(41.0)};
    judge(all, 2, 1,
          "rank 3 on delta has been computing for 41.0 s (step 12, gradients); it last waited in all-reduce \"states\" "
          "5");
}

static void test_who_is_elsewhere(void **state) {
    (void)state;
    const hy_whereabouts all[P] = {waits_in("loss", 8), waits_in("loss", 7), waits_in("loss", 7), waits_in("loss", 7)};
    /* also where the one that is elsewhere says so */
    const char *text =
        "rank 0 on alpha has been waiting in another exchange, all-reduce \"loss\" 8, for 40.0 s (step 12, gradients)";
    judge(all, 1, 1, text);
    judge(all, 0, 1, text);
}

static void test_all_there(void **state) {
    (void)state;
    hy_whereabouts all[P] = {waits_in("loss", 7), waits_in("loss", 7), waits_in("loss", 7), waits_in("loss", 7)};
    judge(all, 1, 0, "all ranks have arrived: what carries the exchange does not deliver (a link, or the library)");
    all[0].kind = all[1].kind = HY_X_SEND; /* messages pair off: their names and numbers say nothing */
    all[2].kind = all[3].kind = HY_X_RECV;
    all[2].number = 3;
    judge(all, 1, 0, "all ranks have arrived: what carries the exchange does not deliver (a link, or the library)");
}

static void test_messages_name_their_peers(void **state) {
    (void)state;
    const char *all_there =
        "all ranks have arrived: what carries the exchange does not deliver (a link, or the library)";
    char expected[1024], text[HY_EXCHANGE_TEXT];
    hy_whereabouts all[P] = {receives_from(1, 4), receives_from(3, 5), receives_from(2, 1), waits_in("loss", 7)};
    (void)snprintf(expected, sizeof expected,
                   "%s; rank 1 on beta waits in receive \"states\" 5 from rank 3 (step 12, gradients); rank 3 on delta "
                   "waits in all-reduce \"loss\" 7 (step 12, gradients)",
                   all_there);
    all[3].kind = HY_X_SEND; /* a message without a peer: nobody is blamed for being elsewhere */
    (void)snprintf(strstr(expected, "all-reduce"), 64, "send \"loss\" 7 (step 12, gradients)");
    judge(all, 0, 0, expected);
    all[3] = receives_from(0, 9); /* round and round */
    (void)snprintf(expected, sizeof expected,
                   "%s; rank 1 on beta waits in receive \"states\" 5 from rank 3 (step 12, gradients); rank 3 on delta "
                   "waits in receive \"states\" 9 from rank 0 (step 12, gradients)",
                   all_there);
    judge(all, 0, 0, expected);
    all[0].kind = HY_X_SEND;
    hy_whereabouts_exchange(&all[0], text, sizeof text);
    assert_string_equal(text, "send \"states\" 4 to rank 1");
}

static void test_barrier_has_a_name(void **state) {
    (void)state;
    hy_whereabouts at = waits_in("barrier", 3);
    char text[96];
    at.kind = HY_X_KINDS;
    hy_whereabouts_exchange(&at, text, sizeof text);
    assert_string_equal(text, "barrier 3");
}

static void test_slowest(void **state) {
    (void)state;
    hy_whereabouts before[P] = {{.waited = 5.0}, {.waited = 1.0}, {.waited = 0.0}, {.waited = 9.0}};
    hy_whereabouts after[P] = {{.waited = 9.0}, {.waited = 1.5}, {.waited = 5.0}, {.waited = 12.0}};
    double share = 0.0;
    assert_int_equal(hy_whereabouts_slowest(before, after, P, 10.0, &share), 1); /* others: 4, 5, 3; it: 0.5 */
    assert_true(share > 0.3499 && share < 0.3501);
    before[1].answer = HY_SILENT;
    assert_int_equal(hy_whereabouts_slowest(before, after, P, 10.0, &share), 3); /* 3; others 4, 5 */
    assert_true(share > 0.0999 && share < 0.1001);
    after[0].answer = after[2].answer = HY_GONE;
    assert_int_equal(hy_whereabouts_slowest(before, after, P, 10.0, &share), -1);
    /* two that waited alike: neither is slow */
    const hy_whereabouts none[P] = {{0}},
                         same[P] = {{.waited = 2.0}, {.waited = 2.0}, {.waited = 2.0}, {.waited = 2.0}};
    assert_int_equal(hy_whereabouts_slowest(none, same, P, 10.0, &share), 0);
    assert_true(share == 0.0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_silence_comes_first),
                                       cmocka_unit_test(test_who_computes),
                                       cmocka_unit_test(test_who_is_elsewhere),
                                       cmocka_unit_test(test_all_there),
                                       cmocka_unit_test(test_messages_name_their_peers),
                                       cmocka_unit_test(test_barrier_has_a_name),
                                       cmocka_unit_test(test_slowest)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
