/* What a hop moves between ranks: rows of keys and values one way, K's and V's in one message, and in backward their gradients the other way,
 * in one message too. A message without rows is not sent. */
#ifndef HY_SP_ATTENTION_MOVE_H
#define HY_SP_ATTENTION_MOVE_H

#include "sp/attention/attention_internal.h"

enum { HY_ATTN_MOVE_REQUESTS = 4 }; /* of keys, of gradients: each one in and one out */

/* A hop under way. */
typedef struct hy_attn_move {
    const hy_attn_hop *hop;
    hy_kv_rows source;        /* what leaves; where gradients that come back are added */
    hy_kv_rows came;          /* what came; where its gradients are added up */
    char *kv, *out, *back;    /* of the way: rows that came and leave, gradients that come back */
    hy_req *keys, *gradients; /* [2] each */
    const char *name[2];      /* of the messages of keys, of gradients */
} hy_attn_move;

/* Bytes of a way's arrays in scratch of `rows` rows each. */
void hy_attn_way_cut(const hy_sp *sp, const hy_sp_attn *shape, int64_t rows, hy_carve *work, hy_attn_way *way);

/* The hop as one of those of a way, in its turn 0 or 1; reqs [HY_ATTN_MOVE_REQUESTS]. */
hy_attn_move hy_attn_way_move(const hy_attn_call *c, const hy_attn_way *way, const hy_attn_hop *hop, int turn,
                              const hy_kv_rows *source, hy_req *reqs);

/* Rows K's then V's that begin at kv, and their gradients at d_kv. */
hy_kv_rows hy_attn_rows_in(const hy_attn_call *c, int64_t rows, char *kv, char *d_kv);

/* Puts the rows that leave into their message: what was sent from `out` before has been waited for. */
void hy_attn_keys_pack(hy_attn_call *c, const hy_attn_move *m);
/* In a group of the communicator: of several moves first all that is sent (comm.h). */
void hy_attn_keys_send(hy_attn_call *c, const hy_attn_move *m);
void hy_attn_keys_recv(hy_attn_call *c, const hy_attn_move *m);
/* Both, in a group of its own. */
void hy_attn_keys_start(hy_attn_call *c, const hy_attn_move *m);
void hy_attn_keys_wait(hy_attn_call *c, const hy_attn_move *m);
/* Zeros where gradients of what came are added up, in backward. */
void hy_attn_gradients_begin(hy_attn_call *c, const hy_attn_move *m);
/* As the keys. */
void hy_attn_gradients_send(hy_attn_call *c, const hy_attn_move *m);
void hy_attn_gradients_recv(hy_attn_call *c, const hy_attn_move *m);
/* In backward, in a group of its own. */
void hy_attn_gradients_start(hy_attn_call *c, const hy_attn_move *m);
/* Those that came back are added where they belong. */
void hy_attn_gradients_wait(hy_attn_call *c, const hy_attn_move *m);

/* Hops one after the other, the next one's keys under way while the present one is computed, the last one's gradients too. */
typedef struct hy_attn_pass {
    const hy_attn_hop *hops; /* [n] */
    int n;
    hy_kv_rows source;
    hy_req *reqs; /* [HY_ATTN_MOVE_REQUESTS] */
} hy_attn_pass;

/* Posts the first hop's keys. */
void hy_attn_pass_start(hy_attn_call *c, const hy_attn_pass *pass);
/* All the rest. */
void hy_attn_pass_finish(hy_attn_call *c, const hy_attn_pass *pass);

#endif
