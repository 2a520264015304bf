/* Long convolutions through FFTW, a channel per thread. A document of n tokens takes transforms of m ≥ 2n − 1 points, m
 * the smallest of 2, 3, 4, 6, 8, 12, ...; with the filter cut to (m+1)/2 taps nothing wraps around that any document of
 * this size can see, so all of them share one transform of the filter. With ^ for transforms and * for conjugates:
 *
 *   y^ = h^·x^;   dx^ = h^*·dy^;   dh^ = Σ_documents x^*·dy^
 *
 * Transforms are in place: m reals, padded to m/2 + 1 complex numbers. Plans are made once per size, when it is first used, and
 * stay. */
#include "kernels/cpu/fft_convolution.h"

#include <fftw3.h>
#include <omp.h>
#include <stdbool.h>
#include <string.h>

#include "kernels/cpu/ref.h"

enum { SIZES = 84, BUFFERS = 4, ALIGN = 64 };

static int64_t points_of(int size) {
    return (size & 1 ? INT64_C(3) : INT64_C(2)) << (size / 2);
}

static int size_for(int64_t tokens) {
    int size = 0;
    while (points_of(size) < 2 * tokens - 1)
        size++;
    return size;
}

/* Sizes that documents use, as bits. */
typedef struct size_set {
    bool has[SIZES];
} size_set;

static size_set sizes_used(const hy_long_conv_args *a) {
    size_set set = {{false}};
    for (int64_t d = 0; d < a->n_docs; d++) {
        if (a->docs[d + 1] > a->docs[d])
            set.has[size_for(a->docs[d + 1] - a->docs[d])] = true;
    }
    return set;
}

/* Taps of the filter that a transform of this many points takes. */
static int64_t taps_of(const hy_long_conv_args *a, int64_t points) {
    return (points + 1) / 2 < a->L ? (points + 1) / 2 : a->L;
}

static int threads_for(const hy_long_conv_args *a) {
    const int most = omp_get_max_threads();
    return a->C < most ? (a->C > 0 ? (int)a->C : 1) : most;
}

#define REAL      float
#define ELEMENT   float
#define WIDEN(x)  (x)
#define NARROW(x) (x)
#define FFTW(op)  fftwf_##op
#define OWN(name) name##_f32
#include "kernels/cpu/fft_convolution.inc"

void hy_fft_rows_f32(float *rows, int64_t n, int64_t points, int64_t stride, int inverse) {
    const int size = size_for(points / 2);
    if (n > 0 && !planned_f32(size))
        plan_size_f32(size, rows);
    for (int64_t i = 0; i < n; i++) {
        float *row = rows + i * stride;
        if (inverse)
            transform_back_f32(size, row);
        else
            transform_f32(points, size, row);
    }
}

#undef ELEMENT
#undef WIDEN
#undef NARROW
#undef OWN

#define ELEMENT   hy_bf16
#define WIDEN(x)  hy_bf16_value(x)
#define NARROW(x) hy_bf16_of(x)
#define OWN(name) name##_bf16
#include "kernels/cpu/fft_convolution.inc"
#undef REAL
#undef ELEMENT
#undef WIDEN
#undef NARROW
#undef FFTW
#undef OWN

#define REAL      double
#define ELEMENT   double
#define WIDEN(x)  (x)
#define NARROW(x) (x)
#define FFTW(op)  fftw_##op
#define OWN(name) name##_f64
#include "kernels/cpu/fft_convolution.inc"
