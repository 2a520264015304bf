/* Tensor cores and what feeds them. Fragments (PTX ISA, "Matrix fragments"), of lane L, g = L/4, t = L%4, element i:
 *
 *   mma_bf16 16×8×16   A i<8: row g+8((i>>1)&1), col 2t+(i&1)+8(i>>2)     B i<4: k 2t+(i&1)+8(i>>1), n g     even i in the low halves
 *   mma_tf32 16×8×8    A i<4: row g+8(i&1), col t+4(i>>1)                 B i<2: k t+4i, n g
 *   both               C i<4: row g+8(i>>1), col 2t+(i&1)
 *   tile_load4         lane 8m+r gives the address of row r (8 bf16, 16 bytes) of matrix m; out[m] is row g, columns 2t, 2t+1;
 *                      _turned: rows 2t, 2t+1 of column g
 *
 *   A from [M][K]: row L&15, col 8(L>>4).  B of two columns of tiles from [N][K]: row (L&7)+8(L>>4), col 8((L>>3)&1); from [K][N], turned:
 *   row (L&7)+8((L>>3)&1), col 8(L>>4).  C as the next product's A, of tiles 2s and 2s+1: a0 = c01, a1 = c23 of 2s, a2 = c01, a3 = c23 of 2s+1.
 *
 * All lanes of the warp take part, and all addresses are in the block's memory. Needs sm_80. */
#ifndef HY_KERNELS_CUDA_PRIM_TILE_CUH
#define HY_KERNELS_CUDA_PRIM_TILE_CUH

#include "kernels/cuda/prim.cuh"

#ifndef __CUDACC__
#include "tests/simt/prim_tile_host.h"
#else

namespace HY_GPU {

/* C += A·B, float sums. */
HY_DEVICE void mma_bf16(float c[4], const uint32_t a[4], const uint32_t b[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* Of A and B, bits of floats, only the upper 19 count. */
HY_DEVICE void mma_tf32(float c[4], const uint32_t a[4], const uint32_t b[2]) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

HY_DEVICE uint32_t shared_address(const void *p) {
    return (uint32_t)__cvta_generic_to_shared(p);
}

HY_DEVICE void tile_load4(uint32_t out[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(shared_address(row))
                 : "memory");
}

HY_DEVICE void tile_load4_turned(uint32_t out[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(shared_address(row))
                 : "memory");
}

/* An 8×8 matrix of bf16, row g, columns 2t, 2t+1 in each lane, turned. */
HY_DEVICE uint32_t tile_turn(uint32_t x) {
    uint32_t y;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(y) : "r"(x));
    return y;
}

/* ---- copies that do not wait ---- */

/* 16 bytes to the block's memory: the first `bytes` of them (0 to 16) from `from`, aligned to 16 too, zeros behind. They are there once
 * copy_wait has let this thread pass, and for others behind the barrier after it. */
HY_DEVICE void copy_async(void *to, const void *from, int bytes = 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes)
                 : "memory");
}
/* Closes a group of this thread's copies. */
HY_DEVICE void copy_commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}
/* Until at most BUT of the groups closed last are on their way. */
template <int BUT> HY_DEVICE void copy_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(BUT) : "memory");
}

} // namespace HY_GPU

#endif

#endif
