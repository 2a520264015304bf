/* Machines to simulate on: rates that depend on a call's work are found again from calls that have them, more work never takes less time, and a
 * machine without such rates takes what its one rate says. Words of a measured machine say the same when they are read again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "train/run/calibrate.h"

static hy_machine machine_of(const char *words) {
    hy_machine machine;
    assert_int_equal(hy_machine_parse(words, &machine), HY_OK);
    return machine;
}

static void assert_near(double value, double wanted, double share) {
    if (!(fabs(value - wanted) <= share * fabs(wanted))) {
        fail_msg("%.17g, wanted %.17g", value, wanted);
    }
}

/* n calls of `work` each, which take a w + b sqrt(w) seconds. */
static hy_timed_calls calls_of(int n, double work, double a, double b) {
    return (hy_timed_calls){
        .work = n * work, .work_log = n * work * log(work), .seconds = n * (a * work + b * sqrt(work))};
}

static void test_fit_slower_small(void **unused) {
    const double a = 1 / 1.2e11, b = 2e-8;
    const hy_timed_calls little = calls_of(3, 3e7, a, b), much = calls_of(3, 2e9, a, b);
    hy_machine machine = machine_of("flat");
    (void)unused;
    hy_machine_fit(HY_RATE_ATTENTION, &little, &much, &machine);
    for (double work = 1e3; work <= 2e9; work *= 1.7) {
        assert_near(hy_machine_work_seconds(&machine, HY_RATE_ATTENTION, work), a * work + b * sqrt(work), 1e-12);
    }
    assert_near(hy_machine_work_seconds(&machine, HY_RATE_ATTENTION, 8e9), 8e9 / machine.attention, 1e-12);
}

/* What caches hold: the rate is a + b / sqrt(w). */
static void test_fit_faster_small(void **unused) {
    const double a = 1e10, b = 1e13, few = 4e5, many = 4e6;
    const hy_timed_calls little = {few, few * log(few), few / (a + b / sqrt(few))},
                         much = {many, many * log(many), many / (a + b / sqrt(many))};
    hy_machine machine = machine_of("flat");
    (void)unused;
    hy_machine_fit(HY_RATE_MEMORY, &little, &much, &machine);
    for (double work = few; work <= many; work *= 1.3) {
        assert_near(hy_machine_work_seconds(&machine, HY_RATE_MEMORY, work), work / (a + b / sqrt(work)), 1e-12);
    }
    assert_near(hy_machine_work_seconds(&machine, HY_RATE_MEMORY, 10), 10 / machine.small[HY_RATE_MEMORY].rate, 1e-12);
}

/* Calls of several sizes count as if of one: a measurement's seconds come out again, about. */
static void test_fit_mixed(void **unused) {
    const double a = 1 / 1e11, b = 1e-8, sizes[] = {1e7, 4e7, 2e8};
    hy_timed_calls little = {0}, much = {0};
    hy_machine machine = machine_of("flat");
    double seconds = 0;
    (void)unused;
    for (int i = 0; i < 3; i++) {
        const hy_timed_calls one = calls_of(1, sizes[i], a, b), more = calls_of(1, 64 * sizes[i], a, b);
        little = (hy_timed_calls){little.work + one.work, little.work_log + one.work_log, little.seconds + one.seconds};
        much = (hy_timed_calls){much.work + more.work, much.work_log + more.work_log, much.seconds + more.seconds};
    }
    hy_machine_fit(HY_RATE_PRODUCTS, &little, &much, &machine);
    for (int i = 0; i < 3; i++) {
        seconds += hy_machine_work_seconds(&machine, HY_RATE_PRODUCTS, sizes[i]);
    }
    assert_near(seconds, little.seconds, 0.02);
}

static void test_fit_one_size(void **unused) {
    const hy_timed_calls none = {0}, much = calls_of(2, 1e9, 1e-11, 0);
    hy_machine machine = machine_of("flat,products_small=1e10,products_little=1e6,products_much=1e9");
    (void)unused;
    hy_machine_fit(HY_RATE_PRODUCTS, &none, &much, &machine);
    assert_near(machine.products, 1e11, 1e-12);
    assert_near(hy_machine_work_seconds(&machine, HY_RATE_PRODUCTS, 1e3), 1e-8, 1e-12);
}

static void test_more_work_takes_longer(void **unused) {
    (void)unused;
    for (double small = 1e7; small <= 1e13; small *= 10) {
        char words[128];
        double before = 0;
        (void)snprintf(words, sizeof words,
                       "flat,attention=1e11,attention_small=%g,attention_little=1e6,attention_much=1e8", small);
        const hy_machine machine = machine_of(words);
        assert_true(hy_machine_work_seconds(&machine, HY_RATE_ATTENTION, 0) == 0);
        for (double work = 1; work < 1e10; work *= 1.1) {
            const double seconds = hy_machine_work_seconds(&machine, HY_RATE_ATTENTION, work);
            assert_true(seconds > before);
            before = seconds;
        }
    }
}

/* Without the keys: the longer of FLOPs over the kind's rate and bytes over the memory's, to the bit. */
static void test_constant_rates(void **unused) {
    static const hy_op_id ops[] = {HY_OP_gemm, HY_OP_attn_bwd, HY_OP_recur_fwd, HY_OP_rmsnorm_fwd};
    const hy_machine m = machine_of("node=1,near=5e10,products=1.36e11,attention=9.9e10,recurrences=9.17e10,"
                                    "memory=1.51e10,launch=1e-6,calls_progress=1");
    const double rates[] = {m.products, m.attention, m.recurrences, m.products};
    (void)unused;
    for (int i = 0; i < 4; i++) {
        for (double flops = 1; flops < 1e12; flops *= 31) {
            for (double bytes = 0; bytes < 1e10; bytes = 17 * bytes + 1) {
                const double arithmetic = flops / rates[i], moving = bytes / m.memory;
                assert_true(hy_machine_seconds(&m, ops[i], flops, bytes) ==
                            m.launch + (arithmetic > moving ? arithmetic : moving));
            }
        }
    }
}

static void test_words(void **unused) {
    char words[HY_MACHINE_NAME], again[HY_MACHINE_NAME];
    hy_machine machine = machine_of("dgx-a100,node=4");
    (void)unused;
    for (int r = 0; r < HY_RATES; r++) {
        machine.small[r] = (hy_small_calls){1.23e-100, 4.56e-100, 7.89e-100};
    }
    hy_machine_write(&machine, words, sizeof words);
    assert_true(strlen(words) + 1 < sizeof words); /* nothing was cut off */
    const hy_machine read = machine_of(words);
    for (int r = 0; r < HY_RATES; r++) {
        assert_true(read.small[r].rate == 1.23e-100 && read.small[r].little == 4.56e-100 &&
                    read.small[r].much == 7.89e-100);
    }
    assert_int_equal(read.network.node, 4);
    assert_true(read.attention == machine.attention && read.memory == machine.memory);
    hy_machine_write(&read, again, sizeof again);
    assert_string_equal(again, words);
}

static void test_bad_words(void **unused) {
    static const char *const bad[] = {"attention_small=1e10",
                                      "flat,memory_small=1e9,memory_little=5,memory_much=5",
                                      "memory_small=1e9,memory_much=5",
                                      "products_small=-1",
                                      "rails=2",
                                      "node=1.5",
                                      "dgx-h100,leaf=4,trunk=-1",
                                      "dgx-h100,trunk=1e9",
                                      "flat,leaf=2"};
    hy_machine machine;
    (void)unused;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(hy_machine_parse(bad[i], &machine), HY_ERR_USAGE);
    }
}

static void test_help_names_all(void **unused) {
    char text[HY_MACHINE_HELP];
    (void)unused;
    hy_machine_help(text, sizeof text);
    assert_non_null(strstr(text, "memory_much"));
    assert_non_null(strstr(text, "calls_progress (1: exchanges go on between operations only)"));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fit_slower_small),
                                       cmocka_unit_test(test_fit_faster_small),
                                       cmocka_unit_test(test_fit_mixed),
                                       cmocka_unit_test(test_fit_one_size),
                                       cmocka_unit_test(test_constant_rates),
                                       cmocka_unit_test(test_more_work_takes_longer),
                                       cmocka_unit_test(test_words),
                                       cmocka_unit_test(test_bad_words),
                                       cmocka_unit_test(test_help_names_all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
