#include "comm/nccl_memory.h"

#include <stdlib.h>
#include <string.h>

bool hy_nccl_has_windows(const hy_nccl_library *library) {
#ifdef HY_NCCL_WINDOWS
    return library->ncclCommWindowRegister != NULL && hy_nccl_can_register(library);
#else
    (void)library;
    return false;
#endif
}

void hy_nccl_set_policy(const hy_nccl_library *library, ncclConfig_t *config) {
#ifdef HY_NCCL_COPY_ENGINES
    if (library->version >= HY_NCCL_COPY_ENGINES && hy_nccl_can_register(library)) {
        config->CTAPolicy = NCCL_CTA_POLICY_ZERO;
    }
#else
    (void)library;
    (void)config;
#endif
}

#ifdef HY_NCCL_REGISTERS

bool hy_nccl_can_register(const hy_nccl_library *library) {
    const char *wanted = getenv("HYLAS_NCCL_REGISTER");
    return library->ncclCommRegister != NULL && (wanted == NULL || strcmp(wanted, "0") != 0);
}

int hy_nccl_take_memory(void **memory, size_t bytes) {
    char why[256];
    return (int)hy_nccl_library_open(why, sizeof why)->ncclMemAlloc(memory, bytes);
}

int hy_nccl_give_back_memory(void *memory) {
    char why[256];
    return (int)hy_nccl_library_open(why, sizeof why)->ncclMemFree(memory);
}

ncclResult_t hy_nccl_register(const hy_nccl_library *library, ncclComm_t comm, const hy_nccl_range *range,
                              hy_nccl_memory *out) {
#ifdef HY_NCCL_WINDOWS
    if (range->as_window) {
        return library->ncclCommWindowRegister(comm, range->memory, range->bytes, (ncclWindow_t *)&out->window,
                                               NCCL_WIN_COLL_SYMMETRIC);
    }
#endif
    return library->ncclCommRegister(comm, range->memory, range->bytes, &out->handle);
}

ncclResult_t hy_nccl_deregister(const hy_nccl_library *library, ncclComm_t comm, const hy_nccl_memory *memory) {
#ifdef HY_NCCL_WINDOWS
    if (memory->window != NULL) {
        return library->ncclCommWindowDeregister(comm, memory->window);
    }
#endif
    return memory->handle != NULL ? library->ncclCommDeregister(comm, memory->handle) : ncclSuccess;
}

#else /* of headers before 2.19: never called but for the first */

bool hy_nccl_can_register(const hy_nccl_library *library) {
    (void)library;
    return false;
}

int hy_nccl_take_memory(void **memory, size_t bytes) {
    (void)memory;
    (void)bytes;
    return (int)ncclInvalidUsage;
}

int hy_nccl_give_back_memory(void *memory) {
    (void)memory;
    return (int)ncclInvalidUsage;
}

ncclResult_t hy_nccl_register(const hy_nccl_library *library, ncclComm_t comm, const hy_nccl_range *range,
                              hy_nccl_memory *out) {
    (void)library;
    (void)comm;
    (void)range;
    (void)out;
    return ncclInvalidUsage;
}

ncclResult_t hy_nccl_deregister(const hy_nccl_library *library, ncclComm_t comm, const hy_nccl_memory *memory) {
    (void)library;
    (void)comm;
    (void)memory;
    return ncclInvalidUsage;
}

#endif
