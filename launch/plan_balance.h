/* How evenly each layout would share out a stage's micro-steps among the ranks of a sequence (train/run/layout_balance.h), for `hylas plan`. */
#ifndef HY_LAUNCH_PLAN_BALANCE_H
#define HY_LAUNCH_PLAN_BALANCE_H

#include "base/json.h"
#include "train/run/config.h"

/* Of a stage, on more than one rank of a sequence; else nothing. documents: micro-steps of the first store as it lies, some of all its length,
 * instead of one document in every sequence. HY_ERR_DATA if there is no such store. Local. */
HY_MUST_CHECK hy_status hy_plan_balance_print(const hy_config *config, int stage, int ranks, bool documents);
/* The same as an array `balance`, with every rank's work. */
HY_MUST_CHECK hy_status hy_plan_balance_json(hy_json *json, const hy_config *config, int stage, int ranks,
                                             bool documents);

#endif
