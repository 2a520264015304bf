/* Which rows of keys and values one rank needs of another: known to both from the layout. Fragments are disjoint, so
 * the rows of an earlier fragment that a later query fragment sees are always a suffix of it; two query fragments of a
 * rank need the longer suffix. With a window of w that is at most w − 1 rows. */
#ifndef HY_SP_ATTENTION_PIECES_H
#define HY_SP_ATTENTION_PIECES_H

#include "sp/layout.h"

/* Consecutive ranks. */
typedef struct hy_ranks {
    int first, n;
} hy_ranks;

typedef struct hy_kv_piece {
    int64_t begin, rows; /* global position of the first row */
    int64_t local;       /* its row in the owner's buffer */
    int64_t at;          /* its row in a buffer that holds the list's pieces one after the other */
} hy_kv_piece;

/* Pieces of `owner`'s keys that queries of any of `readers` see, at most one per fragment of owner, in their order; returns their
 * number. */
int64_t hy_kv_pieces(const hy_layout *layout, int owner, hy_ranks readers, int64_t window, hy_kv_piece *pieces);

/* Most rows that the pieces of one owner can hold, whoever reads and whatever the documents. */
int64_t hy_kv_rows_max(const hy_layout_dims *dims, int64_t window);

#endif
