/* Softmax attention of cuda_host with cuDNN's part by a stand-in (tests/cudnn), against cpu_ref in double; and with stand-ins that have no engine, fail,
 * or compute another thing, which their trial finds. Each in a process of its own, since a library is loaded once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#if defined(HY_TEST_CUDA_HOST) && defined(HY_TEST_CUDNN_STANDIN)
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/half.h"
#include "base/library.h"
#include "kernels/cpu/ref.h"
#include "kernels/device.h"
#include "tests/unit/capture.h"

enum { QUERIES = 96, KEYS = 96, HEADS = 4, CHANNELS = 256, NUMBERS = 96 * 4 * 256 };
enum { FIRST_QUERY = 3, FIRST_KEY = 5 }; /* rows of the pair in its arrays */

typedef struct problem {
    int64_t H, HKV, D, DV, nq, nk;
    hy_attn_sight sight;
    int first; /* nothing is summed yet */
} problem;

static const problem problems[] = {
    {4, 2, 64, 64, 33, 20, HY_ATTN_ALL, 1},   {3, 1, 16, 24, 65, 65, HY_ATTN_CAUSAL, 1},
    {2, 2, 128, 128, 40, 71, HY_ATTN_ALL, 0}, {4, 4, 192, 128, 17, 17, HY_ATTN_CAUSAL, 0},
    {4, 2, 8, 8, 1, 1, HY_ATTN_ALL, 0},       {4, 2, 8, 8, 1, 1, HY_ATTN_CAUSAL, 1},
    {4, 1, 256, 256, 19, 1, HY_ATTN_ALL, 0},  {2, 1, 40, 80, 90, 90, HY_ATTN_CAUSAL, 0},
    {4, 2, 64, 64, 33, 20, HY_ATTN_ALL, 0},
};
enum { PROBLEMS = sizeof problems / sizeof problems[0], SHAPES = PROBLEMS - 1 }; /* two are of one shape */
static const problem unplanned = {4, 2, 64, 64, 34, 20, HY_ATTN_ALL, 0};

static struct {
    uint16_t q[NUMBERS], k[NUMBERS], v[NUMBERS];
    float o[NUMBERS], lse[QUERIES * HEADS];
    double ref_q[NUMBERS], ref_k[NUMBERS], ref_v[NUMBERS], ref_o[NUMBERS], ref_lse[QUERIES * HEADS];
    int64_t lo[QUERIES];
    char work[1 << 20];
} at __attribute__((aligned(64)));

static double draw(uint64_t *state) {
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 40) / (double)(1 << 23) - 1;
}

static void draw_halves(uint64_t *state, uint16_t *x, double *ref) {
    for (int64_t i = 0; i < NUMBERS; i++) {
        x[i] = hy_float_to_bf16((float)draw(state));
        ref[i] = hy_bf16_to_float(x[i]);
    }
}

static void draw_all(const problem *p, uint64_t seed) {
    draw_halves(&seed, at.q, at.ref_q);
    draw_halves(&seed, at.k, at.ref_k);
    draw_halves(&seed, at.v, at.ref_v);
    for (int64_t i = 0; i < NUMBERS; i++) {
        at.o[i] = p->first ? 0 : (float)draw(&seed);
        at.ref_o[i] = at.o[i];
    }
    for (int64_t i = 0; i < QUERIES * HEADS; i++) {
        at.lse[i] = p->first ? -INFINITY : (float)(3 * draw(&seed) + 2);
        at.ref_lse[i] = at.lse[i];
    }
}

/* Positions that leave as much of the pair as is said to be known. */
static hy_attn_pair pair_of(const problem *p) {
    return (hy_attn_pair){.q = FIRST_QUERY,
                          .nq = p->nq,
                          .q_begin = p->sight == HY_ATTN_ALL ? 700 : 500,
                          .k = FIRST_KEY,
                          .nk = p->nk,
                          .k_begin = 500};
}

static hy_attn_args args_of(const problem *p, const hy_attn_pair *pair) {
    return (hy_attn_args){.H = p->H,
                          .HKV = p->HKV,
                          .D = p->D,
                          .DV = p->DV,
                          .scale = 1.7 / sqrt((double)p->D),
                          .pairs = pair,
                          .n_pairs = 1,
                          .nq = p->nq,
                          .nk = p->nk,
                          .sight = p->sight,
                          .known = *pair,
                          .lo = at.lo};
}

static void compute(hy_device *device, const hy_table *ref, const problem *p) {
    const hy_attn_pair pair = pair_of(p);
    hy_attn_args a = args_of(p, &pair);
    a.q = at.ref_q, a.k = at.ref_k, a.v = at.ref_v, a.o = at.ref_o, a.lse = at.ref_lse;
    a.work = at.work;
    ref->attn_fwd(&a);
    a.q = at.q, a.k = at.k, a.v = at.v, a.o = at.o, a.lse = at.lse;
    assert_true(hy_device_profile(device)->attn_work(&a) <= sizeof at.work);
    hy_attn_fwd(device, &a);
}

/* Weights, the pair's o and nothing else are rounded to bf16; o is at most 1. Rows that are no queries stay. */
static void compare(int number) {
    for (int64_t i = 0; i < NUMBERS; i++) {
        if (!(fabs(at.o[i] - at.ref_o[i]) <= 0.008)) {
            fail_msg("problem %d: o[%lld] is %g, should be %g", number, (long long)i, (double)at.o[i], at.ref_o[i]);
        }
    }
    for (int64_t i = 0; i < QUERIES * HEADS; i++) {
        if (at.lse[i] != (float)at.ref_lse[i] && !(fabs(at.lse[i] - at.ref_lse[i]) <= 1e-4)) {
            fail_msg("problem %d: lse[%lld] is %g, should be %g", number, (long long)i, (double)at.lse[i],
                     at.ref_lse[i]);
        }
    }
}

static int lines_of(const char *text) {
    int lines = 0;
    for (; *text != '\0'; text++) {
        lines += *text == '\n';
    }
    return lines;
}

/* ---- one process ---- */

typedef struct expected {
    const char *how;  /* HYLAS_CUDNN_STANDIN, or "": right */
    const char *line; /* part of what is said beside that it is there; NULL: nothing is */
    int lines;        /* 0: two or more */
} expected;

static int64_t counted(const char *what) {
    char why[256];
    const int64_t *count = NULL;
    void *library = hy_library_open(HY_TEST_CUDNN_STANDIN, why, sizeof why);
    return library != NULL && hy_library_find(library, what, &count, why, sizeof why) ? *count : -1;
}

static void check_problem(hy_device *device, const hy_table *ref, const problem *p, int number) {
    draw_all(p, (uint64_t)number + 1);
    compute(device, ref, p);
    compare(number);
}

static void plan_all(hy_device *device) {
    for (int i = 0; i < PROBLEMS; i++) {
        const hy_attn_pair pair = pair_of(&problems[i]);
        hy_attn_args a = args_of(&problems[i], &pair);
        a.nq = a.nk = 0; /* not asked for */
        hy_device_plan_attn(device, &a);
    }
}

/* A trial and a call are a graph each. Calls make no plan, and of a plan nothing stays but itself and its engine's configuration. */
static void check_counts(int calls) {
    assert_int_equal(counted("hylas_standin_plans"), SHAPES);
    assert_int_equal(counted("hylas_standin_executed"), SHAPES + calls);
    assert_int_equal(counted("hylas_standin_live"), 2 * SHAPES);
}

/* On two devices, one after the other. */
static void run_all(const expected *e) {
    hy_table ref;
    setenv("HYLAS_CUDNN", HY_TEST_CUDNN_STANDIN, 1);
    setenv("HYLAS_CUDNN_STANDIN", e->how, 1);
    hy_table_init_ref(&ref, HY_F64);
    capture_begin();
    for (int round = 0; round < 2; round++) {
        hy_device *device;
        assert_int_equal(hy_device_create("cuda_host", HY_BF16, &device), HY_OK);
        plan_all(device);
        for (int i = 0; i < PROBLEMS; i++) {
            check_problem(device, &ref, &problems[i], i);
        }
        check_problem(device, &ref, &unplanned, PROBLEMS);
        hy_device_destroy(device);
    }
    const char *said = capture_end();
    assert_true(e->lines > 0 ? lines_of(said) == e->lines : lines_of(said) >= 2);
    if (e->line != NULL) {
        assert_contains(said, e->line);
    } else {
        check_counts(2 * PROBLEMS);
    }
}

static int in_own_process(const expected *e) {
    const pid_t child = fork();
    int status = 1;
    if (child == 0) {
        run_all(e);
        _exit(0);
    }
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static void test_cudnn(void **unused) {
    static const expected all[] = {
        {"", NULL, 1},
        {"engines", "no engine", 1 + SHAPES},
        {"execute", "cannot be executed", 2},
        {"scale", "not what they should be", 0},
        {"stride", "not what they should be", 0},
        {"log2", "not what they should be", 0},
        {"heads", "not what they should be", 0},
        {"mask", "not what they should be", 0},
        {"values", "not what they should be", 0},
    };
    (void)unused;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        print_message("stand-in: %s\n", all[i].how[0] != '\0' ? all[i].how : "right");
        assert_int_equal(in_own_process(&all[i]), 0);
    }
}
#else
static void test_cudnn(void **unused) {
    (void)unused;
    skip(); /* without the interpreter or cuDNN's header */
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cudnn)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
