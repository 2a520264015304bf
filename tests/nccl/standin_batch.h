/* Of the stand-in of NCCL: a batch of operations, which is what runs in a stream's order at one place of it, and how it is done over pipes. */
#ifndef HY_TESTS_STANDIN_BATCH_H
#define HY_TESTS_STANDIN_BATCH_H

#include <nccl.h>
#include <stdatomic.h>

#include "standin_memory.h"
#include "standin_pipes.h"

typedef enum coll_kind { MESSAGE = 1, ALL_GATHER, ALL_REDUCE, REDUCE_SCATTER, BROADCAST, WINDOW } coll_kind;

struct ncclComm {
    standin_pipes *pipes;
    int rank, size;
    standin_memory memory;
    uint64_t collectives, windows;
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
    size_t count; /* elements; of all-gather and reduce-scatter: of a block */
    ncclDataType_t type;
    ncclRedOp_t op;
    int peer;      /* of a message, its other rank; of a broadcast, the root */
    int64_t place; /* of a collective, where it lies in a window, which is the same on all ranks; −1: in none */
    char *blocks;  /* [size · count] what the ranks bring to a sum */
    cudaStream_t stream;
} group_op;

/* What runs in a stream's order at one place of it. */
typedef struct batch {
    int n_ops, n_sides, limit;
    group_op *ops;
    standin_side *sides;
} batch;

/* A number of the environment. */
int64_t standin_setting(const char *name, int64_t otherwise);
void standin_pause(int64_t nanoseconds);
size_t standin_type_size(ncclDataType_t type);
/* Of a batch, which it frees: late, until all of its messages have come, or its communicator is aborted. */
void standin_run_batch(void *batch_);

#endif
