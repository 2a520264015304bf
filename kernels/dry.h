/* Devices that compute nothing: "dry:cpu" has the profile of "cpu" and records what that would be asked to do; "dry:whole:cpu" has
 * its sizes and element types with the tuning `whole`. Their memory is address space which nobody can touch, so a host that reads it
 * inside a step crashes; hy_device_read gives zeros. */
#ifndef HY_KERNELS_DRY_H
#define HY_KERNELS_DRY_H

#include "kernels/device.h"

typedef struct hy_dry_work {
    int64_t launches;
    double flops, bytes; /* cost.h */
} hy_dry_work;

typedef struct hy_dry_record {
    hy_dry_work ops[HY_OP_COUNT];
    int64_t copies, writes;    /* copies of hy_device_copy, host to device */
    double to_host, from_host; /* bytes of copies to and from memory of hy_device_host_alloc */
    int64_t synchronisations;  /* reads and waits: the host stops for the device */
} hy_dry_record;

/* Told of every operation, with what it costs (cost.h). */
typedef struct hy_dry_watch {
    void (*launch)(struct hy_dry_watch *watch, hy_op_id op, double flops, double bytes);
} hy_dry_watch;
void hy_dry_set_watch(hy_device *device, hy_dry_watch *watch); /* of a dry device; borrowed; NULL: none */

/* What the device was asked since it was made; NULL if it is no dry one. */
const hy_dry_record *hy_dry_record_of(const hy_device *device);
/* All operations together. */
hy_dry_work hy_dry_total(const hy_dry_record *record);

#endif
