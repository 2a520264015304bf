/* What the checkpoint_*.c files share; nobody else includes this. */
#ifndef HY_TRAIN_CHECKPOINT_INTERNAL_H
#define HY_TRAIN_CHECKPOINT_INTERNAL_H

#include "train/checkpoint/checkpoint.h"

/* What one rank puts into its file: its shards of params, m, v. */
typedef struct hy_shards {
    hy_dtype dtype;
    int n_buckets;
    const hy_bucket_shard *buckets; /* [n_buckets] */
    bool flat;                      /* data[0] is the whole flat array; else, as m and v, own shards in a row */
    const void *data[3];            /* params, m, v; m and v may be NULL */
    hy_device *device;              /* whose memory `data` is in, ... */
    void *copy;                     /* ... and room for the largest shard; NULL: the host's */
} hy_shards;

/* Where a dataset's shard of a bucket begins. */
static inline const char *hy_shards_at(const hy_shards *s, int dataset, int bucket) {
    const hy_bucket_shard *shard = &s->buckets[bucket];
    return (const char *)s->data[dataset] +
           (size_t)(s->flat && dataset == 0 ? shard->flat : shard->state) * hy_dtype_size(s->dtype);
}

/* XXH3 of the data, bucket by bucket. In the host's memory: safe in a signal handler. */
uint64_t hy_shards_content(const hy_shards *shards);
/* Writes the file, synced; *info: its hashes. */
HY_MUST_CHECK hy_status hy_shards_write(const hy_shards *shards, const char *path, hy_manifest_file *info);

/* Everything of a manifest but the files' hashes, for their sizes what the parameters alone take; hy_manifest_fini frees it. */
HY_MUST_CHECK hy_status hy_checkpoint_manifest(const hy_checkpoint_source *source, hy_manifest *out);

/* A save: an empty folder `unfinished`, what goes into it, and then its move to folder/step-N. */
HY_MUST_CHECK hy_status hy_checkpoint_prepare(const char *folder, const char *unfinished);
HY_MUST_CHECK hy_status hy_checkpoint_publish(const char *folder, const char *unfinished, int64_t step, int64_t keep);

#endif
