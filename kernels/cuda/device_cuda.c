/* The device `cuda`: a GPU of this host. Lanes are streams, marks are events, signals are words of pinned memory that a stream waits for;
 * memory is cudaMalloc's, counted with the host's; what the host gives or takes goes through pinned staging. Ranks of a host take its GPUs
 * in turn. Needs a driver only when it is created. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "kernels/cuda/cuda_call.h"
#include "kernels/cuda/cuda_facts.h"
#include "kernels/cuda/cuda_graphs.h"
#include "kernels/cuda/cuda_lanes.h"
#include "kernels/cuda/cuda_stamps.h"
#include "kernels/cuda/cudnn_attention.h"
#include "kernels/cuda/gemm_cublas.h"
#include "kernels/cuda/table_cuda.h"
#include "kernels/device_internal.h"

enum {
    STAGE = 4 << 20,
    STAGES = 4,
    BATCH = 64,
    BATCHES = 8,
    BLOCKS = 256,
    FROM_SOURCE = 2 << 20, /* bytes: below, another source's granularity would waste memory */
    OWN_BYTES = HY_CUDA_WORKSPACE + STAGES * STAGE
};

/* Of the GPU, or pinned. */
typedef struct cuda_block {
    void *memory;
    const char *what;
    size_t bytes;
    int (*give_back)(void *memory); /* of another source; NULL: CUDA's own */
} cuda_block;

typedef struct cuda_own {
    hy_cuda_lanes lanes;
    hy_cuda_stamps stamps;
    unsigned char *stages;      /* pinned [STAGES][STAGE], used in turn */
    cudaEvent_t staged[STAGES]; /* the copy out of each */
    int next_stage;
    cudaEvent_t batches[BATCHES]; /* behind the launches of each, used in turn */
    int next_batch, launches;     /* since the last one */
    void *workspace;
    cuda_block blocks[BLOCKS];
    int n_blocks;
    hy_cuda_graphs graphs;
    hy_memory_source source;
    hy_idle idle;
} cuda_own;

/* Whose operations are being launched. */
static cuda_own *active;

cudaStream_t hy_cuda_stream(void) {
    active->launches++;
    return active->lanes.lane[HY_LANE_COMPUTE].stream;
}

void *hy_cuda_workspace(size_t bytes) {
    if (bytes > HY_CUDA_WORKSPACE) {
        hy_cuda_check(cudaErrorInvalidValue, "workspace", __FILE__, __LINE__);
    }
    return active->workspace;
}

static cudaStream_t stream_given(hy_device *device, hy_lane lane) {
    cuda_own *own = device->own;
    return hy_cuda_lane_give(&own->lanes, lane);
}

/* ---- what it is ---- */

static hy_status cuda_describe(const char *name, hy_dtype dtype, hy_table *table, hy_profile *profile) {
    char missing[2048];
    if (dtype == HY_F64) {
        return hy_fail(HY_ERR_USAGE, "device 'cuda' computes in f32 or bf16, not in f64");
    }
    *table = (hy_table){.name = "cuda", .detail = "", .dtype = dtype};
    hy_cuda_table(table);
    table->gemm = hy_cublas_gemm(dtype, table->gemm);
    const int n = hy_table_missing(table, missing, sizeof missing);
    if (n > 0) {
        return hy_fail(HY_ERR_USAGE, "device 'cuda' cannot run models yet: %d of %d operations are not written: %s", n,
                       (int)HY_OP_COUNT, missing);
    }
    *profile = (hy_profile){.dtype = dtype,
                            .tuning = {.attn_known = dtype == HY_BF16 ? hy_cudnn_known_from(HY_CUDNN_GPU) : 0},
                            .own_bytes = OWN_BYTES,
                            .recur_work = table->recur_work,
                            .level_work = table->level_work,
                            .attn_work = table->attn_work,
                            .long_conv_work = table->long_conv_work};
    snprintf(profile->name, sizeof profile->name, "%s", name);
    return HY_OK;
}

/* Ranks of one host, as launchers number them. */
static int rank_on_host(void) {
    static const char *const variables[] = {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"};
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        const char *text = getenv(variables[i]);
        if (text != NULL && text[0] != '\0') {
            return atoi(text);
        }
    }
    return 0;
}

static hy_status cuda_open(hy_device *device) {
    char why[256];
    void *stages;
    cuda_own *own = NULL;
    const int count = hy_cuda_count(why, sizeof why);
    if (count == 0) {
        return hy_fail(HY_ERR_ENV, "device 'cuda': no GPU here: %s", why);
    }
    HY_TRY(HY_NEW("cuda device", 1, &own));
    const int ordinal = rank_on_host() % count;
    HY_CUDA(cudaSetDevice(ordinal));
    hy_cuda_lanes_init(&own->lanes);
    for (int i = 0; i < STAGES; i++) {
        HY_CUDA(cudaEventCreateWithFlags(&own->staged[i], cudaEventDisableTiming));
    }
    for (int i = 0; i < BATCHES; i++) {
        HY_CUDA(cudaEventCreateWithFlags(&own->batches[i], cudaEventDisableTiming));
    }
    HY_CUDA(cudaHostAlloc(&stages, (size_t)STAGES * STAGE, cudaHostAllocPortable));
    HY_CUDA(cudaMalloc(&own->workspace, HY_CUDA_WORKSPACE));
    hy_alloc_elsewhere("workspace and staging of the GPU", OWN_BYTES);
    own->stages = stages;
    device->own = own;
    snprintf(device->profile.detail, sizeof device->profile.detail, "GPU %d of %d", ordinal, count);
    return HY_OK;
}

static void cuda_close(hy_device *device) {
    cuda_own *own = device->own;
    HY_CUDA(cudaDeviceSynchronize());
    hy_cuda_graphs_fini(&own->graphs);
    hy_cuda_stamps_fini(&own->stamps);
    hy_cuda_lanes_fini(&own->lanes);
    for (int i = 0; i < STAGES; i++) {
        HY_CUDA(cudaEventDestroy(own->staged[i]));
    }
    for (int i = 0; i < BATCHES; i++) {
        HY_CUDA(cudaEventDestroy(own->batches[i]));
    }
    HY_CUDA(cudaFreeHost(own->stages));
    HY_CUDA(cudaFree(own->workspace));
    hy_alloc_elsewhere("workspace and staging of the GPU", -(int64_t)OWN_BYTES);
    active = active == own ? NULL : active;
    hy_free(own);
}

/* Until the event, while exchanges move on: a lane may be waiting for one. */
static void wait_idly(const cuda_own *own, cudaEvent_t event) {
    while (own->idle.call != NULL && cudaEventQuery(event) == cudaErrorNotReady) {
        own->idle.call(own->idle.context);
    }
    HY_CUDA(cudaEventSynchronize(event));
}

/* The host does not run ahead of COMPUTE by more launches than a stream's queue in the driver holds (about a thousand): a launch beyond that
 * blocks inside the driver, and if COMPUTE then waits for an exchange, which the host alone moves on, neither ever goes on. */
static void hold_back(cuda_own *own) {
    if (own->launches < BATCH) {
        return;
    }
    const cudaEvent_t event = own->batches[own->next_batch];
    own->next_batch = (own->next_batch + 1) % BATCHES;
    own->launches = 0;
    wait_idly(own, event);
    HY_CUDA(cudaEventRecord(event, own->lanes.lane[HY_LANE_COMPUTE].stream));
}

static void cuda_launch(hy_device *device, hy_op_id op, const void *args, size_t bytes) {
    (void)bytes;
    hold_back(device->own);
    active = device->own;
    (void)stream_given(device, HY_LANE_COMPUTE);
    hy_table_call(&device->table, op, args);
}

static bool cuda_keep(hy_device *device, int place, const hy_piece *piece) {
    cuda_own *own = device->own;
    const int launches = own->launches; /* what is captured does not run now */
    active = own;
    const bool made =
        hy_cuda_graph_make(&own->graphs, place, &device->table, piece, own->lanes.lane[HY_LANE_COMPUTE].stream);
    own->launches = launches;
    return made;
}

static void cuda_replay(hy_device *device, int place, const hy_piece *piece) {
    cuda_own *own = device->own;
    (void)piece;
    hold_back(own);
    HY_CUDA(cudaGraphLaunch(own->graphs.at[place], stream_given(device, HY_LANE_COMPUTE)));
    own->launches = BATCH; /* about as much room in the queue */
}

/* ---- memory ---- */

static hy_status room_for_block(const cuda_own *own, const char *what) {
    return own->n_blocks < BLOCKS
               ? HY_OK
               : hy_fail(HY_ERR_MEMORY, "a GPU has at most %d blocks of memory; '%s' is one more", BLOCKS, what);
}

static void remember_block(cuda_own *own, const cuda_block *block) {
    own->blocks[own->n_blocks++] = *block;
    hy_alloc_elsewhere(block->what, (int64_t)block->bytes);
}

static cudaError_t take_block(const cuda_own *own, cuda_block *block) {
    if (own->source.take != NULL && block->bytes >= FROM_SOURCE &&
        own->source.take(&block->memory, block->bytes) == 0) {
        block->give_back = own->source.give_back;
        return cudaSuccess;
    }
    return cudaMalloc(&block->memory, block->bytes > 0 ? block->bytes : 1);
}

static hy_status cuda_alloc(hy_device *device, const char *what, size_t bytes, void **out) {
    cuda_block block = {.what = what, .bytes = bytes};
    HY_TRY(room_for_block(device->own, what));
    const cudaError_t error = take_block(device->own, &block);
    if (error != cudaSuccess) {
        (void)cudaGetLastError();
        return hy_fail(HY_ERR_MEMORY, "cannot allocate %s on the GPU: %zu bytes: %s", what, bytes,
                       cudaGetErrorString(error));
    }
    HY_CUDA(cudaMemset(block.memory, 0, bytes));
    HY_CUDA(cudaDeviceSynchronize());
    remember_block(device->own, &block);
    *out = block.memory;
    return HY_OK;
}

static const cuda_block *find_block(const cuda_own *own, const void *memory) {
    for (int i = 0; i < own->n_blocks; i++) {
        if (own->blocks[i].memory == memory) {
            return &own->blocks[i];
        }
    }
    return NULL;
}

static void cuda_set_source(hy_device *device, hy_memory_source source) {
    cuda_own *own = device->own;
    own->source = source;
}

static bool cuda_is_from_source(const hy_device *device, const void *memory) {
    const cuda_block *block = find_block(device->own, memory);
    return block != NULL && block->give_back != NULL;
}

/* What it was. */
static cuda_block forget_block(cuda_own *own, const void *memory) {
    const cuda_block *block = find_block(own, memory);
    if (block == NULL) {
        return (cuda_block){0};
    }
    const cuda_block was = *block;
    hy_alloc_elsewhere(was.what, -(int64_t)was.bytes);
    own->blocks[block - own->blocks] = own->blocks[--own->n_blocks];
    return was;
}

static void cuda_free(hy_device *device, void *memory) {
    const cuda_block block = forget_block(device->own, memory);
    if (block.give_back != NULL) {
        (void)block.give_back(memory);
        return;
    }
    HY_CUDA(cudaFree(memory));
}

static hy_status cuda_host_alloc(hy_device *device, const char *what, size_t bytes, void **out) {
    void *memory = NULL;
    HY_TRY(room_for_block(device->own, what));
    const cudaError_t error = cudaHostAlloc(&memory, bytes > 0 ? bytes : 1, cudaHostAllocPortable);
    if (error != cudaSuccess) {
        (void)cudaGetLastError();
        return hy_fail(HY_ERR_MEMORY, "cannot allocate %s in pinned memory of the host: %zu bytes: %s", what, bytes,
                       cudaGetErrorString(error));
    }
    memset(memory, 0, bytes);
    remember_block(device->own, &(cuda_block){.memory = memory, .what = what, .bytes = bytes});
    *out = memory;
    return HY_OK;
}

static void cuda_host_free(hy_device *device, void *memory) {
    (void)forget_block(device->own, memory);
    HY_CUDA(cudaFreeHost(memory));
}

static void cuda_not_in_children(hy_device *device, void *memory) {
    (void)device;
    (void)memory;
}

static void cuda_copy(hy_device *device, hy_lane lane, void *to, const void *from, size_t bytes) {
    const cudaStream_t stream = stream_given(device, lane);
    if (from == NULL) {
        HY_CUDA(cudaMemsetAsync(to, 0, bytes, stream));
    } else {
        HY_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream));
    }
}

/* The staging that was used longest ago, once the copy out of it is done. */
static unsigned char *stage_begin(cuda_own *own, cudaEvent_t *done) {
    const int i = own->next_stage;
    own->next_stage = (i + 1) % STAGES;
    wait_idly(own, own->staged[i]);
    *done = own->staged[i];
    return own->stages + (size_t)i * STAGE;
}

static size_t piece_of(size_t bytes, size_t at) {
    return bytes - at < STAGE ? bytes - at : STAGE;
}

static void cuda_upload(hy_device *device, hy_lane lane, const void *host, size_t bytes, void *to) {
    for (size_t at = 0; at < bytes; at += STAGE) {
        cudaEvent_t done;
        unsigned char *stage = stage_begin(device->own, &done);
        const cudaStream_t stream = stream_given(device, lane); /* behind idle, which may mark the lane */
        const size_t n = piece_of(bytes, at);
        memcpy(stage, (const unsigned char *)host + at, n);
        HY_CUDA(cudaMemcpyAsync((unsigned char *)to + at, stage, n, cudaMemcpyHostToDevice, stream));
        HY_CUDA(cudaEventRecord(done, stream));
    }
}

static void cuda_read(hy_device *device, const void *from, size_t bytes, void *host) {
    cuda_own *own = device->own;
    for (size_t at = 0; at < bytes; at += STAGE) {
        cudaEvent_t done;
        unsigned char *stage = stage_begin(own, &done);
        const cudaStream_t stream = stream_given(device, HY_LANE_COMPUTE);
        const size_t n = piece_of(bytes, at);
        HY_CUDA(cudaMemcpyAsync(stage, (const unsigned char *)from + at, n, cudaMemcpyDeviceToHost, stream));
        HY_CUDA(cudaEventRecord(done, stream));
        wait_idly(own, done);
        memcpy((unsigned char *)host + at, stage, n);
    }
}

/* ---- order ---- */

static hy_mark cuda_mark(hy_device *device, hy_lane lane) {
    cuda_own *own = device->own;
    return hy_cuda_lane_mark(&own->lanes, lane);
}

static void cuda_after(hy_device *device, hy_lane lane, hy_mark mark) {
    cuda_own *own = device->own;
    hy_cuda_lane_after(&own->lanes, lane, mark);
}

static bool cuda_reached(hy_device *device, hy_mark mark) {
    cuda_own *own = device->own;
    return hy_cuda_lane_reached(&own->lanes, mark);
}

static void cuda_wait(hy_device *device, hy_mark mark) {
    cuda_own *own = device->own;
    while (own->idle.call != NULL && !hy_cuda_lane_reached(&own->lanes, mark)) {
        own->idle.call(own->idle.context);
    }
    hy_cuda_lane_wait(&own->lanes, mark);
    hy_cuda_stamps_write(&own->stamps);
}

static void cuda_stamp(hy_device *device, hy_lane lane, double *at) {
    cuda_own *own = device->own;
    hold_back(own);
    own->launches++;
    hy_cuda_stamps_add(&own->stamps, stream_given(device, lane), own->idle, at);
}

static void cuda_write(hy_device *device, const void *host, size_t bytes, void *to) {
    cuda_upload(device, HY_LANE_COMPUTE, host, bytes, to);
    cuda_wait(device, cuda_mark(device, HY_LANE_COMPUTE));
}

static void cuda_set_idle(hy_device *device, hy_idle idle) {
    cuda_own *own = device->own;
    own->idle = idle;
}

/* ---- signals: words that streams can read ---- */

static void cuda_after_signal(hy_device *device, hy_lane lane, const hy_signal *signal, uint64_t value) {
    hy_cuda_stream_wait_value(stream_given(device, lane), &signal->value, value);
}

static void cuda_signal(hy_device *device, hy_signal *signal, uint64_t value) {
    (void)device;
    __atomic_store_n(&signal->value, value, __ATOMIC_RELEASE);
}

static hy_status cuda_signals(hy_device *device, int64_t n, hy_signal **out) {
    void *memory = NULL;
    const size_t bytes = (size_t)n * sizeof(hy_signal);
    (void)device;
    HY_CUDA(cudaHostAlloc(&memory, bytes > 0 ? bytes : 1, cudaHostAllocPortable | cudaHostAllocMapped));
    memset(memory, 0, bytes);
    *out = memory;
    return HY_OK;
}

static void cuda_signals_free(hy_device *device, hy_signal *signals) {
    (void)device;
    HY_CUDA(cudaFreeHost(signals));
}

static void *cuda_stream(hy_device *device, hy_lane lane) {
    return stream_given(device, lane);
}

/* The host is never in this memory: a transport moves it by copies. */
static void cuda_nothing(hy_device *device) {
    (void)device;
}

const hy_device_kind hy_device_kind_cuda = {
    .name = "cuda",
    .apart = true,
    .describe = cuda_describe,
    .open = cuda_open,
    .close = cuda_close,
    .launch = cuda_launch,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .not_in_children = cuda_not_in_children,
    .set_source = cuda_set_source,
    .is_from_source = cuda_is_from_source,
    .host_alloc = cuda_host_alloc,
    .host_free = cuda_host_free,
    .copy = cuda_copy,
    .upload = cuda_upload,
    .read = cuda_read,
    .write = cuda_write,
    .mark = cuda_mark,
    .after = cuda_after,
    .wait = cuda_wait,
    .reached = cuda_reached,
    .stamp = cuda_stamp,
    .signals = cuda_signals,
    .signals_free = cuda_signals_free,
    .after_signal = cuda_after_signal,
    .signal = cuda_signal,
    .set_idle = cuda_set_idle,
    .stream_kind = HY_STREAM_CUDA,
    .stream = cuda_stream,
    .enter = cuda_nothing,
    .leave = cuda_nothing,
    .open_to_child = cuda_nothing,
    .lend = cuda_nothing,
    .take_back = cuda_nothing,
    .keep = cuda_keep,
    .replay = cuda_replay,
};
