/* Values of the reference operations in double against their definitions, known numbers, and invariants. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/device.h"
#include "tests/oracle.h"

enum { ROWS = 6, COLS = 5, N = ROWS * COLS };

static hy_device *device;
static double x[N], w[N], b[N], y[N], want[N];

static int setup(void **unused) {
    (void)unused;
    normal_fill(x, N);
    normal_fill(w, N);
    normal_fill(b, N);
    hy_device_destroy(device);
    return hy_device_create("cpu_ref", HY_F64, &device) == HY_OK ? 0 : -1;
}

static void test_gemm(void **unused) {
    (void)unused;
    enum { M = 4, P = 3, K = 5 };
    for (int mode = 0; mode < 4; mode++) {
        const int ta = mode & 1, tb = mode >> 1;
        const hy_gemm_args a = {.trans_a = ta,
                                .trans_b = tb,
                                .m = M,
                                .n = P,
                                .k = K,
                                .alpha = 0.5,
                                .a = x,
                                .lda = ta ? M : K,
                                .b = w,
                                .ldb = tb ? K : P,
                                .beta = -2,
                                .c = y,
                                .ldc = P};
        for (int64_t i = 0; i < M * P; i++) {
            const int64_t r = i / P, c = i % P;
            y[i] = b[i];
            want[i] = -2 * b[i];
            for (int64_t l = 0; l < K; l++)
                want[i] += 0.5 * x[ta ? l * M + r : r * K + l] * w[tb ? c * K + l : l * P + c];
        }
        hy_gemm(device, &a);
        assert_close("c", want, y, M * P, HY_TOL_F64_FORMULA);
    }
}

/* Two heads per token share rows of w[2,COLS]. */
static void test_norms(void **unused) {
    (void)unused;
    double rms[N], layer[N], l2[N], sum[N];
    for (int64_t r = 0; r < ROWS; r++) {
        const double *row = x + r * COLS, *wr = w + r % 2 * COLS, *br = b + r % 2 * COLS;
        const double square = dot(row, row, COLS), ones[COLS] = {1, 1, 1, 1, 1}, total = dot(row, ones, COLS);
        const double mean = total / COLS, variance = square / COLS - mean * mean;
        for (int64_t c = 0; c < COLS; c++) {
            rms[r * COLS + c] = row[c] * pow(square / COLS + 0.01, -0.5) * (1 + wr[c]);
            layer[r * COLS + c] = (row[c] - mean) * pow(variance + 0.01, -0.5) * wr[c] + br[c];
            l2[r * COLS + c] = row[c] * pow(square + 0.01, -0.5);
            sum[r * COLS + c] = row[c] / (total + 0.01);
        }
    }
    hy_rmsnorm_fwd(
        device, &(hy_rmsnorm_args){
                    .rows = ROWS, .cols = COLS, .w_rows = 2, .eps = 0.01, .zero_centred = 1, .x = x, .w = w, .y = y});
    assert_close("rmsnorm", rms, y, N, HY_TOL_F64_FORMULA);
    for (int64_t i = 0; i < N; i++) {
        rms[i] *= b[i] / (1 + exp(-b[i]));
    }
    hy_rmsnorm_fwd(device, &(hy_rmsnorm_args){.rows = ROWS,
                                              .cols = COLS,
                                              .w_rows = 2,
                                              .eps = 0.01,
                                              .zero_centred = 1,
                                              .x = x,
                                              .w = w,
                                              .gate = b,
                                              .act = HY_ACT_SILU,
                                              .y = y});
    assert_close("gated rmsnorm", rms, y, N, HY_TOL_F64_FORMULA);
    hy_layernorm_fwd(device, &(hy_layernorm_args){
                                 .rows = ROWS, .cols = COLS, .w_rows = 2, .eps = 0.01, .x = x, .w = w, .b = b, .y = y});
    assert_close("layernorm", layer, y, N, HY_TOL_F64_FORMULA);
    const hy_l2norm_args a = {.rows = ROWS, .cols = COLS, .eps = 0.01, .x = x, .y = y};
    hy_l2norm_fwd(device, &a);
    assert_close("l2norm", l2, y, N, HY_TOL_F64_FORMULA);
    hy_sumnorm_fwd(device, &a);
    assert_close("sumnorm", sum, y, N, HY_TOL_F64_FORMULA);
}

static double act(hy_act kind, double at, double floor) {
    double out = NAN;
    hy_unary_fwd(device, &(hy_unary_args){.act = kind, .n = 1, .scale = 1, .floor = floor, .x = &at, .y = &out});
    return out;
}

static void test_activations(void **unused) {
    (void)unused;
    for (double at = -3; at <= 3; at += 0.75) {
        const double values[][2] = {
            {act(HY_ACT_IDENTITY, at, -INFINITY), at},
            {act(HY_ACT_SIGMOID, at, -INFINITY), 1 / (1 + exp(-at))},
            {act(HY_ACT_SILU, at, -INFINITY), at / (1 + exp(-at))},
            {act(HY_ACT_RELU, at, -INFINITY), (at + fabs(at)) / 2},
            {act(HY_ACT_RELU2, at, -INFINITY), (at + fabs(at)) * (at + fabs(at)) / 4},
            {act(HY_ACT_ELU1, at, -INFINITY), at > 0 ? at + 1 : exp(at)},
            {act(HY_ACT_TANH, at, -INFINITY), 1 - 2 / (exp(2 * at) + 1)},
            {act(HY_ACT_SOFTPLUS, at, -INFINITY), log(1 + exp(at))},
            {act(HY_ACT_LOGSIGMOID, at, -INFINITY), -log(1 + exp(-at))},
            {act(HY_ACT_EXP, at, -INFINITY), exp(at)},
            {act(HY_ACT_NEG_EXP, at, -INFINITY), -exp(at)},
            {act(HY_ACT_SQUARE, at, -INFINITY), at * at},
        };
        for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
            assert_close("act", &values[i][1], &values[i][0], 1, HY_TOL_F64_FORMULA);
        assert_true(act(HY_ACT_IDENTITY, at, 0.5) == fmax(at, 0.5));
    }
}

/* Far out, where the textbook formulas give inf or NaN. */
static void test_activations_far_out(void **unused) {
    (void)unused;
    assert_true(act(HY_ACT_SOFTPLUS, 1e4, -INFINITY) == 1e4);
    assert_true(act(HY_ACT_LOGSIGMOID, -1e4, -INFINITY) == -1e4);
    assert_true(act(HY_ACT_SIGMOID, -1e4, -INFINITY) == 0);
    assert_true(act(HY_ACT_SILU, -1e4, -INFINITY) == 0);
    assert_true(act(HY_ACT_LOGSIGMOID, 50, -INFINITY) < 0);
    double at = -1e4, dy = 1, dx = NAN;
    for (int kind = HY_ACT_IDENTITY; kind <= HY_ACT_LOGSIGMOID; kind++) {
        hy_unary_bwd(device,
                     &(hy_unary_args){
                         .act = (hy_act)kind, .n = 1, .scale = 1, .floor = -INFINITY, .x = &at, .dy = &dy, .dx = &dx});
        assert_true(isfinite(dx) != 0);
    }
}

static void test_decay_gate(void **unused) {
    (void)unused;
    for (int safe = 0; safe < 2; safe++) {
        for (int64_t i = 0; i < N; i++) { /* T = 3, H = 2, K = COLS */
            const double speed = exp(w[i / COLS % 2]), u = x[i] + b[i % (2 * COLS)];
            want[i] = safe ? -5 / (1 + exp(-speed * u)) : -speed * log(1 + exp(u));
        }
        hy_decay_gate_fwd(
            device,
            &(hy_decay_gate_args){
                .T = 3, .H = 2, .K = COLS, .lower_bound = safe ? -5 : 0, .x = x, .A_log = w, .dt_bias = b, .g = y});
        assert_close("g", want, y, N, HY_TOL_F64_FORMULA);
    }
}

/* A turn by pos·base^(−2i/rot) keeps products of equally distant positions, and turns back. */
static void test_rope(void **unused) {
    (void)unused;
    enum { D = 6, ROT = 4 };
    const double in[2 * D] = {1, 0.5, 0, -1, 2, 3, 1, 0.5, 0, -1, 2, 3};
    const int64_t near[2] = {3, 1}, far[2] = {1000003, 1000001};
    double out[2 * D], again[2 * D];
    hy_rope_args a = {.T = 2, .H = 1, .D = D, .rot = ROT, .base = 100, .pos = near, .x = in, .y = out};
    hy_rope(device, &a);
    const double first[D] = {cos(3), 0.5 * cos(0.3) + sin(0.3), sin(3), 0.5 * sin(0.3) - cos(0.3), 2, 3};
    assert_close("rope", first, out, D, HY_TOL_F64_FORMULA);
    const double product = dot(out, out + D, D);
    a.pos = far;
    hy_rope(device, &a);
    const double far_product = dot(out, out + D, D);
    assert_close("product", &product, &far_product, 1, HY_TOL_F64_DIFFERENCES);
    a.x = out;
    a.y = again;
    a.inverse = 1;
    hy_rope(device, &a);
    assert_close("back", in, again, 2 * D, HY_TOL_F64_FORMULA);
}

/* Equal logits cost log(vocab) whatever their size; rows not counted cost nothing. */
static void test_cross_entropy(void **unused) {
    (void)unused;
    const int32_t labels[ROWS] = {0, -100, 2, 3, -100, 4};
    double loss = 0.5, rows[ROWS];
    for (int64_t i = 0; i < N; i++)
        y[i] = 1000;
    hy_cross_entropy(device, &(hy_cross_entropy_args){.rows = ROWS,
                                                      .vocab = COLS,
                                                      .labels = labels,
                                                      .logits = y,
                                                      .dlogits = y,
                                                      .grad = 1,
                                                      .d_scale = (const double[]){2},
                                                      .loss = &loss,
                                                      .row_loss = rows});
    const double expected = 0.5 + 4 * log(5);
    assert_close("loss", &expected, &loss, 1, HY_TOL_F64_FORMULA);
    for (int64_t r = 0; r < ROWS; r++) {
        const double row = labels[r] < 0 ? 0 : log(5);
        assert_close("row_loss", &row, &rows[r], 1, HY_TOL_F64_FORMULA);
        for (int64_t c = 0; c < COLS; c++)
            want[r * COLS + c] = labels[r] < 0 ? 0 : 2 * (0.2 - (labels[r] == c ? 1 : 0));
    }
    assert_close("dlogits", want, y, N, HY_TOL_F64_FORMULA);
}

/* The label is right if it is the largest logit, of equal ones the first; never where it is not counted or not a
 * number. */
static void test_correct_rows(void **unused) {
    (void)unused;
    static const struct {
        double logits[3];
        int32_t label;
        uint8_t right;
    } cases[] = {{{1, 2, 3}, 2, 1},    {{1, 2, 3}, 1, 0}, {{-5, -5, -6}, 0, 1},
                 {{-5, -5, -6}, 1, 0}, {{4, 0, 4}, 2, 0}, {{1, 2, 3}, -100, 0}};
    enum { CASES = sizeof cases / sizeof cases[0] };
    double logits[CASES][3], loss = 0;
    int32_t labels[CASES];
    uint8_t correct[CASES];
    for (int i = 0; i < CASES; i++) {
        memcpy(logits[i], cases[i].logits, sizeof logits[i]);
        labels[i] = cases[i].label;
    }
    hy_cross_entropy(device, &(hy_cross_entropy_args){.rows = CASES,
                                                      .vocab = 3,
                                                      .labels = labels,
                                                      .logits = logits,
                                                      .dlogits = logits,
                                                      .grad = 1,
                                                      .d_scale = (const double[]){1},
                                                      .loss = &loss,
                                                      .row_correct = correct});
    for (int i = 0; i < CASES; i++) {
        assert_int_equal(correct[i], cases[i].right);
    }
}

/* Two steps by hand: with a constant gradient both moments' corrections cancel, so each step moves by lr exactly
 * (and shrinks by the decoupled decay). The element between the segments stays. */
static void test_adamw(void **unused) {
    (void)unused;
    double weight[3] = {2, 7, 2}, m[3] = {0}, v[3] = {0}, copy[3] = {-1, -1, -1};
    const double g[3] = {-6, -6, -6};
    const hy_adamw_segment segments[] = {{2, 1, 0}, {0, 1, 1}};
    hy_adamw_args a = {.segments = segments,
                       .n_segments = 2,
                       .step = 1,
                       .lr = 0.1,
                       .b1 = 0.9,
                       .b2 = 0.95,
                       .eps = 0,
                       .decay = 0.5,
                       .g_scale = 0.5,
                       .g = g,
                       .w = weight,
                       .m = m,
                       .v = v,
                       .copy = copy};
    hy_adamw(device, &a);
    const double w1 = 2 + 0.1 - 0.1 * 0.5 * 2, m1 = 0.1 * -3, v1 = 0.05 * 9;
    assert_close("w", (double[]){w1, 7, 2 + 0.1}, weight, 3, HY_TOL_F64_FORMULA);
    assert_close("m", (double[]){m1, 0, m1}, m, 3, HY_TOL_F64_FORMULA);
    assert_close("v", (double[]){v1, 0, v1}, v, 3, HY_TOL_F64_FORMULA);
    assert_close("copy", (double[]){weight[0], -1, weight[2]}, copy, 3, HY_TOL_F64_FORMULA);
    a.step = 2;
    hy_adamw(device, &a);
    const double w2 = w1 + 0.1 - 0.1 * 0.5 * w1;
    assert_close("w", (double[]){w2, 7, 2 + 0.2}, weight, 3, HY_TOL_F64_FORMULA);
}

static void test_sumsq(void **unused) {
    (void)unused;
    double sum = 1;
    x[3] = 1e200;
    hy_sumsq(device, &(hy_sumsq_args){.n = 3, .x = x, .sum = &sum});
    const double expected = 1 + dot(x, x, 3);
    assert_close("sum", &expected, &sum, 1, HY_TOL_F64_FORMULA);
    hy_sumsq(device, &(hy_sumsq_args){.n = N, .x = x, .sum = &sum});
    assert_true(!isfinite(sum));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_gemm, setup),          cmocka_unit_test_setup(test_norms, setup),
        cmocka_unit_test_setup(test_activations, setup),   cmocka_unit_test_setup(test_activations_far_out, setup),
        cmocka_unit_test_setup(test_decay_gate, setup),    cmocka_unit_test_setup(test_rope, setup),
        cmocka_unit_test_setup(test_cross_entropy, setup), cmocka_unit_test_setup(test_correct_rows, setup),
        cmocka_unit_test_setup(test_adamw, setup),         cmocka_unit_test_setup(test_sumsq, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
