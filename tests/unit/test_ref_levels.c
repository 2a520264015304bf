/* The reference log-linear recurrence in double: against its definition, a sum over pairs of tokens; with all level
 * scales 1 against the recurrence it is made from; its gradients against central differences; cut into runs against
 * whole; and with extreme decays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "kernels/device.h"
#include "tests/oracle.h"

enum { T = 21, H = 2, HV = 4, K = 3, V = 2, L = 6, N = 4, LONG = 16, STATES = N * HV * K * V };

static hy_device *device;
static double q[T * H * K], k[T * H * K], v[T * HV * V], g[T * HV * K], beta[T * HV], l[T * HV * L], d_o[T * HV * V];
static double o[T * HV * V], S0[2 * STATES], S1[2 * STATES], dS1[2 * STATES];
static double dq[T * H * K], dk[T * H * K], dv[T * HV * V], dg[T * HV * K], dbeta[T * HV], dl[T * HV * L],
    dS0[2 * STATES];
static int64_t pos[T];
static void *work;

/* Two documents: of 16 tokens, a power of two, and of 5. */
static const hy_run whole[2] = {{0, LONG, -1, -1}, {LONG, T - LONG, -1, -1}};

static int setup(void **unused) {
    (void)unused;
    double *inputs[] = {q, k, v, l, d_o, S0, dS1};
    const int64_t sizes[] = {T * H * K, T * H * K, T * HV * V, T * HV * L, T * HV * V, 2 * STATES, 2 * STATES};
    for (int i = 0; i < 7; i++)
        normal_fill(inputs[i], sizes[i]);
    uniform_fill(g, T * HV * K, -0.7, 0);
    uniform_fill(beta, T * HV, 0, 1);
    for (int64_t t = 0; t < T; t++)
        pos[t] = t < LONG ? t : t - LONG;
    hy_device_destroy(device);
    return hy_device_create("cpu_ref", HY_F64, &device) == HY_OK ? 0 : -1;
}

static hy_level_recur_args problem(hy_decay decay, hy_rule rule) {
    hy_level_recur_args a = {.L = L, .N = N, .pos = pos, .l = l, .dl = dl};
    a.base = (hy_recur_args){.decay = decay,
                             .rule = rule,
                             .T = T,
                             .H = H,
                             .HV = HV,
                             .K = K,
                             .V = V,
                             .scale = 0.6,
                             .runs = whole,
                             .n_runs = 2,
                             .q = q,
                             .k = k,
                             .v = v,
                             .g = decay == HY_DECAY_NONE ? NULL : g,
                             .beta = beta,
                             .o = o,
                             .d_o = d_o,
                             .dq = dq,
                             .dk = dk,
                             .dv = dv,
                             .dg = decay == HY_DECAY_NONE ? NULL : dg,
                             .dbeta = dbeta};
    const size_t levels = hy_device_profile(device)->level_work(&a),
                 base = hy_device_profile(device)->recur_work(&a.base);
    free(work);
    work = malloc(levels > base ? levels : base);
    a.base.work = work;
    return a;
}

static double log_decay(hy_decay decay, int64_t t, int64_t hv, int64_t i) {
    switch (decay) {
    case HY_DECAY_HEAD:
        return g[hv];
    case HY_DECAY_SCALAR:
        return g[t * HV + hv];
    case HY_DECAY_VECTOR:
        return g[(t * HV + hv) * K + i];
    default:
        return 0;
    }
}

static int64_t level_of(int64_t t, int64_t s) {
    int64_t n = 0;
    for (int64_t x = t ^ s; x > 0; x >>= 1)
        n++;
    return n;
}

/* x = b_s k_s carried from s to t by the transitions of tokens s+1 .. t, for one head. */
static void carry(const hy_level_recur_args *a, int64_t s, int64_t t, int64_t hv, double *x) {
    const int64_t h = hv / (HV / H);
    for (int64_t i = 0; i < K; i++)
        x[i] = beta[s * HV + hv] * k[(s * H + h) * K + i];
    for (int64_t j = s + 1; j <= t; j++) {
        double along = 0;
        for (int64_t i = 0; i < K; i++) {
            x[i] *= exp(log_decay(a->base.decay, j, hv, i));
            along += x[i] * k[(j * H + h) * K + i];
        }
        for (int64_t i = 0; i < K && a->base.rule == HY_RULE_DELTA; i++)
            x[i] -= beta[j * HV + hv] * along * k[(j * H + h) * K + i];
    }
}

static void test_definition(void **unused) {
    (void)unused;
    for (int decay = HY_DECAY_NONE; decay <= HY_DECAY_VECTOR; decay++)
        for (int rule = HY_RULE_ADDITIVE; rule <= HY_RULE_DELTA; rule++) {
            const hy_level_recur_args a = problem((hy_decay)decay, (hy_rule)rule);
            double want[T * HV * V] = {0}, x[K];
            for (int64_t i = 0; i < T * HV * T; i++) {
                const int64_t t = i / (HV * T), hv = i / T % HV, s = i % T;
                if (s > t || (s < LONG && t >= LONG))
                    continue;
                carry(&a, s, t, hv, x);
                const double weight =
                    0.6 * l[(t * HV + hv) * L + level_of(pos[t], pos[s])] * dot(x, q + (t * H + hv / (HV / H)) * K, K);
                for (int64_t j = 0; j < V; j++)
                    want[(t * HV + hv) * V + j] += weight * v[(s * HV + hv) * V + j];
            }
            hy_level_fwd(device, &a);
            assert_close("o", want, o, T * HV * V, HY_TOL_F64_FORMULA);
        }
}

static void test_ones_are_the_base(void **unused) {
    (void)unused;
    for (int i = 0; i < T * HV * L; i++)
        l[i] = 1;
    for (int decay = HY_DECAY_NONE; decay <= HY_DECAY_VECTOR; decay++)
        for (int rule = HY_RULE_ADDITIVE; rule <= HY_RULE_DELTA; rule++) {
            static double want_o[T * HV * V], want_q[T * H * K], want_k[T * H * K], want_v[T * HV * V],
                want_g[T * HV * K], want_b[T * HV];
            hy_level_recur_args a = problem((hy_decay)decay, (hy_rule)rule);
            memset(dg, 0, sizeof dg);
            memset(want_g, 0, sizeof want_g);
            hy_recur_args base = a.base;
            base.o = want_o;
            base.dq = want_q;
            base.dk = want_k;
            base.dv = want_v;
            base.dg = a.base.dg != NULL ? want_g : NULL;
            base.dbeta = want_b;
            hy_recur_fwd(device, &base);
            hy_recur_bwd(device, &base);
            hy_level_fwd(device, &a);
            hy_level_bwd(device, &a);
            assert_close("o", want_o, o, T * HV * V, HY_TOL_F64_FORMULA);
            assert_close("dq", want_q, dq, T * H * K, HY_TOL_F64_FORMULA);
            assert_close("dk", want_k, dk, T * H * K, HY_TOL_F64_FORMULA);
            assert_close("dv", want_v, dv, T * HV * V, HY_TOL_F64_FORMULA);
            assert_close("dg", want_g, dg, T * HV * K, HY_TOL_F64_FORMULA);
            assert_close("dbeta", want_b, dbeta, T * HV, HY_TOL_F64_FORMULA);
        }
}

static double loss(const void *context) {
    const hy_level_recur_args *a = context;
    hy_level_fwd(device, a);
    return dot(o, d_o, T * HV * V);
}

static void test_gradients(void **unused) {
    (void)unused;
    /* The second run goes on from states at position 11 = 1011b. */
    const hy_run runs[2] = {{0, LONG, -1, -1}, {LONG, T - LONG, 0, -1}};
    for (int64_t t = LONG; t < T; t++)
        pos[t] = t - LONG + 11;
    for (int decay = HY_DECAY_NONE; decay <= HY_DECAY_VECTOR; decay++)
        for (int rule = HY_RULE_ADDITIVE; rule <= HY_RULE_DELTA; rule++) {
            const int64_t n_g = decay == HY_DECAY_HEAD ? HV : decay == HY_DECAY_SCALAR ? T * HV : T * HV * K;
            hy_level_recur_args a = problem((hy_decay)decay, (hy_rule)rule);
            a.base.runs = runs;
            a.base.S0 = S0;
            a.base.dS0 = dS0;
            memset(dg, 0, sizeof dg);
            hy_level_bwd(device, &a);
            assert_gradient("dq", loss, &a, q, T * H * K, dq);
            assert_gradient("dk", loss, &a, k, T * H * K, dk);
            assert_gradient("dv", loss, &a, v, T * HV * V, dv);
            assert_gradient("dbeta", loss, &a, beta, T * HV, dbeta);
            assert_gradient("dl", loss, &a, l, T * HV * L, dl);
            assert_gradient("dS0", loss, &a, S0, STATES, dS0);
            if (decay != HY_DECAY_NONE)
                assert_gradient("dg", loss, &a, g, n_g, dg);
            a.base.dH = S1;
            hy_level_map_bwd(device, &a);
            assert_close("dH", dS0, S1, STATES, HY_TOL_F64_FORMULA);
        }
}

/* A decay of e^-60 beside none: finite in float32, forward and backward. */
static void test_extreme_decays(void **unused) {
    (void)unused;
    static float f[7][T * HV * L], out[7][T * HV * L];
    static const double *const inputs[] = {q, k, v, g, beta, l, d_o};
    const int64_t sizes[] = {T * H * K, T * H * K, T * HV * V, T * HV, T * HV, T * HV * L, T * HV * V};
    for (int rule = HY_RULE_ADDITIVE; rule <= HY_RULE_DELTA; rule++) {
        hy_device *single;
        assert_int_equal(hy_device_create("cpu", HY_F32, &single), HY_OK);
        hy_level_recur_args a = problem(HY_DECAY_SCALAR, (hy_rule)rule);
        for (int i = 0; i < 7; i++)
            for (int64_t j = 0; j < sizes[i]; j++)
                f[i][j] = i == 3 ? (j % 3 ? 0 : -60) : (float)inputs[i][j];
        a.base.q = f[0];
        a.base.k = f[1];
        a.base.v = f[2];
        a.base.g = f[3];
        a.base.beta = f[4];
        a.l = f[5];
        a.base.d_o = f[6];
        a.base.o = out[0];
        a.base.dq = out[1];
        a.base.dk = out[2];
        a.base.dv = out[3];
        a.base.dg = out[4];
        a.base.dbeta = out[5];
        a.dl = out[6];
        free(work);
        a.base.work = work = malloc(hy_device_profile(single)->level_work(&a));
        hy_level_fwd(single, &a);
        hy_level_bwd(single, &a);
        for (int i = 0; i < 7; i++)
            for (int64_t j = 0; j < T * HV * L; j++)
                assert_true(isfinite(out[i][j]));
        hy_device_destroy(single);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_definition, setup),
        cmocka_unit_test_setup(test_ones_are_the_base, setup),
        cmocka_unit_test_setup(test_gradients, setup),
        cmocka_unit_test_setup(test_extreme_decays, setup),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(work);
    return failed;
}
