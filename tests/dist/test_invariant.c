/* ranks: 8 */
/* parallel.invariant: training steps on 1, 2, 4 and 8 of the ranks give the same losses, norms, gradients, parameters and carried states, bit for bit:
 * of every kind of mixer without softmax attention, on packed documents and lengths that nothing divides, for every exchange of states; and nearly
 * what one rank gives that cuts nothing. Without the option they differ, or the test would see nothing. */
#include <math.h>
#include <stdio.h>

#include "kernels/device.h"
#include "tests/dist/run_test.h"
#include "train/run/train_step.h"

enum { STEPS = 2 };

typedef struct variant {
    const char *schedule; /* mixers */
    int sequence, fragments, batch, accumulate, groups;
    const char *layout, *state, *overlap, *recompute;
    bool carry;
    const char *precision; /* NULL: f32 */
} variant;

static const variant variants[] = {
    {"gated_deltanet, gla, retention, hgrn2", 203, 16, 2, 2, 1, "zigzag", "allgather", "split", "block", false, NULL},
    {"mamba2, rwkv7, rwkv6, hgrn", 150, 8, 2, 1, 1, "contiguous", "chain", "seeded", "none", false, NULL},
    {"log_linear_gated_deltanet, kda, mamba1, deltanet", 128, 8, 2, 1, 1, "zigzag", "scan", "split", "light", false,
     NULL},
    {"conv_short, conv_medium, rebased, linear", 61, 8, 2, 1, 1, "zigzag", "hierarchical", "split", "block", false,
     NULL},
    {"lightning, gated_deltanet, log_linear_mamba2", 45, 4, 4, 1, 2, "contiguous", "ring", "split", "block", false,
     NULL},
    {"gated_deltanet, gla, rwkv7, conv_short", 97, 8, 4, 2, 1, "zigzag", "allgather", "seeded", "block", true, NULL},
    {"mamba2, hgrn2, deltanet", 80, 4, 2, 1, 1, "contiguous", "scan", "split", "none", true, NULL},
    {"gated_deltanet, gla, mamba2, rwkv6", 90, 4, 2, 1, 1, "zigzag", "allgather", "split", "block", false, "bf16"},
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

static const char yaml[] =
    "model:\n"
    "  layers: 4\n"
    "  width: 16\n"
    "  vocab: 64\n"
    "  tied: true\n"
    "  mlp: {width: 24}\n"
    "  schedule: {pattern: [%s]}\n"
    "data: {store: %s/s.h5, sequence: %d, batch: %d}\n"
    "train: {steps: 2, lr: 1e-2, warmup: 2, clip: 0.5, accumulate: %d, recompute: %s, carry_state: "
    "%s, precision: %s}\n"
    "parallel: {data: %d, layout: %s, state: %s, overlap: %s, node: 2, block: 64, invariant: %s, "
    "fragments: %d}\n"
    "run: {dir: %s/run, device: cpu}\n";

static hy_status make_store(void) {
    return hy_test_make_store("s", 64, hy_test_any_document, 0, 60, 0);
}

/* ---- a run ---- */

typedef struct outcome {
    double loss[STEPS], norm[STEPS];
    int64_t n_grads, n_params, n_carried; /* elements, bytes, bytes */
    float *grads[STEPS];                  /* in flat order, as added up over ranks */
    char *params, *carried;
} outcome;

static void outcome_free(outcome *o) {
    for (int i = 0; i < STEPS; i++) {
        hy_free(o->grads[i]);
    }
    hy_free(o->params);
    hy_free(o->carried);
}

static hy_status gather_gradients(hy_trainer *trainer, float **out) {
    const hy_parameters *p = trainer->parameters;
    const int64_t flat = hy_model_flat_size(trainer->model);
    float *own = NULL;
    HY_TRY(HY_NEW("gradients", flat, out));
    HY_TRY(HY_NEW("own gradients", flat, &own));
    for (int b = 0; b < p->n_buckets; b++) {
        const hy_bucket_shard *shard = &p->shards[b];
        const size_t bytes = (size_t)shard->n * sizeof *own;
        hy_req req = {0};
        hy_device_read(trainer->device, (float *)trainer->grads + shard->flat, bytes, own);
        hy_comm_all_gather(trainer->world, "gradients", own,
                           *out + shard->flat - hy_comm_rank(trainer->world) * shard->n, bytes, &req);
        hy_comm_wait(&req);
    }
    hy_free(own);
    return HY_OK;
}

static hy_status take_steps(hy_trainer *trainer, outcome *out) {
    HY_TRY(hy_parameters_init(trainer->parameters, 1, trainer->grads));
    out->n_grads = hy_model_flat_size(trainer->model);
    for (int64_t step = 1; step <= STEPS; step++) {
        hy_step_result r;
        HY_TRY(hy_train_step(trainer, step, step, false, &r));
        HY_TRY(gather_gradients(trainer, &out->grads[step - 1]));
        out->loss[step - 1] = r.loss;
        out->norm[step - 1] = r.grad_norm;
    }
    hy_parameters_wait(trainer->parameters);
    out->n_params = hy_model_compute_offset(trainer->model, trainer->parameters->precision, out->n_grads);
    HY_TRY(hy_alloc("parameters", (size_t)out->n_params, (void **)&out->params));
    hy_device_read(trainer->device, trainer->parameters->compute, (size_t)out->n_params, out->params);
    if (trainer->carried != NULL) {
        out->n_carried = trainer->carried_calls * hy_runner_carried_bytes(trainer->train.runner);
        HY_TRY(hy_alloc("carried", (size_t)out->n_carried, (void **)&out->carried));
        hy_device_read(trainer->device, trainer->carried, (size_t)out->n_carried, out->carried);
    }
    return HY_OK;
}

static void write_config(const variant *v, bool invariant, char *text, size_t size) {
    snprintf(text, size, yaml, v->schedule, folder, v->sequence, v->batch, v->accumulate, v->recompute,
             v->carry ? "true" : "false", v->precision ? v->precision : "f32", v->groups, v->layout, v->state,
             v->overlap, invariant ? "true" : "false", v->fragments, folder);
}

static hy_status train(hy_comm *ranks, const variant *v, bool invariant, outcome *out) {
    static hy_config config;
    char text[2048];
    hy_trainer *trainer = NULL;
    write_config(v, invariant, text, sizeof text);
    HY_TRY(hy_config_parse("variant", text, strlen(text), &config));
    hy_test_set_device(&config);
    HY_TRY(hy_trainer_create(&config, true, ranks, &trainer));
    const hy_status status = take_steps(trainer, out);
    hy_trainer_destroy(trainer);
    return status;
}

/* ---- runs ---- */

static bool same(const void *a, const void *b, int64_t bytes) {
    return bytes == 0 || memcmp(a, b, (size_t)bytes) == 0;
}

static void compare_bits(const variant *v, int ranks, const outcome *one, const outcome *got) {
    CHECK(same(one->loss, got->loss, sizeof one->loss) && same(one->norm, got->norm, sizeof one->norm),
          "%s, %d ranks: loss %.17g %.17g norm %.17g, fewer ranks %.17g %.17g norm %.17g", v->schedule, ranks,
          got->loss[0], got->loss[1], got->norm[0], one->loss[0], one->loss[1], one->norm[0]);
    CHECK(one->n_grads == got->n_grads && one->n_params == got->n_params && one->n_carried == got->n_carried &&
              (one->n_carried > 0) == v->carry,
          "%s, %d ranks: other sizes", v->schedule, ranks);
    for (int i = 0; i < STEPS && one->n_grads == got->n_grads; i++) {
        int64_t differ = 0;
        for (int64_t j = 0; j < one->n_grads; j++) {
            differ += memcmp(&one->grads[i][j], &got->grads[i][j], sizeof(float)) != 0;
        }
        CHECK(differ == 0, "%s, %d ranks, step %d: %lld of %lld gradients differ", v->schedule, ranks, i + 1,
              (long long)differ, (long long)one->n_grads);
    }
    CHECK(same(one->params, got->params, one->n_params), "%s, %d ranks: other parameters", v->schedule, ranks);
    CHECK(same(one->carried, got->carried, one->n_carried), "%s, %d ranks: other states", v->schedule, ranks);
}

/* The first step's, before parameters drift apart. */
static void compare_values(const variant *v, const outcome *plain, const outcome *got) {
    const double bound = v->precision ? 1e-2 : 1e-5;
    CHECK(fabs(plain->loss[0] - got->loss[0]) <= bound * plain->loss[0] &&
              fabs(plain->norm[0] - got->norm[0]) <= 100 * bound * plain->norm[0],
          "%s: loss %.9g norm %.9g, of one rank that cuts nothing %.9g, %.9g", v->schedule, got->loss[0], got->norm[0],
          plain->loss[0], plain->norm[0]);
}

/* On the first `n` ranks of the world; the others wait. */
static hy_status train_on(hy_comm *world, int n, const variant *v, bool invariant, outcome *out) {
    hy_comm *ranks = NULL;
    HY_TRY(hy_comm_split(world, hy_comm_rank(world) < n ? 0 : -1, hy_comm_rank(world), &ranks));
    const hy_status status = ranks != NULL ? train(ranks, v, invariant, out) : HY_OK;
    hy_comm_destroy(ranks);
    return hy_comm_agree(world, status);
}

static hy_status check_variant(hy_comm *world, const variant *v) {
    outcome plain = {.n_grads = 0}, one = {.n_grads = 0};
    HY_TRY(train_on(world, v->groups, v, false, &plain));
    HY_TRY(train_on(world, v->groups, v, true, &one));
    if (hy_comm_rank(world) == 0) {
        compare_values(v, &plain, &one);
    }
    const int most = v->groups * (strcmp(v->layout, "zigzag") == 0 ? v->fragments / 2 : v->fragments);
    for (int ranks = 2 * v->groups; ranks <= most; ranks *= 2) {
        outcome got = {.n_grads = 0};
        HY_TRY(train_on(world, ranks, v, true, &got));
        if (hy_comm_rank(world) == 0) {
            compare_bits(v, ranks, &one, &got);
        }
        outcome_free(&got);
    }
    outcome_free(&plain);
    outcome_free(&one);
    return HY_OK;
}

static hy_status check_otherwise(hy_comm *world) {
    outcome one = {.n_grads = 0}, two = {.n_grads = 0};
    HY_TRY(train_on(world, 1, &variants[0], false, &one));
    HY_TRY(train_on(world, 2, &variants[0], false, &two));
    if (hy_comm_rank(world) == 0) {
        CHECK(!same(one.loss, two.loss, sizeof one.loss), "without the option losses are the same on 1 and 2 ranks");
    }
    outcome_free(&one);
    outcome_free(&two);
    return HY_OK;
}

/* What it does not go with is refused by name, before anything is allocated for it. */
static hy_status check_refused(hy_comm *world) {
    static const struct {
        const char *set;
        int ranks;
    } refused[] = {{"model.schedule.pattern=[gla, attention]", 1},
                   {"model.schedule.pattern=[conv_long]", 1},
                   {"parallel.state=heads", 1},
                   {"parallel.layout=auto", 1},
                   {"parallel.state=auto", 1},
                   {"parallel.fragments=12", 1},
                   {"parallel.fragments=2", 2},
                   {"parallel.fragments=16", 3}};
    const variant *v = &variants[0];
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        static hy_config config;
        hy_comm *ranks = NULL;
        hy_trainer *trainer = NULL;
        char text[2048];
        write_config(v, true, text, sizeof text);
        HY_TRY(hy_comm_split(world, hy_comm_rank(world) < refused[i].ranks ? 0 : -1, hy_comm_rank(world), &ranks));
        if (ranks != NULL) {
            hy_status status = hy_config_parse_with("refused", text, strlen(text), &refused[i].set, 1, &config);
            status = status == HY_OK ? hy_trainer_create(&config, true, ranks, &trainer) : status;
            CHECK(status == HY_ERR_USAGE, "%s on %d ranks: %s", refused[i].set, refused[i].ranks,
                  hy_status_name(status));
            hy_trainer_destroy(trainer);
        }
        hy_comm_destroy(ranks);
    }
    return HY_OK;
}

static hy_status run(hy_comm *world) {
    HY_TRY(check_refused(world));
    for (int i = 0; i < VARIANTS; i++) {
        HY_TRY(check_variant(world, &variants[i]));
    }
    return check_otherwise(world);
}

int main(int argc, char **argv) {
    return hy_test_in_folder(argc, argv, "invariant", VARIANTS + 2, make_store, run);
}
