/* What the program says: the log (lines on stderr, each with time, level and rank) and results (stdout). Both also go into a file once one
 * is set, so that the file has everything the console showed. */
#ifndef HY_BASE_LOG_H
#define HY_BASE_LOG_H

#include <stdarg.h>
#include <stdbool.h>

#include "base/status.h"

/* HY_LOG_NONE is for hy_log_set_level only: nothing is written, errors included. */
typedef enum hy_log_level { HY_LOG_DEBUG, HY_LOG_INFO, HY_LOG_WARN, HY_LOG_ERROR, HY_LOG_NONE } hy_log_level;

/* Which rank this process is, shown in every line when size > 1. Default: 0 of 1. Info and debug lines are
 * written by rank 0 only; warnings and errors by every rank. */
void hy_log_set_rank(int rank, int size);
void hy_log_set_level(hy_log_level level);

/* Only what matters is shown: no info lines, no details (they still go into the file). */
void hy_log_set_quiet(bool quiet);
bool hy_log_quiet(void);

/* What this thread logs is not said: it only tries what will be done again where failing matters. */
void hy_log_set_trial(bool trial);

/* Also append everything to the file at `path`; what was said before goes first (the first few thousand bytes of it). Rank 0 opens it
 * at once; the other ranks, which only warn, open it for each line of theirs. NULL closes it. */
HY_MUST_CHECK hy_status hy_log_set_file(const char *path);
/* What is said while there is no file goes into the next one, as before the first: for a process that trains again. */
void hy_log_await_file(void);

HY_PRINTF(2, 3) void hy_log(hy_log_level level, const char *format, ...);
HY_PRINTF(2, 0) void hy_log_va(hy_log_level level, const char *format, va_list arguments);

/* A line on stdout, without time or level; the newline is part of the format. Details are what --quiet leaves out. */
HY_PRINTF(1, 2) void hy_print(const char *format, ...);
HY_PRINTF(1, 2) void hy_print_detail(const char *format, ...);
/* Into the file alone. */
HY_PRINTF(1, 2) void hy_log_record(const char *format, ...);

#define hy_info(...) hy_log(HY_LOG_INFO, __VA_ARGS__)
#define hy_warn(...) hy_log(HY_LOG_WARN, __VA_ARGS__)

#endif
