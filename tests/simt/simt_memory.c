/* Shared memory of the block that runs: a part of one region between guard pages, touching one of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/simt/simt_internal.h"

enum { GUARD = 1 << 20, REGION = 256 << 10, BEYOND = 256, SENTINEL = 0xA5 };

static unsigned char *region; /* [REGION], GUARD bytes that may not be touched on either side */

static unsigned char *region_of_process(void) {
    if (region == NULL) {
        unsigned char *memory =
            mmap(NULL, REGION + 2 * GUARD, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED || mprotect(memory + GUARD, REGION, PROT_READ | PROT_WRITE) != 0) {
            perror("simt: shared memory");
            abort();
        }
        region = memory + GUARD;
    }
    return region;
}

bool hy_simt_shared_guards(const void *address) {
    return region != NULL && (uintptr_t)address - (uintptr_t)(region - GUARD) < REGION + 2 * GUARD;
}

/* What lies beside the block's memory inside the region: some bytes are checked. */
static void beyond(unsigned char **low, size_t *n_low, unsigned char **high, size_t *n_high) {
    unsigned char *end = hy_simt_now.shared + hy_simt_now.shared_bytes;
    const size_t before = (size_t)(hy_simt_now.shared - region), behind = (size_t)(region + REGION - end);
    *n_low = before < BEYOND ? before : BEYOND;
    *low = hy_simt_now.shared - *n_low;
    *n_high = behind < BEYOND ? behind : BEYOND;
    *high = end;
}

void hy_simt_shared_begin(size_t bytes, int side) {
    unsigned char *low, *high;
    size_t n_low, n_high;
    hy_simt_now.shared = region_of_process() + (side == 0 ? REGION - (bytes + 15) / 16 * 16 : 0);
    hy_simt_now.shared_bytes = bytes;
    if (bytes == 0) {
        return;
    }
    memset(hy_simt_now.shared, 0xFF, bytes);
    beyond(&low, &n_low, &high, &n_high);
    memset(low, SENTINEL, n_low);
    memset(high, SENTINEL, n_high);
}

static void check_untouched(const unsigned char *from, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (from[i] != SENTINEL) {
            hy_simt_now.thread = -1;
            hy_simt_fail("wrote outside of its shared memory: at byte %td of %zu", from + i - hy_simt_now.shared,
                         hy_simt_now.shared_bytes);
        }
    }
}

void hy_simt_shared_end(void) {
    unsigned char *low, *high;
    size_t n_low, n_high;
    if (hy_simt_now.shared_bytes == 0) {
        return;
    }
    beyond(&low, &n_low, &high, &n_high);
    check_untouched(low, n_low);
    check_untouched(high, n_high);
}

void hy_simt_check_aligned(const char *what, const void *at, size_t align) {
    if ((uintptr_t)at % align != 0) {
        hy_simt_fail("%s at %p, which is not aligned to %zu bytes", what, at, align);
    }
}

void hy_simt_check_shared(const char *what, const void *at, size_t bytes, size_t align) {
    const uintptr_t offset = (uintptr_t)at - (uintptr_t)hy_simt_now.shared;
    if (offset > hy_simt_now.shared_bytes || bytes > hy_simt_now.shared_bytes - offset) {
        hy_simt_fail("%s of %zu bytes outside of its shared memory: at byte %td of %zu", what, bytes, (ptrdiff_t)offset,
                     hy_simt_now.shared_bytes);
    }
    hy_simt_check_aligned(what, at, align);
}

void *hy_simt_workspace(size_t bytes, size_t keep) {
    static unsigned char *memory;
    if (bytes > HY_SIMT_WORKSPACE) {
        hy_simt_fail("needs a workspace of %zu bytes: %d are possible", bytes, HY_SIMT_WORKSPACE);
    }
    if (memory == NULL) {
        memory = aligned_alloc(64, HY_SIMT_WORKSPACE);
    }
    if (memory == NULL) {
        hy_simt_fail("has no memory for its workspace");
    }
    memset(memory + keep, 0xFF, bytes - keep);
    return memory;
}
