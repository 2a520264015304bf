/* A runner, for the files that make it up; nobody else includes this. */
#ifndef HY_LAYERS_RUNNER_INTERNAL_H
#define HY_LAYERS_RUNNER_INTERNAL_H

#include "layers/graph/graph_carry.h"
#include "layers/graph/graph_plan.h"

struct hy_runner {
    const hy_model *model;
    hy_run_shape shape;
    hy_layout_dims dims;
    hy_sp sp;
    hy_graph_plan *plan;
    hy_graph_carry carry; /* empty without shape.carry */
    hy_exec exec;
    hy_lists_needs needs;
    hy_lists *lists;
    hy_run_memory memory;
    bool owns_memory;
    hy_mark *copied;         /* [plan->offload.n_values] */
    hy_bucket_needed needed; /* may be NULL */
    void *needed_context;
    hy_run_watch *watch;
};

#endif
