#include "tests/cudnn/cudnn_standin.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

static char last_error[256];

/* In this process: graphs executed; plans made; descriptors that the program has not destroyed. */
EXPORT int64_t hylas_standin_executed, hylas_standin_plans, hylas_standin_live;
static bool has_stream; /* since the last execution */

bool standin_is_wrong(const char *how) {
    const char *wanted = getenv("HYLAS_CUDNN_STANDIN");
    return wanted != NULL && strcmp(wanted, how) == 0;
}

cudnnStatus_t standin_fail(cudnnStatus_t status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(last_error, sizeof last_error, format, arguments);
    va_end(arguments);
    return status;
}

/* HYLAS_CUDNN_STANDIN_SAYS: how often it was used. */
__attribute__((destructor)) static void say_executed(void) {
    if (getenv("HYLAS_CUDNN_STANDIN_SAYS") != NULL) {
        fprintf(stderr, "cuDNN stand-in: %lld graphs by %lld plans\n", (long long)hylas_standin_executed,
                (long long)hylas_standin_plans);
    }
}

/* ---- what descriptors have ---- */

typedef struct rule {
    cudnnBackendDescriptorType_t of;
    cudnnBackendAttributeName_t name;
    cudnnBackendAttributeType_t type;
    int64_t n; /* 0: any number */
    bool needed;
} rule;

static const rule rules[] = {
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, true},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, true},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, true},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, true},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, true},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, true},
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, true},
    {CUDNN_BACKEND_MATMUL_DESCRIPTOR, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, true},
    {CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, CUDNN_ATTR_OPERATION_MATMUL_ADESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
     true},
    {CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, CUDNN_ATTR_OPERATION_MATMUL_BDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
     true},
    {CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, CUDNN_ATTR_OPERATION_MATMUL_CDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
     true},
    {CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR, CUDNN_ATTR_OPERATION_MATMUL_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
     true},
    {CUDNN_BACKEND_REDUCTION_DESCRIPTOR, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, true},
    {CUDNN_BACKEND_REDUCTION_DESCRIPTOR, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, true},
    {CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR,
     1, true},
    {CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR,
     1, true},
    {CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR, CUDNN_ATTR_OPERATION_REDUCTION_DESC, CUDNN_TYPE_BACKEND_DESCRIPTOR,
     1, true},
    {CUDNN_BACKEND_POINTWISE_DESCRIPTOR, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, true},
    {CUDNN_BACKEND_POINTWISE_DESCRIPTOR, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, true},
    {CUDNN_BACKEND_POINTWISE_DESCRIPTOR, CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, 1, false},
    {CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR,
     CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, true},
    {CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR,
     1, true},
    {CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR,
     1, true},
    {CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR,
     1, false},
    {CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, CUDNN_TYPE_BACKEND_DESCRIPTOR,
     1, false},
    {CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, true},
    {CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, true},
    {CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
     true},
    {CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, true},
    {CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, true},
    {CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
     true},
    {CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 0, true},
    {CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 0, true},
    {CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, true},
};

static const rule *rule_of(const described *d, cudnnBackendAttributeName_t name) {
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (rules[i].of == d->type && rules[i].name == name) {
            return &rules[i];
        }
    }
    return NULL;
}

static size_t size_of(cudnnBackendAttributeType_t type) {
    switch (type) {
    case CUDNN_TYPE_BOOLEAN:
        return sizeof(bool);
    case CUDNN_TYPE_INT64:
        return sizeof(int64_t);
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
        return sizeof(void *);
    default:
        return sizeof(int);
    }
}

const attribute *standin_attribute(const described *d, cudnnBackendAttributeName_t name) {
    for (int i = 0; i < d->n; i++) {
        if (d->of[i].name == name) {
            return &d->of[i];
        }
    }
    return NULL;
}

described *standin_link(const described *d, cudnnBackendAttributeName_t name) {
    const attribute *a = standin_attribute(d, name);
    return a != NULL ? a->value.pointers[0] : NULL;
}

/* ---- the library ---- */

EXPORT size_t cudnnGetVersion(void) {
    return CUDNN_VERSION;
}

EXPORT const char *cudnnGetErrorString(cudnnStatus_t status) {
    return status == CUDNN_STATUS_SUCCESS ? "success" : status == CUDNN_STATUS_NOT_SUPPORTED ? "not supported" : "bad";
}

EXPORT void cudnnGetLastErrorString(char *message, size_t size) {
    snprintf(message, size, "%s", last_error);
}

EXPORT cudnnStatus_t cudnnCreate(cudnnHandle_t *handle) {
    static int it;
    *handle = (cudnnHandle_t)(void *)&it;
    return CUDNN_STATUS_SUCCESS;
}

EXPORT cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
    (void)handle;
    (void)stream;
    has_stream = true;
    return CUDNN_STATUS_SUCCESS;
}

EXPORT cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out) {
    described *d = calloc(1, sizeof *d);
    if (d == NULL) {
        return CUDNN_STATUS_ALLOC_FAILED;
    }
    hylas_standin_live++;
    d->refs = 1;
    d->type = type;
    d->finalized = type == CUDNN_BACKEND_ENGINECFG_DESCRIPTOR;
    *out = d;
    return CUDNN_STATUS_SUCCESS;
}

/* Gone when nothing links to it any more. */
static void let_go(described *d) {
    if (--d->refs > 0) {
        return;
    }
    for (int i = 0; i < d->n; i++) {
        const attribute *a = &d->of[i];
        for (int64_t j = 0; a->type == CUDNN_TYPE_BACKEND_DESCRIPTOR && j < a->n; j++) {
            let_go(a->value.pointers[j]);
        }
    }
    free(d);
}

EXPORT cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t d) {
    hylas_standin_live--;
    let_go(d);
    return CUDNN_STATUS_SUCCESS;
}

EXPORT cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                                              cudnnBackendAttributeType_t type, int64_t n, const void *values) {
    described *d = descriptor;
    const rule *r = rule_of(d, name);
    const size_t bytes = (size_t)n * size_of(type);
    if (d->finalized || r == NULL || r->type != type || (r->n > 0 && n != r->n) || n < 1 || bytes > ATTRIBUTE_BYTES ||
        values == NULL || standin_attribute(d, name) != NULL || d->n == ATTRIBUTES) {
        return standin_fail(CUDNN_STATUS_BAD_PARAM, "descriptor %d, attribute %d: not as it should be", (int)d->type,
                            (int)name);
    }
    for (int64_t i = 0; type == CUDNN_TYPE_BACKEND_DESCRIPTOR && i < n; i++) {
        const described *other = ((void *const *)values)[i];
        if (other == NULL || !other->finalized) {
            return standin_fail(CUDNN_STATUS_BAD_PARAM, "attribute %d: a descriptor that is not finalized", (int)name);
        }
    }
    attribute *a = &d->of[d->n++];
    a->name = name;
    a->type = type;
    a->n = n;
    memcpy(a->value.bytes, values, bytes);
    for (int64_t i = 0; type == CUDNN_TYPE_BACKEND_DESCRIPTOR && i < n; i++) {
        ((described *)a->value.pointers[i])->refs++;
    }
    return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t check_tensor(const described *d) {
    const attribute *dims = standin_attribute(d, CUDNN_ATTR_TENSOR_DIMENSIONS);
    const attribute *strides = standin_attribute(d, CUDNN_ATTR_TENSOR_STRIDES);
    const bool is_inner = standin_attribute(d, CUDNN_ATTR_TENSOR_IS_VIRTUAL)->value.truth;
    const bool by_value = standin_attribute(d, CUDNN_ATTR_TENSOR_IS_BY_VALUE)->value.truth;
    bool fits = !(is_inner && by_value) && dims->value.integers[0] == 1;
    for (int i = 0; i < 4; i++) {
        fits = fits && dims->value.integers[i] > 0 && strides->value.integers[i] > 0;
        fits = fits && (!by_value || dims->value.integers[i] == 1);
    }
    return fits ? CUDNN_STATUS_SUCCESS : standin_fail(CUDNN_STATUS_BAD_PARAM, "a tensor cannot be so");
}

EXPORT cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
    described *d = descriptor;
    cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (rules[i].of == d->type && rules[i].needed && standin_attribute(d, rules[i].name) == NULL) {
            return standin_fail(CUDNN_STATUS_BAD_PARAM, "descriptor %d lacks attribute %d", (int)d->type,
                                (int)rules[i].name);
        }
    }
    if (d->finalized) {
        return standin_fail(CUDNN_STATUS_BAD_PARAM, "descriptor %d is finalized twice", (int)d->type);
    }
    if (d->type == CUDNN_BACKEND_TENSOR_DESCRIPTOR) {
        status = check_tensor(d);
    } else if (d->type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) {
        status = standin_check_graph(d);
    }
    d->finalized = status == CUDNN_STATUS_SUCCESS;
    hylas_standin_plans += d->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR && d->finalized;
    return status;
}

EXPORT cudnnStatus_t cudnnBackendGetAttribute(const cudnnBackendDescriptor_t descriptor,
                                              cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                                              int64_t asked, int64_t *n, void *values) {
    const described *d = descriptor;
    if (!d->finalized || asked < 1) {
        return standin_fail(CUDNN_STATUS_BAD_PARAM, "descriptor %d cannot be read", (int)d->type);
    }
    if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS && type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
        described *engine = *(void **)values;
        const attribute *graph = standin_attribute(d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
        *n = standin_is_wrong("engines") ? 0 : 1;
        engine->of[engine->n++] = *graph;
        ((described *)graph->value.pointers[0])->refs++;
        return CUDNN_STATUS_SUCCESS;
    }
    if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE && type == CUDNN_TYPE_INT64) {
        *n = 1;
        *(int64_t *)values = 256;
        return CUDNN_STATUS_SUCCESS;
    }
    return standin_fail(CUDNN_STATUS_BAD_PARAM, "attribute %d is not known", (int)name);
}

EXPORT cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                         cudnnBackendDescriptor_t pack) {
    const described *p = plan, *v = pack;
    if (handle == NULL || !has_stream || !p->finalized || !v->finalized || standin_is_wrong("execute")) {
        return standin_fail(CUDNN_STATUS_EXECUTION_FAILED, "it cannot be executed");
    }
    const described *engine = standin_link(p, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
    hylas_standin_executed++;
    has_stream = false; /* it may be another device's next time */
    memset(standin_attribute(v, CUDNN_ATTR_VARIANT_PACK_WORKSPACE)->value.pointers[0], 0xFF, 256);
    return standin_execute(standin_link(engine, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH), v);
}
