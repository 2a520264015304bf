#include "train/run/trainer.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "train/data/file_hash.h"
#include "train/run/gemm_peak.h"

int hy_trainer_sequence_size(const hy_config *config, int ranks) {
    const int left = (int)(ranks / config->parallel.data);
    return config->parallel.sequence > 0 ? (int)config->parallel.sequence : left > 0 ? left : 1;
}

/* A place in the mesh. */
typedef struct place {
    int sequence_size, sequence_rank, groups, group;
} place;

typedef struct pass_shapes {
    hy_data_split split;
    hy_feed_shape feed;
    hy_run_shape run;
} pass_shapes;

static pass_shapes shapes_of(const hy_config *config, const place *at, hy_dtype dtype, bool train) {
    pass_shapes s;
    s.split = hy_data_split_make(config->data.batch, at->groups, at->group, config->train.accumulate);
    if (!train) {
        s.split = hy_data_split_eval(config->train.eval.sequences, at->groups, at->group, s.split.unit);
    }
    s.feed = (hy_feed_shape){.layout = config->parallel.layout,
                             .sequence_size = at->sequence_size,
                             .sequence_rank = at->sequence_rank,
                             .unit = s.split.unit,
                             .len = config->data.sequence,
                             .calls_max = train ? s.split.calls : 1,
                             .answers_only = train && config->data.loss == HY_LOSS_ANSWERS};
    s.run = (hy_run_shape){.layout = config->parallel.layout,
                           .sequence_size = at->sequence_size,
                           .sequence_rank = at->sequence_rank,
                           .n_seq = s.split.unit,
                           .len = config->data.sequence,
                           .dtype = dtype,
                           .recompute = config->train.recompute,
                           .state = config->parallel.state,
                           .attention = config->parallel.attention,
                           .overlap = config->parallel.overlap,
                           .train = train};
    return s;
}

/* ---- plan ---- */

/* Tokens of this rank per micro-step. */
static int64_t local_tokens(const hy_feed_shape *f) {
    return hy_layout_sizes(f->layout, f->sequence_size, f->sequence_rank, f->unit, f->len).T;
}

static hy_status plan_pass(const hy_config *config, const place *at, bool train, const hy_model *model,
                           const hy_device *device, hy_plan *plan) {
    const pass_shapes s = shapes_of(config, at, HY_F32, train);
    const int first = plan->n;
    HY_TRY(hy_feed_plan(&s.feed, plan));
    for (int i = first; i < plan->n && !train; i++) {
        hy_plan_entry *e = &plan->entries[i];
        char name[sizeof e->name];
        snprintf(name, sizeof name, "evaluation: %.48s", e->name);
        memcpy(e->name, name, sizeof name);
    }
    if (!train) {
        HY_TRY(hy_plan_add(plan, "evaluation: results of rows", "step",
                           local_tokens(&s.feed) * (int64_t)(sizeof(double) + sizeof(uint8_t))));
    }
    return hy_runner_plan(model, &s.run, device, plan);
}

static hy_status plan_model(const hy_config *config, const place *at, int ranks, const hy_model *model, hy_plan *plan) {
    const int64_t flat = hy_model_flat_size(model) * (int64_t)hy_dtype_size(HY_F32);
    hy_device device;
    HY_TRY(hy_device_init(&device, config->run.device, HY_F32));
    HY_TRY(hy_plan_add(plan, "matrices of the GEMM peak", "start", hy_gemm_peak_bytes()));
    HY_TRY(hy_plan_add(plan, "configuration", "run", (int64_t)sizeof *config));
    HY_TRY(hy_plan_add(plan, "parameters", "run", flat));
    HY_TRY(hy_plan_add(plan, "gradients", "step", flat));
    HY_TRY(hy_adamw_sharded_plan(model, ranks, HY_F32, plan));
    HY_TRY(hy_plan_add(plan, "checkpoints: hashing", "operation", HY_HASH_BLOCK));
    HY_TRY(plan_pass(config, at, true, model, &device, plan));
    return config->data.eval_store[0] != '\0' ? plan_pass(config, at, false, model, &device, plan) : HY_OK;
}

static hy_status find_place(const hy_config *config, int ranks, int rank, place *out) {
    const int sequence = hy_trainer_sequence_size(config, ranks), groups = (int)config->parallel.data;
    if ((int64_t)sequence * groups != ranks) {
        return hy_fail(HY_ERR_USAGE, "%d ranks are not parallel.data %d x parallel.sequence %d", ranks, groups,
                       sequence);
    }
    *out = (place){sequence, rank % sequence, groups, rank / sequence};
    return HY_OK;
}

hy_status hy_trainer_shape(const hy_config *config, int ranks, int rank, hy_run_shape *shape, hy_data_split *split) {
    place at = {0};
    HY_TRY(find_place(config, ranks, rank, &at));
    const pass_shapes s = shapes_of(config, &at, HY_F32, true);
    *shape = s.run;
    *split = s.split;
    return HY_OK;
}

hy_status hy_trainer_plan(const hy_config *config, int ranks, int rank, hy_plan *plan) {
    place at = {0};
    hy_model *model = NULL;
    HY_TRY(find_place(config, ranks, rank, &at));
    hy_plan_init(plan);
    const int64_t before = hy_alloc_bytes();
    HY_TRY(hy_model_create(&config->model, ranks, &model));
    hy_status status = hy_plan_add(plan, "model: graph, table of parameters", "run", hy_alloc_bytes() - before);
    if (status == HY_OK) {
        status = plan_model(config, &at, ranks, model, plan);
    }
    hy_model_destroy(model);
    return status;
}

/* ---- reserve ---- */

static place place_of(const hy_mesh *mesh) {
    return (place){mesh->sequence_size, mesh->sequence_index, mesh->data_size, mesh->data_index};
}

/* Rank 0 reads the store through; every rank then opens it. Collective. */
static hy_status open_store(hy_trainer *trainer, const char *path, hy_token_store **store) {
    const int64_t sequence = trainer->config->data.sequence;
    hy_store_summary summary;
    hy_status status = HY_OK;
    if (hy_comm_rank(trainer->world) == 0) {
        status = hy_token_store_check(path, sequence, &summary);
    }
    HY_TRY(hy_comm_agree(trainer->world, status));
    if (hy_comm_rank(trainer->world) == 0) {
        hy_info("%s: %lld tokens in %lld documents, %lld sequences of %lld", path, (long long)summary.tokens,
                (long long)summary.documents, (long long)(summary.tokens / sequence), (long long)sequence);
        if (summary.longer > 0) {
            hy_info(
                "%s: %lld documents are longer than data.sequence (the longest: %lld tokens): cut at sequence edges",
                path, (long long)summary.longer, (long long)summary.longest);
        }
    }
    status = hy_token_store_open(path, store);
    if (status == HY_OK && hy_token_store_vocab(*store) > trainer->config->model.vocab) {
        status = hy_comm_rank(trainer->world) > 0
                     ? HY_ERR_PEER
                     : hy_fail(HY_ERR_DATA, "%s: its vocabulary of %lld does not fit model.vocab %lld", path,
                               (long long)hy_token_store_vocab(*store), (long long)trainer->config->model.vocab);
    }
    return hy_comm_agree(trainer->world, status);
}

static hy_status reserve_rows(const hy_feed_shape *shape, hy_eval_rows *rows) {
    const int64_t T = local_tokens(shape);
    HY_TRY(HY_NEW("row losses", T, &rows->loss));
    return HY_NEW("correct rows", T, &rows->correct);
}

/* Local but for `path`'s check. */
static hy_status create_pass(hy_trainer *trainer, const char *path, bool train, hy_pass *pass) {
    const place at = place_of(&trainer->mesh);
    const pass_shapes s = shapes_of(trainer->config, &at, trainer->dtype, train);
    HY_TRY(open_store(trainer, path, &pass->store));
    pass->split = s.split;
    hy_status status = HY_NEW("sequence numbers", s.split.count, &pass->sequences);
    if (status == HY_OK) {
        status = hy_feed_create(&s.feed, pass->store, &pass->feed);
    }
    if (status == HY_OK && !train) {
        status = reserve_rows(&s.feed, &pass->rows);
    }
    HY_TRY(hy_comm_agree(trainer->world, status));
    status = hy_runner_create(trainer->model, &s.run, &trainer->device, trainer->mesh.sequence, trainer->params,
                              trainer->grads, 0, &pass->runner);
    return hy_comm_agree(trainer->world, status);
}

static hy_status reserve_model(hy_trainer *trainer, bool train) {
    HY_TRY(hy_device_init(&trainer->device, trainer->config->run.device, trainer->dtype));
    HY_TRY(hy_model_create(&trainer->config->model, hy_comm_size(trainer->world), &trainer->model));
    const size_t bytes = (size_t)hy_model_flat_size(trainer->model) * hy_dtype_size(trainer->dtype);
    HY_TRY(hy_alloc("parameters", bytes, &trainer->params));
    if (!train) {
        return HY_OK;
    }
    HY_TRY(hy_alloc("gradients", bytes, &trainer->grads));
    return hy_adamw_sharded_create(trainer->model, trainer->world, &trainer->device, trainer->dtype, trainer->params,
                                   trainer->grads, &trainer->optimizer);
}

static hy_status build(hy_trainer *trainer, bool train) {
    const hy_config *config = trainer->config;
    const int sequence = hy_trainer_sequence_size(config, hy_comm_size(trainer->world));
    HY_TRY(hy_mesh_create(trainer->world, (int)config->parallel.data, sequence, &trainer->mesh));
    HY_TRY(hy_comm_agree(trainer->world, reserve_model(trainer, train)));
    if (train) {
        HY_TRY(create_pass(trainer, config->data.store, true, &trainer->train));
    }
    return config->data.eval_store[0] != '\0' ? create_pass(trainer, config->data.eval_store, false, &trainer->eval)
                                              : HY_OK;
}

hy_status hy_trainer_create(const hy_config *config, bool train, hy_comm *world, hy_trainer **out) {
    hy_trainer *trainer = NULL;
    HY_TRY(hy_comm_agree(world, HY_NEW("trainer", 1, &trainer)));
    trainer->config = config;
    trainer->world = world;
    trainer->dtype = HY_F32;
    const hy_status status = build(trainer, train);
    if (status != HY_OK) {
        hy_trainer_destroy(trainer);
        return status;
    }
    *out = trainer;
    return HY_OK;
}

static void destroy_pass(hy_pass *pass) {
    hy_runner_destroy(pass->runner);
    hy_feed_destroy(pass->feed);
    hy_token_store_close(pass->store);
    hy_free(pass->sequences);
    hy_free(pass->rows.loss);
    hy_free(pass->rows.correct);
}

void hy_trainer_destroy(hy_trainer *trainer) {
    if (trainer == NULL) {
        return;
    }
    destroy_pass(&trainer->train);
    destroy_pass(&trainer->eval);
    hy_adamw_sharded_destroy(trainer->optimizer);
    hy_free(trainer->params);
    hy_free(trainer->grads);
    hy_model_destroy(trainer->model);
    hy_mesh_destroy(&trainer->mesh);
    hy_free(trainer);
}
