#include "launch/plan_json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "launch/model_parts.h"
#include "launch/plan_balance.h"
#include "train/run/prune_words.h"
#include "train/run/run_work.h"

typedef struct plan {
    const hy_config *config;
    const hy_model *model;
    const hy_dry_run *dry, *whole;
    int ranks, rank;
    bool documents;
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

static void write_memory(hy_json *json, const plan *p) {
    const hy_plan *memory = &p->dry->memory;
    hy_json_open_object(json, "memory");
    hy_json_int(json, "rank", p->rank);
    hy_json_int(json, "bytes", hy_plan_total(memory));
    hy_json_int(json, "activations", p->dry->activations.arena);
    hy_json_int(json, "activations_without_offload", p->dry->on_device.arena);
    hy_json_int(json, "offloaded", p->dry->activations.host);
    hy_json_open_array(json, "entries");
    for (int i = 0; i < memory->n; i++) {
        hy_json_open_object(json, NULL);
        hy_json_string(json, "name", memory->entries[i].name);
        hy_json_string(json, "lifetime", memory->entries[i].lifetime);
        hy_json_int(json, "bytes", memory->entries[i].bytes);
        hy_json_close(json);
    }
    hy_json_close(json);
    hy_json_close(json);
}

static void write_side(hy_json *json, const char *name, const hy_dry_side *side, const hy_dry_side *whole) {
    hy_json_open_object(json, name);
    hy_json_int(json, "launches", side->launches);
    hy_json_int(json, "launches_whole", whole->launches);
    hy_json_double(json, "operation_flops", side->flops);
    hy_json_double(json, "operation_bytes", side->moved);
    hy_json_int(json, "messages", side->messages);
    hy_json_int(json, "bytes_sent", side->sent);
    hy_json_close(json);
}

/* What parallel.prune leaves out of a layer: nothing where `fragments_closed` is 0. */
static void write_pruned(hy_json *json, const hy_layer_info *info, const hy_reach_facts *facts) {
    hy_json_open_object(json, "prune");
    hy_json_double(json, "slowest_head_keeps", exp(info->log_decay_max));
    hy_json_int(json, "reach", facts->reach);
    hy_json_int(json, "fragments_closed", facts->closed);
    hy_json_int(json, "fragments", facts->fragments);
    hy_json_double(json, "bound", facts->bound);
    hy_json_close(json);
}

static void write_layers(hy_json *json, const plan *p, const hy_run_shape *shape, double calls, int number) {
    const hy_dry_stage *stage = &p->dry->stages[number], *whole = &p->whole->stages[number];
    hy_json_open_array(json, "layers");
    for (int64_t layer = 0; layer < p->config->model.layers; layer++) {
        const hy_dry_layer *l = &stage->layers[layer], *w = &whole->layers[layer];
        hy_layer_info info;
        hy_model_layer_info(p->model, shape, layer, &info);
        hy_json_open_object(json, NULL);
        hy_json_int(json, "layer", layer);
        hy_json_string(json, "mixer", info.mixer);
        hy_json_string(json, "exchange", shape->sequence_size > 1 ? info.method : NULL);
        hy_json_double(json, "flops_forward", calls * info.flops_fwd);
        hy_json_int(json, "bytes_sent_forward", l->fwd.sent);
        hy_json_int(json, "bytes_sent_backward", l->bwd.sent);
        write_side(json, "forward", &l->fwd, &w->fwd);
        write_side(json, "backward", &l->bwd, &w->bwd);
        const hy_reach_facts facts = hy_prune_facts(shape, &info);
        if (facts.reach > 0) {
            write_pruned(json, &info, &facts);
        }
        hy_json_close(json);
    }
    hy_json_close(json);
    hy_json_open_object(json, "ends");
    write_side(json, "forward", &stage->ends.fwd, &whole->ends.fwd);
    write_side(json, "backward", &stage->ends.bwd, &whole->ends.bwd);
    hy_json_close(json);
    write_side(json, "rest", &stage->rest, &whole->rest);
}

static void write_exchanges(hy_json *json, const char *name, const hy_exchange_log *log) {
    hy_json_open_array(json, name);
    for (int i = 0; i < log->n; i++) {
        hy_json_open_object(json, NULL);
        hy_json_string(json, "name", log->records[i].name);
        hy_json_string(json, "kind", hy_exchange_kind_name(log->records[i].kind));
        hy_json_int(json, "count", log->records[i].count);
        hy_json_int(json, "bytes", log->records[i].bytes);
        hy_json_close(json);
    }
    hy_json_close(json);
}

/* Bytes of a step's exchanges called so: the optimizer's are the same in every stage. */
static double sent_as(const plan *p, const char *name) {
    const hy_exchange_log *log = &p->dry->stages[0].step;
    double bytes = 0.0;
    for (int i = 0; i < log->n; i++) {
        bytes += strcmp(log->records[i].name, name) == 0 ? (double)log->records[i].bytes : 0.0;
    }
    return bytes;
}

static hy_status write_stage(hy_json *json, const plan *p, int number) {
    const hy_stage stage = hy_stage_get(p->config, number);
    hy_run_shape shape;
    hy_data_split split;
    HY_TRY(hy_trainer_shape(p->config, number, p->ranks, p->rank, &shape, &split));
    const hy_run_work work = hy_step_work(p->model, &stage);
    hy_json_open_object(json, NULL);
    hy_json_int(json, "steps", stage.steps);
    hy_json_int(json, "sequence", stage.sequence);
    hy_json_int(json, "batch", stage.batch);
    hy_json_int(json, "micro_steps", split.calls);
    hy_json_double(json, "tokens_per_step", work.tokens);
    hy_json_double(json, "flops_per_step", work.flops);
    hy_json_int(json, "bytes_to_host", p->dry->stages[number].to_host);
    hy_json_int(json, "bytes_from_host", p->dry->stages[number].from_host);
    write_layers(json, p, &shape, (double)split.calls, number);
    write_exchanges(json, "exchanges", &p->dry->stages[number].step);
    write_exchanges(json, "exchanges_of_validation", &p->dry->stages[number].validation);
    HY_TRY(hy_plan_balance_json(json, p->config, number, p->ranks, p->documents));
    hy_json_close(json);
    return HY_OK;
}

static hy_status write_plan(hy_json *json, const plan *p) {
    const hy_config *config = p->config;
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
    write_memory(json, p);
    hy_json_double(json, "gradient_bytes_sent", sent_as(p, "gradients"));
    hy_json_double(json, "parameter_bytes_sent", sent_as(p, "parameters"));
    hy_json_open_array(json, "stages");
    for (int number = 0; number < hy_stage_count(config); number++) {
        HY_TRY(write_stage(json, p, number));
    }
    hy_json_close(json);
    hy_json_close(json);
    return hy_json_end(json, HY_ERR_FAILED);
}

hy_status hy_plan_json(const hy_config *config, const hy_model *model, const hy_dry_run *dry, const hy_dry_run *whole,
                       int ranks, int rank, bool documents) {
    const plan p = {config, model, dry, whole, ranks, rank, documents};
    char *text = NULL;
    size_t length = 0;
    hy_json json;
    FILE *memory = open_memstream(&text, &length); /* all of it, or nothing */
    if (memory == NULL) {
        return hy_fail(HY_ERR_MEMORY, "a plan as JSON: %s", strerror(errno));
    }
    hy_json_begin(&json, memory);
    hy_status status = write_plan(&json, &p);
    (void)fclose(memory);
    if (status == HY_OK && (fwrite(text, 1, length, stdout) != length || fflush(stdout) != 0)) {
        status = hy_fail(HY_ERR_FAILED, "the plan cannot be written: %s", strerror(errno));
    }
    free(text);
    return status;
}
