/* Feature maps, normalising columns and learned factors: against their definitions, gradients by central differences, and what follows
 * by algebra: the Taylor map is softmax's expansion to second order, a vector decay constant over channels is a scalar one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/device.h"
#include "tests/oracle.h"

enum { ROWS = 6, COLS = 5, WIDE = ROWS * 8 * COLS };

static hy_device *device;
static double x[WIDE], w[WIDE], add[WIDE], y[WIDE], dy[WIDE], dx[WIDE], dw[WIDE];

static int setup(void **unused) {
    (void)unused;
    memset(dx, 0, sizeof dx);
    memset(dw, 0, sizeof dw);
    normal_fill(x, WIDE);
    normal_fill(w, WIDE);
    normal_fill(add, WIDE);
    normal_fill(dy, WIDE);
    hy_device_destroy(device);
    return hy_device_create("cpu_ref", HY_F64, &device) == HY_OK ? 0 : -1;
}

static void halve(double *d, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        d[i] /= 2;
}

static double loss_feature(const void *context) {
    const hy_feature_args *a = context;
    hy_feature_fwd(device, a);
    return dot(y, dy, a->rows * hy_feature_cols(a->kind, a->cols));
}

static void test_feature_gradients(void **state) {
    for (int64_t cols = 1; cols <= COLS; cols++)
        for (hy_feature_kind kind = HY_FEATURES_TAYLOR; kind <= HY_FEATURES_TWO_SOFTMAX; kind++) {
            setup(state);
            for (int64_t i = 0; i < WIDE; i++)
                x[i] += x[i] < 0 ? -0.01 : 0.01; /* dpfp has a kink at 0 */
            hy_feature_args a = {.kind = kind, .rows = ROWS, .cols = cols, .x = x, .y = y, .dy = dy, .dx = dx};
            hy_feature_bwd(device, &a);
            a.acc = 1;
            hy_feature_bwd(device, &a);
            halve(dx, WIDE);
            assert_gradient("dx", loss_feature, &a, x, ROWS * cols, dx);
        }
}

static double loss_ratio(const void *context) {
    hy_ratio_fwd(device, context);
    return dot(y, dy, ROWS * COLS);
}

static void test_ratio_gradients(void **unused) {
    (void)unused;
    for (int64_t r = 0; r < ROWS; r++)
        x[r * (COLS + 1) + COLS] = 0.5 + fabs(x[r * (COLS + 1) + COLS]);
    hy_ratio_args a = {.rows = ROWS, .cols = COLS, .eps = 0.1, .x = x, .y = y, .dy = dy, .dx = dx};
    hy_ratio_bwd(device, &a);
    a.acc = 1;
    hy_ratio_bwd(device, &a);
    halve(dx, WIDE);
    assert_gradient("dx", loss_ratio, &a, x, ROWS * (COLS + 1), dx);
}

static double loss_scale(const void *context) {
    const hy_scale_args *a = context;
    hy_scale_fwd(device, a);
    return dot(y, dy, a->T * a->cols);
}

static void test_scale_gradients(void **state) {
    static const int64_t shapes[][3] = {{12, 1, 1}, {12, 1, 4}, {12, 3, 1}, {12, 12, 1}, {12, 1, 12}};
    static const hy_act acts[] = {HY_ACT_IDENTITY, HY_ACT_NEG_EXP};
    for (int i = 0; i < 5; i++)
        for (int act = 0; act < 2; act++) {
            setup(state);
            hy_scale_args a = {.act = acts[act],
                               .T = ROWS,
                               .cols = shapes[i][0],
                               .expand = shapes[i][1],
                               .group = shapes[i][2],
                               .x = x,
                               .w = w,
                               .add = act ? add : NULL,
                               .y = y,
                               .dy = dy,
                               .dx = dx,
                               .dw = dw};
            hy_scale_bwd(device, &a);
            a.acc = 1;
            hy_scale_bwd(device, &a);
            halve(dx, WIDE);
            halve(dw, WIDE);
            assert_gradient("dx", loss_scale, &a, x, ROWS * a.cols / a.expand, dx);
            assert_gradient("dw", loss_scale, &a, w, a.cols / a.group, dw);
        }
}

static double loss_own(const void *context) {
    hy_own_fwd(device, context);
    return dot(y, dy, ROWS * COLS);
}

static void test_own_gradients(void **unused) {
    (void)unused;
    static double dv[WIDE];
    hy_own_args a = {.rows = ROWS,
                     .cols = 3,
                     .V = COLS,
                     .q = x,
                     .k = w,
                     .v = x + 100,
                     .add = add,
                     .y = y,
                     .dy = dy,
                     .dq = dx,
                     .dk = dw,
                     .dv = dv};
    memset(dv, 0, sizeof dv);
    hy_own_bwd(device, &a);
    a.acc_q = a.acc_k = a.acc_v = 1;
    hy_own_bwd(device, &a);
    halve(dx, WIDE);
    halve(dw, WIDE);
    halve(dv, WIDE);
    assert_gradient("dq", loss_own, &a, x, ROWS * 3, dx);
    assert_gradient("dk", loss_own, &a, w, ROWS * 3, dw);
    assert_gradient("dv", loss_own, &a, x + 100, ROWS * COLS, dv);
}

/* φ(q)·φ(k) of two rows. */
static double product(hy_feature_kind kind, const double *pair) {
    hy_feature_fwd(device, &(hy_feature_args){.kind = kind, .rows = 2, .cols = COLS, .x = pair, .y = y});
    const int64_t n = hy_feature_cols(kind, COLS);
    return dot(y, y + n, n);
}

static void test_products(void **unused) {
    (void)unused;
    const double s = dot(x, x + COLS, COLS) / sqrt(COLS);
    assert_close("taylor", &(double){1 + s + s * s / 2}, &(double){product(HY_FEATURES_TAYLOR, x)}, 1,
                 HY_TOL_F64_FORMULA);
    assert_close("square", &(double){s * s}, &(double){product(HY_FEATURES_SQUARE, x)}, 1, HY_TOL_F64_FORMULA);
}

static void test_dpfp(void **unused) {
    (void)unused;
    double z[2 * COLS];
    for (int i = 0; i < COLS; i++) {
        z[i] = fmax(x[i], 0);
        z[COLS + i] = fmax(-x[i], 0);
    }
    hy_feature_fwd(device, &(hy_feature_args){.kind = HY_FEATURES_DPFP, .rows = 1, .cols = COLS, .x = x, .y = y});
    for (int turn = 1; turn <= 4; turn++)
        for (int m = 0; m < 2 * COLS; m++)
            assert_true(y[(turn - 1) * 2 * COLS + m] == z[m] * z[(m + 2 * COLS - turn) % (2 * COLS)]);
}

static void test_hedgehog(void **unused) {
    (void)unused;
    x[0] = 900, x[COLS] = -900; /* no overflow */
    hy_feature_fwd(device, &(hy_feature_args){.kind = HY_FEATURES_HEDGEHOG, .rows = 3, .cols = COLS, .x = x, .y = y});
    assert_true(y[0] == 1 && y[2 * COLS + COLS] == 1);
    double sum = 0;
    for (int i = 0; i < 2 * COLS; i++)
        sum += exp(i < COLS ? 2 * x[2 * COLS + i] : -2 * x[2 * COLS + i - COLS]);
    for (int i = 0; i < 2 * COLS; i++) {
        const double want = exp(i < COLS ? 2 * x[2 * COLS + i] : -2 * x[2 * COLS + i - COLS]) / sum;
        assert_close("softmax", &want, &y[4 * COLS + i], 1, HY_TOL_F64_FORMULA);
    }
}

/* Largest difference of based's output from softmax attention's, with scores of size `small`. */
static double distance_to_softmax(double small) {
    enum { T = 9, D = 4, F = 1 + D + D * (D + 1) / 2, V = 3 };
    double q[T * D], k[T * D], v[T * (V + 1)], plain_v[T * V], fq[T * F], fk[T * F], o[T * (V + 1)], based[T * V],
        soft[T * V], lse[T], worst = 0;
    int64_t lo[T] = {0};
    hy_recur_args r = {.T = T,
                       .H = 1,
                       .HV = 1,
                       .K = F,
                       .V = V + 1,
                       .scale = 1,
                       .runs = &(hy_run){0, T, -1, -1},
                       .n_runs = 1,
                       .q = fq,
                       .k = fk,
                       .v = v,
                       .o = o};
    for (int i = 0; i < T * D; i++) {
        q[i] = small * x[i];
        k[i] = w[i];
    }
    for (int t = 0; t < T; t++) {
        v[t * (V + 1) + V] = 1;
        lse[t] = -INFINITY;
        for (int c = 0; c < V; c++) {
            v[t * (V + 1) + c] = plain_v[t * V + c] = add[t * V + c];
            soft[t * V + c] = 0;
        }
    }
    hy_feature_fwd(device, &(hy_feature_args){.kind = HY_FEATURES_TAYLOR, .rows = T, .cols = D, .x = q, .y = fq});
    hy_feature_fwd(device, &(hy_feature_args){.kind = HY_FEATURES_TAYLOR, .rows = T, .cols = D, .x = k, .y = fk});
    r.work = malloc(hy_device_profile(device)->recur_work(&r));
    hy_recur_fwd(device, &r);
    free(r.work);
    hy_ratio_fwd(device, &(hy_ratio_args){.rows = T, .cols = V, .x = o, .y = based});
    const hy_attn_pair all = {.nq = T, .nk = T};
    hy_attn_args a = {.H = 1,
                      .HKV = 1,
                      .D = D,
                      .DV = V,
                      .scale = 1 / sqrt(D),
                      .pairs = &all,
                      .n_pairs = 1,
                      .nq = T,
                      .nk = T,
                      .lo = lo,
                      .q = q,
                      .k = k,
                      .v = plain_v,
                      .o = soft,
                      .lse = lse};
    a.work = malloc(hy_device_profile(device)->attn_work(&a) + 1);
    hy_attn_fwd(device, &a);
    free(a.work);
    for (int i = 0; i < T * V; i++)
        worst = fmax(worst, fabs(based[i] - soft[i]));
    return worst;
}

/* What is left out is of third order: half the scores, an eighth of the difference. */
static void test_based_expands_softmax(void **unused) {
    (void)unused;
    const double at = distance_to_softmax(1e-2), half = distance_to_softmax(5e-3);
    assert_true(at < 1e-5 && at > 0);
    assert_true(fabs(at / half - 8) < 0.3);
}

static void test_constant_vector_decay(void **unused) {
    (void)unused;
    enum { T = 7, H = 1, HV = 2, K = 3, V = 2 };
    double g[T * HV], wide[T * HV * K], beta[T * HV], o[2][T * HV * V];
    for (int i = 0; i < T * HV; i++) {
        g[i] = -fabs(w[i]);
        beta[i] = 1 / (1 + exp(w[WIDE - 1 - i]));
        for (int c = 0; c < K; c++)
            wide[i * K + c] = g[i];
    }
    for (int vector = 0; vector < 2; vector++) {
        hy_recur_args r = {.decay = vector ? HY_DECAY_VECTOR : HY_DECAY_SCALAR,
                           .rule = HY_RULE_DELTA,
                           .T = T,
                           .H = H,
                           .HV = HV,
                           .K = K,
                           .V = V,
                           .scale = 0.7,
                           .runs = &(hy_run){0, T, -1, -1},
                           .n_runs = 1,
                           .q = x,
                           .k = x + 40,
                           .v = add,
                           .g = vector ? wide : g,
                           .beta = beta,
                           .o = o[vector]};
        r.work = malloc(hy_device_profile(device)->recur_work(&r));
        hy_recur_fwd(device, &r);
        free(r.work);
    }
    assert_close("kda against gated deltanet", o[0], o[1], T * HV * V, HY_TOL_F64_FORMULA);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_feature_gradients, setup),
        cmocka_unit_test_setup(test_ratio_gradients, setup),
        cmocka_unit_test_setup(test_scale_gradients, setup),
        cmocka_unit_test_setup(test_own_gradients, setup),
        cmocka_unit_test_setup(test_products, setup),
        cmocka_unit_test_setup(test_dpfp, setup),
        cmocka_unit_test_setup(test_hedgehog, setup),
        cmocka_unit_test_setup(test_based_expands_softmax, setup),
        cmocka_unit_test_setup(test_constant_vector_decay, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
