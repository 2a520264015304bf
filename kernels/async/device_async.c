/* cpu_async: the operations of `cpu` on lanes that are threads, in memory that nobody else can touch. What works here does not lean on
 * calls being done when they return, or on the host reading what a device holds. cpu_apart: the same, and neither exchanges nor a forked
 * child can touch it, as a GPU's. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "kernels/async/lanes.h"
#include "kernels/async/memory_guard.h"
#include "kernels/cpu/ref.h"
#include "kernels/device_internal.h"

/* "cpu_async:cpu_ref" runs the reference. */
static hy_status describe_late(const char *name, const char *like, hy_dtype dtype, hy_table *table,
                               hy_profile *profile) {
    const hy_device_kind *kind;
    HY_TRY(hy_device_describe(like, dtype, &kind, table, profile));
    if (kind->launch != NULL) {
        return hy_fail(HY_ERR_USAGE, "device '%s:%s' is unknown: choose %s, which is %s:cpu, or %s:cpu_ref", name, like,
                       name, name, name);
    }
    const bool plain = strcmp(like, "cpu") == 0;
    profile->own_bytes += hy_lanes_bytes();
    snprintf(profile->name, sizeof profile->name, "%s%s%.20s", name, plain ? "" : ":", plain ? "" : like);
    return HY_OK;
}

static hy_status async_describe(const char *like, hy_dtype dtype, hy_table *table, hy_profile *profile) {
    return describe_late("cpu_async", like, dtype, table, profile);
}

static hy_status apart_describe(const char *like, hy_dtype dtype, hy_table *table, hy_profile *profile) {
    return describe_late("cpu_apart", like, dtype, table, profile);
}

static hy_status async_open(hy_device *device) {
    hy_lanes *lanes = NULL;
    HY_TRY(hy_lanes_create(&device->table, &device->counts, &lanes));
    device->own = lanes;
    return HY_OK;
}

static void async_close(hy_device *device) {
    hy_lanes_destroy(device->own);
}

static void async_launch(hy_device *device, hy_op_id op, const void *args, size_t bytes) {
    hy_lanes_operation(device->own, op, args, bytes);
}

static hy_status async_alloc(hy_device *device, const char *what, size_t bytes, void **out) {
    (void)device;
    return hy_guard_alloc(what, bytes, out);
}

static hy_status apart_alloc(hy_device *device, const char *what, size_t bytes, void **out) {
    HY_TRY(async_alloc(device, what, bytes, out));
    hy_guard_keep_from_children(*out);
    return HY_OK;
}

static void async_free(hy_device *device, void *memory) {
    (void)device;
    hy_guard_free(memory);
}

static void async_not_in_children(hy_device *device, void *memory) {
    (void)device;
    hy_guard_not_in_children(memory);
}

static void async_copy(hy_device *device, hy_lane lane, void *to, const void *from, size_t bytes) {
    hy_lanes_copy(device->own, lane, to, from, bytes);
}

static void async_upload(hy_device *device, hy_lane lane, const void *host, size_t bytes, void *to) {
    hy_lanes_copy(device->own, lane, to, host, bytes);
}

static void copy_behind_compute(hy_device *device, void *to, const void *from, size_t bytes) {
    hy_lanes_wait(device->own, hy_lanes_mark(device->own, HY_LANE_COMPUTE));
    hy_guard_enter();
    memcpy(to, from, bytes);
    hy_guard_leave();
}

static void async_read(hy_device *device, const void *from, size_t bytes, void *host) {
    copy_behind_compute(device, host, from, bytes);
}

static void async_write(hy_device *device, const void *host, size_t bytes, void *to) {
    copy_behind_compute(device, to, host, bytes);
}

static hy_mark async_mark(hy_device *device, hy_lane lane) {
    return hy_lanes_mark(device->own, lane);
}

static void async_after(hy_device *device, hy_lane lane, hy_mark mark) {
    hy_lanes_after(device->own, lane, mark);
}

static void async_wait(hy_device *device, hy_mark mark) {
    hy_lanes_wait(device->own, mark);
}

static bool async_reached(hy_device *device, hy_mark mark) {
    return hy_lanes_reached(device->own, mark);
}

static void async_after_signal(hy_device *device, hy_lane lane, const hy_signal *signal, uint64_t value) {
    hy_lanes_after_signal(device->own, lane, signal, value);
}

static void async_signal(hy_device *device, hy_signal *signal, uint64_t value) {
    hy_lanes_signal(device->own, signal, value);
}

static void async_set_idle(hy_device *device, hy_idle idle) {
    hy_lanes_set_idle(device->own, idle);
}

static void *async_stream(hy_device *device, hy_lane lane) {
    return hy_lanes_stream(device->own, lane);
}

static void async_enter(hy_device *device) {
    (void)device;
    hy_guard_enter();
}

static void async_leave(hy_device *device) {
    (void)device;
    hy_guard_leave();
}

static void async_open_to_child(hy_device *device) {
    (void)device;
    hy_guard_open_for_good();
}

static void async_lend(hy_device *device) {
    (void)device;
    hy_guard_lend();
}

static void async_take_back(hy_device *device) {
    (void)device;
    hy_guard_take_back();
}

static void write_time(void *at) {
    *(double *)at = hy_now();
}

static void async_stamp(hy_device *device, hy_lane lane, double *at) {
    hy_stream *stream = async_stream(device, lane);
    stream->give(stream, write_time, at);
}

/* What is kept needs nothing made of it. */
static void async_replay(hy_device *device, int place, const hy_piece *piece) {
    hy_piece_call call;
    (void)place;
    for (size_t at = 0; hy_piece_next(piece, &at, &call);) {
        hy_lanes_operation(device->own, call.op, call.args, call.bytes);
    }
}

/* As a GPU's memory is to the host. */
static void apart_nothing(hy_device *device) {
    (void)device;
}

#define LATE_ROW(device_name, is_apart, row_describe, row_alloc, row_enter, row_leave, row_lend, row_take_back)        \
    {                                                                                                                  \
        .name = (device_name), .like = "cpu", .apart = (is_apart), .describe = (row_describe), .open = async_open,     \
        .close = async_close, .launch = async_launch, .alloc = (row_alloc), .free = async_free,                        \
        .not_in_children = async_not_in_children, .copy = async_copy, .upload = async_upload, .read = async_read,      \
        .write = async_write, .mark = async_mark, .after = async_after, .wait = async_wait, .reached = async_reached,  \
        .stamp = async_stamp, .after_signal = async_after_signal, .signal = async_signal, .set_idle = async_set_idle,  \
        .stream_kind = HY_STREAM_HOST, .stream = async_stream, .enter = (row_enter), .leave = (row_leave),             \
        .open_to_child = async_open_to_child, .lend = (row_lend), .take_back = (row_take_back), .replay = async_replay \
    }
const hy_device_kind hy_device_kind_async =
    LATE_ROW("cpu_async", false, async_describe, async_alloc, async_enter, async_leave, async_lend, async_take_back);
const hy_device_kind hy_device_kind_apart = LATE_ROW("cpu_apart", true, apart_describe, apart_alloc, apart_nothing,
                                                     apart_nothing, apart_nothing, apart_nothing);
