/* Timing never uses the wall clock, which may jump; it is for telling when. */
#include "base/clock.h"

#include <time.h>

double hy_now(void) {
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

hy_utc hy_utc_time(void) {
    hy_utc text = {""};
    struct tm utc = {0};
    const time_t now = time(NULL);
    (void)gmtime_r(&now, &utc);
    (void)strftime(text.s, sizeof text.s, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return text;
}
