#include "kernels/cuda/cudnn_library.h"

#include <stdio.h>

#include "base/library.h"

enum { OLDEST = 91000 };

bool hy_cudnn_library_open(const char *name, hy_cudnn_library *out, char *why, size_t size) {
    void *library = hy_library_open(name, why, size);
    if (library == NULL) {
        return false;
    }
#define X(call)                                                                                                        \
    if (!hy_library_find(library, #call, &out->call, why, size)) {                                                     \
        return false;                                                                                                  \
    }
    HY_CUDNN_CALLS(X)
#undef X
    if (out->cudnnGetVersion() < OLDEST) {
        snprintf(why, size, "%s is version %zu: at least %d is needed", name, out->cudnnGetVersion(), (int)OLDEST);
        return false;
    }
    return true;
}

bool hy_cudnn_said(const hy_cudnn_library *lib, cudnnStatus_t status, const char *what, char *why, size_t size) {
    char more[200] = "";
    if (status == CUDNN_STATUS_SUCCESS) {
        return true;
    }
    lib->cudnnGetLastErrorString(more, sizeof more);
    snprintf(why, size, "%s: %s: %s", what, lib->cudnnGetErrorString(status), more);
    return false;
}
