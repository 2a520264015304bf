/* Input of `hylas op`: rank 0 reads and checks the file, then names, shapes and elements are broadcast. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "launch/op/op.h"
#include "train/data/h5.h"

hy_status hy_op_fail(const hy_op_context *context, hy_status status, const char *format, ...) {
    char text[512];
    if (hy_comm_rank(context->world) != 0)
        return HY_ERR_PEER;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return hy_fail(status, "%s", text);
}

static bool is_integer(const hy_op_wanted *wanted) {
    return wanted->integers == HY_ELEMENT_I32 || wanted->integers == HY_ELEMENT_I64;
}

/* Numbers in the type of their role: what no file element is, bf16, comes by way of float32. */
static hy_status read_numbers(const hy_tensor_file *file, const char *name, hy_dtype type, const hy_shape *shape,
                              void *out) {
    const int64_t n = hy_shape_size(shape);
    float *wide = NULL;
    if (type != HY_BF16)
        return hy_tensor_file_read(file, name, type == HY_F64 ? HY_ELEMENT_F64 : HY_ELEMENT_F32, shape, out);
    HY_TRY(hy_alloc(name, (size_t)n * sizeof *wide, (void **)&wide));
    const hy_status status = hy_tensor_file_read(file, name, HY_ELEMENT_F32, shape, wide);
    for (int64_t i = 0; i < n && status == HY_OK; i++)
        ((hy_bf16 *)out)[i] = hy_bf16_of(wide[i]);
    hy_free(wide);
    return status;
}

static hy_status read_tensor(const hy_tensor_file *file, const hy_op_wanted *wanted, hy_dtype precision,
                             hy_op_input *in) {
    hy_shape shape;
    bool integer, wants_integer = is_integer(wanted);
    const hy_dtype type = hy_dtype_of(precision, wanted->role);
    if (!wanted->required && !hy_tensor_file_has(file, wanted->name))
        return HY_OK;
    HY_TRY(hy_tensor_file_shape(file, wanted->name, &shape, &integer));
    if (integer != wants_integer)
        return hy_fail(HY_ERR_DATA, "%s: %s must hold %s", in->path, wanted->name,
                       wants_integer ? "integers" : "floating point numbers");
    hy_op_tensor *tensor = &in->tensors[in->n];
    snprintf(tensor->name, sizeof tensor->name, "%s", wanted->name);
    tensor->role = wanted->role;
    tensor->size = wants_integer ? hy_element_size(wanted->integers) : hy_dtype_size(type);
    tensor->shape = shape;
    HY_TRY(hy_alloc(wanted->name, (size_t)hy_shape_size(&shape) * tensor->size, &tensor->data));
    in->n++;
    return wants_integer ? hy_tensor_file_read(file, wanted->name, wanted->integers, &shape, tensor->data)
                         : read_numbers(file, wanted->name, type, &shape, tensor->data);
}

static hy_status read_input_file(const char *path, const hy_op_wanted *wanted, int n_wanted, hy_dtype precision,
                                 hy_op_input *in) {
    hy_tensor_file *file;
    HY_TRY(hy_tensor_file_open(path, &file));
    hy_status status = HY_OK;
    for (int i = 0; i < n_wanted && status == HY_OK; i++)
        status = read_tensor(file, &wanted[i], precision, in);
    if (status == HY_OK)
        status = hy_tensor_file_text(file, "rule", in->rule, sizeof in->rule, &in->has_rule);
    if (status == HY_OK)
        status = hy_tensor_file_number(file, "scale", &in->scale, &in->has_scale);
    if (status == HY_OK)
        status = hy_tensor_file_number(file, "window", &in->window, &in->has_window);
    hy_tensor_file_close(file);
    return status;
}

/* Foreign bytes, which libhdf5 may crash or hang on: a child reads them first. */
typedef struct trial {
    const char *path;
    const hy_op_wanted *wanted;
    int n_wanted;
    hy_dtype precision;
} trial;

static hy_status try_file(void *context) {
    const trial *t = context;
    hy_op_input in = {.path = t->path};
    const hy_status status = read_input_file(t->path, t->wanted, t->n_wanted, t->precision, &in);
    hy_op_input_free(&in);
    return status;
}

void hy_op_broadcast(hy_comm *world, const char *name, void *data, size_t bytes) {
    hy_req req = {0};
    hy_comm_broadcast(world, name, data, bytes, 0, &req);
    hy_comm_wait(&req);
}

hy_status hy_op_input_read(const hy_op_context *context, const char *path, const hy_op_wanted *wanted, int n_wanted,
                           hy_op_input *in) {
    hy_comm *world = context->world;
    const hy_dtype precision = context->options.dtype;
    hy_status status = HY_OK;
    bool root = hy_comm_rank(world) == 0;
    memset(in, 0, sizeof *in);
    in->path = path;
    if (root)
        status = hy_h5_try_in_child(path, HY_ERR_DATA, try_file, &(trial){path, wanted, n_wanted, precision});
    if (root && status == HY_OK)
        status = read_input_file(path, wanted, n_wanted, precision, in);
    HY_TRY_GOTO(status, hy_comm_agree(world, status), done);
    void *mine[HY_OP_TENSORS_MAX];
    for (int i = 0; i < HY_OP_TENSORS_MAX; i++)
        mine[i] = in->tensors[i].data;
    hy_op_broadcast(world, "op input", in, sizeof *in);
    in->path = path;
    for (int i = 0; i < in->n; i++) {
        hy_op_tensor *tensor = &in->tensors[i];
        tensor->data = mine[i];
        if (!root && status == HY_OK)
            status = hy_alloc(tensor->name, (size_t)hy_shape_size(&tensor->shape) * tensor->size, &tensor->data);
    }
    HY_TRY_GOTO(status, hy_comm_agree(world, status), done);
    for (int i = 0; i < in->n; i++)
        hy_op_broadcast(world, "op input", in->tensors[i].data,
                        (size_t)hy_shape_size(&in->tensors[i].shape) * in->tensors[i].size);
done:
    if (status != HY_OK)
        hy_op_input_free(in);
    return status;
}

void hy_op_input_free(hy_op_input *in) {
    for (int i = 0; i < HY_OP_TENSORS_MAX; i++) {
        hy_free(in->tensors[i].data);
        in->tensors[i].data = NULL;
    }
    in->n = 0;
}

const hy_op_tensor *hy_op_input_find(const hy_op_input *in, const char *name) {
    for (int i = 0; i < in->n; i++)
        if (strcmp(in->tensors[i].name, name) == 0)
            return &in->tensors[i];
    return NULL;
}

hy_status hy_op_check_shape(const hy_op_context *context, const hy_op_input *in, const hy_op_tensor *tensor,
                            hy_shape want) {
    char is[128], wanted[128];
    if (!tensor || hy_shape_equal(&tensor->shape, &want))
        return HY_OK;
    return hy_op_fail(context, HY_ERR_DATA, "%s: %s has shape %s, but the other tensors make it %s", in->path,
                      tensor->name, hy_shape_text(&tensor->shape, is, sizeof is),
                      hy_shape_text(&want, wanted, sizeof wanted));
}

/* The verdict on cu_seqlens is reached by every rank alike, before the layout sees it. */
static hy_status check_documents(const hy_op_context *context, const hy_op_input *in, const hy_op_tensor *cu, int64_t B,
                                 int64_t T) {
    if (B != 1)
        return hy_op_fail(context, HY_ERR_DATA, "%s: cu_seqlens needs a batch of 1, this one has %lld", in->path,
                          (long long)B);
    if (cu->shape.n != 1 || cu->shape.dim[0] < 1 || (cu->shape.dim[0] == 1 && T > 0))
        return hy_op_fail(context, HY_ERR_DATA, "%s: cu_seqlens must be [documents + 1]", in->path);
    const int64_t *at = cu->data;
    int64_t n = cu->shape.dim[0] - 1;
    bool ok = at[0] == 0 && at[n] == T;
    for (int64_t i = 0; i < n; i++)
        ok = ok && at[i] <= at[i + 1];
    if (!ok)
        return hy_op_fail(context, HY_ERR_DATA, "%s: cu_seqlens must rise from 0 to the number of tokens, %lld",
                          in->path, (long long)T);
    return HY_OK;
}

hy_status hy_op_layout(const hy_op_context *context, const hy_op_input *in, int64_t B, int64_t T, hy_layout **out) {
    const hy_op_tensor *cu = hy_op_input_find(in, "cu_seqlens");
    hy_layout *layout;
    if (cu)
        HY_TRY(check_documents(context, in, cu, B, T));
    HY_TRY(hy_layout_create_cut(context->options.method.layout, &context->options.method.cuts,
                                hy_comm_size(context->world), hy_comm_rank(context->world), B, T, &layout));
    if (cu) {
        hy_status status = hy_layout_set_documents(layout, cu->data, cu->shape.dim[0] - 1);
        if (status != HY_OK) {
            hy_layout_destroy(layout);
            return status;
        }
    }
    *out = layout;
    return HY_OK;
}

hy_status hy_op_lists(const hy_op_context *context, const hy_lists_needs *needs, const hy_layout *layout,
                      hy_lists **out) {
    const hy_layout_dims dims = hy_layout_dims_of(layout);
    hy_lists_plan_attention(context->device, &dims, needs);
    HY_TRY(hy_lists_create(context->device, &dims, needs, out));
    hy_lists_set(*out, layout, NULL, NULL, 0.0);
    return HY_OK;
}
