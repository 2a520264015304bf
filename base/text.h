/* Text for people: numbers with units, and "did you mean". Values are returned in a small struct, to be used in place:
 * printf("%s\n", hy_text_bytes(n).s); */
#ifndef HY_BASE_TEXT_H
#define HY_BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>

typedef struct hy_text {
    char s[48];
} hy_text;

hy_text hy_text_bytes(double bytes);                       /* "512 B", "1.50 GiB" (powers of 1024) */
hy_text hy_text_count(double count);                       /* "950", "1.20 M" (powers of 1000) */
hy_text hy_text_duration(double seconds);                  /* "12.0 us", "3.20 s", "3m12s", "2h05m", "1d03h" */
hy_text hy_text_rate(double per_second, const char *unit); /* "1.20 M tokens/s" */
hy_text hy_text_byte_rate(double bytes_per_second);        /* "1.50 GiB/s" */
/* The shortest decimal that reads back as the same double; "inf", "-inf", "nan". */
hy_text hy_text_double(double value);

/* Insertions, deletions, substitutions and swaps of neighbours that turn a into b (optimal string alignment).
 * Only the first 127 bytes of each count. */
int64_t hy_text_distance(const char *a, const char *b);

/* How far `word` is from `name`, for ranking: the distance, or 1 where one is the initials of the other
 * ("lr", "learning_rate"), or 0 where equal. */
int64_t hy_text_dissimilarity(const char *word, const char *name);

/* Index of the name nearest to `word`, the first of equals; -1 if count is 0. */
int64_t hy_text_nearest(const char *word, const char *const *names, int64_t count);

#endif
