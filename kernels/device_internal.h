/* Inside of a device, for dispatch.c, device.c and tests of tables. */
#ifndef HY_KERNELS_DEVICE_INTERNAL_H
#define HY_KERNELS_DEVICE_INTERNAL_H

#include "kernels/device.h"

struct hy_device {
    hy_profile profile;
    hy_table table;
    hy_op_counts counts;
};

#endif
