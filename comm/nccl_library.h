/* libnccl, looked for when it is first wanted: the program starts without it. */
#ifndef HY_COMM_NCCL_LIBRARY_H
#define HY_COMM_NCCL_LIBRARY_H

#include <nccl.h>
#include <stdbool.h>
#include <stddef.h>

/* What it must have. All of them are in NCCL 2.14 and later. */
#define HY_NCCL_CALLS(X)                                                                                               \
    X(ncclGetVersion)                                                                                                  \
    X(ncclGetUniqueId)                                                                                                 \
    X(ncclGetErrorString)                                                                                              \
    X(ncclGetLastError)                                                                                                \
    X(ncclCommInitRankConfig)                                                                                          \
    X(ncclCommGetAsyncError)                                                                                           \
    X(ncclCommFinalize)                                                                                                \
    X(ncclCommDestroy)                                                                                                 \
    X(ncclCommAbort)                                                                                                   \
    X(ncclGroupStart)                                                                                                  \
    X(ncclGroupEnd)                                                                                                    \
    X(ncclAllGather)                                                                                                   \
    X(ncclAllReduce)                                                                                                   \
    X(ncclReduceScatter)                                                                                               \
    X(ncclBroadcast)                                                                                                   \
    X(ncclSend)                                                                                                        \
    X(ncclRecv)

/* What it may have: (call, first version). Left out where the header is older. */
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 19, 0)
#define HY_NCCL_REGISTERS NCCL_VERSION(2, 19, 0)
#define HY_NCCL_REGISTER_CALLS(X)                                                                                      \
    X(ncclMemAlloc, HY_NCCL_REGISTERS)                                                                                 \
    X(ncclMemFree, HY_NCCL_REGISTERS)                                                                                  \
    X(ncclCommRegister, HY_NCCL_REGISTERS)                                                                             \
    X(ncclCommDeregister, HY_NCCL_REGISTERS)
#else
#define HY_NCCL_REGISTER_CALLS(X)
#endif
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 27, 0)
#define HY_NCCL_WINDOWS NCCL_VERSION(2, 27, 0)
#define HY_NCCL_WINDOW_CALLS(X)                                                                                        \
    X(ncclCommWindowRegister, HY_NCCL_WINDOWS)                                                                         \
    X(ncclCommWindowDeregister, HY_NCCL_WINDOWS)
#else
#define HY_NCCL_WINDOW_CALLS(X)
#endif
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 28, 0)
#define HY_NCCL_COPY_ENGINES NCCL_VERSION(2, 28, 0) /* NCCL_CTA_POLICY_ZERO */
#endif

typedef struct hy_nccl_library {
#define X(call) __typeof__(&(call)) call;
    HY_NCCL_CALLS(X)
#undef X
#define X(call, version) __typeof__(&(call)) call; /* NULL: the library found is older, or without it */
    HY_NCCL_REGISTER_CALLS(X)
    HY_NCCL_WINDOW_CALLS(X)
#undef X
    int version;       /* as ncclGetVersion gives it: 22809 is 2.28.9 */
    bool hosts_memory; /* one that works on the host's memory: a test's */
} hy_nccl_library;

/* Whether HYLAS_NCCL in the environment names a file to take instead of libnccl.so.2. */
bool hy_nccl_library_is_named(void);
/* NULL, with the reason in words, if there is none or it is too old. */
const hy_nccl_library *hy_nccl_library_open(char *why, size_t size);

#endif
