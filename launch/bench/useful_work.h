/* Floating-point operations that the mathematics needs, whatever an implementation does: what rates and shares of peak
 * are made of. Recomputation, padding and the masked half of a triangle do not count, so a share cannot be raised by
 * wasting work.
 *
 * Recurrences count their chunkwise form at C = 64, per token and value head, forward:
 *   delta     2·(C·K + C²/6 + C·(K+V)/2 + 3·K·V + C·V/2)    k·kᵀ and q·kᵀ (half each), the triangular solve and its two
 * products, three products with the state, the scores times v additive  2·(C·K/2 + C·V/2 + 2·K·V) Softmax attention:
 * 4·D for each query and visible key. A backward pass counts twice its forward. */
#ifndef HY_LAUNCH_USEFUL_WORK_H
#define HY_LAUNCH_USEFUL_WORK_H

#include "layers/model.h"

/* Forward, of T tokens in one document. */
double hy_useful_recurrence(hy_rule rule, int64_t T, int64_t value_heads, int64_t K, int64_t V);
double hy_useful_attention(int64_t T, int64_t heads, int64_t D,
                           int64_t window); /* causal; T²/2 pairs; window 0 = none */

/* A training step on one document of T tokens: 6 per parameter and token (each parameter once, the embedding too), and
 * the mixers. */
double hy_useful_step(const hy_model *model, int64_t T);

#endif
