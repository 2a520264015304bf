/* Sums, largest and smallest of what ranks have, on the host. */
#ifndef HY_COMM_SUMS_H
#define HY_COMM_SUMS_H

#include "comm/comm.h"

/* y [n] = a op b, in this order. y may be a or b. */
void hy_sums_combine(void *y, const void *a, const void *b, int64_t n, hy_type type, hy_reduce op);

#endif
