/* `hylas op conv`: the depthwise causal convolution of a layer, forward and backward.
 *
 *   o[t,c] = bias[c] + Σ_j w[c,j]·x[t−(W−1)+j, c]          the last tap multiplies the present token
 *
 * x, do [B,T,D]; w [D,W]; bias [D]; h0, dht [N,W−1,D]. A state is the W−1 inputs before a token, oldest first: h0 those
 * before each document (zeros if absent), ht those at its end. With h0 every document is run with its state as W−1 more
 * tokens in front. A file with dy instead of do gets y instead of o. */
#include <string.h>

#include "base/product.h"
#include "launch/op/op.h"

typedef struct convolution {
    hy_op_input in;
    const hy_op_tensor *x, *w, *bias, *d_o, *h0, *dht, *cu;
    int64_t B, T, D, W, N;
    int64_t pad;   /* tokens put in front of each document */
    size_t row;    /* bytes of [D] */
    int64_t *docs; /* [N+1] of x, without padding */
    void *local;   /* host: one array of this rank's rows */
} convolution;

static hy_status check_conv_inputs(const hy_op_context *context, convolution *c) {
    const hy_op_input *in = &c->in;
    if (!c->d_o)
        return hy_op_fail(context, HY_ERR_DATA, "%s: do (or dy), the gradient of the output, is missing", in->path);
    if (c->x->shape.n != 3 || c->w->shape.n != 2)
        return hy_op_fail(context, HY_ERR_DATA, "%s: x must be [B,T,D] and w [D,W]", in->path);
    c->B = c->x->shape.dim[0], c->T = c->x->shape.dim[1], c->D = c->x->shape.dim[2];
    c->W = c->w->shape.dim[1];
    c->N = c->cu && c->cu->shape.n == 1 ? c->cu->shape.dim[0] - 1 : c->B;
    c->pad = c->h0 ? c->W - 1 : 0;
    c->row = hy_op_bytes(context, HY_ROLE_ACT, c->D);
    if (c->B < 1 || c->D < 1 || c->W < 1)
        return hy_op_fail(context, HY_ERR_DATA, "%s: only the number of tokens may be 0", in->path);
    const int64_t states = hy_product(hy_product(c->N, c->W), c->D);
    if (states < 0 || states > HY_OP_STATES_MAX)
        return hy_op_fail(context, HY_ERR_DATA, "%s: %lld states of %lld by %lld: more than %d elements", in->path,
                          (long long)c->N, (long long)c->W, (long long)c->D, HY_OP_STATES_MAX);
    HY_TRY(hy_op_check_shape(context, in, c->w, HY_SHAPE(c->D, c->W)));
    HY_TRY(hy_op_check_shape(context, in, c->bias, HY_SHAPE(c->D)));
    HY_TRY(hy_op_check_shape(context, in, c->d_o, c->x->shape));
    HY_TRY(hy_op_check_shape(context, in, c->h0, HY_SHAPE(c->N, c->W - 1, c->D)));
    return hy_op_check_shape(context, in, c->dht, HY_SHAPE(c->N, c->W - 1, c->D));
}

/* Row r of a document whose state and tokens follow one another; NULL where an absent state would be. */
static char *row_at(const convolution *c, int64_t doc, int64_t r, const void *tokens, const void *states) {
    const int64_t before = c->W - 1;
    const void *from = r < before ? states : tokens;
    if (!from)
        return NULL;
    return (char *)(uintptr_t)from + (size_t)(r < before ? doc * before + r : c->docs[doc] + r - before) * c->row;
}

typedef enum direction { TO_RANK, FROM_RANK } direction;

/* This rank's rows of a whole array of tokens, and of its states where they are tokens of the layout. */
static void copy_rows(const convolution *c, const hy_layout *layout, direction way, void *local, const void *tokens,
                      const void *states) {
    for (int64_t i = 0; i < layout->n_runs && c->row > 0; i++) {
        const hy_run *run = &layout->runs[i];
        for (int64_t t = run->begin; t < run->begin + run->len; t++) {
            char *whole = row_at(c, layout->run_doc[i], layout->doc_pos[t] + c->W - 1 - c->pad, tokens, states);
            char *own = (char *)local + (size_t)t * c->row;
            if (whole)
                memcpy(way == TO_RANK ? own : whole, way == TO_RANK ? whole : own, c->row);
        }
    }
}

static hy_status make_layout(const hy_op_context *context, convolution *c, hy_op_pool *pool, hy_layout **out) {
    HY_TRY(hy_op_layout(context, &c->in, c->B, c->T, out)); /* checks cu_seqlens too */
    c->docs = hy_op_take_host(pool, "documents", (size_t)(c->N + 1) * sizeof(int64_t));
    int64_t *padded = hy_op_take_host(pool, "padded documents", (size_t)(c->N + 1) * sizeof(int64_t));
    HY_TRY(pool->status);
    for (int64_t d = 0; d <= c->N; d++) {
        c->docs[d] = c->cu ? ((const int64_t *)c->cu->data)[d] : d * c->T;
        padded[d] = c->docs[d] + d * c->pad;
    }
    if (c->pad == 0)
        return HY_OK;
    hy_layout_destroy(*out);
    *out = NULL;
    HY_TRY(hy_layout_create_cut(context->options.method.layout, &context->options.method.cuts,
                                hy_comm_size(context->world), hy_comm_rank(context->world), 1, padded[c->N], out));
    return hy_layout_set_documents(*out, padded, c->N);
}

/* This rank's rows of an array and its states, on the device. */
static void *take_local_rows(const convolution *c, hy_op_pool *pool, const hy_layout *layout,
                             const hy_op_tensor *tokens, const hy_op_tensor *states) {
    const size_t bytes = (size_t)layout->T * c->row;
    void *rows = hy_op_take(pool, tokens->name, bytes);
    if (rows && c->local) {
        memset(c->local, 0, bytes);
        copy_rows(c, layout, TO_RANK, c->local, tokens->data, states ? states->data : NULL);
        hy_device_write(pool->device, c->local, bytes, rows);
    }
    return rows;
}

static void take_conv_buffers(const hy_op_context *context, hy_op_pool *pool, convolution *c, hy_sp *sp,
                              hy_sp_conv *run) {
    const hy_layout *layout = sp->layout;
    const hy_layout_dims dims = hy_layout_dims_of(layout);
    const size_t rows = (size_t)layout->T * c->row;
    c->local = hy_op_take_host(pool, "rows of this rank", rows);
    run->op = (hy_conv_args){.T = layout->T, .C = c->D, .W = c->W, .act = HY_ACT_IDENTITY};
    run->op.x = take_local_rows(c, pool, layout, c->x, c->h0);
    run->op.dy = take_local_rows(c, pool, layout, c->d_o, NULL);
    run->op.w = hy_op_take_whole(pool, c->w);
    run->op.bias = hy_op_take_whole(pool, c->bias);
    run->op.y = hy_op_take(pool, "o", rows);
    run->op.dx = hy_op_take(pool, "dx", rows);
    run->op.dw = hy_op_take(pool, "dw", hy_op_bytes(context, HY_ROLE_GRAD, c->D * c->W));
    run->op.dbias = c->bias ? hy_op_take(pool, "dbias", hy_op_bytes(context, HY_ROLE_GRAD, c->D)) : NULL;
    run->kept = hy_op_take(pool, "kept", hy_sp_conv_kept(sp, &dims, c->D, c->W));
    run->work = hy_op_take(pool, "work", hy_sp_conv_work(sp, &dims, c->D, c->W));
}

/* A whole array, in which each rank has its own rows and else zeros. */
typedef struct whole {
    size_t bytes;
    char *host, *device;
} whole;

typedef struct results {
    whole o, dx, ht, dh0; /* dh0: nothing where there is no h0 */
    char *dht;            /* device; NULL where there is none */
} results;

static whole take_whole(hy_op_pool *pool, const char *name, size_t bytes) {
    return (whole){bytes, hy_op_take_host(pool, name, bytes), hy_op_take(pool, name, bytes)};
}

static void take_results(const convolution *c, hy_op_pool *pool, results *r) {
    const size_t tokens = (size_t)(c->B * c->T) * c->row, states = (size_t)(c->N * (c->W - 1)) * c->row;
    *r = (results){.o = take_whole(pool, "o of all", tokens), .dx = take_whole(pool, "dx of all", tokens)};
    r->ht = take_whole(pool, "ht", states);
    if (c->h0)
        r->dh0 = take_whole(pool, "dh0", states);
    r->dht = hy_op_take_whole(pool, c->dht);
}

/* ht is a copy of inputs, ... */
static void copy_final_states(const convolution *c, const results *r) {
    for (int64_t i = 0; i < c->N * (c->W - 1); i++) {
        const int64_t doc = i / (c->W - 1), at = c->docs[doc + 1] - c->docs[doc] + i % (c->W - 1);
        const char *input = row_at(c, doc, at, c->x->data, c->h0 ? c->h0->data : NULL);
        if (input)
            memcpy(r->ht.host + (size_t)i * c->row, input, c->row);
    }
}

/* ... and dht goes where they came from. */
static void add_final_gradients(hy_device *device, const convolution *c, const results *r) {
    for (int64_t i = 0; i < c->N * (c->W - 1) && r->dht; i++) {
        const int64_t doc = i / (c->W - 1), at = c->docs[doc + 1] - c->docs[doc] + i % (c->W - 1);
        char *gradient = row_at(c, doc, at, r->dx.device, r->dh0.device);
        if (gradient)
            hy_axpy(device,
                    &(hy_axpy_args){.n = c->D, .a = 1, .x = r->dht + (size_t)i * c->row, .y = gradient, .acc = 1});
    }
}

/* From this rank's rows; what concerns no rank alone, rank 0 does for all. */
static void gather_results(const hy_op_context *context, const convolution *c, const hy_layout *layout,
                           const hy_sp_conv *run, const results *r) {
    hy_device *device = context->device;
    const whole *const all[] = {&r->o, &r->dx, &r->ht, &r->dh0};
    const size_t rows = (size_t)layout->T * c->row;
    const bool root = hy_comm_rank(context->world) == 0;
    hy_device_read(device, run->op.y, rows, c->local);
    copy_rows(c, layout, FROM_RANK, c->local, r->o.host, NULL);
    hy_device_read(device, run->op.dx, rows, c->local);
    copy_rows(c, layout, FROM_RANK, c->local, r->dx.host, r->dh0.host);
    if (root)
        copy_final_states(c, r);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        hy_device_write(device, all[i]->host, all[i]->bytes, all[i]->device);
    if (root)
        add_final_gradients(device, c, r);
}

static void write_conv_results(const hy_op_context *context, hy_op_output *out, const convolution *c,
                               const hy_sp_conv *run, const results *r) {
    const hy_shape states = HY_SHAPE(c->N, c->W - 1, c->D);
    hy_op_output_sum(context, out, strcmp(c->d_o->name, "dy") == 0 ? "y" : "o", HY_ROLE_ACT, c->x->shape, r->o.device);
    hy_op_output_sum(context, out, "dx", HY_ROLE_ACT, c->x->shape, r->dx.device);
    hy_op_output_sum(context, out, "dw", HY_ROLE_GRAD, c->w->shape, run->op.dw);
    if (c->bias)
        hy_op_output_sum(context, out, "dbias", HY_ROLE_GRAD, c->bias->shape, run->op.dbias);
    if (c->W > 1)
        hy_op_output_sum(context, out, "ht", HY_ROLE_ACT, states, r->ht.device);
    if (c->W > 1 && c->h0)
        hy_op_output_sum(context, out, "dh0", HY_ROLE_ACT, states, r->dh0.device);
}

static hy_status run_convolution(hy_op_context *context, convolution *c, const char *path) {
    hy_op_pool pool = {.device = context->device};
    hy_layout *layout = NULL;
    hy_sp_conv run = {0};
    hy_lists *lists = NULL;
    hy_lists_needs needs = {0};
    hy_status status = make_layout(context, c, &pool, &layout);
    HY_TRY_GOTO(status, hy_comm_agree(context->world, status), done);
    hy_sp_conv_need(&needs, c->W);
    status = hy_op_lists(context, &needs, layout, &lists);
    HY_TRY_GOTO(status, hy_comm_agree(context->world, status), done);
    hy_sp sp = {.profile = hy_device_profile(context->device),
                .device = context->device,
                .comm = context->data,
                .layout = layout,
                .lists = lists};
    take_conv_buffers(context, &pool, c, &sp, &run);
    results r;
    take_results(c, &pool, &r);
    HY_TRY_GOTO(status, hy_comm_agree(context->world, pool.status), done);
    hy_sp_conv_fwd(&sp, &run);
    hy_sp_conv_bwd(&sp, &run);
    gather_results(context, c, layout, &run, &r);
    hy_op_output out;
    hy_op_output_create(context, path, &out);
    write_conv_results(context, &out, c, &run, &r);
    status = hy_op_output_finish(context, &out);
done:
    hy_op_pool_free(&pool);
    hy_lists_destroy(lists);
    hy_layout_destroy(layout);
    return status;
}

hy_status hy_op_conv(hy_op_context *context, const char *in, const char *out) {
    const hy_op_wanted wanted[] = {{.name = "x", .required = true},
                                   {.name = "w", .required = true, .role = HY_ROLE_STAT},
                                   {.name = "bias", .role = HY_ROLE_STAT},
                                   {.name = "h0"},
                                   {.name = "do"},
                                   {.name = "dy"},
                                   {.name = "dht"},
                                   {.name = "cu_seqlens", .integers = HY_ELEMENT_I64}};
    convolution c = {0};
    HY_TRY(hy_op_input_read(context, in, wanted, (int)(sizeof wanted / sizeof wanted[0]), &c.in));
    c.x = hy_op_input_find(&c.in, "x"), c.w = hy_op_input_find(&c.in, "w"), c.bias = hy_op_input_find(&c.in, "bias");
    c.h0 = hy_op_input_find(&c.in, "h0"), c.dht = hy_op_input_find(&c.in, "dht"),
    c.cu = hy_op_input_find(&c.in, "cu_seqlens");
    c.d_o = hy_op_input_find(&c.in, hy_op_input_find(&c.in, "do") ? "do" : "dy");
    hy_status status = check_conv_inputs(context, &c);
    if (status == HY_OK)
        status = run_convolution(context, &c, out);
    hy_op_input_free(&c.in);
    return status;
}
