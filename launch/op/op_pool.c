/* Memory of `hylas op`: the device's and the host's, freed together. */
#include "base/memory.h"
#include "launch/op/op.h"

static void *take_block(hy_op_pool *pool, const char *name, size_t bytes, hy_device *device) {
    void *memory = NULL;
    if (pool->status != HY_OK)
        return NULL;
    if (pool->n == HY_OP_BLOCKS_MAX)
        pool->status = hy_fail(HY_ERR_FAILED, "op: more buffers than the pool has places for");
    else
        pool->status = device ? hy_device_alloc(device, name, bytes, &memory) : hy_alloc(name, bytes, &memory);
    if (pool->status != HY_OK)
        return NULL;
    pool->blocks[pool->n++] = (hy_op_block){device, memory};
    return memory;
}

void *hy_op_take(hy_op_pool *pool, const char *name, size_t bytes) {
    return take_block(pool, name, bytes, pool->device);
}

void *hy_op_take_host(hy_op_pool *pool, const char *name, size_t bytes) {
    return take_block(pool, name, bytes, NULL);
}

void *hy_op_take_whole(hy_op_pool *pool, const hy_op_tensor *tensor) {
    const size_t bytes = tensor ? (size_t)hy_shape_size(&tensor->shape) * tensor->size : 0;
    void *memory = tensor ? hy_op_take(pool, tensor->name, bytes) : NULL;
    if (memory)
        hy_device_write(pool->device, tensor->data, bytes, memory);
    return memory;
}

/* Bytes of a token in a [B,T,...] tensor. */
static size_t row_bytes(const hy_layout *layout, const hy_op_tensor *tensor) {
    const int64_t tokens = layout->n_seq * layout->len;
    return tokens == 0 ? 0 : (size_t)(hy_shape_size(&tensor->shape) / tokens) * tensor->size;
}

void *hy_op_take_host_shard(hy_op_pool *pool, const hy_layout *layout, const hy_op_tensor *tensor) {
    const size_t row = row_bytes(layout, tensor);
    void *local = hy_op_take_host(pool, tensor->name, (size_t)layout->T * row);
    if (local)
        hy_layout_shard(layout, tensor->data, row, local);
    return local;
}

void *hy_op_take_shard(hy_op_pool *pool, const hy_layout *layout, const hy_op_tensor *tensor) {
    if (!tensor)
        return NULL;
    hy_op_pool staging = {.status = pool->status};
    const size_t bytes = (size_t)layout->T * row_bytes(layout, tensor);
    const void *host = hy_op_take_host_shard(&staging, layout, tensor);
    pool->status = staging.status;
    void *memory = hy_op_take(pool, tensor->name, bytes);
    if (memory)
        hy_device_write(pool->device, host, bytes, memory);
    hy_op_pool_free(&staging);
    return memory;
}

void hy_op_pool_free(hy_op_pool *pool) {
    if (pool->device)
        hy_device_wait(pool->device, hy_device_mark(pool->device, HY_LANE_COMPUTE));
    for (int i = 0; i < pool->n; i++) {
        const hy_op_block *block = &pool->blocks[i];
        if (block->device)
            hy_device_free(block->device, block->memory);
        else
            hy_free(block->memory);
    }
    pool->n = 0;
}
