/* From shards of tokens to shards of heads and back. `rows` are this rank's tokens with all heads; `heads` are the tokens of all members of its
 * group with this rank's heads (head_shares.h). A group is `members` consecutive ranks; all ranks, where whole sequences are computed. Arrays move
 * one by one, a message between each two members and array, exactly as long as what it brings.
 *
 * Use: open; cut each array's move, to heads and back, in the same order in every call of an operation; post some; take them. What was posted in an operation's START
 * may be taken in its FINISH, by moves that were cut again in the same place. */
#ifndef HY_SP_HEAD_EXCHANGE_H
#define HY_SP_HEAD_EXCHANGE_H

#include "sp/carve.h"
#include "sp/lists/head_lists.h"
#include "sp/sp.h"

typedef struct hy_head_exchange {
    const hy_sp *sp;
    hy_layout_dims dims;
    hy_heads heads;
    bool near; /* the group is of ranks that are near each other: `2d` */
    int members, n_moves;
} hy_head_exchange;

/* An array on its way. */
typedef struct hy_head_move {
    const char *name;
    hy_head_kind kind;
    bool back;     /* to rows */
    int64_t width; /* elements of a head */
    hy_role role;  /* of what travels; back: its sum over ranks is an activation where several hold a head */
    hy_head_range range;
    char *buffer; /* messages */
    char *parts;  /* [T,total,parts,width] of a sum; NULL where nothing is added */
    hy_req *req;  /* [2·(members−1)] */
    int tag;
} hy_head_move;

void hy_heads_open(hy_head_exchange *x, const hy_sp *sp, const hy_layout_dims *dims, int members,
                   const hy_heads *heads);
hy_head_move hy_head_move_cut(hy_head_exchange *x, const char *name, hy_head_kind kind, int64_t width, hy_role role,
                              bool back, hy_carve *work);

/* An array and its move: rows to send and heads to write, or (back) the reverse. move NULL: it is not there, on any rank. */
typedef struct hy_head_array {
    hy_head_move *move;
    const void *from;
    void *to;
} hy_head_array;

/* All of them, in one group of messages. Collective over the group. */
void hy_heads_post(const hy_head_exchange *x, const hy_head_array *arrays, int n);
void hy_heads_take(const hy_head_exchange *x, const hy_head_array *arrays, int n);

#endif
