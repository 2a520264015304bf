/* Segment maps: one matrix product per head where the transition is a matrix, row factors otherwise. */
#include <cblas.h>
#include <string.h>

#include "kernels/cpu/list_ops.h"
#include "kernels/cpu/simd/flush.h"
#include "kernels/cpu/simd/recur_family.h"

/* C [K,n] = op(A) [K,K] · B [K,n] + C */
static void product_add(int transpose, int64_t K, int64_t n, const float *A, const float *B, float *C) {
    if (K == 0 || n == 0)
        return;
    cblas_sgemm(CblasRowMajor, transpose ? CblasTrans : CblasNoTrans, CblasNoTrans, (int)K, (int)n, (int)K, 1, A,
                (int)K, B, (int)n, 1, C, (int)n);
}

/* out = A·S + H with A a number or a number per row. */
static void rows_add(int64_t K, int64_t V, int64_t a_size, const float *A, const float *S, float *out) {
    for (int64_t i = 0; i < K; i++)
        for (int64_t j = 0; j < V; j++)
            out[i * V + j] += A[a_size == 1 ? 0 : i] * S[i * V + j];
}

static void set_or_zero(float *out, const float *H, int64_t n) {
    if (!H)
        memset(out, 0, (size_t)n * sizeof *out);
    else if (H != out)
        memcpy(out, H, (size_t)n * sizeof *out);
}

static void transition_add(const hy_map_apply_args *a, const float *A, const float *S, float *out) {
    if (a->a_size == a->K * a->K && a->K > 1)
        product_add(a->transpose, a->K, a->V, A, S, out);
    else
        rows_add(a->K, a->V, a->a_size, A, S, out);
}

void HY_ISA_NAME(hy_map_apply)(const hy_map_apply_args *a) {
    const float *A = a->A, *S = a->S, *H = a->H;
    int64_t size = a->K * a->V;
#pragma omp parallel for
    for (int64_t i = 0; i < a->n; i++) {
        HY_FLUSH_SUBNORMALS;
        float *out = (float *)a->out + i * size;
        set_or_zero(out, H ? H + i * size : NULL, size);
        if (S)
            transition_add(a, A + i * a->a_size, S + i * size, out);
    }
}

void HY_ISA_NAME(hy_map_fold)(const hy_map_fold_args *a) {
    hy_fold_by(a, sizeof(float), HY_ISA_NAME(hy_map_apply));
}

void HY_ISA_NAME(hy_map_join)(const hy_map_join_args *a) {
    hy_join_by(a, sizeof(float), HY_ISA_NAME(hy_map_apply));
}

void HY_ISA_NAME(hy_map_compose)(const hy_map_compose_args *a) {
    const float *A1 = a->A1, *H1 = a->H1, *A2 = a->A2, *H2 = a->H2;
    int64_t size = a->K * a->V;
    hy_map_apply_args one = {.n = 1, .K = a->K, .V = a->V, .a_size = a->a_size};
#pragma omp parallel for
    for (int64_t i = 0; i < a->n; i++) {
        HY_FLUSH_SUBNORMALS;
        const float *first = A1 + i * a->a_size, *second = A2 + i * a->a_size;
        float *A = (float *)a->A + i * a->a_size, *H = (float *)a->H + i * size;
        set_or_zero(H, H2 + i * size, size);
        transition_add(&one, second, H1 + i * size, H);
        if (a->a_size == a->K * a->K && a->K > 1) {
            set_or_zero(A, NULL, a->a_size);
            product_add(0, a->K, a->K, second, first, A);
        } else {
            for (int64_t j = 0; j < a->a_size; j++)
                A[j] = second[j] * first[j];
        }
    }
}
