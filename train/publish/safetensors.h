/* The safetensors format: 8 bytes little-endian header length, a JSON object name → {dtype, shape, data_offsets}, then the elements.
 * A checkpoint is a folder with model.safetensors, or with model.safetensors.index.json that says which of several files holds
 * which tensor. Files are foreign: lengths, offsets, shapes and names are checked before they are used (HY_ERR_DATA). */
#ifndef HY_TRAIN_SAFETENSORS_H
#define HY_TRAIN_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "kernels/dtype.h"

enum { HY_SAFETENSOR_DIMS_MAX = 8 };

typedef enum hy_safetensor_type {
    HY_SAFETENSOR_F64,
    HY_SAFETENSOR_F32,
    HY_SAFETENSOR_F16,
    HY_SAFETENSOR_BF16,
    HY_SAFETENSOR_OTHER /* integers, booleans, 8-bit floats: listed, not readable */
} hy_safetensor_type;

typedef struct hy_safetensor {
    const char *name;
    hy_safetensor_type type;
    int n_dims;
    int64_t shape[HY_SAFETENSOR_DIMS_MAX];
    int64_t size;         /* elements */
    int file;             /* which of the set's files */
    int64_t begin, bytes; /* in that file */
} hy_safetensor;

/* All tensors of a checkpoint folder, sorted by name. */
typedef struct hy_safetensors hy_safetensors;

HY_MUST_CHECK hy_status hy_safetensors_open(const char *dir, hy_safetensors **out);
/* One file. */
HY_MUST_CHECK hy_status hy_safetensors_open_file(const char *path, hy_safetensors **out);
void hy_safetensors_close(hy_safetensors *set);

const hy_safetensor *hy_safetensors_all(const hy_safetensors *set, int64_t *n);
const hy_safetensor *hy_safetensors_find(const hy_safetensors *set, const char *name); /* NULL if absent */

/* Elements [first, first + n) of a tensor, converted to dtype. */
HY_MUST_CHECK hy_status hy_safetensors_read(const hy_safetensors *set, const hy_safetensor *tensor, int64_t first,
                                            int64_t n, hy_dtype dtype, void *out);

/* "F32", ...; from a name: HY_SAFETENSOR_OTHER if unknown. */
const char *hy_safetensor_type_name(hy_safetensor_type type);
hy_safetensor_type hy_safetensor_type_parse(const char *name);
size_t hy_safetensor_type_size(hy_safetensor_type type); /* bytes of an element; 0 for OTHER */

/* Fills out [n] with elements [first, first + n) of the tensor to be written, as dtype. */
typedef hy_status (*hy_safetensors_source)(void *context, const hy_safetensor *tensor, int64_t first, int64_t n,
                                           hy_dtype dtype, void *out);

/* Writes one file: wider types first, then by name, as the format's own library does, so that a file that came from it goes back
 * byte for byte. `tensors` need name, type and shape; they are reordered and the other fields filled in. F64 tensors are asked for
 * as HY_F64, others as HY_F32. Conversions round to nearest even. */
HY_MUST_CHECK hy_status hy_safetensors_write(const char *path, hy_safetensor *tensors, int64_t n,
                                             hy_safetensors_source source, void *context);

#endif
