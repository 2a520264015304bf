/* Exchanges made of messages, on ranks that are all in this process, over a network that keeps messages back at random and completes a send
 * only once it was received: what each exchange must give, for 2 to 17 ranks, several at once; and that sums have the order that is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "comm/exchanges.h"

enum { RANKS = 17, AT_ONCE = 9, LOOKS = 200000 };

/* ---- the network ---- */

typedef struct mail {
    struct mail *next;
    const void *from_buf;
    void *to_buf;
    size_t bytes;
    int from, to;
    uint64_t tag;
    bool matched; /* the other side has it too */
} mail;

typedef struct post_office {
    int rank;
} post_office;

static mail *sends, *receives; /* that wait for the other side, in posting order */
static uint64_t draws;

static uint64_t draw(void) {
    return hy_random_u64(31, 4, draws++);
}

static mail **find_mail(mail **list, const mail *like) {
    while (*list != NULL && !((*list)->from == like->from && (*list)->to == like->to && (*list)->tag == like->tag)) {
        list = &(*list)->next;
    }
    return list;
}

/* Both sides share nothing but `matched`. */
static void *post_mail(mail **others, mail **own, const mail *made) {
    mail *m = malloc(sizeof *m), **other = find_mail(others, made);
    *m = *made;
    m->next = NULL;
    if (*other != NULL) {
        mail *o = *other;
        *other = o->next;
        assert_int_equal(o->bytes, m->bytes);
        if (m->bytes > 0) {
            memcpy(m->to_buf != NULL ? m->to_buf : o->to_buf, m->from_buf != NULL ? m->from_buf : o->from_buf,
                   m->bytes);
        }
        m->matched = o->matched = true;
        return m;
    }
    while (*own != NULL) {
        own = &(*own)->next;
    }
    *own = m;
    return m;
}

static void *office_send(void *context, const void *buf, size_t bytes, int to, uint64_t tag) {
    const post_office *o = context;
    return post_mail(&receives, &sends,
                     &(mail){.from_buf = buf, .bytes = bytes, .from = o->rank, .to = to, .tag = tag});
}

static void *office_recv(void *context, void *buf, size_t bytes, int from, uint64_t tag) {
    const post_office *o = context;
    return post_mail(&sends, &receives,
                     &(mail){.to_buf = buf, .bytes = bytes, .from = from, .to = o->rank, .tag = tag});
}

static bool office_done(void *context, void *handle) {
    mail *m = handle;
    (void)context;
    if (!m->matched || draw() % 3 == 0) {
        return false;
    }
    free(m);
    return true;
}

/* ---- ranks ---- */

static post_office offices[RANKS];
static hy_exchanges *ranks[RANKS];

static void open_ranks(int P) {
    for (int r = 0; r < P; r++) {
        offices[r].rank = r;
        const hy_p2p p2p = {.context = &offices[r],
                            .rank = r,
                            .size = P,
                            .send = office_send,
                            .recv = office_recv,
                            .done = office_done};
        assert_int_equal(hy_exchanges_create(&p2p, &ranks[r]), HY_OK);
    }
}

static void close_ranks(int P) {
    assert_null(sends);
    assert_null(receives);
    for (int r = 0; r < P; r++) {
        hy_exchanges_destroy(ranks[r]);
    }
}

/* n exchanges per rank, x[r][i], posted by ranks that come as they like. */
static void exchange_all(int P, int n, hy_xfer x[RANKS][AT_ONCE]) {
    hy_exchange *posted[RANKS][AT_ONCE] = {{NULL}};
    int begun[RANKS] = {0}, left = P * n;
    for (int look = 0; left > 0; look++) {
        const int r = (int)(draw() % (uint64_t)P);
        assert_true(look < LOOKS);
        if (begun[r] < n) {
            posted[r][begun[r]] = hy_exchanges_post(ranks[r], &x[r][begun[r]]);
            left -= posted[r][begun[r]] == NULL;
            begun[r]++;
        }
        hy_exchanges_progress(ranks[r]);
        for (int i = n - 1; i >= 0; i--) {
            if (posted[r][i] != NULL && hy_exchanges_test(ranks[r], posted[r][i])) {
                posted[r][i] = NULL;
                left--;
            }
        }
    }
}

/* ---- what it must give ---- */

static float of(int from, int to, int64_t i) {
    return (float)((from * 31 + to * 17 + (int)i * 7) % 1009 - 400);
}

typedef struct arrays {
    float *send, *recv; /* [P·n] */
} arrays;

static hy_xfer xfer_of(hy_exchange_kind kind, int P, int r, int64_t n, arrays *a) {
    const bool sums = kind == HY_X_ALL_REDUCE || kind == HY_X_REDUCE_SCATTER;
    hy_xfer x = {.kind = kind, .n = sums ? n : n * 4, .type = HY_TYPE_F32, .op = HY_SUM, .peer = (P - 1) / 2, .tag = 6};
    a->send = calloc((size_t)(P * n + 1), sizeof(float));
    a->recv = calloc((size_t)(P * n + 1), sizeof(float));
    for (int64_t j = 0; j < P * n; j++) {
        a->send[j] = of(r, (int)(j / n), j % n);
    }
    if (n > 0) {
        memcpy(a->recv, a->send, (size_t)n * 4);
    }
    if (kind == HY_X_SEND || kind == HY_X_RECV) {
        x.peer = (r + (kind == HY_X_SEND ? 1 : P - 1)) % P;
    }
    x.send = a->send;
    x.recv = a->recv;
    return x;
}

static float wanted(hy_exchange_kind kind, int P, int r, int64_t n, int64_t j) {
    float sum = 0;
    const bool reduces = kind == HY_X_ALL_REDUCE || kind == HY_X_REDUCE_SCATTER;
    for (int p = 0; p < P && reduces; p++) {
        sum += of(p, kind == HY_X_REDUCE_SCATTER ? r : 0, j);
    }
    switch (kind) {
    case HY_X_ALL_GATHER:
        return of((int)(j / n), 0, j % n);
    case HY_X_ALL_TO_ALL:
        return of((int)(j / n), r, j % n);
    case HY_X_BROADCAST:
        return of((P - 1) / 2, 0, j);
    case HY_X_RECV:
        return of((r + P - 1) % P, 0, j);
    case HY_X_SEND:
        return of(r, 0, j);
    default:
        return sum;
    }
}

static void check_exchanges(int P, int64_t n) {
    static const hy_exchange_kind kinds[AT_ONCE] = {HY_X_ALL_GATHER, HY_X_SEND,           HY_X_REDUCE_SCATTER,
                                                    HY_X_RECV,       HY_X_ALL_REDUCE,     HY_X_ALL_TO_ALL,
                                                    HY_X_BROADCAST,  HY_X_REDUCE_SCATTER, HY_X_ALL_GATHER};
    static hy_xfer x[RANKS][AT_ONCE];
    static arrays a[RANKS][AT_ONCE];
    open_ranks(P);
    for (int r = 0; r < P; r++) {
        for (int i = 0; i < AT_ONCE; i++) {
            x[r][i] = xfer_of(kinds[i], P, r, n, &a[r][i]);
        }
    }
    exchange_all(P, AT_ONCE, x);
    for (int r = 0; r < P; r++) {
        for (int i = 0; i < AT_ONCE; i++) {
            const bool all = kinds[i] == HY_X_ALL_GATHER || kinds[i] == HY_X_ALL_TO_ALL;
            for (int64_t j = 0; j < (all ? P * n : n); j++) {
                if (a[r][i].recv[j] != wanted(kinds[i], P, r, n, j)) {
                    fail_msg("%d ranks, %s of %lld: rank %d, element %lld", P, hy_exchange_kind_name(kinds[i]),
                             (long long)n, r, (long long)j);
                }
            }
            free(a[r][i].send);
            free(a[r][i].recv);
        }
    }
    close_ranks(P);
}

static void test_every_exchange(void **state) {
    static const int64_t lengths[] = {0, 1, 5, 333, 4500, 7001};
    (void)state;
    for (int P = 2; P <= RANKS; P++) {
        for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
            check_exchanges(P, lengths[l]);
        }
    }
}

/* Block b is ((x[b+1] + x[b+2]) + ...) + x[b], whoever came first. */
static void sum_in_order(int P) {
    enum { N = 211 };
    static hy_xfer x[RANKS][AT_ONCE];
    arrays a[RANKS];
    open_ranks(P);
    for (int r = 0; r < P; r++) {
        x[r][0] = xfer_of(HY_X_REDUCE_SCATTER, P, r, N, &a[r]);
        for (int j = 0; j < P * N; j++) {
            a[r].send[j] = 1.0F / (float)(1 + j * (r + 2) % 997);
        }
    }
    exchange_all(P, 1, x);
    for (int b = 0; b < P; b++) {
        for (int i = 0; i < N; i++) {
            float sum = a[(b + 1) % P].send[b * N + i];
            for (int k = 2; k <= P; k++) {
                sum += a[(b + k) % P].send[b * N + i];
            }
            assert_true(a[b].recv[i] == sum);
        }
    }
    for (int r = 0; r < P; r++) {
        free(a[r].send);
        free(a[r].recv);
    }
    close_ranks(P);
}

static void test_order_of_sums(void **state) {
    (void)state;
    for (int P = 2; P <= RANKS; P++) {
        sum_in_order(P);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_exchange), cmocka_unit_test(test_order_of_sums)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
