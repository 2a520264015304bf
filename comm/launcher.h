/* What an MPI launcher (mpirun, srun) tells the processes that it starts, before MPI itself runs. Local. */
#ifndef HY_COMM_LAUNCHER_H
#define HY_COMM_LAUNCHER_H

#include <stdbool.h>

#include "base/cores.h"

bool hy_launcher_present(void);    /* this process was started by one */
int hy_launcher_local_ranks(void); /* ranks on this host; 0 = not told */
/* The cores that Open MPI's launcher on this host may use, of which it gives each rank some; empty if another launcher started
 * this process, or none. */
void hy_launcher_cores(hy_cores *cores);
/* The user told Open MPI how to bind ranks to cores. */
bool hy_launcher_binding_chosen(void);

/* Settings that Open MPI reads when it starts: waiting ranks leave the core where ranks are more than cores, unless the user has said
 * otherwise. Call before MPI_Init. */
void hy_launcher_prepare(void);

/* SLURM's list of tasks per node, "16(x4),8", at `node`; 0 if it says nothing about it. */
int hy_launcher_slurm_tasks(const char *list, int node);

#endif
