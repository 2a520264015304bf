/* Libraries that are loaded when they are first wanted: the program starts without them. */
#ifndef HY_BASE_LIBRARY_H
#define HY_BASE_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

/* "libnccl.so.2", or a path; stays loaded. NULL, with the reason in words. */
void *hy_library_open(const char *name, char *why, size_t size);
/* *call, a pointer to a function, becomes the library's `name`. False, with the reason in words. */
bool hy_library_find(void *library, const char *name, void *call, char *why, size_t size);

#endif
