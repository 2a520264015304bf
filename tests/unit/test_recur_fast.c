/* The fast recurrences of every instruction set this processor has, against a per-token recurrence in double
 * (recur_oracle.h): outputs, states, segment maps, every gradient. Errors are relative RMS over an
 * array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/recur_oracle.h"

#define OUTPUT_TOLERANCE   2e-5 /* float sums over a chunk and a state: some 1e-6 where keys are random */
#define GRADIENT_TOLERANCE 1e-4

/* ---- the table under test ---- */

static void check(const char *what, const float *got, const double *want, int64_t n, double tolerance) {
    double error = 0, norm = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = (double)got[i] - want[i];
        error += d * d;
        norm += want[i] * want[i];
    }
    double relative = sqrt(error / (norm + 1e-12 * (double)n + 1e-300));
    if (getenv("HY_TEST_VERBOSE"))
        printf("  %-8s %.1e\n", what, n ? relative : 0);
    if (n && !(relative < tolerance))
        fail_msg("%s: relative error %.2e, allowed %.0e", what, relative, tolerance);
    for (int64_t i = n; i < n + GUARD; i++)
        if (got[i] < GUARD_VALUE || got[i] > GUARD_VALUE)
            fail_msg("%s: written beyond its end", what);
}

static hy_recur_args arguments(const problem *p) {
    const shape *s = &p->s;
    return (hy_recur_args){.decay = s->decay,
                           .rule = s->rule,
                           .exclusive = s->exclusive,
                           .T = p->T,
                           .H = s->H,
                           .HV = s->HV,
                           .K = s->K,
                           .V = s->V,
                           .scale = scale_of(p),
                           .runs = p->runs,
                           .n_runs = p->n_runs,
                           .q = p->q,
                           .k = p->k,
                           .a = p->a,
                           .b = p->b,
                           .v = p->v,
                           .g = p->g,
                           .beta = p->beta,
                           .S0 = p->S0,
                           .d_o = p->d_o,
                           .dS1 = p->dS1};
}

static void test_forward(hy_device *device, const problem *p, hy_recur_args a) {
    const shape *s = &p->s;
    int64_t tokens = p->T * s->HV * s->V, states = p->slots * s->HV * s->K * s->V, maps = p->slots * s->HV * p->a_size;
    float *o = floats(tokens, -9, 9), *S1 = floats(states, 0, 0), *H = floats(states, 0, 0), *A = floats(maps, 0, 0);
    a.o = o;
    a.S1 = S1;
    hy_recur_fwd(device, &a);
    check("o", o, p->o, tokens, OUTPUT_TOLERANCE);
    check("S1", S1, p->S1, states, OUTPUT_TOLERANCE);
    for (int64_t i = 0; i < tokens; i++)
        o[i] = (float)(p->o[i] - p->inject[i]);
    hy_recur_inject(device, &a);
    check("inject", o, p->o, tokens, OUTPUT_TOLERANCE);
    a.q = NULL;
    a.H_map = H;
    hy_recur_map(device, &a);
    check("H", H, p->H, states, OUTPUT_TOLERANCE);
    a.A_map = A;
    hy_recur_map(device, &a);
    check("H", H, p->H, states, OUTPUT_TOLERANCE);
    check("A", A, p->A, maps, OUTPUT_TOLERANCE);
    free(o);
    free(S1);
    free(H);
    free(A);
}

static void test_backward(hy_device *device, const problem *p, hy_recur_args a, int with_gates) {
    const shape *s = &p->s;
    int64_t T = p->T, states = p->slots * s->HV * s->K * s->V;
    float *dq = floats(T * s->H * s->K, -9, 9), *dk = floats(T * s->H * s->K, -9, 9),
          *dv = floats(T * s->HV * s->V, -9, 9);
    float *da = floats(T * s->H * s->K, -9, 9), *db = floats(T * s->H * s->K, -9, 9);
    float *dg = floats(p->g_size, 0, 0), *dbeta = floats(T * s->HV, -9, 9), *dS0 = floats(states, 0, 0);
    float *dH = floats(states, 0, 0);
    a.dq = dq;
    a.dk = dk;
    a.da = da;
    a.db = db;
    a.dv = dv;
    a.dg = with_gates ? dg : NULL;
    a.dbeta = with_gates ? dbeta : NULL;
    a.dS0 = dS0;
    a.dH = dH;
    hy_recur_bwd(device, &a);
    if (p->q)
        check("dq", dq, p->dq, T * s->H * s->K, GRADIENT_TOLERANCE);
    if (p->k)
        check("dk", dk, p->dk, T * s->H * s->K, GRADIENT_TOLERANCE);
    if (s->rule == HY_RULE_DPLR) {
        check("da", da, p->da, T * s->H * s->K, GRADIENT_TOLERANCE);
        check("db", db, p->db, T * s->H * s->K, GRADIENT_TOLERANCE);
    }
    check("dv", dv, p->dv, T * s->HV * s->V, GRADIENT_TOLERANCE);
    check("dS0", dS0, p->dS0, states, GRADIENT_TOLERANCE);
    if (with_gates) {
        check("dg", dg, p->dg, p->g_size, GRADIENT_TOLERANCE);
        check("dbeta", dbeta, p->dbeta, T * s->HV, GRADIENT_TOLERANCE);
    }
    a.v = NULL;
    hy_recur_map_bwd(device, &a);
    check("dH", dH, p->dH, states, GRADIENT_TOLERANCE);
    void *all[] = {dq, dk, da, db, dv, dg, dbeta, dS0, dH};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
}

static void test_directions(hy_device *device, const problem *p, hy_recur_args a) {
    test_forward(device, p, a);
    test_backward(device, p, a, 1);
    test_backward(device, p, a, 0);
}

static void on_each_set(const problem *p, void (*test)(hy_device *device, const problem *p, hy_recur_args a)) {
    static const char *const sets[] = {"plain", "avx2", "avx512"};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        hy_device *device;
        setenv("HYLAS_CPU", sets[i], 1);
        assert_int_equal(hy_device_create("cpu", HY_F32, &device), HY_OK);
        if (strcmp(hy_device_profile(device)->detail, sets[i]) == 0) {
            hy_recur_args a = arguments(p);
            size_t bytes = hy_device_profile(device)->recur_work(&a);
            a.work = malloc(bytes + 1);
            ((char *)a.work)[bytes] = 77;
            memset(a.work, 0xff, bytes);
            if (getenv("HY_TEST_VERBOSE"))
                printf("%s decay %d rule %d K %d V %d\n", sets[i], (int)p->s.decay, (int)p->s.rule, (int)p->s.K,
                       (int)p->s.V);
            test(device, p, a);
            assert_int_equal(((char *)a.work)[bytes], 77);
            free(a.work);
        }
        hy_device_destroy(device);
    }
}

static void test_shape(shape s) {
    problem p = make_problem(s);
    solve_problem(&p);
    on_each_set(&p, test_directions);
    free_problem(&p);
}

/* ---- cases ---- */

static const int64_t mixed[] = {1, 70, 16, 0, 33, 129, -1}, one[] = {97, -1}, single[] = {1, 1, 2, -1},
                     nothing[] = {-1};

static void for_all_kinds(shape s) {
    static const struct {
        hy_rule rule;
        int exclusive;
    } forms[] = {{HY_RULE_ADDITIVE, 0}, {HY_RULE_ADDITIVE, 1}, {HY_RULE_DELTA, 0}, {HY_RULE_DPLR, 0}};
    for (int decay = HY_DECAY_NONE; decay <= HY_DECAY_VECTOR; decay++)
        for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
            s.decay = (hy_decay)decay;
            s.rule = forms[i].rule;
            s.exclusive = forms[i].exclusive;
            test_shape(s);
        }
}

static void odd_sizes_runs_and_groups(void **state) {
    (void)state;
    for_all_kinds((shape){.H = 2, .HV = 4, .K = 19, .V = 37, .lens = mixed, .g_low = -0.5, .beta_high = 1});
    for_all_kinds((shape){.H = 1, .HV = 3, .K = 33, .V = 5, .lens = mixed, .g_low = -0.1, .beta_high = 1});
    for_all_kinds((shape){.H = 1, .HV = 1, .K = 5, .V = 3, .lens = single, .g_low = -1});
    for_all_kinds((shape){.H = 1, .HV = 1, .K = 1, .V = 1, .lens = single, .g_low = -1, .beta_high = 1});
}

static void usual_sizes(void **state) {
    (void)state;
    for_all_kinds((shape){.H = 1, .HV = 2, .K = 64, .V = 64, .lens = one, .g_low = -0.3, .beta_high = 1});
    for_all_kinds((shape){.H = 1, .HV = 1, .K = 260, .V = 48, .lens = one, .g_low = -0.05, .beta_high = 1});
}

/* beta up to 2 reflects: the state does not shrink, and keys that share a direction make the inverse large. */
static void correlated_keys_and_large_beta(void **state) {
    (void)state;
    for_all_kinds(
        (shape){.H = 1, .HV = 1, .K = 32, .V = 32, .lens = one, .g_low = -0.02, .beta_high = 2, .correlation = 0.5});
    for_all_kinds(
        (shape){.H = 1, .HV = 1, .K = 32, .V = 32, .lens = one, .g_low = -0.02, .beta_high = 1, .correlation = 0.9});
}

static void extreme_decay(void **state) {
    (void)state;
    for_all_kinds(
        (shape){.H = 1, .HV = 2, .K = 20, .V = 24, .lens = one, .g_low = -0.1, .g_reset = -60, .beta_high = 1});
    for_all_kinds(
        (shape){.H = 1, .HV = 2, .K = 20, .V = 24, .lens = one, .g_low = -9, .g_reset = -1000, .beta_high = 1});
    for_all_kinds((shape){.H = 1, .HV = 1, .K = 16, .V = 16, .lens = one, .g_low = -60, .beta_high = 1});
    for_all_kinds((shape){.H = 1, .HV = 1, .K = 16, .V = 16, .lens = one, .g_low = 0, .beta_high = 1});
}

static void assert_none_subnormal(const char *what, const float *x, int64_t n) {
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++)
        found += fpclassify(x[i]) == FP_SUBNORMAL;
    if (found > 0)
        fail_msg("%s: %lld of %lld are subnormal", what, (long long)found, (long long)n);
}

/* What enters a long run and its transition: numbers that go to zero by way of the subnormal ones, which processors are slow at. */
static void test_decayed(hy_device *device, const problem *p, hy_recur_args a) {
    const shape *s = &p->s;
    const int64_t tokens = p->T * s->HV * s->V, states = p->slots * s->HV * s->K * s->V;
    const int64_t maps = p->slots * s->HV * p->a_size;
    float *o = floats(tokens, 0, 0), *H = floats(states, 0, 0), *A = floats(maps, 0, 0);
    volatile float tiny = 1e-30f;
    a.o = o;
    hy_recur_inject(device, &a);
    assert_none_subnormal("inject", o, tokens);
    a.H_map = H;
    a.A_map = A;
    hy_recur_map(device, &a);
    assert_none_subnormal("A", A, maps);
    assert_true(tiny * 1e-10f > 0); /* whoever calls computes with them as before */
    free(o);
    free(H);
    free(A);
}

static void nothing_ends_subnormal(void **state) {
    static const int64_t lens[] = {100, 110, 120, 130, -1}; /* e^-100 is one: below 2^-126, above 2^-149 */
    (void)state;
    for (int decay = HY_DECAY_HEAD; decay <= HY_DECAY_VECTOR; decay++)
        for (int rule = HY_RULE_ADDITIVE; rule <= HY_RULE_DPLR; rule++) {
            shape s = {.decay = (hy_decay)decay, .rule = (hy_rule)rule, .H = 2, .HV = 2, .lens = lens, .g_low = -1.7};
            s.K = s.V = 16;
            problem p = make_problem(s);
            on_each_set(&p, test_decayed);
            free_problem(&p);
        }
}

/* One value per head: scans of channels, with keys (mamba1) and without (hgrn), more than a block of channels. */
static void channels(void **state) {
    (void)state;
    const double lows[] = {-0.3, -60, 0};
    for (int i = 0; i < 3; i++) {
        shape s = {.decay = HY_DECAY_VECTOR, .H = 1, .HV = 37, .K = 16, .V = 1, .lens = mixed, .g_low = lows[i]};
        s.g_reset = i == 0 ? -60 : 0;
        test_shape(s);
        s.K = 5, s.H = 2, s.HV = 6, s.beta_high = 1;
        test_shape(s);
        s.K = 33, s.H = 3, s.HV = 3;
        test_shape(s);
        s = (shape){.decay = HY_DECAY_SCALAR, .H = 1, .HV = 131, .K = 1, .V = 1, .lens = mixed, .g_low = lows[i]};
        s.g_reset = i == 0 ? -60 : 0;
        s.keyless = 1;
        test_shape(s);
        s.decay = HY_DECAY_VECTOR, s.HV = 5;
        test_shape(s);
        s.decay = HY_DECAY_NONE, s.beta_high = 1;
        test_shape(s);
    }
}

static void empty_sizes(void **state) {
    (void)state;
    for_all_kinds((shape){.H = 2, .HV = 2, .K = 4, .V = 4, .lens = nothing, .g_low = -1, .beta_high = 1});
}

/* apply and compose agree with A·S + H formed here. */
static void maps_apply_and_compose(void **state) {
    (void)state;
    enum { n = 3, K = 21, V = 10 };
    const int64_t sizes[] = {1, K, K * K};
    hy_device *device;
    unsetenv("HYLAS_CPU");
    assert_int_equal(hy_device_create("cpu", HY_F32, &device), HY_OK);
    for (int m = 0; m < 3; m++) {
        int64_t a_size = sizes[m], total = n * K * V;
        float *A1 = floats(n * a_size, -1, 1), *A2 = floats(n * a_size, -1, 1), *H1 = floats(total, -1, 1);
        float *H2 = floats(total, -1, 1), *S = floats(total, -1, 1), *A = floats(n * a_size, 0, 0);
        float *H = floats(total, 0, 0), *step = floats(total, 0, 0), *got = floats(total, 0, 0);
        double *want = doubles(total);
        for (int64_t i = 0; i < total; i++) {
            int64_t h = i / (K * V), row = i / V % K, col = i % V;
            want[i] = (double)H1[i];
            for (int64_t c = 0; c < K; c++) {
                double f = m == 2     ? (double)A1[h * a_size + c * K + row]
                           : c == row ? (double)A1[h * a_size + (m ? c : 0)]
                                      : 0;
                want[i] += f * (double)S[(h * K + c) * V + col];
            }
        }
        hy_map_apply(device, &(hy_map_apply_args){n, K, V, a_size, 1, A1, S, H1, got});
        check("transposed", got, want, total, OUTPUT_TOLERANCE);
        hy_map_apply(device, &(hy_map_apply_args){n, K, V, a_size, 0, A1, S, H1, step});
        hy_map_apply(device, &(hy_map_apply_args){n, K, V, a_size, 0, A2, step, H2, got});
        for (int64_t i = 0; i < total; i++)
            want[i] = (double)got[i];
        hy_map_compose(device, &(hy_map_compose_args){n, K, V, a_size, A1, H1, A2, H2, A, H});
        hy_map_apply(device, &(hy_map_apply_args){n, K, V, a_size, 0, A, S, H, H});
        check("composed", H, want, total, OUTPUT_TOLERANCE);
        hy_map_apply(device, &(hy_map_apply_args){n, K, V, a_size, 0, NULL, NULL, NULL, got});
        memset(want, 0, (size_t)total * sizeof *want);
        check("nothing", got, want, total, OUTPUT_TOLERANCE);
        void *all[] = {A1, A2, H1, H2, S, A, H, step, got, want};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            free(all[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(odd_sizes_runs_and_groups),
        cmocka_unit_test(usual_sizes),
        cmocka_unit_test(correlated_keys_and_large_beta),
        cmocka_unit_test(extreme_decay),
        cmocka_unit_test(nothing_ends_subnormal),
        cmocka_unit_test(channels),
        cmocka_unit_test(empty_sizes),
        cmocka_unit_test(maps_apply_and_compose),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
