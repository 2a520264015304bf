#include "standin_memory.h"

#include <stdio.h>
#include <stdlib.h>

#include "standin_batch.h"

static _Noreturn void end_with_line(const char *what, const void *begin, size_t bytes) {
    fprintf(stderr, "NCCL stand-in: registered memory: %s: %zu bytes at %p\n", what, bytes, begin);
    abort();
}

static bool overlaps(const standin_range *r, const char *begin, size_t bytes) {
    return r->begin != NULL && begin < r->begin + r->bytes && r->begin < begin + bytes;
}

void *standin_memory_add(standin_memory *memory, const void *begin, size_t bytes, bool symmetric) {
    standin_range *spare = NULL;
    for (int i = 0; i < STANDIN_REGISTERED; i++) {
        standin_range *r = &memory->ranges[i];
        if (overlaps(r, begin, bytes)) {
            end_with_line("registered twice", begin, bytes);
        }
        spare = r->begin == NULL ? r : spare;
    }
    if (spare == NULL || bytes == 0) {
        end_with_line(bytes == 0 ? "nothing" : "too many", begin, bytes);
    }
    *spare = (standin_range){begin, bytes, symmetric};
    memory->ever++;
    return spare;
}

void standin_memory_remove(standin_memory *memory, void *handle) {
    standin_range *r = handle;
    if (r < memory->ranges || r >= memory->ranges + STANDIN_REGISTERED || r->begin == NULL) {
        end_with_line("deregistered, but it is not", handle, 0);
    }
    *r = (standin_range){0};
}

void standin_memory_end(const standin_memory *memory, int rank) {
    for (int i = 0; i < STANDIN_REGISTERED; i++) {
        if (memory->ranges[i].begin != NULL) {
            end_with_line("not deregistered", memory->ranges[i].begin, memory->ranges[i].bytes);
        }
    }
    if (standin_setting("HYLAS_STANDIN_SAY", 0) != 0) {
        fprintf(stderr, "NCCL stand-in: rank %d: %lld ranges were registered, with all of %lld of %lld operations\n",
                rank, (long long)memory->ever, (long long)memory->whole, (long long)memory->operations);
    }
}

/* The range that it lies in; NULL: in none. */
static const standin_range *range_of(const standin_memory *memory, const char *begin, size_t bytes) {
    for (int i = 0; i < STANDIN_REGISTERED; i++) {
        const standin_range *r = &memory->ranges[i];
        if (overlaps(r, begin, bytes)) {
            if (begin < r->begin || begin + bytes > r->begin + r->bytes) {
                end_with_line("an operation goes over its edge", begin, bytes);
            }
            return r;
        }
    }
    return NULL;
}

void standin_look_at_memory(struct group_op *op) {
    standin_memory *memory = &op->comm->memory;
    const size_t block = op->count * standin_type_size(op->type), all = block * (size_t)op->comm->size;
    const bool scatters = op->kind == REDUCE_SCATTER;
    const char *alike = scatters ? op->send : op->recv; /* of messages nothing */
    const standin_range *sent = NULL, *received = NULL;
    if (block == 0) {
        return;
    }
    if (op->send != NULL) {
        sent = range_of(memory, op->send, scatters ? all : block);
    }
    if (op->recv != NULL) {
        received = range_of(memory, op->recv, op->kind == ALL_GATHER ? all : block);
    }
    memory->operations++;
    memory->whole += (op->send == NULL || sent != NULL) && (op->recv == NULL || received != NULL);
    const standin_range *r = scatters ? sent : received;
    if (op->kind != MESSAGE && r != NULL && r->symmetric) {
        op->place = alike - r->begin;
    }
}
