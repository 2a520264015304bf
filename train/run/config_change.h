/* A run is what its configuration says: which keys may differ between a checkpoint and the run that goes on from it.
 *
 * Keys that say where and how a run computes, and how often it saves and reports, are free; they are one table in
 * config_change.c. Every other key, also one that is new, changes the mathematics: going on with another value is an error that names
 * the key, unless the user allows it on the command line. A token store is its content, not its path. */
#ifndef HY_TRAIN_CONFIG_CHANGE_H
#define HY_TRAIN_CONFIG_CHANGE_H

#include "base/schema.h"
#include "train/checkpoint/manifest.h"
#include "train/run/config.h"

typedef struct hy_allowed_changes {
    const char *const *keys; /* "train.lr", a section "model.mixers.gla", or several with commas between them */
    int n;
    const hy_schema_origins *origins; /* where keys were set, for messages; NULL: not known */
} hy_allowed_changes;

/* What the stores of `config` hold, as text for hy_manifest.stores: their hashes under their keys, "-" for one that is not
 * there. Freed with hy_free. HY_ERR_DATA. Local. */
HY_MUST_CHECK hy_status hy_store_identities(const hy_config *config, char **text);

/* HY_ERR_USAGE, naming all keys with both values, if this run (`config`: its resolved text; `stores`: as above) is not
 * the one that the manifest of `path` is of. What may differ and does is logged. Local. */
HY_MUST_CHECK hy_status hy_config_change_check(const char *path, const hy_manifest *manifest, const char *config,
                                               const char *stores, const hy_allowed_changes *allowed);

/* Key or section number i of the table, NULL at its end: for a test that each is there. Also a key that is not free inside a section that is. */
const char *hy_config_free_key(int i);

#endif
