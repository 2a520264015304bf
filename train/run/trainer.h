/* Everything a run holds, reserved before its first step. */
#ifndef HY_TRAIN_TRAINER_H
#define HY_TRAIN_TRAINER_H

#include "comm/comm.h"
#include "layers/model.h"
#include "train/checkpoint/checkpoint_carried.h"
#include "train/data/data_mix.h"
#include "train/data/data_split.h"
#include "train/data/feed.h"
#include "train/run/adamw_sharded.h"
#include "train/run/config.h"
#include "train/run/one_tokenizer.h"
#include "train/run/parameters.h"
#include "train/run/run_stores.h"
#include "train/run/stage.h"

/* The names of that memory: the device's, the host's. */
#define HY_TRAINING_ARENA "activations of training"
#define HY_OFFLOADED      "offloaded activations (the host's memory)"

/* Sequences bound to a runner: training, or validation. All NULL where there is none. */
typedef struct hy_pass {
    hy_feed *feed;
    hy_runner *runner;
    hy_data_split split;
    hy_sequence *sequences; /* [split.count] the group's; scratch of one step */
    hy_sequence *ahead;     /* [split.count] of the step that is read ahead; NULL in validation */
} hy_pass;

typedef struct hy_trainer_stage {
    hy_stage stage;
    hy_model *model; /* of its own, where its rotary base is; else NULL */
    hy_data_mix mix;
    hy_token_store *stores[HY_STORES_MAX]; /* of the mix's sources */
    hy_pass train, eval;
} hy_trainer_stage;

enum { HY_SCALAR_LOSS, HY_SCALAR_SQUARES, HY_SCALARS };

/* One block in the device's memory, read at once: the sum of losses so far, each row's loss, each row's correctness. */
typedef struct hy_eval_results {
    void *device, *host;
    int64_t rows;
} hy_eval_results;

typedef struct hy_trainer {
    const hy_config *config; /* borrowed */
    hy_comm *world;          /* borrowed; control */
    hy_mesh mesh;            /* control */
    hy_device *device;
    hy_comm *all, *sequence; /* data: bound to the device; of the world, of mesh.sequence */
    hy_dtype precision;
    hy_model *model;
    hy_parameters *parameters;
    void *grads;                 /* [grad_elements] flat, with fixed fragments several times; NULL without training */
    int64_t grad_elements, sums; /* sums: hy_sp_sums */
    double *scalars;             /* [HY_SCALARS,sums] in the device's memory: what a step reads at its end */
    double *read_scalars;        /* what it read; then what all ranks did, [ranks,HY_SCALARS] */
    hy_adamw_sharded *optimizer; /* NULL without training */
    char *carried; /* [carried_calls] blocks (hy_runner_carried_bytes) where this rank has a part in them; else NULL */
    int64_t carried_calls;   /* micro-steps of a step with train.carry_state; else 0 */
    hy_run_memory memory[2]; /* activations of training and of validation: all stages' */
    int64_t arena_bytes[2];  /* of them */
    hy_eval_results results; /* validation: of a micro-step's tokens */
    hy_run_stores stores;
    hy_one_tokenizer tokenizer; /* of all stores, and of what the run starts from */
    hy_data_state data, next;   /* what the steps so far have read; the same after the step at hand */
    hy_data_state ahead;        /* after the one that is read ahead */
    int n_stages;
    hy_trainer_stage *stages;
    const hy_trainer_stage *stage; /* the one at hand */
    hy_pass train, eval;           /* its passes */
    bool announced;                /* the stage was entered by hy_trainer_enter */
} hy_trainer;

/* How a stage's training runs on `rank`: one micro-step, and how many of them a step has. HY_ERR_USAGE as above. Local.
 */
HY_MUST_CHECK hy_status hy_trainer_shape(const hy_config *config, int stage, int ranks, int rank, hy_run_shape *shape,
                                         hy_data_split *split);

/* Reserves what every stage needs, and opens and checks the stores (run_stores.h). train false: only what validation
 * needs. Parameters are zero (load or initialise them next), no data has been read, the first stage is at hand.
 * Collective. */
HY_MUST_CHECK hy_status hy_trainer_create(const hy_config *config, bool train, hy_comm *world, hy_trainer **out);
/* The same for training, on stores of zeros (hy_run_stores_blank): for what is only planned. Collective. */
HY_MUST_CHECK hy_status hy_trainer_create_blank(const hy_config *config, hy_comm *world, hy_trainer **out);
void hy_trainer_destroy(hy_trainer *trainer);

/* Brings the stage of step `step` to hand; 1 if it was another or none has been entered so far. Allocates nothing. */
int hy_trainer_enter(hy_trainer *trainer, int64_t step);

/* Draws the whole batch of step `step`, as every rank does: the group's part into train.sequences, what will have been
 * read after it into `next`. Again before the step is done: the same. Allocates nothing. Local. */
void hy_trainer_draw(hy_trainer *trainer, int64_t step);

/* What this rank carries, for checkpoints: only what it reads in the next step. Local. */
hy_carried_values hy_trainer_carried(const hy_trainer *trainer);
/* What is carried from step to step is lost: the next step's sequences begin from nothing. */
void hy_trainer_forget(hy_trainer *trainer);

/* Begins to read the batch of `step`, the one after what was drawn last; hy_feed_ahead says what others must leave alone
 * meanwhile. Local. */
void hy_trainer_read_ahead(hy_trainer *trainer, int64_t step);

/* Goes on from what `data` says has been read. A store that it does not know, or that has another size now, is read from
 * its beginning; rank 0 says so. HY_ERR_DATA if there are too many records. Local. */
HY_MUST_CHECK hy_status hy_trainer_set_data(hy_trainer *trainer, const hy_data_state *data);

/* Ranks per sequence: parallel.sequence, or what is left of `ranks`. */
int hy_trainer_sequence_size(const hy_config *config, int ranks);

#endif
