/* Devices. A device owns memory and executes the operations of kernels.h, in order, on lanes: queues of work that run beside
 * each other. Marks order lanes among themselves and let the host wait; nothing else does.
 *
 *   device       what executes: `cpu`, `cpu_ref` (the host itself: a call returns when the work is done, marks cost nothing)
 *   profile      what the sizes of plans depend on: element types, tuning, scratch of operations. Planning needs no device
 *   lane         COMPUTE for operations, EXCHANGE for what belongs to communication, COPY for transfers from and to the host
 *   mark         a point in a lane's order */
#ifndef HY_KERNELS_DEVICE_H
#define HY_KERNELS_DEVICE_H

#include "kernels/kernels.h"

/* How an implementation likes its work cut. 0 = whole: one call, however large. On processors whose caches make pieces
 * faster, or where exchanges advance only between calls, the pieces' sizes. */
typedef struct hy_tuning {
    int64_t head_logits;   /* logits of the loss at a time */
    int64_t attn_products; /* multiplications of one attention call */
    int64_t recur_pieces;  /* calls that a rank's run is cut into while an exchange is in flight */
    int64_t latent_rows;   /* keys and values made from a latent at a time */
} hy_tuning;

typedef struct hy_profile {
    char name[32], detail[32]; /* of the device; which variant of it runs here: "avx512", ... */
    hy_dtype dtype;
    hy_tuning tuning;
    /* Bytes of args->work: see hy_table. */
    size_t (*recur_work)(const hy_recur_args *);
    size_t (*level_work)(const hy_level_recur_args *);
    size_t (*attn_work)(const hy_attn_args *);
    size_t (*long_conv_work)(const hy_long_conv_args *);
} hy_profile;

/* The profile of the device called `name`. HY_ERR_USAGE for an unknown name. Local. */
HY_MUST_CHECK hy_status hy_profile_of(const char *name, hy_dtype dtype, hy_profile *out);

typedef struct hy_device hy_device;

/* "cpu" is cpu_ref overlaid with the fastest variants this processor runs (float32 and bf16; float64 stays on cpu_ref, with BLAS
 * products). HYLAS_CPU=plain|avx2|avx512|amx in the environment restricts the choice. HY_ERR_USAGE for an unknown name. Local. */
HY_MUST_CHECK hy_status hy_device_create(const char *name, hy_dtype dtype, hy_device **out);
void hy_device_destroy(hy_device *device); /* NULL allowed */

const hy_profile *hy_device_profile(const hy_device *device);

/* ---- memory: counted (base/memory.h), zeroed, aligned to HY_ALIGN. Only operations and the calls below touch it ---- */
HY_MUST_CHECK hy_status hy_device_alloc(hy_device *device, const char *what, size_t bytes, void **out);
void hy_device_free(hy_device *device, void *memory); /* NULL allowed */

typedef enum hy_lane { HY_LANE_COMPUTE, HY_LANE_EXCHANGE, HY_LANE_COPY, HY_LANES } hy_lane;

/* A copy inside the device's memory, in the lane's order. */
void hy_device_copy(hy_device *device, hy_lane lane, void *to, const void *from, size_t bytes);
/* From the device's memory to the host's and back, at once: waits for what COMPUTE was given before. For what does not
 * happen inside a step: checkpoints, starts, results. */
void hy_device_read(hy_device *device, const void *from, size_t bytes, void *host);
void hy_device_write(hy_device *device, const void *host, size_t bytes, void *to);

/* ---- order ---- */
typedef struct hy_mark {
    hy_lane lane;
    uint64_t at; /* 0: before everything */
} hy_mark;

/* The point behind all that the lane was given so far. */
hy_mark hy_device_mark(hy_device *device, hy_lane lane);
/* What the lane is given from now on runs after the mark. The host does not wait. */
void hy_device_after(hy_device *device, hy_lane lane, hy_mark mark);
/* The host waits for the mark. */
void hy_device_wait(hy_device *device, hy_mark mark);

/* ---- what was spent ---- */
typedef struct hy_op_counts {
    double seconds[HY_OP_COUNT];
    int64_t calls[HY_OP_COUNT];
} hy_op_counts;

/* May be read, and written to count from somewhere else. */
hy_op_counts *hy_device_counts(hy_device *device);

#endif
