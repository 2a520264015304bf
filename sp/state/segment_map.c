/* Shapes of maps, and the calls that work on them. */
#include "sp/state/segment_map.h"

hy_segment_shape hy_segment_shape_of(const hy_recur_args *op, hy_dtype dtype) {
    hy_segment_shape shape = {.HV = op->HV, .K = op->K, .V = op->V, .log_decay = op->log_decay_max};
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

int64_t hy_segment_elements(const hy_segment_shape *shape) {
    return shape->HV * shape->K * shape->V * (shape->levels > 0 ? shape->levels : 1);
}

void hy_segment_copy(hy_device *device, const hy_segment_shape *shape, int64_t n, const void *from, void *to) {
    n *= hy_segment_elements(shape);
    hy_copy2d(device, &(hy_copy2d_args){.rows = 1,
                                        .cols = n,
                                        .src_ld = n,
                                        .dst_ld = n,
                                        .src = from,
                                        .dst = to,
                                        .from = HY_ROLE_STAT,
                                        .to = HY_ROLE_STAT});
}

void hy_segment_fold(hy_device *device, const hy_fold_list *list, int step, const hy_segment_maps *maps, char *in) {
    const hy_segment_shape *shape = &maps->shape;
    if (list->n == 0) {
        return;
    }
    hy_map_fold(device, &(hy_map_fold_args){.n = shape->HV,
                                            .K = shape->K,
                                            .V = shape->V,
                                            .a_size = shape->a_size,
                                            .levels = shape->levels,
                                            .transpose = step < 0,
                                            .steps = list->device,
                                            .n_steps = list->n,
                                            .group = maps->group,
                                            .group_ld = maps->group_ld,
                                            .A = maps->A,
                                            .H = maps->H,
                                            .in = in});
}
