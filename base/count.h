/* Counts as people write them, with one meaning wherever a whole number is read (YAML, --set, options):
 *
 *     32768   32_768   32Ki   1e6   1.5M   k, M, G, T = 10^3, 10^6, 10^9, 10^12;   Ki, Mi, Gi, Ti = 2^10, 2^20, 2^30, 2^40
 *
 * Digits with an optional sign, '_' between digits, decimals; then an exponent of ten without a sign or one unit. What is no
 * whole number (1.5, 1.3Ki) and what int64_t cannot hold is refused. */
#ifndef HY_BASE_COUNT_H
#define HY_BASE_COUNT_H

#include <stdbool.h>
#include <stdint.h>

/* For help and messages. */
#define HY_COUNT_UNITS "k, M, G, T are powers of 1000, Ki, Mi, Gi, Ti of 1024"

/* false, and *out untouched, where `text` is no such count. */
bool hy_count_parse(const char *text, int64_t *out);
/* "8,16,32Ki": 1 to `limit` of them; false where it is anything else, *n then undefined. */
bool hy_count_list_parse(const char *text, int64_t *out, int limit, int *n);

#endif
