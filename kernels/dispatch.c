/* hy_<op>(device, args) for every operation of the list: hy_gemm, hy_rmsnorm_fwd, hy_recur_fwd, ... Each calls the device's
 * entry (table.gemm, ...) and counts the call and its time; or has the device launch it, which counts its time itself. */
#include <stdio.h>

#include "base/clock.h"
#include "kernels/device_internal.h"

/* What nobody wrote between the members of a struct is 0, so that equal arguments are equal bytes: pieces.h. */
#if defined(__has_builtin)
#if __has_builtin(__builtin_clear_padding)
#define CLEAR_PADDING(args) __builtin_clear_padding(args)
#endif
#endif
#ifndef CLEAR_PADDING
#define CLEAR_PADDING(args) (void)(args)
#endif

#define HY_X(op, args)                                                                                                 \
    void hy_##op(hy_device *device, const args##_args *a) {                                                            \
        device->counts.calls[HY_OP_##op]++;                                                                            \
        if (device->kind->launch != NULL) {                                                                            \
            args##_args call = *a;                                                                                     \
            CLEAR_PADDING(&call);                                                                                      \
            if (device->pieces == NULL || !hy_pieces_add(device->pieces, HY_OP_##op, &call, sizeof call)) {            \
                device->kind->launch(device, HY_OP_##op, &call, sizeof call);                                          \
            }                                                                                                          \
            return;                                                                                                    \
        }                                                                                                              \
        const double start = hy_now();                                                                                 \
        device->table.op(a);                                                                                           \
        device->counts.seconds[HY_OP_##op] += hy_now() - start;                                                        \
    }
HY_OPS(HY_X)
#undef HY_X

void hy_table_call(const hy_table *table, hy_op_id op, const void *args) {
    switch (op) {
#define HY_X(op, args_type)                                                                                            \
    case HY_OP_##op:                                                                                                   \
        table->op(args);                                                                                               \
        break;
        HY_OPS(HY_X)
#undef HY_X
    case HY_OP_COUNT:
        break;
    }
}

int hy_table_missing(const hy_table *table, char *names, size_t size) {
    size_t used = 0;
    int missing = 0;
    names[0] = '\0';
#define HY_X(op, args)                                                                                                 \
    if (table->op == NULL) {                                                                                           \
        const int n = used < size ? snprintf(names + used, size - used, missing > 0 ? ", %s" : "%s", #op) : 0;         \
        used += (size_t)n;                                                                                             \
        missing++;                                                                                                     \
    }
    HY_OPS(HY_X)
#undef HY_X
    return missing;
}

const char *hy_op_name(hy_op_id op) {
    static const char *const names[HY_OP_COUNT] = {
#define HY_X(op, args) #op,
        HY_OPS(HY_X)
#undef HY_X
    };
    return names[op];
}
