#include "sp/segment_map.h"

#include <string.h>

void hy_map_step(hy_device *device, const hy_map_size *size, int transpose, const void *A, const void *S, const void *H, void *out) {
    hy_map_apply(device, &(hy_map_apply_args){.n = size->heads, .K = size->K, .V = size->V, .a_size = size->a_size, .transpose = transpose,
                                              .A = A, .S = S, .H = H, .out = out});
}

typedef struct fold {
    hy_sp *sp;
    const hy_map_size *size;
    const hy_gathered_maps *maps;
    char *temp;       /* two states, used in turn */
    int turn;
    const char *now;  /* the state (gradient) at the present edge, NULL = 0 */
    size_t esize;
} fold;

static const char *part(const fold *x, const char *base, int64_t rank_stride, int64_t slot_stride, const hy_fragment *f) {
    return base + (size_t)(f->owner * rank_stride + f->slot * slot_stride) * x->esize;
}

static void pass(fold *x, const hy_fragment *f, int transpose) {
    const char *H = part(x, x->maps->H, x->maps->h_rank, x->size->S, f);
    if (!hy_fragment_passes(f) || !x->now) {
        x->now = H;
        return;
    }
    char *out = x->temp + (size_t)(x->turn * x->size->S) * x->esize;
    x->turn ^= 1;
    hy_map_step(x->sp->device, x->size, transpose, part(x, x->maps->A, x->maps->a_rank, x->size->A, f), x->now, H, out);
    x->now = out;
}

static void store(fold *x, const hy_fragment *f, void *states) {
    char *out = (char *)states + (size_t)(f->slot * x->size->S) * x->esize;
    hy_copy2d(x->sp->device, &(hy_copy2d_args){.rows = 1, .cols = x->size->S, .src_ld = x->size->S, .dst_ld = x->size->S, .src = x->now, .dst = out});
}

void hy_segment_fold_forward(hy_sp *sp, const hy_map_size *size, const hy_gathered_maps *maps, void *S_in, void *temp) {
    const hy_layout *layout = sp->layout;
    fold x = {.sp = sp, .size = size, .maps = maps, .temp = temp, .esize = hy_dtype_size(sp->device->table.dtype)};
    int64_t last = layout->n_local > 0 ? layout->local[layout->n_local - 1] : -1;
    for (int64_t id = 0; id <= last; id++) {
        const hy_fragment *f = &layout->frags[id];
        if (f->owner == layout->rank && f->continues) {
            store(&x, f, S_in);
        }
        if (f->flows) {
            pass(&x, f, 0);
        }
    }
}

void hy_segment_fold_backward(hy_sp *sp, const hy_map_size *size, const hy_gathered_maps *maps, void *dS_out, void *temp) {
    const hy_layout *layout = sp->layout;
    fold x = {.sp = sp, .size = size, .maps = maps, .temp = temp, .esize = hy_dtype_size(sp->device->table.dtype)};
    int64_t first = layout->n_local > 0 ? layout->local[0] : layout->n_frags;
    for (int64_t id = layout->n_frags - 1; id >= first; id--) {
        const hy_fragment *f = &layout->frags[id];
        if (f->owner == layout->rank && f->flows) {
            store(&x, f, dS_out);
        }
        if (f->continues) {
            pass(&x, f, 1);
        }
    }
}
