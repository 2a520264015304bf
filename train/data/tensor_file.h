/* Named tensors in an HDF5 file: what `hylas op` reads and writes. A name may hold slashes (groups). The file is foreign: whatever
 * it claims is checked before anything is allocated or read; every failure is HY_ERR_DATA that names file and tensor. */
#ifndef HY_TRAIN_TENSOR_FILE_H
#define HY_TRAIN_TENSOR_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { HY_TENSOR_DIMS_MAX = 8, HY_TENSOR_NAME_MAX = 192 };

typedef enum hy_element { HY_ELEMENT_F32, HY_ELEMENT_F64, HY_ELEMENT_I32, HY_ELEMENT_I64 } hy_element;

static inline size_t hy_element_size(hy_element element) {
    return element == HY_ELEMENT_F32 || element == HY_ELEMENT_I32 ? 4 : 8;
}

/* n = 0 is a scalar. */
typedef struct hy_shape {
    int n;
    int64_t dim[HY_TENSOR_DIMS_MAX];
} hy_shape;

/* Product of the dimensions (1 for a scalar), −1 if negative or beyond 2^62. */
int64_t hy_shape_size(const hy_shape *shape);
bool hy_shape_equal(const hy_shape *a, const hy_shape *b);
/* "[2,130,4,16]" */
const char *hy_shape_text(const hy_shape *shape, char *text, size_t size);

typedef struct hy_tensor_file hy_tensor_file;

HY_MUST_CHECK hy_status hy_tensor_file_open(const char *path, hy_tensor_file **out);
/* Replaces a file that is there, but only once it is finished. */
HY_MUST_CHECK hy_status hy_tensor_file_create(const char *path, hy_tensor_file **out);
/* Ends the writing: the file appears under its name. The handle is gone in any case. NULL allowed. */
HY_MUST_CHECK hy_status hy_tensor_file_finish(hy_tensor_file *file);
/* For files that were only read, and after failures: then a new file vanishes. NULL allowed. */
void hy_tensor_file_close(hy_tensor_file *file);

bool hy_tensor_file_has(const hy_tensor_file *file, const char *name);
/* Shape and whether the elements are integers (else floating point). */
HY_MUST_CHECK hy_status hy_tensor_file_shape(const hy_tensor_file *file, const char *name, hy_shape *shape,
                                             bool *integer);
/* Reads the whole tensor, converted to `element`, into out; its shape must be `shape`. */
HY_MUST_CHECK hy_status hy_tensor_file_read(const hy_tensor_file *file, const char *name, hy_element element,
                                            const hy_shape *shape, void *out);
HY_MUST_CHECK hy_status hy_tensor_file_write(hy_tensor_file *file, const char *name, hy_element element,
                                             const hy_shape *shape, const void *data);

/* Attributes of the file's root. A missing one leaves *out alone and *found false. */
HY_MUST_CHECK hy_status hy_tensor_file_text(const hy_tensor_file *file, const char *name, char *out, size_t size,
                                            bool *found);
HY_MUST_CHECK hy_status hy_tensor_file_number(const hy_tensor_file *file, const char *name, double *out, bool *found);

/* Names of the datasets directly in `group` ("/" for the root), in the order of the file's index: full names into
 * names[*n][HY_TENSOR_NAME_MAX], an array the caller frees with hy_free. */
HY_MUST_CHECK hy_status hy_tensor_file_list(const hy_tensor_file *file, const char *group,
                                            char (**names)[HY_TENSOR_NAME_MAX], int64_t *n);

#endif
