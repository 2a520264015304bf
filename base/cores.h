/* Sets of processor cores, as the operating system numbers them: which cores a process may run on. Local. */
#ifndef HY_BASE_CORES_H
#define HY_BASE_CORES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HY_CORES_MAX = 8192 }; /* the most that Linux can be built for */

typedef struct hy_cores {
    uint64_t bits[HY_CORES_MAX / 64];
} hy_cores;

/* Those process `pid` may run on (0: this one). Empty if the system does not tell. */
void hy_cores_of_process(long pid, hy_cores *cores);
void hy_cores_add(hy_cores *cores, int core);
bool hy_cores_has(const hy_cores *cores, int core);
void hy_cores_unite(hy_cores *cores, const hy_cores *other);
int hy_cores_count(const hy_cores *cores);
/* "0-3,8"; a text that is too long ends in "...". */
void hy_cores_text(const hy_cores *cores, char *text, size_t size);

/* Whole cores that the time limit of this container or control group is worth, at least 1; 0 = no limit. */
int hy_cores_quota(void);

#endif
