/* How fragments' maps become incoming states (forward) and outgoing gradients (backward), behind one interface.
 *
 *   allgather   every rank's (A,H) in one all-gather; each folds what it needs (LASP-2). Backward: one all-gather of dH.
 *   ring        the state itself travels along the fragments, one after the other (LASP-1); only between neighbours that need it. */
#ifndef HY_SP_STATE_EXCHANGE_H
#define HY_SP_STATE_EXCHANGE_H

#include "sp/segment_map.h"

/* Buffers of one exchange. mine: this rank's block, where the caller writes before begin. */
typedef struct hy_state_buffers {
    char *maps;      /* forward: [blocks][A of all slots | H of all slots]; backward: [blocks][dH of all slots] */
    char *mine;      /* this rank's block of maps */
    char *A_kept;    /* [blocks][A of all slots], from forward to backward */
    char *out;       /* ring: [n_local] outgoing states */
    char *temp;      /* two states */
    hy_req *reqs;    /* [n_local + 1] */
} hy_state_buffers;

/* Blocks in maps and A_kept: all ranks' for allgather, one for ring. */
static inline int64_t hy_state_blocks(const hy_sp *sp, const hy_layout_dims *dims) {
    return sp->state == HY_STATE_ALLGATHER ? dims->size : 1;
}

/* begin posts; end waits and fills S_in (dS_out) [n_local] where fragments continue (flow). Collective. */
void hy_state_forward_begin(hy_sp *sp, const hy_map_size *size, hy_state_buffers *b);
void hy_state_forward_end(hy_sp *sp, const hy_map_size *size, hy_state_buffers *b, void *S_in);
void hy_state_backward_begin(hy_sp *sp, const hy_map_size *size, hy_state_buffers *b);
void hy_state_backward_end(hy_sp *sp, const hy_map_size *size, hy_state_buffers *b, void *dS_out);

#endif
