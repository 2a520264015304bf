/* A CSV file that rows are added to as they are made, and found in by what they begin with, so that they are not made again. */
#ifndef HY_LAUNCH_SCALE_ROW_FILE_H
#define HY_LAUNCH_SCALE_ROW_FILE_H

#include <stdbool.h>

#include "base/status.h"

typedef struct hy_row_file {
    const char *path; /* NULL: no file; nothing is found and nothing written */
    char *known;      /* what it held when it was opened */
    bool torn;        /* its last row has no end: a study was stopped while it wrote */
} hy_row_file;

/* Makes the file with `head`, its first line, or reads it. HY_ERR_USAGE where it has another head. Local. */
HY_MUST_CHECK hy_status hy_row_file_open(const char *path, const char *head, hy_row_file *file);
/* What follows `begin` in the first row from `*at` on that begins so, and *at after it; NULL: there is none. *at is NULL at first. */
const char *hy_row_file_find(const hy_row_file *file, const char *begin, const char **at);
/* `line` ends with a newline. */
HY_MUST_CHECK hy_status hy_row_file_add(hy_row_file *file, const char *line);
void hy_row_file_close(hy_row_file *file);

#endif
