/* Messages between two ranks, and nothing more: what exchanges.c makes every exchange of. A transport, or a simulator, fills this in. */
#ifndef HY_COMM_P2P_H
#define HY_COMM_P2P_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Tags are below 2^HY_P2P_TAG_BITS. Messages of one sender to one receiver with equal tags arrive in posting order; a receive has
 * the size of what was sent. What goes both ways at once is sent first (comm.h, hy_comm_send). Both return a handle, or NULL if the message is complete: sent, or arrived. */
enum { HY_P2P_TAG_BITS = 34 };

typedef struct hy_p2p {
    void *context;
    int rank, size;
    bool untouched; /* no message is moved: the buffers of exchanges are only addresses */
    void *(*send)(void *context, const void *buf, size_t bytes, int to, uint64_t tag);
    void *(*recv)(void *context, void *buf, size_t bytes, int from, uint64_t tag);
    /* True once the message is complete: its handle is released. */
    bool (*done)(void *context, void *handle);
} hy_p2p;

#endif
