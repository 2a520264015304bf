/* Parameters of a model: their places in the flat array, their initial values, their counts. */
#include "layers/model.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "layers/model_build.h"
#include "layers/orthogonal.h"

const char *const hy_recompute_names[] = {
    [HY_RECOMPUTE_NONE] = "none", [HY_RECOMPUTE_LIGHT] = "light", [HY_RECOMPUTE_BLOCK] = "block", NULL};
const char *const hy_offload_names[] = {[HY_OFFLOAD_NONE] = "none", [HY_OFFLOAD_HOST] = "host", NULL};

struct hy_model {
    hy_model_config config;
    hy_graph graph;
    int n_buckets;
    int64_t *bucket_begin; /* [n_buckets+1] */
};

static int bucket_of_param(const hy_param *p) {
    return p->role == HY_ROLE_STAT ? HY_BUCKET_STATS : p->block == 0 ? HY_BUCKET_ENDS : HY_BUCKET_BLOCKS + p->block - 1;
}

/* Buckets one after the other, each padded to a multiple of `shards` pieces of 16 elements. */
static hy_status place_params(hy_model *model, int shards) {
    hy_graph *g = &model->graph;
    model->n_buckets = (int)model->config.layers + HY_BUCKET_BLOCKS;
    HY_TRY(HY_NEW("gradient buckets", model->n_buckets + 1, &model->bucket_begin));
    int64_t at = 0, unit = 16 * (int64_t)shards;
    for (int b = 0; b < model->n_buckets; b++) {
        model->bucket_begin[b] = at;
        for (int i = 0; i < g->n_params; i++) {
            if (bucket_of_param(&g->params[i]) == b) {
                g->params[i].bucket = b;
                g->params[i].offset = at;
                at += g->params[i].size;
            }
        }
        at = (at + unit - 1) / unit * unit;
    }
    model->bucket_begin[model->n_buckets] = at;
    g->stat_elements = model->bucket_begin[HY_BUCKET_STATS + 1];
    return HY_OK;
}

hy_status hy_model_create(const hy_model_config *config, int shards, hy_model **out) {
    hy_model *model = NULL;
    HY_TRY(HY_NEW("model", 1, &model));
    model->config = *config;
    hy_graph_init(&model->graph);
    hy_status status = hy_model_build(&model->graph, &model->config);
    if (status == HY_OK) {
        status = place_params(model, shards);
    }
    if (status != HY_OK) {
        hy_model_destroy(model);
        return status;
    }
    *out = model;
    return HY_OK;
}

void hy_model_destroy(hy_model *model) {
    if (model) {
        hy_graph_fini(&model->graph);
        hy_free(model->bucket_begin);
        hy_free(model);
    }
}

const hy_model_config *hy_model_config_of(const hy_model *model) {
    return &model->config;
}

const hy_graph *hy_model_graph(const hy_model *model) {
    return &model->graph;
}

const hy_param *hy_model_params(const hy_model *model, int64_t *count) {
    *count = model->graph.n_params;
    return model->graph.params;
}

int64_t hy_model_parameter_count(const hy_model *model) {
    int64_t total = 0;
    for (int i = 0; i < model->graph.n_params; i++) {
        total += model->graph.params[i].size;
    }
    return total;
}

int64_t hy_model_flat_size(const hy_model *model) {
    return model->bucket_begin[model->n_buckets];
}

int hy_model_bucket_count(const hy_model *model) {
    return model->n_buckets;
}

void hy_model_bucket(const hy_model *model, int bucket, int64_t *begin, int64_t *end) {
    *begin = model->bucket_begin[bucket];
    *end = model->bucket_begin[bucket + 1];
}

int64_t hy_model_compute_offset(const hy_model *model, hy_dtype precision, int64_t flat) {
    return hy_compute_offset(&model->graph, precision, flat);
}

/* Elements of one role. */
static void round_part(const hy_model *model, hy_device *device, hy_role role, int64_t begin, int64_t end,
                       const void *from, void *compute) {
    const hy_dtype precision = hy_device_profile(device)->dtype;
    if (begin < end) {
        hy_copy2d(device, &(hy_copy2d_args){.rows = 1,
                                            .cols = end - begin,
                                            .src_ld = end - begin,
                                            .dst_ld = end - begin,
                                            .src = from,
                                            .dst = (char *)compute + hy_model_compute_offset(model, precision, begin),
                                            .from = HY_ROLE_STAT,
                                            .to = role});
    }
}

void hy_model_round(const hy_model *model, hy_device *device, int64_t begin, int64_t n, const void *from,
                    void *compute) {
    const int64_t stats = model->graph.stat_elements, end = begin + n;
    const int64_t cut = stats < begin ? begin : stats < end ? stats : end;
    const size_t element = hy_role_size(hy_device_profile(device)->dtype, HY_ROLE_STAT);
    round_part(model, device, HY_ROLE_STAT, begin, cut, from, compute);
    round_part(model, device, HY_ROLE_WEIGHT, cut, end, (const char *)from + (size_t)(cut - begin) * element, compute);
}

hy_status hy_model_write_params(const hy_model *model, hy_device *device, const void *flat, void *compute) {
    const int64_t n = hy_model_flat_size(model);
    const size_t bytes = (size_t)n * hy_role_size(hy_device_profile(device)->dtype, HY_ROLE_STAT);
    void *wide = NULL;
    HY_TRY(hy_device_alloc(device, "parameters before rounding", bytes, &wide));
    hy_device_write(device, flat, bytes, wide);
    hy_model_round(model, device, 0, n, wide, compute);
    hy_device_wait(device, hy_device_mark(device, HY_LANE_COMPUTE));
    hy_device_free(device, wide);
    return HY_OK;
}

static double initial_value(const hy_param *p, uint64_t seed, uint64_t stream, uint64_t index) {
    double u;
    switch (p->init) {
    case HY_INIT_NORMAL:
        return p->init_a * hy_random_normal(seed, stream, index);
    case HY_INIT_ONE:
        return 1;
    case HY_INIT_LOG_UNIFORM_A:
        return log(p->init_a + (p->init_b - p->init_a) * hy_random_uniform(seed, stream, index));
    case HY_INIT_LOG_COUNT:
        return log1p((double)(index % (uint64_t)p->shape[p->n_dims - 1]));
    case HY_INIT_DT_BIAS:
        u = exp(log(1e-3) + (log(1e-1) - log(1e-3)) * hy_random_uniform(seed, stream, index));
        u = u > 1e-4 ? u : 1e-4;
        return u + log(-expm1(-u));
    case HY_INIT_RAMP:
        return p->init_a + (p->init_b - p->init_a) * (p->size > 1 ? (double)index / (double)(p->size - 1) : 0);
    case HY_INIT_UNIFORM:
        return p->init_a * (2 * hy_random_uniform(seed, stream, index) - 1);
    case HY_INIT_CONSTANT:
        return p->init_a;
    case HY_INIT_FORMULA:
        return p->formula(p, (int64_t)index);
    case HY_INIT_ORTHOGONAL:
        return hy_random_normal(seed, stream, index);
    default:
        return 0;
    }
}

/* [size] */
static void init_param(const hy_param *p, uint64_t seed, hy_dtype dtype, void *out) {
    const uint64_t stream = hy_random_stream(p->name);
    for (int64_t j = 0; j < p->size; j++) {
        const double value = initial_value(p, seed, stream, (uint64_t)j);
        if (dtype == HY_F64) {
            ((double *)out)[j] = value;
        } else {
            ((float *)out)[j] = (float)value;
        }
    }
    if (p->init == HY_INIT_ORTHOGONAL) {
        hy_orthogonalise(out, dtype, p->shape[0], p->size / p->shape[0], p->init_a);
    }
}

void hy_model_init_params(const hy_model *model, uint64_t seed, hy_dtype dtype, void *flat) {
    memset(flat, 0, (size_t)hy_model_flat_size(model) * hy_dtype_size(dtype));
    for (int i = 0; i < model->graph.n_params; i++) {
        const hy_param *p = &model->graph.params[i];
        init_param(p, seed, dtype, (char *)flat + (size_t)p->offset * hy_dtype_size(dtype));
    }
}

/* Where the host cannot write them in place, one after the other. */
hy_status hy_model_init_on_device(const hy_model *model, uint64_t seed, hy_dtype dtype, hy_device *device, void *flat) {
    const size_t element = hy_dtype_size(dtype);
    int64_t most = 0;
    void *one = NULL;
    if (!hy_device_is_async(device)) {
        hy_model_init_params(model, seed, dtype, flat);
        return HY_OK;
    }
    for (int i = 0; i < model->graph.n_params; i++) {
        most = model->graph.params[i].size > most ? model->graph.params[i].size : most;
    }
    HY_TRY(hy_alloc("a parameter on its way", (size_t)most * element, &one));
    for (int i = 0; i < model->graph.n_params; i++) {
        const hy_param *p = &model->graph.params[i];
        init_param(p, seed, dtype, one);
        hy_device_write(device, one, (size_t)p->size * element, (char *)flat + (size_t)p->offset * element);
    }
    hy_free(one);
    return HY_OK;
}

double hy_model_flops_fwd(const hy_model *model, const int64_t *docs, int64_t n_docs) {
    double total = 0;
    for (int n = 0; n < model->graph.n_nodes; n++) {
        const hy_node *node = &model->graph.nodes[n];
        total += node->class->flops ? node->class->flops(node, docs[n_docs] - docs[0], docs, n_docs) : 0;
    }
    return total;
}
