/* HDF5 as this room uses it: quiet (the library prints nothing; its reason goes into our message), superblock and
 * metadata of the latest version (checksummed), every dataset one-dimensional, chunked, with Fletcher32 on each chunk.
 * No times are kept: the same content makes the same file.
 *
 * libhdf5 1.10 may crash or hang on mutated bytes: verify a file's hash (train/data/file_hash.h) before it is opened here,
 * or open it in a child first (hy_h5_try_in_child).
 *
 * A file from a stranger may point elsewhere: links to other files, data in external files, virtual datasets, filters that are loaded as
 * plugins. None of these is followed; what is read lies in the file that was opened. */
#ifndef HY_TRAIN_H5_H
#define HY_TRAIN_H5_H

#include <hdf5.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* "1.10.8", of the library that runs; if it is not the one compiled against, both. */
void hy_h5_version(char *text, size_t size);

/* Sets the library up: before any other call of it, as often as one likes. Local. */
void hy_h5_begin(void);

/* Logs "path: what: the library's innermost reason" and gives `status`. */
HY_MUST_CHECK hy_status hy_h5_fail(hy_status status, const char *path, const char *what);

HY_MUST_CHECK hy_status hy_h5_create(const char *path, hy_status on_error, hid_t *file); /* replaces what is there */
HY_MUST_CHECK hy_status hy_h5_open(const char *path, hy_status on_error, hid_t *file);   /* read only */

/* The dataset `name` ("group/name" too), reached by hard links only, its data in this file, no more of it than the file's bytes can hold.
 * The caller closes it. */
HY_MUST_CHECK hy_status hy_h5_dataset_open(hid_t file, const char *path, const char *name, hy_status on_error,
                                           hid_t *dataset);
/* The file's attribute `name`, which must hold a single value: reading it writes one element. Negative if there is none such. */
hid_t hy_h5_attribute_open(hid_t file, const char *name);
/* Whether `name` is there, by hard links all the way. */
bool hy_h5_has(hid_t file, const char *name);

/* Runs look(context), which opens foreign bytes, in a child first: a crash, a hang of more than HY_H5_PATIENCE seconds, or what it returns
 * is the verdict; look may call alarm() to begin its time anew. No MPI in it. */
enum { HY_H5_PATIENCE = 60 };
HY_MUST_CHECK hy_status hy_h5_try_in_child(const char *path, hy_status on_error, hy_status (*look)(void *context),
                                           void *context);

/* A dataset of `n` elements now, which can grow. Negative on failure. */
hid_t hy_h5_dataset_create(hid_t file, const char *name, hid_t type, int64_t n, int64_t chunk);
/* Elements [begin, begin + n); 0 or negative on failure, as the library does. n = 0 does nothing. */
int hy_h5_write_range(hid_t dataset, hid_t memory_type, int64_t begin, int64_t n, const void *data);
int hy_h5_read_range(hid_t dataset, hid_t memory_type, int64_t begin, int64_t n, void *data);

#endif
