/* What to change first in a run, in words, with what can be gained at most: rules on what was measured. What an exchange can give is what ranks
 * waited for its transfer, and not for each other; what evenness can give is by how much the longest rank computes longer than the
 * others. Each gain assumes that all else stays; they do not add up. */
#ifndef HY_TRAIN_ADVICE_H
#define HY_TRAIN_ADVICE_H

#include "train/run/config.h"
#include "train/trace/step_account.h"

typedef enum hy_advice_kind {
    HY_ADVICE_LAYOUT,    /* the layout gives ranks unequal work */
    HY_ADVICE_UNEQUAL,   /* something else does */
    HY_ADVICE_SLOW_RANK, /* a rank takes longer for equal work */
    HY_ADVICE_BLOCKING,  /* an exchange that is waited for as soon as it is posted */
    HY_ADVICE_EXCHANGE,  /* an exchange that takes longer than what hides it */
    HY_ADVICE_MOVING,    /* time in the communication library */
    HY_ADVICE_HOST       /* something beside computing and exchanging */
} hy_advice_kind;

typedef struct hy_advice {
    hy_advice_kind kind;
    double gain;      /* seconds of a step, at most */
    const char *name; /* of the operation or exchange; else NULL */
    int64_t rank;     /* the slow one; else −1 */
    char text[512];
} hy_advice;

enum { HY_ADVICE_MAX = 24 };

/* The greatest gains first; those below a fiftieth of a step are left out. accounts[ranks] are the sums of all steps of the trace. Returns how
 * many there are; −1 without memory. Local. */
int hy_advise(const hy_run_trace *trace, const hy_match *match, const hy_config *config,
              const hy_step_account *accounts, hy_advice advice[HY_ADVICE_MAX]);

#endif
