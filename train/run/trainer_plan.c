/* What a run reserves, without reserving it. Stages never run at the same time, so they share the memory of
 * activations: the largest counts. The feeds are small and each stage has its own. */
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "train/data/file_hash.h"
#include "train/run/eval_pass.h"
#include "train/run/gemm_peak.h"
#include "train/run/trainer_shapes.h"

int hy_trainer_sequence_size(const hy_config *config, int ranks) {
    const int left = (int)(ranks / config->parallel.data);
    return config->parallel.sequence > 0 ? (int)config->parallel.sequence : left > 0 ? left : 1;
}

hy_pass_shapes hy_pass_shapes_of(const hy_config *config, const hy_stage *stage, const hy_place *at, hy_dtype dtype,
                                 bool train) {
    hy_pass_shapes s;
    s.split = hy_data_split_make(stage->batch, at->groups, at->group, stage->accumulate);
    if (!train) {
        s.split = hy_data_split_eval(config->train.eval.sequences, at->groups, at->group, s.split.unit);
    }
    s.feed = (hy_feed_shape){.layout = config->parallel.method.layout,
                             .sequence_size = at->sequence_size,
                             .sequence_rank = at->sequence_rank,
                             .unit = s.split.unit,
                             .len = stage->sequence,
                             .calls_max = train ? s.split.calls : 1,
                             .answers_only = train && config->data.loss == HY_LOSS_ANSWERS,
                             .ahead = train};
    s.run = (hy_run_shape){.method = config->parallel.method,
                           .sequence_size = at->sequence_size,
                           .sequence_rank = at->sequence_rank,
                           .n_seq = s.split.unit,
                           .len = stage->sequence,
                           .dtype = dtype,
                           .recompute = config->train.recompute,
                           .train = train};
    return s;
}

hy_status hy_stage_model_create(const hy_config *config, const hy_stage *stage, int ranks, hy_model **out) {
    hy_model_config *own = NULL;
    if (stage->rope_base <= 0.0) {
        *out = NULL;
        return HY_OK;
    }
    HY_TRY(HY_NEW("a stage's model", 1, &own));
    memcpy(own, &config->model, sizeof *own);
    hy_stage_enter_model(stage, own);
    const hy_status status = hy_model_create(own, ranks, out);
    hy_free(own);
    return status;
}

/* ---- plan ---- */

/* Adds entries to those of the same name. */
static hy_status add_to(hy_plan *plan, const hy_plan *more, const char *prefix) {
    for (int i = 0; i < more->n; i++) {
        const hy_plan_entry *e = &more->entries[i];
        char name[sizeof e->name];
        int at = 0;
        snprintf(name, sizeof name, "%s%.48s", prefix, e->name);
        while (at < plan->n && strcmp(plan->entries[at].name, name) != 0) {
            at++;
        }
        if (at < plan->n) {
            plan->entries[at].bytes += e->bytes;
        } else {
            HY_TRY(hy_plan_add(plan, name, e->lifetime, e->bytes));
        }
    }
    return HY_OK;
}

/* What all stages need of training, or of validation. */
typedef struct pass_plan {
    hy_plan feeds, runner; /* of all; of the one with most */
    int64_t rows, numbers; /* bytes: of the one with most; of all */
} pass_plan;

static hy_status plan_pass(const hy_config *config, const hy_stage *stage, const hy_place *at, bool train,
                           const hy_model *model, const hy_profile *profile, pass_plan *out) {
    const hy_pass_shapes s = hy_pass_shapes_of(config, stage, at, hy_config_precision(config), train);
    const int64_t rows = train ? 0 : 2 * (int64_t)hy_eval_results_bytes(hy_local_tokens(&s.feed)); /* device, host */
    hy_plan feed, runner;
    hy_plan_init(&feed);
    hy_plan_init(&runner);
    HY_TRY(hy_feed_plan(&s.feed, &feed));
    HY_TRY(hy_runner_plan_lists(model, &s.run, profile, &feed));
    HY_TRY(add_to(&out->feeds, &feed, train ? "" : "evaluation: "));
    HY_TRY(hy_runner_plan(model, &s.run, profile, &runner));
    if (out->runner.n == 0 || hy_plan_total(&runner) > hy_plan_total(&out->runner)) {
        out->runner = runner;
    }
    out->rows = rows > out->rows ? rows : out->rows;
    out->numbers += (train ? 2 : 1) * s.split.count * (int64_t)sizeof(hy_sequence);
    return HY_OK;
}

static hy_status plan_stage(const hy_config *config, int number, const hy_place *at, int ranks, const hy_model *model,
                            const hy_profile *profile, pass_plan *passes, int64_t *models) {
    const hy_stage stage = hy_stage_get(config, number);
    hy_model *own = NULL;
    const int64_t before = hy_alloc_bytes();
    HY_TRY(hy_stage_model_create(config, &stage, ranks, &own));
    *models += hy_alloc_bytes() - before;
    const hy_model *used = own != NULL ? own : model;
    hy_status status = plan_pass(config, &stage, at, true, used, profile, &passes[0]);
    if (status == HY_OK && config->data.eval_store.n > 0) {
        status = plan_pass(config, &stage, at, false, used, profile, &passes[1]);
    }
    hy_model_destroy(own);
    return status;
}

static hy_status plan_stages(const hy_config *config, const hy_place *at, int ranks, const hy_model *model,
                             const hy_profile *profile, int64_t model_bytes, hy_plan *plan) {
    pass_plan passes[2] = {{.rows = 0}};
    const int count = hy_stage_count(config);
    int64_t models = model_bytes;
    for (int i = 0; i < count; i++) {
        HY_TRY(plan_stage(config, i, at, ranks, model, profile, passes, &models));
    }
    HY_TRY(hy_plan_add(plan, "model: graph, table of parameters", "run", models));
    HY_TRY(hy_plan_add(plan, "stores, stages, data position", "run",
                       (int64_t)sizeof(hy_trainer) + count * (int64_t)sizeof(hy_trainer_stage) + passes[0].numbers +
                           passes[1].numbers));
    for (int i = 0; i < 2; i++) {
        HY_TRY(add_to(plan, &passes[i].feeds, ""));
        if (passes[i].rows > 0) {
            HY_TRY(hy_plan_add(plan, "evaluation: results of rows", "step", passes[i].rows));
        }
        HY_TRY(add_to(plan, &passes[i].runner, ""));
    }
    return HY_OK;
}

static hy_status plan_run(const hy_config *config, const hy_place *at, int ranks, const hy_model *model,
                          int64_t model_bytes, hy_plan *plan) {
    const hy_dtype precision = hy_config_precision(config);
    const int64_t grads = hy_model_flat_size(model) * (int64_t)hy_role_size(precision, HY_ROLE_GRAD);
    hy_profile profile;
    HY_TRY(hy_profile_of(config->run.device, precision, &profile));
    HY_TRY(hy_plan_add(plan, "matrices of the GEMM peak", "start", hy_gemm_peak_bytes()));
    HY_TRY(hy_plan_add(plan, "configuration", "run", (int64_t)sizeof *config));
    HY_TRY(hy_parameters_plan(model, ranks, precision, plan));
    HY_TRY(hy_plan_add(plan, "gradients", "step", grads));
    HY_TRY(hy_adamw_sharded_plan(model, ranks, precision, plan));
    HY_TRY(hy_plan_add(plan, "checkpoints: hashing", "operation", HY_HASH_BLOCK));
    return plan_stages(config, at, ranks, model, &profile, model_bytes, plan);
}

static hy_status find_place(const hy_config *config, int ranks, int rank, hy_place *out) {
    const int sequence = hy_trainer_sequence_size(config, ranks), groups = (int)config->parallel.data;
    if ((int64_t)sequence * groups != ranks) {
        return hy_fail(HY_ERR_USAGE, "%d ranks are not parallel.data %d x parallel.sequence %d", ranks, groups,
                       sequence);
    }
    *out = (hy_place){sequence, rank % sequence, groups, rank / sequence};
    return HY_OK;
}

hy_status hy_trainer_shape(const hy_config *config, int stage, int ranks, int rank, hy_run_shape *shape,
                           hy_data_split *split) {
    hy_place at = {0};
    HY_TRY(find_place(config, ranks, rank, &at));
    const hy_stage of_config = hy_stage_get(config, stage);
    const hy_pass_shapes s = hy_pass_shapes_of(config, &of_config, &at, hy_config_precision(config), true);
    *shape = s.run;
    *split = s.split;
    return HY_OK;
}

hy_status hy_trainer_plan(const hy_config *config, int ranks, int rank, hy_plan *plan) {
    hy_place at = {0};
    hy_model *model = NULL;
    HY_TRY(find_place(config, ranks, rank, &at));
    hy_plan_init(plan);
    const int64_t before = hy_alloc_bytes();
    HY_TRY(hy_model_create(&config->model, ranks, &model));
    const hy_status status = plan_run(config, &at, ranks, model, hy_alloc_bytes() - before, plan);
    hy_model_destroy(model);
    return status;
}
