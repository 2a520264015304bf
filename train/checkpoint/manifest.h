/* The manifest of a checkpoint: which files there are with their hashes, which part of which tensor each holds, and everything else
 * that a resume needs. It is JSON, sealed by its own hash (manifest.json.xxh3). */
#ifndef HY_TRAIN_MANIFEST_H
#define HY_TRAIN_MANIFEST_H

#include "layers/model.h"
#include "train/data/data_mix.h"
#include "train/data/file_hash.h"
#include "train/data/token_store.h"

enum { HY_ATTACHMENTS_MAX = 4 };

/* Elements [begin, begin + count) of a tensor are elements [at, at + count) of the file's datasets. */
typedef struct hy_slice {
    int64_t tensor, begin, count, at;
} hy_slice;

typedef struct hy_manifest_file {
    char name[64];
    hy_file_hash hash;
    uint64_t content; /* XXH3 of the data themselves: equal for equal tensors, whatever the file format adds */
    int64_t n_slices;
    hy_slice *slices;
} hy_manifest_file;

typedef struct hy_manifest_tensor {
    char name[128];
    int64_t size; /* elements */
} hy_manifest_tensor;

/* Text that travels along, e.g. a published model's own config.json. */
typedef struct hy_attachment {
    char name[64];
    char *text;
} hy_attachment;

/* How far a run has come. No pointers: parts of a stopped save (checkpoint_part.h) hold it as it is. */
typedef struct hy_progress {
    int64_t step;       /* steps done */
    int64_t updates;    /* optimizer updates applied (steps less those skipped, for either reason) */
    int64_t skipped;    /* steps skipped because something was not finite */
    int64_t empty;      /* steps skipped because no target in them counted */
    int64_t bad_in_row; /* of the not finite ones, the last in a row */
    hy_data_state data; /* what was read, as far as it was recorded */
} hy_progress;

typedef struct hy_manifest {
    hy_progress progress;
    int64_t world;  /* ranks that wrote it */
    bool optimizer; /* datasets m and v are there */
    int64_t n_tensors;
    hy_manifest_tensor *tensors;
    int64_t n_files;
    hy_manifest_file *files;
    char tokenizer[HY_TOKENIZER_MAX]; /* of what it was trained on; "": not known */
    char *config;                     /* the resolved configuration, YAML */
    char *stores;                     /* what its token stores held (config_change.h); NULL: not recorded */
    int64_t n_attachments;
    hy_attachment attachments[HY_ATTACHMENTS_MAX];
} hy_manifest;

/* Writes folder/manifest.json and its seal, synced. HY_ERR_CHECKPOINT. Local. */
HY_MUST_CHECK hy_status hy_manifest_write(const hy_manifest *manifest, const char *folder);
/* The same text in memory and back, without a seal; `name` stands for the file in messages. *text is freed with free(). */
HY_MUST_CHECK hy_status hy_manifest_format(const hy_manifest *manifest, char **text, size_t *length);
HY_MUST_CHECK hy_status hy_manifest_parse(const char *name, const char *text, size_t length, hy_manifest *manifest);
/* Reads and checks it: the seal, every field, every slice inside its tensor. HY_ERR_CHECKPOINT with the reason. Local. */
HY_MUST_CHECK hy_status hy_manifest_read(const char *folder, hy_manifest *manifest);
void hy_manifest_fini(hy_manifest *manifest);

#endif
