/* Timing never uses the wall clock, which may jump; it is for telling when. */
#include "base/clock.h"

#include <time.h>

static double seconds_of(clockid_t clock) {
    struct timespec now = {0};
    (void)clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

double hy_now(void) {
    return seconds_of(CLOCK_MONOTONIC);
}

double hy_now_coarse(void) {
#ifdef CLOCK_MONOTONIC_COARSE
    return seconds_of(CLOCK_MONOTONIC_COARSE);
#else
    return seconds_of(CLOCK_MONOTONIC);
#endif
}

hy_utc hy_utc_time(void) {
    hy_utc text = {""};
    struct tm utc = {0};
    const time_t now = time(NULL);
    (void)gmtime_r(&now, &utc);
    (void)strftime(text.s, sizeof text.s, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return text;
}
