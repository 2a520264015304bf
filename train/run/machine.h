/* Machines to simulate runs on: a network of nodes, and what a rank's device sustains.
 *
 * In words: a preset, or "KEY=VALUE,..." with what it lacks taken from the preset in front ("dgx-h100,node=4,far=25e9"), else from `flat`. */
#ifndef HY_TRAIN_MACHINE_H
#define HY_TRAIN_MACHINE_H

#include "comm/schedule_replay.h"
#include "kernels/kernels.h"

typedef struct hy_machine {
    char name[256];
    hy_network_shape network;
    double products, attention, recurrences; /* FLOP/s that such operations sustain; the others move memory */
    double memory;                           /* bytes/s */
    double launch, post;                     /* seconds of an operation; of posting a message */
    double eager;                            /* bytes */
    double calls_progress;                   /* 0, or 1: schedule_replay.h */
} hy_machine;

/* HY_ERR_USAGE, naming what there is. Local. */
HY_MUST_CHECK hy_status hy_machine_parse(const char *words, hy_machine *out);
/* One line per preset and key, for help texts. */
void hy_machine_help(char *text, size_t size);

/* What an operation's rate is. */
typedef enum hy_rate { HY_RATE_PRODUCTS, HY_RATE_ATTENTION, HY_RATE_RECURRENCES, HY_RATE_MEMORY, HY_RATES } hy_rate;
hy_rate hy_machine_rate(hy_op_id op);

/* Seconds of an operation: the longer of its arithmetic and its memory's, and the launch. */
double hy_machine_seconds(const hy_machine *machine, hy_op_id op, double flops, double bytes);

#endif
