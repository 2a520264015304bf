/* The kinds of devices, and the one every other can be compared with: the host, where calls run when they are made, so
 * that lanes and marks are nothing but the order of the program. */
#include "kernels/device.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "kernels/cpu/ref.h"
#include "kernels/cuda/cudnn_attention.h"
#include "kernels/cuda/table_cuda.h"
#include "kernels/device_internal.h"
#include "kernels/gpus.h"
#include "kernels/paced.h"

/* Logits of a tile about as large as the caches; calls of milliseconds at most, so that exchanges in flight advance in between. */
static const hy_tuning host_tuning = {
    .head_logits = 1 << 20, .attn_products = 1 << 24, .recur_pieces = 16, .latent_rows = 1024};

/* ---- the host ---- */

static hy_status host_describe(const char *name, hy_dtype dtype, hy_table *table, hy_profile *profile) {
    hy_tuning tuning = host_tuning;
    if (strcmp(name, "cpu_ref") == 0) {
        hy_table_init_ref(table, dtype);
#ifdef HY_HAVE_CUDA_HOST
    } else if (strcmp(name, "cuda_host") == 0) {
        HY_TRY(hy_table_init_cuda_host(table, dtype));
        tuning = (hy_tuning){.attn_known = dtype == HY_BF16 ? hy_cudnn_known_from(HY_CUDNN_HOST) : 0};
#endif
    } else {
        HY_TRY(hy_table_init_cpu(table, dtype));
    }
    *profile = (hy_profile){.dtype = table->dtype,
                            .tuning = tuning,
                            .recur_work = table->recur_work,
                            .level_work = table->level_work,
                            .attn_work = table->attn_work,
                            .long_conv_work = table->long_conv_work};
    snprintf(profile->name, sizeof profile->name, "%s", table->name);
    snprintf(profile->detail, sizeof profile->detail, "%s", table->detail);
    return HY_OK;
}

static hy_status host_alloc(hy_device *device, const char *what, size_t bytes, void **out) {
    (void)device;
    return hy_alloc(what, bytes, out);
}

static void host_free(hy_device *device, void *memory) {
    (void)device;
    hy_free(memory);
}

static void host_not_in_children(hy_device *device, void *memory) {
    (void)device;
    hy_alloc_not_in_children(memory);
}

static void host_copy(hy_device *device, hy_lane lane, void *to, const void *from, size_t bytes) {
    (void)device;
    (void)lane;
    if (from != NULL) {
        memcpy(to, from, bytes);
    } else {
        memset(to, 0, bytes);
    }
}

static void host_upload(hy_device *device, hy_lane lane, const void *host, size_t bytes, void *to) {
    (void)device;
    (void)lane;
    memcpy(to, host, bytes);
}

static void host_read(hy_device *device, const void *from, size_t bytes, void *host) {
    (void)device;
    memcpy(host, from, bytes);
}

static void host_write(hy_device *device, const void *host, size_t bytes, void *to) {
    (void)device;
    memcpy(to, host, bytes);
}

static hy_mark host_mark(hy_device *device, hy_lane lane) {
    (void)device;
    return (hy_mark){.lane = lane};
}

static void host_after(hy_device *device, hy_lane lane, hy_mark mark) {
    (void)device;
    (void)lane;
    (void)mark;
}

static void host_wait(hy_device *device, hy_mark mark) {
    (void)device;
    (void)mark;
}

static hy_status find_kind(const char *name, const hy_device_kind **out);

/* What another device has, under the name "<kind>:<the other>". */
static hy_status describe_other(const char *name, const char *like, hy_dtype dtype, hy_table *table,
                                hy_profile *profile) {
    const hy_device_kind *kind;
    HY_TRY(hy_device_describe(like, dtype, &kind, table, profile));
    (void)snprintf(profile->name, sizeof profile->name, "%s:%.20s", name, like);
    return HY_OK;
}

/* What executes is the host. */
static hy_status check_other(const hy_device *device, const char *hint) {
    const hy_device_kind *kind;
    const char *name = device->kind->name;
    HY_TRY(find_kind(strchr(device->profile.name, ':') + 1, &kind));
    return kind->launch == NULL ? HY_OK
                                : hy_fail(HY_ERR_USAGE, "device '%s': choose %s:cpu or %s:cpu_ref%s",
                                          device->profile.name, name, name, hint);
}

/* One that likes its work whole. */
static hy_status whole_describe(const char *like, hy_dtype dtype, hy_table *table, hy_profile *profile) {
    HY_TRY(describe_other("whole", like, dtype, table, profile));
    profile->tuning = (hy_tuning){0};
    return HY_OK;
}

static hy_status whole_open(hy_device *device) {
    return check_other(device, "; what calls them goes in front, as in cpu_async:whole:cpu");
}

static hy_status paced_describe(const char *like, hy_dtype dtype, hy_table *table, hy_profile *profile) {
    return describe_other("paced", like, dtype, table, profile);
}

static hy_status paced_open(hy_device *device) {
    HY_TRY(check_other(device, ""));
    return hy_paced_open(device);
}

#define HOST_ROW(device_name, device_like, row_describe, row_open, ...)                                                \
    {                                                                                                                  \
        .name = (device_name), .like = (device_like), .describe = (row_describe), .open = (row_open), __VA_ARGS__,     \
        .alloc = host_alloc, .free = host_free, .not_in_children = host_not_in_children, .copy = host_copy,            \
        .upload = host_upload, .read = host_read, .write = host_write, .mark = host_mark, .after = host_after,         \
        .wait = host_wait                                                                                              \
    }
static const hy_device_kind cpu = HOST_ROW("cpu", NULL, host_describe, NULL, .launch = NULL);
static const hy_device_kind cpu_ref = HOST_ROW("cpu_ref", NULL, host_describe, NULL, .launch = NULL);
static const hy_device_kind whole = HOST_ROW("whole", "cpu", whole_describe, whole_open, .launch = NULL);
static const hy_device_kind paced =
    HOST_ROW("paced", "cpu", paced_describe, paced_open, .launch = hy_paced_launch, .close = hy_paced_close);
#ifdef HY_HAVE_CUDA_HOST
static const hy_device_kind cuda_host =
    HOST_ROW("cuda_host", NULL, host_describe, NULL, .launch = NULL); /* operations are interpreted, now */
#endif

/* ---- the kinds ---- */

/* The kind of a name: all of it, or what stands before its first colon where another device's name follows. */
static hy_status find_kind(const char *name, const hy_device_kind **out) {
    static const hy_device_kind *const kinds[] = {
        &cpu,
        &cpu_ref,
        &whole,
        &paced,
        &hy_device_kind_async,
        &hy_device_kind_apart,
        &hy_kind_dry,
#ifdef HY_HAVE_CUDA
        &hy_device_kind_cuda,
#endif
#ifdef HY_HAVE_CUDA_HOST
        &cuda_host,
#endif
    };
    const size_t length = strcspn(name, ":");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        const hy_device_kind *kind = kinds[i];
        if (strlen(kind->name) == length && strncmp(kind->name, name, length) == 0 &&
            (kind->like != NULL || name[length] == '\0')) {
            *out = kind;
            return HY_OK;
        }
    }
#ifndef HY_HAVE_CUDA
    if (strcmp(name, "cuda") == 0) {
        return hy_fail(HY_ERR_USAGE, "device 'cuda': this program was built where there is no nvcc");
    }
#endif
    return hy_fail(HY_ERR_USAGE,
                   "device '%s' is unknown: choose auto, cpu, cpu_ref or cuda; cpu_async and cpu_apart show what waits "
                   "too little, cuda_host (in builds with tests) runs what cuda does on the host",
                   name);
}

hy_status hy_device_describe(const char *name, hy_dtype dtype, const hy_device_kind **kind, hy_table *table,
                             hy_profile *profile) {
    char why[512];
    if (strcmp(name, "auto") == 0) {
        name = hy_auto_device(dtype, why, sizeof why);
    }
    HY_TRY(find_kind(name, kind));
    const char *colon = strchr(name, ':');
    const char *like = colon != NULL ? colon + 1 : (*kind)->like;
    HY_TRY((*kind)->describe(like != NULL ? like : name, dtype, table, profile));
    profile->async = profile->async || (*kind)->reached != NULL;
    profile->own_bytes += (*kind)->replay != NULL ? hy_pieces_bytes() : 0;
    return HY_OK;
}

hy_status hy_profile_of(const char *name, hy_dtype dtype, hy_profile *out) {
    const hy_device_kind *kind;
    hy_table table;
    return hy_device_describe(name, dtype, &kind, &table, out);
}

hy_status hy_device_create(const char *name, hy_dtype dtype, hy_device **out) {
    hy_device described = {.kind = NULL}, *device = NULL;
    HY_TRY(hy_device_describe(name, dtype, &described.kind, &described.table, &described.profile));
    HY_TRY(HY_NEW("device", 1, &device));
    *device = described;
    hy_status status = device->kind->replay != NULL ? hy_pieces_create(device, &device->pieces) : HY_OK;
    if (status == HY_OK && device->kind->open != NULL) {
        status = device->kind->open(device);
    }
    if (status != HY_OK) {
        hy_pieces_destroy(device->pieces);
        hy_free(device);
        return status;
    }
    *out = device;
    return HY_OK;
}

/* What is collected belongs before what COMPUTE is given now. */
static void give_collected(hy_device *device, hy_lane lane) {
    if (device->pieces != NULL && lane == HY_LANE_COMPUTE) {
        hy_pieces_flush(device->pieces);
    }
}

void hy_device_destroy(hy_device *device) {
    if (device == NULL) {
        return;
    }
    give_collected(device, HY_LANE_COMPUTE);
    if (device->kind->close != NULL) {
        device->kind->close(device);
    }
    hy_pieces_destroy(device->pieces);
    hy_free(device);
}

const hy_profile *hy_device_profile(const hy_device *device) {
    return &device->profile;
}

bool hy_device_is_async(const hy_device *device) {
    return device->kind->reached != NULL;
}

bool hy_device_is_apart(const hy_device *device) {
    return device->kind->apart;
}

hy_op_counts *hy_device_counts(hy_device *device) {
    device->kind->wait(device, hy_device_mark(device, HY_LANE_COMPUTE));
    return &device->counts;
}

hy_status hy_device_alloc(hy_device *device, const char *what, size_t bytes, void **out) {
    return device->kind->alloc(device, what, bytes, out);
}

void hy_device_free(hy_device *device, void *memory) {
    if (memory != NULL) {
        give_collected(device, HY_LANE_COMPUTE);
        device->kind->free(device, memory);
    }
}

void hy_device_set_source(hy_device *device, hy_memory_source source) {
    if (device->kind->set_source != NULL) {
        device->kind->set_source(device, source);
    }
}

bool hy_device_is_from_source(const hy_device *device, const void *memory) {
    return device->kind->is_from_source != NULL && device->kind->is_from_source(device, memory);
}

void hy_device_not_in_children(hy_device *device, void *memory) {
    device->kind->not_in_children(device, memory);
}

hy_status hy_device_host_alloc(hy_device *device, const char *what, size_t bytes, void **out) {
    device->pins++;
    if (device->kind->host_alloc != NULL) {
        return device->kind->host_alloc(device, what, bytes, out);
    }
    HY_TRY(hy_alloc(what, bytes, out));
    hy_alloc_not_in_children(*out);
    return HY_OK;
}

void hy_device_host_free(hy_device *device, void *memory) {
    if (memory != NULL && device->kind->host_free != NULL) {
        device->kind->host_free(device, memory);
    } else {
        hy_free(memory);
    }
}

int64_t hy_device_pins(const hy_device *device) {
    return device->pins;
}

void hy_device_copy(hy_device *device, hy_lane lane, void *to, const void *from, size_t bytes) {
    if (bytes > 0) {
        give_collected(device, lane);
        device->kind->copy(device, lane, to, from, bytes);
    }
}

void hy_device_upload(hy_device *device, hy_lane lane, const void *host, size_t bytes, void *to) {
    if (bytes > 0) {
        give_collected(device, lane);
        device->kind->upload(device, lane, host, bytes, to);
    }
}

void hy_device_zero(hy_device *device, hy_lane lane, void *to, size_t bytes) {
    if (bytes > 0) {
        give_collected(device, lane);
        device->kind->copy(device, lane, to, NULL, bytes);
    }
}

void hy_device_read(hy_device *device, const void *from, size_t bytes, void *host) {
    device->waits++;
    give_collected(device, HY_LANE_COMPUTE);
    if (bytes > 0) {
        device->kind->read(device, from, bytes, host);
    }
}

void hy_device_write(hy_device *device, const void *host, size_t bytes, void *to) {
    device->waits++;
    give_collected(device, HY_LANE_COMPUTE);
    if (bytes > 0) {
        device->kind->write(device, host, bytes, to);
    }
}

hy_mark hy_device_mark(hy_device *device, hy_lane lane) {
    give_collected(device, lane);
    return device->kind->mark(device, lane);
}

void hy_device_after(hy_device *device, hy_lane lane, hy_mark mark) {
    give_collected(device, lane);
    device->kind->after(device, lane, mark);
}

void hy_device_wait(hy_device *device, hy_mark mark) {
    device->waits += mark.lane == HY_LANE_COMPUTE;
    device->kind->wait(device, mark);
}

int64_t hy_device_waits(const hy_device *device) {
    return device->waits;
}

/* ---- what calls that return early need ---- */

bool hy_device_reached(hy_device *device, hy_mark mark) {
    return !hy_device_is_async(device) || device->kind->reached(device, mark);
}

void hy_device_stamp(hy_device *device, hy_lane lane, double *at) {
    give_collected(device, lane);
    if (hy_device_is_async(device)) {
        device->kind->stamp(device, lane, at);
    } else {
        *at = hy_now();
    }
}

void hy_device_set_idle(hy_device *device, hy_idle idle) {
    if (hy_device_is_async(device)) {
        device->kind->set_idle(device, idle);
    }
}

hy_stream_kind hy_device_stream_kind(const hy_device *device) {
    return device->kind->stream_kind;
}

void *hy_device_stream(hy_device *device, hy_lane lane) {
    give_collected(device, lane);
    return device->kind->stream != NULL ? device->kind->stream(device, lane) : NULL;
}

hy_status hy_device_signals(hy_device *device, int64_t n, hy_signal **out) {
    device->pins++;
    if (device->kind->signals != NULL) {
        return device->kind->signals(device, n, out);
    }
    return HY_NEW("signals", n, out);
}

void hy_device_signals_free(hy_device *device, hy_signal *signals) {
    if (device->kind->signals_free != NULL && signals != NULL) {
        device->kind->signals_free(device, signals);
    } else {
        hy_free(signals);
    }
}

void hy_device_after_signal(hy_device *device, hy_lane lane, const hy_signal *signal, uint64_t value) {
    give_collected(device, lane);
    if (hy_device_is_async(device)) {
        device->kind->after_signal(device, lane, signal, value);
    }
}

void hy_device_signal(hy_device *device, hy_signal *signal, uint64_t value) {
    if (hy_device_is_async(device)) {
        device->kind->signal(device, signal, value);
    } else {
        signal->value = value;
    }
}

void hy_device_set_pieces(hy_device *device, bool on) {
    if (device->pieces != NULL) {
        hy_pieces_set(device->pieces, on);
    }
}

hy_piece_counts hy_device_pieces(const hy_device *device) {
    return device->pieces != NULL ? hy_pieces_counted(device->pieces) : (hy_piece_counts){0};
}

void hy_device_enter(hy_device *device) {
    if (hy_device_is_async(device)) {
        device->kind->enter(device);
    }
}

void hy_device_leave(hy_device *device) {
    if (hy_device_is_async(device)) {
        device->kind->leave(device);
    }
}

void hy_device_open_to_child(hy_device *device) {
    if (hy_device_is_async(device)) {
        device->kind->open_to_child(device);
    }
}

void hy_device_lend(hy_device *device) {
    if (hy_device_is_async(device)) {
        device->kind->lend(device);
    }
}

void hy_device_take_back(hy_device *device) {
    if (hy_device_is_async(device)) {
        device->kind->take_back(device);
    }
}
