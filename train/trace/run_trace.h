/* The traces of all ranks of a run, on one clock, ready to be looked at. */
#ifndef HY_TRAIN_RUN_TRACE_H
#define HY_TRAIN_RUN_TRACE_H

#include "train/trace/trace_file.h"

/* A stretch of a rank's own time: WORK without the waits in it, HOST, WAIT or MOVE. Tiles do not overlap. */
typedef struct hy_tile {
    double begin, end;
    hy_span_kind kind;
    const hy_span *span;
} hy_tile;

/* One rank: spans, steps and clock points in its file are on rank 0's clock now, spans in order of their beginnings. */
typedef struct hy_traced_rank {
    hy_rank_trace file;
    hy_busy busy;
    hy_tile *tiles;
    int64_t n_tiles;
    int64_t *waits_for; /* [n_spans] of WAIT: index of the exchange's span; else, or where that is not there, −1 */
} hy_traced_rank;

typedef struct hy_run_trace {
    int64_t ranks;
    hy_traced_rank *rank;
    double clock_error; /* seconds: the greatest of all measurements */
} hy_run_trace;

/* All files of RUN/trace. HY_ERR_DATA where one is missing or of another run. Local. */
HY_MUST_CHECK hy_status hy_run_trace_read(const char *run, hy_run_trace *out);
/* Of files[ranks], which it takes over, in any case. Local. */
HY_MUST_CHECK hy_status hy_run_trace_create(hy_rank_trace *files, int64_t ranks, hy_run_trace *out);
void hy_run_trace_free(hy_run_trace *trace);

/* The steps that all ranks have whole: rank 0's. */
static inline int64_t hy_run_trace_steps(const hy_run_trace *trace) {
    return trace->rank[0].file.n_steps;
}
/* The window of rank 0's i-th step on `rank`; NULL if it has none. */
const hy_trace_step *hy_run_trace_step(const hy_run_trace *trace, int64_t rank, int64_t i);
/* The first tile of the rank that ends after `time`. */
int64_t hy_tile_at(const hy_traced_rank *rank, double time);

#endif
