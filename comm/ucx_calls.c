#ifdef HY_HAVE_UCX
#include "comm/ucx_calls.h"

#include <stdlib.h>

#include "base/library.h"
#include "base/signals.h"

static hy_ucx_calls calls;

/* What UCX does about faults and SIGHUP when it is loaded is the program's business, unless the user wants it to. */
static void *open_library(char *why, size_t size) {
    sigset_t before;
    setenv("UCX_HANDLE_ERRORS", "none", 0);
    setenv("UCX_DEBUG_SIGNO", "0", 0);
    hy_signals_hold(&before);
    void *library = hy_library_open("libucp.so.0", why, size);
    hy_signals_release(&before);
    return library;
}

const hy_ucx_calls *hy_ucx_load(char *why, size_t size) {
    static void *library;
    if (library != NULL) {
        return &calls;
    }
    void *opened = open_library(why, size);
    if (opened == NULL) {
        return NULL;
    }
#define HY_X(name)                                                                                                     \
    if (!hy_library_find(opened, #name, &calls.name, why, size)) {                                                     \
        return NULL;                                                                                                   \
    }
    HY_UCX_CALLS(HY_X)
#undef HY_X
    library = opened;
    return &calls;
}
#endif
