/* From a graph to what a step executes: an order of instructions, and for every value, gradient and scratch buffer its place in
 * one arena. Buffers whose lifetimes do not meet share memory.
 *
 * Training runs all nodes forward, then block by block from the last: the block's values that backward reads and that were not held
 * are computed again, then its nodes run backward. On more than one rank a node that exchanges is two instructions, its START and its FINISH,
 * and other nodes of the block lie between them (graph_order.h); what either touches lives as long as both. A residual sum and the norm of it right behind are one. A value is held from forward to backward if it crosses into
 * another block, if its variable says so (kept), or if the recompute mode does not cover its producer. With `offload` such values have two
 * places, one in each pass, and are in the host's memory in between (graph_offload.h); what nodes keep stays. */
#ifndef HY_LAYERS_GRAPH_PLAN_H
#define HY_LAYERS_GRAPH_PLAN_H

#include "layers/graph/graph_offload.h"
#include "layers/graph/graph_order.h"

typedef struct hy_instruction {
    int node;
    hy_phase phase;
    hy_sp_part part;
    int norm;       /* node that is computed in the same call, of the sum that `node` makes; −1: none */
    int block_done; /* block whose gradients of weights are complete and may travel from here on, or −1; 0 comes last */
} hy_instruction;

typedef struct hy_graph_plan {
    int n_instructions, n_forward; /* all; forward ones, which come first */
    hy_instruction *instructions;
    int64_t arena_bytes;
    int64_t held_bytes;                    /* the part of it that lives from forward to backward */
    int64_t *value_offset[2];              /* [n_vars]: of forward; of recompute and backward. −1: not there */
    int64_t *grad_offset;                  /* [n_vars], −1: none */
    int64_t *kept_offset, *work_offset[3]; /* [n_nodes], by phase */
    uint8_t (*acc)[HY_NODE_INPUTS];        /* [n_nodes] */
    hy_offload offload;
} hy_graph_plan;

HY_MUST_CHECK hy_status hy_graph_plan_create(const hy_graph *graph, const hy_sizing *sizing, hy_recompute recompute,
                                             bool offload, hy_graph_plan **out);
void hy_graph_plan_destroy(hy_graph_plan *plan);

#endif
