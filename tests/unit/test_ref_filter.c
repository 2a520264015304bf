/* Reference filters and long convolution in double: a filter of exponentials against the recurrence that it is the
 * impulse response of, inside packed documents; and central differences for every gradient. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/device.h"
#include "tests/oracle.h"

enum { C = 4, T = 23, L = 12, N = 3, GROUP = 3, FIRST = 1, FILTERS = 2, G = 2, W = 9 };

static const int64_t docs[] = {0, 1, 1, 11, 23};

typedef struct problem {
    hy_device *device;
    hy_modal_filter_args filter;
    hy_long_conv_args conv;
    double R[FILTERS * N], p[FILTERS * N], h[C * L], x[C * T], y[C * T], dy[C * T];
    double dR[FILTERS * N], dp[FILTERS * N], dh[C * L], dx[C * T];
} problem;

static void problem_init(problem *p) {
    memset(p, 0, sizeof *p);
    assert_int_equal(hy_device_create("cpu_ref", HY_F64, &p->device), HY_OK);
    p->filter = (hy_modal_filter_args){.C = C,
                                       .L = L,
                                       .N = N,
                                       .first = FIRST,
                                       .group = GROUP,
                                       .R = p->R,
                                       .p = p->p,
                                       .h = p->h,
                                       .dh = p->dh,
                                       .dR = p->dR,
                                       .dp = p->dp};
    p->conv = (hy_long_conv_args){.C = C,
                                  .T = T,
                                  .L = L,
                                  .docs = docs,
                                  .n_docs = 4,
                                  .x = p->x,
                                  .h = p->h,
                                  .y = p->y,
                                  .dy = p->dy,
                                  .dx = p->dx,
                                  .dh = p->dh};
    normal_fill(p->R, FILTERS * N);
    normal_fill(p->p, FILTERS * N);
    normal_fill(p->x, C * T);
    normal_fill(p->dy, C * T);
}

static double loss(const void *context) {
    problem *p = (problem *)context;
    hy_modal_filter_fwd(p->device, &p->filter);
    hy_long_conv_fwd(p->device, &p->conv);
    return dot(p->y, p->dy, C * T);
}

/* s_n = λ_n s_n + x;  y = Σ_n R_n s_n, from nothing in every document. */
static void by_recurrence(const problem *p, int64_t c, double *y) {
    const double *R = &p->R[(FIRST + c) / GROUP * N], *rate = &p->p[(FIRST + c) / GROUP * N];
    for (int d = 0; d < 4; d++) {
        double s[N] = {0};
        for (int64_t t = docs[d]; t < docs[d + 1]; t++) {
            y[t] = 0;
            for (int n = 0; n < N; n++) {
                s[n] = s[n] / (1 + exp(rate[n])) + p->x[c * T + t]; /* exp(−softplus(p)) = 1/(1 + e^p) */
                y[t] += R[n] * s[n];
            }
        }
    }
}

static void test_recurrence(void **unused) {
    (void)unused;
    problem p;
    double want[C * T];
    problem_init(&p);
    for (int64_t c = 0; c < C; c++)
        by_recurrence(&p, c, &want[c * T]);
    (void)loss(&p);
    assert_close("y", want, p.y, C * T, HY_TOL_F64_FORMULA);
    hy_device_destroy(p.device);
}

static void test_gradients(void **unused) {
    (void)unused;
    problem p;
    problem_init(&p);
    (void)loss(&p);
    hy_long_conv_bwd(p.device, &p.conv);
    hy_modal_filter_bwd(p.device, &p.filter);
    assert_gradient("dx", loss, &p, p.x, C * T, p.dx);
    assert_gradient("dR", loss, &p, p.R, FILTERS * N, p.dR);
    assert_gradient("dp", loss, &p, p.p, FILTERS * N, p.dp);
    hy_device_destroy(p.device);
}

typedef struct window {
    hy_device *device;
    hy_window_filter_args args;
    double h[G * W], log_alpha[G], w[C * W], dw[C * W], dh[G * W], dlog_alpha[G];
} window;

static double window_loss(const void *context) {
    window *w = (window *)context;
    hy_window_filter_fwd(w->device, &w->args);
    return dot(w->w, w->dw, C * W);
}

static void window_init(window *w, int learned) {
    memset(w, 0, sizeof *w);
    assert_int_equal(hy_device_create("cpu_ref", HY_F64, &w->device), HY_OK);
    w->args = (hy_window_filter_args){
        .C = C, .G = G, .W = W, .low = 0.5, .high = 2, .h = w->h, .w = w->w, .dw = w->dw, .dh = w->dh};
    if (learned) {
        w->args.log_alpha = w->log_alpha;
        w->args.dlog_alpha = w->dlog_alpha;
    }
    normal_fill(w->h, G * W);
    normal_fill(w->log_alpha, G);
    normal_fill(w->dw, C * W);
}

static void test_window(void **unused) {
    (void)unused;
    window w;
    for (int learned = 0; learned < 2; learned++) {
        window_init(&w, learned);
        hy_window_filter_bwd(w.device, &w.args);
        assert_gradient("dh", window_loss, &w, w.h, G * W, w.dh);
        if (learned)
            assert_gradient("dlog_alpha", window_loss, &w, w.log_alpha, G, w.dlog_alpha);
        hy_device_destroy(w.device);
    }
}

/* The last tap is not damped, the first by e^−α; two filters have the two ends of the fixed range. */
static void test_window_values(void **unused) {
    (void)unused;
    window w;
    window_init(&w, 0);
    (void)window_loss(&w);
    for (int64_t c = 0; c < C; c++) {
        const int64_t g = c / (C / G);
        const double first = w.h[g * W] * exp(g == 0 ? -0.5 : -2.0);
        assert_close("first tap", &first, &w.w[c * W], 1, HY_TOL_F64_REORDERED);
        assert_close("last tap", &w.h[g * W + W - 1], &w.w[c * W + W - 1], 1, HY_TOL_EXACT);
    }
    hy_device_destroy(w.device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recurrence),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_window_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
