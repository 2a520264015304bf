/* Memory that only those may touch who say so: the memory of asynchronous devices on the host, where a stray pointer would work
 * by luck. Access is a right of a thread where the processor has protection keys (x86: PKU), and else of the whole process: then pages
 * are opened while anybody has the right. A touch without it ends the process with a message that names the block.
 *
 * HYLAS_GUARD=keys|pages|none in the environment; by default keys, or pages where there are none. */
#ifndef HY_KERNELS_MEMORY_GUARD_H
#define HY_KERNELS_MEMORY_GUARD_H

#include <stddef.h>

#include "base/status.h"

/* Counted, zeroed, aligned to HY_ALIGN (base/memory.h). `what` is copied. */
HY_MUST_CHECK hy_status hy_guard_alloc(const char *what, size_t bytes, void **out);
void hy_guard_free(void *memory); /* NULL allowed */
/* hy_alloc_not_in_children for guarded memory. */
void hy_guard_not_in_children(void *memory);

/* A forked child does not have this memory at all: it dies of touching it. */
void hy_guard_keep_from_children(void *memory);

/* This thread may touch guarded memory, and threads that it starts meanwhile. Nests. */
void hy_guard_enter(void);
void hy_guard_leave(void);
/* Somebody who is no thread of this process may (a peer through the kernel, an adapter): nothing to do with keys. */
void hy_guard_lend(void);
void hy_guard_take_back(void);
/* A forked child, or a signal handler, which starts without the rights of the thread it interrupts: it may touch all from here on. */
void hy_guard_open_for_good(void);

/* "keys", "pages", "none". */
const char *hy_guard_kind(void);

#endif
