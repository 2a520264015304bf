/* That all ranks of a job are one program, started for one thing. */
#ifndef HY_LAUNCH_SAME_PROGRAM_H
#define HY_LAUNCH_SAME_PROGRAM_H

#include "comm/comm.h"
#include "kernels/device.h"

/* Before anything else is exchanged: the same build, started with the same command word (NULL: none). HY_ERR_ENV, or HY_ERR_USAGE if only the
 * command differs; rank 0 says which ranks and what they are. Collective. */
HY_MUST_CHECK hy_status hy_same_program(hy_comm *world, const char *command);

/* That all ranks compute on one kind of device: HY_ERR_ENV if not. Kinds that differ in detail (instruction sets, models of GPUs) are a
 * warning: they work together, at the pace of the slowest. Collective. */
HY_MUST_CHECK hy_status hy_same_device(hy_comm *world, const hy_profile *profile);

#endif
