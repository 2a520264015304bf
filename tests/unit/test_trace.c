/* Traces of an artificial schedule, whose exposed times, critical path and faults are known; the file; the rules of the Trace Event Format. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "comm/comm.h"
#include "tests/unit/scratch.h"
#include "train/trace/advice.h"
#include "train/trace/chrome_trace.h"
#include "train/trace/critical_path.h"

enum { RANKS_MAX = 4, SPANS_MAX = 64 };
static const double START = 1000.0, STEP = 0.1; /* seconds; all times of schedules are milliseconds from START on */

static hy_rank_trace files[RANKS_MAX];

/* A rank's clock is ahead by so much, and gains a hundredth. */
static double own_time(int rank, double ms) {
    const double t = START + 1e-3 * ms;
    return rank == 0 ? t : t + 5.0 * rank + 0.01 * (t - START);
}

static void *copy_of(const void *data, size_t bytes) {
    void *copy = NULL;
    assert_int_equal(hy_alloc("copy", bytes, &copy), HY_OK);
    memcpy(copy, data, bytes);
    return copy;
}

static void begin_schedule(int ranks) {
    for (int r = 0; r < ranks; r++) {
        const hy_trace_step step = {7, own_time(r, 0), own_time(r, 100)};
        const double ahead = r == 0 ? 0.0 : 5.0 * r;
        const hy_clock_point clock[] = {{step.begin, ahead, 1e-9},
                                        {step.end, r == 0 ? 0.0 : ahead + 0.01 * STEP, 1e-9}};
        files[r] = (hy_rank_trace){.info = {HY_TRACE_VERSION, r, ranks, 1, ranks, HY_TRACE_HOST, 0, 1, 0}};
        files[r].steps = copy_of(&step, sizeof step);
        files[r].clock = copy_of(clock, sizeof clock);
        files[r].n_steps = 1;
        files[r].n_clock = 2;
        assert_int_equal(HY_NEW("spans", SPANS_MAX, &files[r].spans), HY_OK);
    }
}

static hy_span *add_span(int rank, hy_span_kind kind, const char *name, double begin, double end) {
    hy_rank_trace *f = &files[rank];
    assert_true(f->n_spans < SPANS_MAX);
    hy_span *s = &f->spans[f->n_spans++];
    *s = (hy_span){.begin = own_time(rank, begin),
                   .end = own_time(rank, end),
                   .name = name,
                   .number = f->n_spans,
                   .place = {7, -1, 1, 0, 0},
                   .kind = (int32_t)kind,
                   .peer = -1,
                   .size = (int32_t)f->info.ranks};
    s->started = s->not_yet = s->begin;
    return s;
}

static int64_t add_gather(int rank, const char *name, double begin, double end) {
    hy_span *s = add_span(rank, HY_SPAN_EXCHANGE, name, begin, end);
    s->exchange = HY_X_ALL_GATHER;
    s->bytes = 3000;
    return s->number;
}

static void add_wait(int rank, const char *name, int64_t of, double begin, double end) {
    add_span(rank, HY_SPAN_WAIT, name, begin, end)->of = of;
}

/* Rank 1 posts 10 ms after rank 0; both hide some of it. Two exchanges of one kind overlap on rank 0. */
static void overlapped_schedule(void) {
    begin_schedule(2);
    add_span(0, HY_SPAN_WORK, "A", 0, 30);
    const int64_t first = add_gather(0, "x", 30, 60), second = add_gather(0, "x", 35, 50);
    add_span(0, HY_SPAN_WORK, "B", 30, 50);
    add_span(0, HY_SPAN_WORK, "C", 50, 100);
    add_wait(0, "x", first, 50, 60);
    add_wait(0, "x", second, 60, 60);
    add_span(1, HY_SPAN_WORK, "A", 0, 40);
    const int64_t theirs = add_gather(1, "x", 40, 58);
    (void)add_gather(1, "x", 41, 57);
    add_span(1, HY_SPAN_WORK, "B", 40, 55);
    add_span(1, HY_SPAN_WORK, "C", 55, 90);
    add_wait(1, "x", theirs, 55, 58);
    add_span(1, HY_SPAN_HOST, "reading data", 90, 100);
}

static void near_to(double seconds, double ms) {
    if (!(fabs(seconds - 1e-3 * ms) <= 1e-5)) { /* 1% of a millisecond */
        fail_msg("%.6f ms instead of %.6f", 1e3 * seconds, ms);
    }
}

static void make_trace(int ranks, hy_run_trace *trace, hy_match *match, hy_step_account *accounts) {
    assert_int_equal(hy_run_trace_create(files, ranks, trace), HY_OK);
    assert_int_equal(hy_match_create(trace, match), HY_OK);
    memset(accounts, 0, RANKS_MAX * sizeof *accounts);
    hy_step_account_add(trace, match, 0, accounts);
}

static void free_trace(hy_run_trace *trace, hy_match *match) {
    hy_match_free(match);
    hy_run_trace_free(trace);
}

static void exposed_time_is_that_of_the_schedule(void **unused) {
    (void)unused;
    hy_run_trace trace;
    hy_match match;
    hy_step_account a[RANKS_MAX];
    hy_totals *totals = NULL;
    int64_t n = 0;
    overlapped_schedule();
    make_trace(2, &trace, &match, a);
    assert_int_equal(match.n_whole, 4);
    near_to(a[0].step, 100);
    near_to(a[0].compute, 90);
    near_to(a[0].waiting, 10);
    near_to(a[0].in_flight, 30);
    near_to(a[0].hidden, 20);
    near_to(a[0].late, 0);
    near_to(a[0].uncovered, 0);
    near_to(a[1].compute, 87);
    near_to(a[1].waiting, 3);
    near_to(a[1].host, 10);
    near_to(a[1].hidden, 15);
    near_to(a[1].uncovered, 0);

    assert_int_equal(hy_totals_create(&totals), HY_OK);
    hy_totals_add(totals, trace.rank[0].file.spans, trace.rank[0].file.n_spans, &trace.rank[0].busy);
    hy_totals_settle(totals, &trace.rank[0].busy);
    const hy_total *rows = hy_totals_rows(totals, &n);
    assert_int_equal(n, 4);
    int seen = 0;
    for (int64_t i = 0; i < n; i++) {
        if (rows[i].kind == HY_SPAN_EXCHANGE) {
            seen++;
            assert_int_equal(rows[i].count, 2);
            assert_int_equal(rows[i].bytes, 6000);
            near_to(rows[i].total, 30);
            near_to(rows[i].hidden, 20);
            near_to(rows[i].waited, 10);
            assert_true(fabs(hy_total_quantile(&rows[i], 0.99) / 0.030 - 1.0) < 0.1);
            assert_true(fabs(hy_total_quantile(&rows[i], 0.5) / 0.015 - 1.0) < 0.1);
        }
    }
    assert_int_equal(seen, 1);
    hy_totals_destroy(totals);
    free_trace(&trace, &match);
}

static void the_critical_path_is_that_of_the_schedule(void **unused) {
    (void)unused;
    static const struct {
        int64_t rank, from;
        hy_span_kind kind;
        const char *name;
        double begin, end;
    } expected[] = {
        {1, 1, HY_SPAN_WORK, "A", 0, 40}, {0, 1, HY_SPAN_EXCHANGE, "x", 40, 60}, {0, 0, HY_SPAN_WORK, "C", 60, 100}};
    hy_run_trace trace;
    hy_match match;
    hy_step_account a[RANKS_MAX];
    hy_path path;
    overlapped_schedule();
    make_trace(2, &trace, &match, a);
    assert_int_equal(hy_path_find(&trace, &match, 0, &path), HY_OK);
    near_to(path.seconds, 100);
    assert_int_equal(path.n, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(path.parts[i].rank, expected[i].rank);
        assert_int_equal(path.parts[i].from, expected[i].from);
        assert_int_equal(path.parts[i].kind, expected[i].kind);
        assert_string_equal(path.parts[i].span->name, expected[i].name);
        near_to(path.parts[i].begin - START, expected[i].begin);
        near_to(path.parts[i].end - START, expected[i].end);
    }
    hy_free(path.parts);
    free_trace(&trace, &match);
}

/* What nobody recorded is not called computing, and shows. */
static void gaps_show(void **unused) {
    (void)unused;
    hy_run_trace trace;
    hy_match match;
    hy_step_account a[RANKS_MAX];
    begin_schedule(1);
    add_span(0, HY_SPAN_WORK, "A", 0, 40);
    add_span(0, HY_SPAN_WORK, "B", 45, 100);
    make_trace(1, &trace, &match, a);
    near_to(a[0].compute, 95);
    near_to(a[0].uncovered, 5);
    free_trace(&trace, &match);
}

/* ---- advice ---- */

static hy_config config;

/* The first advice on what was scheduled, and how much it gives. */
static hy_advice first_advice(int ranks, double blamed_ms) {
    hy_run_trace trace;
    hy_match match;
    hy_step_account a[RANKS_MAX];
    static hy_advice advice[HY_ADVICE_MAX];
    make_trace(ranks, &trace, &match, a);
    const int n = hy_advise(&trace, &match, &config, a, advice);
    assert_true(n > 0);
    double blamed = 0.0;
    for (int r = 0; r < ranks; r++) {
        blamed += a[r].blamed;
    }
    near_to(blamed, blamed_ms);
    free_trace(&trace, &match);
    return advice[0];
}

/* Each rank's two operations and a wait for the last at the end of them. */
static void uneven_schedule(const double (*ms)[2]) {
    begin_schedule(3);
    for (int r = 0; r < 3; r++) {
        const double end = ms[r][0] + ms[r][1];
        add_span(r, HY_SPAN_WORK, "linear", 0, ms[r][0]);
        add_span(r, HY_SPAN_WORK, "attention", ms[r][0], end);
        add_wait(r, "gradients", add_gather(r, "gradients", end, 100), end, 100);
    }
}

static void a_slow_rank_is_named(void **unused) {
    (void)unused;
    config.parallel.method.layout = HY_LAYOUT_CONTIGUOUS;
    uneven_schedule((const double[][2]){{30, 15}, {60, 30}, {30, 15}});
    const hy_advice advice = first_advice(3, 90);
    assert_int_equal(advice.kind, HY_ADVICE_SLOW_RANK);
    assert_int_equal(advice.rank, 1);
    near_to(advice.gain, 45);
}

static void a_wrong_layout_is_named(void **unused) {
    (void)unused;
    config.parallel.method.layout = HY_LAYOUT_CONTIGUOUS;
    uneven_schedule((const double[][2]){{30, 10}, {30, 30}, {30, 50}});
    hy_advice advice = first_advice(3, 60);
    assert_int_equal(advice.kind, HY_ADVICE_LAYOUT);
    near_to(advice.gain, 20);
    config.parallel.method.layout = HY_LAYOUT_ZIGZAG;
    uneven_schedule((const double[][2]){{30, 10}, {30, 30}, {30, 50}});
    advice = first_advice(3, 60);
    assert_int_equal(advice.kind, HY_ADVICE_UNEQUAL);
    assert_int_equal(advice.rank, 2);
}

static void a_blocking_exchange_is_named(void **unused) {
    (void)unused;
    config.parallel.method.overlap = HY_OVERLAP_SEEDED;
    begin_schedule(2);
    for (int r = 0; r < 2; r++) {
        add_span(r, HY_SPAN_WORK, "linear", 0, 20);
        const int64_t hidden = add_gather(r, "attention K", 20, 65);
        const int64_t blocking = add_gather(r, "state", 20 + r, 50);
        add_span(r, HY_SPAN_WORK, "recurrence", 20, 100);
        add_wait(r, "state", blocking, 20 + r, 50);
        add_wait(r, "attention K", hidden, 60, 65);
    }
    const hy_advice advice = first_advice(2, 1);
    assert_int_equal(advice.kind, HY_ADVICE_BLOCKING);
    assert_string_equal(advice.name, "state");
    assert_non_null(strstr(advice.text, "parallel.overlap: split"));
    near_to(advice.gain, 29);
}

/* ---- files ---- */

static void a_file_gives_back_what_was_written(void **unused) {
    (void)unused;
    const char *path = scratch_path("trace");
    hy_rank_trace back;
    const hy_total total = {.name = "x", .kind = HY_SPAN_EXCHANGE, .count = 3, .total = 0.5, .took = {[7] = 3}};
    overlapped_schedule();
    files[0].totals = copy_of(&total, sizeof total);
    files[0].n_totals = 1;
    assert_int_equal(hy_rank_trace_write(&files[0], path), HY_OK);
    assert_int_equal(hy_rank_trace_read(path, &back), HY_OK);
    assert_memory_equal(&back.info, &files[0].info, sizeof back.info);
    assert_int_equal(back.n_spans, files[0].n_spans);
    for (int64_t i = 0; i < back.n_spans; i++) {
        hy_span read = back.spans[i];
        assert_string_equal(read.name, files[0].spans[i].name);
        read.name = files[0].spans[i].name;
        assert_memory_equal(&read, &files[0].spans[i], sizeof read);
    }
    assert_int_equal(back.n_clock, 2);
    assert_memory_equal(back.clock, files[0].clock, 2 * sizeof *back.clock);
    assert_int_equal(back.steps[0].step, 7);
    assert_int_equal(back.totals[0].took[7], 3);
    hy_rank_trace_free(&back);
    hy_rank_trace_free(&files[0]);
    hy_rank_trace_free(&files[1]);
    (void)remove(path);
}

enum { EVENTS_MAX = 256 };

static const char *text_of(const json_t *event, const char *key) {
    return json_string_value(json_object_get(event, key));
}

static double number_of(const json_t *event, const char *key) {
    assert_true(json_is_number(json_object_get(event, key)));
    return json_number_value(json_object_get(event, key));
}

static bool same_track(const json_t *a, const json_t *b) {
    return number_of(a, "pid") == number_of(b, "pid") && number_of(a, "tid") == number_of(b, "tid");
}

/* Slices of a track come in order of their beginnings, and each lies inside those that are open. */
static void check_nesting(json_t *events) {
    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *e = json_array_get(events, i);
        if (strcmp(text_of(e, "ph"), "X") != 0) {
            continue;
        }
        const double begin = number_of(e, "ts"), end = begin + number_of(e, "dur");
        assert_true(end >= begin && begin >= 0.0);
        for (size_t k = 0; k < i; k++) {
            const json_t *before = json_array_get(events, k);
            if (strcmp(text_of(before, "ph"), "X") == 0 && same_track(before, e)) {
                const double from = number_of(before, "ts"), to = from + number_of(before, "dur");
                assert_true(from <= begin);
                assert_true(to <= begin + 1e-6 || end <= to + 1e-6);
            }
        }
    }
}

/* An end of an arrow is bound to a slice that is open on its track. */
static bool is_bound(json_t *events, const json_t *arrow) {
    const double at = number_of(arrow, "ts");
    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *e = json_array_get(events, i);
        if (strcmp(text_of(e, "ph"), "X") == 0 && same_track(e, arrow) && number_of(e, "ts") <= at &&
            at < number_of(e, "ts") + number_of(e, "dur")) {
            return true;
        }
    }
    return false;
}

static int check_arrows(json_t *events) {
    int n = 0;
    for (size_t i = 0; i < json_array_size(events); i++) {
        const json_t *s = json_array_get(events, i);
        if (strcmp(text_of(s, "ph"), "s") != 0) {
            continue;
        }
        int ends = 0;
        n++;
        assert_true(is_bound(events, s));
        for (size_t k = 0; k < json_array_size(events); k++) {
            const json_t *f = json_array_get(events, k);
            if (strcmp(text_of(f, "ph"), "f") == 0 && number_of(f, "id") == number_of(s, "id")) {
                ends++;
                assert_true(is_bound(events, f));
                assert_true(number_of(f, "ts") >= number_of(s, "ts"));
                assert_string_equal(text_of(f, "bp"), "e");
                assert_string_equal(text_of(f, "name"), text_of(s, "name"));
            }
        }
        assert_int_equal(ends, 1);
    }
    return n;
}

static void chrome_trace_keeps_the_rules(void **unused) {
    (void)unused;
    const char *path = scratch_path("trace");
    hy_run_trace trace;
    hy_match match;
    hy_step_account a[RANKS_MAX];
    overlapped_schedule();
    for (int r = 0; r < 2;
         r++) { /* a message, and one that comes back; what is not received in the trace has no arrow */
        for (int k = 0; k < 3 - r; k++) {
            hy_span *s = add_span(r, HY_SPAN_EXCHANGE, "m", 61 + 5 * k, 80 + r);
            s->exchange = (r + k) % 2 == 0 ? HY_X_SEND : HY_X_RECV;
            s->peer = 1 - r;
            s->tag = 3;
        }
    }
    make_trace(2, &trace, &match, a);
    assert_int_equal(hy_chrome_trace_write(&trace, &match, path), HY_OK);
    json_t *root = json_load_file(path, 0, NULL);
    assert_non_null(root);
    json_t *events = json_object_get(root, "traceEvents");
    check_nesting(events);
    assert_int_equal(check_arrows(events), 2 + 2);
    json_decref(root);
    free_trace(&trace, &match);
    (void)remove(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(exposed_time_is_that_of_the_schedule),
                                       cmocka_unit_test(the_critical_path_is_that_of_the_schedule),
                                       cmocka_unit_test(gaps_show),
                                       cmocka_unit_test(a_slow_rank_is_named),
                                       cmocka_unit_test(a_wrong_layout_is_named),
                                       cmocka_unit_test(a_blocking_exchange_is_named),
                                       cmocka_unit_test(a_file_gives_back_what_was_written),
                                       cmocka_unit_test(chrome_trace_keeps_the_rules)};
    return cmocka_run_group_tests(tests, scratch_create, NULL);
}
