/* Lists that operations are told to read (runs, first keys) are written by hy_device_write or by operations' arguments; what is
 * written is kept beside the untouchable block, page by page as it is needed, for costs to look at. */
#include "kernels/dry.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/memory.h"
#include "kernels/cost.h"
#include "kernels/device_internal.h"

enum { BLOCKS_MAX = 256 };

/* Memory of the device, and a mapping as large that holds what the host wrote; or of the host, that copies go to. */
typedef struct dry_block {
    unsigned char *memory, *written;
    size_t bytes;
    bool host;
} dry_block;

typedef struct dry {
    hy_dry_record record;
    hy_dry_watch *watch;
    hy_list_view view; /* first reads the blocks: see host_side */
    void *itself;      /* what the device would take for itself */
    int n_blocks;
    dry_block blocks[BLOCKS_MAX];
} dry;

static const dry_block *block_of(const dry *d, const void *at) {
    for (int i = 0; i < d->n_blocks; i++) {
        const dry_block *b = &d->blocks[i];
        if ((uintptr_t)at - (uintptr_t)b->memory < b->bytes) {
            return b;
        }
    }
    return NULL;
}

/* Where the host can read what it wrote to `at`; memory of its own is that itself. */
static unsigned char *host_side(const dry *d, const void *at) {
    const dry_block *b = block_of(d, at);
    return b != NULL ? b->written + ((uintptr_t)at - (uintptr_t)b->memory) : (unsigned char *)(uintptr_t)at;
}

static const void *view_host(const hy_list_view *view, const void *list) {
    return host_side((const dry *)((const char *)view - offsetof(dry, view)), list);
}

/* ---- the rows' entries ---- */

static hy_status dry_describe(const char *like, hy_dtype dtype, hy_table *table, hy_profile *profile) {
    const hy_device_kind *kind;
    hy_profile of;
    HY_TRY(hy_device_describe(like, dtype, &kind, table, &of));
    table->attn_plan = NULL; /* nothing is computed that could stand a trial */
    *profile = of;
    (void)snprintf(profile->name, sizeof profile->name, "dry:%.27s", of.name);
    return HY_OK;
}

static void dry_launch(hy_device *device, hy_op_id op, const void *args, size_t bytes) {
    dry *d = device->own;
    (void)bytes;
    const hy_cost cost = hy_cost_of(op, args, device->profile.dtype, &d->view);
    d->record.ops[op].launches++;
    d->record.ops[op].flops += cost.flops;
    d->record.ops[op].bytes += cost.bytes;
    if (d->watch != NULL) {
        d->watch->launch(d->watch, op, cost.flops, cost.bytes);
    }
}

static hy_status add_block(dry *d, const char *what, size_t bytes, bool host, void **out) {
    void *memory = NULL;
    if (d->n_blocks == BLOCKS_MAX) {
        return hy_fail(HY_ERR_MEMORY, "a dry device has at most %d blocks of memory; '%s' is one more", BLOCKS_MAX,
                       what);
    }
    HY_TRY(hy_reserve(what, bytes, &memory));
    void *written = mmap(NULL, bytes + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (written == MAP_FAILED) {
        hy_free(memory);
        return hy_fail(HY_ERR_MEMORY, "cannot reserve %zu bytes of addresses beside '%s'", bytes, what);
    }
    d->blocks[d->n_blocks++] = (dry_block){.memory = memory, .written = written, .bytes = bytes, .host = host};
    *out = memory;
    return HY_OK;
}

static hy_status dry_alloc(hy_device *device, const char *what, size_t bytes, void **out) {
    return add_block(device->own, what, bytes, false, out);
}

/* Of the host, and as little there: plans may be of more than this host has. */
static hy_status dry_host_alloc(hy_device *device, const char *what, size_t bytes, void **out) {
    return add_block(device->own, what, bytes, true, out);
}

static void dry_free(hy_device *device, void *memory) {
    dry *d = device->own;
    for (int i = 0; i < d->n_blocks; i++) {
        if (d->blocks[i].memory == memory) {
            (void)munmap(d->blocks[i].written, d->blocks[i].bytes + 1);
            d->blocks[i] = d->blocks[--d->n_blocks];
            break;
        }
    }
    hy_free(memory);
}

static hy_status dry_open(hy_device *device) {
    dry *d = NULL;
    HY_TRY(HY_NEW("dry device", 1, &d));
    d->view.host = view_host;
    device->own = d;
    const hy_status status = device->profile.own_bytes > 0
                                 ? dry_alloc(device, "of the device itself", device->profile.own_bytes, &d->itself)
                                 : HY_OK;
    if (status != HY_OK) {
        hy_free(d);
    }
    return status;
}

static void dry_close(hy_device *device) {
    dry *d = device->own;
    dry_free(device, d->itself);
    hy_free(d);
}

static void dry_not_in_children(hy_device *device, void *memory) {
    (void)device;
    (void)memory;
}

static bool is_host(const dry *d, const void *at) {
    const dry_block *b = block_of(d, at);
    return b != NULL && b->host;
}

static void dry_copy(hy_device *device, hy_lane lane, void *to, const void *from, size_t bytes) {
    dry *d = device->own;
    (void)lane;
    d->record.copies++;
    d->record.to_host += is_host(d, to) ? (double)bytes : 0.0;
    d->record.from_host += is_host(d, from) ? (double)bytes : 0.0;
}

static void dry_read(hy_device *device, const void *from, size_t bytes, void *host) {
    dry *d = device->own;
    (void)from;
    memset(host, 0, bytes);
    d->record.synchronisations++;
}

static void dry_write(hy_device *device, const void *host, size_t bytes, void *to) {
    dry *d = device->own;
    memcpy(host_side(d, to), host, bytes);
    d->record.writes++;
}

static void dry_upload(hy_device *device, hy_lane lane, const void *host, size_t bytes, void *to) {
    (void)lane;
    dry_write(device, host, bytes, to);
}

static hy_mark dry_mark(hy_device *device, hy_lane lane) {
    (void)device;
    return (hy_mark){.lane = lane};
}

static void dry_after(hy_device *device, hy_lane lane, hy_mark mark) {
    (void)device;
    (void)lane;
    (void)mark;
}

static void dry_wait(hy_device *device, hy_mark mark) {
    dry *d = device->own;
    (void)mark;
    d->record.synchronisations++;
}

const hy_device_kind hy_kind_dry = {
    .name = "dry",
    .like = "cpu",
    .describe = dry_describe,
    .open = dry_open,
    .close = dry_close,
    .launch = dry_launch,
    .alloc = dry_alloc,
    .free = dry_free,
    .not_in_children = dry_not_in_children,
    .host_alloc = dry_host_alloc,
    .host_free = dry_free,
    .copy = dry_copy,
    .upload = dry_upload,
    .read = dry_read,
    .write = dry_write,
    .mark = dry_mark,
    .after = dry_after,
    .wait = dry_wait,
};

/* ---- what was recorded ---- */

const hy_dry_record *hy_dry_record_of(const hy_device *device) {
    return device->kind->launch == dry_launch ? &((const dry *)device->own)->record : NULL;
}

void hy_dry_set_watch(hy_device *device, hy_dry_watch *watch) {
    ((dry *)device->own)->watch = watch;
}

hy_dry_work hy_dry_total(const hy_dry_record *record) {
    hy_dry_work all = {0};
    for (int op = 0; op < HY_OP_COUNT; op++) {
        all.launches += record->ops[op].launches;
        all.flops += record->ops[op].flops;
        all.bytes += record->ops[op].bytes;
    }
    return all;
}
