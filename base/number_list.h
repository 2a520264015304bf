/* "0-3,8": numbers in ascending order as text, runs of three or more as a range; "..." at the end if the room did not do. */
#ifndef HY_BASE_NUMBER_LIST_H
#define HY_BASE_NUMBER_LIST_H

#include <stdbool.h>
#include <stddef.h>

/* Those of 0 to n−1 that `has`. Returns how many. */
int hy_number_list(int n, bool (*has)(const void *context, int i), const void *context, char *text, size_t size);

#endif
