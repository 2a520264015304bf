/* Stages: stretches of a run that differ in sequence length, batch, stores, rotary base or learning rate. Everything that
 * depends on such a value asks the stage, not the configuration; a run without train.stages is one stage. */
#ifndef HY_TRAIN_STAGE_H
#define HY_TRAIN_STAGE_H

#include "base/schema.h"
#include "train/run/config.h"

typedef struct hy_stage {
    int number, count;    /* number from 0 */
    int64_t first, steps; /* its steps are [first, first + steps), counted from 1 */
    int64_t sequence, batch, accumulate;
    const hy_store_list *stores; /* of the configuration */
    double rope_base;            /* 0: as the model says */
    hy_lr_schedule schedule;
    int64_t schedule_first; /* the step that is the schedule's first: 1 where it spans the run */
} hy_stage;

/* Checks every stage and sets train.steps. HY_ERR_USAGE naming key and place. Local. */
HY_MUST_CHECK hy_status hy_stages_resolve(hy_config *config, const hy_schema_origins *origins);

int hy_stage_count(const hy_config *config);
hy_stage hy_stage_get(const hy_config *config, int number); /* borrows from `config` */
/* The number of the stage that step `step` (from 1) belongs to; before the first the first, after the last the last. */
int hy_stage_at(const hy_config *config, int64_t step);
double hy_stage_lr(const hy_stage *stage, int64_t step);
/* The key that gave the stage a value, for messages: "train.stages.1.sequence", or "data.sequence". */
void hy_stage_key(const hy_config *config, int number, const char *name, char *key, size_t size);

/* Makes `model` the stage's. */
void hy_stage_enter_model(const hy_stage *stage, hy_model_config *model);
/* Makes the configuration the one that trained step `step`: what evaluates or publishes a checkpoint of that step wants.
 */
void hy_stage_enter_config(hy_config *config, int64_t step);

/* The store's name. */
void hy_store_name(const hy_store_config *store, char name[HY_STORE_NAME_MAX]);
/* Tokens per block of the store called so (data.block; store_order.h). */
int64_t hy_store_block(const hy_config *config, const char *name);

#endif
