#include "kernels/cuda/cudnn_graph.h"

#include <stdio.h>

typedef cudnnBackendDescriptor_t descriptor;

enum { ROWS = 2, COLUMNS = 3, ALIGNED = 16 }; /* axes; bytes, of what a call brings */

/* ---- descriptors: after the first failure nothing more is asked ---- */

static void expect(hy_cudnn_graph *g, cudnnStatus_t status, const char *what) {
    g->failed = g->failed || !hy_cudnn_said(g->lib, status, what, g->why, sizeof g->why);
}

static descriptor create(hy_cudnn_graph *g, cudnnBackendDescriptorType_t type) {
    descriptor made = NULL;
    if (!g->failed && g->n_made == HY_CUDNN_DESCRIPTORS) {
        g->failed = true;
        snprintf(g->why, sizeof g->why, "more than %d descriptors", (int)HY_CUDNN_DESCRIPTORS);
    }
    if (!g->failed) {
        expect(g, g->lib->cudnnBackendCreateDescriptor(type, &made), "a descriptor");
    }
    if (!g->failed) {
        g->made[g->n_made++] = made;
    }
    return g->failed ? NULL : made;
}

static void set(hy_cudnn_graph *g, descriptor d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                int64_t n, const void *values) {
    char what[40];
    if (!g->failed) {
        snprintf(what, sizeof what, "attribute %d", (int)name);
        expect(g, g->lib->cudnnBackendSetAttribute(d, name, type, n, values), what);
    }
}

static void link(hy_cudnn_graph *g, descriptor d, cudnnBackendAttributeName_t name, descriptor other) {
    set(g, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &other);
}

static void finalize(hy_cudnn_graph *g, descriptor d, const char *what) {
    if (!g->failed) {
        expect(g, g->lib->cudnnBackendFinalize(d), what);
    }
}

/* ---- tensors ---- */

typedef struct extent {
    int64_t heads, rows, columns;
} extent;

typedef struct strides {
    int64_t head, row, column;
} strides;

typedef enum residence { IN_MEMORY, BY_VALUE, INNER } residence;

static descriptor tensor(hy_cudnn_graph *g, int64_t uid, cudnnDataType_t type, residence where, extent n, strides by) {
    const int64_t dims[] = {1, n.heads, n.rows, n.columns};
    const int64_t steps[] = {n.heads * n.rows * n.columns, by.head, by.row, by.column};
    const int64_t alignment = where == IN_MEMORY ? ALIGNED : (int64_t)sizeof(float);
    const bool is_inner = where == INNER, by_value = where == BY_VALUE;
    const descriptor t = create(g, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    set(g, t, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
    set(g, t, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(g, t, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
    set(g, t, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, steps);
    set(g, t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    set(g, t, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_inner);
    set(g, t, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &by_value);
    finalize(g, t, "a tensor");
    return t;
}

/* One after the other, in order. */
static strides packed(extent n) {
    return (strides){n.rows * n.columns, n.columns, 1};
}

static descriptor inner(hy_cudnn_graph *g, cudnnDataType_t type, extent n) {
    return tensor(g, g->uid++, type, INNER, n, packed(n));
}

static descriptor number(hy_cudnn_graph *g, int64_t uid) {
    return tensor(g, uid, CUDNN_DATA_FLOAT, BY_VALUE, (extent){1, 1, 1}, (strides){1, 1, 1});
}

/* ---- operations ---- */

static void add_operation(hy_cudnn_graph *g, descriptor operation, const char *what) {
    finalize(g, operation, what);
    if (!g->failed) {
        g->operations[g->n_operations++] = operation;
    }
}

static void multiply(hy_cudnn_graph *g, descriptor a, descriptor b, descriptor c) {
    const cudnnDataType_t precision = CUDNN_DATA_FLOAT;
    const descriptor how = create(g, CUDNN_BACKEND_MATMUL_DESCRIPTOR);
    set(g, how, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &precision);
    finalize(g, how, "a product's kind");
    const descriptor operation = create(g, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
    link(g, operation, CUDNN_ATTR_OPERATION_MATMUL_ADESC, a);
    link(g, operation, CUDNN_ATTR_OPERATION_MATMUL_BDESC, b);
    link(g, operation, CUDNN_ATTR_OPERATION_MATMUL_CDESC, c);
    link(g, operation, CUDNN_ATTR_OPERATION_MATMUL_DESC, how);
    add_operation(g, operation, "a product");
}

static void reduce(hy_cudnn_graph *g, cudnnReduceTensorOp_t by, descriptor x, descriptor y) {
    const cudnnDataType_t precision = CUDNN_DATA_FLOAT;
    const descriptor how = create(g, CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
    set(g, how, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &by);
    set(g, how, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &precision);
    finalize(g, how, "a reduction's kind");
    const descriptor operation = create(g, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
    link(g, operation, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x);
    link(g, operation, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y);
    link(g, operation, CUDNN_ATTR_OPERATION_REDUCTION_DESC, how);
    add_operation(g, operation, "a reduction");
}

/* y = mode(x, b), or mode(x) with b NULL; of a choice, `where` says which; of an index, `axis`. */
typedef struct pointwise {
    cudnnPointwiseMode_t mode;
    cudnnDataType_t precision;
    descriptor x, b, where, y;
    int64_t axis;
} pointwise;

static void add_pointwise(hy_cudnn_graph *g, const pointwise *p) {
    const descriptor how = create(g, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    set(g, how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &p->mode);
    set(g, how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &p->precision);
    if (p->mode == CUDNN_POINTWISE_GEN_INDEX) {
        set(g, how, CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, 1, &p->axis);
    }
    finalize(g, how, "a pointwise operation's kind");
    const descriptor operation = create(g, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    link(g, operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
    link(g, operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, p->x);
    if (p->b != NULL) {
        link(g, operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, p->b);
    }
    if (p->where != NULL) {
        link(g, operation, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, p->where);
    }
    link(g, operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, p->y);
    add_operation(g, operation, "a pointwise operation");
}

/* y = mode(x, b) in float; b may be NULL. */
static descriptor compute(hy_cudnn_graph *g, cudnnPointwiseMode_t mode, descriptor x, descriptor b, descriptor y) {
    const pointwise p = {.mode = mode, .precision = CUDNN_DATA_FLOAT, .x = x, .b = b, .y = y};
    add_pointwise(g, &p);
    return y;
}

/* ---- attention ---- */

static descriptor index_along(hy_cudnn_graph *g, descriptor like, extent n, int64_t axis) {
    const descriptor index = inner(g, CUDNN_DATA_INT32, n);
    const pointwise p = {
        .mode = CUDNN_POINTWISE_GEN_INDEX, .precision = CUDNN_DATA_FLOAT, .x = like, .y = index, .axis = axis};
    add_pointwise(g, &p);
    return index;
}

/* −∞ where a key is behind its query. */
static descriptor mask(hy_cudnn_graph *g, descriptor scores, extent n) {
    const descriptor row = index_along(g, scores, n, ROWS), column = index_along(g, scores, n, COLUMNS);
    const descriptor seen = inner(g, CUDNN_DATA_BOOLEAN, n), masked = inner(g, CUDNN_DATA_FLOAT, n);
    const pointwise compare = {
        .mode = CUDNN_POINTWISE_CMP_GE, .precision = CUDNN_DATA_BOOLEAN, .x = row, .b = column, .y = seen};
    add_pointwise(g, &compare);
    const pointwise choose = {.mode = CUDNN_POINTWISE_BINARY_SELECT,
                              .precision = CUDNN_DATA_FLOAT,
                              .x = scores,
                              .b = number(g, HY_CUDNN_HIDDEN),
                              .where = seen,
                              .y = masked};
    add_pointwise(g, &choose);
    return masked;
}

/* Returns the weights, bf16. */
static descriptor softmax(hy_cudnn_graph *g, descriptor scores, descriptor stats, extent n) {
    const extent row = {n.heads, n.rows, 1};
    const descriptor max = inner(g, CUDNN_DATA_FLOAT, row), sum = inner(g, CUDNN_DATA_FLOAT, row);
    reduce(g, CUDNN_REDUCE_TENSOR_MAX, scores, max);
    const descriptor less = compute(g, CUDNN_POINTWISE_SUB, scores, max, inner(g, CUDNN_DATA_FLOAT, n));
    const descriptor weights = compute(g, CUDNN_POINTWISE_EXP, less, NULL, inner(g, CUDNN_DATA_FLOAT, n));
    reduce(g, CUDNN_REDUCE_TENSOR_ADD, weights, sum);
    const descriptor log = compute(g, CUDNN_POINTWISE_LOG, sum, NULL, inner(g, CUDNN_DATA_FLOAT, row));
    compute(g, CUDNN_POINTWISE_ADD, max, log, stats);
    return compute(g, CUDNN_POINTWISE_DIV, weights, sum, inner(g, CUDNN_DATA_BFLOAT16, n));
}

/* q, o: [nq,H,..]; k, v: [nk,HKV,..], k as its transpose; stats: [H,nq]. */
static void add_attention(hy_cudnn_graph *g, const hy_cudnn_shape *s) {
    const cudnnDataType_t half = CUDNN_DATA_BFLOAT16;
    const extent n = {s->H, s->nq, s->nk}, row = {s->H, s->nq, 1};
    const descriptor q = tensor(g, HY_CUDNN_Q, half, IN_MEMORY, (extent){s->H, s->nq, s->D},
                                (strides){s->D, s->H * s->D, 1}),
                     k = tensor(g, HY_CUDNN_K, half, IN_MEMORY, (extent){s->HKV, s->D, s->nk},
                                (strides){s->D, 1, s->HKV * s->D}),
                     v = tensor(g, HY_CUDNN_V, half, IN_MEMORY, (extent){s->HKV, s->nk, s->DV},
                                (strides){s->DV, s->HKV * s->DV, 1}),
                     o = tensor(g, HY_CUDNN_O, half, IN_MEMORY, (extent){s->H, s->nq, s->DV},
                                (strides){s->DV, s->H * s->DV, 1}),
                     stats = tensor(g, HY_CUDNN_STATS, CUDNN_DATA_FLOAT, IN_MEMORY, row, packed(row));
    const descriptor products = inner(g, CUDNN_DATA_FLOAT, n);
    multiply(g, q, k, products);
    descriptor scores =
        compute(g, CUDNN_POINTWISE_MUL, products, number(g, HY_CUDNN_SCALE), inner(g, CUDNN_DATA_FLOAT, n));
    if (s->causal) {
        scores = mask(g, scores, n);
    }
    multiply(g, softmax(g, scores, stats, n), v, o);
}

cudnnBackendDescriptor_t hy_cudnn_graph_begin(hy_cudnn_graph *g, const hy_cudnn_library *lib,
                                              const hy_cudnn_shape *shape, const hy_cudnn_target *target) {
    *g = (hy_cudnn_graph){.lib = lib, .uid = HY_CUDNN_INNER};
    add_attention(g, shape);
    const descriptor graph = create(g, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    if (target->handle != NULL) {
        set(g, graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &target->handle);
    }
    set(g, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, g->n_operations, g->operations);
    finalize(g, graph, "the graph of attention");
    return g->failed ? NULL : graph;
}

int64_t hy_cudnn_graph_engines(hy_cudnn_graph *g, cudnnBackendDescriptor_t graph, const hy_cudnn_target *target,
                               int64_t most, cudnnBackendDescriptor_t *engines) {
    const cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
    int64_t n = 0;
    const descriptor heuristics = create(g, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    link(g, heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
    set(g, heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (target->properties != NULL) {
        link(g, heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, target->properties);
    }
    finalize(g, heuristics, "the choice of an engine");
    for (int64_t i = 0; i < most; i++) {
        engines[i] = create(g, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    }
    if (!g->failed) {
        expect(g,
               g->lib->cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                                CUDNN_TYPE_BACKEND_DESCRIPTOR, most, &n, engines),
               "the engines");
    }
    return g->failed ? 0 : n < most ? n : most;
}

cudnnBackendDescriptor_t hy_cudnn_graph_plan(hy_cudnn_graph *g, cudnnBackendDescriptor_t engine,
                                             const hy_cudnn_target *target, int64_t *bytes) {
    int64_t n = 0;
    const descriptor plan = create(g, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    if (target->handle != NULL) {
        set(g, plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &target->handle);
    }
    link(g, plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, engine);
    if (target->properties != NULL) {
        link(g, plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, target->properties);
    }
    finalize(g, plan, "a plan");
    if (!g->failed) {
        expect(g,
               g->lib->cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &n,
                                                bytes),
               "the bytes of a plan");
    }
    return g->failed ? NULL : plan;
}

void hy_cudnn_graph_keep(hy_cudnn_graph *g, cudnnBackendDescriptor_t one) {
    for (int i = 0; i < g->n_made; i++) {
        g->made[i] = g->made[i] == one ? NULL : g->made[i];
    }
}

void hy_cudnn_graph_end(hy_cudnn_graph *g) {
    while (g->n_made > 0) {
        if (g->made[--g->n_made] != NULL) {
            g->lib->cudnnBackendDestroyDescriptor(g->made[g->n_made]);
        }
    }
}
