/* Between the writer and the reader of traces: rows as they lie in memory, and which of their members the file has. */
#ifndef HY_TRAIN_TRACE_ROWS_H
#define HY_TRAIN_TRACE_ROWS_H

#include "train/data/h5.h"
#include "train/trace/trace_file.h"

typedef struct hy_span_row {
    hy_span span;
    int64_t name; /* index into the file's names */
} hy_span_row;

typedef struct hy_total_row {
    hy_total total;
    int64_t name;
} hy_total_row;

/* The types of their rows in memory, which files are written with too; negative if the library fails. Closed by the caller. */
hid_t hy_trace_span_type(void);
hid_t hy_trace_total_type(void);
hid_t hy_trace_step_type(void);
hid_t hy_trace_clock_type(void);

#endif
