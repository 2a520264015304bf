/* ranks: 1 2 4 */
/* The ranks of this host as a communicator, and Open MPI's own word that waiting yields exactly where ranks exceed cores, with nothing set
 * in the environment. */
#include <mpi.h>
#include <stdlib.h>
#include <unistd.h>

#include "comm/launcher.h"
#include "dist.h"

/* The setting as Open MPI runs with it; −1 = it has none of that name. */
static int yields_when_idle(void) {
    int given, index, count, value = -1;
    MPI_T_cvar_handle handle;
    if (MPI_T_init_thread(MPI_THREAD_SINGLE, &given) != MPI_SUCCESS) {
        return -1;
    }
    if (MPI_T_cvar_get_index("mpi_yield_when_idle", &index) == MPI_SUCCESS &&
        MPI_T_cvar_handle_alloc(index, NULL, &handle, &count) == MPI_SUCCESS) {
        union {
            bool flag;
            int number;
        } read = {.number = 0};
        if (MPI_T_cvar_read(handle, &read) == MPI_SUCCESS) {
            value = read.number != 0;
        }
        (void)MPI_T_cvar_handle_free(&handle);
    }
    (void)MPI_T_finalize();
    return value;
}

int main(int argc, char **argv) {
    hy_comm *world = NULL, *host = NULL;
    hy_cores cores;
    unsetenv("OMPI_MCA_mpi_yield_when_idle");
    unsetenv("OMPI_MCA_mpi_oversubscribe"); /* what mpirun adds by its own count of slots */
    if (hy_comm_world_create(&argc, &argv, &world) != HY_OK) {
        return 1;
    }
    const int size = hy_comm_size(world), rank = hy_comm_rank(world);
    if (hy_comm_split_host(world, &host) != HY_OK) {
        return 1;
    }
    CHECK(hy_comm_size(host) == size, "%d ranks of %d are on this host", hy_comm_size(host), size);
    CHECK(hy_comm_rank(host) == rank, "rank %d is %d on its host", rank, hy_comm_rank(host));
    CHECK(hy_launcher_local_ranks() == size, "the launcher speaks of %d ranks", hy_launcher_local_ranks());

    hy_launcher_cores(&cores);
    const int there = hy_cores_count(&cores), quota = hy_cores_quota(), yields = yields_when_idle();
    const int usable = quota > 0 && quota < there ? quota : there;
    CHECK(there >= 1, "the launcher's cores are not seen");
    CHECK(yields == -1 || yields == (size > usable), "%d ranks on %d cores, yields: %d", size, usable, yields);
    hy_comm_destroy(host);
    return hy_test_finish(world, "test_host_ranks", 1);
}
