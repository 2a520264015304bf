/* Long convolutions through FFTW: entries of table cpu, for every precision; bf16 is transformed in float. */
#ifndef HY_KERNELS_CPU_FFT_CONVOLUTION_H
#define HY_KERNELS_CPU_FFT_CONVOLUTION_H

#include "kernels/kernels.h"

/* Bytes of work. Transforms are planned when documents of their size come for the first time. */
size_t hy_fft_long_conv_work_f32(const hy_long_conv_args *a);
size_t hy_fft_long_conv_work_f64(const hy_long_conv_args *a);
size_t hy_fft_long_conv_work_bf16(const hy_long_conv_args *a);
void hy_fft_long_conv_fwd_f32(const hy_long_conv_args *a);
void hy_fft_long_conv_fwd_f64(const hy_long_conv_args *a);
void hy_fft_long_conv_fwd_bf16(const hy_long_conv_args *a);
void hy_fft_long_conv_bwd_f32(const hy_long_conv_args *a);
void hy_fft_long_conv_bwd_f64(const hy_long_conv_args *a);
void hy_fft_long_conv_bwd_bf16(const hy_long_conv_args *a);

/* In place: n rows of `points` floats, a power of two, become points/2 + 1 complex numbers, or back again, not divided by `points`. Rows
 * are `stride` floats apart, a multiple of 16, and aligned to 64 bytes. */
void hy_fft_rows_f32(float *rows, int64_t n, int64_t points, int64_t stride, int inverse);

#endif
