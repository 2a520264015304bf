/* What the processor and the BLAS under table cpu are, as text for people. All functions are local. */
#ifndef HY_KERNELS_CPU_CPU_INFO_H
#define HY_KERNELS_CPU_CPU_INFO_H

#include <stdbool.h>
#include <stddef.h>

int hy_cpu_threads(void);      /* OpenMP threads of one operation */
int hy_cpu_blas_threads(void); /* threads of one BLAS call; 0 = it does not tell */
/* Threads of operations and of BLAS from now on; 0 leaves what is. A BLAS on OpenMP may take the lesser of both. */
void hy_cpu_set_threads(int openmp, int blas);

/* The vector extensions that the processor and the operating system offer, of those that matter here: "avx2 fma avx512f
 * ..."; "" where there are none, or none known for this architecture. */
void hy_cpu_features(char *text, size_t size);

/* "OpenBLAS 0.3.21 ... SkylakeX MAX_THREADS=64, OpenMP threads"; "a BLAS that does not tell" for others. */
void hy_cpu_blas(char *text, size_t size);

/* Whether one product starts threads that are not OpenMP's. */
bool hy_cpu_blas_has_own_threads(void);

/* Where OpenBLAS does not know this processor and runs the kernels of one without AVX: the OPENBLAS_CORETYPE that fits; else NULL. */
const char *hy_cpu_blas_mend(void);

const char *hy_cpu_fft(void); /* "fftw-3.3.10-sse2-avx" */

#endif
