#include "train/run/trainer.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "train/run/eval_pass.h"
#include "train/run/fixed_sums.h"
#include "train/run/trainer_shapes.h"

/* ---- stages ---- */

int hy_trainer_enter(hy_trainer *trainer, int64_t step) {
    const hy_trainer_stage *stage = &trainer->stages[hy_stage_at(trainer->config, step)];
    const int entered = stage != trainer->stage || !trainer->announced;
    trainer->stage = stage;
    trainer->train = stage->train;
    trainer->eval = stage->eval;
    trainer->announced = true;
    return entered;
}

/* The group's part of the batch that follows `data`, which moves on. */
static void draw_batch(const hy_trainer *trainer, hy_data_state *data, hy_sequence *sequences) {
    const hy_trainer_stage *stage = trainer->stage;
    const hy_pass *pass = &trainer->train;
    const hy_data_mix *mix = &stage->mix;
    if (mix->places > 0) {
        hy_data_mix_enter(mix, data);
        for (int64_t at = 0; at < pass->split.count; at++) {
            sequences[at].store = stage->stores[0];
            sequences[at].begin = hy_data_mix_read(mix, data, pass->split.first + at, &sequences[at].seen);
        }
        hy_data_mix_advance(mix, data);
        return;
    }
    for (int64_t i = 0; i < stage->stage.batch; i++) {
        const int64_t at = i - pass->split.first;
        int64_t begin = 0;
        int source = 0;
        hy_data_mix_next(mix, data, &source, &begin);
        if (at >= 0 && at < pass->split.count) {
            sequences[at] = (hy_sequence){.store = stage->stores[source], .begin = begin};
        }
    }
}

void hy_trainer_draw(hy_trainer *trainer, int64_t step) {
    (void)hy_trainer_enter(trainer, step);
    trainer->next = trainer->data;
    draw_batch(trainer, &trainer->next, trainer->train.sequences);
}

hy_carried_values hy_trainer_carried(const hy_trainer *trainer) {
    const hy_pass *pass = &trainer->stages[0].train;
    return (hy_carried_values){.runner = pass->runner,
                               .device = trainer->device,
                               .values = trainer->mesh.sequence_index == 0 ? trainer->carried : NULL,
                               .first = pass->split.first,
                               .count = pass->split.count,
                               .unit = pass->split.unit};
}

void hy_trainer_forget(hy_trainer *trainer) {
    const hy_data_mix *mix = &trainer->stage->mix;
    if (mix->places > 0) {
        hy_data_mix_forget(mix, &trainer->data);
    }
}

void hy_trainer_read_ahead(hy_trainer *trainer, int64_t step) {
    if (step > trainer->config->train.steps || &trainer->stages[hy_stage_at(trainer->config, step)] != trainer->stage) {
        return; /* there is none; its stage has a feed of its own, which reads when it is entered */
    }
    trainer->ahead = trainer->next;
    draw_batch(trainer, &trainer->ahead, trainer->train.ahead);
    hy_feed_ahead(trainer->train.feed, trainer->train.ahead, trainer->train.split.count);
}

hy_status hy_trainer_set_data(hy_trainer *trainer, const hy_data_state *data) {
    const hy_run_stores *stores = &trainer->stores;
    int records[HY_RECORDS_MAX];
    trainer->data = *data;
    for (int i = 0; i < stores->n_train; i++) {
        const hy_open_store *open = &stores->train[i];
        int fresh = 0;
        HY_TRY(hy_data_state_find(&trainer->data, open->name, hy_token_store_tokens(open->store), &records[i], &fresh));
        if (fresh && data->sequences > 0 && hy_comm_rank(trainer->world) == 0) {
            hy_info("store '%s' (%s) has not been read before: it starts at its beginning", open->name,
                    open->config->path);
        }
    }
    for (int s = 0; s < trainer->n_stages; s++) {
        hy_trainer_stage *stage = &trainer->stages[s];
        const hy_store_list *list = stage->stage.stores;
        stage->mix = (hy_data_mix){.seed = (uint64_t)trainer->config->train.seed,
                                   .sequence = stage->stage.sequence,
                                   .places = trainer->config->train.carry_state ? stage->stage.batch : 0,
                                   .n = (int)list->n};
        for (int k = 0; k < stage->mix.n; k++) {
            char name[HY_STORE_NAME_MAX];
            hy_store_name(&list->items[k], name);
            const int store = hy_run_stores_find(stores, name);
            stage->mix.sources[k].record = records[store];
            stage->mix.sources[k].weight = list->items[k].weight;
            stage->mix.sources[k].block = hy_store_block(trainer->config, name);
            stage->stores[k] = stores->train[store].store;
        }
    }
    return HY_OK;
}

/* ---- reserve: local, then agreed upon ---- */

static hy_place place_of(const hy_mesh *mesh) {
    return (hy_place){mesh->sequence_size, mesh->sequence_index, mesh->data_size, mesh->data_index};
}

static const hy_model *model_of(const hy_trainer *trainer, const hy_trainer_stage *stage) {
    return stage->model != NULL ? stage->model : trainer->model;
}

static hy_pass_shapes shapes_of(const hy_trainer *trainer, const hy_trainer_stage *stage, bool train) {
    const hy_place at = place_of(&trainer->mesh);
    return hy_pass_shapes_of(trainer->config, &stage->stage, &at, trainer->precision, train);
}

/* Activations of the stage with most; validation: results of its rows too. */
static hy_status reserve_activations(hy_trainer *trainer, bool train) {
    hy_run_bytes most = {0};
    int64_t rows = 0;
    hy_run_memory *memory = &trainer->memory[!train];
    for (int i = 0; i < trainer->n_stages; i++) {
        const hy_trainer_stage *stage = &trainer->stages[i];
        const hy_pass_shapes s = shapes_of(trainer, stage, train);
        hy_run_bytes needed = {0};
        HY_TRY(hy_runner_plan_bytes(model_of(trainer, stage), &s.run, hy_device_profile(trainer->device), &needed));
        most.arena = needed.arena > most.arena ? needed.arena : most.arena;
        most.host = needed.host > most.host ? needed.host : most.host;
        rows = hy_local_tokens(&s.feed) > rows ? hy_local_tokens(&s.feed) : rows;
    }
    trainer->arena_bytes[!train] = most.arena;
    HY_TRY(hy_device_alloc(trainer->device, train ? HY_TRAINING_ARENA : "activations of validation", (size_t)most.arena,
                           &memory->arena));
    if (train) {
        return most.host > 0 ? hy_device_host_alloc(trainer->device, HY_OFFLOADED, (size_t)most.host, &memory->host)
                             : HY_OK;
    }
    const size_t results = hy_eval_results_bytes(rows);
    trainer->results.rows = rows;
    HY_TRY(hy_alloc("results of rows", results, &trainer->results.host));
    return hy_device_alloc(trainer->device, "results of rows", results, &trainer->results.device);
}

static hy_status reserve_pass(hy_trainer *trainer, const hy_trainer_stage *stage, bool train, hy_pass *pass) {
    const hy_pass_shapes s = shapes_of(trainer, stage, train);
    pass->split = s.split;
    HY_TRY(HY_NEW("sequences of a step", s.split.count, &pass->sequences));
    HY_TRY(train ? HY_NEW("sequences of the next step", s.split.count, &pass->ahead) : HY_OK);
    HY_TRY(hy_feed_create(&s.feed, &pass->feed));
    HY_TRY(hy_runner_create_in(model_of(trainer, stage), &s.run, trainer->device, trainer->sequence,
                               trainer->parameters->compute, trainer->grads, &trainer->memory[!train], &pass->runner));
    hy_runner_set_needed(pass->runner, hy_parameters_needed, trainer->parameters);
    return HY_OK;
}

/* Of every micro-step: they have sequences of their own. Rank by rank as hy_runner_pass_carried wants it. */
static hy_status reserve_carried(hy_trainer *trainer) {
    const hy_pass *pass = &trainer->stages[0].train; /* of the one stage */
    const int64_t bytes = pass->split.calls * hy_runner_carried_bytes(pass->runner);
    trainer->carried_calls = pass->split.calls;
    return hy_runner_carries_here(pass->runner)
               ? hy_device_alloc(trainer->device, "carried states", (size_t)bytes, (void **)&trainer->carried)
               : HY_OK;
}

static int shards_of(const hy_trainer *trainer) {
    return hy_fixed_sums_shards(&trainer->config->parallel.method, hy_comm_size(trainer->world),
                                trainer->mesh.sequence_size);
}

static hy_status reserve_stages(hy_trainer *trainer, bool train) {
    const hy_config *config = trainer->config;
    const bool eval = config->data.eval_store.n > 0;
    HY_TRY(HY_NEW("stages", hy_stage_count(config), &trainer->stages));
    trainer->n_stages = hy_stage_count(config);
    for (int i = 0; i < trainer->n_stages; i++) {
        hy_trainer_stage *stage = &trainer->stages[i];
        stage->stage = hy_stage_get(config, i);
        HY_TRY(hy_stage_model_create(config, &stage->stage, shards_of(trainer), &stage->model));
    }
    HY_TRY(train ? reserve_activations(trainer, true) : HY_OK);
    HY_TRY(eval ? reserve_activations(trainer, false) : HY_OK);
    for (int i = 0; i < trainer->n_stages; i++) {
        hy_trainer_stage *stage = &trainer->stages[i];
        HY_TRY(train ? reserve_pass(trainer, stage, true, &stage->train) : HY_OK);
        HY_TRY(eval ? reserve_pass(trainer, stage, false, &stage->eval) : HY_OK);
    }
    return train && config->train.carry_state ? reserve_carried(trainer) : HY_OK;
}

/* Collective. */
static hy_status open_device(hy_trainer *trainer) {
    HY_TRY(hy_comm_agree(trainer->world,
                         hy_device_create(trainer->config->run.device, trainer->precision, &trainer->device)));
    hy_device_set_pieces(trainer->device, trainer->config->run.graph == HY_GRAPH_AUTO);
    return hy_mesh_bind(&trainer->mesh, trainer->device, trainer->config->parallel.transport, &trainer->all,
                        &trainer->sequence);
}

/* A GPU's library of products may choose how by where a matrix begins, and a fragment begins elsewhere on another number of ranks. */
static hy_status check_products(const hy_trainer *trainer) {
    if (trainer->config->parallel.method.cuts.fixed > 0 &&
        strcmp(hy_device_profile(trainer->device)->name, "cuda") == 0) {
        return hy_fail(HY_ERR_USAGE,
                       "parallel.invariant: not on run.device cuda, where products may be computed in another "
                       "order on another number of ranks; nearest: cpu");
    }
    return HY_OK;
}

static hy_status reserve_model(hy_trainer *trainer, bool train) {
    HY_TRY(check_products(trainer));
    HY_TRY(hy_model_create(&trainer->config->model, shards_of(trainer), &trainer->model));
    HY_TRY(
        hy_parameters_create(trainer->model, trainer->all, trainer->device, trainer->precision, &trainer->parameters));
    if (!train) {
        return HY_OK;
    }
    const hy_sp_method *method = &trainer->config->parallel.method;
    trainer->sums = hy_sp_sums(method, trainer->mesh.sequence_size);
    trainer->grad_elements =
        hy_fixed_sums_arrays(method, trainer->mesh.sequence_size) * hy_model_flat_size(trainer->model);
    const size_t bytes = (size_t)trainer->grad_elements * hy_role_size(trainer->precision, HY_ROLE_GRAD);
    HY_TRY(hy_device_alloc(trainer->device, "gradients", bytes, &trainer->grads));
    hy_device_not_in_children(trainer->device, trainer->grads);
    HY_TRY(hy_device_alloc(trainer->device, "sums of a step", (size_t)(HY_SCALARS * trainer->sums) * sizeof(double),
                           (void **)&trainer->scalars));
    const int64_t ranks = hy_comm_size(trainer->world);
    HY_TRY(
        HY_NEW("sums of a step", HY_SCALARS * (trainer->sums > ranks ? trainer->sums : ranks), &trainer->read_scalars));
    return hy_adamw_sharded_create(trainer->parameters, trainer->grads, method, trainer->sums, &trainer->optimizer);
}

static hy_status reserve_data(hy_trainer *trainer, bool train) {
    HY_TRY(reserve_stages(trainer, train));
    trainer->stage = &trainer->stages[0];
    trainer->train = trainer->stage->train;
    trainer->eval = trainer->stage->eval;
    return train ? hy_trainer_set_data(trainer, &trainer->next) : HY_OK; /* zeros so far */
}

/* What every step exchanges lies in these; buckets lie alike on all ranks, activations may not. Collective. */
static hy_status keep_model(hy_trainer *trainer) {
    const int64_t flat = hy_model_flat_size(trainer->model);
    const size_t grads = (size_t)trainer->grad_elements * hy_role_size(trainer->precision, HY_ROLE_GRAD);
    const int64_t compute = hy_model_compute_offset(trainer->model, trainer->precision, flat);
    HY_TRY(hy_comm_keep(trainer->all, trainer->grads, grads, true));
    return hy_comm_keep(trainer->all, trainer->parameters->compute, (size_t)compute, true);
}

static hy_status keep_activations(hy_trainer *trainer) {
    for (int i = 0; i < 2; i++) {
        const hy_run_memory *memory = &trainer->memory[i];
        HY_TRY(hy_comm_keep(trainer->sequence, memory->arena, (size_t)trainer->arena_bytes[i], false));
    }
    return HY_OK;
}

static hy_status build(hy_trainer *trainer, bool train, bool blank) {
    const hy_config *config = trainer->config;
    const int sequence = hy_trainer_sequence_size(config, hy_comm_size(trainer->world));
    HY_TRY(hy_fixed_sums_check(config, sequence));
    HY_TRY(hy_mesh_create(trainer->world, (int)config->parallel.data, sequence, &trainer->mesh));
    HY_TRY(open_device(trainer));
    HY_TRY(hy_comm_agree(trainer->world, reserve_model(trainer, train)));
    HY_TRY(train ? keep_model(trainer) : HY_OK);
    HY_TRY(hy_one_tokenizer_add(&trainer->tokenizer, trainer->world, config->data.tokenizer, "data.tokenizer"));
    HY_TRY(blank ? hy_run_stores_blank(config, &trainer->stores)
                 : hy_run_stores_open(config, train, trainer->world, &trainer->tokenizer, &trainer->stores));
    HY_TRY(hy_comm_agree(trainer->world, reserve_data(trainer, train)));
    return keep_activations(trainer);
}

static hy_status trainer_create(const hy_config *config, bool train, bool blank, hy_comm *world, hy_trainer **out) {
    hy_trainer *trainer = NULL;
    HY_TRY(hy_comm_agree(world, HY_NEW("trainer", 1, &trainer)));
    trainer->config = config;
    trainer->world = world;
    trainer->precision = hy_config_precision(config);
    const hy_status status = build(trainer, train, blank);
    if (status != HY_OK) {
        hy_trainer_destroy(trainer);
        return status;
    }
    *out = trainer;
    return HY_OK;
}

hy_status hy_trainer_create(const hy_config *config, bool train, hy_comm *world, hy_trainer **out) {
    return trainer_create(config, train, false, world, out);
}

hy_status hy_trainer_create_blank(const hy_config *config, hy_comm *world, hy_trainer **out) {
    return trainer_create(config, true, true, world, out);
}

static void destroy_pass(hy_pass *pass) {
    hy_runner_destroy(pass->runner);
    hy_feed_destroy(pass->feed);
    hy_free(pass->sequences);
    hy_free(pass->ahead);
}

void hy_trainer_destroy(hy_trainer *trainer) {
    if (trainer == NULL) {
        return;
    }
    if (trainer->parameters != NULL) {
        hy_parameters_wait(trainer->parameters); /* of the last update: nobody has read them */
        hy_device_wait(trainer->device, hy_device_mark(trainer->device, HY_LANE_COMPUTE));
    }
    hy_comm_destroy(trainer->sequence);
    hy_comm_destroy(trainer->all);
    for (int i = 0; i < trainer->n_stages; i++) {
        destroy_pass(&trainer->stages[i].train);
        destroy_pass(&trainer->stages[i].eval);
        hy_model_destroy(trainer->stages[i].model);
    }
    hy_free(trainer->stages);
    hy_device_free(trainer->device, trainer->carried);
    hy_run_stores_close(&trainer->stores);
    for (int i = 0; i < 2; i++) {
        hy_device_free(trainer->device, trainer->memory[i].arena);
        hy_device_host_free(trainer->device, trainer->memory[i].host);
    }
    hy_free(trainer->results.host);
    hy_device_free(trainer->device, trainer->results.device);
    hy_device_free(trainer->device, trainer->scalars);
    hy_free(trainer->read_scalars);
    hy_adamw_sharded_destroy(trainer->optimizer);
    hy_parameters_destroy(trainer->parameters);
    hy_device_free(trainer->device, trainer->grads);
    hy_device_destroy(trainer->device);
    hy_model_destroy(trainer->model);
    hy_mesh_destroy(&trainer->mesh);
    hy_free(trainer);
}
