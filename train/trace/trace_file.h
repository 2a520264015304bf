/* The trace of one rank: RUN/trace/rank-<r>.h5, HDF5. Datasets, all of one dimension:
 *
 *   info    [9] int64: version, rank, ranks, parallel.data, parallel.sequence, clock of operations (hy_trace_clock), spans lost,
 *           steps that the totals are of, ranks of a node (0: unknown)
 *   names   the strings that spans and totals are called by, each ended by a NUL
 *   spans   of the steps trace.steps names (base/span.h), `name` an index into names
 *   steps   those steps: number, begin, end
 *   clock   (own clock, what it is ahead of rank 0's, error of that), seconds: measured before and after each stretch of steps
 *   totals  of all steps (totals.h) */
#ifndef HY_TRAIN_TRACE_FILE_H
#define HY_TRAIN_TRACE_FILE_H

#include "base/file.h"
#include "train/trace/totals.h"

/* Whose times WORK and WAIT have. */
typedef enum hy_trace_clock {
    HY_TRACE_HOST, /* the host's, which computes itself */
    HY_TRACE_LANE  /* the device's, in steps that are kept */
} hy_trace_clock;

typedef struct hy_trace_step {
    int64_t step;
    double begin, end;
} hy_trace_step;

typedef struct hy_clock_point {
    double at, ahead, error;
} hy_clock_point;

typedef struct hy_trace_info {
    int64_t version, rank, ranks, data, sequence, clock, lost, steps, node;
} hy_trace_info;
enum { HY_TRACE_INFO = sizeof(hy_trace_info) / sizeof(int64_t), HY_TRACE_VERSION = 1 };

/* What one rank recorded. Who makes it owns the arrays; hy_rank_trace_free frees those of hy_rank_trace_read. */
typedef struct hy_rank_trace {
    hy_trace_info info;
    hy_span *spans;
    hy_trace_step *steps;
    hy_clock_point *clock;
    hy_total *totals;
    int64_t n_spans, n_steps, n_clock, n_totals;
    char *names; /* of one that was read */
} hy_rank_trace;

/* The path of a rank's file in the run's folder. */
HY_MUST_CHECK hy_status hy_trace_path(const char *run, int64_t rank, char path[HY_PATH_MAX]);
/* Readers see the old file or the new. Local. */
HY_MUST_CHECK hy_status hy_rank_trace_write(const hy_rank_trace *trace, const char *path);
/* HY_ERR_DATA if it is none, or says what cannot be. Local. */
HY_MUST_CHECK hy_status hy_rank_trace_read(const char *path, hy_rank_trace *trace);
void hy_rank_trace_free(hy_rank_trace *trace);

#endif
