#include "base/cores.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

_Static_assert(sizeof(hy_cores) * 8 == HY_CORES_MAX, "one bit a core");

/* cpu_set_t stops at 1,024 cores; the call itself takes any number of words of the machine, laid out as here. */
void hy_cores_of_process(long pid, hy_cores *cores) {
    memset(cores, 0, sizeof *cores);
    if (sched_getaffinity((pid_t)pid, sizeof *cores, (cpu_set_t *)cores->bits) != 0) {
        memset(cores, 0, sizeof *cores);
    }
}

void hy_cores_add(hy_cores *cores, int core) {
    cores->bits[core / 64] |= UINT64_C(1) << (core % 64);
}

bool hy_cores_has(const hy_cores *cores, int core) {
    return (cores->bits[core / 64] >> (core % 64) & 1) != 0;
}

void hy_cores_unite(hy_cores *cores, const hy_cores *other) {
    for (size_t i = 0; i < HY_CORES_MAX / 64; i++) {
        cores->bits[i] |= other->bits[i];
    }
}

int hy_cores_count(const hy_cores *cores) {
    int n = 0;
    for (size_t i = 0; i < HY_CORES_MAX / 64; i++) {
        n += __builtin_popcountll(cores->bits[i]);
    }
    return n;
}

void hy_cores_text(const hy_cores *cores, char *text, size_t size) {
    size_t used = 0;
    text[0] = '\0';
    for (int first = 0, last; first < HY_CORES_MAX; first = last + 1) {
        last = first;
        if (!hy_cores_has(cores, first)) {
            continue;
        }
        while (last + 1 < HY_CORES_MAX && hy_cores_has(cores, last + 1)) {
            last++;
        }
        char range[32];
        const int n = last > first ? snprintf(range, sizeof range, "%s%d-%d", used > 0 ? "," : "", first, last)
                                   : snprintf(range, sizeof range, "%s%d", used > 0 ? "," : "", first);
        if (used + (size_t)n + sizeof "..." > size) {
            snprintf(text + used, size - used, "...");
            return;
        }
        memcpy(text + used, range, (size_t)n + 1);
        used += (size_t)n;
    }
}

/* Two numbers of a file, microseconds: time allowed and the period it is for. 0 if there is no limit. */
static int whole_cores(const char *quota_path, const char *period_path) {
    double quota = 0.0, period = 0.0;
    FILE *file = fopen(quota_path, "re");
    if (file == NULL) {
        return 0;
    }
    int found = fscanf(file, "%lf %lf", &quota, &period); /* "max 100000" gives none */
    fclose(file);
    if (period_path != NULL && found == 1 && (file = fopen(period_path, "re")) != NULL) {
        found += fscanf(file, "%lf", &period) == 1;
        fclose(file);
    }
    if (found != 2 || quota <= 0.0 || period <= 0.0) {
        return 0;
    }
    return quota < period ? 1 : quota / period > HY_CORES_MAX ? HY_CORES_MAX : (int)(quota / period);
}

int hy_cores_quota(void) {
    const int cores = whole_cores("/sys/fs/cgroup/cpu.max", NULL);
    return cores > 0 ? cores
                     : whole_cores("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us");
}
