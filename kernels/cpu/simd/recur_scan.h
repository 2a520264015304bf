/* What every chunked recurrence shares: sizes of chunks, scratch memory, and where a value head of a run lies in
 * memory. */
#ifndef HY_KERNELS_CPU_SIMD_RECUR_SCAN_H
#define HY_KERNELS_CPU_SIMD_RECUR_SCAN_H

#include "kernels/cpu/simd/isa.h"
#include "kernels/cpu/simd/mat.h"

#define HY_CHUNK      16
#define HY_CHUNK_SPAN 80.0f /* nats: e^{±40} times data stays far from overflow */

/* Floats handed out one after the other; with base NULL only counted. */
typedef struct hy_scratch {
    float *base;
    int64_t used;
} hy_scratch;

HY_INLINE float *hy_scratch_take(hy_scratch *s, int64_t n) {
    float *p = s->base ? s->base + s->used : NULL;
    s->used += hy_round16(n);
    return p;
}

HY_INLINE hy_mat hy_scratch_mat(hy_scratch *s, int64_t rows, int64_t cols) {
    int64_t ld = hy_mat_ld(cols);
    return (hy_mat){hy_scratch_take(s, rows * ld), ld};
}

/* One value head of one run. */
typedef struct hy_scan {
    const hy_recur_args *a;
    hy_run run;
    int64_t head, vhead; /* of q, k; of v, g, beta, o */
    int64_t Kp, Vp;      /* K, V rounded up to 16 */
    int delta, vector, exclusive;
    float scale;
} hy_scan;

HY_INLINE hy_scan hy_scan_make(const hy_recur_args *a, const hy_run *run, int64_t vhead) {
    return (hy_scan){.a = a,
                     .run = run ? *run : (hy_run){0},
                     .head = a->HV ? vhead / (a->HV / a->H) : 0,
                     .vhead = vhead,
                     .Kp = hy_round16(a->K),
                     .Vp = hy_round16(a->V),
                     .delta = a->rule == HY_RULE_DELTA,
                     .vector = a->decay == HY_DECAY_VECTOR,
                     .exclusive = a->exclusive,
                     .scale = (float)a->scale};
}

HY_INLINE int64_t hy_scan_k_at(const hy_scan *s, int64_t t) {
    return (t * s->a->H + s->head) * s->a->K;
}

HY_INLINE int64_t hy_scan_v_at(const hy_scan *s, int64_t t) {
    return (t * s->a->HV + s->vhead) * s->a->V;
}

/* Queues (ahead.h) a chunk's rows of an array [T,heads,cols] from token `begin` on, as far as they lie in the run. */
HY_INLINE void hy_scan_ahead(const hy_scan *s, const void *p, int64_t size, int64_t heads, int64_t head, int64_t cols,
                             int64_t begin) {
    int64_t first = begin > s->run.begin ? begin : s->run.begin, end = s->run.begin + s->run.len;
    int64_t last = begin + HY_CHUNK < end ? begin + HY_CHUNK : end;
    if (p)
        hy_ahead_push((const char *)p + (first * heads + head) * cols * size, size, heads * cols, last - first, cols);
}

HY_INLINE void hy_scan_ahead_keys(const hy_scan *s, const void *p, int64_t begin) {
    hy_scan_ahead(s, p, sizeof(hy_elem), s->a->H, s->head, s->a->K, begin);
}

HY_INLINE void hy_scan_ahead_values(const hy_scan *s, const void *p, int64_t begin) {
    hy_scan_ahead(s, p, sizeof(hy_elem), s->a->HV, s->vhead, s->a->V, begin);
}

HY_INLINE void hy_scan_ahead_gates(const hy_scan *s, const void *p, int64_t begin) {
    if (s->vector)
        hy_scan_ahead(s, p, sizeof(float), s->a->HV, s->vhead, s->a->K, begin);
}

/* In arrays of states: S0, S1, dS0, dS1, H_map, dH. */
HY_INLINE int64_t hy_scan_state_at(const hy_scan *s, int64_t slot) {
    return (slot * s->a->HV + s->vhead) * s->a->K * s->a->V;
}

/* Chunks never cross multiples of 64 tokens from the run's start, so the backward pass can start from any of them. */
#define HY_SEGMENT 64

HY_INLINE int64_t hy_segment_rest(const hy_scan *s, int64_t t) {
    int64_t into = t - s->run.begin, rest = s->run.len - into, room = HY_SEGMENT - into % HY_SEGMENT;
    return rest < room ? rest : room;
}

#endif
