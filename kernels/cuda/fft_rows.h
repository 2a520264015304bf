/* Fourier transforms of rows of floats, in place: what kernels of long convolutions ask a library for. */
#ifndef HY_KERNELS_CUDA_FFT_ROWS_H
#define HY_KERNELS_CUDA_FFT_ROWS_H

#include <stddef.h>
#include <stdint.h>

/* `n` rows of `points` reals, a power of two, which become points/2 + 1 complex numbers, or back again, not divided by `points`. */
typedef struct hy_fft_rows {
    float *rows; /* [n, stride], aligned to 64 bytes */
    int64_t n, points, stride;
    int inverse;
    void *area; /* [area_bytes], free for use meanwhile */
    size_t area_bytes;
} hy_fft_rows;

/* cuFFT, in the stream of operations: fft_cufft.c. Errors end the process. */
void hy_cuda_fft(const hy_fft_rows *fft);
/* FFTW, on the host: table_host.c. */
void hy_cuda_host_fft(const hy_fft_rows *fft);

#endif
