/* Every barrier, wait for copies, group of copies and fence (warp barrier) of the hot kernels: a kernel without one of them gives other bits
 * in at least one order of lanes, or the interpreter says what is wrong. A call that nothing misses has no place in the sources. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef HY_TEST_CUDA_HOST

#include "tests/hot_ops.h"
#include "tests/simt/cut.h"

static const hot_op ops[] = {
    {.name = "delta, float32", HOT_RECUR, HY_F32, HY_DECAY_SCALAR, HY_RULE_DELTA, .T = 103, .width = 40},
    {.name = "delta, bf16", HOT_RECUR, HY_BF16, HY_DECAY_SCALAR, HY_RULE_DELTA, .T = 71, .width = 72},
    {.name = "delta, 256 keys, float32", HOT_RECUR, HY_F32, HY_DECAY_SCALAR, HY_RULE_DELTA, .T = 39, .width = 136},
    {.name = "delta, a decay per key, bf16", HOT_RECUR, HY_BF16, HY_DECAY_VECTOR, HY_RULE_DELTA, .T = 71, .width = 72},
    {.name = "additive, a decay per key", HOT_RECUR, HY_F32, HY_DECAY_VECTOR, HY_RULE_ADDITIVE, .T = 71, .width = 40},
    {.name = "channels", HOT_CHANNELS, HY_F32, HY_DECAY_SCALAR, HY_RULE_ADDITIVE, .T = 71, .width = 40},
    {.name = "levels", HOT_LEVELS, HY_F32, HY_DECAY_SCALAR, HY_RULE_DELTA, .T = 39, .width = 32},
    {.name = "long convolutions", HOT_LONG_CONV, HY_BF16, .T = 300, .width = 3},
    {.name = "attention, float32", HOT_ATTENTION, HY_F32, .T = 99, .width = 40},
    {.name = "attention, bf16", HOT_ATTENTION, HY_BF16, .T = 139, .width = 40},
    {.name = "attention, wide, bf16", HOT_ATTENTION, HY_BF16, .T = 99, .width = 136},
    {.name = "products", HOT_PRODUCT, HY_BF16, .T = 67, .width = 70},
    {.name = "rows", HOT_ROWS, HY_F32, .T = 300, .width = 70},
};
enum { OPS = sizeof ops / sizeof ops[0], ORDERS = 3 };

static uint64_t seed;

static void choose_order(int order) {
    static const char *const orders[ORDERS] = {"reverse", "forward", "shuffle"};
    setenv("HYLAS_SIMT_ORDER", orders[order], 1);
}

/* In a process of its own: an error of the interpreter ends it. */
static int is_caught(const hot_op *op, const hot_run *right, int site, int order) {
    int status = 0;
    const pid_t child = fork();
    if (child == 0) {
        hot_run wrong = {0};
        (void)freopen("/dev/null", "w", stderr);
        choose_order(order);
        hy_simt_cut(site);
        hot_run_op(&wrong, op, seed);
        _exit(hot_equal(&wrong, right) ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status != 0;
}

/* Barriers at the head of loops whose second turn takes more rows than there are warps in a grid of EACH_BLOCKS: too many to be interpreted so
 * often. */
/* And warp barriers behind a product, which the interpreter takes for a meeting of the warp, while mma.sync promises no order of memory. */
static const struct {
    const char *kernel, *what;
    int calls;
} beyond_reach[] = {{"long_near_kernel", "warp_barrier", 1},
                    {"long_near_taps_kernel", "warp_barrier", 1},
                    {"prep_vector_kernel", "warp_barrier", 2}};
enum { BEYOND_REACH = sizeof beyond_reach / sizeof beyond_reach[0] };

static int is_beyond_reach(const hy_simt_site *s, int met[BEYOND_REACH]) {
    for (int i = 0; i < BEYOND_REACH; i++)
        if (strstr(s->kernel, beyond_reach[i].kernel) != NULL && strcmp(s->what, beyond_reach[i].what) == 0)
            return met[i]++ < beyond_reach[i].calls;
    return 0;
}

/* With nothing cut: the same bits in every order. */
static void run_right(const hot_op *op, hot_run *right) {
    for (int order = ORDERS - 1; order >= 0; order--) {
        hot_run again = {0};
        choose_order(order);
        if (order == ORDERS - 1) {
            hot_run_op(right, op, seed);
            continue;
        }
        hot_run_op(&again, op, seed);
        assert_true(hot_equal(&again, right));
        hot_fini(&again);
    }
}

/* A line that several kernels or operations reach must be missed by one of them. */
typedef struct verdict {
    hy_simt_site site;
    int caught;
} verdict;

static verdict verdicts[HY_SIMT_SITES_MAX];
static int n_verdicts;

static verdict *verdict_of(const hy_simt_site *s) {
    for (int i = 0; i < n_verdicts; i++) {
        const hy_simt_site *t = &verdicts[i].site;
        if (t->line == s->line && strcmp(t->file, s->file) == 0)
            return &verdicts[i];
    }
    assert_true(n_verdicts < HY_SIMT_SITES_MAX);
    verdicts[n_verdicts] = (verdict){.site = *s};
    return &verdicts[n_verdicts++];
}

static void cut_each(const hot_op *op) {
    const hy_simt_site *sites;
    hot_run right = {0};
    int found = 0;
    hy_simt_collect_sites();
    run_right(op, &right);
    const int n = hy_simt_sites(&sites);
    for (int i = 0; i < n; i++) {
        verdict *v = verdict_of(&sites[i]);
        for (int order = 0; v->caught == 0 && order < ORDERS; order++)
            v->caught = is_caught(op, &right, i, order);
        found += v->caught;
    }
    print_message("%s: %d of %d caught here or before\n", op->name, found, n);
    hot_fini(&right);
}

static void test_every_cut_is_caught(void **unused) {
    int missed = 0, kinds[4] = {0}, met[BEYOND_REACH] = {0};
    static const char *const whats[4] = {"barrier", "warp_barrier", "copy_wait", "copy_commit"};
    (void)unused;
    for (int i = 0; i < OPS; i++)
        cut_each(&ops[i]);
    for (int i = 0; i < n_verdicts; i++) {
        const hy_simt_site *s = &verdicts[i].site;
        for (int k = 0; k < 4; k++)
            kinds[k] += strcmp(s->what, whats[k]) == 0;
        if (!verdicts[i].caught && !is_beyond_reach(s, met)) {
            print_message("nothing misses %s at %s:%d in %s\n", s->what, s->file, s->line, s->kernel);
            missed++;
        }
    }
    for (int k = 0; k < 4; k++) {
        print_message("%d × %s\n", kinds[k], whats[k]);
        assert_true(kinds[k] > 0);
    }
    assert_int_equal(missed, 0);
}

#else

static void test_every_cut_is_caught(void **unused) {
    (void)unused;
    skip();
}

#endif

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_cut_is_caught)};
#ifdef HY_TEST_CUDA_HOST
    seed = (uint64_t)time(NULL);
    print_message("random numbers from %llu\n", (unsigned long long)seed);
#endif
    return cmocka_run_group_tests(tests, NULL, NULL);
}
