/* Where a rank is, as it tells others, and what follows when those of all ranks are laid side by side. No exchange, no clock: what comes in
 * decides what comes out. */
#ifndef HY_COMM_WHEREABOUTS_H
#define HY_COMM_WHEREABOUTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum hy_answer {
    HY_ANSWERED,
    HY_SILENT, /* nothing came in time: it is stopped, or out of reach */
    HY_GONE    /* nobody is there */
} hy_answer;

typedef struct hy_whereabouts {
    int32_t answer; /* hy_answer */
    int32_t kind;   /* of the exchange it waits in, or waited in last; HY_X_KINDS: a barrier */
    int32_t waits;
    int32_t overdue; /* it waits for longer than the limit, or for nearly as long */
    int64_t number, step;
    int32_t peer; /* of a message, the world's rank at its other end; else −1 */
    int32_t pad;
    double seconds; /* since it began to wait, or to compute */
    double waited;  /* in all, this wait included */
    char name[48];  /* "": it never waited */
    char phase[24]; /* "": not told */
} hy_whereabouts;

enum { HY_EXCHANGE_TEXT = 128 };
/* "all-reduce "step counts" 17", "receive "states" 3 from rank 1": what an exchange is called. */
void hy_whereabouts_exchange(const hy_whereabouts *at, char *text, size_t size);

/* Which ranks did not arrive in the exchange that rank `mine` waits in, and what each does instead, as a sentence; hosts[r] is the name of
 * rank r's host. Blamed are, in this order: ranks that do not answer or are gone; ranks that compute; ranks in another exchange than most.
 * Returns how many; 0: all wait. Then the sentence tells of messages who waits for whom, from `mine` on, and else that what carries the exchange does
 * not deliver. */
int hy_whereabouts_judge(const hy_whereabouts *all, const char *const *hosts, int size, int mine, char *text, size_t n);

/* The rank that the others waited for between two looks, `seconds` apart, and the share of that time for which they did: the median of what
 * each waited longer than it. −1 if fewer than two ranks answered both times. */
int hy_whereabouts_slowest(const hy_whereabouts *before, const hy_whereabouts *after, int size, double seconds,
                           double *share);

#endif
