#include "launch/plan_json.h"

#include <stdio.h>

#include "base/json.h"
#include "launch/model_parts.h"

typedef struct plan {
    const hy_config *config;
    const hy_model *model;
    const hy_profile *profile;
    int ranks, rank;
} plan;

static void write_parameters(hy_json *json, const plan *p) {
    hy_model_part parts[HY_MODEL_PARTS_MAX];
    const int n = hy_model_parts(&p->config->model, p->model, parts);
    hy_json_int(json, "parameters", hy_model_parameter_count(p->model));
    hy_json_open_array(json, "parts");
    for (int i = 0; i < n; i++) {
        hy_json_open_object(json, NULL);
        hy_json_string(json, "name", parts[i].name);
        hy_json_int(json, "arrays", parts[i].arrays);
        hy_json_int(json, "parameters", parts[i].count);
        hy_json_close(json);
    }
    hy_json_close(json);
}

static hy_status write_memory(hy_json *json, const plan *p) {
    hy_plan memory;
    HY_TRY(hy_trainer_plan(p->config, p->ranks, p->rank, &memory));
    hy_json_open_object(json, "memory");
    hy_json_int(json, "rank", p->rank);
    hy_json_int(json, "bytes", hy_plan_total(&memory));
    hy_json_open_array(json, "entries");
    for (int i = 0; i < memory.n; i++) {
        hy_json_open_object(json, NULL);
        hy_json_string(json, "name", memory.entries[i].name);
        hy_json_string(json, "lifetime", memory.entries[i].lifetime);
        hy_json_int(json, "bytes", memory.entries[i].bytes);
        hy_json_close(json);
    }
    hy_json_close(json);
    hy_json_close(json);
    return HY_OK;
}

static void write_layers(hy_json *json, const plan *p, const hy_run_shape *shape, double calls) {
    hy_json_open_array(json, "layers");
    for (int64_t layer = 0; layer < p->config->model.layers; layer++) {
        hy_layer_info info;
        hy_model_layer_info(p->model, shape, p->profile, layer, &info);
        hy_json_open_object(json, NULL);
        hy_json_int(json, "layer", layer);
        hy_json_string(json, "mixer", info.mixer);
        hy_json_string(json, "exchange", shape->sequence_size > 1 ? info.method : NULL);
        hy_json_double(json, "flops_forward", calls * info.flops_fwd);
        hy_json_double(json, "bytes_sent_forward", calls * (double)info.bytes_fwd);
        hy_json_double(json, "bytes_sent_backward", calls * (double)info.bytes_bwd);
        hy_json_close(json);
    }
    hy_json_close(json);
}

static hy_status write_stage(hy_json *json, const plan *p, int number) {
    const hy_stage stage = hy_stage_get(p->config, number);
    hy_run_shape shape;
    hy_data_split split;
    HY_TRY(hy_trainer_shape(p->config, number, p->ranks, p->rank, &shape, &split));
    const int64_t docs[2] = {0, shape.len};
    const double batch = (double)stage.batch, tokens = batch * (double)stage.sequence;
    const double flops = 3.0 * batch * hy_model_flops_fwd(p->model, docs, 1);
    hy_json_open_object(json, NULL);
    hy_json_int(json, "steps", stage.steps);
    hy_json_int(json, "sequence", stage.sequence);
    hy_json_int(json, "batch", stage.batch);
    hy_json_int(json, "micro_steps", split.calls);
    hy_json_double(json, "tokens_per_step", tokens);
    hy_json_double(json, "flops_per_step", flops);
    write_layers(json, p, &shape, (double)split.calls);
    hy_json_close(json);
    return HY_OK;
}

static hy_status write_plan(hy_json *json, const plan *p) {
    const hy_config *config = p->config;
    const hy_dtype precision = hy_config_precision(p->config);
    const int64_t flat = hy_model_flat_size(p->model);
    const double ranks = p->ranks, share = (ranks - 1.0) / ranks;
    const double grads = (double)flat * (double)hy_role_size(precision, HY_ROLE_GRAD) * share;
    const double params = (double)hy_model_compute_offset(p->model, precision, flat) * share;
    hy_json_open_object(json, NULL);
    hy_json_int(json, "ranks", p->ranks);
    hy_json_int(json, "data_groups", config->parallel.data);
    hy_json_int(json, "sequence_ranks", hy_trainer_sequence_size(config, p->ranks));
    hy_json_string(json, "layout", hy_layout_names[config->parallel.method.layout]);
    hy_json_string(json, "precision", hy_precision_names[config->train.precision]);
    hy_json_open_object(json, "model");
    hy_json_int(json, "layers", config->model.layers);
    hy_json_int(json, "width", config->model.width);
    hy_json_int(json, "vocab", config->model.vocab);
    write_parameters(json, p);
    hy_json_close(json);
    HY_TRY(write_memory(json, p));
    hy_json_double(json, "gradient_bytes_sent", grads);
    hy_json_double(json, "parameter_bytes_sent", params);
    hy_json_open_array(json, "stages");
    for (int number = 0; number < hy_stage_count(config); number++) {
        HY_TRY(write_stage(json, p, number));
    }
    hy_json_close(json);
    hy_json_close(json);
    return hy_json_end(json, HY_ERR_FAILED);
}

hy_status hy_plan_json(const hy_config *config, const hy_model *model, const hy_profile *profile, int ranks, int rank) {
    const plan p = {config, model, profile, ranks, rank};
    hy_json json;
    hy_json_begin(&json, stdout);
    return write_plan(&json, &p);
}
