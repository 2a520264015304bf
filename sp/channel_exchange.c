/* A slice is one all-to-all with blocks of equal size, of which a rank fills what it has. Inside a block the sender's
 * fragments follow one another, each as [channels, tokens of the fragment]: tokens are turned into lines where they are
 * sent and back into rows where they arrive. */
#include "sp/channel_exchange.h"

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
    *x = (hy_channel_exchange){
        .sp = sp, .shares = hy_channel_shares_of(sp->profile, dims, C), .tokens = dims->n_seq * dims->len};
    x->lists = sp->lists ? hy_lists_channels(sp->lists, C) : NULL; /* NULL while sizes are planned */
    x->block = (size_t)x->shares.block * element(x);
    x->to_lines = open_way("channels", dims->size, x->block, work);
    x->to_rows = open_way("channels back", dims->size, x->block, work);
    if (sp->lists) {
        x->to_lines.req = sp->lists->requests;
        x->to_rows.req = sp->lists->requests + 2;
    }
}

/* rows and blocks (turned), blocks and lines */
static void move_channels(hy_channel_exchange *x, const hy_block_list *list, int turn, const void *from, void *to,
                          int acc) {
    hy_copy_blocks(
        x->sp->device,
        &(hy_copy_blocks_args){
            .blocks = list->device, .n_blocks = list->n, .unit = 1, .turn = turn, .acc = acc, .src = from, .dst = to});
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
    const int64_t n = hy_channels_slice(&x->shares, layout->rank, slice).n;
    for (int64_t id = 0; id < layout->n_frags; id++) {
        const hy_fragment *f = &layout->frags[id];
        char *at = blocks + (size_t)f->owner * x->block + (size_t)(f->local * n) * element(x);
        if (f->owner != layout->rank) {
            hy_axpy(x->sp->device, &(hy_axpy_args){.n = n * f->len, .a = 0.5, .x = at, .y = at});
        }
    }
}

void hy_channels_post_lines(hy_channel_exchange *x, int slice, const void *rows) {
    move_channels(x, &x->lists->to_blocks[slice], 1, rows, x->to_lines.send[slice % 2], 0);
    post_channels(x, &x->to_lines, slice);
}

void hy_channels_take_lines(hy_channel_exchange *x, int slice, void *lines) {
    hy_comm_wait(&x->to_lines.req[slice % 2]);
    if (x->sp->broken) {
        damage_channels(x, slice, x->to_lines.recv[slice % 2]);
    }
    move_channels(x, &x->lists->to_lines[slice], 0, x->to_lines.recv[slice % 2], lines, 0);
}

void hy_channels_post_rows(hy_channel_exchange *x, int slice, const void *lines) {
    move_channels(x, &x->lists->from_lines[slice], 0, lines, x->to_rows.send[slice % 2], 0);
    post_channels(x, &x->to_rows, slice);
}

void hy_channels_take_rows(hy_channel_exchange *x, int slice, void *rows, int acc) {
    hy_comm_wait(&x->to_rows.req[slice % 2]);
    move_channels(x, &x->lists->from_blocks[slice], 1, x->to_rows.recv[slice % 2], rows, acc);
}
