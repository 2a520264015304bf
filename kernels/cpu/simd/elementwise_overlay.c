/* Fast elementwise operations, norms, convolution, loss and optimizer of this instruction set: which table entries they
 * replace. An entry not named here stays on cpu_ref. */
#include "kernels/cpu/simd/elementwise.h"

/* clang-format off */
#define OVERLAID(X) \
    X(fill) X(copy2d) X(copy_blocks) X(transpose) X(axpy) X(add) X(rows_add) X(repeat_fwd) X(repeat_bwd) \
    X(latent_heads_fwd) X(latent_heads_bwd) X(bias_fwd) X(bias_bwd) X(embed_fwd) X(embed_bwd) \
    X(rmsnorm_fwd) X(rmsnorm_bwd) X(layernorm_fwd) X(layernorm_bwd) X(l2norm_fwd) X(l2norm_bwd) \
    X(unary_fwd) X(unary_bwd) X(glu_fwd) X(glu_bwd) X(rope) X(decay_gate_fwd) X(decay_gate_bwd) X(scale_fwd) X(scale_bwd) \
    X(feature_fwd) X(feature_bwd) \
    X(conv_fwd) X(conv_bwd) X(window_filter_fwd) X(window_filter_bwd) X(modal_filter_fwd) X(modal_filter_bwd) \
    X(bonus_fwd) X(bonus_bwd) X(bound_gate_fwd) X(bound_gate_bwd) X(lerp_fwd) X(lerp_bwd) X(cross_entropy) X(sumsq) X(adamw)

/* clang-format on */

void HY_ISA_NAME(hy_elementwise_overlay)(hy_table *table) {
#define HY_X(op) table->op = HY_ISA_NAME(hy_fast_##op);
    OVERLAID(HY_X)
#if HY_BF16_ACTS
    HY_X(gemm)
#endif
#undef HY_X
}
