/* The peak of matrix products: what other load does to it, which measurement of several counts, what is said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "tests/unit/capture.h"
#include "tests/unit/scratch.h"
#include "train/run/peak_file.h"

static void assert_near(double value, double wanted, double tolerance) {
    assert_true(fabs(value - wanted) <= tolerance);
}

static hy_rank_peak rank_on(const char *host, int core, int n_cores, int threads) {
    hy_rank_peak rank = {.threads = threads, .flops_per_second = 1e10, .share = 1.0};
    (void)snprintf(rank.host, sizeof rank.host, "%s", host);
    (void)snprintf(rank.processor, sizeof rank.processor, "one, avx512");
    memset(&rank.cores, 0, sizeof rank.cores);
    for (int i = 0; i < n_cores; i++) {
        hy_cores_add(&rank.cores, core + i);
    }
    return rank;
}

/* What a rank of one thread finds in these bursts. */
static hy_host_peak host_of(int n, const double bursts[][3]) {
    hy_rank_peak rank = rank_on("a", 0, 1, 1);
    hy_burst_sum sum = {0.0, 0.0, 0.0};
    hy_host_peak host;
    for (int i = 0; i < n; i++) {
        hy_burst_add(&sum, bursts[i][0], bursts[i][1], bursts[i][2]);
    }
    rank.flops_per_second = sum.flops_per_second;
    rank.share = sum.cpu / sum.wall;
    assert_int_equal(hy_host_peaks(&rank, 1, &host), 1);
    return host;
}

/* Half of the time somebody else ran: the wall clock says half the rate, the processor's clock the true one. */
static void load_does_not_lower_the_peak(void **unused) {
    (void)unused;
    static const double alone[][3] = {{1e9, 0.1, 0.1}, {1e8, 0.02, 0.02}};
    static const double loaded[][3] = {{1e9, 0.2, 0.1}, {1e8, 0.04, 0.02}, {1e8, 0.08, 0.03}};
    hy_host_peak host = host_of(2, alone);
    assert_near(host.flops_per_second, 1e10, 1);
    assert_near(host.undisturbed, 1.0, 1e-12);
    host = host_of(3, loaded);
    assert_near(host.flops_per_second, 1e10, 1);
    assert_near(host.undisturbed, 0.15 / 0.32, 1e-12);
}

/* Four ranks on two cores get half of the time each, by themselves: nobody disturbs them, and the host reaches what two
 * cores reach. Ranks of another host do not count. */
static void ranks_of_a_host_share_its_cores(void **unused) {
    (void)unused;
    hy_rank_peak ranks[6];
    hy_host_peak hosts[6];
    for (int i = 0; i < 6; i++) {
        ranks[i] = i == 2 ? rank_on("b", 0, 4, 4) : i == 5 ? rank_on("b", 4, 4, 4) : rank_on("a", 0, 2, 1);
        ranks[i].share = i == 2 || i == 5 ? 0.9 : 0.5;
    }
    assert_int_equal(hy_host_peaks(ranks, 6, hosts), 2);
    assert_string_equal(hosts[0].host, "a");
    assert_int_equal(hosts[0].ranks, 4);
    assert_int_equal(hosts[0].cores, 2);
    assert_near(hosts[0].flops_per_second, 2e10, 1);
    assert_near(hosts[0].undisturbed, 1.0, 1e-12);
    assert_int_equal(hosts[1].ranks, 2);
    assert_int_equal(hosts[1].threads, 8);
    assert_int_equal(hosts[1].cores, 8);
    assert_near(hosts[1].flops_per_second, 2e10, 1);
    assert_near(hosts[1].undisturbed, 0.9, 1e-12);
}

static hy_host_peak peak_of(double rate, double undisturbed) {
    return (hy_host_peak){.host = "a",
                          .processor = "one, avx512",
                          .ranks = 2,
                          .threads = 2,
                          .cores = 2,
                          .flops_per_second = rate,
                          .undisturbed = undisturbed};
}

static void better_grounded_figure_counts(void **unused) {
    (void)unused;
    static const struct {
        double now, now_share, earlier, earlier_share;
        bool replaces;
    } cases[] = {
        {1.05e10, 1.0, 1e10, 1.0, false}, {0.95e10, 1.0, 1e10, 0.2, false}, /* they agree */
        {2e10, 1.0, 1e10, 1.0, true},     {1e10, 1.0, 2e10, 1.0, false},    /* as quiet: the higher */
        {2e10, 0.4, 1e10, 1.0, false},    {1e10, 1.0, 2e10, 0.4, true},     /* the quieter */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const hy_host_peak now = peak_of(cases[i].now, cases[i].now_share),
                           earlier = peak_of(cases[i].earlier, cases[i].earlier_share);
        assert_int_equal(hy_host_peak_replaces(&now, &earlier), cases[i].replaces);
    }
}

/* What one start of a run does; the text it logs. */
static const char *start(const char *path, hy_host_peak *hosts, int n) {
    capture_begin();
    (void)hy_peak_file_merge(path, hosts, n);
    return capture_end();
}

static void file_keeps_a_peak_per_host(void **unused) {
    (void)unused;
    const char *path = scratch_path("peak.json");
    hy_host_peak hosts[2] = {peak_of(1e10, 0.5), peak_of(3e10, 1.0)};
    (void)snprintf(hosts[1].host, sizeof hosts[1].host, "b");
    const char *text = start(path, hosts, 2);
    assert_contains(text, "host a: other work had the processors for 50%");
    assert_null(strstr(text, "host b"));

    hosts[0] = peak_of(1.04e10, 1.0);
    assert_string_equal(start(path, hosts, 1), "");
    assert_near(hosts[0].flops_per_second, 1e10, 1e5); /* the run's figures go on as they were */

    hosts[0] = peak_of(2e10, 1.0);
    assert_contains(start(path, hosts, 1), "mfu is relative to the new figure");
    hosts[0] = peak_of(0.5e10, 1.0);
    assert_contains(start(path, hosts, 1), "mfu is relative to the earlier figure");
    assert_near(hosts[0].flops_per_second, 2e10, 1e5);

    hosts[0] = peak_of(0.5e10, 1.0);
    hosts[0].threads = 4; /* another key */
    assert_string_equal(start(path, hosts, 1), "");
    assert_near(hosts[0].flops_per_second, 0.5e10, 1);
    hosts[1] = peak_of(3.2e10, 1.0);
    (void)snprintf(hosts[1].host, sizeof hosts[1].host, "b");
    assert_string_equal(start(path, hosts, 2), "");
    assert_near(hosts[1].flops_per_second, 3e10, 1e5);
}

static void damaged_file_is_written_anew(void **unused) {
    (void)unused;
    const char *path = scratch_path("damaged.json");
    hy_host_peak host = peak_of(1e10, 1.0);
    assert_int_equal(hy_file_write_atomic(path, "[{\"host\":", 9, HY_ERR_FAILED), HY_OK);
    assert_contains(start(path, &host, 1), "not a list of peaks");
    assert_string_equal(start(path, &host, 1), "");
    assert_int_equal(hy_file_write_atomic(path, "[7, {\"host\": \"a\"}]", 18, HY_ERR_FAILED), HY_OK);
    assert_string_equal(start(path, &host, 1), "");
}

static void measures_this_machine(void **unused) {
    (void)unused;
    hy_comm *self = NULL;
    hy_host_peak *hosts = NULL;
    int n = 0;
    assert_int_equal(hy_comm_self_create(&self), HY_OK);
    const int64_t bytes = hy_alloc_bytes();
    assert_int_equal(hy_gemm_peak_measure(self, "cpu_ref", HY_F32, &hosts, &n), HY_OK);
    assert_int_equal(n, 1);
    assert_true(hosts[0].flops_per_second > 1e6 && hosts[0].flops_per_second < 1e15);
    assert_true(hosts[0].undisturbed > 0.0 && hosts[0].undisturbed <= 1.0);
    assert_true(hosts[0].threads >= 1 && hosts[0].host[0] != '\0' && hosts[0].processor[0] != '\0');
    hy_free(hosts);
    assert_int_equal(hy_alloc_bytes(), bytes);
    hy_comm_destroy(self);
}

static int scratch_remove(void **unused) {
    (void)unused;
    return hy_file_remove_tree(scratch_dir, HY_ERR_FAILED) != HY_OK;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(load_does_not_lower_the_peak),  cmocka_unit_test(ranks_of_a_host_share_its_cores),
        cmocka_unit_test(better_grounded_figure_counts), cmocka_unit_test(file_keeps_a_peak_per_host),
        cmocka_unit_test(damaged_file_is_written_anew),  cmocka_unit_test(measures_this_machine),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
