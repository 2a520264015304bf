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
 *   ncclInProgress      of a communicator that is not blocking, each call is in progress first
 *
 * A stream is NULL (calls run at once) or the address of a hy_stream (kernels/device.h). */
#include <limits.h>
#include <nccl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kernels/device.h"
#include "standin_pipes.h"

#define EXPORT __attribute__((visibility("default")))

typedef enum coll_kind { MESSAGE = 1, ALL_GATHER, ALL_REDUCE, REDUCE_SCATTER, BROADCAST, ALL_TO_ALL } coll_kind;

struct ncclComm {
    standin_pipes *pipes;
    int rank, size;
    uint64_t collectives;
    bool in_progress;  /* said once, not yet asked for */
    bool polled;       /* not blocking */
    _Atomic int error; /* asynchronous */
    _Atomic bool aborted;
    _Atomic int given; /* batches on their way */
};

/* One operation of a group. */
typedef struct group_op {
    struct ncclComm *comm;
    coll_kind kind;
    uint64_t number; /* of the collective */
    const char *send;
    char *recv;
    size_t count; /* elements; of all-gather, reduce-scatter, all-to-all: of a block */
    ncclDataType_t type;
    ncclRedOp_t op;
    int peer;     /* of a message, its other rank; of a broadcast, the root */
    char *blocks; /* [size · count] what the ranks bring to a sum */
    cudaStream_t stream;
} group_op;

/* What runs in a stream's order at one place of it. */
typedef struct batch {
    int n_ops, n_sides, limit;
    group_op *ops;
    standin_side *sides;
} batch;

static _Thread_local int depth; /* of groups */
static _Thread_local batch *group;
static int64_t operations;

/* ---- settings ---- */

static int64_t setting(const char *name, int64_t otherwise) {
    const char *text = getenv(name);
    return text != NULL && text[0] != '\0' ? strtoll(text, NULL, 10) : otherwise;
}

static void pause_for(int64_t nanoseconds) {
    const struct timespec time = {.tv_nsec = nanoseconds};
    (void)nanosleep(&time, NULL);
}

static void delay(void) {
    static _Atomic uint64_t drawn;
    uint64_t x = atomic_fetch_add(&drawn, 0x9E3779B97F4A7C15u) + (uint64_t)setting("HYLAS_STANDIN_SEED", 1);
    x = (x ^ (x >> 31)) * 0xBF58476D1CE4E5B9u;
    x ^= x >> 29;
    if (x % 8 == 0) {
        pause_for((int64_t)(x >> 40) % 200000);
    }
}

/* ---- what moves ---- */

static size_t type_size(ncclDataType_t type) {
    switch (type) {
    case ncclInt8:
    case ncclUint8:
        return 1;
    case ncclFloat16:
    case ncclBfloat16:
        return 2;
    case ncclInt32:
    case ncclUint32:
    case ncclFloat32:
        return 4;
    default:
        return 8;
    }
}

static void add_side(batch *b, const group_op *op, bool sends, int peer, const void *at, size_t bytes) {
    if (b->n_sides == b->limit) {
        b->limit = 2 * b->limit + 16;
        b->sides = realloc(b->sides, (size_t)b->limit * sizeof *b->sides);
    }
    b->sides[b->n_sides++] = (standin_side){.pipes = op->comm->pipes,
                                            .sends = sends,
                                            .peer = peer,
                                            .at = (char *)(uintptr_t)at,
                                            .message = {(uint64_t)op->kind, op->number, bytes}};
}

/* This rank's own part: no message. */
static void keep_own(void *to, const void *from, size_t bytes) {
    if (to != from && bytes > 0) {
        memmove(to, from, bytes);
    }
}

/* The messages of an operation, and what stays on this rank. */
static void begin_op(batch *b, group_op *op) {
    const struct ncclComm *c = op->comm;
    const size_t bytes = op->count * type_size(op->type);
    const int sums = op->kind == ALL_REDUCE || op->kind == REDUCE_SCATTER;
    if (sums) {
        op->blocks = malloc((size_t)c->size * bytes + 1);
    }
    for (int r = 0; r < c->size && op->kind != MESSAGE; r++) {
        const size_t at = (size_t)r * bytes;
        const bool cut = op->kind == REDUCE_SCATTER || op->kind == ALL_TO_ALL; /* a block for each rank */
        const void *out = cut ? op->send + at : op->send;
        char *in = sums ? op->blocks + at : op->kind == BROADCAST ? op->recv : op->recv + at;
        if (r == c->rank) {
            if (op->kind != BROADCAST || op->peer == r) {
                keep_own(in, out, bytes);
            }
            continue;
        }
        if (op->kind != BROADCAST || op->peer == c->rank) {
            add_side(b, op, true, r, out, bytes);
        }
        if (op->kind != BROADCAST || op->peer == r) {
            add_side(b, op, false, r, in, bytes);
        }
    }
    if (op->kind == MESSAGE && op->peer != c->rank) {
        add_side(b, op, op->send != NULL, op->peer, op->send != NULL ? op->send : op->recv, bytes);
    }
}

/* A message to oneself: the group's sends in order meet its receives. */
static void messages_to_self(batch *b) {
    int from = 0;
    for (int i = 0; i < b->n_ops; i++) {
        group_op *to = &b->ops[i];
        if (to->kind != MESSAGE || to->peer != to->comm->rank || to->recv == NULL) {
            continue;
        }
        while (from < b->n_ops && (b->ops[from].kind != MESSAGE || b->ops[from].peer != to->comm->rank ||
                                   b->ops[from].send == NULL || b->ops[from].comm != to->comm)) {
            from++;
        }
        if (from == b->n_ops) {
            fprintf(stderr, "NCCL stand-in: rank %d receives from itself what its group does not send\n",
                    to->comm->rank);
            abort();
        }
        keep_own(to->recv, b->ops[from++].send, to->count * type_size(to->type));
    }
}

#define SUM_OF(type)                                                                                                   \
    for (size_t i = 0; i < op->count; i++) {                                                                           \
        type sum = ((const type *)(const void *)op->blocks)[i];                                                        \
        for (int r = 1; r < op->comm->size; r++) {                                                                     \
            const type x = ((const type *)(const void *)op->blocks)[(size_t)r * op->count + i];                        \
            sum = op->op == ncclSum ? sum + x : (op->op == ncclMax) == (x > sum) ? x : sum;                            \
        }                                                                                                              \
        ((type *)(void *)op->recv)[i] = sum;                                                                           \
    }

/* In the order of ranks. */
static void end_op(group_op *op) {
    if (op->blocks == NULL) {
        return;
    }
    if (op->type == ncclFloat32) {
        SUM_OF(float)
    } else if (op->type == ncclFloat64) {
        SUM_OF(double)
    } else {
        SUM_OF(int64_t)
    }
    free(op->blocks);
}

/* Messages of a pair go one behind the other. */
static bool is_behind(const batch *b, int side) {
    const standin_side *s = &b->sides[side];
    for (int i = 0; i < side; i++) {
        const standin_side *other = &b->sides[i];
        if (!other->done && other->pipes == s->pipes && other->peer == s->peer && other->sends == s->sends) {
            return true;
        }
    }
    return false;
}

static bool move_sides(batch *b, bool *complete) {
    bool moved = false;
    *complete = true;
    for (int i = 0; i < b->n_sides; i++) {
        standin_side *s = &b->sides[i];
        if (!s->done && !is_behind(b, i)) {
            moved |= standin_side_move(s);
        }
        *complete &= s->done;
    }
    return moved;
}

static void end_standing_still(const batch *b, int64_t seconds) {
    for (int i = 0; i < b->n_sides; i++) {
        const standin_side *s = &b->sides[i];
        if (!s->done) {
            fprintf(stderr,
                    "NCCL stand-in: nothing moves for %lld s: rank %d %s rank %d, collective %d, number %lld, "
                    "%lld bytes; are sends and receives that wait for each other in one group?\n",
                    (long long)seconds, b->ops[0].comm->rank, s->sends ? "sends to" : "receives from", s->peer,
                    (int)s->message.kind, (long long)s->message.number, (long long)s->message.bytes);
        }
    }
    abort();
}

static bool is_aborted(const batch *b) {
    bool aborted = false;
    for (int i = 0; i < b->n_ops; i++) {
        aborted |= atomic_load(&b->ops[i].comm->aborted);
    }
    return aborted;
}

static void look_at_ranks(const batch *b) {
    for (int i = 0; i < b->n_ops; i++) {
        int rank;
        if (standin_pipes_lost(b->ops[i].comm->pipes, &rank)) {
            atomic_store(&b->ops[i].comm->error, ncclRemoteError);
        }
    }
}

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void move_all(batch *b) {
    const int64_t limit = setting("HYLAS_STANDIN_SECONDS", 120);
    double last = seconds_now();
    bool complete;
    for (int64_t idle = 0;; idle++) {
        if (move_sides(b, &complete)) {
            last = seconds_now();
            idle = 0;
        }
        if (complete) {
            return;
        }
        if (idle > 100) {
            look_at_ranks(b);
            if (is_aborted(b)) {
                return;
            }
            if (seconds_now() - last > (double)limit) {
                end_standing_still(b, limit);
            }
            pause_for(20000);
        }
    }
}

static void run_batch(void *context) {
    batch *b = context;
    delay();
    if (!is_aborted(b)) {
        for (int i = 0; i < b->n_ops; i++) {
            begin_op(b, &b->ops[i]);
        }
        messages_to_self(b);
        move_all(b);
    }
    for (int i = 0; i < b->n_ops; i++) {
        end_op(&b->ops[i]);
        atomic_fetch_sub(&b->ops[i].comm->given, 1);
    }
    free(b->sides);
    free(b->ops);
    free(b);
}

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
        stream->give(stream, run_batch, b);
    } else {
        run_batch(b);
    }
    return result;
}

static ncclResult_t take(group_op op) {
    if (++operations == setting("HYLAS_STANDIN_FAIL", 0)) {
        return ncclInternalError;
    }
    if (op.comm->in_progress && depth == 0) {
        fprintf(stderr, "NCCL stand-in: a call while the one before is in progress\n");
        return ncclInvalidUsage;
    }
    op.number = op.kind == MESSAGE ? 0 : ++op.comm->collectives;
    if (depth > 0) {
        group = batch_with(group, &op);
        return ncclSuccess;
    }
    return give_batch(batch_with(NULL, &op));
}

static bool taken_apart(void) {
    return setting("HYLAS_STANDIN_UNGROUPED", 0) != 0;
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

EXPORT ncclResult_t ncclAllGather(const void *send, void *recv, size_t count, ncclDataType_t type, ncclComm_t comm,
                                  cudaStream_t stream) {
    return take((group_op){
        .comm = comm, .kind = ALL_GATHER, .send = send, .recv = recv, .count = count, .type = type, .stream = stream});
}

EXPORT ncclResult_t ncclAllReduce(const void *send, void *recv, size_t count, ncclDataType_t type, ncclRedOp_t op,
                                  ncclComm_t comm, cudaStream_t stream) {
    return take((group_op){.comm = comm,
                           .kind = ALL_REDUCE,
                           .send = send,
                           .recv = recv,
                           .count = count,
                           .type = type,
                           .op = op,
                           .stream = stream});
}

EXPORT ncclResult_t ncclReduceScatter(const void *send, void *recv, size_t count, ncclDataType_t type, ncclRedOp_t op,
                                      ncclComm_t comm, cudaStream_t stream) {
    return take((group_op){.comm = comm,
                           .kind = REDUCE_SCATTER,
                           .send = send,
                           .recv = recv,
                           .count = count,
                           .type = type,
                           .op = op,
                           .stream = stream});
}

EXPORT ncclResult_t ncclBroadcast(const void *send, void *recv, size_t count, ncclDataType_t type, int root,
                                  ncclComm_t comm, cudaStream_t stream) {
    return take((group_op){.comm = comm,
                           .kind = BROADCAST,
                           .send = send,
                           .recv = recv,
                           .count = count,
                           .type = type,
                           .peer = root,
                           .stream = stream});
}

EXPORT ncclResult_t ncclSend(const void *send, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                             cudaStream_t stream) {
    return take((group_op){.comm = comm,
                           .kind = MESSAGE,
                           .send = count > 0 ? send : "",
                           .count = count,
                           .type = type,
                           .peer = peer,
                           .stream = stream});
}

EXPORT ncclResult_t ncclRecv(void *recv, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                             cudaStream_t stream) {
    static char nothing;
    return take((group_op){.comm = comm,
                           .kind = MESSAGE,
                           .recv = count > 0 ? recv : &nothing,
                           .count = count,
                           .type = type,
                           .peer = peer,
                           .stream = stream});
}

/* Says that it is one. */
EXPORT const int hylas_standin = 1;

/* ---- communicators ---- */

EXPORT ncclResult_t ncclGetVersion(int *version) {
    *version = (int)setting("HYLAS_STANDIN_VERSION", NCCL_VERSION_CODE);
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

EXPORT ncclResult_t ncclCommInitRank(ncclComm_t *out, int size, ncclUniqueId id, int rank) {
    return ncclCommInitRankConfig(out, size, id, rank, NULL);
}

EXPORT ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *error) {
    const int found = atomic_load(&comm->error);
    *error = found != 0 ? (ncclResult_t)found : comm->in_progress ? ncclInProgress : ncclSuccess;
    comm->in_progress = false;
    return ncclSuccess;
}

static void wait_for_batches(struct ncclComm *comm) {
    while (atomic_load(&comm->given) > 0) {
        pause_for(100000);
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
    return ncclSuccess;
}

EXPORT ncclResult_t ncclCommAbort(ncclComm_t comm) {
    atomic_store(&comm->aborted, true);
    return ncclCommDestroy(comm);
}

EXPORT ncclResult_t ncclCommRegister(const ncclComm_t comm, void *memory, size_t bytes, void **handle) {
    (void)comm;
    (void)bytes;
    *handle = memory;
    return ncclSuccess;
}

EXPORT ncclResult_t ncclCommDeregister(const ncclComm_t comm, void *handle) {
    (void)comm;
    (void)handle;
    return ncclSuccess;
}
