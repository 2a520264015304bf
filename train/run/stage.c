#include "train/run/stage.h"

#include <stdio.h>
#include <string.h>

#include "base/product.h"
#include "layers/mixers/mixer.h"

/* ---- values ---- */

int hy_stage_count(const hy_config *config) {
    return config->train.n_stages > 0 ? (int)config->train.n_stages : 1;
}

static bool has_own_schedule(const hy_stage_config *s) {
    return s->lr >= 0.0 || s->schedule != 0 || s->warmup >= 0 || s->min_lr_ratio >= 0.0 || s->decay_steps > 0;
}

static int64_t int_or(int64_t value, int64_t otherwise) {
    return value != HY_DEFAULT ? value : otherwise;
}

static double double_or(double value, double otherwise) {
    return value >= 0.0 ? value : otherwise;
}

static int64_t decay_of(int64_t decay_steps, int64_t steps) {
    return decay_steps > 0 ? decay_steps : steps >= 10 ? steps / 10 : 1;
}

static hy_stage whole_run(const hy_config *config) {
    const hy_lr_schedule schedule = {.kind = config->train.schedule,
                                     .lr = config->train.lr,
                                     .min_lr_ratio = config->train.min_lr_ratio,
                                     .warmup = config->train.warmup,
                                     .decay = decay_of(config->train.decay_steps, config->train.steps),
                                     .steps = config->train.steps};
    return (hy_stage){.count = 1,
                      .first = 1,
                      .steps = config->train.steps,
                      .sequence = config->data.sequence,
                      .batch = config->data.batch,
                      .accumulate = config->train.accumulate,
                      .stores = &config->data.store,
                      .schedule = schedule,
                      .schedule_first = 1};
}

hy_stage hy_stage_get(const hy_config *config, int number) {
    hy_stage stage = whole_run(config);
    if (config->train.n_stages == 0) {
        return stage;
    }
    const hy_stage_config *s = &config->train.stages[number];
    stage.number = number;
    stage.count = (int)config->train.n_stages;
    for (int i = 0; i < number; i++) {
        stage.first += config->train.stages[i].steps;
    }
    stage.steps = s->steps;
    stage.sequence = int_or(s->sequence, stage.sequence);
    stage.batch = int_or(s->batch, stage.batch);
    stage.accumulate = int_or(s->accumulate, stage.accumulate);
    stage.stores = s->store.n > 0 ? &s->store : stage.stores;
    stage.rope_base = double_or(s->rope_base, 0.0);
    if (has_own_schedule(s)) {
        stage.schedule_first = stage.first;
        stage.schedule =
            (hy_lr_schedule){.kind = s->schedule > 0 ? (hy_lr_kind)(s->schedule - 1) : config->train.schedule,
                             .lr = double_or(s->lr, config->train.lr),
                             .min_lr_ratio = double_or(s->min_lr_ratio, config->train.min_lr_ratio),
                             .warmup = int_or(s->warmup, config->train.warmup),
                             .decay = decay_of(int_or(s->decay_steps, config->train.decay_steps), s->steps),
                             .steps = s->steps};
    }
    return stage;
}

int hy_stage_at(const hy_config *config, int64_t step) {
    int number = 0;
    for (int64_t end = 1; number + 1 < hy_stage_count(config); number++) {
        end += config->train.stages[number].steps;
        if (step < end) {
            break;
        }
    }
    return number;
}

double hy_stage_lr(const hy_stage *stage, int64_t step) {
    return hy_lr_schedule_at(&stage->schedule, step - stage->schedule_first + 1);
}

/* A softmax mixer that turns its queries and keys. */
static bool has_rope(const hy_mixer_config *mixer) {
    const hy_mixer_row *row = hy_mixer_row_find(mixer->kind);
    return row != NULL && row->softmax && mixer->rope_base > 0.0;
}

void hy_stage_enter_model(const hy_stage *stage, hy_model_config *model) {
    for (int64_t i = 0; i < model->n_mixers && stage->rope_base > 0.0; i++) {
        if (has_rope(&model->mixers[i])) {
            model->mixers[i].rope_base = stage->rope_base;
        }
    }
}

void hy_stage_enter_config(hy_config *config, int64_t step) {
    const hy_stage stage = hy_stage_get(config, hy_stage_at(config, step));
    hy_stage_enter_model(&stage, &config->model);
    config->data.sequence = stage.sequence;
    config->data.batch = stage.batch;
    config->train.accumulate = stage.accumulate;
    if (stage.stores != &config->data.store) {
        memcpy(&config->data.store, stage.stores, sizeof config->data.store);
    }
    config->train.n_stages = 0;
    memset(config->train.stages, 0, sizeof config->train.stages);
}

/* ---- stores ---- */

void hy_store_name(const hy_store_config *store, char name[HY_STORE_NAME_MAX]) {
    const char *slash = strrchr(store->path, '/');
    const char *file = slash != NULL ? slash + 1 : store->path, *dot = strrchr(file, '.');
    const size_t length = dot != NULL && dot != file ? (size_t)(dot - file) : strlen(file);
    (void)snprintf(name, HY_STORE_NAME_MAX, "%.*s", store->name[0] != '\0' ? HY_STORE_NAME_MAX : (int)length,
                   store->name[0] != '\0' ? store->name : file);
}

int64_t hy_store_block(const hy_config *config, const char *name) {
    int64_t longest = 1;
    for (int i = 0; i < hy_stage_count(config); i++) {
        const hy_stage stage = hy_stage_get(config, i);
        for (int64_t k = 0; k < stage.stores->n; k++) {
            char other[HY_STORE_NAME_MAX];
            hy_store_name(&stage.stores->items[k], other);
            if (strcmp(name, other) == 0 && stage.sequence > longest) {
                longest = stage.sequence;
            }
        }
    }
    return config->data.block > 0 ? config->data.block : longest;
}

/* ---- checks ---- */

void hy_stage_key(const hy_config *config, int number, const char *name, char *key, size_t size) {
    const hy_stage_config *s = &config->train.stages[number];
    const bool staged = config->train.n_stages > 0;
    const bool own = staged && ((strcmp(name, "sequence") == 0 && s->sequence != HY_DEFAULT) ||
                                (strcmp(name, "batch") == 0 && s->batch != HY_DEFAULT) ||
                                (strcmp(name, "accumulate") == 0 && s->accumulate != HY_DEFAULT) ||
                                (strcmp(name, "store") == 0 && s->store.n > 0) || strcmp(name, "rope_base") == 0);
    if (own) {
        (void)snprintf(key, size, "train.stages.%d.%s", number, name);
    } else {
        (void)snprintf(key, size, "%s.%s", strcmp(name, "accumulate") == 0 ? "train" : "data", name);
    }
}

enum { KEY_MAX = 64 };

static hy_status check_batch(const hy_config *config, const hy_stage *stage, const hy_schema_origins *origins) {
    const int64_t groups = config->parallel.data, per_group = (stage->batch + groups - 1) / groups;
    char batch[KEY_MAX], accumulate[KEY_MAX];
    hy_stage_key(config, stage->number, "batch", batch, sizeof batch);
    hy_stage_key(config, stage->number, "accumulate", accumulate, sizeof accumulate);
    if (stage->batch < groups) {
        return hy_fail(HY_ERR_USAGE,
                       "%s: %s %lld: fewer sequences than the %lld groups of parallel.data; nearest: %s %lld",
                       hy_schema_origin(origins, batch), batch, (long long)stage->batch, (long long)groups, batch,
                       (long long)groups);
    }
    if (stage->accumulate > per_group) {
        return hy_fail(HY_ERR_USAGE,
                       "%s: %s %lld: %s %lld over parallel.data %lld leaves micro-steps without a sequence; nearest: "
                       "%lld",
                       hy_schema_origin(origins, accumulate), accumulate, (long long)stage->accumulate, batch,
                       (long long)stage->batch, (long long)groups, (long long)per_group);
    }
    return HY_OK;
}

/* Tokens and sequences are counted over whole runs: all of it must fit into numbers (base/product.h). */
static hy_status check_counts(const hy_config *config, const hy_stage *stage, const hy_schema_origins *origins) {
    if (hy_product(stage->batch, stage->sequence) >= 0 && hy_product(stage->batch, stage->steps) >= 0 &&
        hy_product(config->train.eval.sequences, stage->sequence) >= 0) {
        return HY_OK;
    }
    char sequence[KEY_MAX], batch[KEY_MAX];
    hy_stage_key(config, stage->number, "sequence", sequence, sizeof sequence);
    hy_stage_key(config, stage->number, "batch", batch, sizeof batch);
    return hy_fail(
        HY_ERR_USAGE,
        "%s: %s %lld: sequences times tokens or steps are more than 2^48; smaller: %s %lld, %s, steps %lld or "
        "train.eval.sequences %lld",
        hy_schema_origin(origins, sequence), sequence, (long long)stage->sequence, batch, (long long)stage->batch,
        sequence, (long long)stage->steps, (long long)config->train.eval.sequences);
}

static hy_status check_rope(const hy_config *config, const hy_stage *stage, const hy_schema_origins *origins) {
    char key[KEY_MAX];
    bool found = stage->rope_base <= 0.0;
    for (int64_t l = 0; l < config->model.layers && !found; l++) {
        found = has_rope(&config->model.mixers[config->model.layer_mixer[l]]);
    }
    hy_stage_key(config, stage->number, "rope_base", key, sizeof key);
    return found ? HY_OK
                 : hy_fail(HY_ERR_USAGE, "%s: %s: no layer of this model is a softmax mixer with a rotary embedding",
                           hy_schema_origin(origins, key), key);
}

/* One list of stores by itself. */
static hy_status check_list(const hy_store_list *list, const char *key, const hy_schema_origins *origins) {
    const char *where = hy_schema_origin(origins, key);
    double all = list->n == 0;
    for (int64_t i = 0; i < list->n; i++) {
        char name[HY_STORE_NAME_MAX], other[HY_STORE_NAME_MAX];
        if (list->items[i].path[0] == '\0') {
            return hy_fail(HY_ERR_USAGE, "%s: %s.%lld has no path", where, key, (long long)i);
        }
        hy_store_name(&list->items[i], name);
        for (int64_t k = 0; k < i; k++) {
            hy_store_name(&list->items[k], other);
            if (strcmp(name, other) == 0) {
                return hy_fail(HY_ERR_USAGE, "%s: %s: %s and %s are both called '%s'; give one of them a name", where,
                               key, list->items[k].path, list->items[i].path, name);
            }
        }
        all += list->items[i].weight;
    }
    return all > 0.0 ? HY_OK : hy_fail(HY_ERR_USAGE, "%s: %s: all weights are 0", where, key);
}

/* The same name in two stages is the same store. */
static hy_status check_store_names(const hy_config *config, const hy_stage *a, const hy_stage *b,
                                   const hy_schema_origins *origins) {
    for (int64_t i = 0; i < a->stores->n; i++) {
        for (int64_t k = 0; k < b->stores->n; k++) {
            const hy_store_config *one = &a->stores->items[i], *two = &b->stores->items[k];
            char name[HY_STORE_NAME_MAX], other[HY_STORE_NAME_MAX], key[KEY_MAX];
            hy_store_name(one, name);
            hy_store_name(two, other);
            if (strcmp(name, other) == 0 && strcmp(one->path, two->path) != 0) {
                hy_stage_key(config, b->number, "store", key, sizeof key);
                return hy_fail(HY_ERR_USAGE, "%s: %s: %s and %s are both called '%s'; give one of them a name",
                               hy_schema_origin(origins, key), key, one->path, two->path, name);
            }
        }
    }
    return HY_OK;
}

static hy_status check_stage(const hy_config *config, int number, const hy_schema_origins *origins) {
    const hy_stage stage = hy_stage_get(config, number);
    char key[KEY_MAX];
    HY_TRY(check_batch(config, &stage, origins));
    HY_TRY(check_counts(config, &stage, origins));
    HY_TRY(check_rope(config, &stage, origins));
    hy_stage_key(config, number, "store", key, sizeof key);
    HY_TRY(check_list(stage.stores, key, origins));
    for (int i = 0; i < number; i++) {
        const hy_stage earlier = hy_stage_get(config, i);
        HY_TRY(check_store_names(config, &earlier, &stage, origins));
    }
    return HY_OK;
}

/* train.steps is the sum; who gives both must give the same. */
static hy_status add_steps(hy_config *config, const hy_schema_origins *origins) {
    int64_t sum = 0;
    for (int64_t i = 0; i < config->train.n_stages; i++) {
        if (__builtin_add_overflow(sum, config->train.stages[i].steps, &sum)) {
            return hy_fail(HY_ERR_USAGE, "train.stages.%lld.steps: more steps than can be counted", (long long)i);
        }
    }
    const char *where = hy_schema_origin(origins, "train.steps");
    if (config->train.n_stages > 0 && strcmp(where, "default") != 0 && config->train.steps != sum) {
        return hy_fail(HY_ERR_USAGE,
                       "%s: train.steps %lld, but train.stages have %lld steps in all; leave train.steps out", where,
                       (long long)config->train.steps, (long long)sum);
    }
    config->train.steps = config->train.n_stages > 0 ? sum : config->train.steps;
    return HY_OK;
}

hy_status hy_stages_resolve(hy_config *config, const hy_schema_origins *origins) {
    if (config->data.store.n == 0) {
        return hy_fail(HY_ERR_USAGE, "%s: data.store is empty", hy_schema_origin(origins, "data.store"));
    }
    HY_TRY(add_steps(config, origins));
    HY_TRY(check_list(&config->data.eval_store, "data.eval_store", origins));
    for (int i = 0; i < hy_stage_count(config); i++) {
        HY_TRY(check_stage(config, i, origins));
    }
    return HY_OK;
}
