#include "kernels/cpu/cpu_info.h"

#include <fftw3.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

int hy_cpu_threads(void) {
    return omp_get_max_threads();
}

/* Only OpenBLAS has these. */
extern void openblas_set_num_threads(int n) __attribute__((weak));
extern int openblas_get_num_threads(void) __attribute__((weak));
extern char *openblas_get_config(void) __attribute__((weak));
extern char *openblas_get_corename(void) __attribute__((weak));
extern int openblas_get_parallel(void) __attribute__((weak));

int hy_cpu_blas_threads(void) {
    return openblas_get_num_threads != NULL ? openblas_get_num_threads() : 0;
}

/* BLAS first: an OpenBLAS with OpenMP threads changes OpenMP's number too. */
void hy_cpu_set_threads(int openmp, int blas) {
    if (blas > 0 && openblas_set_num_threads != NULL) {
        const int before = omp_get_max_threads();
        openblas_set_num_threads(blas);
        omp_set_num_threads(before);
    }
    if (openmp > 0) {
        omp_set_num_threads(openmp);
    }
}

#if defined(__x86_64__)
static void add_feature(char *text, size_t size, const char *name) {
    const size_t used = strlen(text);
    snprintf(text + used, size - used, "%s%s", used > 0 ? " " : "", name);
}

void hy_cpu_features(char *text, size_t size) {
    text[0] = '\0';
#define HY_FEATURE(name)                                                                                               \
    if (__builtin_cpu_supports(name))                                                                                  \
        add_feature(text, size, name);
    HY_FEATURE("avx")
    HY_FEATURE("avx2")
    HY_FEATURE("fma")
    HY_FEATURE("avx512f")
    HY_FEATURE("avx512bw")
    HY_FEATURE("avx512dq")
    HY_FEATURE("avx512vl")
    HY_FEATURE("avx512vnni")
#if HY_HAVE_bf16_amx /* the compiler knows them */
    HY_FEATURE("avx512bf16")
    HY_FEATURE("amx-tile")
    HY_FEATURE("amx-bf16")
#endif
#undef HY_FEATURE
}

const char *hy_cpu_blas_mend(void) {
    static const char *const without_avx[] = {"Prescott", "Core2", "Nehalem"};
    const char *used = openblas_get_corename != NULL ? openblas_get_corename() : "";
    for (size_t i = 0; i < sizeof without_avx / sizeof without_avx[0]; i++) {
        if (strcmp(used, without_avx[i]) == 0) {
            return __builtin_cpu_supports("avx512vl") ? "SkylakeX" : __builtin_cpu_supports("avx2") ? "Haswell" : NULL;
        }
    }
    return NULL;
}
#else
const char *hy_cpu_blas_mend(void) {
    return NULL;
}

void hy_cpu_features(char *text, size_t size) {
    (void)size;
    text[0] = '\0';
}
#endif

void hy_cpu_blas(char *text, size_t size) {
    static const char *const parallel[] = {"one thread", "its own threads", "OpenMP threads"};
    if (openblas_get_config == NULL) {
        snprintf(text, size, "a BLAS that does not tell");
        return;
    }
    const int kind = openblas_get_parallel != NULL ? openblas_get_parallel() : -1;
    snprintf(text, size, "%s, kernels %s, %s", openblas_get_config(),
             openblas_get_corename != NULL ? openblas_get_corename() : "unknown",
             kind >= 0 && kind < 3 ? parallel[kind] : "threads unknown");
}

bool hy_cpu_blas_has_own_threads(void) {
    return openblas_get_parallel != NULL && openblas_get_parallel() == 1;
}

const char *hy_cpu_fft(void) {
    return fftw_version;
}
