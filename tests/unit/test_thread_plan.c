/* Threads of a rank from the cores of its host's ranks and the user's choice: over many cases, by hand; and for random bindings, that
 * unasked the ranks of a host never have more threads than cores unless each has only one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "base/thread_plan.h"

enum { RANKS_MAX = 64 };

/* "0-3 4-7": the cores of each rank. */
static int read_bindings(const char *text, hy_cores *bindings) {
    int ranks = 0, first, last, used;
    memset(bindings, 0, RANKS_MAX * sizeof *bindings);
    while (sscanf(text, " %d-%d%n", &first, &last, &used) == 2) {
        for (int core = first; core <= last; core++) {
            hy_cores_add(&bindings[ranks], core);
        }
        ranks++;
        text += used;
    }
    return ranks;
}

typedef struct plan_case {
    const char *bindings;
    int mine, launcher, quota, binding_chosen, asked, asked_blas;
    int cores, threads, blas, yield;
    hy_thread_trouble trouble;
} plan_case;

static const plan_case cases[] = {
    /* alone */
    {"0-0", 0, 0, 0, 0, 0, 0, 1, 1, 1, 0, HY_THREADS_FIT},
    {"0-7", 0, 0, 0, 0, 0, 0, 8, 8, 8, 0, HY_THREADS_FIT},
    {"0-7", 0, 0, 0, 0, 3, 0, 8, 3, 3, 0, HY_THREADS_FIT},
    {"0-7", 0, 0, 0, 0, 0, 2, 8, 8, 2, 0, HY_THREADS_FIT},
    {"0-7", 0, 0, 0, 0, 9, 0, 8, 9, 9, 1, HY_THREADS_TOO_MANY},
    /* one core each, and the same without binding */
    {"0-0 1-1", 0, 2, 0, 0, 0, 0, 2, 1, 1, 0, HY_THREADS_FIT},
    {"0-1 0-1", 0, 2, 0, 1, 0, 0, 2, 1, 1, 0, HY_THREADS_FIT},
    {"0-1 0-1 0-1 0-1", 3, 2, 0, 0, 0, 0, 2, 1, 1, 1, HY_THREADS_FIT},
    {"0-1 0-1 0-1 0-1", 0, 2, 0, 0, 1, 0, 2, 1, 1, 1, HY_THREADS_FIT}, /* one thread is as few as there can be */
    {"0-1 0-1 0-1 0-1", 0, 2, 0, 0, 2, 0, 2, 2, 2, 1, HY_THREADS_TOO_MANY},
    {"0-1 0-1", 0, 2, 0, 1, 2, 0, 2, 2, 2, 1, HY_THREADS_TOO_MANY},
    {"0-1 0-1", 0, 2, 0, 1, 0, 2, 2, 1, 2, 1, HY_THREADS_TOO_MANY},
    {"0-0 1-1", 0, 2, 0, 0, 2, 0, 2, 2, 2, 1, HY_THREADS_TOO_MANY},
    /* what does not divide */
    {"0-7 0-7 0-7", 1, 8, 0, 1, 0, 0, 8, 2, 2, 0, HY_THREADS_FIT},
    {"0-2 0-2 0-2", 1, 3, 0, 1, 0, 0, 3, 1, 1, 0, HY_THREADS_FIT},
    /* sockets: two ranks share the first, one has the second */
    {"0-7 8-15 0-7", 0, 16, 0, 1, 0, 0, 16, 4, 4, 0, HY_THREADS_FIT},
    {"0-7 8-15 0-7", 1, 16, 0, 1, 0, 0, 16, 8, 8, 0, HY_THREADS_FIT},
    {"0-63 64-127", 1, 128, 0, 1, 0, 0, 128, 64, 64, 0, HY_THREADS_FIT},
    /* mpirun -np 2 on 16 cores binds each rank to one */
    {"0-0 1-1", 0, 16, 0, 0, 0, 0, 2, 1, 1, 0, HY_THREADS_CORES_UNUSED},
    {"0-0 1-1", 0, 16, 0, 1, 0, 0, 2, 1, 1, 0, HY_THREADS_FIT}, /* the user wants it so */
    {"0-0 1-1", 0, 16, 0, 0, 8, 0, 2, 8, 8, 1, HY_THREADS_BOUND},
    {"0-0 1-1", 0, 16, 0, 1, 8, 0, 2, 8, 8, 1, HY_THREADS_BOUND},
    {"0-0 1-1", 0, 16, 0, 0, 9, 0, 2, 9, 9, 1, HY_THREADS_TOO_MANY},
    {"0-0 1-1", 0, 0, 0, 0, 8, 0, 2, 8, 8, 1, HY_THREADS_TOO_MANY}, /* a launcher that does not tell */
    /* a container with 4 cores' time on 64 */
    {"0-63", 0, 0, 4, 0, 0, 0, 4, 4, 4, 0, HY_THREADS_FIT},
    {"0-63 0-63", 0, 64, 4, 0, 0, 0, 4, 2, 2, 0, HY_THREADS_FIT},
    {"0-63 0-63", 0, 64, 4, 0, 4, 0, 4, 4, 4, 1, HY_THREADS_TOO_MANY},
    {"0-1", 0, 2, 64, 0, 0, 0, 2, 2, 2, 0, HY_THREADS_FIT},
};

static void test_cases(void **unused) {
    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const plan_case *c = &cases[i];
        hy_cores bindings[RANKS_MAX];
        const int ranks = read_bindings(c->bindings, bindings);
        const hy_thread_facts facts = {bindings, ranks,        c->mine, c->launcher, c->quota, c->binding_chosen != 0,
                                       c->asked, c->asked_blas};
        const hy_thread_plan p = hy_thread_plan_make(&facts);
        if (p.local_ranks != ranks || p.cores != c->cores || p.threads != c->threads || p.blas != c->blas ||
            p.yield != (c->yield != 0) || p.trouble != c->trouble) {
            fail_msg("case %zu (%s, asked %d): cores %d, threads %d, blas %d, yield %d, trouble %d", i, c->bindings,
                     c->asked, p.cores, p.threads, p.blas, p.yield, (int)p.trouble);
        }
    }
}

static const char *warning_of(const char *bindings_text, int launcher, int asked, int asked_blas) {
    static char text[512];
    hy_cores bindings[RANKS_MAX];
    const hy_thread_facts facts = {.bindings = bindings,
                                   .local_ranks = read_bindings(bindings_text, bindings),
                                   .launcher_cores = launcher,
                                   .asked = asked,
                                   .asked_blas = asked_blas};
    const hy_thread_plan plan = hy_thread_plan_make(&facts);
    return hy_thread_plan_warning(&plan, "node7", text, sizeof text) ? text : "";
}

static void assert_says(const char *text, const char *part) {
    if (strstr(text, part) == NULL) {
        fail_msg("expected to find: %s\nin: %s", part, text);
    }
}

static void test_warnings_mend(void **unused) {
    (void)unused;
    assert_string_equal(warning_of("0-1 0-1", 2, 0, 0), "");
    assert_string_equal(
        warning_of("0-7 0-7", 8, 8, 0),
        "node7: OMP_NUM_THREADS=8 for each of 2 ranks on 8 cores is very slow; mend it with: export OMP_NUM_THREADS=4");
    assert_says(warning_of("0-7 0-7", 8, 4, 8), "mend it with: export OPENBLAS_NUM_THREADS=4");
    assert_says(warning_of("0-0 1-1", 16, 8, 0),
                "bound to 2 of 16 cores, is very slow; mend it with: mpirun --bind-to none");
    assert_says(warning_of("0-0", 16, 0, 0),
                "mpirun bound 1 rank to 1 of 16 cores; to use all of them: mpirun --bind-to none");
    /* what the line says ends the warning */
    assert_string_equal(warning_of("0-7 0-7", 8, 4, 0), "");
    assert_string_equal(warning_of("0-7 0-7", 8, 4, 4), "");
    assert_string_equal(warning_of("0-15 0-15", 16, 8, 0), "");
}

static void test_random_bindings(void **unused) {
    (void)unused;
    enum { CASES = 300, CORES = 24 };
    for (uint64_t n = 0; n < CASES; n++) {
        hy_cores bindings[RANKS_MAX], all;
        const int ranks = 1 + (int)(hy_random_u64(1, n, 0) % 12);
        int threads = 0, most = 0;
        memset(bindings, 0, sizeof bindings);
        memset(&all, 0, sizeof all);
        for (int r = 0; r < ranks; r++) {
            hy_cores_add(&bindings[r], (int)(hy_random_u64(2, n, (uint64_t)r) % CORES));
            for (int core = 0; core < CORES; core++) {
                if (hy_random_u64(3, n, (uint64_t)(r * CORES + core)) % 3 == 0) {
                    hy_cores_add(&bindings[r], core);
                }
            }
            hy_cores_unite(&all, &bindings[r]);
        }
        for (int r = 0; r < ranks; r++) {
            const hy_thread_plan plan =
                hy_thread_plan_make(&(hy_thread_facts){.bindings = bindings, .local_ranks = ranks, .mine = r});
            assert_int_equal(plan.cores, hy_cores_count(&all));
            assert_in_range(plan.threads, 1, hy_cores_count(&bindings[r]));
            threads += plan.threads > 1 ? plan.threads : 0;
            most = plan.threads > most ? plan.threads : most;
        }
        assert_true(threads <= hy_cores_count(&all));
        assert_in_range(most, 1, CORES);
    }
}

static void test_core_sets(void **unused) {
    (void)unused;
    hy_cores cores, own;
    char text[64];
    memset(&cores, 0, sizeof cores);
    hy_cores_text(&cores, text, sizeof text);
    assert_string_equal(text, "");
    hy_cores_add(&cores, 0);
    hy_cores_add(&cores, 63);
    hy_cores_add(&cores, 64);
    hy_cores_add(&cores, 65);
    hy_cores_add(&cores, HY_CORES_MAX - 1);
    hy_cores_text(&cores, text, sizeof text);
    assert_string_equal(text, "0,63-65,8191");
    assert_int_equal(hy_cores_count(&cores), 5);
    hy_cores_text(&cores, text, 12);
    assert_string_equal(text, "0,63-65...");
    hy_cores_of_process(0, &own);
    assert_true(hy_cores_count(&own) >= 1);
    hy_cores_of_process(-1, &own);
    assert_int_equal(hy_cores_count(&own), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_warnings_mend),
        cmocka_unit_test(test_random_bindings),
        cmocka_unit_test(test_core_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
