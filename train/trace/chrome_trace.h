/* A trace as JSON that Perfetto and chrome://tracing open (the Trace Event Format): a process per rank; in it a track of what the rank itself did, and as
 * many for exchanges as are under way together; arrows from who posted last to those that it kept waiting, of messages from the sender to the
 * receiver. Times are microseconds from the first span on, on rank 0's clock. */
#ifndef HY_TRAIN_CHROME_TRACE_H
#define HY_TRAIN_CHROME_TRACE_H

#include "train/trace/exchange_match.h"

/* Writes the file, whatever was there. Local. */
HY_MUST_CHECK hy_status hy_chrome_trace_write(const hy_run_trace *trace, const hy_match *match, const char *path);

#endif
