/* XXH3 (64 bit) of files and of memory: what is verified before libhdf5 sees a byte. */
#ifndef HY_TRAIN_FILE_HASH_H
#define HY_TRAIN_FILE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { HY_HASH_BLOCK = 1 << 20 }; /* bytes that hashing a file allocates */

typedef struct hy_file_hash {
    int64_t size; /* bytes */
    uint64_t xxh3;
} hy_file_hash;

HY_MUST_CHECK hy_status hy_file_hash_compute(const char *path, hy_status on_error, hy_file_hash *out);
uint64_t hy_hash_bytes(const void *data, size_t n);

/* A hash as text, 16 hexadecimal digits and a NUL, and back; parse gives false if `text` is anything else. */
void hy_hash_format(uint64_t hash, char text[17]);
int hy_hash_parse(const char *text, uint64_t *hash);

/* The seal of a file: `<path>.xxh3`, one line "size hash\n". */
HY_MUST_CHECK hy_status hy_seal_write(const char *path, const hy_file_hash *hash, hy_status on_error);
/* What the seal says, unchecked; *found: whether there is one. */
HY_MUST_CHECK hy_status hy_seal_read(const char *path, hy_status on_error, int *found, hy_file_hash *out);
/* *found: whether there is a seal. Where there is one, a file that differs from it is `on_error`. */
HY_MUST_CHECK hy_status hy_seal_verify(const char *path, hy_status on_error, int *found);
HY_MUST_CHECK hy_status hy_seal_remove(const char *path, hy_status on_error);

#endif
