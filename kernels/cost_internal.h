/* Between the files of costs: each operation's is hy_cost_<op>. */
#ifndef HY_KERNELS_COST_INTERNAL_H
#define HY_KERNELS_COST_INTERNAL_H

#include "kernels/cost.h"

/* What costs depend on beside arguments. */
typedef struct hy_cost_env {
    double act, weight, stat, grad; /* bytes of an element */
    const hy_list_view *view;
} hy_cost_env;

#define HY_X(op, args) hy_cost hy_cost_##op(const args##_args *a, const hy_cost_env *e);
HY_OPS(HY_X)
#undef HY_X

static inline double hy_role_bytes(const hy_cost_env *e, hy_role role) {
    return role == HY_ROLE_ACT ? e->act : role == HY_ROLE_WEIGHT ? e->weight : role == HY_ROLE_STAT ? e->stat : e->grad;
}

static inline const void *hy_cost_list(const hy_cost_env *e, const void *list) {
    return e->view == NULL || list == NULL ? list : e->view->host(e->view, list);
}

/* Of an array [a,b]; int64_t might not hold it. */
static inline double hy_elements(int64_t a, int64_t b) {
    return (double)a * (double)b;
}

/* Bytes of an array that is there, n elements of `size`. */
static inline double hy_there(const void *array, double n, double size) {
    return array != NULL ? n * size : 0;
}

/* Of one that is written, or added to. */
static inline double hy_written(const void *array, double n, double size, int acc) {
    return hy_there(array, n, acc ? 2 * size : size);
}

#endif
