#include "train/run/adamw_sharded.h"

#include "base/memory.h"
#include "train/run/fixed_sums.h"

struct hy_adamw_sharded {
    hy_parameters *parameters;
    hy_comm *world;
    hy_device *device;
    hy_type type;                     /* of gradients */
    size_t grad_size, stat_size;      /* bytes of an element of them, of m and v */
    int rank, n_buckets, next_posted; /* next_posted: buckets above it have been posted in this step */
    unsigned char *grads, *m, *v;
    const hy_bucket_shard *shards; /* [n_buckets] */
    bool *ready;                   /* [n_buckets] */
    hy_req *reqs;                  /* [n_buckets] reductions */
    hy_adamw_segment *segments;    /* grouped by bucket, counted from the shard's first element */
    int64_t *first_segment;        /* [n_buckets + 1] */
    bool fixed, mirrored;          /* gradients are added up as fixed_sums.h says */
    int64_t sums;                  /* arrays of them, and parts of a shard: the same parts on any number of ranks */
};

/* The segments of one shard, or a part of it, that count from element `origin`, appended to `out` (or only counted where it is NULL). Neighbours with equal decay are
 * joined: the update is elementwise. Padding has no segment. */
static int64_t cut_segments(const hy_model *model, const hy_bucket_shard *shard, int64_t origin,
                            hy_adamw_segment *out) {
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
                out[n] = (hy_adamw_segment){.at = begin - origin, .n = end - begin, .decays = p->decay};
            }
            n++;
        }
        joined_end = end;
        joined_decay = p->decay;
    }
    return n;
}

/* Those of a bucket. Parts are cut apart, so that calls are the same whoever has them. */
static int64_t cut_bucket(const hy_adamw_sharded *o, int bucket, hy_adamw_segment *out) {
    hy_bucket_shard part = o->shards[bucket];
    const int64_t origin = part.flat;
    int64_t n = 0;
    part.n /= o->sums;
    for (int64_t i = 0; i < o->sums; i++, part.flat += part.n) {
        n += cut_segments(o->parameters->model, &part, origin, out != NULL ? out + n : NULL);
    }
    return n;
}

static hy_status reserve_moments(hy_adamw_sharded *o) {
    HY_TRY(HY_NEW("buckets ready", o->n_buckets, &o->ready));
    HY_TRY(HY_NEW("bucket requests", o->n_buckets, &o->reqs));
    HY_TRY(HY_NEW("first segments", o->n_buckets + 1, &o->first_segment));
    int64_t n_segments = 0;
    for (int b = 0; b < o->n_buckets; b++) {
        n_segments += cut_bucket(o, b, NULL);
    }
    HY_TRY(HY_NEW("segments", n_segments, &o->segments));
    for (int b = 0; b < o->n_buckets; b++) {
        o->first_segment[b + 1] = o->first_segment[b] + cut_bucket(o, b, o->segments + o->first_segment[b]);
    }
    const size_t bytes = (size_t)o->parameters->n_own * o->stat_size;
    HY_TRY(hy_device_alloc(o->device, "AdamW m", bytes, (void **)&o->m));
    return hy_device_alloc(o->device, "AdamW v", bytes, (void **)&o->v);
}

hy_status hy_adamw_sharded_create(hy_parameters *parameters, void *grads, const hy_sp_method *method, int64_t sums,
                                  hy_adamw_sharded **out) {
    const hy_dtype precision = parameters->precision;
    hy_adamw_sharded *o = NULL;
    HY_TRY(HY_NEW("optimizer", 1, &o));
    *o = (hy_adamw_sharded){.parameters = parameters,
                            .world = parameters->all,
                            .device = parameters->device,
                            .type = hy_dtype_of(precision, HY_ROLE_GRAD) == HY_F64 ? HY_TYPE_F64 : HY_TYPE_F32,
                            .grad_size = hy_role_size(precision, HY_ROLE_GRAD),
                            .stat_size = hy_role_size(precision, HY_ROLE_STAT),
                            .rank = hy_comm_rank(parameters->all),
                            .n_buckets = parameters->n_buckets,
                            .shards = parameters->shards,
                            .grads = grads,
                            .fixed = method->cuts.fixed > 0,
                            .mirrored = method->layout == HY_LAYOUT_ZIGZAG,
                            .sums = sums};
    o->next_posted = o->n_buckets - 1;
    const hy_status status = reserve_moments(o);
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
    hy_free(optimizer->ready);
    hy_free(optimizer->reqs);
    hy_free(optimizer->segments);
    hy_free(optimizer->first_segment);
    hy_device_free(optimizer->device, optimizer->m);
    hy_device_free(optimizer->device, optimizer->v);
    hy_free(optimizer);
}

/* This rank's gradients of a bucket. */
static unsigned char *own_grads(const hy_adamw_sharded *o, int bucket) {
    return o->grads + (size_t)o->shards[bucket].flat * o->grad_size;
}

/* ---- sums in a fixed order: every rank gets its shard of all ranks' and adds them up itself ---- */

/* What came of a bucket: a shard of each rank. It lies where the second array of gradients was. */
static unsigned char *came_grads(const hy_adamw_sharded *o, int bucket) {
    const int64_t flat = hy_model_flat_size(o->parameters->model),
                  whole = o->shards[bucket].flat - o->rank * o->shards[bucket].n;
    return o->grads + (size_t)(flat + whole) * o->grad_size;
}

static hy_fixed_arrays sums_of_bucket(const hy_adamw_sharded *o, int bucket, bool of_ranks) {
    const hy_bucket_shard *shard = &o->shards[bucket];
    const int size = hy_comm_size(o->world);
    hy_fixed_arrays a = {.device = o->device, .first = o->grads, .arrays = o->sums, .size = o->grad_size};
    if (of_ranks) {
        a.first = came_grads(o, bucket);
        a.arrays = size;
        a.ld = a.n = shard->n;
    } else {
        a.ld = hy_model_flat_size(o->parameters->model);
        a.begin = shard->flat - o->rank * shard->n;
        a.n = size * shard->n;
        a.mirrored = o->mirrored;
    }
    return a;
}

static void post_fixed(hy_adamw_sharded *o, int bucket) {
    const hy_fixed_arrays own = sums_of_bucket(o, bucket, false);
    hy_fixed_sum_arrays(&own);
    if (hy_comm_size(o->world) > 1) {
        hy_comm_all_to_all(o->world, "gradients", own.first + (size_t)own.begin * own.size, came_grads(o, bucket),
                           (size_t)o->shards[bucket].n * o->grad_size, &o->reqs[bucket]);
    }
}

static void finish_fixed(hy_adamw_sharded *o, int bucket) {
    const hy_fixed_arrays came = sums_of_bucket(o, bucket, true);
    if (came.arrays > 1) {
        hy_fixed_sum_arrays(&came);
        hy_axpy(o->device, &(hy_axpy_args){.n = came.n,
                                           .a = 1,
                                           .x = came.first,
                                           .y = own_grads(o, bucket),
                                           .from = HY_ROLE_GRAD,
                                           .to = HY_ROLE_GRAD});
    }
}

/* Posts, from the last bucket down, every reduce-scatter whose turn it is and whose gradient is complete. */
static void post_reductions(hy_adamw_sharded *o) {
    while (o->next_posted >= 0 && o->ready[o->next_posted]) {
        const int b = o->next_posted--;
        if (o->fixed) {
            post_fixed(o, b);
            continue;
        }
        const int64_t n = o->shards[b].n;
        unsigned char *own = own_grads(o, b), *whole = own - (size_t)(o->rank * n) * o->grad_size;
        hy_comm_reduce_scatter(o->world, "gradients", whole, own, n, o->type, &o->reqs[b]);
    }
}

void hy_adamw_sharded_bucket_ready(void *context, int bucket) {
    hy_adamw_sharded *o = context;
    o->ready[bucket] = true;
    post_reductions(o);
}

static void add_squares(const hy_adamw_sharded *o, int bucket, double *sum) {
    const int64_t n = o->shards[bucket].n / o->sums;
    for (int64_t i = 0; i < o->sums; i++) {
        hy_sumsq(o->device,
                 &(hy_sumsq_args){.n = n, .x = own_grads(o, bucket) + (size_t)(i * n) * o->grad_size, .sum = &sum[i]});
    }
}

void hy_adamw_sharded_reduce(hy_adamw_sharded *o, double *sum) {
    for (int b = 0; b < o->n_buckets; b++) {
        o->ready[b] = true;
    }
    post_reductions(o);
    for (int b = o->n_buckets - 1; b >= 0; b--) {
        hy_comm_wait(&o->reqs[b]);
        if (o->fixed) {
            finish_fixed(o, b);
        }
        add_squares(o, b, sum);
        o->ready[b] = false;
    }
    o->next_posted = o->n_buckets - 1;
}

void hy_adamw_sharded_update(hy_adamw_sharded *o, const hy_adamw_settings *settings, int64_t update, double lr,
                             double g_scale) {
    hy_parameters_wait(o->parameters); /* those of the last update, where this rank had nothing to compute in between */
    for (int b = 0; b < o->n_buckets; b++) {
        const size_t state = (size_t)o->shards[b].state * o->stat_size;
        void *copy, *own = hy_parameters_own(o->parameters, b, &copy);
        hy_adamw(o->device, &(hy_adamw_args){.segments = o->segments + o->first_segment[b],
                                             .n_segments = o->first_segment[b + 1] - o->first_segment[b],
                                             .step = update,
                                             .lr = lr,
                                             .b1 = settings->beta1,
                                             .b2 = settings->beta2,
                                             .eps = settings->eps,
                                             .decay = settings->weight_decay,
                                             .g_scale = g_scale,
                                             .g = own_grads(o, b),
                                             .w = own,
                                             .m = o->m + state,
                                             .v = o->v + state,
                                             .copy = copy,
                                             .copy_role = hy_bucket_role(b)});
        hy_parameters_send(o->parameters, b);
    }
}

void hy_adamw_sharded_state(const hy_adamw_sharded *optimizer, void **m, void **v) {
    *m = optimizer->m;
    *v = optimizer->v;
}
