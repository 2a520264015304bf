/* What launchers say in the environment: ranks of this host, and the setting that Open MPI gets before it starts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "comm/launcher.h"

static const char *const names[] = {"OMPI_COMM_WORLD_SIZE",
                                    "OMPI_COMM_WORLD_LOCAL_SIZE",
                                    "PMI_SIZE",
                                    "PMI_RANK",
                                    "PMIX_RANK",
                                    "MPI_LOCALNRANKS",
                                    "SLURM_NODEID",
                                    "MV2_COMM_WORLD_LOCAL_SIZE",
                                    "PALS_LOCAL_SIZE",
                                    "SLURM_STEP_TASKS_PER_NODE",
                                    "OMPI_MCA_mpi_yield_when_idle"};

static void clear(void) {
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        unsetenv(names[i]);
    }
}

static void test_slurm_lists(void **unused) {
    (void)unused;
    assert_int_equal(hy_launcher_slurm_tasks("4", 0), 4);
    assert_int_equal(hy_launcher_slurm_tasks("4", 1), 0);
    assert_int_equal(hy_launcher_slurm_tasks("16(x4),8", 3), 16);
    assert_int_equal(hy_launcher_slurm_tasks("16(x4),8", 4), 8);
    assert_int_equal(hy_launcher_slurm_tasks("16(x4),8", 5), 0);
    assert_int_equal(hy_launcher_slurm_tasks("1,2,3", 2), 3);
    assert_int_equal(hy_launcher_slurm_tasks("", 0), 0);
    assert_int_equal(hy_launcher_slurm_tasks("(x4)", 0), 0);
    assert_int_equal(hy_launcher_slurm_tasks("16(x", 1), 0);
    assert_int_equal(hy_launcher_slurm_tasks("-1", 0), 0);
}

static void test_local_ranks(void **unused) {
    (void)unused;
    clear();
    assert_false(hy_launcher_present());
    assert_int_equal(hy_launcher_local_ranks(), 0);
    setenv("SLURM_STEP_TASKS_PER_NODE", "3(x2),7", 1);
    setenv("SLURM_NODEID", "2", 1);
    assert_int_equal(hy_launcher_local_ranks(), 7);
    setenv("MPI_LOCALNRANKS", "5", 1);
    assert_int_equal(hy_launcher_local_ranks(), 5);
    setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "6", 1);
    assert_int_equal(hy_launcher_local_ranks(), 6);
    setenv("PMIX_RANK", "0", 1);
    assert_true(hy_launcher_present());
}

static void test_yield_only_where_ranks_exceed_cores(void **unused) {
    (void)unused;
    clear();
    setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "1", 1);
    hy_launcher_prepare();
    assert_null(getenv("OMPI_MCA_mpi_yield_when_idle"));
    setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "100000", 1);
    hy_launcher_prepare();
    assert_string_equal(getenv("OMPI_MCA_mpi_yield_when_idle"), "1");
    setenv("OMPI_MCA_mpi_yield_when_idle", "0", 1); /* the user's */
    hy_launcher_prepare();
    assert_string_equal(getenv("OMPI_MCA_mpi_yield_when_idle"), "0");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slurm_lists),
        cmocka_unit_test(test_local_ranks),
        cmocka_unit_test(test_yield_only_where_ranks_exceed_cores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
