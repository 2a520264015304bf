#include "comm/nccl_library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#if NCCL_VERSION_CODE < NCCL_VERSION(2, 14, 0)
#error "nccl.h is older than 2.14: configure with -DHY_NCCL=OFF"
#endif

enum { OLDEST = NCCL_VERSION(2, 14, 0) };

static hy_nccl_library library;

static bool find_calls(void *handle, char *why, size_t size) {
#define X(call)                                                                                                        \
    library.call = (__typeof__(library.call))dlsym(handle, #call);                                                     \
    if (library.call == NULL) {                                                                                        \
        snprintf(why, size, "libnccl has no %s", #call);                                                               \
        return false;                                                                                                  \
    }
    HY_NCCL_CALLS(X)
#undef X
    return true;
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
    void *handle = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        const char *said = dlerror();
        snprintf(why, size, "%s", said != NULL ? said : name);
        return false;
    }
    if (!find_calls(handle, why, size)) {
        return false;
    }
    if (library.ncclGetVersion(&library.version) != ncclSuccess || library.version < OLDEST) {
        snprintf(why, size, "%s is version %d: at least 2.14 is needed", name, library.version);
        return false;
    }
    library.hosts_memory = dlsym(handle, "hylas_standin") != NULL;
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
