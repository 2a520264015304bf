/* Lower bounds, the gates above them and interpolation: values by their formulas, gradients against central differences. Every
 * backward runs twice, the second time on top of the first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/device.h"
#include "tests/oracle.h"

enum { T = 9, C = 7, N = T * C, LAYERS = 5 };

static hy_device *device;
static double x[N], z[N], m[N], w[LAYERS * C], y[N], k[N], dy[N], dk[N], dx[N], dz[N], dm[N], dw[LAYERS * C];

static int setup(void **unused) {
    (void)unused;
    memset(dx, 0, sizeof dx);
    memset(dz, 0, sizeof dz);
    memset(dm, 0, sizeof dm);
    memset(dw, 0, sizeof dw);
    normal_fill(x, N);
    normal_fill(z, N);
    normal_fill(m, N);
    normal_fill(w, LAYERS * C);
    normal_fill(dy, N);
    normal_fill(dk, N);
    hy_device_destroy(device);
    return hy_device_create("cpu_ref", HY_F64, &device) == HY_OK ? 0 : -1;
}

static void halve(double *d, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        d[i] /= 2;
}

/* With parameters of zeros, as they start, layer l has the bound l/L. */
static void test_bound_values(void **state) {
    (void)state;
    memset(w, 0, sizeof w);
    for (int64_t layer = 0; layer < LAYERS; layer++) {
        hy_bound_fwd(device, &(hy_bound_args){.layers = LAYERS, .layer = layer, .C = C, .w = w, .y = y});
        for (int64_t c = 0; c < C; c++)
            assert_true(fabs(y[c] - (double)layer / LAYERS) < 1e-15);
    }
}

static double loss_bound(const void *context) {
    hy_bound_fwd(device, context);
    return dot(y, dy, C);
}

static void test_bound_gradient(void **state) {
    for (int64_t layer = 0; layer < LAYERS; layer++) {
        setup(state);
        hy_bound_args a = {.layers = LAYERS, .layer = layer, .C = C, .w = w, .y = y, .dy = dy, .dw = dw};
        hy_bound_bwd(device, &a);
        hy_bound_bwd(device, &a);
        halve(dw, LAYERS * C);
        assert_gradient("dw", loss_bound, &a, w, LAYERS * C, dw);
    }
}

/* e^g = bound + (1 − bound)σ(x) and k = 1 − e^g, in both tails too, where they come from the side that keeps its digits. */
static void test_bound_gate_values(void **state) {
    (void)state;
    const double inputs[C] = {-700, -40, -3, 0, 3, 40, 700}, bounds[] = {0, 1e-300, 0.25, 1 - 1e-9, 1};
    for (size_t b = 0; b < sizeof bounds / sizeof bounds[0]; b++) {
        double bound[C];
        for (int c = 0; c < C; c++)
            bound[c] = bounds[b];
        hy_bound_gate_fwd(device, &(hy_bound_gate_args){.T = 1, .C = C, .x = inputs, .bound = bound, .g = y, .k = k});
        for (int c = 0; c < C; c++) {
            const double s = 1 / (1 + exp(-inputs[c])), n = 1 / (1 + exp(inputs[c]));
            assert_true(isfinite(y[c]) && y[c] <= 0);
            assert_true(fabs(exp(y[c]) - (bounds[b] + (1 - bounds[b]) * s)) < 1e-15);
            assert_true(fabs(k[c] - (1 - bounds[b]) * n) <= 1e-15 * n);
        }
    }
    hy_bound_gate_fwd(device, &(hy_bound_gate_args){.T = 1, .C = C, .x = inputs, .g = y, .k = k});
    assert_true(y[0] == -700 && fabs(y[6] + exp(-700)) < 1e-315);
}

static double loss_bound_gate(const void *context) {
    hy_bound_gate_fwd(device, context);
    return dot(y, dy, N) + dot(k, dk, N);
}

static void test_bound_gate_gradient(void **state) {
    for (int bounded = 0; bounded < 2; bounded++) {
        setup(state);
        for (int c = 0; c < C; c++)
            m[c] = 1 / (1 + exp(m[c]));
        hy_bound_gate_args a = {.T = T,
                                .C = C,
                                .x = x,
                                .bound = bounded ? m : NULL,
                                .g = y,
                                .k = k,
                                .dg = dy,
                                .dk = dk,
                                .dx = dx,
                                .dbound = bounded ? dm : NULL};
        hy_bound_gate_bwd(device, &a);
        a.acc = 1;
        hy_bound_gate_bwd(device, &a);
        halve(dx, N);
        halve(dm, C);
        assert_gradient("dx", loss_bound_gate, &a, x, N, dx);
        if (bounded)
            assert_gradient("dbound", loss_bound_gate, &a, m, C, dm);
    }
}

/* Σ over two mixtures of one pair of arrays: the second one's output and weights lie in k and w. */
static double loss_lerp(const void *context) {
    hy_lerp_fwd(device, context);
    return dot(y, dy, N) + dot(k, dk, N);
}

static void test_lerp(void **state) {
    for (int mode = 0; mode < 4; mode++) {
        setup(state);
        const bool sigmoid = mode & 1, by_element = mode & 2;
        double *w0 = w, *w1 = w + C, *dw0 = dw, *dw1 = dw + C;
        hy_lerp_args a = {.act = sigmoid ? HY_ACT_SIGMOID : HY_ACT_IDENTITY,
                          .rows = T,
                          .cols = C,
                          .parts = 2,
                          .x = x,
                          .z = z,
                          .m = {by_element ? m : NULL},
                          .w = {w0, w1},
                          .y = {y, k},
                          .dy = {dy, dk},
                          .dx = dx,
                          .dz = dz,
                          .dm = {by_element ? dm : NULL},
                          .dw = {dw0, dw1}};
        hy_lerp_fwd(device, &a);
        for (int i = 0; i < N; i++) {
            const double sum = w0[i % C] + (by_element ? m[i] : 0), s = sigmoid ? 1 / (1 + exp(-sum)) : sum;
            const double s1 = sigmoid ? 1 / (1 + exp(-w1[i % C])) : w1[i % C];
            assert_true(fabs(y[i] - (x[i] + (z[i] - x[i]) * s)) < 1e-14);
            assert_true(fabs(k[i] - (x[i] + (z[i] - x[i]) * s1)) < 1e-14);
        }
        hy_lerp_bwd(device, &a);
        a.acc_x = a.acc_z = 1;
        hy_lerp_bwd(device, &a);
        halve(dx, N);
        halve(dz, N);
        halve(dw, 2 * C);
        assert_gradient("dx", loss_lerp, &a, x, N, dx);
        assert_gradient("dz", loss_lerp, &a, z, N, dz);
        assert_gradient("dw", loss_lerp, &a, w, 2 * C, dw);
        if (by_element)
            assert_gradient("dm", loss_lerp, &a, m, N, dm);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_bound_values, setup),
        cmocka_unit_test_setup(test_bound_gradient, setup),
        cmocka_unit_test_setup(test_bound_gate_values, setup),
        cmocka_unit_test_setup(test_bound_gate_gradient, setup),
        cmocka_unit_test_setup(test_lerp, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
