/* Files and folders. Every function takes the status to fail with (HY_ERR_DATA, HY_ERR_CHECKPOINT, ...), since only
 * the caller knows what the file is; messages carry the path and the system's reason. */
#ifndef HY_BASE_FILE_H
#define HY_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { HY_PATH_MAX = 4096 }; /* bytes of a path with its NUL; longer ones are errors */

/* The whole file and a NUL after it (not counted in *length). Freed with hy_free. More than max_bytes is an error. */
HY_MUST_CHECK hy_status hy_file_read(const char *path, size_t max_bytes, hy_status on_error, char **data,
                                     size_t *length);

/* Readers see the old content or the new, also after a crash: written beside, synced, renamed over, folder synced. */
HY_MUST_CHECK hy_status hy_file_write_atomic(const char *path, const void *data, size_t length, hy_status on_error);

/* Renames a file or folder and syncs the folder it is in now. */
HY_MUST_CHECK hy_status hy_file_rename(const char *from, const char *to, hy_status on_error);

/* Flushes a file's content, or a folder's list of names, to the disk. */
HY_MUST_CHECK hy_status hy_file_sync(const char *path, hy_status on_error);

/* Creates the folder and the missing ones above it. Fine where it exists. */
HY_MUST_CHECK hy_status hy_file_make_dirs(const char *path, hy_status on_error);

/* Removes a file or a folder with everything in it; links are removed, not followed. Fine where nothing is there. */
HY_MUST_CHECK hy_status hy_file_remove_tree(const char *path, hy_status on_error);

/* Removes what an interrupted process left in the folder: names that end in .tmp or .part. */
HY_MUST_CHECK hy_status hy_file_remove_unfinished(const char *folder, hy_status on_error);
/* folder/name into `path`, for a name that came from outside: a plain file name (no '/', not empty, not starting with '.') of a regular
 * file. A link may lead to another file of the folder, or, where the folder is a snapshot of a model cache (snapshots/REVISION), to the
 * cache's own blobs; nowhere else. */
HY_MUST_CHECK hy_status hy_file_inside(const char *folder, const char *name, hy_status on_error,
                                       char path[HY_PATH_MAX]);

bool hy_file_exists(const char *path); /* a file, a folder, anything */
bool hy_file_is_dir(const char *path);

typedef struct hy_file_list {
    int64_t count;
    char **names; /* without the folder, without "." and "..", in byte order */
} hy_file_list;

HY_MUST_CHECK hy_status hy_file_list_dir(const char *path, hy_status on_error, hy_file_list *list);
void hy_file_list_free(hy_file_list *list);

/* Bytes that this user may still write on the file system of `path`, or of the nearest folder above it that exists. */
HY_MUST_CHECK hy_status hy_file_free_space(const char *path, hy_status on_error, int64_t *bytes);

#endif
