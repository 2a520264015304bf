/* What was simulated of layouts and exchanges (train/run/method_choice.h), for `hylas plan`. */
#ifndef HY_LAUNCH_PLAN_METHODS_H
#define HY_LAUNCH_PLAN_METHODS_H

#include "train/run/method_choice.h"

/* What each method would take in a layer of each mixer, and all of it; `machine` in words. Local. */
HY_MUST_CHECK hy_status hy_plan_methods_print(const hy_method_choice *choice, const hy_config *config, int ranks,
                                              const char *machine);

#endif
