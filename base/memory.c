/* Each block is preceded by a header that remembers what to free and what to subtract from the counter:
 *
 *     raw ... padding | header (HY_ALIGN bytes) | block (aligned to HY_ALIGN)
 *
 * Memory comes from calloc, not memset, so that large arenas get their pages when first touched, by the thread
 * that will use them. */
#include "base/memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

typedef struct block_header {
    void *raw;
    size_t bytes, mapped; /* mapped: bytes to unmap; 0: raw is malloc's */
    const char *name;     /* borrowed: names are string constants */
} block_header;

_Static_assert(sizeof(block_header) <= HY_ALIGN, "the header fits in one alignment unit");

enum { OVERHEAD = 2 * HY_ALIGN };

static _Atomic int64_t made;
static _Atomic int64_t current;
static _Atomic int64_t peak;
static _Atomic int64_t fail_countdown;
static _Thread_local hy_alloc_watch *watch;

void hy_alloc_set_watch(hy_alloc_watch *wanted) {
    watch = wanted;
}

static void tell_watch(const char *name, int64_t bytes) {
    if (watch != NULL) {
        watch->changed(watch, name, bytes);
    }
}

static int hook_says_fail(void) {
    return atomic_load(&fail_countdown) > 0 && atomic_fetch_sub(&fail_countdown, 1) == 1;
}

static void count_allocation(size_t bytes) {
    atomic_fetch_add(&made, 1);
    const int64_t now = atomic_fetch_add(&current, (int64_t)bytes) + (int64_t)bytes;
    int64_t seen = atomic_load(&peak);
    while (now > seen && !atomic_compare_exchange_weak(&peak, &seen, now)) {
    }
}

hy_status hy_alloc(const char *name, size_t bytes, void **out) {
    void *raw = NULL;
    if (bytes <= (size_t)PTRDIFF_MAX - OVERHEAD && !hook_says_fail()) {
        raw = calloc(1, bytes + OVERHEAD);
    }
    if (raw == NULL) {
        return hy_fail(HY_ERR_MEMORY, "cannot allocate %s: %zu bytes (%lld bytes are allocated now)", name, bytes,
                       (long long)hy_alloc_bytes());
    }
    const uintptr_t first = (uintptr_t)raw + HY_ALIGN;
    const size_t padding = (HY_ALIGN - first % HY_ALIGN) % HY_ALIGN;
    unsigned char *block = (unsigned char *)raw + HY_ALIGN + padding;
    const block_header header = {.raw = raw, .bytes = bytes, .name = name};
    memcpy(block - HY_ALIGN, &header, sizeof(header));
    count_allocation(bytes);
    tell_watch(name, (int64_t)bytes);
    /* *out is declared as a pointer to something else than void (HY_NEW): set by copy, as aliasing rules want. */
    memcpy((void *)out, &block, sizeof(block));
    return HY_OK;
}

void hy_free(void *ptr) {
    if (ptr == NULL) {
        return;
    }
    block_header header;
    memcpy(&header, (unsigned char *)ptr - HY_ALIGN, sizeof(header));
    tell_watch(header.name, -(int64_t)header.bytes);
    if (header.mapped > 0) {
        (void)munmap(header.raw, header.mapped);
        return;
    }
    atomic_fetch_sub(&current, (int64_t)header.bytes);
    free(header.raw);
}

hy_status hy_grow(const char *name, int64_t needed, size_t object_bytes, int64_t *room, void **items) {
    if (needed <= *room) {
        return HY_OK;
    }
    const int64_t doubled = 2 * *room + 64, larger_room = doubled < needed ? needed : doubled;
    void *larger = NULL;
    HY_TRY(hy_alloc(name, (size_t)larger_room * object_bytes, &larger));
    if (*room > 0) {
        memcpy(larger, *items, (size_t)*room * object_bytes);
    }
    hy_free(*items);
    *items = larger;
    *room = larger_room;
    return HY_OK;
}

void hy_alloc_elsewhere(const char *name, int64_t bytes) {
    if (bytes > 0) {
        count_allocation((size_t)bytes);
    } else {
        atomic_fetch_add(&current, bytes);
    }
    tell_watch(name, bytes);
}

/* One page for the header, which alone can be touched. */
hy_status hy_reserve(const char *name, size_t bytes, void **out) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), mapped = bytes + page;
    void *raw = bytes > (size_t)PTRDIFF_MAX - page
                    ? MAP_FAILED
                    : mmap(NULL, mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (raw == MAP_FAILED || mprotect(raw, page, PROT_READ | PROT_WRITE) != 0) {
        return hy_fail(HY_ERR_MEMORY, "cannot reserve %zu bytes of addresses for %s", bytes, name);
    }
    unsigned char *block = (unsigned char *)raw + page;
    const block_header header = {.raw = raw, .bytes = bytes, .mapped = mapped, .name = name};
    memcpy(block - HY_ALIGN, &header, sizeof(header));
    tell_watch(name, (int64_t)bytes);
    memcpy((void *)out, &block, sizeof(block));
    return HY_OK;
}

/* Only blocks that malloc maps one by one: what is unmapped when freed cannot trouble a later block. */
void hy_alloc_not_in_children(void *ptr) {
    enum { MAPPED_ALONE = 64 << 20 }; /* above glibc's largest threshold, 32 MiB */
    block_header header;
    memcpy(&header, (unsigned char *)ptr - HY_ALIGN, sizeof(header));
    if (header.bytes < MAPPED_ALONE) {
        return;
    }
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), at = (uintptr_t)ptr;
    const uintptr_t begin = (at + page - 1) / page * page, end = (at + header.bytes) / page * page;
    (void)madvise((void *)begin, end - begin, MADV_DONTFORK); /* refused: a child sees it, at the cost of memory */
}

int64_t hy_alloc_count(void) {
    return atomic_load(&made);
}

int64_t hy_alloc_bytes(void) {
    return atomic_load(&current);
}

int64_t hy_alloc_peak(void) {
    return atomic_load(&peak);
}

int64_t hy_resident_peak(void) {
    struct rusage usage = {.ru_maxrss = 0};
    (void)getrusage(RUSAGE_SELF, &usage);
    return 1024 * (int64_t)usage.ru_maxrss;
}

void hy_alloc_fail_after(int64_t n) {
    atomic_store(&fail_countdown, n);
}
