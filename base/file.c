/* Durable files: what is renamed into place was synced before, and the folder is synced after. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

static hy_status fail_on_file(hy_status on_error, const char *path, const char *what) {
    return hy_fail(on_error, "%s: cannot %s: %s", path, what, strerror(errno));
}

/* Reads up to `room` bytes, fewer only at the end of the file. -1: errno. */
static ssize_t read_fully(int fd, char *data, size_t room) {
    size_t have = 0;
    while (have < room) {
        const ssize_t got = read(fd, data + have, room - have);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return -1;
        }
        if (got == 0) {
            break;
        }
        have += (size_t)got;
    }
    return (ssize_t)have;
}

/* Files that do not tell their size (pipes, /proc) are read in growing pieces. */
static hy_status read_open_file(int fd, const char *path, size_t max_bytes, hy_status on_error, char **data,
                                size_t *length) {
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return fail_on_file(on_error, path, "read it");
    }
    if (S_ISDIR(info.st_mode)) {
        errno = EISDIR;
        return fail_on_file(on_error, path, "read it");
    }
    size_t room = info.st_size > 0 ? (size_t)info.st_size + 1 : 4096;
    room = room > max_bytes ? max_bytes + 1 : room; /* one byte more than allowed tells that there is more */
    char *buffer = NULL;
    size_t have = 0;
    for (;;) {
        char *larger = NULL;
        const hy_status status = hy_alloc("file content", room + 1, (void **)&larger);
        if (status != HY_OK) {
            hy_free(buffer);
            return status;
        }
        if (have > 0) {
            memcpy(larger, buffer, have);
        }
        hy_free(buffer);
        buffer = larger;
        const ssize_t got = read_fully(fd, buffer + have, room - have);
        if (got < 0 || have + (size_t)got > max_bytes) {
            hy_free(buffer);
            return got < 0 ? fail_on_file(on_error, path, "read it")
                           : hy_fail(on_error, "%s: larger than the %zu bytes allowed here", path, max_bytes);
        }
        have += (size_t)got;
        if (have < room) {
            break;
        }
        room = room > max_bytes / 2 ? max_bytes + 1 : 2 * room;
    }
    buffer[have] = '\0';
    *data = buffer;
    *length = have;
    return HY_OK;
}

hy_status hy_file_read(const char *path, size_t max_bytes, hy_status on_error, char **data, size_t *length) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fail_on_file(on_error, path, "open it");
    }
    const hy_status status = read_open_file(fd, path, max_bytes, on_error, data, length);
    (void)close(fd);
    return status;
}

hy_status hy_file_sync(const char *path, hy_status on_error) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fail_on_file(on_error, path, "open it");
    }
    const int failed = fsync(fd) != 0 && errno != EINVAL; /* EINVAL: a file system that cannot sync folders */
    const int reason = errno;
    (void)close(fd);
    errno = reason;
    return failed ? fail_on_file(on_error, path, "sync it") : HY_OK;
}

/* The folder a path is in: everything before the last '/', "." where there is none. */
static hy_status parent_of(const char *path, hy_status on_error, char parent[HY_PATH_MAX]) {
    size_t end = strlen(path);
    if (end >= HY_PATH_MAX - 32) { /* room for the suffix of a temporary name */
        errno = ENAMETOOLONG;
        return fail_on_file(on_error, path, "use this path");
    }
    while (end > 1 && path[end - 1] == '/') {
        end--;
    }
    while (end > 0 && path[end - 1] != '/') {
        end--;
    }
    while (end > 1 && path[end - 1] == '/') {
        end--;
    }
    (void)snprintf(parent, HY_PATH_MAX, "%.*s", end == 0 ? 1 : (int)end, end == 0 ? "." : path);
    return HY_OK;
}

static hy_status sync_parent(const char *path, hy_status on_error) {
    char parent[HY_PATH_MAX];
    HY_TRY(parent_of(path, on_error, parent));
    return hy_file_sync(parent, on_error);
}

hy_status hy_file_rename(const char *from, const char *to, hy_status on_error) {
    if (rename(from, to) != 0) {
        return hy_fail(on_error, "%s: cannot rename it to %s: %s", from, to, strerror(errno));
    }
    return sync_parent(to, on_error);
}

/* Writes and syncs; errno tells why it failed. */
static int write_new_file(const char *path, const char *data, size_t length) {
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        return -1;
    }
    size_t done = 0;
    while (done < length) {
        const ssize_t put = write(fd, data + done, length - done);
        if (put < 0 && errno != EINTR) {
            break;
        }
        done += put > 0 ? (size_t)put : 0;
    }
    int failed = done < length || fsync(fd) != 0;
    const int reason = errno;
    if (close(fd) != 0 && !failed) {
        return -1;
    }
    errno = reason;
    return failed ? -1 : 0;
}

hy_status hy_file_write_atomic(const char *path, const void *data, size_t length, hy_status on_error) {
    char temporary[HY_PATH_MAX], parent[HY_PATH_MAX];
    HY_TRY(parent_of(path, on_error, parent));
    (void)snprintf(temporary, sizeof(temporary), "%s.%ld.part", path, (long)getpid());
    if (write_new_file(temporary, data, length) != 0 || rename(temporary, path) != 0) {
        const int reason = errno;
        (void)unlink(temporary);
        errno = reason;
        return fail_on_file(on_error, path, "write it");
    }
    return hy_file_sync(parent, on_error);
}
