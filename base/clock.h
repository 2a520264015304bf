#ifndef HY_BASE_CLOCK_H
#define HY_BASE_CLOCK_H

/* Seconds on the monotonic clock. */
double hy_now(void);
/* The same as of the kernel's last tick, up to some milliseconds ago, in an eighth of the time: differences are right in the mean. */
double hy_now_coarse(void);

/* The date and time for people and files, "2031-05-06T07:08:09Z". */
typedef struct hy_utc {
    char s[24];
} hy_utc;
hy_utc hy_utc_time(void);

#endif
