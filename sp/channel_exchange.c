/* A slice is one all-to-all with blocks of equal size, of which a rank fills what it has. Inside a block the sender's
 * fragments follow one another, each as [channels, tokens of the fragment]: tokens are turned into lines where they are
 * sent and back into rows where they arrive. */
#include "sp/channel_exchange.h"

static int64_t share_begin(int64_t i, int64_t n, int64_t parts) {
    return i * (n / parts) + i * (n % parts) / parts;
}

static size_t element(const hy_channel_exchange *x) {
    return hy_sp_size(x->sp, HY_ROLE_ACT);
}

static hy_channel_way open_way(const char *name, int size, size_t block, hy_carve *work) {
    hy_channel_way way = {.name = name};
    for (int i = 0; i < 2; i++) {
        way.send[i] = hy_carve_take(work, (size_t)size * block);
        way.recv[i] = size > 1 ? hy_carve_take(work, (size_t)size * block) : way.send[i];
    }
    return way;
}

void hy_channel_exchange_open(hy_channel_exchange *x, hy_sp *sp, const hy_layout_dims *dims, int64_t C,
                              hy_carve *work) {
    const int64_t most = (C + dims->size - 1) / dims->size;
    *x = (hy_channel_exchange){.sp = sp, .C = C, .tokens = dims->n_seq * dims->len};
    x->slices = most < HY_SLICES_MAX ? (int)most : HY_SLICES_MAX;
    x->slice_max = x->slices > 0 ? (most + x->slices - 1) / x->slices : 0;
    x->block = (size_t)(dims->T_max * x->slice_max) * element(x);
    x->to_lines = open_way("channels", dims->size, x->block, work);
    x->to_rows = open_way("channels back", dims->size, x->block, work);
}

hy_channels hy_channels_of(const hy_channel_exchange *x, int rank) {
    const int size = x->sp->layout->size;
    const int64_t begin = share_begin(rank, x->C, size);
    return (hy_channels){begin, share_begin(rank + 1, x->C, size) - begin};
}

hy_channels hy_channels_slice(const hy_channel_exchange *x, int rank, int slice) {
    const hy_channels all = hy_channels_of(x, rank);
    const int64_t begin = share_begin(slice, all.n, x->slices);
    return (hy_channels){all.begin + begin, share_begin(slice + 1, all.n, x->slices) - begin};
}

int64_t hy_channel_exchange_bytes(const hy_channel_exchange *x, int size) {
    return (int64_t)x->slices * (size - 1) * (int64_t)x->block;
}

/* ---- between rows and blocks ---- */

/* Own rows and the block for (or from) each rank: its channels of every own fragment. */
static void turn(hy_channel_exchange *x, int slice, bool to_block, char *blocks, void *rows, int acc) {
    const hy_layout *layout = x->sp->layout;
    for (int rank = 0; rank < layout->size; rank++) {
        const hy_channels c = hy_channels_slice(x, rank, slice);
        char *at = blocks + (size_t)rank * x->block;
        for (int64_t slot = 0; slot < layout->n_local; slot++) {
            const hy_fragment *f = &layout->frags[layout->local[slot]];
            char *own = (char *)rows + (size_t)(f->local * x->C + c.begin) * element(x);
            const hy_transpose_args args = to_block ? (hy_transpose_args){.rows = f->len,
                                                                          .cols = c.n,
                                                                          .src_ld = x->C,
                                                                          .dst_ld = f->len,
                                                                          .src = own,
                                                                          .dst = at}
                                                    : (hy_transpose_args){.rows = c.n,
                                                                          .cols = f->len,
                                                                          .src_ld = f->len,
                                                                          .dst_ld = x->C,
                                                                          .src = at,
                                                                          .dst = own,
                                                                          .acc = acc};
            hy_transpose(x->sp->device, &args);
            at += (size_t)(c.n * f->len) * element(x);
        }
    }
}

/* ---- between blocks and lines ---- */

/* Own channels of every rank's fragments, in the order of the fragments. */
static void place_channels(hy_channel_exchange *x, int slice, bool to_lines, char *blocks, void *lines) {
    const hy_layout *layout = x->sp->layout;
    const int64_t n = hy_channels_slice(x, layout->rank, slice).n;
    for (int64_t id = 0; id < layout->n_frags; id++) {
        const hy_fragment *f = &layout->frags[id];
        char *at = blocks + (size_t)f->owner * x->block + (size_t)(f->local * n) * element(x);
        char *line = (char *)lines + (size_t)f->begin * element(x);
        hy_copy2d(x->sp->device, &(hy_copy2d_args){.rows = n,
                                                   .cols = f->len,
                                                   .src_ld = to_lines ? f->len : x->tokens,
                                                   .dst_ld = to_lines ? x->tokens : f->len,
                                                   .src = to_lines ? at : line,
                                                   .dst = to_lines ? line : at});
    }
}

/* ---- the two directions ---- */

static void post_channels(hy_channel_exchange *x, hy_channel_way *way, int slice) {
    if (x->sp->layout->size > 1) {
        hy_comm_all_to_all(x->sp->comm, way->name, way->send[slice % 2], way->recv[slice % 2], x->block,
                           &way->req[slice % 2]);
    }
}

/* The hook of tests: halves what came from other ranks. */
static void damage_channels(hy_channel_exchange *x, int slice, char *blocks) {
    const hy_layout *layout = x->sp->layout;
    const int64_t n = hy_channels_slice(x, layout->rank, slice).n;
    for (int64_t id = 0; id < layout->n_frags; id++) {
        const hy_fragment *f = &layout->frags[id];
        char *at = blocks + (size_t)f->owner * x->block + (size_t)(f->local * n) * element(x);
        if (f->owner != layout->rank) {
            hy_axpy(x->sp->device, &(hy_axpy_args){.n = n * f->len, .a = 0.5, .x = at, .y = at});
        }
    }
}

void hy_channels_post_lines(hy_channel_exchange *x, int slice, const void *rows) {
    turn(x, slice, true, x->to_lines.send[slice % 2], (void *)(uintptr_t)rows, 0);
    post_channels(x, &x->to_lines, slice);
}

void hy_channels_take_lines(hy_channel_exchange *x, int slice, void *lines) {
    hy_comm_wait(&x->to_lines.req[slice % 2]);
    if (x->sp->broken) {
        damage_channels(x, slice, x->to_lines.recv[slice % 2]);
    }
    place_channels(x, slice, true, x->to_lines.recv[slice % 2], lines);
}

void hy_channels_post_rows(hy_channel_exchange *x, int slice, const void *lines) {
    place_channels(x, slice, false, x->to_rows.send[slice % 2], (void *)(uintptr_t)lines);
    post_channels(x, &x->to_rows, slice);
}

void hy_channels_take_rows(hy_channel_exchange *x, int slice, void *rows, int acc) {
    hy_comm_wait(&x->to_rows.req[slice % 2]);
    turn(x, slice, false, x->to_rows.recv[slice % 2], rows, acc);
}
