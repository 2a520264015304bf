/* Named allocations, counted. All memory of a run is reserved before its first step; tests check that the
 * counter does not move after step 2. */
#ifndef HY_BASE_MEMORY_H
#define HY_BASE_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#define HY_ALIGN 64 /* bytes; every allocation and every arena block */

/* Allocates `bytes` (0 gives a valid pointer), zero-filled, aligned to HY_ALIGN, into *out.
 * HY_ERR_MEMORY with name and size on failure. Freed by hy_free (NULL allowed). */
HY_MUST_CHECK hy_status hy_alloc(const char *name, size_t bytes, void **out);
void hy_free(void *ptr);

/* hy_alloc for `count` objects of the type *out_ptr points to: HY_TRY(HY_NEW("runs", n, &layout->runs)); */
#define HY_NEW(name, count, out_ptr) hy_alloc((name), (size_t)(count) * sizeof(**(out_ptr)), (void **)(out_ptr))

/* Room for `needed` objects where there is some for *room (0: *items is NULL): at least twice as much each time, what was there moves along.
 * *room and *items stay as they are on failure. HY_TRY(HY_GROW("runs", n + 1, &room, &runs)); */
HY_MUST_CHECK hy_status hy_grow(const char *name, int64_t needed, size_t object_bytes, int64_t *room, void **items);
#define HY_GROW(name, needed, room, items) hy_grow((name), (needed), sizeof(**(items)), (room), (void **)(items))

/* Address space instead of memory, for what is only planned: aligned to the page, no byte of it may be touched. It is watched but
 * not counted. Freed by hy_free. */
HY_MUST_CHECK hy_status hy_reserve(const char *name, size_t bytes, void **out);

/* Memory that another allocator gave (bytes > 0) or took back (< 0), a GPU's: counted and watched as hy_alloc's is. `name` is borrowed. */
void hy_alloc_elsewhere(const char *name, int64_t bytes);

/* Sees every hy_alloc, hy_alloc_elsewhere and hy_reserve (bytes > 0) and their hy_free (bytes < 0) of the thread that sets it, under the names given then; NULL: none. */
typedef struct hy_alloc_watch {
    void (*changed)(struct hy_alloc_watch *watch, const char *name, int64_t bytes);
} hy_alloc_watch;
void hy_alloc_set_watch(hy_alloc_watch *watch);

/* A forked child does not get this block, if it is large: a child that only looks at other memory then costs no copies of
 * what its parent goes on to write. */
void hy_alloc_not_in_children(void *ptr);

int64_t hy_alloc_count(void); /* allocations made so far by this process */
int64_t hy_alloc_bytes(void); /* bytes allocated now */
int64_t hy_alloc_peak(void);  /* highest value of hy_alloc_bytes so far */

/* Most bytes that this process had in memory so far, as the system counts them: pages shared with others included. */
int64_t hy_resident_peak(void);

/* Test hook: the n-th allocation from now fails (1 = the next); 0 switches off. */
void hy_alloc_fail_after(int64_t n);

#endif
