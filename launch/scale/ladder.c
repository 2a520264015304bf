#include "launch/scale/ladder.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "launch/report_once.h"
#include "launch/scale/ladder_curves.h"
#include "launch/scale/row_file.h"
#include "launch/start_training.h"

enum { ROW_MAX = 4096 };

typedef struct ladder_job {
    const hy_ladder_options *options;
    hy_ladder_grid grid;
    hy_row_file rows;        /* rank 0 */
    hy_ladder_point *points; /* [hy_ladder_points] */
} ladder_job;

/* ---- rows ---- */

static void write_head(const hy_ladder_grid *grid, char *line, size_t size) {
    size_t used = (size_t)snprintf(line, size, "config_hash");
    for (int k = 0; k < grid->n_keys && used < size; k++) {
        used += (size_t)snprintf(line + used, size - used, ",%s", grid->keys[k].key);
    }
    if (used < size) {
        (void)snprintf(line + used, size - used,
                       ",parameters,parameters_without_embeddings,steps,tokens,flops,loss,loss_of\n");
    }
}

/* What tells a point from others. */
static hy_status write_settings(const ladder_job *job, int i, const hy_config *config, char *text, size_t size) {
    uint64_t hash = 0;
    HY_TRY(hy_scale_hash(config, &hash));
    size_t used = (size_t)snprintf(text, size, "%016llx", (unsigned long long)hash);
    for (int k = 0; k < job->grid.n_keys && used < size; k++) {
        used += (size_t)snprintf(text + used, size - used, ",%s", hy_ladder_value(&job->grid, i, k));
    }
    if (used + 1 >= size) {
        return hy_fail(HY_ERR_USAGE, "--sizes and --vary: values of more than %zu characters together", size - 2);
    }
    (void)snprintf(text + used, size - used, ",");
    return HY_OK;
}

static bool find_row(const ladder_job *job, const char *settings, hy_ladder_point *point) {
    const char *at = NULL, *cells = NULL;
    while ((cells = hy_row_file_find(&job->rows, settings, &at)) != NULL) {
        hy_ladder_point found;
        char of[16];
        if (sscanf(cells, "%lf,%lf,%lf,%lf,%lf,%lf,%15[a-z]", &found.parameters, &found.bare, &found.steps,
                   &found.tokens, &found.flops, &found.loss, of) == 7) {
            found.validated = strcmp(of, "validation") == 0;
            *point = found;
            return true;
        }
    }
    return false;
}

static hy_status add_row(ladder_job *job, const char *settings, const hy_ladder_point *p) {
    char line[ROW_MAX];
    (void)snprintf(line, sizeof line, "%s%.0f,%.0f,%.0f,%.0f,%.9g,%.9g,%s\n", settings, p->parameters, p->bare,
                   p->steps, p->tokens, p->flops, p->loss, p->validated ? "validation" : "training");
    return hy_row_file_add(&job->rows, line);
}

/* ---- points ---- */

static void say_point(const ladder_job *job, int i, const hy_config *config, const hy_ladder_point *point) {
    char name[256];
    hy_ladder_name(&job->grid, i, 0, job->grid.n_keys, name, sizeof name);
    hy_info("point %d of %d: %s: %.0f parameters, %.0f steps, %.0f tokens, %.3g FLOP, in %s", i + 1,
            hy_ladder_points(&job->grid), name, point->parameters, point->steps, point->tokens, point->flops,
            config->run.dir);
}

/* Trains the point unless its run has done all its steps already, which training finds out by itself. Collective. */
static hy_status train_point(ladder_job *job, int i, const char *settings, hy_config *config, hy_comm *world) {
    const hy_training_start start = {job->options->argc, job->options->argv, job->options->source.config, NULL};
    hy_ladder_point *point = &job->points[i];
    hy_status status = HY_OK;
    if (hy_comm_rank(world) == 0) {
        say_point(job, i, config, point);
        status = hy_ladder_point_begin(config);
    }
    HY_TRY(hy_comm_agree(world, status));
    HY_TRY(hy_training_run(&start, config, world));
    if (hy_comm_rank(world) == 0) {
        status = hy_ladder_point_read(config, point);
        status = status == HY_OK ? add_row(job, settings, point) : status;
    }
    return hy_comm_agree(world, status);
}

static hy_status make_planned(ladder_job *job, int i, hy_config *config, hy_comm *world) {
    char settings[HY_POINT_TEXT];
    HY_TRY(hy_comm_agree(world, write_settings(job, i, config, settings, sizeof settings)));
    int64_t known = hy_comm_rank(world) == 0 && find_row(job, settings, &job->points[i]);
    hy_req req = {0};
    hy_comm_broadcast(world, "row known", &known, sizeof known, 0, &req);
    hy_comm_wait(&req);
    return known ? HY_OK : train_point(job, i, settings, config, world);
}

static hy_status make_points(ladder_job *job, hy_comm *world) {
    for (int i = 0; i < hy_ladder_points(&job->grid); i++) {
        hy_config *config = NULL;
        HY_TRY(hy_ladder_point_plan(&job->options->source, &job->grid, i, world, &config, &job->points[i]));
        const hy_status status = make_planned(job, i, config, world);
        hy_free(config);
        HY_TRY(status);
    }
    return HY_OK;
}

/* ---- all of it ---- */

/* May run twice. */
static hy_status parse(void *context) {
    ladder_job *job = context;
    const double ratio = job->options->source.tokens_per_parameter;
    HY_TRY(hy_ladder_grid_parse(job->options->sizes, job->options->vary, &job->grid));
    for (int k = 0; k < job->grid.n_keys; k++) {
        const char *key = job->grid.keys[k].key;
        if (strcmp(key, "run.dir") == 0 || (ratio > 0.0 && strcmp(key, "train.steps") == 0)) {
            return hy_fail(HY_ERR_USAGE, "--sizes, --vary: %s is set by the ladder%s", key,
                           strcmp(key, "run.dir") == 0 ? "" : "; --tokens-per-parameter 0 leaves it");
        }
    }
    return ratio >= 0.0 && ratio < 1e9 ? HY_OK
                                       : hy_fail(HY_ERR_USAGE, "--tokens-per-parameter %g: no ratio from 0 on", ratio);
}

static hy_status open_rows(ladder_job *job, const hy_comm *world) {
    char head[ROW_MAX];
    write_head(&job->grid, head, sizeof head);
    return hy_comm_rank(world) == 0 ? hy_row_file_open(job->options->csv, head, &job->rows) : HY_OK;
}

static hy_status run_ladder(ladder_job *job, hy_comm *world) {
    HY_TRY(hy_report_once(world, parse, job));
    HY_TRY(hy_comm_agree(world, open_rows(job, world)));
    HY_TRY(hy_comm_agree(world, HY_NEW("points of a ladder", hy_ladder_points(&job->grid), &job->points)));
    HY_TRY(make_points(job, world));
    return hy_comm_agree(world, hy_comm_rank(world) == 0 ? hy_ladder_show(&job->grid, job->points, job->options->plot)
                                                         : HY_OK);
}

hy_status hy_ladder_run(const hy_ladder_options *options, hy_comm *world) {
    ladder_job *job = NULL;
    HY_TRY(hy_comm_agree(world, HY_NEW("ladder", 1, &job)));
    job->options = options;
    const hy_status status = run_ladder(job, world);
    hy_row_file_close(&job->rows);
    hy_free(job->points);
    hy_free(job);
    return status;
}
