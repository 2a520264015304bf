/* Calls that come again. A step gives a device the same operations with the same arguments as the step before the last one, where its
 * documents have the same shape. So calls are collected into pieces: what COMPUTE is given between two points of its order (marks, waits, copies), cut where
 * that is long. A piece that has been given before, byte for byte, is kept as something the device gives in one go (a CUDA graph); from
 * then on it is one call. Nobody says which pieces repeat, or what of them differs: an operation does what its arguments say and nothing else, so equal
 * arguments are all that has to hold.
 *
 * Operations whose arguments lead to the host's memory (lists of segments) are never part of what is kept. */
#ifndef HY_KERNELS_PIECES_H
#define HY_KERNELS_PIECES_H

#include "kernels/device.h"

/* Pieces that can be kept. */
enum { HY_PIECES_PLACES = 256 };

/* Calls one behind the other. */
typedef struct hy_piece {
    int n;
    size_t used;
    unsigned char *bytes; /* [used] */
} hy_piece;

typedef struct hy_piece_call {
    hy_op_id op;
    uint32_t bytes; /* of the arguments, which follow */
    const void *args;
} hy_piece_call;

/* The call at *at, which moves on to the next; false: there is none. *at is 0 at first. */
bool hy_piece_next(const hy_piece *piece, size_t *at, hy_piece_call *out);

typedef struct hy_pieces hy_pieces;

/* Off at first. */
HY_MUST_CHECK hy_status hy_pieces_create(hy_device *device, hy_pieces **out);
/* Nothing is collected. NULL allowed. */
void hy_pieces_destroy(hy_pieces *pieces);
size_t hy_pieces_bytes(void);

/* What is collected is given first. */
void hy_pieces_set(hy_pieces *pieces, bool on);
/* Takes the call if it is on; false: it is to be launched. */
bool hy_pieces_add(hy_pieces *pieces, hy_op_id op, const void *args, size_t bytes);
/* The piece is complete: gives it to the device. */
void hy_pieces_flush(hy_pieces *pieces);
hy_piece_counts hy_pieces_counted(const hy_pieces *pieces);

#endif
