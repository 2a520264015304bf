/* Messages as plainly as a library has them, to measure what hylas adds: blocking, one at a time, between ranks of MPI_COMM_WORLD. */
#ifndef HY_TESTS_BARE_H
#define HY_TESTS_BARE_H

#include <stddef.h>

typedef struct bare_library {
    const char *name; /* of the transport that is made of it */
    void (*open)(int rank, int size);
    /* Sends to one rank while it receives from another; −1: does not. */
    void (*exchange)(const void *send, int to, void *recv, int from, size_t bytes);
    void (*close)(void);
} bare_library;

extern const bare_library bare_mpi, bare_ucx;

#endif
