/* Row-major C = op(A)·op(B) is column-major Cᵀ = op(B)ᵀ·op(A)ᵀ of the same memory: B is the library's first factor, n its rows.
 * Descriptors and the algorithm of a shape are made once, at its first call. */
#include "kernels/cuda/gemm_cublas.h"

#include <cublasLt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/library.h"
#include "base/log.h"
#include "kernels/cuda/cuda_call.h"

/* What is used of the library. */
#define CUBLAS_CALLS(X)                                                                                                \
    X(cublasLtCreate)                                                                                                  \
    X(cublasLtMatmulDescCreate)                                                                                        \
    X(cublasLtMatmulDescSetAttribute)                                                                                  \
    X(cublasLtMatrixLayoutCreate)                                                                                      \
    X(cublasLtMatmulPreferenceCreate)                                                                                  \
    X(cublasLtMatmulPreferenceSetAttribute)                                                                            \
    X(cublasLtMatmulPreferenceDestroy)                                                                                 \
    X(cublasLtMatmulAlgoGetHeuristic)                                                                                  \
    X(cublasLtMatmul)

static struct {
#define X(call) __typeof__(&(call)) call;
    CUBLAS_CALLS(X)
#undef X
    cublasLtHandle_t handle;
} lib;

typedef struct shape {
    int64_t m, n, k, lda, ldb, ldc;
    int32_t trans_a, trans_b, half_in, half_out, aligned; /* aligned: the least of the pointers, bytes */
} shape;

typedef struct product {
    shape of;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulAlgo_t algo;
    size_t workspace;
    int used;
} product;

enum { PRODUCTS = 4096 };
static product *products; /* [PRODUCTS], by hash */
static hy_gemm_entry *other_f32, *other_bf16;

static void check(cublasStatus_t status, const char *what) {
    if (status != CUBLAS_STATUS_SUCCESS) {
        fprintf(stderr, "hylas: cuBLASLt: %s failed with status %d\n", what, (int)status);
        abort();
    }
}

/* At the first product: by then there is a driver. */
static int open_library(void) {
    static int opened;
    char name[64], why[256];
    if (opened) {
        return products != NULL;
    }
    opened = 1;
    snprintf(name, sizeof name, "libcublasLt.so.%d", CUDART_VERSION / 1000);
    void *library = hy_library_open(name, why, sizeof why);
    if (library == NULL) {
        hy_warn("%s is not here: products will be slow", name);
        return 0;
    }
#define X(call)                                                                                                        \
    if (!hy_library_find(library, #call, &lib.call, why, sizeof why)) {                                                \
        return 0;                                                                                                      \
    }
    CUBLAS_CALLS(X)
#undef X
    check(lib.cublasLtCreate(&lib.handle), "cublasLtCreate");
    products = calloc(PRODUCTS, sizeof *products);
    return products != NULL;
}

/* ---- a shape's descriptors ---- */

static void make_layouts(product *p) {
    const shape *s = &p->of;
    const cudaDataType_t in = s->half_in ? CUDA_R_16BF : CUDA_R_32F, out = s->half_out ? CUDA_R_16BF : CUDA_R_32F;
    const cublasOperation_t turn_first = s->trans_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t turn_second = s->trans_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    const uint64_t m = (uint64_t)s->m, n = (uint64_t)s->n, k = (uint64_t)s->k;
    check(lib.cublasLtMatmulDescCreate(&p->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F), "a product's description");
    check(lib.cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_TRANSA, &turn_first, sizeof turn_first),
          "a product's description");
    check(lib.cublasLtMatmulDescSetAttribute(p->desc, CUBLASLT_MATMUL_DESC_TRANSB, &turn_second, sizeof turn_second),
          "a product's description");
    check(lib.cublasLtMatrixLayoutCreate(&p->a, in, s->trans_b ? k : n, s->trans_b ? n : k, s->ldb), "a layout");
    check(lib.cublasLtMatrixLayoutCreate(&p->b, in, s->trans_a ? m : k, s->trans_a ? k : m, s->lda), "a layout");
    check(lib.cublasLtMatrixLayoutCreate(&p->c, out, n, m, s->ldc), "a layout");
}

static void choose_algorithm(product *p) {
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t found;
    const size_t workspace = HY_CUDA_WORKSPACE;
    const uint32_t aligned = (uint32_t)p->of.aligned;
    static const cublasLtMatmulPreferenceAttributes_t alignments[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    int n = 0;
    check(lib.cublasLtMatmulPreferenceCreate(&preference), "a preference");
    check(lib.cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                                   sizeof workspace),
          "a preference");
    for (int i = 0; i < 4; i++) {
        check(lib.cublasLtMatmulPreferenceSetAttribute(preference, alignments[i], &aligned, sizeof aligned),
              "a preference");
    }
    check(lib.cublasLtMatmulAlgoGetHeuristic(lib.handle, p->desc, p->a, p->b, p->c, p->c, preference, 1, &found, &n),
          "the choice of an algorithm");
    check(n == 1 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED, "the choice of an algorithm");
    check(lib.cublasLtMatmulPreferenceDestroy(preference), "a preference");
    p->algo = found.algo;
    p->workspace = found.workspaceSize;
}

static uint64_t hash_of(const shape *s) {
    const unsigned char *bytes = (const unsigned char *)s;
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < sizeof *s; i++) {
        hash = (hash ^ bytes[i]) * 1099511628211u;
    }
    return hash;
}

static const product *product_of(const shape *s) {
    for (uint64_t i = 0, at = hash_of(s); i < PRODUCTS; i++, at++) {
        product *p = &products[at % PRODUCTS];
        if (p->used && memcmp(&p->of, s, sizeof *s) == 0) {
            return p;
        }
        if (!p->used) {
            p->of = *s;
            p->used = 1;
            make_layouts(p);
            choose_algorithm(p);
            return p;
        }
    }
    check(CUBLAS_STATUS_ALLOC_FAILED, "room for one more shape");
    return NULL;
}

/* ---- entries ---- */

static int32_t alignment_of(const hy_gemm_args *a) {
    const uintptr_t all = (uintptr_t)a->a | (uintptr_t)a->b | (uintptr_t)a->c | 256;
    return (int32_t)(all & (~all + 1));
}

static void multiply(const hy_gemm_args *a, int half_in, int half_out) {
    const float alpha = (float)a->alpha, beta = (float)a->beta;
    shape s;
    memset(&s, 0, sizeof s); /* padding takes part in comparisons */
    s.m = a->m, s.n = a->n, s.k = a->k, s.lda = a->lda, s.ldb = a->ldb, s.ldc = a->ldc;
    s.trans_a = a->trans_a, s.trans_b = a->trans_b, s.half_in = half_in, s.half_out = half_out;
    s.aligned = alignment_of(a);
    const product *p = product_of(&s);
    check(lib.cublasLtMatmul(lib.handle, p->desc, &alpha, a->b, p->a, a->a, p->b, &beta, a->c, p->c, a->c, p->c,
                             &p->algo, hy_cuda_workspace(p->workspace), p->workspace, hy_cuda_stream()),
          "a product");
}

static void gemm_as(const hy_gemm_args *a, hy_dtype dtype, hy_gemm_entry *other) {
    const int half_a = hy_dtype_of(dtype, a->a_role) == HY_BF16, half_b = hy_dtype_of(dtype, a->b_role) == HY_BF16;
    const int half_c = hy_dtype_of(dtype, a->c_role) == HY_BF16;
    if (a->m == 0 || a->n == 0) {
        return;
    }
    if (a->k == 0 || half_a != half_b || (half_c && !half_a) || !open_library()) {
        other(a);
    } else {
        multiply(a, half_a, half_c);
    }
}

static void gemm_f32(const hy_gemm_args *a) {
    gemm_as(a, HY_F32, other_f32);
}

static void gemm_bf16(const hy_gemm_args *a) {
    gemm_as(a, HY_BF16, other_bf16);
}

hy_gemm_entry *hy_cublas_gemm(hy_dtype dtype, hy_gemm_entry *other) {
    *(dtype == HY_BF16 ? &other_bf16 : &other_f32) = other;
    return dtype == HY_BF16 ? gemm_bf16 : gemm_f32;
}
