/* What the recurrences have in common: one mixer as a special case of another, values and gradients, in double.
 *
 *   kda = dplr with a = e^g⊙k, b = −β k, and the written k := β k
 *   hgrn, h = e^g h + x: the additive rule with a head per channel, K = V = 1, q = k = 1
 *   exclusive: what the additive rule reads less what the token itself wrote, of decayed q
 *   mamba1: K = N, V = 1, one q and k for all channels: the same as a head of its own per channel */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/device.h"
#include "tests/oracle.h"

enum { T = 23, H = 2, K = 5, V = 4, N_K = T * H * K, N_V = T * H * V, STATE = H * K * V, SLOTS = 2 };

static hy_device *device;
static const hy_run runs[] = {{0, 9, 0, -1}, {9, 14, -1, 1}};
static double q[N_K], k[N_K], g[N_K], v[N_V], d_o[N_V], S0[SLOTS * STATE], dS1[SLOTS * STATE];

static int setup(void **unused) {
    (void)unused;
    normal_fill(q, N_K);
    normal_fill(k, N_K);
    normal_fill(v, N_V);
    normal_fill(d_o, N_V);
    normal_fill(S0, SLOTS * STATE);
    normal_fill(dS1, SLOTS * STATE);
    uniform_fill(g, N_K, -1.5, 0);
    for (int64_t i = 0; i < N_K; i++)
        k[i] *= 0.4;
    hy_device_destroy(device);
    return hy_device_create("cpu_ref", HY_F64, &device) == HY_OK ? 0 : -1;
}

typedef struct results {
    double o[N_V], S1[SLOTS * STATE], dq[N_K], dk[N_K], da[N_K], db[N_K], dv[N_V], dg[N_K], dbeta[T * H],
        dS0[SLOTS * STATE];
} results;

/* Forward and backward of *a, whose inputs are set, into *r. */
static void solve(hy_recur_args *a, results *r) {
    memset(r, 0, sizeof *r);
    a->T = T;
    a->runs = runs;
    a->n_runs = 2;
    a->scale = 0.8;
    a->o = r->o, a->S1 = r->S1, a->dS0 = r->dS0;
    a->dq = r->dq, a->dk = r->dk, a->da = r->da, a->db = r->db, a->dv = r->dv, a->dg = r->dg;
    a->dbeta = a->beta != NULL ? r->dbeta : NULL;
    a->S0 = S0, a->dS1 = dS1, a->d_o = d_o;
    a->work = malloc(hy_device_profile(device)->recur_work(a));
    hy_recur_fwd(device, a);
    hy_recur_bwd(device, a);
    free(a->work);
}

static void test_kda_is_dplr(void **unused) {
    (void)unused;
    static results kda, dplr;
    double beta[T * H], a[N_K], b[N_K], bk[N_K], dk[N_K], dg[N_K], dbeta[T * H] = {0};
    uniform_fill(beta, T * H, 0, 1);
    for (int64_t i = 0; i < N_K; i++) {
        a[i] = exp(g[i]) * k[i];
        bk[i] = beta[i / K] * k[i];
        b[i] = -bk[i];
    }
    hy_recur_args x = {.decay = HY_DECAY_VECTOR, .rule = HY_RULE_DELTA, .H = H, .HV = H, .K = K, .V = V};
    x.q = q, x.k = k, x.v = v, x.g = g, x.beta = beta;
    solve(&x, &kda);
    x.rule = HY_RULE_DPLR, x.k = bk, x.a = a, x.b = b, x.beta = NULL;
    solve(&x, &dplr);
    for (int64_t i = 0; i < N_K; i++) {
        const double written = dplr.dk[i] - dplr.db[i];
        dk[i] = exp(g[i]) * dplr.da[i] + beta[i / K] * written;
        dg[i] = dplr.dg[i] + a[i] * dplr.da[i];
        dbeta[i / K] += k[i] * written;
    }
    assert_close("o", kda.o, dplr.o, N_V, HY_TOL_F64_FORMULA);
    assert_close("S1", kda.S1, dplr.S1, SLOTS * STATE, HY_TOL_F64_FORMULA);
    assert_close("dq", kda.dq, dplr.dq, N_K, HY_TOL_F64_FORMULA);
    assert_close("dk", kda.dk, dk, N_K, HY_TOL_F64_FORMULA);
    assert_close("dv", kda.dv, dplr.dv, N_V, HY_TOL_F64_FORMULA);
    assert_close("dg", kda.dg, dg, N_K, HY_TOL_F64_FORMULA);
    assert_close("dbeta", kda.dbeta, dbeta, T * H, HY_TOL_F64_FORMULA);
    assert_close("dS0", kda.dS0, dplr.dS0, SLOTS * STATE, HY_TOL_F64_FORMULA);
}

/* o_t of the exclusive form = o_t of the inclusive form with q_t := q_t e^{−g_t}, less scale·(q_t e^{−g_t}·k_t) v_t. */
static void test_exclusive_reads_the_state_before(void **unused) {
    (void)unused;
    static results inclusive, exclusive;
    double undone[N_K], want[N_V];
    hy_recur_args x = {.decay = HY_DECAY_VECTOR, .exclusive = 1, .H = H, .HV = H, .K = K, .V = V};
    x.q = q, x.k = k, x.v = v, x.g = g;
    solve(&x, &exclusive);
    for (int64_t i = 0; i < N_K; i++)
        undone[i] = q[i] * exp(-g[i]);
    x.exclusive = 0, x.q = undone;
    solve(&x, &inclusive);
    for (int64_t i = 0; i < N_V; i++)
        want[i] = inclusive.o[i] - x.scale * dot(undone + i / V * K, k + i / V * K, K) * v[i];
    assert_close("o", want, exclusive.o, N_V, HY_TOL_F64_FORMULA);
    assert_close("S1", inclusive.S1, exclusive.S1, SLOTS * STATE, HY_TOL_F64_FORMULA);
}

/* The elementwise scan, by hand, forward and backward. */
static void test_hgrn_is_a_recurrence_without_keys(void **unused) {
    (void)unused;
    enum { D = H * V };
    static results r;
    double h[N_V], dx[N_V], dg[N_V], dS0[SLOTS * D] = {0}, S1[SLOTS * D] = {0};
    double ones[T];
    for (int64_t t = 0; t < T; t++)
        ones[t] = 1;
    for (size_t i = 0; i < 2; i++)
        for (int64_t c = 0; c < D; c++) {
            const int64_t first = runs[i].begin, last = first + runs[i].len - 1;
            double state = runs[i].s0 >= 0 ? S0[runs[i].s0 * D + c] : 0;
            const double start = state;
            for (int64_t t = first; t <= last; t++)
                h[t * D + c] = state = exp(g[t * D + c]) * state + v[t * D + c];
            double dh = runs[i].s1 >= 0 ? dS1[runs[i].s1 * D + c] : 0;
            if (runs[i].s1 >= 0)
                S1[runs[i].s1 * D + c] = state;
            for (int64_t t = last; t >= first; t--) {
                const double before = t > first ? h[(t - 1) * D + c] : start;
                dx[t * D + c] = dh += 0.8 * d_o[t * D + c];
                dh *= exp(g[t * D + c]);
                dg[t * D + c] = dh * before;
            }
            if (runs[i].s0 >= 0)
                dS0[runs[i].s0 * D + c] = dh;
        }
    for (int64_t i = 0; i < N_V; i++)
        h[i] *= 0.8;
    for (int with_keys = 0; with_keys < 2; with_keys++) {
        hy_recur_args x = {.decay = HY_DECAY_SCALAR, .H = 1, .HV = D, .K = 1, .V = 1, .v = v, .g = g};
        x.q = x.k = with_keys ? ones : NULL;
        solve(&x, &r);
        assert_close("o", h, r.o, N_V, HY_TOL_F64_FORMULA);
        assert_close("dv", dx, r.dv, N_V, HY_TOL_F64_FORMULA);
        assert_close("dg", dg, r.dg, N_V, HY_TOL_F64_FORMULA);
        assert_close("S1", S1, r.S1, SLOTS * D, HY_TOL_F64_FORMULA);
        assert_close("dS0", dS0, r.dS0, SLOTS * D, HY_TOL_F64_FORMULA);
    }
}

/* Channels share q and k as the value heads of one group do. */
static void test_mamba1_is_one_group_of_channels(void **unused) {
    (void)unused;
    enum { I = V, N = K }; /* channels, states of each */
    static results shared, own;
    double wide_q[T * I * N], wide_k[T * I * N], dq[T * N] = {0}, dk[T * N] = {0}, decay[T * I * N];
    uniform_fill(decay, T * I * N, -2, 0);
    for (int64_t t = 0; t < T; t++)
        for (int64_t i = 0; i < I * N; i++) {
            wide_q[t * I * N + i] = q[t * N + i % N];
            wide_k[t * I * N + i] = k[t * N + i % N];
        }
    hy_recur_args x = {.decay = HY_DECAY_VECTOR, .H = 1, .HV = I, .K = N, .V = 1, .q = q, .k = k, .v = v, .g = decay};
    static double big_dq[T * I * N], big_dk[T * I * N], big_dg[2][T * I * N];
    memset(&shared, 0, sizeof shared);
    x.T = T, x.runs = runs, x.n_runs = 2, x.scale = 1, x.d_o = d_o, x.o = shared.o, x.dq = shared.dq, x.dk = shared.dk;
    x.dv = shared.dv, x.dg = big_dg[0];
    x.work = malloc(hy_device_profile(device)->recur_work(&x));
    hy_recur_fwd(device, &x);
    hy_recur_bwd(device, &x);
    free(x.work);
    x.H = I, x.q = wide_q, x.k = wide_k, x.o = own.o, x.dv = own.dv, x.dq = big_dq, x.dk = big_dk, x.dg = big_dg[1];
    x.work = malloc(hy_device_profile(device)->recur_work(&x));
    hy_recur_fwd(device, &x);
    hy_recur_bwd(device, &x);
    free(x.work);
    for (int64_t t = 0; t < T; t++)
        for (int64_t i = 0; i < I * N; i++) {
            dq[t * N + i % N] += big_dq[t * I * N + i];
            dk[t * N + i % N] += big_dk[t * I * N + i];
        }
    assert_close("o", own.o, shared.o, T * I, HY_TOL_F64_FORMULA);
    assert_close("dv", own.dv, shared.dv, T * I, HY_TOL_F64_FORMULA);
    assert_close("dg", big_dg[1], big_dg[0], T * I * N, HY_TOL_F64_FORMULA);
    assert_close("dq", dq, shared.dq, T * N, HY_TOL_F64_FORMULA);
    assert_close("dk", dk, shared.dk, T * N, HY_TOL_F64_FORMULA);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_kda_is_dplr, setup),
        cmocka_unit_test_setup(test_exclusive_reads_the_state_before, setup),
        cmocka_unit_test_setup(test_hgrn_is_a_recurrence_without_keys, setup),
        cmocka_unit_test_setup(test_mamba1_is_one_group_of_channels, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
