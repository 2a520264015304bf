/* The hosts of a job for `hylas doctor`: what each has, what would go wrong there, and a table of them. */
#ifndef HY_LAUNCH_HOSTS_H
#define HY_LAUNCH_HOSTS_H

#include "launch/clock_skew.h"
#include "launch/findings.h"
#include "launch/rank_facts.h"

typedef struct hy_hosts {
    int size;              /* ranks */
    hy_rank_facts *all;    /* [size] */
    hy_clock_skew *clocks; /* [size]; rank 0 knows those of the first rank of each host */
    bool *is_first;        /* [size]: of its host */
} hy_hosts;

/* Collective; `hosts` zero before. */
HY_MUST_CHECK hy_status hy_hosts_gather(hy_comm *world, const char *table, hy_hosts *hosts);
void hy_hosts_fini(hy_hosts *hosts);

/* Threads, GPUs, limits, clocks of each host, and ranks that differ from rank 0. Local. */
void hy_hosts_check(const hy_hosts *hosts, hy_findings *found);
/* A row per host. Nothing for one rank. */
HY_MUST_CHECK hy_status hy_hosts_print(const hy_hosts *hosts);
/* "clocks": [{"host", "ahead_seconds", "round_trip_seconds"}] */
void hy_hosts_clocks_json(hy_json *json, const hy_hosts *hosts);

#endif
