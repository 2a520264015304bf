#ifdef HY_HAVE_UCX
#include "comm/ucx_calls.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/signals.h"

static hy_ucx_calls calls;

static bool find_call(void *library, const char *name, void *to, char *why, size_t size) {
    void *address = dlsym(library, name);
    if (address == NULL) {
        (void)snprintf(why, size, "libucp here has no %s", name);
        return false;
    }
    memcpy(to, (const void *)&address, sizeof address);
    return true;
}

/* What UCX does about faults and SIGHUP when it is loaded is the program's business, unless the user wants it to. */
static void *open_library(void) {
    sigset_t before;
    setenv("UCX_HANDLE_ERRORS", "none", 0);
    setenv("UCX_DEBUG_SIGNO", "0", 0);
    hy_signals_hold(&before);
    void *library = dlopen("libucp.so.0", RTLD_NOW | RTLD_LOCAL);
    hy_signals_release(&before);
    return library;
}

const hy_ucx_calls *hy_ucx_load(char *why, size_t size) {
    static void *library;
    if (library != NULL) {
        return &calls;
    }
    void *opened = open_library();
    if (opened == NULL) {
        (void)snprintf(why, size, "%s", dlerror());
        return NULL;
    }
#define HY_X(name)                                                                                                     \
    if (!find_call(opened, #name, &calls.name, why, size)) {                                                           \
        return NULL;                                                                                                   \
    }
    HY_UCX_CALLS(HY_X)
#undef HY_X
    library = opened;
    return &calls;
}
#endif
