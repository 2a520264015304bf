/* Fuzz targets. Each fuzz_NAME.c has one entry that takes any bytes and ends the process (abort, a sanitizer's report) if the code
 * under test does what it must not. It is linked twice: with libFuzzer (clang, -DHY_FUZZ=ON, launch/fuzz.sh), which finds inputs by what
 * they reach, and with replay.c (any compiler, every build), which runs the given files and then a fixed number of mutants of them. */
#ifndef HY_TESTS_FUZZ_H
#define HY_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/status.h"

enum { FUZZ_INPUT_MAX = 1 << 16 }; /* bytes */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Up to four edits of the `size` bytes in `data`, which has room for `room`; the same for the same seed. Returns the new size. */
size_t fuzz_mutate(uint8_t *data, size_t size, size_t room, uint64_t seed);

/* A folder for this process's files, in memory where there is such a file system; removed at exit. Logging is off from then on. */
const char *fuzz_folder(void);
/* Writes folder/name; FUZZ_NEEDs that it works. */
void fuzz_write(const char *name, const void *data, size_t size);

/* What must hold whatever the input. */
#define FUZZ_NEED(condition)                                                                                           \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                            \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* An input is good, or refused with the code of its kind: nothing else. HY_ERR_MEMORY in particular: sizes are bounded before anything
 * is allocated. */
#define FUZZ_REFUSED(status, kind)                                                                                     \
    do {                                                                                                               \
        const hy_status fuzz_status_ = (status);                                                                       \
        FUZZ_NEED(fuzz_status_ == HY_OK || fuzz_status_ == HY_ERR_USAGE || fuzz_status_ == (kind));                    \
    } while (0)

#endif
