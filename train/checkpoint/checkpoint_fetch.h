/* A rank's shards, brought from a device's memory to the host's while the device computes: for a save in the middle of a step (checkpoint_part.h)
 * where a forked child does not see the device. Two pinned pieces take turns: the COPY lane fills one while the host empties the
 * other. Not for signal handlers. */
#ifndef HY_TRAIN_CHECKPOINT_FETCH_H
#define HY_TRAIN_CHECKPOINT_FETCH_H

#include "train/checkpoint/checkpoint_internal.h"

typedef struct hy_fetch hy_fetch;

/* Of `from`, whose data is the device's. The pieces are taken now, the room for all only when it is needed. Local. */
HY_MUST_CHECK hy_status hy_fetch_create(hy_device *device, const hy_shards *from, hy_fetch **out);
/* Waits for what is on its way. NULL allowed. */
void hy_fetch_destroy(hy_fetch *fetch);

/* The shards may not be changed until it is over. *image: the same shards, in memory of the host, once they are there. HY_ERR_MEMORY. */
HY_MUST_CHECK hy_status hy_fetch_begin(hy_fetch *fetch, hy_shards *image);
/* Whether all is there; goes on with the rest, or waits for it. */
bool hy_fetch_go_on(hy_fetch *fetch, bool wait);
/* The image goes. */
void hy_fetch_end(hy_fetch *fetch);

#endif
