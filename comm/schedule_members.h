/* Which ranks belong to the communicators of schedules: on each rank a communicator has the same number, a color and a place (schedule.h). */
#ifndef HY_COMM_SCHEDULE_MEMBERS_H
#define HY_COMM_SCHEDULE_MEMBERS_H

#include "comm/schedule.h"

/* Of one communicator: the ranks of rank r's color are ranks[first[r]...], in the order of their places. */
typedef struct hy_members {
    int *ranks, *first; /* [ranks of the job] */
} hy_members;

/* *out: one for each of *n communicators, the caller's, also after a failure (hy_members_destroy). Local. */
HY_MUST_CHECK hy_status hy_members_list(const hy_schedule *const *schedules, int ranks, int *n, hy_members **out);
void hy_members_destroy(hy_members *members, int n); /* NULL allowed */

#endif
