/* Pipes between the processes of one host, for the stand-in of NCCL: one for each ordered pair of ranks of a communicator, in memory that all of
 * them map. A message begins with what it is; whoever receives another kind, another number or another size than it expects says so and ends. */
#ifndef HY_TESTS_STANDIN_PIPES_H
#define HY_TESTS_STANDIN_PIPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STANDIN_RANKS = 16, STANDIN_NAME = 64 };

typedef struct standin_pipes standin_pipes;

/* Collective over the ranks that have the same name: returns when all are there. NULL: not within the limit. */
standin_pipes *standin_pipes_open(const char *name, int rank, int size);
void standin_pipes_close(standin_pipes *pipes);

typedef struct standin_message {
    uint64_t kind, number, bytes; /* the collective; how many of this communicator came before it; of this message */
    int64_t place;                /* where it lies in a window; −1: in none */
} standin_message;

/* One side of a message on its way. */
typedef struct standin_side {
    standin_pipes *pipes;
    bool sends;
    int peer;
    char *at; /* not written where it sends */
    standin_message message;
    uint64_t moved; /* bytes */
    bool begun, done;
} standin_side;

/* Moves what can be moved now, and says whether anything did. A send is done when its peer has taken all of it. */
bool standin_side_move(standin_side *side);

/* Whether a rank of it has ended without closing it. */
bool standin_pipes_lost(const standin_pipes *pipes, int *rank);

#endif
