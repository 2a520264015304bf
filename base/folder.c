/* Folders: made with everything above them, listed in byte order (readdir's order differs between machines), removed
 * without following links. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"

enum { DEEPEST = 64 };

static hy_status fail_on_folder(hy_status on_error, const char *path, const char *what) {
    return hy_fail(on_error, "%s: cannot %s: %s", path, what, strerror(errno));
}

static bool plain_name(const char *name) {
    return name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL && strlen(name) < 256;
}

/* Whether `path` lies in the folder `top`; both without links. */
static bool is_below(const char *path, const char *top) {
    const size_t length = strlen(top);
    return strncmp(path, top, length) == 0 && path[length] == '/';
}

/* The blobs of the cache that the snapshot `folder` is in: .../snapshots/REVISION has them in .../blobs. False: it is no snapshot. */
static bool blobs_of(const char *folder, char blobs[HY_PATH_MAX]) {
    static const char mark[] = "/snapshots/";
    const char *revision = strrchr(folder, '/');
    const size_t length = revision != NULL ? (size_t)(revision - folder) + 1 : 0;
    if (length < sizeof(mark) || strncmp(folder + length - (sizeof(mark) - 1), mark, sizeof(mark) - 1) != 0) {
        return false;
    }
    return snprintf(blobs, HY_PATH_MAX, "%.*s/blobs", (int)(length - (sizeof(mark) - 1)), folder) < HY_PATH_MAX;
}

hy_status hy_file_inside(const char *folder, const char *name, hy_status on_error, char path[HY_PATH_MAX]) {
    char top[PATH_MAX], target[PATH_MAX], blobs[HY_PATH_MAX];
    struct stat info;
    if (!plain_name(name)) {
        return hy_fail(on_error, "%s: '%.80s' is not the plain name of a file in this folder", folder, name);
    }
    if (snprintf(path, HY_PATH_MAX, "%s/%s", folder, name) >= HY_PATH_MAX) {
        return hy_fail(on_error, "%s: path too long", folder);
    }
    if (realpath(folder, top) == NULL || realpath(path, target) == NULL || stat(target, &info) != 0) {
        return fail_on_folder(on_error, path, "open it");
    }
    if (!is_below(target, top) && !(blobs_of(top, blobs) && is_below(target, blobs))) {
        return hy_fail(on_error, "%s: a link that leaves the folder, to %s: put the file itself there", path, target);
    }
    return S_ISREG(info.st_mode) ? HY_OK : hy_fail(on_error, "%s: not a regular file", path);
}

bool hy_file_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0;
}

bool hy_file_is_dir(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

hy_status hy_file_make_dirs(const char *path, hy_status on_error) {
    char partial[HY_PATH_MAX];
    const size_t length = strlen(path);
    if (length >= sizeof(partial)) {
        errno = ENAMETOOLONG;
        return fail_on_folder(on_error, path, "create the folder");
    }
    memcpy(partial, path, length + 1);
    for (size_t i = 1; i <= length; i++) {
        if (partial[i] != '/' && partial[i] != '\0') {
            continue;
        }
        const char end = partial[i];
        partial[i] = '\0';
        /* Another process may make it at the same time: what counts is that it is there afterwards. */
        if (mkdir(partial, 0777) != 0 && !hy_file_is_dir(partial)) {
            return fail_on_folder(on_error, partial, "create the folder");
        }
        partial[i] = end;
    }
    return HY_OK;
}

static int compare_names(const void *a, const void *b) {
    const char *const *first = a, *const *second = b;
    return strcmp(*first, *second);
}

static hy_status append_name(hy_file_list *list, int64_t *room, const char *name) {
    HY_TRY(HY_GROW("folder listing", list->count + 1, room, &list->names));
    char *copy = NULL;
    const size_t bytes = strlen(name) + 1;
    HY_TRY(hy_alloc("folder listing", bytes, (void **)&copy));
    memcpy(copy, name, bytes);
    list->names[list->count++] = copy;
    return HY_OK;
}

hy_status hy_file_list_dir(const char *path, hy_status on_error, hy_file_list *list) {
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return fail_on_folder(on_error, path, "list the folder");
    }
    hy_file_list found = {0};
    int64_t room = 0;
    hy_status status = HY_OK;
    while (status == HY_OK) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL) {
            status = errno == 0 ? HY_OK : fail_on_folder(on_error, path, "list the folder");
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            status = append_name(&found, &room, entry->d_name);
        }
    }
    (void)closedir(dir);
    if (status != HY_OK) {
        hy_file_list_free(&found);
        return status;
    }
    if (found.count > 1) {
        qsort(found.names, (size_t)found.count, sizeof(*found.names), compare_names);
    }
    *list = found;
    return HY_OK;
}

void hy_file_list_free(hy_file_list *list) {
    for (int64_t i = 0; i < list->count; i++) {
        hy_free(list->names[i]);
    }
    hy_free(list->names);
    *list = (hy_file_list){0};
}

/* Relative to an open folder, so that a folder swapped for a link meanwhile leads nowhere else. errno on failure. */
static int remove_at(int parent, const char *name, int depth) {
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT) {
        return 0;
    }
    if (errno != EISDIR && errno != EPERM) {
        return -1;
    }
    if (depth == DEEPEST) {
        errno = ELOOP;
        return -1;
    }
    const int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        const int reason = errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        errno = reason;
        return -1;
    }
    int failed = 0;
    const struct dirent *entry = NULL;
    errno = 0;
    while (!failed && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            failed = remove_at(fd, entry->d_name, depth + 1) != 0;
        }
    }
    const int reason = errno;
    (void)closedir(dir);
    errno = reason;
    return failed ? -1 : unlinkat(parent, name, AT_REMOVEDIR);
}

hy_status hy_file_remove_tree(const char *path, hy_status on_error) {
    return remove_at(AT_FDCWD, path, 0) == 0 ? HY_OK : fail_on_folder(on_error, path, "remove it");
}

static bool ends_in(const char *name, const char *end) {
    const size_t length = strlen(name), wanted = strlen(end);
    return length > wanted && strcmp(name + length - wanted, end) == 0;
}

hy_status hy_file_remove_unfinished(const char *folder, hy_status on_error) {
    hy_file_list list;
    HY_TRY(hy_file_list_dir(folder, on_error, &list));
    hy_status status = HY_OK;
    for (int64_t i = 0; i < list.count && status == HY_OK; i++) {
        char path[HY_PATH_MAX];
        const bool unfinished = ends_in(list.names[i], ".tmp") || ends_in(list.names[i], ".part");
        if (unfinished && snprintf(path, sizeof(path), "%s/%s", folder, list.names[i]) < (int)sizeof(path)) {
            status = hy_file_remove_tree(path, on_error);
        }
    }
    hy_file_list_free(&list);
    return status;
}

hy_status hy_file_free_space(const char *path, hy_status on_error, int64_t *bytes) {
    char ancestor[HY_PATH_MAX];
    (void)snprintf(ancestor, sizeof(ancestor), "%s", path[0] == '\0' ? "." : path);
    struct statvfs info;
    while (statvfs(ancestor, &info) != 0) {
        char *slash = strrchr(ancestor, '/');
        if (errno != ENOENT || strcmp(ancestor, ".") == 0 || strcmp(ancestor, "/") == 0) {
            return fail_on_folder(on_error, path, "ask for free space");
        }
        if (slash == NULL) {
            (void)strcpy(ancestor, ".");
        } else {
            slash[slash == ancestor ? 1 : 0] = '\0';
        }
    }
    *bytes = (int64_t)info.f_bavail * (int64_t)info.f_frsize;
    return HY_OK;
}
