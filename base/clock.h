#ifndef HY_BASE_CLOCK_H
#define HY_BASE_CLOCK_H

/* Seconds on the monotonic clock. */
double hy_now(void);

#endif
