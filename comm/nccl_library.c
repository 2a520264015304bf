#include "comm/nccl_library.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/library.h"

#if NCCL_VERSION_CODE < NCCL_VERSION(2, 14, 0)
#error "nccl.h is older than 2.14: configure with -DHY_NCCL=OFF"
#endif

enum { OLDEST = NCCL_VERSION(2, 14, 0) };

static hy_nccl_library library;

static bool find_calls(void *handle, char *why, size_t size) {
    bool found = true;
#define X(call) found = found && hy_library_find(handle, #call, &library.call, why, size);
    HY_NCCL_CALLS(X)
#undef X
    return found;
}

/* Of a library that is older, or built without them, they stay NULL. */
static void find_newer_calls(void *handle) {
    char unused[64];
#define X(call, version_needed)                                                                                        \
    if (library.version < (version_needed) || !hy_library_find(handle, #call, &library.call, unused, sizeof unused)) { \
        library.call = NULL;                                                                                           \
    }
    HY_NCCL_REGISTER_CALLS(X)
    HY_NCCL_WINDOW_CALLS(X)
#undef X
    (void)handle; /* a header that has none of them */
    (void)unused;
}

static const char *named(void) {
    const char *name = getenv("HYLAS_NCCL");
    return name != NULL && name[0] != '\0' ? name : NULL;
}

bool hy_nccl_library_is_named(void) {
    return named() != NULL;
}

static bool open_library(char *why, size_t size) {
    const char *name = named() != NULL ? named() : "libnccl.so.2";
    char unused[64];
    const int *standin;
    void *handle = hy_library_open(name, why, size);
    if (handle == NULL || !find_calls(handle, why, size)) {
        return false;
    }
    if (library.ncclGetVersion(&library.version) != ncclSuccess || library.version < OLDEST) {
        snprintf(why, size, "%s is version %d: at least 2.14 is needed", name, library.version);
        return false;
    }
    find_newer_calls(handle);
    library.hosts_memory = hy_library_find(handle, "hylas_standin", &standin, unused, sizeof unused);
    return true;
}

const hy_nccl_library *hy_nccl_library_open(char *why, size_t size) {
    static bool tried, there;
    static char reason[256];
    if (!tried) {
        tried = true;
        there = open_library(reason, sizeof reason);
    }
    snprintf(why, size, "%s", reason);
    return there ? &library : NULL;
}
