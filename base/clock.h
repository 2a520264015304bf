#ifndef HY_BASE_CLOCK_H
#define HY_BASE_CLOCK_H

/* Seconds on the monotonic clock. */
double hy_now(void);

/* The date and time for people and files, "2031-05-06T07:08:09Z". */
typedef struct hy_utc {
    char s[24];
} hy_utc;
hy_utc hy_utc_time(void);

#endif
