/* Where a step's time went on each rank, in seconds. compute + waiting + moving + host is the step but for what no span covers.
 * What a rank waits is told apart by who is late: until the last of an exchange's ranks has posted it, it waits for that rank; from
 * then on for the transfer. (As Böhme et al., "Identifying the root causes of wait states", 2010.) */
#ifndef HY_TRAIN_STEP_ACCOUNT_H
#define HY_TRAIN_STEP_ACCOUNT_H

#include "train/trace/exchange_match.h"

typedef struct hy_step_account {
    double step;
    double compute, waiting, moving, host;
    double uncovered; /* of the step */
    double in_flight; /* with an exchange under way: the union of their intervals */
    double hidden;    /* of that behind computing */
    double late;      /* of waiting: for ranks that had not posted yet */
    double blamed;    /* what others waited for this one to post */
} hy_step_account;

/* Adds rank 0's i-th step to accounts[ranks]. */
void hy_step_account_add(const hy_run_trace *trace, const hy_match *match, int64_t step, hy_step_account *accounts);
/* Of a WAIT span: seconds until the last rank had posted, and which; 0 and −1 if it was this one. */
double hy_wait_late(const hy_run_trace *trace, const hy_match *match, int64_t rank, int64_t wait, int64_t *late_rank);

#endif
