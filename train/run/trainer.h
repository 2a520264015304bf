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
    char tokenizer[HY_TOKENIZER_MAX], tokenizer_of[576]; /* of all stores, "" if none says; who said so first */
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

/* All that a run reads, what it starts from included, has one tokenizer: HY_ERR_DATA where `name` is another than what was found so far; ""
 * is any. whose: for the message. Local, but the same on all ranks; rank 0 reports. */
HY_MUST_CHECK hy_status hy_trainer_expect_tokenizer(hy_trainer *trainer, const char *name, const char *whose);

/* Ranks per sequence: parallel.sequence, or what is left of `ranks`. */
int hy_trainer_sequence_size(const hy_config *config, int ranks);

#endif
