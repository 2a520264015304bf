/* One rank's share of a save made at a signal, in the middle of a step: what it holds of the last finished step, as raw
 * bytes, written by a child that shares the memory of that moment (fork). Every function that runs there calls nothing
 * but the kernel: the process was interrupted anywhere, perhaps inside malloc or libhdf5.
 *
 *     checkpoints/step-N.stop/rank-00000.part.tmp   being written: locked (flock) until then
 *     checkpoints/step-N.stop/rank-00000.part       complete and synced
 *
 * Ranks do not wait for each other. Once all parts of a step are there, whoever next opens the folder makes a checkpoint of
 * them (hy_checkpoint_recover). */
#ifndef HY_TRAIN_CHECKPOINT_PART_H
#define HY_TRAIN_CHECKPOINT_PART_H

#include "train/checkpoint/checkpoint.h"

typedef struct hy_part hy_part;

/* All that can be prepared. The source's arrays are borrowed; its progress does not matter. Local. */
HY_MUST_CHECK hy_status hy_part_create(const hy_checkpoint_source *source, const char *folder, hy_part **out);
void hy_part_destroy(hy_part *part);

/* Where a forked child does not see the device's memory: what a part is made of is brought to the host's first. None of these is safe in a
 * signal handler. */
bool hy_part_fetches(const hy_part *part);
/* From here on until it is fetched the source's arrays do not change. HY_ERR_MEMORY. */
HY_MUST_CHECK hy_status hy_part_fetch_begin(hy_part *part);
/* Whether all is there, for a child to write; goes on with the rest, or waits for it. */
bool hy_part_fetched(hy_part *part, bool wait);
void hy_part_fetch_end(hy_part *part);

/* Makes the folder of the parts of that step; true if this process did. Safe in a signal handler. */
bool hy_part_announce(hy_part *part, int64_t step);
/* Writes this rank's part; false: it is not there. Safe in a signal handler, but it takes its time: for a child. */
bool hy_part_write(hy_part *part, const hy_progress *progress);
/* Whether the parts of all ranks are there. Safe in a signal handler. */
bool hy_part_all_there(hy_part *part, int64_t step);

/* Where parts of a stopped save of a step newer than any checkpoint are complete, makes that checkpoint of them, having
 * waited for those still being written. What is wrong with them is a warning; HY_ERR_MEMORY, HY_ERR_CHECKPOINT where the folder
 * cannot be read. One process. */
HY_MUST_CHECK hy_status hy_checkpoint_recover(const char *folder);

/* ---- the file, shared by writer and reader ---- */
/* head | n_elements of each bucket's shard [n_buckets] | manifest's text | params | m | v */
typedef struct hy_part_head {
    char magic[16];
    uint64_t content;   /* hy_shards_content */
    uint64_t head_hash; /* XXH3 of the head with this field 0, the shards' sizes and the manifest's text */
    int64_t world, rank, dtype, n_buckets, optimizer, manifest_bytes;
    hy_progress progress;
} hy_part_head;
#define HY_PART_MAGIC "hylas-part-1"

#endif
