/* What recur_prep.cu and recur_prep_vector.cu share. */
#ifndef HY_KERNELS_CUDA_RECUR_PREP_CUH
#define HY_KERNELS_CUDA_RECUR_PREP_CUH

#include "kernels/cuda/recur_chunk.cuh"

namespace HY_GPU {

struct prep_of {
    recur_of r;
    int keys;   /* K, padded */
    bool reads; /* P is asked for */
    chunk_place *chunks;
    int64_t n_chunks;
};

/* Floats between rows of a [CHUNK,CHUNK] matrix in the block's memory. */
enum { SQUARE_PITCH = CHUNK + 4 };

/* Column j of (I + A)⁻¹, A strictly lower: rows are read by all lanes at once. Its first `len` elements go to `to`, `stride` apart. */
template <class E> HY_DEVICE void prep_solve(E *to, int64_t stride, int len, const float *A, int j) {
    float column[CHUNK];
    HY_UNROLL
    for (int i = 0; i < CHUNK; i++) {
        float sum = i == j ? 1.0f : 0.0f;
        HY_UNROLL
        for (int l = 0; l < i; l += 4) {
            uint32_t row[4];
            load16(A + i * SQUARE_PITCH + l, row);
            HY_UNROLL
            for (int e = 0; e < 4; e++)
                if (l + e < i)
                    sum -= float_of_bits(row[e]) * column[l + e];
        }
        column[i] = sum;
    }
    HY_UNROLL
    for (int i = 0; i < CHUNK; i++)
        if (i < len)
            set_value(to[i * stride], column[i]);
}

/* T, P, and keys and queries with their decays, where each key has one of its own. */
void recur_prep_vector(const prep_of &w);

} // namespace HY_GPU

#endif
