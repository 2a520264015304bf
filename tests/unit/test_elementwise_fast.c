/* Fast elementwise operations of every instruction set that runs here against cpu_ref in double: the same random
 * numbers in both, every array compared afterwards, inputs too, with sentinels around each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "kernels/device.h"

#define GUARD      16
#define SENTINEL   -12345.0f
#define ARRAYS_MAX 12

typedef struct array {
    size_t field; /* offset of its pointer in the args struct */
    int64_t n;
    float *fast; /* GUARD sentinels before and behind */
    double *ref;
} array;

/* One operation called on both tables. */
typedef struct trial {
    const char *name;
    hy_device *fast, *ref;
    uint64_t seed;
    double amplitude;
    int n_arrays;
    array arrays[ARRAYS_MAX];
} trial;

static hy_device *fast_device, *ref_device;

static trial trial_of(const char *name, uint64_t seed) {
    return (trial){.name = name, .fast = fast_device, .ref = ref_device, .seed = seed, .amplitude = 1};
}

/* Array of n random numbers for the pointer at offset `field`. */
static void give(trial *t, size_t field, int64_t n) {
    array *x = &t->arrays[t->n_arrays];
    assert_true(t->n_arrays < ARRAYS_MAX);
    x->field = field;
    x->n = n;
    float *all = malloc((size_t)(n + 2 * GUARD) * sizeof *all);
    x->ref = malloc((size_t)(n + 1) * sizeof *x->ref);
    for (int64_t i = 0; i < n + 2 * GUARD; i++)
        all[i] = SENTINEL;
    x->fast = all + GUARD;
    for (int64_t i = 0; i < n; i++) {
        x->fast[i] = (float)(t->amplitude * hy_random_normal(t->seed, (uint64_t)t->n_arrays, (uint64_t)i));
        x->ref[i] = (double)x->fast[i];
    }
    t->n_arrays++;
}

/* Points the args' fields to the arrays of one side. */
static void point(const trial *t, void *args, int fast) {
    for (int i = 0; i < t->n_arrays; i++) {
        void *p = fast ? (void *)t->arrays[i].fast : (void *)t->arrays[i].ref;
        memcpy((char *)args + t->arrays[i].field, &p, sizeof p);
    }
}

static void compare(trial *t, double tolerance) {
    for (int x = 0; x < t->n_arrays; x++) {
        array *y = &t->arrays[x];
        double error = 0, norm = 1e-30;
        for (int64_t i = 0; i < y->n; i++) {
            assert_true(isfinite(y->fast[i]));
            error += ((double)y->fast[i] - y->ref[i]) * ((double)y->fast[i] - y->ref[i]);
            norm += y->ref[i] * y->ref[i];
        }
        if (sqrt(error / norm) > tolerance)
            fail_msg("%s, array %d of %d: relative error %.2e", t->name, x, t->n_arrays, sqrt(error / norm));
        for (int i = 0; i < GUARD; i++)
            assert_true(y->fast[-1 - i] == SENTINEL && y->fast[y->n + i] == SENTINEL);
        free(y->fast - GUARD);
        free(y->ref);
    }
    t->n_arrays = 0;
}

#define BOTH(op, t, args)                                                                                              \
    do {                                                                                                               \
        point(&(t), &(args), 0);                                                                                       \
        hy_##op((t).ref, &(args));                                                                                     \
        point(&(t), &(args), 1);                                                                                       \
        hy_##op((t).fast, &(args));                                                                                    \
    } while (0)
#define GIVE(t, type, field, n) give(&(t), offsetof(type, field), n)

#define FORWARD  2e-6
#define GRADIENT 2e-5

static const int64_t lengths[] = {0, 1, 3, 16, 37, 1000, 33001};

static void stream_length(int64_t n) {
    trial t = trial_of("add", 1);
    hy_add_args add = {.n = n};
    GIVE(t, hy_add_args, a, n), GIVE(t, hy_add_args, b, n), GIVE(t, hy_add_args, y, n);
    BOTH(add, t, add);
    compare(&t, FORWARD);
    t.name = "fill";
    hy_fill_args fill = {.n = n, .value = -2.5};
    GIVE(t, hy_fill_args, y, n);
    BOTH(fill, t, fill);
    compare(&t, 0);
    for (int acc = 0; acc < 2; acc++) {
        t.name = "axpy";
        hy_axpy_args axpy = {.n = n, .a = 1.75, .acc = acc};
        GIVE(t, hy_axpy_args, x, n), GIVE(t, hy_axpy_args, y, n);
        BOTH(axpy, t, axpy);
        compare(&t, FORWARD);
        t.name = "copy2d";
        hy_copy2d_args copy = {.rows = n % 7, .cols = n / 8, .src_ld = n / 8 + 3, .dst_ld = n / 8 + 1, .acc = acc};
        GIVE(t, hy_copy2d_args, src, copy.rows * copy.src_ld), GIVE(t, hy_copy2d_args, dst, copy.rows * copy.dst_ld);
        BOTH(copy2d, t, copy);
        compare(&t, FORWARD);
    }
    t.name = "adamw";
    t.amplitude = 0.1;
    const hy_adamw_segment whole = {0, n, 1};
    hy_adamw_args adamw = {.segments = &whole,
                           .n_segments = 1,
                           .step = 3,
                           .lr = 1e-2,
                           .b1 = 0.9,
                           .b2 = 0.95,
                           .eps = 1e-8,
                           .decay = 0.1,
                           .g_scale = 0.7};
    GIVE(t, hy_adamw_args, g, n), GIVE(t, hy_adamw_args, w, n), GIVE(t, hy_adamw_args, m, n),
        GIVE(t, hy_adamw_args, v, n);
    for (int64_t i = 0; i < n; i++)
        t.arrays[3].ref[i] = (double)(t.arrays[3].fast[i] = fabsf(t.arrays[3].fast[i]));
    BOTH(adamw, t, adamw);
    compare(&t, FORWARD);
    t.name = "sumsq";
    t.amplitude = 1e25; /* squares overflow a float */
    double fast = 1, ref = 1;
    hy_sumsq_args sumsq = {.n = n};
    GIVE(t, hy_sumsq_args, x, n);
    point(&t, &sumsq, 0);
    sumsq.sum = &ref;
    hy_sumsq(t.ref, &sumsq);
    point(&t, &sumsq, 1);
    sumsq.sum = &fast;
    hy_sumsq(t.fast, &sumsq);
    assert_true(fabs(fast - ref) <= 1e-12 * ref);
    compare(&t, 0);
}

static void check_stream(void) {
    for (size_t at = 0; at < sizeof lengths / sizeof *lengths; at++)
        stream_length(lengths[at]);
}

static void check_rows(void) {
    static const int64_t shapes[][2] = {{0, 5}, {1, 1}, {7, 33}, {50, 128}, {9, 4100}, {300, 200}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int64_t rows = shapes[i][0], cols = shapes[i][1], vocab = 11;
        trial t = trial_of("bias", i);
        hy_bias_args bias = {.rows = rows, .cols = cols};
        GIVE(t, hy_bias_args, bias, cols), GIVE(t, hy_bias_args, y, rows * cols);
        GIVE(t, hy_bias_args, dy, rows * cols), GIVE(t, hy_bias_args, dbias, cols);
        BOTH(bias_fwd, t, bias);
        BOTH(bias_bwd, t, bias);
        compare(&t, GRADIENT);
        t.name = "embed";
        int32_t *tokens = malloc((size_t)(rows + 1) * sizeof *tokens);
        for (int64_t r = 0; r < rows; r++)
            tokens[r] = (int32_t)(hy_random_u64(3, i, (uint64_t)r) % (uint64_t)vocab);
        hy_embed_args embed = {.T = rows, .D = cols, .vocab = vocab, .frozen = vocab / 2, .tokens = tokens};
        GIVE(t, hy_embed_args, w, vocab * cols), GIVE(t, hy_embed_args, y, rows * cols);
        GIVE(t, hy_embed_args, dy, rows * cols), GIVE(t, hy_embed_args, dw, vocab * cols);
        BOTH(embed_fwd, t, embed);
        BOTH(embed_bwd, t, embed);
        compare(&t, GRADIENT);
        free(tokens);
    }
}

static void check_norms(void) {
    static const int64_t shapes[][3] = {{0, 8, 1},     {5, 1, 1},      {6, 17, 3},   {64, 64, 4},
                                        {400, 128, 1}, {40, 1030, 20}, {10, 4110, 1}};
    for (size_t i = 0; i < 2 * sizeof shapes / sizeof *shapes; i++) {
        const int64_t *s = shapes[i / 2], n = s[0] * s[1], w = s[1] * s[2];
        const int flag = (int)(i % 2);
        trial t = trial_of("rmsnorm", i);
        hy_rmsnorm_args rms = {
            .rows = s[0], .cols = s[1], .w_rows = s[2], .eps = 1e-3, .zero_centred = flag, .acc = flag};
        GIVE(t, hy_rmsnorm_args, x, n), GIVE(t, hy_rmsnorm_args, w, w), GIVE(t, hy_rmsnorm_args, y, n);
        GIVE(t, hy_rmsnorm_args, dy, n), GIVE(t, hy_rmsnorm_args, dx, n), GIVE(t, hy_rmsnorm_args, dw, w);
        BOTH(rmsnorm_fwd, t, rms);
        BOTH(rmsnorm_bwd, t, rms);
        compare(&t, GRADIENT);
        t.name = "gated rmsnorm";
        rms.acc_gate = flag;
        for (int act = HY_ACT_IDENTITY; act <= HY_ACT_SQUARE; act++) {
            rms.act = (hy_act)act;
            GIVE(t, hy_rmsnorm_args, x, n), GIVE(t, hy_rmsnorm_args, w, w), GIVE(t, hy_rmsnorm_args, y, n);
            GIVE(t, hy_rmsnorm_args, dy, n), GIVE(t, hy_rmsnorm_args, dx, n), GIVE(t, hy_rmsnorm_args, dw, w);
            GIVE(t, hy_rmsnorm_args, gate, n), GIVE(t, hy_rmsnorm_args, dgate, n);
            BOTH(rmsnorm_fwd, t, rms);
            BOTH(rmsnorm_bwd, t, rms);
            compare(&t, GRADIENT);
        }
        t.name = "layernorm";
        hy_layernorm_args layer = {.rows = s[0], .cols = s[1], .w_rows = s[2], .eps = 1e-3, .acc = flag};
        GIVE(t, hy_layernorm_args, x, n), GIVE(t, hy_layernorm_args, y, n), GIVE(t, hy_layernorm_args, dy, n);
        GIVE(t, hy_layernorm_args, dx, n);
        if (flag) {
            GIVE(t, hy_layernorm_args, w, w), GIVE(t, hy_layernorm_args, b, w);
            GIVE(t, hy_layernorm_args, dw, w), GIVE(t, hy_layernorm_args, db, w);
        }
        BOTH(layernorm_fwd, t, layer);
        BOTH(layernorm_bwd, t, layer);
        compare(&t, 5e-5);
        t.name = "l2norm";
        hy_l2norm_args l2 = {.rows = s[0], .cols = s[1], .eps = 1e-3, .acc = flag};
        GIVE(t, hy_l2norm_args, x, n), GIVE(t, hy_l2norm_args, y, n), GIVE(t, hy_l2norm_args, dy, n);
        GIVE(t, hy_l2norm_args, dx, n);
        BOTH(l2norm_fwd, t, l2);
        BOTH(l2norm_bwd, t, l2);
        compare(&t, GRADIENT);
    }
}

static void check_activations(void) {
    for (int act = HY_ACT_IDENTITY; act <= HY_ACT_SQUARE; act++) {
        for (size_t at = 0; at < sizeof lengths / sizeof *lengths; at++) {
            const int64_t n = lengths[at];
            for (int flag = 0; flag < 2; flag++) {
                trial t = trial_of("unary", (uint64_t)act);
                t.amplitude = act == HY_ACT_NEG_EXP || act == HY_ACT_EXP ? 2 : at % 2 ? 3 : 30;
                hy_unary_args unary = {.act = (hy_act)act,
                                       .n = n,
                                       .scale = flag ? -0.5 : 2,
                                       .floor = flag ? -0.3 : -INFINITY,
                                       .acc = flag};
                GIVE(t, hy_unary_args, x, n), GIVE(t, hy_unary_args, y, n), GIVE(t, hy_unary_args, dy, n);
                GIVE(t, hy_unary_args, dx, n);
                BOTH(unary_fwd, t, unary);
                BOTH(unary_bwd, t, unary);
                compare(&t, FORWARD);
                t.name = "glu";
                const int64_t group = flag && n < 2000 ? 43 : 1;
                hy_glu_args glu = {.act = (hy_act)act, .n = n * group, .group = group, .acc_a = flag, .acc_z = flag};
                GIVE(t, hy_glu_args, a, n * group), GIVE(t, hy_glu_args, z, n), GIVE(t, hy_glu_args, y, n * group);
                GIVE(t, hy_glu_args, dy, n * group), GIVE(t, hy_glu_args, da, n * group), GIVE(t, hy_glu_args, dz, n);
                BOTH(glu_fwd, t, glu);
                BOTH(glu_bwd, t, glu);
                compare(&t, FORWARD);
            }
        }
    }
}

static void check_rope(void) {
    static const int64_t shapes[][4] = {
        {0, 1, 4, 4}, {1, 1, 2, 2}, {150, 3, 64, 64}, {70, 2, 80, 50}, {200, 1, 300, 256}};
    for (size_t i = 0; i < 4 * sizeof shapes / sizeof *shapes; i++) {
        const int64_t *s = shapes[i / 4], n = s[0] * s[1] * s[2];
        trial t = trial_of("rope", i);
        int64_t *pos = malloc((size_t)(s[0] + 1) * sizeof *pos);
        for (int64_t j = 0; j < s[0]; j++) /* far inside a document, then the next documents */
            pos[j] = j < 90 ? 5000000 + j : (j - 90) % 41;
        hy_rope_args rope = {.T = s[0],
                             .H = s[1],
                             .D = s[2],
                             .rot = s[3],
                             .base = i % 2 ? 10000 : 500000,
                             .inverse = i % 4 == 2,
                             .acc = i % 4 == 3,
                             .pos = pos};
        GIVE(t, hy_rope_args, x, n), GIVE(t, hy_rope_args, y, n);
        BOTH(rope, t, rope);
        compare(&t, FORWARD);
        free(pos);
    }
}

static void check_gates(void) {
    static const int64_t shapes[][3] = {{0, 2, 1}, {1, 1, 1}, {33, 19, 1}, {40, 3, 128}, {21, 2, 300}, {70, 5, 9}};
    for (size_t i = 0; i < 4 * sizeof shapes / sizeof *shapes; i++) {
        const int64_t *s = shapes[i / 4], C = s[1] * s[2], n = s[0] * C;
        trial t = trial_of("decay_gate", i);
        hy_decay_gate_args gate = {.T = s[0], .H = s[1], .K = s[2], .lower_bound = i % 2 ? -5 : 0, .acc = i % 4 == 3};
        GIVE(t, hy_decay_gate_args, x, n), GIVE(t, hy_decay_gate_args, A_log, s[1]), GIVE(t, hy_decay_gate_args, g, n);
        GIVE(t, hy_decay_gate_args, dg, n), GIVE(t, hy_decay_gate_args, dx, n);
        GIVE(t, hy_decay_gate_args, dA_log, s[1]);
        if (i % 4 < 2)
            GIVE(t, hy_decay_gate_args, dt_bias, C), GIVE(t, hy_decay_gate_args, ddt_bias, C);
        BOTH(decay_gate_fwd, t, gate);
        BOTH(decay_gate_bwd, t, gate);
        compare(&t, GRADIENT);
    }
}

static void check_conv(void) {
    static const int64_t widths[] = {1, 2, 3, 4, 7, 256, 257};
    static const hy_run runs[] = {{0, 1, -1, -1}, {1, 2, 1, 0}, {3, 40, 0, -1}, {43, 0, 2, -1}, {43, 7, -1, 1}};
    const int64_t T = 50, slots = 3;
    for (size_t i = 0; i < 2 * sizeof widths / sizeof *widths; i++) {
        const int64_t W = widths[i / 2], C = W > 20 ? 18 : 450;
        trial t = trial_of("conv", i);
        hy_conv_args conv = {.T = T,
                             .C = C,
                             .W = W,
                             .act = i % 2 ? HY_ACT_SILU : HY_ACT_IDENTITY,
                             .runs = runs,
                             .n_runs = sizeof runs / sizeof *runs,
                             .acc = i % 2};
        GIVE(t, hy_conv_args, x, T * C), GIVE(t, hy_conv_args, w, C * W), GIVE(t, hy_conv_args, y, T * C);
        GIVE(t, hy_conv_args, dy, T * C), GIVE(t, hy_conv_args, dx, T * C), GIVE(t, hy_conv_args, dw, C * W);
        GIVE(t, hy_conv_args, halo, slots * (W - 1) * C), GIVE(t, hy_conv_args, dhalo, slots * (W - 1) * C);
        if (i % 2)
            GIVE(t, hy_conv_args, bias, C), GIVE(t, hy_conv_args, dbias, C);
        BOTH(conv_fwd, t, conv);
        BOTH(conv_bwd, t, conv);
        compare(&t, GRADIENT);
    }
}

static void check_loss(void) {
    static const int64_t shapes[][2] = {{0, 5}, {1, 1}, {4, 256}, {5, 1025}, {3, 50257}, {9, 16384}};
    for (size_t i = 0; i < 2 * sizeof shapes / sizeof *shapes; i++) {
        const int64_t rows = shapes[i / 2][0], vocab = shapes[i / 2][1];
        trial t = trial_of("cross_entropy", i);
        t.amplitude = i % 2 ? 30 : 2;
        int32_t labels[16];
        for (int64_t r = 0; r < rows; r++)
            labels[r] = r == 1 ? -100 : (int32_t)((r * 7919) % vocab);
        double ref = 0.5, fast = 0.5;
        uint8_t ref_correct[16], fast_correct[16];
        hy_cross_entropy_args loss = {.rows = rows,
                                      .vocab = vocab,
                                      .labels = labels,
                                      .grad = (int)(i % 3 != 2),
                                      .d_scale = (const double[]){0.3}};
        GIVE(t, hy_cross_entropy_args, logits, rows * vocab);
        point(&t, &loss, 0);
        loss.dlogits = loss.logits;
        loss.loss = &ref;
        loss.row_correct = ref_correct;
        hy_cross_entropy(t.ref, &loss);
        point(&t, &loss, 1);
        loss.dlogits = loss.logits;
        loss.loss = &fast;
        loss.row_correct = fast_correct;
        hy_cross_entropy(t.fast, &loss);
        assert_true(fabs(fast - ref) <= 1e-6 * fabs(ref));
        assert_memory_equal(fast_correct, ref_correct, (size_t)rows);
        compare(&t, 1e-5);
    }
}

/* Rows whose answer is known: the label's logit is the largest, equal to one after it, before it, or not the largest;
 * the other one at every place. */
static void check_correct_rows(void) {
    enum { VOCAB = 67, LABEL = 33 };
    float logits[VOCAB] = {0};
    for (int place = 0; place < VOCAB; place++) {
        for (int case_number = 0; case_number < 3 && place != LABEL; case_number++) {
            uint8_t correct = 2;
            double loss = 0;
            memset(logits, 0, sizeof logits);
            logits[LABEL] = 5;
            logits[place] = (float)(4 + case_number);
            hy_cross_entropy(fast_device, &(hy_cross_entropy_args){.rows = 1,
                                                                   .vocab = VOCAB,
                                                                   .labels = (int32_t[]){LABEL},
                                                                   .logits = logits,
                                                                   .loss = &loss,
                                                                   .row_correct = &correct});
            assert_int_equal(correct, case_number == 0 || (case_number == 1 && place > LABEL));
        }
    }
}

static void check_isa(const char *isa, int threads) {
    int before = omp_get_max_threads();
    setenv("HYLAS_CPU", isa, 1);
    omp_set_num_threads(threads);
    assert_int_equal(hy_device_create("cpu", HY_F32, &fast_device), HY_OK);
    assert_int_equal(hy_device_create("cpu_ref", HY_F64, &ref_device), HY_OK);
    check_stream();
    check_rows();
    check_norms();
    check_activations();
    check_rope();
    check_gates();
    check_conv();
    check_loss();
    check_correct_rows();
    hy_device_destroy(fast_device);
    hy_device_destroy(ref_device);
    omp_set_num_threads(before);
}

static void test_plain(void **state) {
    (void)state;
    check_isa("plain", 1);
}

static void test_avx2(void **state) {
    (void)state;
    check_isa("avx2", 1);
}

static void test_avx512(void **state) {
    (void)state;
    check_isa("avx512", 1);
}

static void test_threads(void **state) {
    (void)state;
    check_isa("avx512", 3);
}

/* What must come out of values at the edges. */
static void test_edges(void **state) {
    (void)state;
    static const char *const isas[] = {"plain", "avx2", "avx512"};
    for (int i = 0; i < 3; i++) {
        setenv("HYLAS_CPU", isas[i], 1);
        assert_int_equal(hy_device_create("cpu", HY_F32, &fast_device), HY_OK);
        float x[] = {NAN, 1e30f, -1e30f, 0, INFINITY, -INFINITY}, y[6];
        hy_unary_args a = {.act = HY_ACT_SILU, .n = 4, .scale = 1, .floor = -INFINITY, .x = x, .y = y};
        hy_unary_fwd(fast_device, &a);
        assert_true(isnan(y[0]) && y[1] == 1e30f && y[2] == 0 && y[3] == 0);
        a.act = HY_ACT_SOFTPLUS;
        a.n = 6;
        hy_unary_fwd(fast_device, &a);
        assert_true(isnan(y[0]) && y[1] == 1e30f && y[2] == 0 && isinf(y[4]) && y[5] == 0);
        a.act = HY_ACT_TANH;
        hy_unary_fwd(fast_device, &a);
        assert_true(isnan(y[0]) && y[1] == 1 && y[2] == -1 && y[3] == 0 && y[4] == 1 && y[5] == -1);
        double sum = 0;
        hy_sumsq(fast_device, &(hy_sumsq_args){.n = 5, .x = x, .sum = &sum});
        assert_true(!isfinite(sum));
        hy_device_destroy(fast_device);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),   cmocka_unit_test(test_avx2),  cmocka_unit_test(test_avx512),
        cmocka_unit_test(test_threads), cmocka_unit_test(test_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
