/* Timing never uses the wall clock, which may jump. */
#include "base/clock.h"

#include <time.h>

double hy_now(void) {
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
