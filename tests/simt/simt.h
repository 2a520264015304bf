/* An interpreter for CUDA sources that are compiled for the host: one block at a time, each thread of it ("lane") a context of its own
 * that runs until it has to wait for others. Lanes are never in step, so what a kernel does not order is not ordered.
 *
 *   shared memory  0xFF in every byte when a block begins (NaN); between pages that may not be touched, at its end in even blocks,
 *                  at its beginning in odd ones, and bytes around it are checked when the block ends
 *   warp operation a meeting of the lanes in a mask: the last to come computes for all. Who never comes is reported
 *   async copy     lands when the lane that made it waits for it, and not before: until then the target is 0xFF
 *   order          of lanes and of blocks: HYLAS_SIMT_ORDER = forward (default), reverse or shuffle, which HYLAS_SIMT_SEED draws
 *
 * Every error says kernel, block and thread, and ends the process (abort). A kernel that never waits costs no switch: one stack serves
 * all its lanes. What kernels call is in prim_host.h; one thread of a process at a time may launch. */
#ifndef HY_TESTS_SIMT_SIMT_H
#define HY_TESTS_SIMT_SIMT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { HY_SIMT_WARP = 32, HY_SIMT_THREADS_MAX = 1024, HY_SIMT_SHARED_MAX = 232448 };

typedef struct hy_simt_grid {
    int64_t x, y, z;
} hy_simt_grid;

typedef struct hy_simt_kernel {
    const char *name;
    void (*call)(const void *job); /* one lane */
    const void *job;
    void (*function)(void); /* the kernel itself, to be named */
    hy_simt_grid grid;      /* blocks; none if one of them is 0 */
    int threads;            /* of a block */
    size_t shared_bytes;
} hy_simt_kernel;

/* HYLAS_SIMT_LAUNCHES=FILE: every launch adds a line there: where the kernel lies in the program (as nm says), threads, bytes of shared
 * memory, blocks. */
void hy_simt_launch(const hy_simt_kernel *kernel);
/* How many there were in this process. */
int64_t hy_simt_launches(void);
/* From now on they run nothing: for sizes whose arrays nobody has. */
void hy_simt_only_count(void);

/* Where the running lane is. */
typedef struct hy_simt_place {
    int thread, threads;
    hy_simt_grid block, grid;
    unsigned char *shared; /* aligned to 16 bytes */
    size_t shared_bytes;
} hy_simt_place;
extern hy_simt_place hy_simt_now;

/* Waits for every lane of the block. */
void hy_simt_barrier(void);

/* Waits for every lane of the warp that is in `mask`: all must say the same `what`. Then compute(own, mask), once, where own[i] is what lane i
 * gave; NULL: nothing. */
typedef void (*hy_simt_compute)(void *const *own, uint32_t mask);
void hy_simt_meet(uint32_t mask, const char *what, void *own, hy_simt_compute compute);

/* 16 bytes to shared memory, the first `bytes` of them from `from`, zeros behind. Group n is what lies between commits. */
void hy_simt_copy_async(void *to, const void *from, int bytes);
void hy_simt_copy_commit(void);
/* All groups of this lane but the last `but` have landed. */
void hy_simt_copy_wait(int but);

/* That [at, at + bytes) is in shared memory and aligned to `align`. */
void hy_simt_check_shared(const char *what, const void *at, size_t bytes, size_t align);
void hy_simt_check_aligned(const char *what, const void *at, size_t align);

/* Memory that launches pass on to each other, the same at every call: of `bytes`, those behind the first `keep` are 0xFF. */
enum { HY_SIMT_WORKSPACE = 64 << 20 };
void *hy_simt_workspace(size_t bytes, size_t keep);

void hy_simt_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#ifdef __cplusplus
}
#endif

#endif
