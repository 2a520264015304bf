/* Facts about this machine, read from the operating system. All functions are local. */
#ifndef HY_LAUNCH_MACHINE_FACTS_H
#define HY_LAUNCH_MACHINE_FACTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void hy_machine_cpu_name(char *text, size_t size); /* model and architecture */
void hy_machine_host(char *text, size_t size);     /* its name */

typedef struct hy_machine_memory {
    int64_t total,
        available; /* bytes; −1 = not known. A limit of the control group counts as the total where it is lower */
    bool limited;  /* such a limit is lower */
} hy_machine_memory;
hy_machine_memory hy_machine_memory_read(void);

/* The file of that name in $PATH which this user may run. */
bool hy_machine_find_program(const char *name, char *path, size_t size);

/* "open files 1024, stack 8.00 MiB, ...". */
void hy_machine_limits(char *text, size_t size);
/* Open files that this process may have, bytes that it may lock; −1 = no limit. */
int64_t hy_machine_open_files(void);
int64_t hy_machine_locked_memory(void);
/* Bytes free in /dev/shm, where ranks on one host exchange; −1 = it is not there. */
int64_t hy_machine_shared_memory(void);
/* Whether there is an InfiniBand or RoCE device, which wants memory locked. */
bool hy_machine_has_rdma(void);

#endif
