#include "base/library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

void *hy_library_open(const char *name, char *why, size_t size) {
    void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        const char *said = dlerror();
        (void)snprintf(why, size, "%s", said != NULL ? said : name);
    }
    return library;
}

bool hy_library_find(void *library, const char *name, void *call, char *why, size_t size) {
    void *found = dlsym(library, name);
    if (found == NULL) {
        (void)snprintf(why, size, "the library has no %s", name);
        return false;
    }
    memcpy(call, (const void *)&found, sizeof found);
    return true;
}
