/* A schedule as bytes, from one rank of a job to another. */
#ifndef HY_COMM_SCHEDULE_PACK_H
#define HY_COMM_SCHEDULE_PACK_H

#include <stddef.h>

#include "comm/schedule.h"

size_t hy_schedule_packed_bytes(const hy_schedule *s);
/* Into hy_schedule_packed_bytes(s) bytes. Nothing is being recorded. */
void hy_schedule_pack(const hy_schedule *s, void *to);
/* The caller's (hy_schedule_clear). Names of exchanges are constants of this process, as those of its own schedules. HY_ERR_MEMORY; HY_ERR_DATA for
 * more names than a program has. */
HY_MUST_CHECK hy_status hy_schedule_unpack(const void *from, hy_schedule *out);

#endif
