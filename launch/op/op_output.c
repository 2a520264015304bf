/* Output of `hylas op`: rank 0 collects every rank's rows, in the order of the fragments, and writes one file. */
#include <string.h>

#include "base/memory.h"
#include "launch/op/op.h"

void hy_op_output_create(const hy_op_context *context, const char *path, hy_op_output *out) {
    out->file = NULL;
    out->status = HY_OK;
    if (hy_comm_rank(context->world) == 0)
        out->status = hy_tensor_file_create(path, &out->file);
}

/* A copy in the host's memory, which the caller frees. */
static void *read_back(const hy_op_context *context, size_t bytes, const void *data) {
    void *host = NULL;
    if (hy_alloc("op results", bytes, &host) != HY_OK)
        hy_comm_abort(HY_ERR_MEMORY); /* the others are on their way */
    hy_device_read(context->device, data, bytes, host);
    return host;
}

/* The array as it is written and summed: itself, or of bf16 a copy in float32, which the caller frees. */
static void *widened(const hy_op_context *context, hy_role role, int64_t n, void *data) {
    void *wide = NULL;
    if (hy_dtype_of(context->options.dtype, role) != HY_BF16)
        return data;
    if (hy_alloc("op widened", (size_t)n * sizeof(float), &wide) != HY_OK)
        hy_comm_abort(HY_ERR_MEMORY); /* the others are on their way */
    for (int64_t i = 0; i < n; i++)
        ((float *)wide)[i] = hy_bf16_value(((const hy_bf16 *)data)[i]);
    return wide;
}

static void write_output_tensor(const hy_op_context *context, hy_op_output *out, const char *name,
                                const hy_shape *shape, const void *data) {
    if (out->status == HY_OK)
        out->status = hy_tensor_file_write(
            out->file, name, context->options.dtype == HY_F64 ? HY_ELEMENT_F64 : HY_ELEMENT_F32, shape, data);
}

/* Rows of `rank`, in its local order, to their places in the full array. */
static void place_rows(const hy_layout *layout, int rank, size_t row, const char *local, char *full) {
    for (int64_t i = 0; i < layout->n_frags; i++) {
        const hy_fragment *f = &layout->frags[i];
        if (f->owner == rank)
            memcpy(full + (size_t)f->begin * row, local + (size_t)f->local * row, (size_t)f->len * row);
    }
}

static void gather_rows(const hy_op_context *context, hy_op_output *out, const hy_layout *layout, const char *name,
                        hy_role role, hy_shape shape, size_t row, const void *local) {
    void *full = NULL, *part = NULL;
    const hy_layout_dims dims = hy_layout_dims_of(layout);
    hy_status full_status = hy_alloc("op gathered", (size_t)(layout->n_seq * layout->len) * row, &full);
    hy_status part_status = hy_alloc("op part", (size_t)dims.T_max * row, &part);
    if (full_status != HY_OK || part_status != HY_OK)
        hy_comm_abort(HY_ERR_MEMORY); /* the others have posted their sends */
    place_rows(layout, 0, row, local, full);
    for (int rank = 1; rank < layout->size; rank++) {
        const int64_t rows = hy_layout_rank_tokens(&dims, rank);
        hy_req req = {0};
        hy_comm_recv(context->world, "op rows", part, (size_t)rows * row, rank, 0, &req);
        hy_comm_wait(&req);
        place_rows(layout, rank, row, part, full);
    }
    void *wide = widened(context, role, hy_shape_size(&shape), full);
    write_output_tensor(context, out, name, &shape, wide);
    hy_free(wide != full ? wide : NULL);
    hy_free(part);
    hy_free(full);
}

void hy_op_output_rows(const hy_op_context *context, hy_op_output *out, const hy_layout *layout, const char *name,
                       hy_role role, hy_shape shape, const void *local) {
    int64_t tokens = layout->n_seq * layout->len;
    size_t row = tokens == 0 ? 0 : hy_op_bytes(context, role, hy_shape_size(&shape) / tokens);
    void *own = read_back(context, (size_t)layout->T * row, local);
    if (layout->rank == 0) {
        gather_rows(context, out, layout, name, role, shape, row, own);
    } else {
        hy_req req = {0};
        hy_comm_send(context->world, "op rows", own, (size_t)layout->T * row, 0, 0, &req);
        hy_comm_wait(&req);
    }
    hy_free(own);
}

void hy_op_output_sum(const hy_op_context *context, hy_op_output *out, const char *name, hy_role role, hy_shape shape,
                      const void *data) {
    hy_req req = {0};
    const hy_type type = context->options.dtype == HY_F64 ? HY_TYPE_F64 : HY_TYPE_F32;
    void *own = read_back(context, hy_op_bytes(context, role, hy_shape_size(&shape)), data);
    void *sum = widened(context, role, hy_shape_size(&shape), own);
    hy_comm_all_reduce(context->world, "op sum", sum, hy_shape_size(&shape), type, HY_SUM, &req);
    hy_comm_wait(&req);
    if (hy_comm_rank(context->world) == 0)
        write_output_tensor(context, out, name, &shape, sum);
    hy_free(sum != own ? sum : NULL);
    hy_free(own);
}

hy_status hy_op_output_finish(const hy_op_context *context, hy_op_output *out) {
    hy_status status = out->status;
    if (status == HY_OK)
        status = hy_tensor_file_finish(out->file);
    else
        hy_tensor_file_close(out->file);
    out->file = NULL;
    return hy_comm_agree(context->world, status);
}
