/* A plan per shape, made at its first transform; when there are too many, the oldest makes room. Plans own no memory: each transform
 * lends them the operation's, and what goes beyond it, which has not been seen for powers of two, is taken once and counted. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/library.h"
#include "base/memory.h"
#include "base/status.h"
#include "kernels/cuda/cuda_call.h"
#include "kernels/cuda/fft_rows.h"

static void end_without(const char *what, int status) {
    const hy_status said = hy_fail(HY_ERR_ENV, "cuFFT, which long convolutions take: %s (status %d)", what, status);
    (void)said;
    abort();
}

#ifdef HY_HAVE_CUFFT
#include <cufft.h>

/* What is used of the library. */
#define CUFFT_CALLS(X)                                                                                                 \
    X(cufftCreate)                                                                                                     \
    X(cufftDestroy)                                                                                                    \
    X(cufftMakePlanMany64)                                                                                             \
    X(cufftSetAutoAllocation)                                                                                          \
    X(cufftSetWorkArea)                                                                                                \
    X(cufftSetStream)                                                                                                  \
    X(cufftExecR2C)                                                                                                    \
    X(cufftExecC2R)

static struct {
#define X(call) __typeof__(&(call)) call;
    CUFFT_CALLS(X)
#undef X
} cufft;

typedef struct fft_plan {
    int64_t n, points, stride;
    int inverse;
    cufftHandle handle;
    size_t bytes; /* of memory that it works in */
} fft_plan;

enum { PLANS = 256 };
static fft_plan plans[PLANS];
static int64_t plans_made;
static void *spare; /* for plans that want more than they are lent */
static size_t spare_bytes;

static void cufft_check(cufftResult status, const char *what) {
    if (status != CUFFT_SUCCESS) {
        end_without(what, (int)status);
    }
}

static void open_cufft(void) {
    char name[64], why[256];
    snprintf(name, sizeof name, "libcufft.so.%d", CUFFT_VER_MAJOR);
    void *library = hy_library_open(name, why, sizeof why);
    if (library == NULL) {
        end_without(why, 0);
    }
#define X(call)                                                                                                        \
    if (!hy_library_find(library, #call, &cufft.call, why, sizeof why)) {                                              \
        end_without(why, 0);                                                                                           \
    }
    CUFFT_CALLS(X)
#undef X
}

static void make_plan(fft_plan *p, const hy_fft_rows *fft) {
    long long points = fft->points, reals = fft->stride, complexes = fft->stride / 2;
    *p = (fft_plan){.n = fft->n, .points = fft->points, .stride = fft->stride, .inverse = fft->inverse};
    cufft_check(cufft.cufftCreate(&p->handle), "a plan");
    cufft_check(cufft.cufftSetAutoAllocation(p->handle, 0), "a plan without memory");
    long long *in = fft->inverse ? &complexes : &reals, *out = fft->inverse ? &reals : &complexes;
    cufft_check(cufft.cufftMakePlanMany64(p->handle, 1, &points, in, 1, *in, out, 1, *out,
                                          fft->inverse ? CUFFT_C2R : CUFFT_R2C, fft->n, &p->bytes),
                "a plan of this shape");
}

static const fft_plan *plan_of(const hy_fft_rows *fft) {
    for (int64_t i = 0; i < plans_made && i < PLANS; i++) {
        const fft_plan *p = &plans[i];
        if (p->n == fft->n && p->points == fft->points && p->stride == fft->stride && p->inverse == fft->inverse) {
            return p;
        }
    }
    if (plans_made == 0) {
        open_cufft();
    }
    fft_plan *p = &plans[plans_made % PLANS];
    if (plans_made >= PLANS) {
        HY_CUDA(cudaDeviceSynchronize());
        cufft_check(cufft.cufftDestroy(p->handle), "the end of a plan");
    }
    make_plan(p, fft);
    plans_made++;
    return p;
}

static void *spare_of(size_t bytes) {
    if (bytes > spare_bytes) {
        HY_CUDA(cudaDeviceSynchronize());
        HY_CUDA(cudaFree(spare));
        HY_CUDA(cudaMalloc(&spare, bytes));
        hy_alloc_elsewhere("work area of cuFFT", (int64_t)bytes - (int64_t)spare_bytes);
        spare_bytes = bytes;
    }
    return spare;
}

void hy_cuda_fft(const hy_fft_rows *fft) {
    if (fft->n == 0) {
        return;
    }
    const fft_plan *p = plan_of(fft);
    cufft_check(cufft.cufftSetStream(p->handle, hy_cuda_stream()), "the stream");
    cufft_check(cufft.cufftSetWorkArea(p->handle, p->bytes <= fft->area_bytes ? fft->area : spare_of(p->bytes)),
                "the work area");
    cufft_check(fft->inverse ? cufft.cufftExecC2R(p->handle, (cufftComplex *)fft->rows, fft->rows)
                             : cufft.cufftExecR2C(p->handle, fft->rows, (cufftComplex *)fft->rows),
                "a transform");
}

#else

void hy_cuda_fft(const hy_fft_rows *fft) {
    (void)fft;
    end_without("its header was not there when hylas was built", 0);
}

#endif
