#ifndef HY_LAYERS_MODEL_BUILD_H
#define HY_LAYERS_MODEL_BUILD_H

#include "layers/nodes/nodes.h"

/* Adds the whole model's nodes and parameters to an empty graph. HY_ERR_USAGE if a layer has no sequence-parallel method. Local. */
HY_MUST_CHECK hy_status hy_model_build(hy_graph *graph, const hy_model_config *config);

/* A model's graph, for the runner. */
const hy_graph *hy_model_graph(const hy_model *model);

#endif
