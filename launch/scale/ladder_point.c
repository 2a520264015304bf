#include "launch/scale/ladder_point.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "launch/config_option.h"
#include "launch/model_parts.h"
#include "train/run/metrics_read.h"
#include "train/run/run_work.h"

enum { SET_TEXT = 1024, LAST = 10, MARK_MAX = 4096 };

/* ---- plan ---- */

typedef struct point_sets {
    hy_option_list list;
    char texts[HY_LADDER_KEYS + 1][SET_TEXT];
    int n;
} point_sets;

HY_PRINTF(2, 3) static hy_status add_set(point_sets *sets, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(sets->texts[sets->n], SET_TEXT, format, arguments);
    va_end(arguments);
    if (length >= SET_TEXT || sets->list.n == HY_OPTION_LIST_MAX) {
        return hy_fail(HY_ERR_USAGE, "--sizes: a value of more than %d characters, or more than %d keys set",
                       SET_TEXT - 1, HY_OPTION_LIST_MAX);
    }
    sets->list.items[sets->list.n++] = sets->texts[sets->n++];
    return HY_OK;
}

static void count_parameters(const hy_config *config, const hy_model *model, hy_ladder_point *point) {
    hy_model_part parts[HY_MODEL_PARTS_MAX];
    const int n = hy_model_parts(&config->model, model, parts);
    *point = (hy_ladder_point){.parameters = (double)hy_model_parameter_count(model)};
    point->bare = point->parameters;
    for (int i = 0; i < n; i++) {
        const bool of_vocabulary = strncmp(parts[i].name, "embedding", 9) == 0 || strcmp(parts[i].name, "head") == 0;
        point->bare -= of_vocabulary ? (double)parts[i].count : 0.0;
    }
}

/* So that tokens are at least as many as asked for. */
static hy_status find_steps(const hy_ladder_source *source, const hy_config *config, hy_ladder_point *point) {
    const double per_step = (double)config->data.batch * (double)config->data.sequence;
    point->steps = (double)config->train.steps;
    if (source->tokens_per_parameter > 0.0 && config->train.n_stages > 0) {
        return hy_fail(HY_ERR_USAGE,
                       "train.stages say how many steps there are: --tokens-per-parameter 0 takes them so");
    }
    if (source->tokens_per_parameter > 0.0) {
        point->steps = ceil(source->tokens_per_parameter * point->parameters / per_step);
    }
    return point->steps <= 1e15 ? HY_OK : hy_fail(HY_ERR_USAGE, "--tokens-per-parameter: too many steps");
}

/* Inside the folder of the file: run.dir/width=64,layers=4,steps=1200 */
static hy_status name_run(const hy_ladder_grid *grid, int i, const hy_ladder_point *point, hy_config *config) {
    char name[200], folder[HY_PATH_MAX]; /* with the steps at most the 255 bytes of a folder's name */
    hy_ladder_name(grid, i, 0, grid->n_keys, name, sizeof name);
    for (char *c = name; *c != '\0'; c++) {
        *c = isalnum((unsigned char)*c) || strchr("=,.-+", *c) != NULL ? *c : '_';
    }
    const int length = snprintf(folder, sizeof folder, "%s/%s,steps=%.0f", config->run.dir, name, point->steps);
    if (length >= (int)sizeof config->run.dir) {
        return hy_fail(HY_ERR_USAGE, "run.dir: %s is too long", folder);
    }
    memcpy(config->run.dir, folder, (size_t)length + 1);
    return HY_OK;
}

static hy_status plan_point(const hy_ladder_source *source, const hy_config *config, hy_ladder_point *point,
                            point_sets *sets) {
    hy_model *model = NULL;
    HY_TRY(hy_model_create(&config->model, 1, &model));
    count_parameters(config, model, point);
    hy_model_destroy(model);
    HY_TRY(find_steps(source, config, point));
    return source->tokens_per_parameter > 0.0 ? add_set(sets, "train.steps=%.0f", point->steps) : HY_OK;
}

static hy_status count_work(const hy_config *config, hy_ladder_point *point) {
    hy_model *model = NULL;
    HY_TRY(hy_model_create(&config->model, 1, &model));
    const hy_run_work work = hy_run_work_of(config, model);
    hy_model_destroy(model);
    point->tokens = work.tokens;
    point->flops = work.flops;
    return HY_OK;
}

/* The file is read twice: how many steps there are follows from the model. */
static hy_status load_point(const hy_ladder_source *source, const hy_ladder_grid *grid, int i, hy_comm *world,
                            point_sets *sets, hy_config **out, hy_ladder_point *point) {
    hy_config *config = NULL;
    hy_status status = HY_OK;
    sets->list = *source->sets;
    for (int k = 0; k < grid->n_keys && status == HY_OK; k++) {
        status = add_set(sets, "%s=%s", grid->keys[k].key, hy_ladder_value(grid, i, k));
    }
    HY_TRY(hy_comm_agree(world, status));
    HY_TRY(hy_config_load_on_all(world, source->config, &sets->list, &config));
    status = hy_comm_agree(world, plan_point(source, config, point, sets));
    hy_free(config);
    HY_TRY(status);
    HY_TRY(hy_config_load_on_all(world, source->config, &sets->list, &config));
    status = name_run(grid, i, point, config);
    status = hy_comm_agree(world, status == HY_OK ? count_work(config, point) : status);
    if (status != HY_OK) {
        hy_free(config);
        return status;
    }
    *out = config;
    return HY_OK;
}

hy_status hy_ladder_point_plan(const hy_ladder_source *source, const hy_ladder_grid *grid, int i, hy_comm *world,
                               hy_config **config, hy_ladder_point *point) {
    point_sets *sets = NULL;
    HY_TRY(hy_comm_agree(world, HY_NEW("settings of a point", 1, &sets)));
    const hy_status status = load_point(source, grid, i, world, sets, config, point);
    hy_free(sets);
    return status;
}

/* ---- loss ---- */

static double weight_of(const hy_config *config, const char *store) {
    for (int64_t i = 0; i < config->data.eval_store.n; i++) {
        char name[HY_STORE_NAME_MAX];
        hy_store_name(&config->data.eval_store.items[i], name);
        if (strcmp(name, store) == 0) {
            return config->data.eval_store.items[i].weight;
        }
    }
    return 1.0;
}

/* NaN: there is none after step `last`. */
static double validation_loss(const hy_config *config, const hy_metrics_history *h, int64_t last) {
    double sum = 0.0, weights = 0.0;
    for (int64_t i = 0; i < h->n_evals; i++) {
        if (h->evals[i].step == last) {
            const double weight = weight_of(config, h->stores[h->evals[i].store]);
            sum += weight * h->evals[i].loss;
            weights += weight;
        }
    }
    return weights > 0.0 ? sum / weights : (double)NAN;
}

/* Steps without targets have no loss. */
static double training_loss(const hy_metrics_history *h) {
    double sum = 0.0;
    int n = 0;
    for (int64_t i = h->n_steps - 1; i >= 0 && n < LAST; i--) {
        if (isfinite(h->steps[i].loss)) {
            sum += h->steps[i].loss;
            n++;
        }
    }
    return n > 0 ? sum / n : (double)NAN;
}

/* What the loss is of beside what a run goes on with only if it is the same. */
static void measure_words(const hy_config *config, char *text, size_t size) {
    size_t used = (size_t)snprintf(text, size, "%s, with validation on %lld sequences of",
                                   hy_config_precision(config) == HY_BF16 ? "bf16" : "f32",
                                   (long long)config->train.eval.sequences);
    for (int64_t i = 0; i < config->data.eval_store.n && used < size; i++) {
        used += (size_t)snprintf(text + used, size - used, " %s", config->data.eval_store.items[i].path);
    }
}

hy_status hy_ladder_point_begin(const hy_config *config) {
    char path[HY_PATH_MAX], text[MARK_MAX], *before = NULL;
    size_t length = 0;
    (void)snprintf(path, sizeof path, "%s/ladder.txt", config->run.dir);
    measure_words(config, text, sizeof text);
    if (!hy_file_exists(path)) {
        HY_TRY(hy_file_make_dirs(config->run.dir, HY_ERR_ENV));
        return hy_file_write_atomic(path, text, strlen(text), HY_ERR_ENV);
    }
    HY_TRY(hy_file_read(path, MARK_MAX, HY_ERR_DATA, &before, &length));
    const bool same = length == strlen(text) && memcmp(before, text, length) == 0;
    const hy_status status =
        same ? HY_OK
             : hy_fail(HY_ERR_USAGE, "%s was trained in %.*s; this ladder wants %s: take another run.dir",
                       config->run.dir, (int)length, before, text);
    hy_free(before);
    return status;
}

hy_status hy_ladder_point_read(const hy_config *config, hy_ladder_point *point) {
    char path[HY_PATH_MAX];
    hy_metrics_history history;
    (void)snprintf(path, sizeof path, "%s/metrics.jsonl", config->run.dir);
    HY_TRY(hy_metrics_read(path, &history));
    point->validated = config->data.eval_store.n > 0;
    point->loss = point->validated ? validation_loss(config, &history, config->train.steps) : training_loss(&history);
    hy_metrics_history_free(&history);
    return isfinite(point->loss)
               ? HY_OK
               : hy_fail(HY_ERR_DATA, "%s: has no %s loss of step %lld", path,
                         point->validated ? "validation" : "training", (long long)config->train.steps);
}
