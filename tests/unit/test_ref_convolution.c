/* The reference convolution in double: against the definition written out, a run cut in two with the halo handed over,
 * and central differences for every gradient, the halo's too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/device.h"
#include "tests/oracle.h"

enum { T = 15, C = 3, W_MAX = 5, SLOTS = 3, HALO = (W_MAX - 1) * C };

typedef struct problem {
    hy_device *device;
    hy_conv_args args;
    double x[T * C], w[C * W_MAX], bias[C], halo[SLOTS * HALO], y[T * C], dy[T * C];
    double dx[T * C], dw[C * W_MAX], dbias[C], dhalo[SLOTS * HALO];
} problem;

/* A run shorter than the halo, an empty one, one without halo. */
static const hy_run packed[] = {{0, 2, 2, -1}, {2, 0, 1, -1}, {2, 1, -1, -1}, {3, 12, 0, -1}};

static void problem_init(problem *p, int64_t W, hy_act act) {
    memset(p, 0, sizeof *p);
    assert_int_equal(hy_device_create("cpu_ref", HY_F64, &p->device), HY_OK);
    p->args = (hy_conv_args){.T = T,
                             .C = C,
                             .W = W,
                             .act = act,
                             .runs = packed,
                             .n_runs = 4,
                             .x = p->x,
                             .w = p->w,
                             .bias = p->bias,
                             .halo = p->halo,
                             .y = p->y,
                             .dy = p->dy,
                             .dx = p->dx,
                             .dw = p->dw,
                             .dbias = p->dbias,
                             .dhalo = p->dhalo};
    normal_fill(p->x, T * C);
    normal_fill(p->w, C * W_MAX);
    normal_fill(p->bias, C);
    normal_fill(p->halo, SLOTS * HALO);
    normal_fill(p->dy, T * C);
}

static double by_definition(const problem *p, int64_t t, int64_t c) {
    const hy_run *run = packed;
    while (t >= run->begin + run->len)
        run++;
    double sum = p->bias[c];
    for (int64_t j = 0; j < p->args.W; j++) {
        const int64_t at = t - (p->args.W - 1) + j, before = run->begin - at; /* tokens before the run's first */
        double x = 0;
        if (before <= 0)
            x = p->x[at * C + c];
        else if (run->s0 >= 0)
            x = p->halo[(run->s0 * (p->args.W - 1) + p->args.W - 1 - before) * C + c];
        sum += p->w[c * p->args.W + j] * x;
    }
    return p->args.act == HY_ACT_SILU ? sum / (1 + exp(-sum)) : sum;
}

static double loss(const void *context) {
    problem *p = (problem *)context;
    hy_conv_fwd(p->device, &p->args);
    return dot(p->y, p->dy, T * C);
}

static void check(int64_t W, hy_act act) {
    problem p;
    double want[T * C];
    problem_init(&p, W, act);
    for (int64_t i = 0; i < T * C; i++)
        want[i] = by_definition(&p, i / C, i % C);
    hy_conv_fwd(p.device, &p.args);
    assert_close("y", want, p.y, T * C, HY_TOL_F64_FORMULA);
    hy_conv_bwd(p.device, &p.args);
    assert_gradient("dx", loss, &p, p.x, T * C, p.dx);
    assert_gradient("dw", loss, &p, p.w, C * W, p.dw);
    assert_gradient("dbias", loss, &p, p.bias, C, p.dbias);
    assert_gradient("dhalo", loss, &p, p.halo, SLOTS * (W - 1) * C, p.dhalo);
    hy_device_destroy(p.device);
}

static void test_definition_and_gradients(void **unused) {
    (void)unused;
    for (int64_t W = 1; W <= W_MAX; W++) {
        check(W, HY_ACT_IDENTITY);
        check(W, HY_ACT_SILU);
    }
}

/* The last W − 1 inputs of the first part are the halo of the second. */
static void test_cut(void **unused) {
    (void)unused;
    problem p;
    double y[T * C];
    const hy_run whole = {0, T, 1, -1}, first = {0, 9, 1, -1}, second = {9, T - 9, 0, -1};
    problem_init(&p, 4, HY_ACT_SILU);
    p.args.n_runs = 1;
    p.args.runs = &whole;
    hy_conv_fwd(p.device, &p.args);
    memcpy(y, p.y, sizeof y);
    memset(p.y, 0, sizeof p.y);
    p.args.runs = &first;
    hy_conv_fwd(p.device, &p.args);
    memcpy(p.halo, p.x + 6 * C, 3 * C * sizeof(double));
    p.args.runs = &second;
    hy_conv_fwd(p.device, &p.args);
    assert_memory_equal(y, p.y, sizeof y);
    hy_device_destroy(p.device);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_definition_and_gradients), cmocka_unit_test(test_cut)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
