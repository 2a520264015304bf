/* What of a process's memory is registered with a communicator of the stand-in of NCCL. */
#ifndef HY_TESTS_STANDIN_MEMORY_H
#define HY_TESTS_STANDIN_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STANDIN_REGISTERED = 64 };

typedef struct standin_range {
    const char *begin; /* NULL: a free place */
    size_t bytes;
    bool symmetric;
} standin_range;

typedef struct standin_memory {
    standin_range ranges[STANDIN_REGISTERED];
    int64_t ever, operations, whole; /* registrations; operations, those whose memory was all registered */
} standin_memory;

/* A handle. What overlaps another one, is empty or is one too many is said, and the process ends. */
void *standin_memory_add(standin_memory *memory, const void *begin, size_t bytes, bool symmetric);
/* A handle that is none is said, and the process ends. */
void standin_memory_remove(standin_memory *memory, void *handle);
/* All must be deregistered; HYLAS_STANDIN_SAY tells what there was. */
void standin_memory_end(const standin_memory *memory, int rank);

struct group_op;
/* Counts the operation, and finds its place in a window: where the buffer begins that lies alike on all ranks. */
void standin_look_at_memory(struct group_op *op);

#endif
