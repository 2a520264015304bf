/* Devices of the host: calls run when they are made, so lanes and marks are nothing but the order of the program. */
#include "kernels/device.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "kernels/cpu/ref.h"
#include "kernels/device_internal.h"

/* Logits of a tile about as large as the caches; calls of milliseconds at most, so that exchanges in flight advance in between. */
static const hy_tuning host_tuning = {
    .head_logits = 1 << 20, .attn_products = 1 << 24, .recur_pieces = 16, .latent_rows = 1024};

static hy_status table_of(const char *name, hy_dtype dtype, hy_table *table) {
    if (strcmp(name, "cpu_ref") == 0) {
        hy_table_init_ref(table, dtype);
        return HY_OK;
    }
    if (strcmp(name, "cpu") == 0) {
        return hy_table_init_cpu(table, dtype);
    }
    return hy_fail(HY_ERR_USAGE, "device '%s' is unknown: choose cpu or cpu_ref", name);
}

static hy_profile profile_from(const hy_table *table) {
    hy_profile profile = {.dtype = table->dtype,
                          .tuning = host_tuning,
                          .recur_work = table->recur_work,
                          .level_work = table->level_work,
                          .attn_work = table->attn_work,
                          .long_conv_work = table->long_conv_work};
    snprintf(profile.name, sizeof profile.name, "%s", table->name);
    snprintf(profile.detail, sizeof profile.detail, "%s", table->detail);
    return profile;
}

hy_status hy_profile_of(const char *name, hy_dtype dtype, hy_profile *out) {
    hy_table table;
    HY_TRY(table_of(name, dtype, &table));
    *out = profile_from(&table);
    return HY_OK;
}

hy_status hy_device_create(const char *name, hy_dtype dtype, hy_device **out) {
    hy_table table;
    hy_device *device = NULL;
    HY_TRY(table_of(name, dtype, &table));
    HY_TRY(HY_NEW("device", 1, &device));
    device->table = table;
    device->profile = profile_from(&table);
    *out = device;
    return HY_OK;
}

void hy_device_destroy(hy_device *device) {
    hy_free(device);
}

const hy_profile *hy_device_profile(const hy_device *device) {
    return &device->profile;
}

hy_op_counts *hy_device_counts(hy_device *device) {
    return &device->counts;
}

hy_status hy_device_alloc(hy_device *device, const char *what, size_t bytes, void **out) {
    (void)device;
    return hy_alloc(what, bytes, out);
}

void hy_device_free(hy_device *device, void *memory) {
    (void)device;
    hy_free(memory);
}

void hy_device_copy(hy_device *device, hy_lane lane, void *to, const void *from, size_t bytes) {
    (void)device;
    (void)lane;
    memcpy(to, from, bytes);
}

void hy_device_read(hy_device *device, const void *from, size_t bytes, void *host) {
    (void)device;
    memcpy(host, from, bytes);
}

void hy_device_write(hy_device *device, const void *host, size_t bytes, void *to) {
    (void)device;
    memcpy(to, host, bytes);
}

hy_mark hy_device_mark(hy_device *device, hy_lane lane) {
    (void)device;
    return (hy_mark){.lane = lane};
}

void hy_device_after(hy_device *device, hy_lane lane, hy_mark mark) {
    (void)device;
    (void)lane;
    (void)mark;
}

void hy_device_wait(hy_device *device, hy_mark mark) {
    (void)device;
    (void)mark;
}
