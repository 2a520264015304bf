#include "comm/launcher.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Starting MPI without a launcher takes long and forks a daemon, so one process alone never does. */
bool hy_launcher_present(void) {
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMI_RANK", "PMIX_RANK"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (getenv(names[i])) {
            return true;
        }
    }
    return false;
}

int hy_launcher_slurm_tasks(const char *list, int node) {
    while (*list != '\0') {
        char *end = NULL;
        const long tasks = strtol(list, &end, 10);
        long nodes = 1;
        if (end == list || tasks < 1) {
            return 0;
        }
        if (strncmp(end, "(x", 2) == 0) {
            nodes = strtol(end + 2, &end, 10);
            end += *end == ')';
        }
        if (node < nodes) {
            return tasks > 1 << 20 ? 0 : (int)tasks;
        }
        node -= (int)nodes;
        list = end + (*end == ',');
    }
    return 0;
}

int hy_launcher_local_ranks(void) {
    static const char *const names[] = {"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "MV2_COMM_WORLD_LOCAL_SIZE",
                                        "PALS_LOCAL_SIZE"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *value = getenv(names[i]);
        if (value != NULL && atoi(value) > 0) {
            return atoi(value);
        }
    }
    const char *tasks = getenv("SLURM_STEP_TASKS_PER_NODE"), *node = getenv("SLURM_NODEID");
    return tasks != NULL ? hy_launcher_slurm_tasks(tasks, node != NULL ? atoi(node) : 0) : 0;
}

/* Under Open MPI a rank's parent is mpirun or its daemon, which is not bound itself. */
void hy_launcher_cores(hy_cores *cores) {
    memset(cores, 0, sizeof *cores);
    if (getenv("OMPI_COMM_WORLD_LOCAL_SIZE") != NULL) {
        hy_cores_of_process((long)getppid(), cores);
    }
}

bool hy_launcher_binding_chosen(void) {
    return getenv("OMPI_MCA_hwloc_base_binding_policy") != NULL ||
           getenv("PRTE_MCA_hwloc_default_binding_policy") != NULL;
}

void hy_launcher_prepare(void) {
    hy_cores all, own;
    hy_launcher_cores(&all);
    hy_cores_of_process(0, &own);
    hy_cores_unite(&all, &own);
    const int cores = hy_cores_count(&all), quota = hy_cores_quota();
    if (hy_launcher_local_ranks() > (quota > 0 && quota < cores ? quota : cores)) {
        setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
    }
}
