/* What is done to every element alone: one kernel for all roles and precisions, SPAN elements per thread and turn. */
#include "kernels/cuda/array.cuh"
#include "kernels/cuda/overlay.cuh"

namespace HY_GPU {

/* ---- fill, values ---- */

struct fill_of {
    int64_t n;
    float value;
    array y;
};

HY_KERNEL(EACH_THREADS, fill_kernel)(const fill_of a) {
    each_span(a.n, [&](int64_t i, int n) {
        float x[SPAN];
        HY_UNROLL
        for (int j = 0; j < SPAN; j++)
            x[j] = a.value;
        put_span(a.y, i, n, x);
    });
}

template <hy_dtype P> static void fill(const hy_fill_args *a) {
    const fill_of args = {a->n, (float)a->value, array_of<P>(a->role, a->y)};
    HY_LAUNCH(fill_kernel, blocks_for_spans(a->n), EACH_THREADS, 0, args);
}

struct values_of {
    int64_t n;
    float value[HY_VALUES_MAX];
    array y;
};

HY_KERNEL(HY_VALUES_MAX, values_kernel)(const values_of a) {
    if (thread_index() < a.n)
        put(a.y, thread_index(), a.value[thread_index()]);
}

template <hy_dtype P> static void values(const hy_values_args *a) {
    values_of args = {a->n, {}, array_of<P>(a->role, a->y)};
    for (int64_t i = 0; i < a->n; i++)
        args.value[i] = (float)a->value[i];
    HY_LAUNCH(values_kernel, grid(a->n > 0), HY_VALUES_MAX, 0, args);
}

/* ---- axpy, add ---- */

struct axpy_of {
    int64_t n;
    float a;
    array x, y;
    int acc;
};

HY_KERNEL(EACH_THREADS, axpy_kernel)(const axpy_of a) {
    each_span(a.n, [&](int64_t i, int n) {
        float x[SPAN];
        get_span(a.x, i, n, x);
        HY_UNROLL
        for (int j = 0; j < SPAN; j++)
            x[j] *= a.a;
        put_span_or_add(a.y, i, n, x, a.acc);
    });
}

template <hy_dtype P> static void axpy(const hy_axpy_args *a) {
    const axpy_of args = {a->n, (float)a->a, array_of<P>(a->from, a->x), array_of<P>(a->to, a->y), a->acc};
    HY_LAUNCH(axpy_kernel, blocks_for_spans(a->n), EACH_THREADS, 0, args);
}

struct add_of {
    int64_t n;
    array a, b, y;
};

HY_KERNEL(EACH_THREADS, add_kernel)(const add_of a) {
    each_span(a.n, [&](int64_t i, int n) {
        float x[SPAN], z[SPAN];
        get_span(a.a, i, n, x);
        get_span(a.b, i, n, z);
        HY_UNROLL
        for (int j = 0; j < SPAN; j++)
            x[j] += z[j];
        put_span(a.y, i, n, x);
    });
}

template <hy_dtype P> static void add(const hy_add_args *a) {
    const add_of args = {a->n, array_of<P>(HY_ROLE_ACT, a->a), array_of<P>(HY_ROLE_ACT, a->b),
                         array_of<P>(HY_ROLE_ACT, a->y)};
    HY_LAUNCH(add_kernel, blocks_for_spans(a->n), EACH_THREADS, 0, args);
}

template <hy_dtype P> static void elementwise_entries(hy_table *table) {
    table->fill = fill<P>;
    table->values = values<P>;
    table->axpy = axpy<P>;
    table->add = add<P>;
}

void overlay_elementwise(hy_table *table) {
    HY_OVERLAY(elementwise_entries, table);
}

} // namespace HY_GPU
