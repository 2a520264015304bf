#include "kernels/async/memory_guard.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory.h"
#include "kernels/async/seen_order.h"

enum { BLOCKS_MAX = 256 };
typedef enum guard_kind { GUARD_UNDECIDED, GUARD_KEYS, GUARD_PAGES, GUARD_NONE } guard_kind;

/* Whole pages from `begin`; `raw` is what to free. */
typedef struct guarded_block {
    char what[48];
    unsigned char *begin;
    size_t bytes, pages_bytes;
    void *raw;
    bool kept; /* from children */
} guarded_block;

static struct {
    pthread_mutex_t mutex;
    guard_kind kind;
    int key;
    int64_t users; /* of pages */
    guarded_block blocks[BLOCKS_MAX];
    int n_blocks;
    struct sigaction before;
} guard = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static _Thread_local int entered;

/* ---- a touch by somebody else ---- */

static void say_number(char *text, uint64_t n) {
    char digits[24];
    int at = sizeof digits - 1;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    strcat(text, digits + at);
}

/* Only what a signal handler may call. Once said, the handler of before takes the fault, which comes again. */
static void touched(int number, siginfo_t *info, void *context) {
    (void)number;
    (void)context;
    const uintptr_t at = (uintptr_t)info->si_addr;
    for (int i = 0; i < guard.n_blocks; i++) {
        const guarded_block *b = &guard.blocks[i];
        if (at - (uintptr_t)b->begin < b->pages_bytes) {
            char text[512] = "hylas: the host touched device memory of '";
            strcat(text, b->what);
            strcat(text, "' at byte ");
            say_number(text, at - (uintptr_t)b->begin);
            strcat(text, " of ");
            say_number(text, b->bytes);
            strcat(text, ": only operations, exchanges, hy_device_copy, hy_device_read and hy_device_write may\n");
            (void)!write(STDERR_FILENO, text, strlen(text));
            break;
        }
    }
    (void)sigaction(SIGSEGV, &guard.before, NULL);
}

/* ---- which kind ---- */

static guard_kind wanted_kind(void) {
    const char *wanted = getenv("HYLAS_GUARD");
    if (wanted != NULL && strcmp(wanted, "none") == 0) {
        return GUARD_NONE;
    }
    return wanted != NULL && strcmp(wanted, "pages") == 0 ? GUARD_PAGES : GUARD_KEYS;
}

/* With the mutex held. */
static void decide_kind(void) {
    if (guard.kind != GUARD_UNDECIDED) {
        return;
    }
    guard.kind = wanted_kind();
    if (guard.kind == GUARD_KEYS) {
        guard.key = pkey_alloc(0, PKEY_DISABLE_ACCESS);
        guard.kind = guard.key < 0 ? GUARD_PAGES : GUARD_KEYS;
    }
    if (guard.kind != GUARD_NONE) {
        struct sigaction action = {.sa_sigaction = touched, .sa_flags = SA_SIGINFO | SA_ONSTACK};
        sigemptyset(&action.sa_mask);
        (void)sigaction(SIGSEGV, &action, &guard.before);
    }
}

const char *hy_guard_kind(void) {
    pthread_mutex_lock(&guard.mutex);
    decide_kind();
    const guard_kind kind = guard.kind;
    pthread_mutex_unlock(&guard.mutex);
    return kind == GUARD_KEYS ? "keys" : kind == GUARD_PAGES ? "pages" : "none";
}

/* ---- blocks ---- */

static void protect(const guarded_block *b) {
    if (guard.kind == GUARD_KEYS) {
        (void)pkey_mprotect(b->begin, b->pages_bytes, PROT_READ | PROT_WRITE, guard.key);
    } else if (guard.kind == GUARD_PAGES) {
        (void)mprotect(b->begin, b->pages_bytes, guard.users > 0 ? PROT_READ | PROT_WRITE : PROT_NONE);
    }
}

static void unprotect(const guarded_block *b) {
    if (guard.kind == GUARD_KEYS) {
        (void)pkey_mprotect(b->begin, b->pages_bytes, PROT_READ | PROT_WRITE, 0);
    } else if (guard.kind == GUARD_PAGES) {
        (void)mprotect(b->begin, b->pages_bytes, PROT_READ | PROT_WRITE);
    }
}

hy_status hy_guard_alloc(const char *what, size_t bytes, void **out) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    void *raw = NULL;
    if (bytes > SIZE_MAX - 2 * page) {
        return hy_fail(HY_ERR_MEMORY, "cannot allocate %s: %zu bytes", what, bytes);
    }
    const size_t pages_bytes = (bytes + page) / page * page; /* at least one */
    HY_TRY(hy_alloc(what, pages_bytes + page, &raw));
    guarded_block block = {.bytes = bytes, .pages_bytes = pages_bytes, .raw = raw};
    block.begin = (unsigned char *)(((uintptr_t)raw + page - 1) / page * page);
    snprintf(block.what, sizeof block.what, "%s", what);
    pthread_mutex_lock(&guard.mutex);
    decide_kind();
    const bool room = guard.n_blocks < BLOCKS_MAX;
    if (room) {
        guard.blocks[guard.n_blocks++] = block;
        protect(&block);
    }
    pthread_mutex_unlock(&guard.mutex);
    if (!room) {
        hy_free(raw);
        return hy_fail(HY_ERR_MEMORY, "%s: more than %d blocks of device memory", what, BLOCKS_MAX);
    }
    *out = block.begin;
    return HY_OK;
}

/* With the mutex held; −1: none. */
static int find_block(const void *memory) {
    int i = guard.n_blocks - 1;
    while (i >= 0 && guard.blocks[i].begin != memory) {
        i--;
    }
    return i;
}

void hy_guard_free(void *memory) {
    if (memory == NULL) {
        return;
    }
    pthread_mutex_lock(&guard.mutex);
    const int i = find_block(memory);
    void *raw = NULL;
    if (i >= 0) {
        raw = guard.blocks[i].raw;
        unprotect(&guard.blocks[i]);
        if (guard.blocks[i].kept) {
            (void)madvise(guard.blocks[i].begin, guard.blocks[i].pages_bytes, MADV_DOFORK);
        }
        guard.blocks[i] = guard.blocks[--guard.n_blocks];
    }
    pthread_mutex_unlock(&guard.mutex);
    hy_free(raw);
}

void hy_guard_not_in_children(void *memory) {
    pthread_mutex_lock(&guard.mutex);
    const int i = find_block(memory);
    if (i >= 0) {
        hy_alloc_not_in_children(guard.blocks[i].raw);
    }
    pthread_mutex_unlock(&guard.mutex);
}

void hy_guard_keep_from_children(void *memory) {
    pthread_mutex_lock(&guard.mutex);
    const int i = find_block(memory);
    if (i >= 0) {
        guarded_block *b = &guard.blocks[i];
        b->kept = madvise(b->begin, b->pages_bytes, MADV_DONTFORK) == 0;
    }
    pthread_mutex_unlock(&guard.mutex);
}

/* ---- rights ---- */

/* One more user of the pages, or one less. */
static void use_pages(int more) {
    hide_order();
    pthread_mutex_lock(&guard.mutex);
    const int64_t before = guard.users;
    guard.users += more;
    if (guard.kind == GUARD_PAGES && (before == 0 || guard.users == 0)) {
        for (int i = 0; i < guard.n_blocks; i++) {
            protect(&guard.blocks[i]);
        }
    }
    pthread_mutex_unlock(&guard.mutex);
    show_order();
}

void hy_guard_enter(void) {
    if (entered++ > 0) {
        return;
    }
    if (guard.kind == GUARD_KEYS) {
        (void)pkey_set(guard.key, 0);
    } else {
        use_pages(1);
    }
}

void hy_guard_leave(void) {
    if (--entered > 0) {
        return;
    }
    if (guard.kind == GUARD_KEYS) {
        (void)pkey_set(guard.key, PKEY_DISABLE_ACCESS);
    } else {
        use_pages(-1);
    }
}

void hy_guard_lend(void) {
    if (guard.kind == GUARD_PAGES) {
        use_pages(1);
    }
}

void hy_guard_take_back(void) {
    if (guard.kind == GUARD_PAGES) {
        use_pages(-1);
    }
}

void hy_guard_open_for_good(void) {
    if (guard.kind == GUARD_KEYS) {
        (void)pkey_set(guard.key, 0);
    } else if (guard.kind == GUARD_PAGES) { /* no lock: the thread that holds it may be the one interrupted */
        for (int i = 0; i < guard.n_blocks; i++) {
            (void)mprotect(guard.blocks[i].begin, guard.blocks[i].pages_bytes, PROT_READ | PROT_WRITE);
        }
    }
}
