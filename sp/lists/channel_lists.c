#include "sp/lists/channel_lists.h"

#include "sp/carve.h"

hy_channel_shares hy_channel_shares_of(const hy_profile *profile, const hy_layout_dims *dims, int64_t C) {
    const int slices = profile->tuning.recur_pieces == 0 ? 2 : HY_SLICES_MAX;
    const int64_t most = (C + dims->size - 1) / dims->size;
    hy_channel_shares shares = {.C = C, .ranks = dims->size};
    shares.slices = most < slices ? (int)most : slices;
    shares.slice_max = shares.slices > 0 ? (most + shares.slices - 1) / shares.slices : 0;
    shares.block = dims->T_max * shares.slice_max;
    return shares;
}

hy_channels hy_channels_of(const hy_channel_shares *shares, int rank) {
    const int64_t begin = hy_share_begin(rank, shares->C, shares->ranks);
    return (hy_channels){begin, hy_share_begin(rank + 1, shares->C, shares->ranks) - begin};
}

hy_channels hy_channels_slice(const hy_channel_shares *shares, int rank, int slice) {
    const hy_channels all = hy_channels_of(shares, rank);
    const int64_t begin = hy_share_begin(slice, all.n, shares->slices);
    return (hy_channels){all.begin + begin, hy_share_begin(slice + 1, all.n, shares->slices) - begin};
}

size_t hy_channel_lists_bytes(const hy_profile *profile, const hy_layout_dims *dims, int64_t C) {
    const size_t rows = hy_aligned((size_t)(dims->size * dims->n_local) * sizeof(hy_block));
    const size_t lines = hy_aligned((size_t)dims->n_frags * sizeof(hy_block));
    return (size_t)hy_channel_shares_of(profile, dims, C).slices * 2 * (rows + lines);
}

static hy_block reversed(hy_block b, bool turned) {
    return (hy_block){.rows = turned ? b.cols : b.rows,
                      .cols = turned ? b.rows : b.cols,
                      .from = b.to,
                      .from_ld = b.to_ld,
                      .to = b.from,
                      .to_ld = b.from_ld};
}

/* Own rows and the block for (or from) each rank: its channels of every own fragment. */
static void list_rows(hy_list_image *image, const hy_layout *layout, const hy_channel_shares *shares, int slice,
                      hy_channel_lists *out) {
    const size_t bytes = (size_t)(layout->size * layout->n_local) * sizeof(hy_block);
    hy_block *to = hy_list_image_take(image, bytes), *from = hy_list_image_take(image, bytes);
    int64_t n = 0;
    for (int rank = 0; rank < layout->size; rank++) {
        const hy_channels c = hy_channels_slice(shares, rank, slice);
        int64_t at = rank * shares->block;
        for (int64_t slot = 0; slot < layout->n_local; slot++) {
            const hy_fragment *f = &layout->frags[layout->local[slot]];
            to[n] = (hy_block){.rows = f->len,
                               .cols = c.n,
                               .from = f->local * shares->C + c.begin,
                               .from_ld = shares->C,
                               .to = at,
                               .to_ld = f->len};
            from[n] = reversed(to[n], true);
            at += c.n * f->len;
            n++;
        }
    }
    out->to_blocks[slice] = hy_block_list_of(image, to, n);
    out->from_blocks[slice] = hy_block_list_of(image, from, n);
}

/* Own channels of every rank's fragments, in the order of the fragments. */
static void list_lines(hy_list_image *image, const hy_layout *layout, const hy_channel_shares *shares, int slice,
                       hy_channel_lists *out) {
    const size_t bytes = (size_t)layout->n_frags * sizeof(hy_block);
    hy_block *to = hy_list_image_take(image, bytes), *from = hy_list_image_take(image, bytes);
    const int64_t channels = hy_channels_slice(shares, layout->rank, slice).n;
    for (int64_t id = 0; id < layout->n_frags; id++) {
        const hy_fragment *f = &layout->frags[id];
        to[id] = (hy_block){.rows = channels,
                            .cols = f->len,
                            .from = f->owner * shares->block + f->local * channels,
                            .from_ld = f->len,
                            .to = f->begin,
                            .to_ld = layout->n_seq * layout->len};
        from[id] = reversed(to[id], false);
    }
    out->to_lines[slice] = hy_block_list_of(image, to, layout->n_frags);
    out->from_lines[slice] = hy_block_list_of(image, from, layout->n_frags);
}

hy_channel_lists hy_channel_lists_build(hy_list_image *image, const hy_profile *profile, const hy_layout *layout,
                                        int64_t C) {
    const hy_layout_dims dims = hy_layout_dims_of(layout);
    const hy_channel_shares shares = hy_channel_shares_of(profile, &dims, C);
    hy_channel_lists out = {.channels = C};
    for (int slice = 0; slice < shares.slices; slice++) {
        list_rows(image, layout, &shares, slice, &out);
        list_lines(image, layout, &shares, slice, &out);
    }
    return out;
}
