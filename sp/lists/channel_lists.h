/* The lists of channel exchanges, for lists.c; and how channels are shared out. */
#ifndef HY_SP_CHANNEL_LISTS_H
#define HY_SP_CHANNEL_LISTS_H

#include "sp/lists/lists.h"

typedef struct hy_channels {
    int64_t begin, n;
} hy_channels;

/* C channels in shares of ranks, and those in slices. */
typedef struct hy_channel_shares {
    int64_t C;
    int ranks, slices;
    int64_t slice_max; /* most channels of a slice, over all ranks */
    int64_t block;     /* elements between two ranks per slice */
} hy_channel_shares;

/* Two slices are enough to work on one while another travels; more where the device likes small calls. */
hy_channel_shares hy_channel_shares_of(const hy_profile *profile, const hy_layout_dims *dims, int64_t C);
/* Channels of a rank; of one of its slices. */
hy_channels hy_channels_of(const hy_channel_shares *shares, int rank);
hy_channels hy_channels_slice(const hy_channel_shares *shares, int rank, int slice);

/* Bytes of an image that the lists of C channels take at most. */
size_t hy_channel_lists_bytes(const hy_profile *profile, const hy_layout_dims *dims, int64_t C);
hy_channel_lists hy_channel_lists_build(hy_list_image *image, const hy_profile *profile, const hy_layout *layout,
                                        int64_t C);

#endif
