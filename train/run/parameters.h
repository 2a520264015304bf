/* A run's parameters on one rank:
 *
 *   compute copy   what passes read (model.h): whole on every rank, matrices in the precision's type
 *   masters        what the optimizer updates and checkpoints hold: in float32, only the rank's own shards of every bucket
 *
 * Where the precision has one type for both (float32, float64) the own parts of the compute copy are the masters.
 *
 * After an update each bucket's own part, rounded, travels to all ranks. A pass waits for a bucket just before it first reads it
 * (hy_bucket_needed), so the gather hides in the forward pass of the buckets before. Nobody else reads what is on its way:
 * checkpoints hold masters. */
#ifndef HY_TRAIN_PARAMETERS_H
#define HY_TRAIN_PARAMETERS_H

#include "comm/comm.h"
#include "layers/model.h"
#include "train/checkpoint/checkpoint.h"

typedef struct hy_parameters {
    const hy_model *model; /* borrowed, as the next two */
    hy_comm *all;          /* bound to the device */
    hy_device *device;
    hy_dtype precision;
    int n_buckets;
    hy_bucket_shard *shards; /* [n_buckets] this rank's */
    int64_t n_own;           /* elements of them */
    unsigned char *compute;  /* hy_model_compute_offset bytes */
    unsigned char *masters;  /* [n_own] stat, bucket after bucket; NULL: the own parts of the compute copy */
    hy_req *reqs;            /* [n_buckets] gathers on their way */
} hy_parameters;

/* The model must have been created for size(all) shards. All zero. Local. */
HY_MUST_CHECK hy_status hy_parameters_create(const hy_model *model, hy_comm *all, hy_device *device, hy_dtype precision,
                                             hy_parameters **out);
/* Nothing may be on its way. NULL allowed. */
void hy_parameters_destroy(hy_parameters *parameters);

/* This rank's masters of a bucket [shards[bucket].n] stat. *copy: where they are wanted rounded too, in the bucket's role; or NULL. */
void *hy_parameters_own(const hy_parameters *parameters, int bucket, void **copy);
/* The bucket's own part, of the compute copy, begins to travel to all ranks. Buckets in the same order on all. Collective. */
void hy_parameters_send(hy_parameters *parameters, int bucket);
/* A hy_bucket_needed: waits for what was sent. context: the parameters. */
void hy_parameters_needed(void *context, int bucket);
/* Waits for all. */
void hy_parameters_wait(hy_parameters *parameters);

/* Initial parameters. `flat`: the gradients, which hold them meanwhile. Local. */
HY_MUST_CHECK hy_status hy_parameters_init(hy_parameters *parameters, uint64_t seed, void *flat);
/* From a checkpoint; m, v [n_own] as in hy_checkpoint_target. Collective. */
HY_MUST_CHECK hy_status hy_parameters_read(hy_parameters *parameters, const hy_checkpoint *checkpoint, hy_comm *world,
                                           void *m, void *v);
/* Gives `source` what it needs of them. */
void hy_parameters_source(const hy_parameters *parameters, hy_checkpoint_source *source);

#endif
