/* Fast softmax attention of every instruction set that runs here, against the formulas in double:
 *   o_i = Σ_j p_ij v_j,  p_ij = exp(s_ij − lse_i);  dS = p ∘ (dO Vᵀ − delta);  dq, dk, dv from them.
 * Keys come in blocks, merged in some order; the result must be that of all keys at once. */
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

typedef struct shape {
    const char *name;
    int64_t H, HKV, D, DV;
    int64_t nq, q_begin;  /* queries q_begin .. q_begin + nq − 1 */
    int64_t nk, k_begin;  /* all keys */
    int64_t window, docs; /* window 0: none; docs: mean length of a document, 0: one */
    int64_t blocks;       /* keys are cut into so many blocks */
    double amplitude;     /* of scores, roughly */
} shape;

static const shape shapes[] = {
    {"one token", 1, 1, 4, 4, 1, 0, 1, 0, 0, 0, 1, 1},
    {"square", 2, 2, 64, 64, 200, 0, 200, 0, 0, 0, 1, 3},
    {"grouped heads", 6, 2, 16, 16, 97, 0, 97, 0, 0, 0, 1, 3},
    {"odd sizes", 3, 1, 37, 53, 131, 0, 131, 0, 0, 0, 3, 3},
    {"wide head", 1, 1, 200, 130, 70, 0, 70, 0, 0, 0, 2, 3},
    {"window", 2, 1, 32, 32, 300, 0, 300, 0, 17, 0, 3, 3},
    {"documents", 2, 2, 24, 40, 310, 0, 310, 0, 0, 40, 4, 3},
    {"documents and window", 4, 2, 8, 8, 257, 0, 257, 0, 30, 60, 2, 3},
    {"queries behind keys", 2, 1, 64, 64, 90, 400, 330, 100, 0, 0, 3, 3},
    {"keys partly ahead", 2, 2, 20, 20, 120, 50, 300, 10, 0, 0, 4, 3},
    {"keys all ahead", 2, 2, 20, 20, 30, 0, 40, 30, 0, 0, 1, 3},
    {"large scores", 2, 2, 64, 64, 150, 0, 150, 0, 0, 0, 2, 80},
    {"far window", 1, 1, 16, 16, 100, 1000, 1000, 100, 40, 0, 5, 3},
    {"no queries", 1, 1, 8, 8, 0, 0, 10, 0, 0, 0, 1, 1},
    {"no keys", 1, 1, 8, 8, 10, 0, 0, 0, 0, 0, 1, 1},
};

enum { Q, K, V, O, LSE, DO, DELTA, DQ, DK, DV_, ARRAYS };
#define GUARD    16
#define SENTINEL -12345.0f

typedef struct problem {
    const shape *s;
    int64_t size[ARRAYS];
    double *want[ARRAYS];
    float *got[ARRAYS]; /* with GUARD sentinels before and behind */
    int64_t *lo;
} problem;

static int64_t max_of(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static void problem_create(problem *p, const shape *s, uint64_t seed) {
    const int64_t size[ARRAYS] = {
        [Q] = s->nq * s->H * s->D,     [K] = s->nk * s->HKV * s->D, [V] = s->nk * s->HKV * s->DV,
        [O] = s->nq * s->H * s->DV,    [LSE] = s->nq * s->H,        [DO] = s->nq * s->H * s->DV,
        [DELTA] = s->nq * s->H,        [DQ] = s->nq * s->H * s->D,  [DK] = s->nk * s->HKV * s->D,
        [DV_] = s->nk * s->HKV * s->DV};
    p->s = s;
    for (int x = 0; x < ARRAYS; x++) {
        p->size[x] = size[x];
        p->want[x] = calloc((size_t)size[x] + 1, sizeof(double));
        float *all = malloc((size_t)(size[x] + 2 * GUARD) * sizeof(float));
        for (int64_t i = 0; i < size[x] + 2 * GUARD; i++)
            all[i] = SENTINEL;
        p->got[x] = all + GUARD;
        int input = x == Q || x == K || x == V || x == DO;
        double amplitude = x == Q ? s->amplitude : 1;
        for (int64_t i = 0; i < size[x]; i++) {
            p->got[x][i] = input ? (float)(amplitude * hy_random_normal(seed, (uint64_t)x, (uint64_t)i)) : 0.0f;
            p->want[x][i] = input ? (double)p->got[x][i] : 0.0;
        }
    }
    p->lo = calloc((size_t)s->nq + 1, sizeof *p->lo);
    int64_t start = 0;
    for (int64_t t = 0; t < s->q_begin + s->nq; t++) {
        if (s->docs > 0 && hy_random_uniform(seed, 99, (uint64_t)t) * (double)s->docs < 1)
            start = t;
        if (t >= s->q_begin)
            p->lo[t - s->q_begin] = s->window > 0 ? max_of(start, t - s->window + 1) : start;
    }
}

static void problem_destroy(problem *p) {
    for (int x = 0; x < ARRAYS; x++) {
        free(p->want[x]);
        free(p->got[x] - GUARD);
    }
    free(p->lo);
}

static double dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static int visible(const problem *p, int64_t i, int64_t j) {
    int64_t key = p->s->k_begin + j;
    return key >= p->lo[i] && key <= p->s->q_begin + i;
}

static void oracle_row(problem *p, double scale, int64_t i, int64_t h) {
    const shape *s = p->s;
    const int64_t g = h / (s->H / s->HKV), row = i * s->H + h;
    const double *q = p->want[Q] + row * s->D, *d_o = p->want[DO] + row * s->DV;
    double *o = p->want[O] + row * s->DV, max = -INFINITY, sum = 0;
    for (int64_t j = 0; j < s->nk; j++)
        max = visible(p, i, j) ? fmax(max, scale * dot(q, p->want[K] + (j * s->HKV + g) * s->D, s->D)) : max;
    for (int64_t j = 0; j < s->nk; j++)
        sum += visible(p, i, j) ? exp(scale * dot(q, p->want[K] + (j * s->HKV + g) * s->D, s->D) - max) : 0;
    p->want[LSE][row] = max + log(sum);
    for (int pass = 0; pass < 2; pass++) { /* o, then gradients */
        double delta = dot(o, d_o, s->DV);
        p->want[DELTA][row] = delta;
        for (int64_t j = 0; j < s->nk; j++) {
            if (!visible(p, i, j))
                continue;
            const int64_t key = j * s->HKV + g;
            const double *k = p->want[K] + key * s->D, *v = p->want[V] + key * s->DV;
            double w = exp(scale * dot(q, k, s->D) - p->want[LSE][row]);
            double ds = w * (dot(d_o, v, s->DV) - delta);
            for (int64_t c = 0; pass == 0 && c < s->DV; c++)
                o[c] += w * v[c];
            for (int64_t c = 0; pass == 1 && c < s->DV; c++)
                p->want[DV_][key * s->DV + c] += w * d_o[c];
            for (int64_t c = 0; pass == 1 && c < s->D; c++) {
                p->want[DQ][row * s->D + c] += scale * ds * k[c];
                p->want[DK][key * s->D + c] += scale * ds * q[c];
            }
        }
    }
}

static double oracle(problem *p) {
    double scale = 1 / sqrt((double)p->s->D);
    for (int64_t i = 0; i < p->s->nq; i++) {
        for (int64_t h = 0; h < p->s->H; h++)
            oracle_row(p, scale, i, h);
    }
    return scale;
}

/* The b-th of the problem's blocks of keys. */
static hy_attn_args block_args(const problem *p, int64_t b, double scale, void *work, hy_attn_pair *pair) {
    const shape *s = p->s;
    int64_t from = s->nk * b / s->blocks, to = s->nk * (b + 1) / s->blocks;
    *pair =
        (hy_attn_pair){.nq = s->nq, .q_begin = s->q_begin, .k = from, .nk = to - from, .k_begin = s->k_begin + from};
    return (hy_attn_args){.H = s->H,
                          .HKV = s->HKV,
                          .D = s->D,
                          .DV = s->DV,
                          .scale = scale,
                          .pairs = pair,
                          .n_pairs = 1,
                          .nq = pair->nq,
                          .nk = pair->nk,
                          .lo = p->lo,
                          .q = p->got[Q],
                          .k = p->got[K],
                          .v = p->got[V],
                          .o = p->got[O],
                          .lse = p->got[LSE],
                          .d_o = p->got[DO],
                          .delta = p->got[DELTA],
                          .dq = p->got[DQ],
                          .dk = p->got[DK],
                          .dv = p->got[DV_],
                          .work = work};
}

static void check(const problem *p, int x, double tolerance) {
    double error = 0, norm = 1e-2 * (double)p->size[x]; /* dq of a query with one key is 0 by cancellation */
    for (int64_t i = 0; i < p->size[x]; i++) {
        double want = p->want[x][i], got = (double)p->got[x][i];
        if (isinf(want) && got == want) /* lse of a query that sees nothing */
            continue;
        assert_true(isfinite(got));
        error += (got - want) * (got - want);
        norm += want * want;
    }
    if (sqrt(error) > tolerance * sqrt(norm))
        fail_msg("%s: array %d: relative error %.2e", p->s->name, x, sqrt(error / norm));
    for (int64_t i = 0; i < GUARD; i++) {
        assert_true(p->got[x][-1 - i] == SENTINEL);
        assert_true(p->got[x][p->size[x] + i] == SENTINEL);
    }
}

/* A query that sees no key of the block keeps its o and lse bit for bit. */
static void forward_block(hy_device *device, const problem *p, const hy_attn_args *a) {
    size_t o_bytes = (size_t)p->size[O] * sizeof(float), lse_bytes = (size_t)p->size[LSE] * sizeof(float);
    float *o = malloc(o_bytes + 1), *lse = malloc(lse_bytes + 1);
    memcpy(o, p->got[O], o_bytes);
    memcpy(lse, p->got[LSE], lse_bytes);
    hy_attn_fwd(device, a);
    const int64_t row = a->H * a->DV;
    const hy_attn_pair *b = a->pairs;
    for (int64_t i = 0; i < b->nq; i++) {
        if (max_of(a->lo[i], b->k_begin) <= b->q_begin + i && a->lo[i] < b->k_begin + b->nk &&
            b->k_begin <= b->q_begin + i && b->nk > 0)
            continue;
        assert_memory_equal(o + i * row, p->got[O] + i * row, (size_t)row * sizeof(float));
        assert_memory_equal(lse + i * a->H, p->got[LSE] + i * a->H, (size_t)a->H * sizeof(float));
    }
    free(o);
    free(lse);
}

static void attn_delta(hy_device *device, const problem *p) {
    hy_attn_delta(
        device,
        &(hy_attn_delta_args){
            .rows = p->s->nq * p->s->H, .DV = p->s->DV, .y = p->got[O], .d_o = p->got[DO], .delta = p->got[DELTA]});
}

static void run_shape(hy_device *device, const shape *s, int reverse, uint64_t seed) {
    problem p;
    problem_create(&p, s, seed);
    double scale = oracle(&p);
    for (int64_t i = 0; i < p.size[LSE]; i++)
        p.got[LSE][i] = -INFINITY;
    hy_attn_pair pair;
    hy_attn_args whole = block_args(&p, 0, scale, NULL, &pair);
    size_t bytes = hy_device_profile(device)->attn_work(&whole);
    char *work = malloc(bytes + GUARD);
    memset(work, 0x7f, bytes + GUARD); /* 0x7f7f7f7f: 3.4e38 */
    for (int64_t b = 0; b < s->blocks; b++) {
        hy_attn_args a = block_args(&p, reverse ? s->blocks - 1 - b : b, scale, work, &pair);
        forward_block(device, &p, &a);
    }
    attn_delta(device, &p);
    for (int64_t b = 0; b < s->blocks; b++) {
        hy_attn_args a = block_args(&p, reverse ? s->blocks - 1 - b : b, scale, work, &pair);
        hy_attn_bwd(device, &a);
    }
    for (int i = 0; i < GUARD; i++)
        assert_int_equal(work[bytes + (size_t)i], 0x7f);
    check(&p, O, 2e-5);
    check(&p, LSE, 2e-5);
    check(&p, DELTA, 2e-5);
    check(&p, DQ, 1e-4);
    check(&p, DK, 1e-4);
    check(&p, DV_, 1e-4);
    free(work);
    problem_destroy(&p);
}

static void run_all(const char *isa, int threads) {
    hy_device *device = NULL;
    int before = omp_get_max_threads();
    setenv("HYLAS_CPU", isa, 1);
    omp_set_num_threads(threads);
    assert_int_equal(hy_device_create("cpu", HY_F32, &device), HY_OK);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (int reverse = 0; reverse < 2; reverse++)
            run_shape(device, &shapes[i], reverse, 7 * i + (size_t)threads);
    }
    omp_set_num_threads(before);
    hy_device_destroy(device);
}

static void test_plain(void **state) {
    (void)state;
    run_all("plain", 1);
}

static void test_avx2(void **state) {
    (void)state;
    run_all("avx2", 1);
}

static void test_avx512(void **state) {
    (void)state;
    run_all("avx512", 1);
}

static void test_threads(void **state) {
    (void)state;
    run_all("avx512", 3);
    run_all("avx2", 2);
}

/* Gradients must not depend on the number of threads, nor on which thread comes first. */
static void test_deterministic(void **state) {
    (void)state;
    const shape s = {"deterministic", 3, 1, 32, 32, 700, 0, 700, 0, 0, 150, 1, 3};
    hy_device *device = NULL;
    int before = omp_get_max_threads();
    problem p;
    problem_create(&p, &s, 5);
    float *first = malloc((size_t)p.size[DQ] * sizeof(float));
    for (int threads = 1; threads < 5; threads++) {
        omp_set_num_threads(threads);
        assert_int_equal(hy_device_create("cpu", HY_F32, &device), HY_OK);
        for (int64_t i = 0; i < p.size[LSE]; i++)
            p.got[LSE][i] = -INFINITY;
        memset(p.got[O], 0, (size_t)p.size[O] * sizeof(float));
        memset(p.got[DQ], 0, (size_t)p.size[DQ] * sizeof(float));
        hy_attn_pair pair;
        hy_attn_args a = block_args(&p, 0, 0.2, NULL, &pair);
        a.work = malloc(hy_device_profile(device)->attn_work(&a));
        hy_attn_fwd(device, &a);
        attn_delta(device, &p);
        hy_attn_bwd(device, &a);
        free(a.work);
        hy_device_destroy(device);
        if (threads == 1)
            memcpy(first, p.got[DQ], (size_t)p.size[DQ] * sizeof(float));
        assert_memory_equal(first, p.got[DQ], (size_t)p.size[DQ] * sizeof(float));
    }
    omp_set_num_threads(before);
    free(first);
    problem_destroy(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),   cmocka_unit_test(test_avx2),          cmocka_unit_test(test_avx512),
        cmocka_unit_test(test_threads), cmocka_unit_test(test_deterministic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
