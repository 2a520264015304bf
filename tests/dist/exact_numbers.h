/* What ranks exchange in tests: small integers in any type, so that sums are exact. */
#ifndef HY_TESTS_EXACT_NUMBERS_H
#define HY_TESTS_EXACT_NUMBERS_H

#include "comm/comm.h"

/* Element i of what rank `from` has for rank `to`. */
static inline double value(int from, int to, int64_t i) {
    return (double)((from * 31 + to * 17 + i * 7) % 1009 - 400);
}

static inline double number(hy_type type, const void *array, int64_t i) {
    return type == HY_TYPE_F32   ? (double)((const float *)array)[i]
           : type == HY_TYPE_F64 ? ((const double *)array)[i]
                                 : (double)((const int64_t *)array)[i];
}

static inline void set_number(hy_type type, void *array, int64_t i, double x) {
    if (type == HY_TYPE_F32) {
        ((float *)array)[i] = (float)x;
    } else if (type == HY_TYPE_F64) {
        ((double *)array)[i] = x;
    } else {
        ((int64_t *)array)[i] = (int64_t)x;
    }
}

#endif
