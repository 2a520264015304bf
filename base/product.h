/* Products of sizes that come from outside (a configuration, a published model, a file): no product overflows, because none above
 * HY_PRODUCT_MAX is formed. What is too large, or negative, is −1, and stays −1 in what it is multiplied with. */
#ifndef HY_BASE_PRODUCT_H
#define HY_BASE_PRODUCT_H

#include <stdint.h>

/* Elements: 2^48 of 8 bytes are 2 PiB, and bytes of twice as many can still be counted thousands of times over. */
#define HY_PRODUCT_MAX ((int64_t)1 << 48)

static inline int64_t hy_product(int64_t a, int64_t b) {
    if (a < 0 || b < 0 || (b > 0 && a > HY_PRODUCT_MAX / b)) {
        return -1;
    }
    return a * b;
}

#endif
