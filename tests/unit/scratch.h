/* A fresh folder for the files of a test program. */
#ifndef HY_TESTS_SCRATCH_H
#define HY_TESTS_SCRATCH_H

#include <stdio.h>
#include <stdlib.h>

static char scratch_dir[] = "/tmp/hylas_test_XXXXXX";

static int scratch_create(void **unused) {
    (void)unused;
    return mkdtemp(scratch_dir) == NULL;
}

/* A path in the folder; the text is overwritten by the fourth call after it. */
static const char *scratch_path(const char *name) {
    static char paths[4][512];
    static int turn;
    turn = (turn + 1) % 4;
    (void)snprintf(paths[turn], sizeof(paths[turn]), "%s/%s", scratch_dir, name);
    return paths[turn];
}

#endif
