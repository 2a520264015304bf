/* Values that wait in the host's memory between forward and backward: what a block leaves for its backward, its input above all, then takes no
 * memory of the device but around its uses. Segments are stretches of nodes of one block, as they lie in the graph:
 *
 *   forward     s: made | s + 1: on its way out | ... the place is others'
 *   backward    ... s + 2: on its way in | s + 1: read
 *
 * so a value made in one block and read in the next takes two blocks' time each way. Copies run on the lane COPY, in one order; marks hold
 * COMPUTE back where a copy is late: before a place is used again, and before a value is read. */
#ifndef HY_LAYERS_GRAPH_OFFLOAD_H
#define HY_LAYERS_GRAPH_OFFLOAD_H

#include "layers/graph/graph.h"

/* In the order in which they happen before one instruction: a place that is free, a value that is back, a copy out, a copy in. */
typedef enum hy_move_kind { HY_MOVE_FREE, HY_MOVE_BACK, HY_MOVE_OUT, HY_MOVE_IN, HY_MOVE_KINDS } hy_move_kind;

typedef struct hy_offloaded {
    hy_var var;
    int64_t bytes, at; /* in the host's memory */
} hy_offloaded;

typedef struct hy_move {
    int before; /* instruction */
    hy_move_kind kind;
    int value; /* of hy_offload.values */
} hy_move;

/* Of a segment: the instruction behind its last forward one, and the first of its backward. */
typedef struct hy_segment_times {
    int fwd_end, bwd_begin;
} hy_segment_times;

typedef struct hy_offload {
    int n_values, n_moves;
    hy_offloaded *values; /* [n_values] */
    hy_move *moves;       /* [HY_MOVE_KINDS·n_values] as they happen */
    int64_t bytes;        /* of the host's memory, which every micro-step fills once */
} hy_offload;

/* Room for `values`. Local. */
HY_MUST_CHECK hy_status hy_offload_init(hy_offload *offload, int values);
void hy_offload_fini(hy_offload *offload);
/* When the moves of a value happen that segment `made` makes, that forward reads up to `read`, and backward from `needed` on; false: it would
 * be back as soon as it is gone. times [last + 1]. */
bool hy_offload_times(const hy_segment_times *times, int last, int made, int read, int needed,
                      int before[HY_MOVE_KINDS]);
/* One more: before[kind] is the instruction that each of its moves happens before. */
void hy_offload_add(hy_offload *offload, hy_var var, int64_t bytes, const int before[HY_MOVE_KINDS]);
/* Puts the moves of all in order. */
void hy_offload_order(hy_offload *offload);

/* One move, in `host`, memory of hy_device_host_alloc. copied [n_values]: the ends of the last copies. x->value_offset is not looked at. */
void hy_offload_move(const hy_offload *offload, const hy_move *move, const hy_exec *x, int64_t *const value_offset[2],
                     char *host, hy_mark *copied);

#endif
