/* A stand-in of libnccl for machines without a GPU: the entry points that hylas takes, over pipes between the processes of one host, on the host's
 * memory. What programs get wrong with NCCL and what its kernels punish by hanging or by wrong numbers shows here, on any machine:
 *
 *   order of a stream   what is given runs in the stream's order, late (HYLAS_STANDIN_SEED draws the delays)
 *   groups              a send is done once its receiver has taken it, and operations that are not in one group run one after the other:
 *                       two ranks that both send first stand still; after HYLAS_STANDIN_SECONDS (120) that is said, and the process ends.
 *                       HYLAS_STANDIN_UNGROUPED=1 takes every group apart: what a program looks like that forgot them
 *   program order       a collective that meets another one, or a message of another size, is said, and the process ends
 *   failures            a lost rank is an asynchronous error, and what waits for it waits until ncclCommAbort; HYLAS_STANDIN_FAIL=n makes the
 *                       n-th operation of the process fail
 *   registered memory   what is registered twice, is not deregistered, or ends in the middle of an operation's buffer is said, and the process ends;
 *                       so is a collective that lies elsewhere in a symmetric window on another rank, and windows of different sizes.
 *                       HYLAS_STANDIN_SAY=1: how many operations had all their memory registered
 *   ncclInProgress      of a communicator that is not blocking, each call is in progress first
 *
 * A stream is NULL (calls run at once) or the address of a hy_stream (kernels/device.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/device.h"
#include "standin_batch.h"

#define EXPORT __attribute__((visibility("default")))

static _Thread_local int depth; /* of groups */
static _Thread_local batch *group;
static int64_t operations;

/* ---- groups ---- */

static batch *batch_with(batch *b, const group_op *op) {
    if (b == NULL) {
        b = calloc(1, sizeof *b);
    }
    b->ops = realloc(b->ops, (size_t)(b->n_ops + 1) * sizeof *b->ops);
    b->ops[b->n_ops++] = *op;
    return b;
}

static ncclResult_t give_batch(batch *b) {
    if (b == NULL) {
        return ncclSuccess;
    }
    ncclResult_t result = ncclSuccess;
    hy_stream *stream = (hy_stream *)(void *)b->ops[0].stream;
    for (int i = 0; i < b->n_ops; i++) {
        atomic_fetch_add(&b->ops[i].comm->given, 1);
        if (b->ops[i].comm->polled) {
            b->ops[i].comm->in_progress = true;
            result = ncclInProgress;
        }
    }
    if (stream != NULL) {
        stream->give(stream, standin_run_batch, b);
    } else {
        standin_run_batch(b);
    }
    return result;
}

static ncclResult_t take(group_op op) {
    if (++operations == standin_setting("HYLAS_STANDIN_FAIL", 0)) {
        return ncclInternalError;
    }
    if (op.comm->in_progress && depth == 0) {
        fprintf(stderr, "NCCL stand-in: a call while the one before is in progress\n");
        return ncclInvalidUsage;
    }
    op.number = op.kind == MESSAGE ? 0 : ++op.comm->collectives;
    op.place = -1;
    standin_look_at_memory(&op);
    if (depth > 0) {
        group = batch_with(group, &op);
        return ncclSuccess;
    }
    return give_batch(batch_with(NULL, &op));
}

static bool taken_apart(void) {
    return standin_setting("HYLAS_STANDIN_UNGROUPED", 0) != 0;
}

EXPORT ncclResult_t ncclGroupStart(void) {
    depth += !taken_apart();
    return ncclSuccess;
}

EXPORT ncclResult_t ncclGroupEnd(void) {
    if (taken_apart()) {
        return ncclSuccess;
    }
    if (--depth > 0) {
        return ncclSuccess;
    }
    batch *b = group;
    group = NULL;
    return give_batch(b);
}

/* ---- operations ---- */

static group_op op_of(coll_kind kind, size_t count, ncclDataType_t type, ncclComm_t comm, cudaStream_t stream) {
    return (group_op){.comm = comm, .kind = kind, .count = count, .type = type, .stream = stream};
}

/* Of a message one of both is NULL: it goes out, or comes in. */
static ncclResult_t take_with(group_op op, const void *send, void *recv) {
    op.send = send;
    op.recv = recv;
    return take(op);
}

EXPORT ncclResult_t ncclAllGather(const void *send, void *recv, size_t count, ncclDataType_t type, ncclComm_t comm,
                                  cudaStream_t stream) {
    return take_with(op_of(ALL_GATHER, count, type, comm, stream), send, recv);
}

EXPORT ncclResult_t ncclAllReduce(const void *send, void *recv, size_t count, ncclDataType_t type, ncclRedOp_t op,
                                  ncclComm_t comm, cudaStream_t stream) {
    group_op g = op_of(ALL_REDUCE, count, type, comm, stream);
    g.op = op;
    return take_with(g, send, recv);
}

EXPORT ncclResult_t ncclReduceScatter(const void *send, void *recv, size_t count, ncclDataType_t type, ncclRedOp_t op,
                                      ncclComm_t comm, cudaStream_t stream) {
    group_op g = op_of(REDUCE_SCATTER, count, type, comm, stream);
    g.op = op;
    return take_with(g, send, recv);
}

EXPORT ncclResult_t ncclBroadcast(const void *send, void *recv, size_t count, ncclDataType_t type, int root,
                                  ncclComm_t comm, cudaStream_t stream) {
    group_op g = op_of(BROADCAST, count, type, comm, stream);
    g.peer = root;
    return take_with(g, send, recv);
}

EXPORT ncclResult_t ncclSend(const void *send, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                             cudaStream_t stream) {
    group_op g = op_of(MESSAGE, count, type, comm, stream);
    g.peer = peer;
    return take_with(g, count > 0 ? send : "", NULL);
}

EXPORT ncclResult_t ncclRecv(void *recv, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                             cudaStream_t stream) {
    static char nothing;
    group_op g = op_of(MESSAGE, count, type, comm, stream);
    g.peer = peer;
    return take_with(g, NULL, count > 0 ? recv : &nothing);
}

/* Says that it is one. */
EXPORT const int hylas_standin = 1;

/* ---- communicators ---- */

EXPORT ncclResult_t ncclGetVersion(int *version) {
    *version = (int)standin_setting("HYLAS_STANDIN_VERSION", NCCL_VERSION_CODE);
    return ncclSuccess;
}

EXPORT const char *ncclGetErrorString(ncclResult_t result) {
    static const char *const names[] = {"no error",         "CUDA call failed", "system error", "internal error",
                                        "invalid argument", "invalid usage",    "remote error", "in progress"};
    return (unsigned)result < sizeof names / sizeof names[0] ? names[result] : "unknown";
}

EXPORT const char *ncclGetLastError(ncclComm_t comm) {
    (void)comm;
    return "of the stand-in";
}

EXPORT ncclResult_t ncclGetUniqueId(ncclUniqueId *id) {
    static int made;
    memset(id, 0, sizeof *id);
    snprintf(id->internal, STANDIN_NAME, "/hylas-standin-%d-%d", (int)getpid(), made++);
    return ncclSuccess;
}

EXPORT ncclResult_t ncclCommInitRankConfig(ncclComm_t *out, int size, ncclUniqueId id, int rank, ncclConfig_t *config) {
    if (size > STANDIN_RANKS) {
        return ncclInvalidArgument;
    }
    struct ncclComm *comm = calloc(1, sizeof *comm);
    comm->rank = rank;
    comm->size = size;
    comm->polled = config != NULL && config->blocking == 0;
    comm->in_progress = comm->polled;
    comm->pipes = standin_pipes_open(id.internal, rank, size);
    if (comm->pipes == NULL) {
        free(comm);
        return ncclSystemError;
    }
    *out = comm;
    return comm->polled ? ncclInProgress : ncclSuccess;
}

EXPORT ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *error) {
    const int found = atomic_load(&comm->error);
    *error = found != 0 ? (ncclResult_t)found : comm->in_progress ? ncclInProgress : ncclSuccess;
    comm->in_progress = false;
    return ncclSuccess;
}

static void wait_for_batches(struct ncclComm *comm) {
    while (atomic_load(&comm->given) > 0) {
        standin_pause(100000);
    }
}

EXPORT ncclResult_t ncclCommDestroy(ncclComm_t comm) {
    wait_for_batches(comm);
    standin_pipes_close(comm->pipes);
    free(comm);
    return ncclSuccess;
}

EXPORT ncclResult_t ncclCommFinalize(ncclComm_t comm) {
    wait_for_batches(comm);
    standin_memory_end(&comm->memory, comm->rank);
    return ncclSuccess;
}

/* ---- registered memory ---- */

EXPORT ncclResult_t ncclMemAlloc(void **memory, size_t bytes) {
    *memory = aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
    return *memory != NULL ? ncclSuccess : ncclSystemError;
}

EXPORT ncclResult_t ncclMemFree(void *memory) {
    free(memory);
    return ncclSuccess;
}

EXPORT ncclResult_t ncclCommRegister(const ncclComm_t comm, void *memory, size_t bytes, void **handle) {
    *handle = standin_memory_add(&comm->memory, memory, bytes, false);
    return ncclSuccess;
}

EXPORT ncclResult_t ncclCommDeregister(const ncclComm_t comm, void *handle) {
    standin_memory_remove(&comm->memory, handle);
    return ncclSuccess;
}

/* Collective: the ranks see that theirs are of one size. */
EXPORT ncclResult_t ncclCommWindowRegister(ncclComm_t comm, void *memory, size_t bytes, ncclWindow_t *window,
                                           int flags) {
    uint64_t sizes[STANDIN_RANKS] = {0};
    wait_for_batches(comm);
    sizes[comm->rank] = bytes;
    group_op op = op_of(WINDOW, sizeof *sizes, ncclInt8, comm, NULL);
    op.number = ++comm->windows;
    op.place = -1;
    op.send = (const char *)&sizes[comm->rank];
    op.recv = (char *)sizes;
    atomic_fetch_add(&comm->given, 1);
    standin_run_batch(batch_with(NULL, &op));
    for (int r = 0; r < comm->size; r++) {
        if (sizes[r] != bytes) {
            fprintf(stderr, "NCCL stand-in: a window of %zu bytes on rank %d, of %zu on rank %d\n", bytes, comm->rank,
                    (size_t)sizes[r], r);
            abort();
        }
    }
    *window = standin_memory_add(&comm->memory, memory, bytes, (flags & NCCL_WIN_COLL_SYMMETRIC) != 0);
    comm->in_progress = comm->polled;
    return comm->polled ? ncclInProgress : ncclSuccess;
}

EXPORT ncclResult_t ncclCommWindowDeregister(ncclComm_t comm, ncclWindow_t window) {
    standin_memory_remove(&comm->memory, window);
    return ncclSuccess;
}

EXPORT ncclResult_t ncclCommAbort(ncclComm_t comm) {
    atomic_store(&comm->aborted, true);
    return ncclCommDestroy(comm);
}
