/* Devices: the choice of a table by name, and the timed dispatchers hy_<op>. */
#include <string.h>

#include "base/clock.h"
#include "kernels/cpu/ref.h"

hy_status hy_device_init(hy_device *device, const char *name, hy_dtype dtype) {
    hy_table table;
    if (strcmp(name, "cpu_ref") == 0) {
        hy_table_init_ref(&table, dtype);
    } else if (strcmp(name, "cpu") == 0) {
        HY_TRY(hy_table_init_cpu(&table, dtype));
    } else {
        return hy_fail(HY_ERR_USAGE, "device '%s' is unknown: choose cpu or cpu_ref", name);
    }
    memset(device, 0, sizeof *device);
    device->table = table;
    return HY_OK;
}

const char *hy_op_name(hy_op_id op) {
    static const char *const names[HY_OP_COUNT] = {
#define HY_X(op, args) #op,
        HY_OPS(HY_X)
#undef HY_X
    };
    return names[op];
}

#define HY_X(op, args)                                                                                                 \
    void hy_##op(hy_device *device, const args##_args *a) {                                                            \
        const double start = hy_now();                                                                                 \
        device->table.op(a);                                                                                           \
        device->seconds[HY_OP_##op] += hy_now() - start;                                                               \
        device->calls[HY_OP_##op]++;                                                                                   \
    }
HY_OPS(HY_X)
#undef HY_X
