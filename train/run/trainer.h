/* Everything a run holds, reserved before its first step; and the plan of it, which `hylas plan` prints. Both follow
 * from the same shapes, so they agree. */
#ifndef HY_TRAIN_TRAINER_H
#define HY_TRAIN_TRAINER_H

#include "comm/comm.h"
#include "layers/model.h"
#include "train/data/data_order.h"
#include "train/data/feed.h"
#include "train/run/adamw_sharded.h"
#include "train/run/config.h"
#include "train/run/one_tokenizer.h"

/* A token store bound to a runner: training, or validation. All NULL where there is none; rows only for validation. */
typedef struct hy_pass {
    hy_token_store *store;
    hy_feed *feed;
    hy_runner *runner;
    hy_data_split split;
    int64_t *sequences; /* [split.count] numbers of the group's sequences; scratch of one step */
    hy_eval_rows rows;  /* losses and correctness of a micro-step's tokens */
} hy_pass;

typedef struct hy_trainer {
    const hy_config *config; /* borrowed */
    hy_comm *world;          /* borrowed */
    hy_mesh mesh;
    hy_device device;
    hy_dtype dtype;
    hy_model *model;
    void *params, *grads;        /* flat; grads NULL without training */
    hy_adamw_sharded *optimizer; /* NULL without training */
    hy_pass train, eval;
    hy_one_tokenizer tokenizer; /* of all stores, and of what the run starts from */
} hy_trainer;

/* What a run of `config` on `ranks` ranks reserves on `rank`. HY_ERR_USAGE for a mesh that does not fit. Local. */
HY_MUST_CHECK hy_status hy_trainer_plan(const hy_config *config, int ranks, int rank, hy_plan *plan);

/* How training runs on `rank`: one micro-step, and how many of them a step has. HY_ERR_USAGE as above. Local. */
HY_MUST_CHECK hy_status hy_trainer_shape(const hy_config *config, int ranks, int rank, hy_run_shape *shape,
                                         hy_data_split *split);

/* train false: only what validation needs. Parameters are zero (load or initialise them next). Checks the stores (rank
 * 0 the whole files, see token_store.h). Collective. */
HY_MUST_CHECK hy_status hy_trainer_create(const hy_config *config, bool train, hy_comm *world, hy_trainer **out);
void hy_trainer_destroy(hy_trainer *trainer);

/* Ranks per sequence: parallel.sequence, or what is left of `ranks`. */
int hy_trainer_sequence_size(const hy_config *config, int ranks);

#endif
