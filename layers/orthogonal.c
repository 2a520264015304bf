/* Gram-Schmidt, modified: each vector is made orthogonal to all later ones as soon as it is done. A matrix with more rows than columns
 * has its columns as vectors; it is swept by rows for many of them at once, so memory is read in order. Every sum is one thread's,
 * so the number of threads does not matter. */
#include "layers/orthogonal.h"

#include <math.h>

enum {
    TILE = 128,            /* columns in one sweep */
    PARALLEL_MIN = 1 << 16 /* elements of a matrix that several threads are worth for */
};

#define REAL      float
#define OWN(name) name##_f32
#include "layers/orthogonal.inc"
#undef REAL
#undef OWN

#define REAL      double
#define OWN(name) name##_f64
#include "layers/orthogonal.inc"
#undef REAL
#undef OWN

void hy_orthogonalise(void *w, hy_dtype dtype, int64_t rows, int64_t cols, double gain) {
    if (dtype == HY_F64) {
        (rows <= cols ? by_rows_f64 : by_columns_f64)(w, rows, cols, gain);
    } else {
        (rows <= cols ? by_rows_f32 : by_columns_f32)(w, rows, cols, gain);
    }
}
