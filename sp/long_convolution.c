/* Convolution with filters as long as the documents, h_τ = Σ_n R_n λ_n^τ. A token sees every earlier one and a channel
 * only itself, so channels are what ranks can share out: an all-to-all brings whole sequences of a rank's channels to
 * it, another takes the results back, and the filters never travel. Gradients of R and p are those of this rank's
 * channels; the sum over ranks that every parameter gets completes them. What the first all-to-all brought is kept:
 * backward needs it. */
#include "sp/channel_exchange.h"

typedef struct long_call {
    hy_sp *sp;
    hy_sp_long_conv *conv;
    hy_channel_exchange exchange;
    hy_long_conv_args op; /* of one slice */
    char *h, *dh;         /* [slice_max, longest] */
    char *lines[2];       /* [slice_max, tokens]: backward's dy; results */
} long_call;

/* Everything of *c but pointers into kept; work may be empty to learn its size. */
static size_t cut_long_conv(long_call *c, hy_sp *sp, const hy_layout_dims *dims, int64_t C, hy_carve *work) {
    const size_t real = hy_sp_size(sp, HY_ROLE_ACT), stat = hy_sp_size(sp, HY_ROLE_STAT);
    *c = (long_call){.sp = sp};
    hy_channel_exchange_open(&c->exchange, sp, dims, C, work);
    const int64_t n = c->exchange.shares.slice_max;
    c->op = (hy_long_conv_args){.C = n, .T = c->exchange.tokens, .L = dims->len};
    c->h = hy_carve_take(work, (size_t)(n * dims->len) * stat);
    c->dh = hy_carve_take(work, (size_t)(n * dims->len) * stat);
    c->lines[0] = hy_carve_take(work, (size_t)(n * c->op.T) * real);
    c->lines[1] = hy_carve_take(work, (size_t)(n * c->op.T) * real);
    c->op.work = hy_carve_take(work, sp->profile->long_conv_work(&c->op));
    return work->used;
}

void hy_sp_long_conv_need(hy_lists_needs *needs, int64_t C) {
    needs->documents = true;
    hy_lists_need_key(needs, &needs->channels, C);
}

size_t hy_sp_long_conv_kept(const hy_sp *sp, const hy_layout_dims *dims, int64_t C) {
    return (size_t)((C + dims->size - 1) / dims->size * dims->n_seq * dims->len) * hy_sp_size(sp, HY_ROLE_ACT);
}

size_t hy_sp_long_conv_work(const hy_sp *sp, const hy_layout_dims *dims, int64_t C) {
    long_call c;
    hy_sp copy = *sp;
    return cut_long_conv(&c, &copy, dims, C, &(hy_carve){0});
}

static long_call begin_long_conv(hy_sp *sp, hy_sp_long_conv *conv) {
    long_call c;
    const hy_layout_dims dims = hy_layout_dims_of(sp->layout);
    cut_long_conv(&c, sp, &dims, conv->C, &(hy_carve){.base = conv->work});
    c.conv = conv;
    c.op.L = sp->lists->docs.longest;
    c.op.docs = sp->lists->docs.device;
    c.op.n_docs = sp->lists->docs.n - 1;
    c.op.h = c.h;
    c.op.dh = c.dh;
    return c;
}

static hy_modal_filter_args filter_of(const long_call *c, hy_channels channels) {
    const hy_sp_long_conv *conv = c->conv;
    return (hy_modal_filter_args){.C = channels.n,
                                  .L = c->op.L,
                                  .N = conv->N,
                                  .first = channels.begin,
                                  .group = conv->group,
                                  .R = conv->R,
                                  .p = conv->p,
                                  .h = c->h,
                                  .dh = c->dh,
                                  .dR = conv->dR,
                                  .dp = conv->dp};
}

/* Kept inputs of a slice. */
static char *kept_lines(const long_call *c, hy_channels channels) {
    const int64_t first = hy_channels_of(&c->exchange.shares, c->sp->layout->rank).begin;
    return (char *)c->conv->kept + (size_t)((channels.begin - first) * c->op.T) * hy_sp_size(c->sp, HY_ROLE_ACT);
}

static void compute_fwd(long_call *c, int slice, hy_channels channels) {
    c->op.x = kept_lines(c, channels);
    c->op.y = c->lines[1];
    hy_channels_take_lines(&c->exchange, slice, kept_lines(c, channels));
    hy_long_conv_fwd(c->sp->device, &c->op);
}

static void compute_bwd(long_call *c, int slice, hy_channels channels) {
    c->op.x = kept_lines(c, channels);
    c->op.dy = c->lines[0];
    c->op.dx = c->lines[1];
    hy_channels_take_lines(&c->exchange, slice, c->lines[0]);
    hy_long_conv_bwd(c->sp->device, &c->op);
    const hy_modal_filter_args filter = filter_of(c, channels);
    hy_modal_filter_bwd(c->sp->device, &filter);
}

static void post_first_slice(long_call *c, const void *from) {
    if (c->exchange.shares.slices > 0) {
        hy_channels_post_lines(&c->exchange, 0, from);
    }
}

/* While a slice is worked on, the next is coming and the one before is going. */
static void each_slice(long_call *c, const void *from, void *to, int acc,
                       void (*compute)(long_call *, int, hy_channels)) {
    hy_channel_exchange *x = &c->exchange;
    if (c->sp->layout->size == 1) {
        post_first_slice(c, from);
    }
    for (int s = 0; s < x->shares.slices; s++) {
        const hy_channels channels = hy_channels_slice(&x->shares, c->sp->layout->rank, s);
        if (s + 1 < x->shares.slices) {
            hy_channels_post_lines(x, s + 1, from);
        }
        const hy_modal_filter_args filter = filter_of(c, channels);
        hy_modal_filter_fwd(c->sp->device, &filter);
        c->op.C = channels.n;
        compute(c, s, channels);
        if (s >= 2) {
            hy_channels_take_rows(x, s - 2, to, acc);
        }
        hy_channels_post_rows(x, s, c->lines[1]);
    }
    for (int s = x->shares.slices > 2 ? x->shares.slices - 2 : 0; s < x->shares.slices; s++) {
        hy_channels_take_rows(x, s, to, acc);
    }
}

void hy_sp_long_conv_fwd(hy_sp *sp, hy_sp_long_conv *conv) {
    long_call c = begin_long_conv(sp, conv);
    if (hy_sp_starts(sp)) {
        post_first_slice(&c, conv->x);
    }
    if (hy_sp_finishes(sp)) {
        each_slice(&c, conv->x, conv->y, 0, compute_fwd);
    }
}

void hy_sp_long_conv_bwd(hy_sp *sp, hy_sp_long_conv *conv) {
    long_call c = begin_long_conv(sp, conv);
    if (hy_sp_starts(sp)) {
        post_first_slice(&c, conv->dy);
    }
    if (hy_sp_finishes(sp)) {
        each_slice(&c, conv->dy, conv->dx, conv->acc, compute_bwd);
    }
}
