/* A runner on one rank of a number of ranks, the others of which are not there: what they send is zeros. Include it behind cmocka.h. */
#ifndef HY_TESTS_LONE_RANK_H
#define HY_TESTS_LONE_RANK_H

#include "layers/model.h"

typedef struct lone_rank {
    hy_exchange_log log;
    hy_device *device;
    hy_comm *comm;
    hy_layout *layout;
    hy_runner *runner;
    void *params, *grads; /* [flat] of the model, float32; grads NULL where the shape does not train */
} lone_rank;

/* The documents are [n_docs+1] offsets. `start`: the parameters [flat], NULL = zeros. */
static inline void lone_rank_init(lone_rank *r, const hy_model *model, const char *device, const hy_run_shape *shape,
                                  const int64_t *docs, int64_t n_docs, const float *start) {
    const size_t bytes = (size_t)hy_model_flat_size(model) * sizeof(float);
    const int size = shape->sequence_size, rank = shape->sequence_rank;
    memset(r, 0, sizeof *r);
    assert_int_equal(hy_device_create(device, shape->dtype, &r->device), HY_OK);
    assert_int_equal(hy_comm_count_create(size, rank, &r->log, &r->comm), HY_OK);
    assert_int_equal(hy_layout_create_cut(shape->method.layout, &shape->method.cuts, size, rank, shape->n_seq,
                                          shape->len, &r->layout),
                     HY_OK);
    assert_int_equal(hy_layout_set_documents(r->layout, docs, n_docs), HY_OK);
    assert_int_equal(hy_device_alloc(r->device, "parameters", bytes, &r->params), HY_OK);
    if (shape->train) {
        assert_int_equal(hy_device_alloc(r->device, "gradients", bytes, &r->grads), HY_OK);
    }
    if (start != NULL) {
        hy_device_write(r->device, start, bytes, r->params);
    }
    assert_int_equal(hy_runner_create(model, shape, r->device, r->comm, r->params, r->grads, 0, &r->runner), HY_OK);
}

static inline void lone_rank_fini(lone_rank *r) {
    hy_runner_destroy(r->runner);
    hy_device_free(r->device, r->params);
    hy_device_free(r->device, r->grads);
    hy_layout_destroy(r->layout);
    hy_comm_destroy(r->comm);
    hy_device_destroy(r->device);
}

#endif
