/* Machines to simulate runs on: a network of nodes, and what a rank's device sustains.
 *
 * In words: a preset, or "KEY=VALUE,..." with what it lacks taken from the preset in front ("dgx-h100,node=4,far=25e9"), else from `flat`. */
#ifndef HY_TRAIN_MACHINE_H
#define HY_TRAIN_MACHINE_H

#include "comm/schedule_replay.h"
#include "kernels/kernels.h"

/* What an operation's rate is. */
typedef enum hy_rate { HY_RATE_PRODUCTS, HY_RATE_ATTENTION, HY_RATE_RECURRENCES, HY_RATE_MEMORY, HY_RATES } hy_rate;

/* Calls with less work (FLOPs; of memory, bytes) than `much` have another rate: that of the machine's kind at `much` and above, `rate` at
 * `little`. 0: the same rate for all. */
typedef struct hy_small_calls {
    double rate, little, much;
} hy_small_calls;

enum { HY_MACHINE_NAME = 640 };

typedef struct hy_machine {
    char name[HY_MACHINE_NAME];
    hy_network_shape network;
    double products, attention, recurrences; /* FLOP/s that such operations sustain; the others move memory */
    double memory;                           /* bytes/s */
    hy_small_calls small[HY_RATES];
    double launch, post;   /* seconds of an operation; of posting a message */
    double eager;          /* bytes */
    double calls_progress; /* 0, or 1: schedule_replay.h */
} hy_machine;

/* HY_ERR_USAGE, naming what there is. Local. */
HY_MUST_CHECK hy_status hy_machine_parse(const char *words, hy_machine *out);
/* One line per preset and key, for help texts: HY_MACHINE_HELP bytes hold it. */
enum { HY_MACHINE_HELP = 4096 };
void hy_machine_help(char *text, size_t size);

hy_rate hy_machine_rate(hy_op_id op);

/* Seconds of a call's work w, beside its launch. The rate goes with the work as w^-1/2, which is an edge beside an area: where small calls are the slower,
 * seconds = w / a + b sqrt(w), from 0 to `much` (queries and keys in tiles: the tiles that the diagonal cuts are as many as tokens); where they are
 * the faster (what caches hold), rate = a + b / sqrt(w), and constant below `little`. More work never takes
 * less time: a small rate for which a is not above 0 counts as the least for which it is 0. */
double hy_machine_work_seconds(const hy_machine *machine, hy_rate rate, double work);

/* Seconds of an operation: the longer of its arithmetic and its memory's, and the launch. */
double hy_machine_seconds(const hy_machine *machine, hy_op_id op, double flops, double bytes);

#endif
