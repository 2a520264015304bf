/* ranks: 1 2 3 4 7 */
/* ZeRO-1 against a plain AdamW in double of the whole array on every rank: same parameters, m, v after several updates,
 * whatever the rank count, in float32 and with the compute copy in bf16; gradients are multiples of 1/8, so that their sum over ranks is exact in any order. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "tests/dist/dist.h"
#include "train/run/adamw_sharded.h"

enum { UPDATES = 4 };

static double gradient_part(int update, int rank, int64_t i) {
    return (double)(hy_random_u64(5, (uint64_t)(update * 1000 + rank), (uint64_t)i) % 17) / 8.0 - 1.0;
}

static bool close_enough(double a, double b) {
    return fabs(a - b) <= 1e-5 * (fabs(a) + fabs(b)) + 1e-7;
}

/* Plain AdamW, one parameter at a time. */
static void reference(const hy_param *p, const hy_adamw_settings *s, const double *lr, const double *scale, int size,
                      const float *start, float *end) {
    for (int64_t i = 0; i < p->size; i++) {
        double w = (double)start[p->offset + i], m = 0.0, v = 0.0;
        for (int u = 1; u <= UPDATES; u++) {
            double g = 0.0;
            for (int r = 0; r < size; r++) {
                g += gradient_part(u, r, p->offset + i);
            }
            g *= scale[u];
            m = s->beta1 * m + (1.0 - s->beta1) * g;
            v = s->beta2 * v + (1.0 - s->beta2) * g * g;
            const double mh = m / (1.0 - pow(s->beta1, u)), vh = v / (1.0 - pow(s->beta2, u));
            w -= lr[u] * (mh / (sqrt(vh) + s->eps) + (p->decay ? s->weight_decay : 0.0) * w);
        }
        end[p->offset + i] = (float)w;
    }
}

static double whole_sumsq(const hy_param *params, int64_t n_params, int update, int size) {
    double sum = 0.0;
    for (int64_t q = 0; q < n_params; q++) {
        for (int64_t i = 0; i < params[q].size; i++) {
            double g = 0.0;
            for (int r = 0; r < size; r++) {
                g += gradient_part(update, r, params[q].offset + i);
            }
            sum += g * g;
        }
    }
    return sum;
}

static hy_status make_model(int shards, hy_model **model) {
    hy_model_config config;
    hy_model_config_init(&config);
    config.layers = 3;
    config.width = 24;
    config.vocab = 37;
    config.mlp_width = 20;
    config.n_pattern = 2;
    strcpy(config.pattern[0], "gated_deltanet");
    strcpy(config.pattern[1], "attention");
    config.n_mixers = 2;
    hy_mixer_config_init(&config.mixers[0], "gated_deltanet");
    config.mixers[0].heads = 2;
    config.mixers[0].head_dim = 12;
    hy_mixer_config_init(&config.mixers[1], "attention");
    config.mixers[1].heads = 2;
    config.mixers[1].head_dim = 12;
    HY_TRY(hy_model_config_resolve(&config));
    return hy_model_create(&config, shards, model);
}

/* Elements of parameters on this rank: those of the masters it owns are the reference's; the compute copy holds all, rounded. */
static void check_parameters(const hy_parameters *p, const float *expected) {
    const size_t bytes = (size_t)hy_model_compute_offset(p->model, p->precision, hy_model_flat_size(p->model));
    unsigned char *compute = malloc(bytes);
    float *masters = malloc((size_t)p->n_own * sizeof *masters);
    int64_t n_params = 0;
    const hy_param *list = hy_model_params(p->model, &n_params);
    hy_device_read(p->device, p->compute, bytes, compute);
    for (int b = 0; b < p->n_buckets; b++) {
        void *copy;
        const void *own = hy_parameters_own(p, b, &copy);
        hy_device_read(p->device, own, (size_t)p->shards[b].n * sizeof *masters, masters + p->shards[b].state);
    }
    for (int64_t q = 0; q < n_params; q++) {
        const hy_bucket_shard *shard = &p->shards[list[q].bucket];
        const bool half = hy_dtype_of(p->precision, list[q].role) == HY_BF16;
        for (int64_t i = list[q].offset; i < list[q].offset + list[q].size; i++) {
            const unsigned char *at = compute + hy_model_compute_offset(p->model, p->precision, i);
            float got;
            hy_bf16 bits;
            memcpy(&bits, at, sizeof bits);
            memcpy(&got, at, half ? sizeof bits : sizeof got);
            got = half ? hy_bf16_value(bits) : got;
            const double want = (double)expected[i], slack = half ? fabs(want) / 256 : 0.0;
            CHECK(close_enough((double)got, want) || fabs((double)got - want) <= slack, "%s[%lld]: %g, expected %g",
                  list[q].name, (long long)(i - list[q].offset), (double)got, want);
            if (i >= shard->flat && i < shard->flat + shard->n) {
                const float master = masters[shard->state + i - shard->flat];
                CHECK(close_enough((double)master, want), "master of %s[%lld]: %g, expected %g", list[q].name,
                      (long long)(i - list[q].offset), (double)master, want);
                CHECK(half ? hy_bf16_of(master).bits == bits.bits : got == master, "%s[%lld] is not its master rounded",
                      list[q].name, (long long)(i - list[q].offset));
            }
        }
    }
    free(compute);
    free(masters);
}

static hy_status run(hy_comm *world, hy_dtype precision) {
    const int size = hy_comm_size(world), rank = hy_comm_rank(world);
    const hy_adamw_settings settings = {.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1};
    const double lr[] = {0, 1e-2, 2e-2, 1e-2, 5e-3}, scale[] = {0, 0.5, 1.0, 0.25, 1.0};
    hy_model *model = NULL;
    hy_device *device;
    hy_comm *all = NULL;
    hy_parameters *parameters = NULL;
    hy_adamw_sharded *optimizer = NULL;
    float *grads = NULL, *start = NULL, *expected = NULL;
    HY_TRY(make_model(size, &model));
    HY_TRY(hy_device_create(hy_test_device("cpu_ref"), precision, &device));
    HY_TRY(hy_comm_bind(world, device, hy_test_transport(), &all));
    const int64_t flat = hy_model_flat_size(model);
    HY_TRY(HY_NEW("grads", flat, &grads));
    HY_TRY(HY_NEW("start", flat, &start));
    HY_TRY(HY_NEW("expected", flat, &expected));
    hy_model_init_params(model, 3, HY_F32, start);
    HY_TRY(hy_parameters_create(model, all, device, precision, &parameters));
    HY_TRY(hy_parameters_init(parameters, 3, grads));
    const hy_sp_method plain = {.layout = HY_LAYOUT_ZIGZAG};
    HY_TRY(hy_adamw_sharded_create(parameters, grads, &plain, 1, &optimizer));
    check_parameters(parameters, start);

    int64_t n_params = 0;
    const hy_param *list = hy_model_params(model, &n_params);
    const int buckets = hy_model_bucket_count(model);
    int64_t allocated = 0;
    for (int u = 1; u <= UPDATES; u++) {
        memset(grads, 0, (size_t)flat * sizeof *grads);
        for (int64_t q = 0; q < n_params; q++) {
            for (int64_t i = list[q].offset; i < list[q].offset + list[q].size; i++) {
                grads[i] = (float)gradient_part(u, rank, i);
            }
        }
        /* every rank reports the buckets in an order of its own, some not at all */
        for (int k = 0; k < buckets - rank % 2; k++) {
            hy_adamw_sharded_bucket_ready(optimizer, (k * 3 + rank) % buckets);
        }
        double sum = 0;
        hy_adamw_sharded_reduce(optimizer, &sum);
        hy_device_wait(device, hy_device_mark(device, HY_LANE_COMPUTE)); /* gradients and sum are the test's own */
        hy_req req = {0};
        hy_comm_all_reduce(world, "sum of squares", &sum, 1, HY_TYPE_F64, HY_SUM, &req);
        hy_comm_wait(&req);
        const double whole = whole_sumsq(list, n_params, u, size);
        CHECK(fabs(sum - whole) <= 1e-12 * whole, "update %d: %.17g, expected %.17g", u, sum, whole);
        hy_adamw_sharded_update(optimizer, &settings, u, lr[u], scale[u]);
        /* ... and needs them in the order of a pass, twice, some not at all */
        for (int b = 0; b < 2 * (buckets - rank % 2) && u != 3; b++) {
            hy_parameters_needed(parameters, b / 2);
        }
        if (u % 2 == 0) { /* a rank may also have nothing to compute between two updates */
            hy_parameters_wait(parameters);
        }
        hy_device_wait(device, hy_device_mark(device, HY_LANE_COMPUTE));
        allocated = u == 2 ? hy_alloc_count() : allocated;
    }
    const int64_t calls = hy_device_counts(device)->calls[HY_OP_adamw];
    CHECK(calls == UPDATES * buckets, "%lld calls of adamw: not one per bucket", (long long)calls);
    CHECK(hy_alloc_count() == allocated, "%lld allocations after the second update",
          (long long)(hy_alloc_count() - allocated));

    for (int64_t q = 0; q < n_params; q++) {
        reference(&list[q], &settings, lr, scale, size, start, expected);
    }
    check_parameters(parameters, expected);
    hy_comm_destroy(all);
    hy_adamw_sharded_destroy(optimizer);
    hy_parameters_destroy(parameters);
    hy_device_destroy(device);
    hy_free(grads);
    hy_free(start);
    hy_free(expected);
    hy_model_destroy(model);
    return HY_OK;
}

int main(int argc, char **argv) {
    hy_comm *world = NULL;
    if (hy_comm_world_create(&argc, &argv, &world) != HY_OK) {
        return 1;
    }
    hy_status status = run(world, HY_F32);
    if (status == HY_OK) {
        status = run(world, HY_BF16);
    }
    CHECK(status == HY_OK, "status %s", hy_status_name(status));
    return hy_test_finish(world, "adamw_sharded", 2 * UPDATES);
}
