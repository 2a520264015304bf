/* Subnormal floats as zero. A state that decays and receives nothing (what a state adds to outputs, a transition) ends in numbers below 2^-126, for
 * which a processor leaves its fast path: an instruction takes some hundred cycles. They carry nothing: outputs are sums with numbers many orders
 * larger. */
#ifndef HY_KERNELS_CPU_SIMD_FLUSH_H
#define HY_KERNELS_CPU_SIMD_FLUSH_H

#include <stdint.h>

#if defined(__SSE2__)
#include <immintrin.h>
typedef unsigned int hy_float_mode;
enum { HY_FLUSH_BITS = 0x8040 }; /* results, operands (MXCSR: FTZ, DAZ) */
static inline hy_float_mode hy_float_mode_get(void) {
    return _mm_getcsr();
}
static inline void hy_float_mode_set(hy_float_mode mode) {
    _mm_setcsr(mode);
}
#elif defined(__aarch64__)
typedef uint64_t hy_float_mode;
enum { HY_FLUSH_BITS = 1 << 24 }; /* both (FPCR: FZ) */
static inline hy_float_mode hy_float_mode_get(void) {
    hy_float_mode mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode) : : "memory");
    return mode;
}
static inline void hy_float_mode_set(hy_float_mode mode) {
    __asm__ volatile("msr fpcr, %0" : : "r"(mode) : "memory");
}
#else /* slower, and right */
typedef unsigned int hy_float_mode;
enum { HY_FLUSH_BITS = 0 };
static inline hy_float_mode hy_float_mode_get(void) {
    return 0;
}
static inline void hy_float_mode_set(hy_float_mode mode) {
    (void)mode;
}
#endif

static inline hy_float_mode hy_flush_begin(void) {
    const hy_float_mode mode = hy_float_mode_get();
    hy_float_mode_set(mode | HY_FLUSH_BITS);
    return mode;
}

static inline void hy_flush_end(const hy_float_mode *mode) {
    hy_float_mode_set(*mode);
}

/* A declaration: this thread flushes until its block is left. */
#define HY_FLUSH_SUBNORMALS                                                                                            \
    const hy_float_mode mode_before __attribute__((cleanup(hy_flush_end), unused)) = hy_flush_begin()

#endif
