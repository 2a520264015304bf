/* Folding maps along the fragments. The running state lives in the H of the fragment it last left, so a fold needs no
 * memory of its own. */
#include "sp/state/segment_map.h"

hy_segment_shape hy_segment_shape_of(const hy_recur_args *op, hy_dtype dtype) {
    hy_segment_shape shape = {.HV = op->HV, .K = op->K, .V = op->V};
    shape.a_size = hy_transition_size(op->decay, op->rule, op->K);
    shape.a_bytes = (size_t)(shape.HV * shape.a_size) * hy_role_size(dtype, HY_ROLE_STAT);
    shape.h_bytes = (size_t)(shape.HV * shape.K * shape.V) * hy_role_size(dtype, HY_ROLE_STAT);
    return shape;
}

void hy_segment_apply(hy_device *device, const hy_segment_shape *shape, int step, const void *A, const void *S,
                      const void *H, void *out) {
    hy_map_apply(device, &(hy_map_apply_args){.n = shape->HV,
                                              .K = shape->K,
                                              .V = shape->V,
                                              .a_size = shape->a_size,
                                              .transpose = step < 0,
                                              .A = A,
                                              .S = S,
                                              .H = H,
                                              .out = out});
}

hy_segment_shape hy_segment_shape_leveled(const hy_segment_shape *one, int64_t levels) {
    hy_segment_shape shape = *one;
    shape.levels = levels;
    shape.h_bytes = one->h_bytes * (size_t)levels;
    return shape;
}

/* The highest bit in which two different positions differ. */
static int64_t highest_difference(int64_t p, int64_t q) {
    int64_t bit = -1;
    for (int64_t x = p ^ q; x > 0; x >>= 1) {
        bit++;
    }
    return bit;
}

void hy_segment_pass(hy_device *device, const hy_segment_shape *shape, const hy_fragment *f, int step, const void *A,
                     const void *S, void *H) {
    if (shape->levels == 0) {
        hy_segment_apply(device, shape, step, A, S, H, H);
        return;
    }
    const size_t one = shape->h_bytes / (size_t)shape->levels;
    const int64_t first = f->begin - f->doc_begin, end = first + f->len;
    for (int64_t bit = 0; bit < shape->levels; bit++) {
        if (first >> bit & 1) {
            const int64_t merged = highest_difference(end, first >> (bit + 1) << (bit + 1));
            const size_t from = (size_t)(step > 0 ? bit : merged) * one, to = (size_t)(step > 0 ? merged : bit) * one;
            hy_segment_apply(device, shape, step, A, (const char *)S + from, (char *)H + to, (char *)H + to);
        }
    }
}

int64_t hy_segment_elements(const hy_segment_shape *shape) {
    return shape->HV * shape->K * shape->V * (shape->levels > 0 ? shape->levels : 1);
}

void hy_segment_copy(hy_device *device, const hy_segment_shape *shape, const void *from, void *to) {
    const int64_t n = hy_segment_elements(shape);
    hy_copy2d(device, &(hy_copy2d_args){.rows = 1,
                                        .cols = n,
                                        .src_ld = n,
                                        .dst_ld = n,
                                        .src = from,
                                        .dst = to,
                                        .from = HY_ROLE_STAT,
                                        .to = HY_ROLE_STAT});
}

/* The first own fragment that the state leaving `id` reaches, or −1. */
static int64_t next_reader(const hy_layout *layout, int64_t id, int step) {
    for (id = hy_layout_neighbour(layout, id, step); id >= 0; id = hy_layout_neighbour(layout, id, step)) {
        const hy_fragment *f = &layout->frags[id];
        if (!hy_segment_enters(f, step)) {
            return -1;
        }
        if (f->owner == layout->rank) {
            return id;
        }
        if (!hy_segment_passes(f)) {
            return -1;
        }
    }
    return -1;
}

void hy_segment_fold(hy_device *device, const hy_layout *layout, int step, const hy_segment_maps *maps, char *in) {
    const hy_segment_shape *shape = &maps->shape;
    const char *S = NULL; /* the state that left the fragment before; NULL if none did or nobody here reads it */
    bool read = false;
    int64_t id = hy_layout_neighbour(layout, step > 0 ? -1 : layout->n_frags, step);
    for (; id >= 0; id = hy_layout_neighbour(layout, id, step)) {
        const hy_fragment *f = &layout->frags[id];
        const bool own = f->owner == layout->rank, passes = hy_segment_passes(f);
        if (own && hy_segment_enters(f, step)) {
            hy_segment_copy(device, shape, S, in + (size_t)f->slot * shape->h_bytes);
        }
        if (!passes || own) {
            read = hy_segment_leaves(f, step) && next_reader(layout, id, step) >= 0;
        }
        if (!read || !hy_segment_leaves(f, step)) {
            S = NULL;
            continue;
        }
        char *H = maps->H + (size_t)f->owner * maps->rank_bytes + (size_t)f->slot * shape->h_bytes;
        if (passes) {
            const int64_t at = f->owner * layout->n_local + f->slot;
            hy_segment_pass(device, shape, f, step, maps->A + (size_t)at * shape->a_bytes, S, H);
        }
        S = H;
    }
}
