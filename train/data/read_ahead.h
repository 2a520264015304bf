/* A thread that does one thing, again and again, when told to: for what takes time and touches nothing that others touch meanwhile. */
#ifndef HY_TRAIN_READ_AHEAD_H
#define HY_TRAIN_READ_AHEAD_H

#include "base/status.h"

typedef struct hy_read_ahead hy_read_ahead;

/* `work` logs nothing (hy_log_set_trial). The thread starts with the first hy_read_ahead_begin. */
HY_MUST_CHECK hy_status hy_read_ahead_create(void (*work)(void *context), void *context, hy_read_ahead **out);
/* Waits. NULL allowed. */
void hy_read_ahead_destroy(hy_read_ahead *ahead);
/* The work begins; if no thread can be made, it is done here and now. Not before the last is waited for. */
void hy_read_ahead_begin(hy_read_ahead *ahead);
void hy_read_ahead_wait(hy_read_ahead *ahead);

#endif
