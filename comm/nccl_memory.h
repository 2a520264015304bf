/* Memory that NCCL is told of, so that its exchanges copy less and take fewer multiprocessors from the kernels they hide behind. What there is depends
 * on the version of the library that is found and of the header this was built with:
 *
 *     2.19   ncclCommRegister: each rank by itself
 *     2.27   windows, collective: memory that lies alike on all ranks may be used by all of them directly
 *     2.28   a policy under which gathers of windows are left to copy engines, without any multiprocessor
 *
 * HYLAS_NCCL_REGISTER=0 goes without. */
#ifndef HY_COMM_NCCL_MEMORY_H
#define HY_COMM_NCCL_MEMORY_H

#include "comm/nccl_library.h"

/* What was registered with one communicator. */
typedef struct hy_nccl_memory {
    struct hy_nccl_memory *next;
    void *handle; /* of ncclCommRegister */
    void *window; /* or of ncclCommWindowRegister */
} hy_nccl_memory;

typedef struct hy_nccl_range {
    void *memory;
    size_t bytes;
    bool as_window; /* collective; only where there are windows */
} hy_nccl_range;

bool hy_nccl_can_register(const hy_nccl_library *library);
bool hy_nccl_has_windows(const hy_nccl_library *library);
/* Exchanges shall take no multiprocessor where that is possible, as far as the library knows how. */
void hy_nccl_set_policy(const hy_nccl_library *library, ncclConfig_t *config);
/* ncclMemAlloc and ncclMemFree of the library, as a device wants them; what they give may become a window. */
int hy_nccl_take_memory(void **memory, size_t bytes);
int hy_nccl_give_back_memory(void *memory);

/* The communicator may be in progress after these. */
ncclResult_t hy_nccl_register(const hy_nccl_library *library, ncclComm_t comm, const hy_nccl_range *range,
                              hy_nccl_memory *out);
ncclResult_t hy_nccl_deregister(const hy_nccl_library *library, ncclComm_t comm, const hy_nccl_memory *memory);

#endif
