/* The model's two ends: embedding, and head with cross-entropy.
 *
 * The head works tile by tile over tokens, so that [T,vocab] never exists: logits = x Wᵀ, loss and d logits in place,
 * dx = d logits · W, dW += d logitsᵀ · x. Its gradients are therefore made together with the loss (class->loss). */
#include "layers/nodes/nodes.h"

static void embed_fwd(hy_exec *x, const hy_node *node) {
    hy_embed_fwd(x->device, &(hy_embed_args){.T = x->T,
                                             .D = node->attr.ends.D,
                                             .vocab = node->attr.ends.vocab,
                                             .tokens = x->batch->tokens,
                                             .w = hy_param_value(x, node->w[0]),
                                             .y = hy_value(x, node->out[0])});
}

static void embed_bwd(hy_exec *x, const hy_node *node) {
    hy_embed_bwd(x->device, &(hy_embed_args){.T = x->T,
                                             .D = node->attr.ends.D,
                                             .vocab = node->attr.ends.vocab,
                                             .frozen = node->attr.ends.frozen,
                                             .tokens = x->batch->tokens,
                                             .dy = hy_grad(x, node->out[0]),
                                             .dw = hy_param_grad(x, node->w[0])});
}

static const hy_node_class embed_class = {.name = "embedding", .fwd = embed_fwd, .bwd = embed_bwd};

hy_var hy_node_embed(hy_graph *g, hy_weight w, int64_t width, int64_t vocab, int64_t frozen) {
    hy_var y = hy_graph_var(g, "embedded", width);
    hy_node *node = hy_graph_node(g, &embed_class, 0, NULL, 1, &y);
    if (!node) {
        return HY_NONE;
    }
    hy_graph_matrix(g, w);
    node->w[0] = w;
    node->attr.ends.D = width;
    node->attr.ends.vocab = vocab;
    node->attr.ends.frozen = frozen;
    return y;
}

/* One tile of rows: logits and loss; with gradients if the run trains. */
static void head_tile(hy_exec *x, const hy_node *node, int64_t row, int64_t rows, void *logits, int train) {
    int64_t D = node->attr.ends.D, vocab = node->attr.ends.vocab;
    const char *h = (const char *)hy_value(x, node->in[0]) + (size_t)(row * D) * x->esize;
    const void *w = hy_param_value(x, node->w[0]);
    hy_gemm(x->device, &(hy_gemm_args){.trans_b = 1,
                                       .m = rows,
                                       .n = vocab,
                                       .k = D,
                                       .alpha = 1,
                                       .a = h,
                                       .lda = D,
                                       .b = w,
                                       .ldb = D,
                                       .c = logits,
                                       .ldc = vocab});
    hy_cross_entropy(x->device,
                     &(hy_cross_entropy_args){.rows = rows,
                                              .vocab = vocab,
                                              .labels = x->batch->labels + row,
                                              .logits = logits,
                                              .dlogits = logits,
                                              .grad = train,
                                              .d_scale = x->d_scale,
                                              .loss = x->loss_sum,
                                              .row_loss = x->rows.loss ? x->rows.loss + row : NULL,
                                              .row_correct = x->rows.correct ? x->rows.correct + row : NULL});
    if (train) {
        char *dh = (char *)hy_grad(x, node->in[0]) + (size_t)(row * D) * x->esize;
        hy_gemm(x->device, &(hy_gemm_args){.m = rows,
                                           .n = D,
                                           .k = vocab,
                                           .alpha = 1,
                                           .a = logits,
                                           .lda = vocab,
                                           .b = w,
                                           .ldb = D,
                                           .beta = hy_acc(x, node, 0) ? 1 : 0,
                                           .c = dh,
                                           .ldc = D});
        hy_gemm(x->device, &(hy_gemm_args){.trans_a = 1,
                                           .m = vocab,
                                           .n = D,
                                           .k = rows,
                                           .alpha = 1,
                                           .a = logits,
                                           .lda = vocab,
                                           .b = h,
                                           .ldb = D,
                                           .beta = 1,
                                           .c = hy_param_grad(x, node->w[0]),
                                           .ldc = D});
    }
}

static void head_all(hy_exec *x, const hy_node *node, int train) {
    for (int64_t row = 0; row < x->T; row += x->head_tile) {
        int64_t rows = x->T - row < x->head_tile ? x->T - row : x->head_tile;
        void *logits = x->rows.logits ? (char *)x->rows.logits + (size_t)(row * node->attr.ends.vocab) * x->esize
                                      : hy_work(x, node);
        head_tile(x, node, row, rows, logits, train);
    }
}

static void head_eval(hy_exec *x, const hy_node *node) {
    head_all(x, node, 0);
}

static void head_train(hy_exec *x, const hy_node *node) {
    head_all(x, node, 1);
}

static int64_t head_work(const hy_sizing *s, const hy_node *node) {
    return s->head_tile * node->attr.ends.vocab * (int64_t)hy_dtype_size(s->dtype);
}

static double head_flops(const hy_node *node, int64_t tokens, const int64_t *docs, int64_t n_docs) {
    (void)docs;
    (void)n_docs;
    return 2.0 * (double)tokens * (double)node->attr.ends.D * (double)node->attr.ends.vocab;
}

static const hy_node_class head_class = {.name = "head and loss",
                                         .bwd_reads_in = 1,
                                         .loss = true,
                                         .fwd = head_eval,
                                         .bwd = head_train,
                                         .work = head_work,
                                         .flops = head_flops};

void hy_node_head_loss(hy_graph *g, hy_var x, hy_weight w, int64_t width, int64_t vocab) {
    hy_node *node = hy_graph_node(g, &head_class, 1, &x, 0, NULL);
    if (node) {
        hy_graph_matrix(g, w);
        node->w[0] = w;
        node->attr.ends.D = width;
        node->attr.ends.vocab = vocab;
    }
}
