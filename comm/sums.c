#include "comm/sums.h"

#define COMBINE(T)                                                                                                     \
    static void combine_##T(T *y, const T *a, const T *b, int64_t n, hy_reduce op) {                                   \
        for (int64_t i = 0; op == HY_SUM && i < n; i++) {                                                              \
            y[i] = a[i] + b[i];                                                                                        \
        }                                                                                                              \
        for (int64_t i = 0; op == HY_MAX && i < n; i++) {                                                              \
            y[i] = a[i] > b[i] ? a[i] : b[i];                                                                          \
        }                                                                                                              \
        for (int64_t i = 0; op == HY_MIN && i < n; i++) {                                                              \
            y[i] = a[i] < b[i] ? a[i] : b[i];                                                                          \
        }                                                                                                              \
    }
COMBINE(float)
COMBINE(double)
COMBINE(int64_t)

void hy_sums_combine(void *y, const void *a, const void *b, int64_t n, hy_type type, hy_reduce op) {
    switch (type) {
    case HY_TYPE_F32:
        combine_float(y, a, b, n, op);
        break;
    case HY_TYPE_F64:
        combine_double(y, a, b, n, op);
        break;
    case HY_TYPE_I64:
        combine_int64_t(y, a, b, n, op);
        break;
    }
}
