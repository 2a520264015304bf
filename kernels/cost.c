/* The table of costs: an operation without one does not compile. */
#include "kernels/cost.h"

#include "kernels/cost_internal.h"

#define HY_X(op, args)                                                                                                 \
    static hy_cost any_##op(const void *a, const hy_cost_env *e) {                                                     \
        return hy_cost_##op(a, e);                                                                                     \
    }
HY_OPS(HY_X)
#undef HY_X

hy_cost hy_cost_of(hy_op_id op, const void *args, hy_dtype precision, const hy_list_view *view) {
    static hy_cost (*const costs[HY_OP_COUNT])(const void *, const hy_cost_env *) = {
#define HY_X(op, args) any_##op,
        HY_OPS(HY_X)
#undef HY_X
    };
    const hy_cost_env e = {.act = (double)hy_role_size(precision, HY_ROLE_ACT),
                           .weight = (double)hy_role_size(precision, HY_ROLE_WEIGHT),
                           .stat = (double)hy_role_size(precision, HY_ROLE_STAT),
                           .grad = (double)hy_role_size(precision, HY_ROLE_GRAD),
                           .view = view};
    return costs[op](args, &e);
}
