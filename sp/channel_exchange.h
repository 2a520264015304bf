/* From shards of tokens to shards of channels and back. Rows [T,C] are this rank's tokens with all channels; lines are
 * [channels, n_seq·len]: all tokens, in global order, of this rank's channels. Rank r has channels ⌊r·C/P⌋ ..
 * ⌊(r+1)·C/P⌋ − 1, cut into slices that travel one by one, so that one is on its way while another is worked on: at
 * most two at a time in each direction. One rank alone exchanges nothing. */
#ifndef HY_SP_CHANNEL_EXCHANGE_H
#define HY_SP_CHANNEL_EXCHANGE_H

#include "sp/carve.h"
#include "sp/lists/channel_lists.h"
#include "sp/sp.h"

typedef struct hy_channel_way {
    const char *name;
    char *send[2], *recv[2];
    hy_req *req; /* [2], of the lists */
} hy_channel_way;

typedef struct hy_channel_exchange {
    hy_sp *sp;
    const hy_channel_lists *lists;
    hy_channel_shares shares;
    int64_t tokens; /* of all ranks */
    size_t block;   /* bytes between two ranks per slice */
    hy_channel_way to_lines, to_rows;
} hy_channel_exchange;

void hy_channel_exchange_open(hy_channel_exchange *x, hy_sp *sp, const hy_layout_dims *dims, int64_t C, hy_carve *work);
/* Slice by slice, in order; a slice's buffers are free again once it was taken. */
void hy_channels_post_lines(hy_channel_exchange *x, int slice, const void *rows);
void hy_channels_take_lines(hy_channel_exchange *x, int slice, void *lines);
void hy_channels_post_rows(hy_channel_exchange *x, int slice, const void *lines);
/* rows (+)= . */
void hy_channels_take_rows(hy_channel_exchange *x, int slice, void *rows, int acc);

#endif
