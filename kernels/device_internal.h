/* Inside of a device, for dispatch.c, the kinds of devices and tests of tables. */
#ifndef HY_KERNELS_DEVICE_INTERNAL_H
#define HY_KERNELS_DEVICE_INTERNAL_H

#include <stdbool.h>

#include "kernels/device.h"
#include "kernels/pieces.h"

/* What differs between devices: one row each, in device.c. */
typedef struct hy_device_kind {
    const char *name;
    const char
        *like; /* names are "<name>:<another device>", and this the other one where nothing is said; NULL: of its own */
    bool apart; /* hy_device_is_apart */
    /* What the device called `name` has; `name` is the other's where there is one. */
    hy_status (*describe)(const char *name, hy_dtype dtype, hy_table *table, hy_profile *profile);
    hy_status (*open)(hy_device *device);                                           /* NULL: nothing to do */
    void (*close)(hy_device *device);                                               /* NULL: nothing to do */
    void (*launch)(hy_device *device, hy_op_id op, const void *args, size_t bytes); /* NULL: the table's entry, now */
    hy_status (*alloc)(hy_device *device, const char *what, size_t bytes, void **out);
    void (*free)(hy_device *device, void *memory); /* not NULL */
    void (*not_in_children)(hy_device *device, void *memory);
    void (*set_source)(hy_device *device, hy_memory_source source);      /* NULL: has memory of its own only */
    bool (*is_from_source)(const hy_device *device, const void *memory); /* likewise */
    hy_status (*host_alloc)(hy_device *device, const char *what, size_t bytes,
                            void **out);                /* NULL: any memory will do */
    void (*host_free)(hy_device *device, void *memory); /* likewise; not NULL */
    void (*copy)(hy_device *device, hy_lane lane, void *to, const void *from, size_t bytes); /* from NULL: zeros */
    void (*upload)(hy_device *device, hy_lane lane, const void *host, size_t bytes, void *to);
    void (*read)(hy_device *device, const void *from, size_t bytes, void *host); /* after all that COMPUTE was given */
    void (*write)(hy_device *device, const void *host, size_t bytes, void *to);  /* likewise */
    hy_mark (*mark)(hy_device *device, hy_lane lane);
    void (*after)(hy_device *device, hy_lane lane, hy_mark mark);
    void (*wait)(hy_device *device, hy_mark mark);
    /* The rest: what only devices have whose calls return before their work is done. All NULL, or none but where it says. */
    bool (*reached)(hy_device *device, hy_mark mark);
    void (*stamp)(hy_device *device, hy_lane lane, double *at);
    hy_status (*signals)(hy_device *device, int64_t n, hy_signal **out); /* NULL: words of the host's */
    void (*signals_free)(hy_device *device, hy_signal *signals);         /* likewise */
    void (*after_signal)(hy_device *device, hy_lane lane, const hy_signal *signal, uint64_t value);
    void (*signal)(hy_device *device, hy_signal *signal, uint64_t value);
    void (*set_idle)(hy_device *device, hy_idle idle);
    hy_stream_kind stream_kind;
    void *(*stream)(hy_device *device, hy_lane lane);
    void (*enter)(hy_device *device);
    void (*leave)(hy_device *device);
    void (*open_to_child)(hy_device *device);
    void (*lend)(hy_device *device);
    void (*take_back)(hy_device *device);
    /* pieces.h: makes what gives the piece's calls, each launched before, in one go, in place of what was kept there; false: it cannot, and what was kept
     * stays. NULL: nothing to do. */
    bool (*keep)(hy_device *device, int place, const hy_piece *piece);
    void (*replay)(hy_device *device, int place, const hy_piece *piece); /* gives it. NULL: nothing is ever kept */
} hy_device_kind;

/* What follows from a name alone: HY_ERR_USAGE for an unknown one. */
HY_MUST_CHECK hy_status hy_device_describe(const char *name, hy_dtype dtype, const hy_device_kind **kind,
                                           hy_table *table, hy_profile *profile);

struct hy_device {
    const hy_device_kind *kind;
    hy_profile profile;
    hy_table table;
    hy_op_counts counts;
    int64_t waits, pins;
    hy_pieces *pieces; /* NULL: the kind has none */
    void *own;         /* the kind's */
};

extern const hy_device_kind hy_device_kind_async, hy_device_kind_apart; /* async/device_async.c */
extern const hy_device_kind hy_device_kind_cuda;                        /* cuda/device_cuda.c, where nvcc is */
extern const hy_device_kind hy_kind_dry;                                /* dry.c */

/* The table's entry for `op`, called now. */
void hy_table_call(const hy_table *table, hy_op_id op, const void *args);

/* How many entries are NULL, and which, in words. */
int hy_table_missing(const hy_table *table, char *names, size_t size);

#endif
