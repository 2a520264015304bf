#include "launch/relaunch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

/* Open MPI refuses root and more ranks than cores unless told so, and binds two ranks to one core each whatever the machine has. */
static void set_environment(void) {
    if (geteuid() == 0) {
        setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 0);
        setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 0);
    }
    setenv("OMPI_MCA_rmaps_base_oversubscribe", "1", 0);
    setenv("OMPI_MCA_hwloc_base_binding_policy", "none", 0);
}

hy_status hy_relaunch(int ranks, int argc, char **argv) {
    char self[4096], count[16];
    char launcher[] = "mpirun", np[] = "-np";
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len <= 0)
        return hy_fail(HY_ERR_ENV, "cannot find this program's own file; start it as mpirun -np %d hylas %s ...", ranks,
                       argv[0]);
    self[len] = '\0';
    snprintf(count, sizeof count, "%d", ranks);
    char **words = calloc((size_t)argc + 5, sizeof *words);
    if (!words)
        return hy_fail(HY_ERR_MEMORY, "no memory to start mpirun");
    words[0] = launcher, words[1] = np, words[2] = count, words[3] = self;
    memcpy(words + 4, argv, (size_t)argc * sizeof *words);
    set_environment();
    hy_info("starting mpirun -np %d", ranks);
    execvp(launcher, words);
    free(words);
    return hy_fail(HY_ERR_ENV, "mpirun cannot be started: %s (Debian, Ubuntu: apt-get install openmpi-bin)",
                   strerror(errno));
}
