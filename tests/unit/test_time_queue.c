/* Events come out by time, and those of one time in the order in which they went in, however many times there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/random.h"
#include "base/time_queue.h"

enum { EVENTS = 2000 };

typedef struct event {
    double when;
    int64_t what;
    bool over;
} event;

/* The earliest that is not over, the first of equal ones. */
static int64_t earliest(const event *all, int64_t from, int64_t n) {
    int64_t best = -1;
    for (int64_t i = from; i < n; i++) {
        best = !all[i].over && (best < 0 || all[i].when < all[best].when) ? i : best;
    }
    return best;
}

/* `times` different ones at once: more than the queue remembers, or fewer; what is added is never before what came out. */
static void compare(int times, int64_t n) {
    event *all = calloc((size_t)n, sizeof *all);
    hy_time_queue q = {0};
    uint64_t drawn = 0;
    const uint64_t stream = (uint64_t)times;
    double now = 0;
    int64_t added = 0, over = 0, from = 0;
    assert_non_null(all);
    while (over < n) {
        if (added < n && (added == over || hy_random_u64(7, stream, drawn++) % 3 != 0)) {
            all[added] = (event){.when = now + (double)(hy_random_u64(7, stream, drawn++) % (uint64_t)times) / 3.0,
                                 .what = added};
            assert_int_equal(hy_time_queue_add(&q, all[added].when, added, added + 1), HY_OK);
            added++;
            continue;
        }
        for (; from < added && all[from].over; from++) {
        }
        const int64_t want = earliest(all, from, added);
        const hy_time_entry *first = hy_time_queue_first(&q);
        assert_non_null(first);
        assert_int_equal(first->what, want);
        assert_int_equal(first->version, want + 1);
        assert_true(first->when == all[want].when);
        now = first->when;
        all[want].over = true;
        hy_time_queue_drop_first(&q);
        over++;
    }
    assert_null(hy_time_queue_first(&q));
    hy_time_queue_clear(&q);
    free(all);
}

static void test_order(void **state) {
    (void)state;
    const int times[] = {1, 2, 5, 40, 300, 100000};
    for (int i = 0; i < 6; i++) {
        compare(times[i], EVENTS);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
