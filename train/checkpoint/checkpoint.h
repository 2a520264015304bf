/* Checkpoints. Every rank writes its own shard into one file of step-N.tmp/; when all are on the disk, rank 0 adds the manifest and
 * renames the folder to step-N: a checkpoint exists whole or not at all. `latest` names the newest.
 *
 *     checkpoints/latest                 "step-200\n"
 *     checkpoints/step-200/manifest.json what is where, hashes, configuration (manifest.h)
 *     checkpoints/step-200/rank-00000.h5 datasets params, m, v: this rank's shard of every bucket, one after the other
 *     checkpoints/step-200/carried-*.h5  what sequences carry from step to step, if they do (checkpoint_carried.h)
 *     checkpoints/step-230.stop/         parts written at a signal; opening the folder makes a checkpoint of them (checkpoint_part.h)
 *
 * Loading verifies every file's hash before libhdf5 sees it, falls back to the newest checkpoint that is whole, and works on any
 * number of ranks. */
#ifndef HY_TRAIN_CHECKPOINT_H
#define HY_TRAIN_CHECKPOINT_H

#include "base/file.h"
#include "comm/comm.h"
#include "layers/model.h"
#include "train/checkpoint/checkpoint_carried.h"
#include "train/checkpoint/manifest.h"

/* The part of bucket `bucket` that `rank` of `size` owns: n elements at `flat` in the flat arrays, at `state` in the rank's own m and v. */
typedef struct hy_bucket_shard {
    int64_t flat, state, n;
} hy_bucket_shard;
hy_bucket_shard hy_bucket_shard_of(const hy_model *model, int size, int rank, int bucket);
/* The elements [*begin, *end) of the flat arrays that a parameter and a shard share; false if there are none. */
bool hy_bucket_shard_overlap(const hy_bucket_shard *shard, const hy_param *param, int64_t *begin, int64_t *end);

/* Those of all buckets, freed with hy_free. */
HY_MUST_CHECK hy_status hy_bucket_shards_create(const hy_model *model, int size, int rank, hy_bucket_shard **out);

/* What is saved. */
typedef struct hy_checkpoint_source {
    const hy_model *model; /* created for size(world) shards */
    hy_comm *world;
    hy_dtype dtype;
    const void *params;    /* flat, whole on every rank */
    bool own;              /* params: own shards only, one after the other */
    const void *m, *v;     /* likewise; NULL: no optimizer state */
    hy_device *device;     /* whose memory these are in; NULL: the host's */
    const char *config;    /* resolved configuration, YAML */
    const char *tokenizer; /* of the data; NULL or "": not known */
    const char *stores;    /* identities of its token stores; NULL: not recorded */
    hy_progress progress;
    int64_t n_attachments;
    const hy_attachment *attachments;
    hy_carried_values carried; /* values NULL on ranks that hold nothing of it */
} hy_checkpoint_source;

/* Saves as folder/step-N and removes all but the newest `keep` (0 = all are kept) and leftovers of saves that did not finish.
 * HY_ERR_CHECKPOINT on all ranks if any fails (disk full, say); what was there before is untouched then. Collective. */
HY_MUST_CHECK hy_status hy_checkpoint_save(const hy_checkpoint_source *source, const char *folder, int64_t keep);

/* A checkpoint that has been found and verified. */
typedef struct hy_checkpoint {
    char path[HY_PATH_MAX];
    hy_manifest manifest;
} hy_checkpoint;

/* `path` is a checkpoint (has a manifest), a folder of checkpoints (step-N inside), or a run folder (has checkpoints/). Newest first;
 * one that is damaged is reported and passed over. found = NULL: none there is an error; else *found tells. Checkpoints that are all
 * damaged are an error in any case: HY_ERR_CHECKPOINT. Collective: the ranks share the verification. */
HY_MUST_CHECK hy_status hy_checkpoint_open(const char *path, hy_comm *world, bool *found, hy_checkpoint *out);
void hy_checkpoint_close(hy_checkpoint *checkpoint);

/* Where a checkpoint is read to. */
typedef struct hy_checkpoint_target {
    hy_dtype dtype;
    void *params;      /* flat, whole on every rank */
    bool own;          /* params: own shards only, one after the other */
    void *m, *v;       /* likewise; both NULL: not wanted */
    hy_device *device; /* whose memory these are in, and a communicator of all ranks bound to it; NULL: the host's */
    hy_comm *all;
} hy_checkpoint_target;

/* Reads into a `model` that was created for size(world) shards. A tensor that is missing or of another size is an error that names it.
 * Collective. */
HY_MUST_CHECK hy_status hy_checkpoint_read(const hy_checkpoint *checkpoint, const hy_model *model, hy_comm *world,
                                           const hy_checkpoint_target *target);

/* A step-0 checkpoint without optimizer state at folder/step-0, from the whole flat array: import's output. One process. */
HY_MUST_CHECK hy_status hy_checkpoint_write_params(const char *folder, const hy_model *model, hy_comm *self,
                                                   const char *config, hy_dtype dtype, const void *params,
                                                   const hy_attachment *attachments, int64_t n_attachments);

/* Text of the attachment of that name, or NULL. */
const char *hy_checkpoint_attachment(const hy_checkpoint *checkpoint, const char *name);

#endif
