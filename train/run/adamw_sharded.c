#include "train/run/adamw_sharded.h"

#include "base/memory.h"
#include "train/checkpoint/checkpoint.h"

struct hy_adamw_sharded {
    hy_comm *world;
    hy_device *device;
    size_t element;
    hy_type type;
    int rank, size, n_buckets, next_posted; /* next_posted: buckets above it have been posted in this step */
    unsigned char *params, *grads, *m, *v;
    int64_t n_state;
    hy_bucket_shard *shards;    /* [n_buckets] */
    bool *ready;                /* [n_buckets] */
    hy_req *reqs;               /* [n_buckets] */
    hy_adamw_segment *segments; /* grouped by bucket, counted from the shard's first element */
    int64_t *first_segment;     /* [n_buckets + 1] */
};

hy_status hy_adamw_sharded_plan(const hy_model *model, int size, hy_dtype dtype, hy_plan *plan) {
    return hy_plan_add(plan, "AdamW state m, v (own shards)", "run",
                       2 * (hy_model_flat_size(model) / size) * (int64_t)hy_dtype_size(dtype));
}

/* The segments of one shard, appended to `out` (or only counted where it is NULL). Neighbours with equal decay are
 * joined: the update is elementwise. Padding has no segment. */
static int64_t cut_segments(const hy_model *model, const hy_bucket_shard *shard, hy_adamw_segment *out) {
    int64_t n_params = 0, n = 0, joined_end = -1;
    bool joined_decay = false;
    const hy_param *params = hy_model_params(model, &n_params);
    for (int64_t i = 0; i < n_params; i++) {
        const hy_param *p = &params[i];
        int64_t begin, end;
        if (!hy_bucket_shard_overlap(shard, p, &begin, &end)) {
            continue;
        }
        if (begin == joined_end && p->decay == joined_decay) {
            if (out != NULL) {
                out[n - 1].n += end - begin;
            }
        } else {
            if (out != NULL) {
                out[n] = (hy_adamw_segment){.at = begin - shard->flat, .n = end - begin, .decays = p->decay};
            }
            n++;
        }
        joined_end = end;
        joined_decay = p->decay;
    }
    return n;
}

static hy_status reserve(hy_adamw_sharded *o, const hy_model *model) {
    HY_TRY(HY_NEW("shards", o->n_buckets, &o->shards));
    HY_TRY(HY_NEW("buckets ready", o->n_buckets, &o->ready));
    HY_TRY(HY_NEW("bucket requests", o->n_buckets, &o->reqs));
    HY_TRY(HY_NEW("first segments", o->n_buckets + 1, &o->first_segment));
    int64_t n_segments = 0;
    for (int b = 0; b < o->n_buckets; b++) {
        o->shards[b] = hy_bucket_shard_of(model, o->size, o->rank, b);
        o->n_state += o->shards[b].n;
        n_segments += cut_segments(model, &o->shards[b], NULL);
    }
    HY_TRY(HY_NEW("segments", n_segments, &o->segments));
    for (int b = 0; b < o->n_buckets; b++) {
        o->first_segment[b + 1] =
            o->first_segment[b] + cut_segments(model, &o->shards[b], o->segments + o->first_segment[b]);
    }
    HY_TRY(hy_device_alloc(o->device, "AdamW m", (size_t)o->n_state * o->element, (void **)&o->m));
    return hy_device_alloc(o->device, "AdamW v", (size_t)o->n_state * o->element, (void **)&o->v);
}

hy_status hy_adamw_sharded_create(const hy_model *model, hy_comm *world, hy_device *device, hy_dtype dtype,
                                  void *params, void *grads, hy_adamw_sharded **out) {
    hy_adamw_sharded *o = NULL;
    HY_TRY(HY_NEW("optimizer", 1, &o));
    *o = (hy_adamw_sharded){.world = world,
                            .device = device,
                            .element = hy_dtype_size(dtype),
                            .type = dtype == HY_F64 ? HY_TYPE_F64 : HY_TYPE_F32,
                            .rank = hy_comm_rank(world),
                            .size = hy_comm_size(world),
                            .n_buckets = hy_model_bucket_count(model),
                            .params = params,
                            .grads = grads};
    o->next_posted = o->n_buckets - 1;
    const hy_status status = reserve(o, model);
    if (status != HY_OK) {
        hy_adamw_sharded_destroy(o);
        return status;
    }
    *out = o;
    return HY_OK;
}

void hy_adamw_sharded_destroy(hy_adamw_sharded *optimizer) {
    if (optimizer == NULL) {
        return;
    }
    hy_free(optimizer->shards);
    hy_free(optimizer->ready);
    hy_free(optimizer->reqs);
    hy_free(optimizer->segments);
    hy_free(optimizer->first_segment);
    hy_device_free(optimizer->device, optimizer->m);
    hy_device_free(optimizer->device, optimizer->v);
    hy_free(optimizer);
}

/* Where the bucket begins in `flat`, given this rank's shard of it. */
static unsigned char *bucket_begin(const hy_adamw_sharded *o, unsigned char *flat, int bucket) {
    const hy_bucket_shard *shard = &o->shards[bucket];
    return flat + (size_t)(shard->flat - o->rank * shard->n) * o->element;
}

/* Posts, from the last bucket down, every reduce-scatter whose turn it is and whose gradient is complete. */
static void post_reductions(hy_adamw_sharded *o) {
    while (o->next_posted >= 0 && o->ready[o->next_posted]) {
        const int b = o->next_posted--;
        const hy_bucket_shard *shard = &o->shards[b];
        hy_comm_reduce_scatter(o->world, "gradients", bucket_begin(o, o->grads, b),
                               o->grads + (size_t)shard->flat * o->element, shard->n, o->type, &o->reqs[b]);
    }
}

void hy_adamw_sharded_bucket_ready(void *context, int bucket) {
    hy_adamw_sharded *o = context;
    o->ready[bucket] = true;
    post_reductions(o);
}

void hy_adamw_sharded_reduce(hy_adamw_sharded *o, double *sum) {
    for (int b = 0; b < o->n_buckets; b++) {
        o->ready[b] = true;
    }
    post_reductions(o);
    for (int b = o->n_buckets - 1; b >= 0; b--) {
        hy_comm_wait(&o->reqs[b]);
        hy_sumsq(
            o->device,
            &(hy_sumsq_args){.n = o->shards[b].n, .x = o->grads + (size_t)o->shards[b].flat * o->element, .sum = sum});
        o->ready[b] = false;
    }
    o->next_posted = o->n_buckets - 1;
}

void hy_adamw_sharded_update(hy_adamw_sharded *o, const hy_adamw_settings *settings, int64_t update, double lr,
                             double g_scale) {
    for (int b = 0; b < o->n_buckets; b++) {
        const hy_bucket_shard *shard = &o->shards[b];
        hy_adamw(o->device, &(hy_adamw_args){.segments = o->segments + o->first_segment[b],
                                             .n_segments = o->first_segment[b + 1] - o->first_segment[b],
                                             .step = update,
                                             .lr = lr,
                                             .b1 = settings->beta1,
                                             .b2 = settings->beta2,
                                             .eps = settings->eps,
                                             .decay = settings->weight_decay,
                                             .g_scale = g_scale,
                                             .g = o->grads + (size_t)shard->flat * o->element,
                                             .w = o->params + (size_t)shard->flat * o->element,
                                             .m = o->m + (size_t)shard->state * o->element,
                                             .v = o->v + (size_t)shard->state * o->element});
        hy_comm_all_gather(o->world, "parameters", o->params + (size_t)shard->flat * o->element,
                           bucket_begin(o, o->params, b), (size_t)shard->n * o->element, &o->reqs[b]);
    }
}

void hy_adamw_sharded_gather(hy_adamw_sharded *o) {
    hy_comm_wait_all(o->reqs, o->n_buckets);
}

void hy_adamw_sharded_state(hy_adamw_sharded *optimizer, void **m, void **v, int64_t *n) {
    *m = optimizer->m;
    *v = optimizer->v;
    *n = optimizer->n_state;
}
