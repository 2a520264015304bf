#include "train/run/method_choice.h"

#include <string.h>

#include "base/memory.h"
#include "train/run/dry_run.h"
#include "train/run/simulate.h"
#include "train/run/trainer.h"

typedef struct choosing {
    const hy_config *config;
    hy_config *small; /* a layer of every mixer */
    int stage, ranks;
    const hy_machine *machine;
    hy_comm *world;
    hy_method_choice *out;
} choosing;

static void list_mixers(const hy_model_config *model, hy_method_choice *out) {
    for (int64_t l = 0; l < model->layers; l++) {
        int i = 0;
        while (i < out->n_mixers && out->mixers[i] != model->layer_mixer[l]) {
            i++;
        }
        out->mixers[i] = model->layer_mixer[l];
        out->n_mixers = i == out->n_mixers ? i + 1 : out->n_mixers;
        out->counts[i]++;
    }
}

void hy_method_small_model(const hy_model_config *model, hy_model_config *small) {
    hy_method_choice list = {.n_mixers = 0};
    list_mixers(model, &list);
    *small = *model;
    small->layers = list.n_mixers;
    for (int i = 0; i < list.n_mixers; i++) {
        small->layer_mixer[i] = list.mixers[i];
    }
}

/* ---- one method ---- */

static hy_tried_layer layer_of(const hy_replay *replay, int block) {
    hy_tried_layer layer = {0};
    for (int backward = 0; backward < 2; backward++) {
        const int at = HY_PLACE_BLOCKS + 2 * block + backward;
        const hy_replay_place *place = at < replay->n_places ? &replay->places[at] : NULL;
        if (place != NULL) {
            layer.seconds += (place->computed + place->waited) / replay->n_ranks;
            layer.exposed += place->waited / replay->n_ranks;
            layer.sent += (double)place->sent / replay->n_ranks;
            layer.messages += (double)place->messages / replay->n_ranks;
        }
    }
    return layer;
}

static hy_status activations_of(const choosing *c, const hy_sp_method *method, int64_t *bytes) {
    hy_run_shape shape;
    hy_data_split split;
    hy_profile profile;
    hy_run_bytes run;
    hy_model *model = NULL;
    HY_TRY(hy_trainer_shape(c->config, c->stage, c->ranks, 0, &shape, &split));
    HY_TRY(hy_profile_of(c->config->run.device, shape.dtype, &profile));
    HY_TRY(hy_model_create(&c->config->model, c->ranks, &model));
    shape.method = *method;
    const hy_status status = hy_runner_plan_bytes(model, &shape, &profile, &run);
    hy_model_destroy(model);
    *bytes = status == HY_OK ? run.arena : 0;
    return status;
}

static void read_replay(const hy_method_choice *choice, const hy_replay *replay, hy_tried_method *tried) {
    tried->seconds = replay->seconds;
    for (int i = 0; i < choice->n_mixers; i++) {
        tried->layers[i] = layer_of(replay, i + 1);
        tried->seconds += (double)(choice->counts[i] - 1) * tried->layers[i].seconds;
        tried->sent += (double)choice->counts[i] * tried->layers[i].sent;
    }
}

/* The first rank knows; the others learn from it, so that all go on alike. */
static hy_status share_tried(const choosing *c, hy_status status, hy_tried_method *tried) {
    hy_req req;
    HY_TRY(hy_comm_agree(c->world, status));
    hy_comm_broadcast(c->world, "method", tried, sizeof *tried, 0, &req);
    hy_comm_wait(&req);
    return HY_OK;
}

static hy_status try_method(choosing *c, const hy_sp_method *method) {
    hy_simulation simulation;
    hy_tried_method *tried = &c->out->tried[c->out->n];
    c->small->parallel.method = *method;
    c->small->parallel.method.prune = 0; /* decays go by the layer, and these layers are others */
    HY_TRY(hy_simulate(c->small, c->stage, c->ranks, c->machine, c->world, &simulation));
    *tried = (hy_tried_method){.method = *method};
    hy_status status = HY_OK;
    if (simulation.replay != NULL) {
        read_replay(c->out, simulation.replay, tried);
        status = activations_of(c, method, &tried->activations);
    }
    hy_simulation_clear(&simulation);
    HY_TRY(share_tried(c, status, tried));
    if (c->out->n == 0 || tried->seconds < c->out->tried[c->out->best].seconds) {
        c->out->best = c->out->n;
    }
    c->out->n++;
    return HY_OK;
}

/* ---- all of them ---- */

static bool was_tried(const choosing *c, const hy_sp_method *method) {
    for (int i = 0; i < c->out->n; i++) {
        const hy_sp_method *m = &c->out->tried[i].method;
        if (m->layout == method->layout && m->state == method->state && m->attention == method->attention) {
            return true;
        }
    }
    return false;
}

static bool agrees(const hy_sp_method *tried, const hy_sp_method *wanted) {
    return (wanted->layout == HY_LAYOUT_AUTO || wanted->layout == tried->layout) &&
           (wanted->state == HY_STATE_AUTO || wanted->state == tried->state) &&
           (wanted->attention == HY_ATTENTION_AUTO || wanted->attention == tried->attention);
}

static const hy_tried_method *fastest_of(const hy_method_choice *choice, const hy_sp_method *wanted) {
    const hy_tried_method *best = NULL;
    for (int i = 0; i < choice->n; i++) {
        const hy_tried_method *t = &choice->tried[i];
        best = agrees(&t->method, wanted) && (best == NULL || t->seconds < best->seconds) ? t : best;
    }
    return best;
}

/* Of what was tried and goes with `wanted`; NULL: nothing. Of those that are about as fast as the fastest the one that sends least, then the fastest:
 * what is not simulated, as queues in which small messages wait behind large ones, goes with bytes. */
static const hy_tried_method *taken_of(const hy_method_choice *choice, const hy_sp_method *wanted) {
    const hy_tried_method *fastest = fastest_of(choice, wanted), *taken = fastest;
    for (int i = 0; i < choice->n; i++) {
        const hy_tried_method *t = &choice->tried[i];
        const bool alike = agrees(&t->method, wanted) && t->seconds <= HY_METHODS_ALIKE * fastest->seconds;
        if (alike && (t->sent < taken->sent || (t->sent == taken->sent && t->seconds < taken->seconds))) {
            taken = t;
        }
    }
    return taken;
}

/* Each value of one part of the method that is open; the one that is taken is put in. */
static hy_status try_values(choosing *c, hy_sp_method *method, bool of_state, int first, int end) {
    hy_sp_method open = *method;
    if (of_state) {
        open.state = HY_STATE_AUTO;
    } else {
        open.attention = HY_ATTENTION_AUTO;
    }
    for (int value = first; value < end && c->out->n < HY_TRIED_MAX; value++) {
        hy_sp_method one = *method;
        if (of_state) {
            one.state = (hy_state_exchange)value;
        } else {
            one.attention = (hy_attention_method)value;
        }
        if (was_tried(c, &one) || (c->config->train.carry_state && !hy_sp_method_carries(&one))) {
            continue;
        }
        HY_TRY(try_method(c, &one));
    }
    const hy_tried_method *taken = taken_of(c->out, &open);
    if (taken != NULL) {
        method->state = taken->method.state;
        method->attention = taken->method.attention;
    }
    return HY_OK;
}

static hy_status try_all(choosing *c, const hy_sp_method *wanted, bool every) {
    const bool all = every && wanted->cuts.fixed == 0; /* not every way goes with parallel.invariant */
    const bool layouts = all || wanted->layout == HY_LAYOUT_AUTO, states = all || wanted->state == HY_STATE_AUTO,
               attentions = all || wanted->attention == HY_ATTENTION_AUTO;
    const int first = layouts ? 0 : (int)wanted->layout, end = layouts ? (int)HY_LAYOUT_AUTO : first + 1;
    for (int layout = first; layout < end; layout++) {
        hy_sp_method method = *wanted;
        method.layout = (hy_layout_kind)layout;
        method.attention = wanted->attention == HY_ATTENTION_AUTO ? (hy_attention_method)0 : wanted->attention;
        HY_TRY(try_values(c, &method, true, states ? 0 : (int)wanted->state,
                          states ? (int)HY_STATE_AUTO : (int)wanted->state + 1));
        if (attentions) {
            HY_TRY(try_values(c, &method, false, 0, (int)HY_ATTENTION_AUTO));
        }
    }
    return HY_OK;
}

bool hy_method_is_open(const hy_sp_method *method) {
    return method->layout == HY_LAYOUT_AUTO || method->state == HY_STATE_AUTO || method->attention == HY_ATTENTION_AUTO;
}

hy_sp_method hy_method_first(const hy_sp_method *method) {
    hy_sp_method first = *method;
    first.layout = method->layout == HY_LAYOUT_AUTO ? (hy_layout_kind)0 : method->layout;
    first.state = method->state == HY_STATE_AUTO ? (hy_state_exchange)0 : method->state;
    first.attention = method->attention == HY_ATTENTION_AUTO ? (hy_attention_method)0 : method->attention;
    return first;
}

static void settle_open_parts(hy_method_choice *choice, hy_sp_method *method) {
    const hy_sp_method all = {.layout = HY_LAYOUT_AUTO, .state = HY_STATE_AUTO, .attention = HY_ATTENTION_AUTO};
    const hy_tried_method *taken = taken_of(choice, hy_method_is_open(method) ? method : &all);
    taken = taken != NULL ? taken : &choice->tried[choice->best]; /* not every pair is tried */
    choice->taken = (int)(taken - choice->tried);
    method->layout = method->layout == HY_LAYOUT_AUTO ? taken->method.layout : method->layout;
    method->state = method->state == HY_STATE_AUTO ? taken->method.state : method->state;
    method->attention = method->attention == HY_ATTENTION_AUTO ? taken->method.attention : method->attention;
}

static hy_status try_on_small_model(choosing *c, bool all) {
    list_mixers(&c->config->model, c->out);
    hy_status status = hy_comm_agree(c->world, HY_NEW("configuration", 1, &c->small));
    if (status == HY_OK) {
        memcpy(c->small, c->config, sizeof *c->small);
        hy_method_small_model(&c->config->model, &c->small->model);
        status = try_all(c, &c->config->parallel.method, all);
    }
    hy_free(c->small);
    return status;
}

hy_status hy_method_choose(const hy_config *config, int stage, int ranks, bool all, const hy_machine *machine,
                           hy_comm *world, hy_sp_method *method, hy_method_choice **out) {
    choosing c = {.config = config, .stage = stage, .ranks = ranks, .machine = machine, .world = world};
    hy_status status = hy_comm_agree(world, HY_NEW("methods", 1, &c.out));
    status = status == HY_OK ? try_on_small_model(&c, all) : status;
    if (status != HY_OK) {
        hy_free(c.out);
        return status;
    }
    settle_open_parts(c.out, method);
    *out = c.out;
    return HY_OK;
}
