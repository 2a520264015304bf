/* Gradients of the row-wise and elementwise reference operations against central differences in double. The loss is
 * <y, dy> with a random dy. Every backward runs twice: once into fresh memory, once with acc = 1 on top of itself,
 * which must give the double. Parameter gradients accumulate in both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "kernels/device.h"
#include "tests/oracle.h"

enum { ROWS = 12, COLS = 7, N = ROWS * COLS, W_ROWS = 3, ACTS = HY_ACT_SQUARE + 1 };

static hy_device *device;
static double x[N], z[N], w[N], b[N], y[N], dy[N], dx[N], dz[N], dw[N], db[N];

static int setup(void **unused) {
    (void)unused;
    memset(dx, 0, sizeof dx);
    memset(dz, 0, sizeof dz);
    memset(dw, 0, sizeof dw);
    memset(db, 0, sizeof db);
    normal_fill(x, N);
    normal_fill(z, N);
    normal_fill(w, N);
    normal_fill(b, N);
    normal_fill(dy, N);
    hy_device_destroy(device);
    return hy_device_create("cpu_ref", HY_F64, &device) == HY_OK ? 0 : -1;
}

/* The gradient was computed twice and added up. */
static void halve(double *d, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        d[i] /= 2;
}

/* loss_<op>(args): runs <op>_fwd and contracts with dy. */
#define LOSS(op, args)                                                                                                 \
    static double loss_##op(const void *context) {                                                                     \
        hy_##op##_fwd(device, (const args##_args *)context);                                                           \
        return dot(y, dy, N);                                                                                          \
    }
LOSS(rmsnorm, hy_rmsnorm)
LOSS(layernorm, hy_layernorm)
LOSS(l2norm, hy_l2norm)
LOSS(sumnorm, hy_l2norm)
LOSS(unary, hy_unary)
LOSS(glu, hy_glu)
LOSS(decay_gate, hy_decay_gate)
LOSS(embed, hy_embed)
LOSS(bonus, hy_bonus)

static void test_rmsnorm(void **state) {
    for (int mode = 0; mode < 16; mode++) {
        setup(state);
        const int64_t w_rows = mode & 1 ? W_ROWS : 1;
        const int gated = mode >> 3, weighted = !(mode >> 2 & 1);
        hy_rmsnorm_args a = {.rows = ROWS,
                             .cols = COLS,
                             .w_rows = w_rows,
                             .eps = 0.1,
                             .zero_centred = mode >> 1 & 1,
                             .x = x,
                             .w = weighted ? w : NULL,
                             .gate = gated ? z : NULL,
                             .act = mode & 1 ? HY_ACT_SILU : HY_ACT_SIGMOID,
                             .y = y,
                             .dy = dy,
                             .dx = dx,
                             .dgate = gated ? dz : NULL,
                             .dw = weighted ? dw : NULL};
        hy_rmsnorm_bwd(device, &a);
        a.acc = a.acc_gate = 1;
        hy_rmsnorm_bwd(device, &a);
        halve(dx, N);
        halve(dz, N);
        halve(dw, N);
        assert_gradient("dx", loss_rmsnorm, &a, x, N, dx);
        assert_gradient("dw", loss_rmsnorm, &a, w, w_rows * COLS, dw);
        if (gated) {
            assert_gradient("dgate", loss_rmsnorm, &a, z, N, dz);
        }
        const double before = dw[0];
        a.dx = a.dgate = NULL;
        hy_rmsnorm_bwd(device, &a);
        assert_true(!weighted || dw[0] != before);
    }
}

static void test_layernorm(void **state) {
    for (int mode = 0; mode < 4; mode++) {
        setup(state);
        const int64_t w_rows = mode & 1 ? W_ROWS : 1;
        const int has_w = mode < 2;
        hy_layernorm_args a = {.rows = ROWS,
                               .cols = COLS,
                               .w_rows = w_rows,
                               .eps = 0.1,
                               .x = x,
                               .w = has_w ? w : NULL,
                               .b = has_w ? b : NULL,
                               .y = y,
                               .dy = dy,
                               .dx = dx,
                               .dw = has_w ? dw : NULL,
                               .db = has_w ? db : NULL};
        hy_layernorm_bwd(device, &a);
        a.acc = 1;
        hy_layernorm_bwd(device, &a);
        halve(dx, N);
        halve(dw, N);
        halve(db, N);
        assert_gradient("dx", loss_layernorm, &a, x, N, dx);
        assert_gradient("dw", loss_layernorm, &a, w, w_rows * COLS, dw);
        assert_gradient("db", loss_layernorm, &a, b, w_rows * COLS, db);
    }
}

static void test_l2norm(void **unused) {
    (void)unused;
    hy_l2norm_args a = {.rows = ROWS, .cols = COLS, .eps = 0.1, .x = x, .y = y, .dy = dy, .dx = dx};
    hy_l2norm_bwd(device, &a);
    a.acc = 1;
    hy_l2norm_bwd(device, &a);
    halve(dx, N);
    assert_gradient("dx", loss_l2norm, &a, x, N, dx);
}

static void test_sumnorm(void **unused) {
    (void)unused;
    uniform_fill(x, N, 0.2, 2);
    hy_l2norm_args a = {.rows = ROWS, .cols = COLS, .eps = 0.1, .x = x, .y = y, .dy = dy, .dx = dx};
    hy_sumnorm_bwd(device, &a);
    a.acc = 1;
    hy_sumnorm_bwd(device, &a);
    halve(dx, N);
    assert_gradient("dx", loss_sumnorm, &a, x, N, dx);
}

/* No x so near 0 that a difference would straddle a kink. */
static void away_from_zero(void) {
    for (int64_t i = 0; i < N; i++)
        x[i] += x[i] < 0 ? -0.01 : 0.01;
}

static void test_unary(void **state) {
    for (int act = 0; act < ACTS; act++) {
        for (int floored = 0; floored < 2; floored++) {
            setup(state);
            away_from_zero();
            hy_unary_args a = {.act = (hy_act)act,
                               .n = N,
                               .scale = 1.3,
                               .floor = floored ? 0.123456 : -INFINITY,
                               .x = x,
                               .y = y,
                               .dy = dy,
                               .dx = dx};
            hy_unary_bwd(device, &a);
            a.acc = 1;
            hy_unary_bwd(device, &a);
            halve(dx, N);
            char name[32];
            snprintf(name, sizeof name, "dx of act %d", act);
            assert_gradient(name, loss_unary, &a, x, N, dx);
        }
    }
}

static void test_glu(void **state) {
    for (int act = 0; act < ACTS; act++) {
        for (int64_t group = 1; group <= COLS; group += COLS - 1) {
            setup(state);
            hy_glu_args a = {
                .act = (hy_act)act, .n = N, .group = group, .a = z, .z = x, .y = y, .dy = dy, .da = dz, .dz = dx};
            away_from_zero();
            hy_glu_bwd(device, &a);
            a.acc_a = a.acc_z = 1;
            hy_glu_bwd(device, &a);
            halve(dz, N);
            halve(dx, N);
            assert_gradient("da", loss_glu, &a, z, N, dz);
            assert_gradient("dz", loss_glu, &a, x, N / group, dx);
        }
    }
}

/* T = 6 tokens of 2 heads of COLS. */
static void test_decay_gate(void **state) {
    for (int mode = 0; mode < 4; mode++) {
        setup(state);
        const int has_bias = mode & 1;
        hy_decay_gate_args a = {.T = 6,
                                .H = 2,
                                .K = COLS,
                                .lower_bound = mode >> 1 ? -3 : 0,
                                .x = x,
                                .A_log = w,
                                .dt_bias = has_bias ? b : NULL,
                                .g = y,
                                .dg = dy,
                                .dx = dx,
                                .dA_log = dw,
                                .ddt_bias = has_bias ? db : NULL};
        hy_decay_gate_bwd(device, &a);
        a.acc = 1;
        hy_decay_gate_bwd(device, &a);
        halve(dx, N);
        halve(dw, N);
        halve(db, N);
        assert_gradient("dx", loss_decay_gate, &a, x, N, dx);
        assert_gradient("dA_log", loss_decay_gate, &a, w, 2, dw);
        assert_gradient("ddt_bias", loss_decay_gate, &a, b, 2 * COLS, db);
    }
}

static void test_bonus(void **unused) {
    (void)unused;
    hy_bonus_args a = {.T = 6, .H = 2, .K = COLS, .V = COLS, .r = x, .k = z, .u = w, .v = b, .o = y, .d_o = dy};
    a.dr = dx, a.dk = dz, a.dv = db, a.du = dw;
    hy_bonus_bwd(device, &a);
    a.acc_r = a.acc_k = a.acc_v = 1;
    hy_bonus_bwd(device, &a);
    halve(dx, N);
    halve(dz, N);
    halve(db, N);
    halve(dw, N);
    assert_gradient("dr", loss_bonus, &a, x, N, dx);
    assert_gradient("dk", loss_bonus, &a, z, N, dz);
    assert_gradient("du", loss_bonus, &a, w, 2 * COLS, dw);
    assert_gradient("dv", loss_bonus, &a, b, N, db);
}

static const int32_t tokens[ROWS] = {4, 0, 4, 4, 2, 1, 1, 0, 4, 2, 4, 4}; /* token 3 never */

static void test_embed(void **unused) {
    (void)unused;
    hy_embed_args a = {
        .T = ROWS, .D = COLS, .vocab = 5, .frozen = -1, .tokens = tokens, .w = w, .y = y, .dy = dy, .dw = dw};
    hy_embed_bwd(device, &a);
    hy_embed_bwd(device, &a);
    halve(dw, N);
    assert_gradient("dw", loss_embed, &a, w, 5 * COLS, dw);
    double before[5 * COLS];
    memcpy(before, dw, sizeof before);
    memset(dw, 0, sizeof before);
    a.frozen = 4;
    hy_embed_bwd(device, &a);
    for (int i = 0; i < 5 * COLS; i++)
        assert_true(fabs(dw[i] - (i / COLS == 4 ? 0.0 : before[i])) < 1e-12);
}

static double loss_bias(const void *context) {
    memcpy(y, x, sizeof y);
    hy_bias_fwd(device, (const hy_bias_args *)context);
    return dot(y, dy, N);
}

static void test_bias(void **unused) {
    (void)unused;
    const hy_bias_args a = {.rows = ROWS, .cols = COLS, .bias = b, .y = y, .dy = dy, .dbias = db};
    hy_bias_bwd(device, &a);
    hy_bias_bwd(device, &a);
    halve(db, COLS);
    assert_gradient("dbias", loss_bias, &a, b, COLS, db);
}

/* The backward pass of a rotation is the rotation back: its gradient is rope with `inverse` of dy. */
static double loss_rope(const void *context) {
    hy_rope(device, (const hy_rope_args *)context);
    return dot(y, dy, N);
}

static void test_rope(void **unused) {
    (void)unused;
    static const int64_t pos[6] = {0, 1, 2, 0, 1, 500};
    const hy_rope_args a = {.T = 6, .H = 2, .D = COLS, .first = 1, .rot = 4, .base = 100, .pos = pos, .x = x, .y = y};
    hy_rope_args back = a;
    back.inverse = 1;
    back.x = dy;
    back.y = dx;
    hy_rope(device, &back);
    assert_gradient("dx", loss_rope, &a, x, N, dx);
}

static double loss_cross_entropy(const void *context) {
    hy_cross_entropy_args a = *(const hy_cross_entropy_args *)context;
    double loss = 0;
    memcpy(y, x, sizeof y);
    a.logits = a.dlogits = y;
    a.grad = 0;
    a.loss = &loss;
    hy_cross_entropy(device, &a);
    return *a.d_scale * loss;
}

static void test_cross_entropy(void **unused) {
    (void)unused;
    static const int32_t labels[ROWS] = {0, 6, -100, 3, 3, 1, 2, -100, 5, 4, 0, 6};
    double loss = 10, want = 10;
    const double d_scale = 0.3;
    const hy_cross_entropy_args a = {.rows = ROWS,
                                     .vocab = COLS,
                                     .labels = labels,
                                     .logits = dx,
                                     .dlogits = dx,
                                     .grad = 1,
                                     .d_scale = &d_scale,
                                     .loss = &loss};
    memcpy(dx, x, sizeof dx);
    hy_cross_entropy(device, &a);
    want += loss_cross_entropy(&a) / d_scale;
    assert_close("loss", &want, &loss, 1, HY_TOL_F64_FORMULA);
    assert_gradient("dlogits", loss_cross_entropy, &a, x, N, dx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_rmsnorm, setup),       cmocka_unit_test_setup(test_layernorm, setup),
        cmocka_unit_test_setup(test_l2norm, setup),        cmocka_unit_test_setup(test_sumnorm, setup),
        cmocka_unit_test_setup(test_unary, setup),         cmocka_unit_test_setup(test_glu, setup),
        cmocka_unit_test_setup(test_decay_gate, setup),    cmocka_unit_test_setup(test_embed, setup),
        cmocka_unit_test_setup(test_bias, setup),          cmocka_unit_test_setup(test_rope, setup),
        cmocka_unit_test_setup(test_cross_entropy, setup), cmocka_unit_test_setup(test_bonus, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
