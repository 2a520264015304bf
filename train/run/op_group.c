/* The switch has no default: an operation without a group is a warning of the compiler, and fails a test. */
#include "train/run/op_group.h"

hy_op_group hy_op_group_of(hy_op_id op) {
    switch (op) {
    case HY_OP_gemm:
        return HY_GROUP_PRODUCTS;
    case HY_OP_recur_map:
    case HY_OP_recur_fwd:
    case HY_OP_recur_inject:
    case HY_OP_recur_map_bwd:
    case HY_OP_recur_bwd:
    case HY_OP_bonus_fwd:
    case HY_OP_bonus_bwd:
    case HY_OP_level_fwd:
    case HY_OP_level_map_bwd:
    case HY_OP_level_bwd:
    case HY_OP_map_apply:
    case HY_OP_map_fold:
    case HY_OP_map_join:
    case HY_OP_map_compose:
        return HY_GROUP_RECURRENCE;
    case HY_OP_attn_fwd:
    case HY_OP_attn_delta:
    case HY_OP_attn_bwd:
    case HY_OP_latent_heads_fwd:
    case HY_OP_latent_heads_bwd:
    case HY_OP_attn_sink_fwd:
    case HY_OP_attn_sink_bwd:
        return HY_GROUP_ATTENTION;
    case HY_OP_conv_fwd:
    case HY_OP_conv_bwd:
    case HY_OP_window_filter_fwd:
    case HY_OP_window_filter_bwd:
    case HY_OP_modal_filter_fwd:
    case HY_OP_modal_filter_bwd:
    case HY_OP_long_conv_fwd:
    case HY_OP_long_conv_bwd:
    case HY_OP_transpose: /* tokens by channels and back, around the long ones */
        return HY_GROUP_CONVOLUTION;
    case HY_OP_embed_fwd:
    case HY_OP_embed_bwd:
    case HY_OP_cross_entropy:
        return HY_GROUP_LOSS;
    case HY_OP_adamw:
    case HY_OP_sumsq:
        return HY_GROUP_OPTIMIZER;
    case HY_OP_fill:
    case HY_OP_values:
    case HY_OP_copy2d:
    case HY_OP_copy_blocks:
    case HY_OP_axpy:
    case HY_OP_add:
    case HY_OP_rows_add:
    case HY_OP_repeat_fwd:
    case HY_OP_repeat_bwd:
    case HY_OP_bias_fwd:
    case HY_OP_bias_bwd:
    case HY_OP_rmsnorm_fwd:
    case HY_OP_rmsnorm_bwd:
    case HY_OP_layernorm_fwd:
    case HY_OP_layernorm_bwd:
    case HY_OP_l2norm_fwd:
    case HY_OP_l2norm_bwd:
    case HY_OP_sumnorm_fwd:
    case HY_OP_sumnorm_bwd:
    case HY_OP_unary_fwd:
    case HY_OP_unary_bwd:
    case HY_OP_glu_fwd:
    case HY_OP_glu_bwd:
    case HY_OP_rope:
    case HY_OP_decay_gate_fwd:
    case HY_OP_decay_gate_bwd:
    case HY_OP_scale_fwd:
    case HY_OP_scale_bwd:
    case HY_OP_feature_fwd:
    case HY_OP_feature_bwd:
    case HY_OP_ratio_fwd:
    case HY_OP_ratio_bwd:
    case HY_OP_own_fwd:
    case HY_OP_own_bwd:
    case HY_OP_bound_fwd:
    case HY_OP_bound_bwd:
    case HY_OP_bound_gate_fwd:
    case HY_OP_bound_gate_bwd:
    case HY_OP_lerp_fwd:
    case HY_OP_lerp_bwd:
        return HY_GROUP_ELEMENTWISE;
    case HY_OP_COUNT:
        break;
    }
    return HY_GROUP_COUNT;
}

const char *hy_op_group_name(hy_op_group group) {
    static const char *const names[HY_GROUP_COUNT] = {
        [HY_GROUP_PRODUCTS] = "matrix products",       [HY_GROUP_RECURRENCE] = "linear recurrences",
        [HY_GROUP_ATTENTION] = "softmax attention",    [HY_GROUP_CONVOLUTION] = "convolutions",
        [HY_GROUP_LOSS] = "embedding, loss",           [HY_GROUP_OPTIMIZER] = "optimizer",
        [HY_GROUP_ELEMENTWISE] = "norms, elementwise",
    };
    return names[group];
}
