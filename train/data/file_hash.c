#include "train/data/file_hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/file.h"
#include "base/memory.h"

enum { SEAL_MAX = 256 };

uint64_t hy_hash_bytes(const void *data, size_t n) {
    return XXH3_64bits(data, n);
}

static hy_status hash_descriptor(int fd, const char *path, hy_status on_error, void *block, hy_file_hash *out) {
    XXH3_state_t *state = XXH3_createState();
    if (state == NULL) {
        return hy_fail(HY_ERR_MEMORY, "%s: no memory for hashing", path);
    }
    XXH3_64bits_reset(state);
    int64_t size = 0;
    ssize_t got;
    while ((got = read(fd, block, HY_HASH_BLOCK)) > 0) {
        XXH3_64bits_update(state, block, (size_t)got);
        size += got;
    }
    const int error = errno;
    *out = (hy_file_hash){.size = size, .xxh3 = XXH3_64bits_digest(state)};
    XXH3_freeState(state);
    return got < 0 ? hy_fail(on_error, "%s: cannot be read: %s", path, strerror(error)) : HY_OK;
}

hy_status hy_file_hash_compute(const char *path, hy_status on_error, hy_file_hash *out) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return hy_fail(on_error, "%s: cannot be opened: %s", path, strerror(errno));
    }
    unsigned char *block = NULL;
    hy_file_hash result;
    hy_status status = HY_NEW("hash block", HY_HASH_BLOCK, &block);
    if (status == HY_OK) {
        status = hash_descriptor(fd, path, on_error, block, &result);
    }
    hy_free(block);
    close(fd);
    if (status == HY_OK) {
        *out = result;
    }
    return status;
}

void hy_hash_format(uint64_t hash, char text[17]) {
    snprintf(text, 17, "%016llx", (unsigned long long)hash);
}

int hy_hash_parse(const char *text, uint64_t *hash) {
    uint64_t value = 0;
    if (strlen(text) != 16) {
        return 0;
    }
    for (int i = 0; i < 16; i++) {
        static const char digits[] = "0123456789abcdef";
        const char *at = strchr(digits, text[i]);
        if (at == NULL) {
            return 0;
        }
        value = value << 4 | (uint64_t)(at - digits);
    }
    *hash = value;
    return 1;
}

static hy_status seal_path(const char *path, hy_status on_error, char out[HY_PATH_MAX]) {
    if (snprintf(out, HY_PATH_MAX, "%s.xxh3", path) >= HY_PATH_MAX) {
        return hy_fail(on_error, "%s: the path is too long", path);
    }
    return HY_OK;
}

hy_status hy_seal_write(const char *path, const hy_file_hash *hash, hy_status on_error) {
    char name[HY_PATH_MAX], digits[17], line[SEAL_MAX];
    HY_TRY(seal_path(path, on_error, name));
    hy_hash_format(hash->xxh3, digits);
    const int n = snprintf(line, sizeof line, "%lld %s\n", (long long)hash->size, digits);
    return hy_file_write_atomic(name, line, (size_t)n, on_error);
}

hy_status hy_seal_remove(const char *path, hy_status on_error) {
    char name[HY_PATH_MAX];
    HY_TRY(seal_path(path, on_error, name));
    return hy_file_remove_tree(name, on_error);
}

static hy_status read_seal(const char *name, hy_status on_error, hy_file_hash *out) {
    char *text = NULL;
    size_t length = 0;
    HY_TRY(hy_file_read(name, SEAL_MAX, on_error, &text, &length));
    char digits[17] = "";
    long long size = -1;
    int used = 0;
    const int fields = sscanf(text, "%20lld %16[0-9a-f]%n", &size, digits, &used);
    const int whole = fields == 2 && length == (size_t)used + 1 && text[used] == '\n';
    hy_free(text);
    if (!whole || size < 0 || !hy_hash_parse(digits, &out->xxh3)) {
        return hy_fail(on_error, "%s: damaged seal (expected one line: size hash)", name);
    }
    out->size = size;
    return HY_OK;
}

hy_status hy_seal_read(const char *path, hy_status on_error, int *found, hy_file_hash *out) {
    char name[HY_PATH_MAX];
    HY_TRY(seal_path(path, on_error, name));
    *found = hy_file_exists(name);
    return *found ? read_seal(name, on_error, out) : HY_OK;
}

hy_status hy_seal_verify(const char *path, hy_status on_error, int *found) {
    hy_file_hash sealed = {0}, actual = {0};
    HY_TRY(hy_seal_read(path, on_error, found, &sealed));
    if (!*found) {
        return HY_OK;
    }
    HY_TRY(hy_file_hash_compute(path, on_error, &actual));
    if (actual.size != sealed.size) {
        return hy_fail(on_error, "%s: %lld bytes where its seal says %lld: %s; make it again", path,
                       (long long)actual.size, (long long)sealed.size,
                       actual.size < sealed.size ? "truncated" : "not the file that was sealed");
    }
    if (actual.xxh3 != sealed.xxh3) {
        return hy_fail(on_error, "%s: its bytes differ from its seal %s.xxh3: damaged; make it again", path, path);
    }
    return HY_OK;
}
