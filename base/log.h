/* The log: lines on stderr (and in a file once one is set), each with level and rank. Results go to stdout,
 * never through here. */
#ifndef HY_BASE_LOG_H
#define HY_BASE_LOG_H

#include <stdarg.h>

#include "base/status.h"

/* HY_LOG_NONE is for hy_log_set_level only: nothing is written, errors included. */
typedef enum hy_log_level { HY_LOG_DEBUG, HY_LOG_INFO, HY_LOG_WARN, HY_LOG_ERROR, HY_LOG_NONE } hy_log_level;

/* Which rank this process is, shown in every line when size > 1. Default: 0 of 1. Info and debug lines are
 * written by rank 0 only; warnings and errors by every rank. */
void hy_log_set_rank(int rank, int size);
void hy_log_set_level(hy_log_level level);

/* Also append every line to the file at `path` (rank 0 only calls this). NULL closes it. */
HY_MUST_CHECK hy_status hy_log_set_file(const char *path);

HY_PRINTF(2, 3) void hy_log(hy_log_level level, const char *format, ...);
HY_PRINTF(2, 0) void hy_log_va(hy_log_level level, const char *format, va_list arguments);

#define hy_info(...) hy_log(HY_LOG_INFO, __VA_ARGS__)
#define hy_warn(...) hy_log(HY_LOG_WARN, __VA_ARGS__)

#endif
