/* AdamW with its state sharded over all ranks (ZeRO-1; Rajbhandari et al. 2020).
 *
 * A bucket of the flat parameter array has size·s elements; rank r owns elements [r·s, (r+1)·s) of each bucket: it
 * alone holds their m and v and updates them.
 *
 *     gradients   Σ over ranks, each rank receiving its shards: one reduce-scatter per bucket, posted as soon as
 *                 backward has finished the bucket, so that it travels while backward goes on
 *     norm        Σ g² over the shards in double, then over ranks
 *     update      own shards of the masters (parameters.h); the clipping factor is applied to g on the way
 *     parameters  one all-gather per bucket, posted while the next bucket is updated and waited for where it is read
 *
 * A group without a sequence in its last micro-step posts the same exchanges in the same order: from the last bucket to
 * the first. */
#ifndef HY_TRAIN_ADAMW_SHARDED_H
#define HY_TRAIN_ADAMW_SHARDED_H

#include "comm/comm.h"
#include "layers/model.h"
#include "train/run/parameters.h"

typedef struct hy_adamw_settings {
    double beta1, beta2, eps, weight_decay;
} hy_adamw_settings;

typedef struct hy_adamw_sharded hy_adamw_sharded;

/* grads: flat, in the device's memory, borrowed like the parameters; m = v = 0. With method->cuts.fixed hy_fixed_sums_arrays of them, of which the
 * first `sums` are added up in an order that does not depend on the ranks (fixed_sums.h), and the model has hy_fixed_sums_shards. Local. */
HY_MUST_CHECK hy_status hy_adamw_sharded_create(hy_parameters *parameters, void *grads, const hy_sp_method *method,
                                                int64_t sums, hy_adamw_sharded **out);
void hy_adamw_sharded_destroy(hy_adamw_sharded *optimizer);

/* A hy_bucket_ready for the last micro-step; context: the optimizer. */
void hy_adamw_sharded_bucket_ready(void *context, int bucket);
/* Posts what bucket_ready has not, waits for all, and adds this rank's part of Σ g² to sum[sums], in the device's memory: of as
 * many equal parts of its shards. Collective. */
void hy_adamw_sharded_reduce(hy_adamw_sharded *optimizer, double *sum);
/* Update number `update` (from 1) of own shards with gradients g·g_scale; the parameters of all ranks begin to travel.
 * It waits for nobody. Collective. */
void hy_adamw_sharded_update(hy_adamw_sharded *optimizer, const hy_adamw_settings *settings, int64_t update, double lr,
                             double g_scale);
/* For checkpoints: this rank's m and v, its shards of the buckets one after the other (hy_bucket_shard_of). */
void hy_adamw_sharded_state(const hy_adamw_sharded *optimizer, void **m, void **v);

#endif
