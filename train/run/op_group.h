/* What operations are for, in the words of a report of times: every operation belongs to one group. */
#ifndef HY_TRAIN_OP_GROUP_H
#define HY_TRAIN_OP_GROUP_H

#include "kernels/kernels.h"

typedef enum hy_op_group {
    HY_GROUP_PRODUCTS,
    HY_GROUP_RECURRENCE,
    HY_GROUP_ATTENTION,
    HY_GROUP_CONVOLUTION,
    HY_GROUP_LOSS,
    HY_GROUP_OPTIMIZER,
    HY_GROUP_ELEMENTWISE,
    HY_GROUP_COUNT
} hy_op_group;

/* HY_GROUP_COUNT for what is no operation. */
hy_op_group hy_op_group_of(hy_op_id op);
/* "matrix products", ... */
const char *hy_op_group_name(hy_op_group group);

#endif
