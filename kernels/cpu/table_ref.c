/* Table cpu_ref: every operation from its reference. */
#include "kernels/cpu/ref.h"

static const hy_table ref_f32 = {
    .name = "cpu_ref",
    .detail = "double sums",
    .dtype = HY_F32,
#define HY_X(op, args) .op = hy_ref_##op##_f32,
    HY_OPS(HY_X)
#undef HY_X
        .recur_work = hy_ref_recur_work,
    .level_work = hy_ref_level_work,
    .attn_work = hy_ref_attn_work,
    .long_conv_work = hy_ref_long_conv_work,
};

static const hy_table ref_f64 = {
    .name = "cpu_ref",
    .detail = "double sums",
    .dtype = HY_F64,
#define HY_X(op, args) .op = hy_ref_##op##_f64,
    HY_OPS(HY_X)
#undef HY_X
        .recur_work = hy_ref_recur_work,
    .level_work = hy_ref_level_work,
    .attn_work = hy_ref_attn_work,
    .long_conv_work = hy_ref_long_conv_work,
};

static const hy_table ref_bf16 = {
    .name = "cpu_ref",
    .detail = "double sums",
    .dtype = HY_BF16,
#define HY_X(op, args) .op = hy_ref_##op##_bf16,
    HY_OPS(HY_X)
#undef HY_X
        .recur_work = hy_ref_recur_work,
    .level_work = hy_ref_level_work,
    .attn_work = hy_ref_attn_work,
    .long_conv_work = hy_ref_long_conv_work,
};

void hy_table_init_ref(hy_table *table, hy_dtype dtype) {
    *table = dtype == HY_F64 ? ref_f64 : dtype == HY_BF16 ? ref_bf16 : ref_f32;
}
