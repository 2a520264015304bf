#include "launch/scale/row_file.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"

enum { CSV_MAX = 64 << 20 };

hy_status hy_row_file_open(const char *path, const char *head, hy_row_file *file) {
    size_t length = 0;
    *file = (hy_row_file){.path = path};
    if (path == NULL) {
        return HY_OK;
    }
    if (!hy_file_exists(path)) {
        return hy_file_write_atomic(path, head, strlen(head), HY_ERR_DATA);
    }
    HY_TRY(hy_file_read(path, CSV_MAX, HY_ERR_DATA, &file->known, &length));
    file->torn = length > 0 && file->known[length - 1] != '\n';
    return strncmp(file->known, head, strlen(head)) == 0
               ? HY_OK
               : hy_fail(HY_ERR_USAGE, "%s: its columns are not those of this study; name another file", path);
}

const char *hy_row_file_find(const hy_row_file *file, const char *begin, const char **at) {
    const size_t length = strlen(begin);
    for (const char *line = *at != NULL ? *at : file->known; line != NULL && *line != '\0';) {
        const char *end = strchr(line, '\n'), *found = strncmp(line, begin, length) == 0 ? line + length : NULL;
        line = end != NULL ? end + 1 : line + strlen(line);
        if (found != NULL) {
            *at = line;
            return found;
        }
    }
    return NULL;
}

hy_status hy_row_file_add(hy_row_file *file, const char *line) {
    if (file->path == NULL) {
        return HY_OK;
    }
    FILE *out = fopen(file->path, "a");
    const bool written = out != NULL && (!file->torn || fputc('\n', out) != EOF) && fputs(line, out) >= 0;
    const bool closed = out != NULL && fclose(out) == 0;
    file->torn = false;
    return written && closed ? HY_OK : hy_fail(HY_ERR_DATA, "%s: cannot be written", file->path);
}

void hy_row_file_close(hy_row_file *file) {
    hy_free(file->known);
    file->known = NULL;
}
