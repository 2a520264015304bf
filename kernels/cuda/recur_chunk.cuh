/* Linear recurrences in chunks of CHUNK tokens, additive or delta rule. One decay per head (or none): with G the sums of the log decays
 * inside a chunk, E_ij = e^{G_i − G_j} for i ≥ j, X the state entering it, b = beta:
 *
 *   T = (I + δ tril(b_i k_i·k_j E_ij, −1))⁻¹       P = scale tril(q_i·k_j E_ij)
 *   Z = T b (V − δ e^G K X)    o = scale e^G Q X + P Z    X ← e^{G_C} X + (e^{G_C−G} K)ᵀ Z
 *
 * and the gradient X of the state, from the last chunk to the first:
 *
 *   dZ = Pᵀ do + e^{G_C−G} K X   du = Tᵀ dZ   dV = b du   X ← e^{G_C} X + (scale e^G Q)ᵀ do − δ (e^G K)ᵀ dV
 *
 * A decay per key: G and E are per key too, products with E are sums over keys of three factors (recur_vector.cuh), and e^G K, e^G Q,
 * e^{G_C−G} K are arrays that the walk reads instead of K and Q. `exclusive`: query i has G_{i−1} in place of G_i, and P no diagonal.
 *
 * recur_prep.cu (recur_prep_vector.cu) makes T, P and the vectors of every chunk and head, all of them at once; recur_scan.cu is the only walk
 * from chunk to chunk.
 * (Yang et al. 2024, "Parallelizing linear transformers with the delta rule"; Yang et al. 2025, "Gated delta networks") */
#ifndef HY_KERNELS_CUDA_RECUR_CHUNK_CUH
#define HY_KERNELS_CUDA_RECUR_CHUNK_CUH

#include "kernels/cuda/recur.cuh"
#include "kernels/cuda/recur_tile.cuh"

namespace HY_GPU {

enum { CHUNK_KEYS_MAX = 256 };

/* Whether these kernels serve the form. Keys of fewer channels than a chunk has tokens depend on each other: T is then large, and what is
 * rounded to bfloat16 beside it errs by more than it may. */
static inline bool recur_in_chunks(const hy_recur_args &a) {
    return a.rule != HY_RULE_DPLR && (!a.exclusive || a.decay == HY_DECAY_VECTOR) && a.K >= CHUNK &&
           a.K <= CHUNK_KEYS_MAX;
}

/* What a token is to its chunk. */
struct chunk_token {
    float from_begin, to_end, beta, unused; /* e^G, e^{G_C − G}, 1 where keys have decays of their own; 16 bytes */
};

/* Parts of `work`, by tokens: its size does not depend on how tokens lie in runs. States are those on the edges inside runs, a run's
 * first token + n·CHUNK, n > 0: edge / CHUNK numbers them, for no two fall on the same number, whatever the runs. */
struct chunk_work {
    chunk_token *tokens; /* [T,HV] */
    void *solve, *read;  /* [T,HV,CHUNK] rows of T and P; this and all below: elements of act */
    /* A decay per key only: [T,HV,K] e^{G_C−G} K, e^G K (delta), e^G Q. */
    void *keys_to_end, *keys_from_begin, *queries;
    float *
        ends; /* and e^{G_C} of whole chunks, [T/CHUNK + 1,HV,ends_pitch], at the number of their first token / CHUNK */
    void *z, *du;         /* [T,HV,V] of the backward pass, as all below; elements of act again */
    void *states, *grads; /* [T/CHUNK + 1,HV,V,K] X of both directions */
    float *keys;          /* [2][T,HV,K] dq, dk of value heads, where some share keys */
    float *gates;         /* [T,HV] dg of tokens, HY_DECAY_HEAD */
    size_t bytes;         /* of all */
};

/* Floats between rows of `ends`, which are copied 16 bytes at a time. */
HY_BOTH int64_t ends_pitch(const hy_recur_args &a) {
    return (a.K + 3) / 4 * 4;
}

/* The next `bytes` of it. */
HY_BOTH void *chunk_take(chunk_work &w, void *base, int64_t bytes) {
    void *at = reinterpret_cast<void *>((uintptr_t)base + w.bytes);
    w.bytes += (size_t)(bytes + 15) / 16 * 16;
    return at;
}

HY_BOTH chunk_work chunk_work_of(const hy_recur_args &a, bool half) {
    const int64_t n = a.T * a.HV, size = half ? 2 : 4, states = (a.T / CHUNK + 1) * a.HV * a.K * a.V * size;
    chunk_work w = {};
    w.tokens = static_cast<chunk_token *>(chunk_take(w, a.work, n * (int64_t)sizeof(chunk_token)));
    w.solve = chunk_take(w, a.work, n * CHUNK * size);
    w.read = chunk_take(w, a.work, n * CHUNK * size);
    const int64_t scaled = a.decay == HY_DECAY_VECTOR ? n * a.K * size : 0;
    w.keys_to_end = chunk_take(w, a.work, scaled);
    w.keys_from_begin = chunk_take(w, a.work, a.rule == HY_RULE_DELTA ? scaled : 0);
    w.queries = chunk_take(w, a.work, scaled);
    w.ends = static_cast<float *>(chunk_take(w, a.work, scaled > 0 ? (a.T / CHUNK + 1) * a.HV * ends_pitch(a) * 4 : 0));
    w.z = chunk_take(w, a.work, n * a.V * size);
    w.du = chunk_take(w, a.work, n * a.V * size);
    w.states = chunk_take(w, a.work, states);
    w.grads = chunk_take(w, a.work, states);
    w.keys = static_cast<float *>(chunk_take(w, a.work, a.HV > a.H ? 2 * n * a.K * 4 : 0));
    w.gates = static_cast<float *>(chunk_take(w, a.work, n * 4));
    return w;
}

/* Tokens of a run's chunk c. */
HY_DEVICE int chunk_len(const hy_run &run, int64_t c) {
    return run.len - c * CHUNK < CHUNK ? (int)(run.len - c * CHUNK) : (int)CHUNK;
}

/* Chunks of all runs, at most. */
static inline int64_t chunks_at_most(const hy_recur_args &a) {
    return a.T / CHUNK + a.n_runs;
}

/* An entry per chunk, in the workspace, which recur_prep makes on the device from the list of runs. */
enum : int64_t { PLACE_INSIDE = -2 };
struct chunk_place {
    int64_t begin, len;    /* len 0: none */
    int64_t before, after; /* slots of the states on its edges, −1: none, PLACE_INSIDE: inside a run */
};

static inline size_t recur_chunk_work(const hy_recur_args &a, bool half) {
    hy_recur_args at = a;
    at.work = nullptr;
    return chunk_work_of(at, half).bytes;
}

static inline int padded(int64_t n, int to) {
    return (int)((n + to - 1) / to) * to;
}

/* Returns the chunks, in the workspace. */
const chunk_place *recur_prep(const recur_of &args, bool reads);

enum scan_task {
    SCAN_FWD,        /* o, S1 */
    SCAN_INJECT,     /* o += */
    SCAN_MAP,        /* H_map */
    SCAN_TRANSITION, /* A_map */
    SCAN_STATES,     /* states and z of the work */
    SCAN_MAP_BWD,    /* dH */
    SCAN_GRADS       /* grads and du of the work, dv, dS0 */
};
void recur_scan(const recur_of &args, scan_task task);
void recur_grad(const recur_of &args, const chunk_place *chunks);

} // namespace HY_GPU

#endif
