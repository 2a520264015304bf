/* Devices. A device owns memory and executes the operations of kernels.h, in order, on lanes: queues of work that run beside
 * each other. Marks order lanes among themselves and let the host wait; nothing else does.
 *
 *   device       what executes: `cpu`, `cpu_ref` (the host itself: a call returns when the work is done, marks cost nothing);
 *                `cpu_async` (the same operations on threads of their own, late and in memory that the host cannot touch: what
 *                fails there would fail on any processor beside the host); `cpu_apart` (as that, and exchanges cannot touch it either)
 *   profile      what the sizes of plans depend on: element types, tuning, scratch of operations. Planning needs no device
 *   lane         COMPUTE for operations, EXCHANGE for what belongs to communication, COPY for transfers from and to the host
 *   mark         a point in a lane's order
 *   signal       a point that the host gives, for lanes to wait for: where something ends that no lane does
 *
 * One thread per process calls what is declared here: the host. Args structs are copied by the call; what their pointers point to, but for
 * the device's memory, must stay until the lane has passed. */
#ifndef HY_KERNELS_DEVICE_H
#define HY_KERNELS_DEVICE_H

#include <stdbool.h>

#include "kernels/kernels.h"

/* How an implementation likes its work cut. 0 = whole: one call, however large. On processors whose caches make pieces
 * faster, or where exchanges advance only between calls, the pieces' sizes. */
typedef struct hy_tuning {
    int64_t head_logits;   /* logits of the loss at a time */
    int64_t attn_products; /* multiplications of one attention call */
    int64_t recur_pieces;  /* calls that a rank's run is cut into while an exchange is in flight */
    int64_t latent_rows;   /* keys and values made from a latent at a time */
    int64_t attn_known;    /* queries × keys from which hy_device_plan_attn is worth asking; 0: never */
} hy_tuning;

typedef struct hy_profile {
    char name[32], detail[32]; /* of the device; which variant of it runs here: "avx512", ... */
    hy_dtype dtype;
    hy_tuning tuning;
    bool async;       /* calls return before their work is done; of a dry device: those of the device that it is like */
    size_t own_bytes; /* that it takes for itself, counted: workspace of kernels, staging */
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
 * products). HYLAS_CPU=plain|avx2|avx512|amx in the environment restricts the choice. "cpu_async" runs the table of cpu,
 * "cpu_async:cpu_ref" that of cpu_ref (async/lanes.h); "cpu_apart" is the same and apart. "auto" is what hy_auto_device says (gpus.h).
 * HY_ERR_USAGE for an unknown name. Local. */
HY_MUST_CHECK hy_status hy_device_create(const char *name, hy_dtype dtype, hy_device **out);
/* Waits for all that was given. NULL allowed. */
void hy_device_destroy(hy_device *device);
/* Whether calls return before their work is done. Of a dry device not, whatever it is like (hy_profile.async). */
bool hy_device_is_async(const hy_device *device);
/* Whether neither the host, hy_device_enter or not, nor a forked child is ever in its memory: what is to move it but lanes does so by itself. */
bool hy_device_is_apart(const hy_device *device);

const hy_profile *hy_device_profile(const hy_device *device);

/* ---- memory: counted (base/memory.h), zeroed, aligned to HY_ALIGN. Only operations and the calls below touch it ---- */
HY_MUST_CHECK hy_status hy_device_alloc(hy_device *device, const char *what, size_t bytes, void **out);
/* Nothing given may still use it. NULL allowed. */
void hy_device_free(hy_device *device, void *memory);
/* Another place that hy_device_alloc takes large allocations from, from now on: of a library that moves best what lies in memory of its own. For
 * devices whose memory is CUDA's; the others, and NULL functions, leave things as they are. Both give 0 where they succeed. */
typedef struct hy_memory_source {
    int (*take)(void **memory, size_t bytes);
    int (*give_back)(void *memory);
} hy_memory_source;
void hy_device_set_source(hy_device *device, hy_memory_source source);
/* Whether a whole allocation came from there. */
bool hy_device_is_from_source(const hy_device *device, const void *memory);
/* Of a whole allocation: hy_alloc_not_in_children, where a child could see it at all. */
void hy_device_not_in_children(hy_device *device, void *memory);

/* Memory of the host that lanes copy from and to without staging (hy_device_copy), pinned where the device is a GPU: counted, zeroed, aligned
 * to HY_ALIGN. The host may touch what no lane is about to. A forked child may not have it. */
HY_MUST_CHECK hy_status hy_device_host_alloc(hy_device *device, const char *what, size_t bytes, void **out);
/* Nothing given may still use it. NULL allowed. */
void hy_device_host_free(hy_device *device, void *memory);
/* How often such memory, or signals, were made. Not inside a step: a GPU's driver may wait for all lanes, of which one may wait for the host. */
int64_t hy_device_pins(const hy_device *device);

typedef enum hy_lane { HY_LANE_COMPUTE, HY_LANE_EXCHANGE, HY_LANE_COPY, HY_LANES } hy_lane;

/* A copy in the lane's order, inside the device's memory, or between that and memory of hy_device_host_alloc; or other memory of the host, where the
 * call may wait for what the lane was given before. */
void hy_device_copy(hy_device *device, hy_lane lane, void *to, const void *from, size_t bytes);
/* From the host's memory, in the lane's order: it stays as it is until a mark behind the call is reached. */
void hy_device_upload(hy_device *device, hy_lane lane, const void *host, size_t bytes, void *to);
/* Zero bytes, in the lane's order. */
void hy_device_zero(hy_device *device, hy_lane lane, void *to, size_t bytes);
/* From the device's memory to the host's and back, at once: the host waits for what COMPUTE was given before. For what does not
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
/* Whether the lane has passed the mark. Does not wait, does not let anything pass. */
bool hy_device_reached(hy_device *device, hy_mark mark);
/* *at, seconds of base/clock.h, is the time at which the lane got here; written by the time that hy_device_wait returns for a mark taken later. */
void hy_device_stamp(hy_device *device, hy_lane lane, double *at);
/* What moves exchanges on while the host waits; call NULL: nothing. */
typedef struct hy_idle {
    void (*call)(void *context);
    void *context;
} hy_idle;
void hy_device_set_idle(hy_device *device, hy_idle idle);

/* A count that the host raises and lanes wait for: what the lane is given from now on runs once the signal has `value`. Zero at first;
 * it never falls. */
typedef struct hy_signal {
    uint64_t value;
} hy_signal;
HY_MUST_CHECK hy_status hy_device_signals(hy_device *device, int64_t n, hy_signal **out);
void hy_device_signals_free(hy_device *device, hy_signal *signals); /* NULL allowed */
void hy_device_after_signal(hy_device *device, hy_lane lane, const hy_signal *signal, uint64_t value);
void hy_device_signal(hy_device *device, hy_signal *signal, uint64_t value);

/* A lane as libraries take it that work in its order. */
typedef enum hy_stream_kind {
    HY_STREAM_NONE, /* NULL: the host's own order */
    HY_STREAM_HOST, /* a hy_stream: an asynchronous device of the host */
    HY_STREAM_CUDA  /* a cudaStream_t */
} hy_stream_kind;

/* `call` runs in the lane's order, in a thread of the lane, and may touch what the device holds. */
typedef struct hy_stream {
    void (*give)(struct hy_stream *stream, void (*call)(void *context), void *context);
} hy_stream;

hy_stream_kind hy_device_stream_kind(const hy_device *device);
/* What is given to it from now on stands in the lane's order, behind what the lane was given before. */
void *hy_device_stream(hy_device *device, hy_lane lane);

/* ---- the host in the memory of a device that is not apart: for transports that move it themselves, between these two calls. Nests ---- */
void hy_device_enter(hy_device *device);
void hy_device_leave(hy_device *device);
/* In a forked child, which sees what its parent's device held if that is not apart: it may read that. */
void hy_device_open_to_child(hy_device *device);
/* Somebody beside this process may be in it between these: a peer, an adapter. Counts. */
void hy_device_lend(hy_device *device);
void hy_device_take_back(hy_device *device);

/* ---- calls that come again (pieces.h): on devices that can, they are given in one go once they did, until this says otherwise ---- */
typedef struct hy_piece_counts {
    int64_t single, replayed; /* calls: given one by one; as part of a piece that was kept */
    int64_t kept;             /* pieces */
} hy_piece_counts;
/* Off at first. */
void hy_device_set_pieces(hy_device *device, bool on);
/* Since the device was made; zeros where it cannot. */
hy_piece_counts hy_device_pieces(const hy_device *device);

/* ---- plans of a library's, for attn_fwd of known pairs (kernels.h, hy_attn_sight) ---- */
/* Of a->H, HKV, D, DV, scale, sight, known.nq and known.nk: makes the plan and compares it with the own kernel, on random numbers, before anything
 * uses it. What fails says so and leaves such calls to the own kernel. Not inside a step: waits for all lanes, takes memory while it lasts, and a
 * plan's making may wait for whatever the device does. Local. */
void hy_device_plan_attn(hy_device *device, const hy_attn_args *a);
/* Whether there is a plan for them. */
bool hy_device_has_attn_plan(const hy_device *device, const hy_attn_args *a);

/* ---- what was spent ---- */
typedef struct hy_op_counts {
    double seconds[HY_OP_COUNT];
    int64_t calls[HY_OP_COUNT];
} hy_op_counts;

/* May be read, and written to count from somewhere else. Waits until nothing is on its way. */
hy_op_counts *hy_device_counts(hy_device *device);
/* How often the host waited for COMPUTE: hy_device_wait, hy_device_read and hy_device_write, on a device of the host too. (To wait until COPY
 * has let go of a buffer holds up nothing.) */
int64_t hy_device_waits(const hy_device *device);

#endif
