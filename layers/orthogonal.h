/* Orthogonal matrices from random ones, for initial parameters. */
#ifndef HY_LAYERS_ORTHOGONAL_H
#define HY_LAYERS_ORTHOGONAL_H

#include <stdint.h>

#include "kernels/dtype.h"

/* w [rows,cols] in place: the shorter side's vectors become orthogonal to each other and of length `gain`, by Gram and Schmidt.
 * Of normal numbers that makes a uniformly distributed matrix. The same program makes the same matrix on any number of threads. */
void hy_orthogonalise(void *w, hy_dtype dtype, int64_t rows, int64_t cols, double gain);

#endif
