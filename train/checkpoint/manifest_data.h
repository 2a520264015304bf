/* The manifest's record of what a run has read: how many sequences and tokens in all, and the position in every store
 * (train/data/store_order.h). */
#ifndef HY_TRAIN_MANIFEST_DATA_H
#define HY_TRAIN_MANIFEST_DATA_H

#include <jansson.h>

#include "base/json.h"
#include "train/data/data_mix.h"

void hy_manifest_data_write(hy_json *json, const hy_data_state *data);
/* NULL, or the first thing that is wrong. */
const char *hy_manifest_data_read(const json_t *object, hy_data_state *data);

#endif
