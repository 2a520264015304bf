/* A graph of operations, checked and computed: tensors as float arrays in order of their dimensions, rounded where their type is bf16. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cudnn/cudnn_standin.h"

enum { HEADS = 1, ROWS = 2, COLUMNS = 3 };

static const int64_t *dims_of(const described *t) {
    return standin_attribute(t, CUDNN_ATTR_TENSOR_DIMENSIONS)->value.integers;
}

static int64_t uid_of(const described *t) {
    return standin_attribute(t, CUDNN_ATTR_TENSOR_UNIQUE_ID)->value.integers[0];
}

static int type_of(const described *t) {
    return standin_attribute(t, CUDNN_ATTR_TENSOR_DATA_TYPE)->value.enumerator;
}

static bool is_inner(const described *t) {
    return standin_attribute(t, CUDNN_ATTR_TENSOR_IS_VIRTUAL)->value.truth;
}

static bool is_by_value(const described *t) {
    return standin_attribute(t, CUDNN_ATTR_TENSOR_IS_BY_VALUE)->value.truth;
}

/* ---- an operation's tensors ---- */

typedef struct step {
    const described *operation, *how, *in[3], *out;
} step;

static step step_of(const described *operation) {
    step s = {.operation = operation};
    if (operation->type == CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR) {
        s.how = standin_link(operation, CUDNN_ATTR_OPERATION_MATMUL_DESC);
        s.in[0] = standin_link(operation, CUDNN_ATTR_OPERATION_MATMUL_ADESC);
        s.in[1] = standin_link(operation, CUDNN_ATTR_OPERATION_MATMUL_BDESC);
        s.out = standin_link(operation, CUDNN_ATTR_OPERATION_MATMUL_CDESC);
    } else if (operation->type == CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR) {
        s.how = standin_link(operation, CUDNN_ATTR_OPERATION_REDUCTION_DESC);
        s.in[0] = standin_link(operation, CUDNN_ATTR_OPERATION_REDUCTION_XDESC);
        s.out = standin_link(operation, CUDNN_ATTR_OPERATION_REDUCTION_YDESC);
    } else {
        s.how = standin_link(operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
        s.in[0] = standin_link(operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC);
        s.in[1] = standin_link(operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC);
        s.in[2] = standin_link(operation, CUDNN_ATTR_OPERATION_POINTWISE_TDESC);
        s.out = standin_link(operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC);
    }
    return s;
}

static int mode_of(const step *s) {
    return standin_attribute(s->how, CUDNN_ATTR_POINTWISE_MODE)->value.enumerator;
}

static int64_t operations_of(const described *graph, const described *const **out) {
    const attribute *a = standin_attribute(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS);
    *out = (const described *const *)(const void *)a->value.pointers;
    return a->n;
}

/* ---- checking ---- */

static bool dims_fit(const step *s) {
    const int64_t *x = dims_of(s->in[0]), *y = dims_of(s->out);
    if (s->operation->type == CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR) {
        const int64_t *b = dims_of(s->in[1]);
        return x[COLUMNS] == b[ROWS] && y[ROWS] == x[ROWS] && y[COLUMNS] == b[COLUMNS] && y[HEADS] == x[HEADS] &&
               x[HEADS] % b[HEADS] == 0;
    }
    for (int i = 0; i < 4; i++) {
        const bool reduced = s->operation->type == CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR && i == COLUMNS;
        bool fits = reduced ? y[i] == 1 : y[i] == x[i];
        for (int j = 1; j < 3 && s->in[j] != NULL; j++) {
            fits = fits && (dims_of(s->in[j])[i] == 1 || dims_of(s->in[j])[i] == y[i]);
        }
        if (!fits) {
            return false;
        }
    }
    return true;
}

static bool inputs_fit(const step *s) {
    if (s->operation->type != CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR) {
        return true;
    }
    const int mode = mode_of(s);
    const bool two = mode == CUDNN_POINTWISE_MUL || mode == CUDNN_POINTWISE_ADD || mode == CUDNN_POINTWISE_SUB ||
                     mode == CUDNN_POINTWISE_DIV || mode == CUDNN_POINTWISE_CMP_GE;
    const bool three = mode == CUDNN_POINTWISE_BINARY_SELECT, index = mode == CUDNN_POINTWISE_GEN_INDEX;
    const bool one = mode == CUDNN_POINTWISE_EXP || mode == CUDNN_POINTWISE_LOG || index;
    return (one || two || three) && (s->in[1] != NULL) == (two || three) && (s->in[2] != NULL) == three &&
           (standin_attribute(s->how, CUDNN_ATTR_POINTWISE_AXIS) != NULL) == index;
}

/* Tensors met so far; written: by an operation. */
typedef struct met {
    const described *tensor[TENSORS];
    bool written[TENSORS];
    int n;
} met;

static int find(const met *m, const described *t) {
    for (int i = 0; i < m->n; i++) {
        if (m->tensor[i] == t) {
            return i;
        }
    }
    return -1;
}

static bool meet(met *m, const described *t, bool written) {
    const int at = find(m, t);
    if (at >= 0) {
        return !written; /* nothing is written twice, or after it was read */
    }
    for (int i = 0; i < m->n; i++) {
        if (uid_of(m->tensor[i]) == uid_of(t)) {
            return false;
        }
    }
    if (m->n == TENSORS || (!written && is_inner(t))) {
        return false;
    }
    m->tensor[m->n] = t;
    m->written[m->n++] = written;
    return true;
}

static cudnnStatus_t meet_all(const described *graph, met *m) {
    const described *const *operations;
    const int64_t n = operations_of(graph, &operations);
    for (int64_t i = 0; i < n; i++) {
        const step s = step_of(operations[i]);
        bool good = dims_fit(&s) && inputs_fit(&s);
        for (int j = 0; j < 3 && s.in[j] != NULL; j++) {
            good = good && meet(m, s.in[j], false);
        }
        if (!good || !meet(m, s.out, true)) {
            return standin_fail(CUDNN_STATUS_NOT_SUPPORTED, "operation %d does not fit the others", (int)i);
        }
    }
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t standin_check_graph(const described *graph) {
    met m = {.n = 0};
    return meet_all(graph, &m);
}

/* ---- memory ---- */

static float of_half(uint16_t bits) {
    const uint32_t wide = (uint32_t)bits << 16;
    float x;
    memcpy(&x, &wide, sizeof x);
    return x;
}

static uint16_t half_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

static int64_t elements(const described *t) {
    return dims_of(t)[HEADS] * dims_of(t)[ROWS] * dims_of(t)[COLUMNS];
}

static int64_t element_at(const described *t, int64_t i) {
    const int64_t *n = dims_of(t), *by = standin_attribute(t, CUDNN_ATTR_TENSOR_STRIDES)->value.integers;
    const int64_t short_by = standin_is_wrong("stride") && uid_of(t) == 2 && n[COLUMNS] > 1 ? 1 : 0;
    return i / (n[ROWS] * n[COLUMNS]) * by[HEADS] + i / n[COLUMNS] % n[ROWS] * by[ROWS] +
           i % n[COLUMNS] * (by[COLUMNS] - short_by);
}

static void load(const described *t, const void *from, float *to) {
    for (int64_t i = 0; i < elements(t); i++) {
        const int64_t at = element_at(t, i);
        to[i] = type_of(t) == CUDNN_DATA_BFLOAT16 ? of_half(((const uint16_t *)from)[at]) : ((const float *)from)[at];
    }
}

static void store(const described *t, const float *from, void *to) {
    for (int64_t i = 0; i < elements(t); i++) {
        const int64_t at = element_at(t, i);
        if (type_of(t) == CUDNN_DATA_BFLOAT16) {
            ((uint16_t *)to)[at] = half_of(from[i]);
        } else {
            ((float *)to)[at] = from[i];
        }
    }
}

/* ---- computing ---- */

typedef struct values {
    met all;
    float *of[TENSORS];
    void *at[TENSORS]; /* what a call brings; NULL of inner ones */
} values;

static const float *value_of(const values *v, const described *t) {
    return v->of[find(&v->all, t)];
}

static void multiply(const values *v, const step *s, float *c) {
    const int64_t *x = dims_of(s->in[0]), *y = dims_of(s->in[1]);
    const int64_t H = x[HEADS], m = x[ROWS], k = x[COLUMNS], n = y[COLUMNS], group = H / y[HEADS];
    const float *a = value_of(v, s->in[0]), *b = value_of(v, s->in[1]);
    const bool off = standin_is_wrong("values");
    for (int64_t h = 0; h < H; h++) {
        const float *of = b + (standin_is_wrong("heads") ? h % y[HEADS] : h / group) * k * n;
        for (int64_t i = 0; i < m; i++) {
            for (int64_t j = 0; j < n; j++) {
                float sum = 0;
                for (int64_t l = 0; l < k; l++) {
                    sum += a[(h * m + i) * k + l] * of[l * n + j];
                }
                c[(h * m + i) * n + j] = off && !is_inner(s->out) ? sum * 1.1f : sum;
            }
        }
    }
}

static void reduce(const values *v, const step *s, float *y) {
    const bool max =
        standin_attribute(s->how, CUDNN_ATTR_REDUCTION_OPERATOR)->value.enumerator == CUDNN_REDUCE_TENSOR_MAX;
    const int64_t n = dims_of(s->in[0])[COLUMNS];
    const float *x = value_of(v, s->in[0]);
    for (int64_t i = 0; i < elements(s->out); i++) {
        y[i] = max ? -INFINITY : 0;
        for (int64_t j = 0; j < n; j++) {
            y[i] = max ? fmaxf(y[i], x[i * n + j]) : y[i] + x[i * n + j];
        }
    }
}

/* Element i of the result's, of one that may have one column, or one of all. */
static float broadcast(const values *v, const described *t, const described *like, int64_t i) {
    const int64_t n = elements(t), columns = dims_of(like)[COLUMNS];
    return value_of(v, t)[n == 1 ? 0 : dims_of(t)[COLUMNS] == 1 ? i / columns : i];
}

static float pointwise(const values *v, const step *s, int64_t i) {
    const int64_t *n = dims_of(s->out);
    const float x = broadcast(v, s->in[0], s->out, i), b = s->in[1] ? broadcast(v, s->in[1], s->out, i) : 0;
    switch (mode_of(s)) {
    case CUDNN_POINTWISE_MUL:
        return x * b * (standin_is_wrong("scale") ? 1.1f : 1.0f);
    case CUDNN_POINTWISE_ADD:
        return x + b;
    case CUDNN_POINTWISE_SUB:
        return x - b;
    case CUDNN_POINTWISE_DIV:
        return x / b;
    case CUDNN_POINTWISE_EXP:
        return expf(x);
    case CUDNN_POINTWISE_LOG:
        return standin_is_wrong("log2") ? log2f(x) : logf(x);
    case CUDNN_POINTWISE_CMP_GE:
        return standin_is_wrong("mask") ? x + 1 >= b : x >= b;
    case CUDNN_POINTWISE_BINARY_SELECT:
        return broadcast(v, s->in[2], s->out, i) != 0 ? x : b;
    default: /* an index */
        return (float)(standin_attribute(s->how, CUDNN_ATTR_POINTWISE_AXIS)->value.integers[0] == COLUMNS
                           ? i % n[COLUMNS]
                           : i / n[COLUMNS] % n[ROWS]);
    }
}

static void compute(const values *v, const step *s) {
    float *y = v->of[find(&v->all, s->out)];
    if (s->operation->type == CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR) {
        multiply(v, s, y);
    } else if (s->operation->type == CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR) {
        reduce(v, s, y);
    } else {
        for (int64_t i = 0; i < elements(s->out); i++) {
            y[i] = pointwise(v, s, i);
        }
    }
    for (int64_t i = 0; type_of(s->out) == CUDNN_DATA_BFLOAT16 && i < elements(s->out); i++) {
        y[i] = of_half(half_of(y[i]));
    }
}

/* Each id that is not inner is brought, once and aligned as the tensor says, and no other. */
static cudnnStatus_t take_pack(values *v, const described *pack) {
    const attribute *uids = standin_attribute(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
    const attribute *at = standin_attribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
    int64_t brought = 0;
    for (int i = 0; i < v->all.n; i++) {
        const described *t = v->all.tensor[i];
        const int64_t alignment = standin_attribute(t, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT)->value.integers[0];
        for (int64_t j = 0; j < uids->n && !is_inner(t); j++) {
            if (uids->value.integers[j] == uid_of(t)) {
                brought += v->at[i] == NULL;
                v->at[i] = at->value.pointers[j];
            }
        }
        if (!is_inner(t) && (v->at[i] == NULL || (uintptr_t)v->at[i] % (uintptr_t)alignment != 0)) {
            return standin_fail(CUDNN_STATUS_BAD_PARAM, "id %d: not there, or not aligned", (int)uid_of(t));
        }
    }
    return brought == uids->n && brought == at->n ? CUDNN_STATUS_SUCCESS
                                                  : standin_fail(CUDNN_STATUS_BAD_PARAM, "ids that nobody knows");
}

cudnnStatus_t standin_execute(const described *graph, const described *pack) {
    values v = {.all = {.n = 0}};
    const described *const *operations;
    const int64_t n = operations_of(graph, &operations);
    cudnnStatus_t status = meet_all(graph, &v.all);
    status = status == CUDNN_STATUS_SUCCESS ? take_pack(&v, pack) : status;
    for (int i = 0; i < v.all.n && status == CUDNN_STATUS_SUCCESS; i++) {
        const described *t = v.all.tensor[i];
        v.of[i] = malloc((size_t)elements(t) * sizeof(float));
        if (v.of[i] == NULL) {
            status = CUDNN_STATUS_ALLOC_FAILED;
        } else if (!v.all.written[i] && is_by_value(t)) {
            v.of[i][0] = *(const float *)v.at[i];
        } else if (!v.all.written[i]) {
            load(t, v.at[i], v.of[i]);
        }
    }
    for (int64_t i = 0; i < n && status == CUDNN_STATUS_SUCCESS; i++) {
        const step s = step_of(operations[i]);
        compute(&v, &s);
        if (!is_inner(s.out)) {
            store(s.out, value_of(&v, s.out), v.at[find(&v.all, s.out)]);
        }
    }
    for (int i = 0; i < v.all.n; i++) {
        free(v.of[i]);
    }
    return status;
}
