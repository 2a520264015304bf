#ifndef HY_TRAIN_PRUNE_WORDS_H
#define HY_TRAIN_PRUNE_WORDS_H

#include "layers/model.h"
#include "sp/reach.h"

/* What parallel.prune leaves out in a layer of a run of this shape. Pure. */
hy_reach_facts hy_prune_facts(const hy_run_shape *shape, const hy_layer_info *layer);

/* One line: in how many layers states are left out, and the largest error of one; or why there are none. Local. */
void hy_prune_words(const hy_model *model, const hy_run_shape *shape, char *text, size_t size);

#endif
