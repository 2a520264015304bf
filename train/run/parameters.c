#include "train/run/parameters.h"

#include "base/memory.h"

static size_t stat_bytes(hy_dtype precision, int64_t elements) {
    return (size_t)elements * hy_role_size(precision, HY_ROLE_STAT);
}

static bool has_masters(hy_dtype precision) {
    return hy_dtype_of(precision, HY_ROLE_WEIGHT) != hy_dtype_of(precision, HY_ROLE_STAT);
}

static hy_status reserve_parameters(hy_parameters *p) {
    const int64_t flat = hy_model_flat_size(p->model);
    HY_TRY(hy_bucket_shards_create(p->model, hy_comm_size(p->all), hy_comm_rank(p->all), &p->shards));
    HY_TRY(HY_NEW("gathers of parameters", p->n_buckets, &p->reqs));
    p->n_own = flat / hy_comm_size(p->all);
    HY_TRY(hy_device_alloc(p->device, "parameters", (size_t)hy_model_compute_offset(p->model, p->precision, flat),
                           (void **)&p->compute));
    if (!has_masters(p->precision)) {
        return HY_OK;
    }
    hy_device_not_in_children(p->device, p->compute);
    return hy_device_alloc(p->device, "master parameters", stat_bytes(p->precision, p->n_own), (void **)&p->masters);
}

hy_status hy_parameters_create(const hy_model *model, hy_comm *all, hy_device *device, hy_dtype precision,
                               hy_parameters **out) {
    hy_parameters *p = NULL;
    HY_TRY(HY_NEW("parameters of a run", 1, &p));
    *p = (hy_parameters){.model = model,
                         .all = all,
                         .device = device,
                         .precision = precision,
                         .n_buckets = hy_model_bucket_count(model)};
    const hy_status status = reserve_parameters(p);
    if (status != HY_OK) {
        hy_parameters_destroy(p);
        return status;
    }
    *out = p;
    return HY_OK;
}

void hy_parameters_destroy(hy_parameters *parameters) {
    if (parameters != NULL) {
        hy_device_free(parameters->device, parameters->compute);
        hy_device_free(parameters->device, parameters->masters);
        hy_free(parameters->shards);
        hy_free(parameters->reqs);
        hy_free(parameters);
    }
}

static unsigned char *compute_at(const hy_parameters *p, int64_t flat) {
    return p->compute + hy_model_compute_offset(p->model, p->precision, flat);
}

void *hy_parameters_own(const hy_parameters *p, int bucket, void **copy) {
    const hy_bucket_shard *shard = &p->shards[bucket];
    unsigned char *own = compute_at(p, shard->flat);
    *copy = p->masters != NULL ? own : NULL;
    return p->masters != NULL ? p->masters + stat_bytes(p->precision, shard->state) : own;
}

void hy_parameters_send(hy_parameters *p, int bucket) {
    const hy_bucket_shard *shard = &p->shards[bucket];
    const int64_t begin = shard->flat - hy_comm_rank(p->all) * shard->n;
    unsigned char *own = compute_at(p, shard->flat);
    const size_t bytes = (size_t)(compute_at(p, shard->flat + shard->n) - own);
    hy_comm_all_gather(p->all, "parameters", own, compute_at(p, begin), bytes, &p->reqs[bucket]);
}

void hy_parameters_needed(void *context, int bucket) {
    hy_parameters *p = context;
    hy_comm_wait(&p->reqs[bucket]);
}

void hy_parameters_wait(hy_parameters *p) {
    hy_comm_wait_all(p->reqs, p->n_buckets);
}

/* ---- from outside ---- */

hy_status hy_parameters_init(hy_parameters *p, uint64_t seed, void *flat) {
    const hy_dtype dtype = hy_dtype_of(p->precision, HY_ROLE_STAT);
    HY_TRY(hy_model_init_on_device(p->model, seed, dtype, p->device, flat));
    for (int b = 0; b < p->n_buckets && p->masters != NULL; b++) {
        const hy_bucket_shard *shard = &p->shards[b];
        hy_device_copy(p->device, HY_LANE_COMPUTE, p->masters + stat_bytes(p->precision, shard->state),
                       (unsigned char *)flat + stat_bytes(p->precision, shard->flat),
                       stat_bytes(p->precision, shard->n));
    }
    hy_model_round(p->model, p->device, 0, hy_model_flat_size(p->model), flat, p->compute);
    return HY_OK;
}

hy_status hy_parameters_read(hy_parameters *p, const hy_checkpoint *checkpoint, hy_comm *world, void *m, void *v) {
    const hy_checkpoint_target target = {.dtype = hy_dtype_of(p->precision, HY_ROLE_STAT),
                                         .params = p->masters != NULL ? p->masters : p->compute,
                                         .own = p->masters != NULL,
                                         .m = m,
                                         .v = v,
                                         .device = p->device,
                                         .all = p->all};
    HY_TRY(hy_checkpoint_read(checkpoint, p->model, world, &target));
    for (int b = 0; b < p->n_buckets && p->masters != NULL; b++) {
        const hy_bucket_shard *shard = &p->shards[b];
        hy_model_round(p->model, p->device, shard->flat, shard->n, p->masters + stat_bytes(p->precision, shard->state),
                       p->compute);
        hy_parameters_send(p, b);
    }
    hy_parameters_wait(p);
    return HY_OK;
}

void hy_parameters_source(const hy_parameters *p, hy_checkpoint_source *source) {
    source->model = p->model;
    source->dtype = hy_dtype_of(p->precision, HY_ROLE_STAT);
    source->params = p->masters != NULL ? p->masters : p->compute;
    source->own = p->masters != NULL;
    source->device = p->device;
}
