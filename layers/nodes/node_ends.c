/* The model's two ends: embedding, and head with cross-entropy.
 *
 * The head works tile by tile over tokens, so that [T,vocab] never exists: logits = x Wᵀ, loss and d logits in place,
 * dx = d logits · W, dW += d logitsᵀ · x. Its gradients are therefore made together with the loss (class->loss). */
#include "layers/nodes/nodes.h"
#include "sp/carve.h"

static void embed_fwd(hy_exec *x, const hy_node *node) {
    hy_embed_fwd(x->device, &(hy_embed_args){.T = x->T,
                                             .D = node->attr.ends.D,
                                             .vocab = node->attr.ends.vocab,
                                             .tokens = x->sp->lists->tokens.device + x->row,
                                             .w = hy_param_value(x, node->w[0]),
                                             .y = hy_value(x, node->out[0])});
}

static void embed_bwd(hy_exec *x, const hy_node *node) {
    hy_embed_bwd(x->device, &(hy_embed_args){.T = x->T,
                                             .D = node->attr.ends.D,
                                             .vocab = node->attr.ends.vocab,
                                             .frozen = node->attr.ends.frozen,
                                             .tokens = x->sp->lists->tokens.device + x->row,
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

/* Tiles of rows, one after the other in the same places. d_logits stand where the logits do if activations and statistics have one
 * type. */
typedef struct head_tile {
    int64_t row, rows;
    char *logits, *d_logits; /* [rows,vocab] stat, act */
} head_tile;

static void head_forward(hy_exec *x, const hy_node *node, const head_tile *t, int train) {
    int64_t D = node->attr.ends.D, vocab = node->attr.ends.vocab;
    hy_gemm(x->device,
            &(hy_gemm_args){.trans_b = 1,
                            .m = t->rows,
                            .n = vocab,
                            .k = D,
                            .alpha = 1,
                            .a = (const char *)hy_value(x, node->in[0]) + hy_bytes(x, HY_ROLE_ACT, t->row * D),
                            .lda = D,
                            .b = hy_param_value(x, node->w[0]),
                            .ldb = D,
                            .c = t->logits,
                            .ldc = vocab,
                            .b_role = HY_ROLE_WEIGHT,
                            .c_role = HY_ROLE_STAT});
    hy_cross_entropy(
        x->device, &(hy_cross_entropy_args){.rows = t->rows,
                                            .vocab = vocab,
                                            .labels = x->sp->lists->labels.device + x->row + t->row,
                                            .logits = t->logits,
                                            .dlogits = t->d_logits,
                                            .grad = train,
                                            .d_scale = x->sp->lists->d_scale,
                                            .loss = x->loss_sum + (train ? x->slot % x->sums : 0),
                                            .row_loss = x->rows.loss ? x->rows.loss + x->row + t->row : NULL,
                                            .row_correct = x->rows.correct ? x->rows.correct + x->row + t->row : NULL});
}

static void head_backward(hy_exec *x, const hy_node *node, const head_tile *t) {
    int64_t D = node->attr.ends.D, vocab = node->attr.ends.vocab;
    const size_t at = hy_bytes(x, HY_ROLE_ACT, t->row * D);
    hy_gemm(x->device, &(hy_gemm_args){.m = t->rows,
                                       .n = D,
                                       .k = vocab,
                                       .alpha = 1,
                                       .a = t->d_logits,
                                       .lda = vocab,
                                       .b = hy_param_value(x, node->w[0]),
                                       .ldb = D,
                                       .beta = hy_acc(x, node, 0) ? 1 : 0,
                                       .c = (char *)hy_grad(x, node->in[0]) + at,
                                       .ldc = D,
                                       .b_role = HY_ROLE_WEIGHT});
    hy_gemm(x->device, &(hy_gemm_args){.trans_a = 1,
                                       .m = vocab,
                                       .n = D,
                                       .k = t->rows,
                                       .alpha = 1,
                                       .a = t->d_logits,
                                       .lda = vocab,
                                       .b = (const char *)hy_value(x, node->in[0]) + at,
                                       .ldb = D,
                                       .beta = 1,
                                       .c = hy_param_grad(x, node->w[0]),
                                       .ldc = D,
                                       .c_role = HY_ROLE_GRAD});
}

static bool in_place(const hy_sp *sp) {
    return hy_sp_size(sp, HY_ROLE_ACT) == hy_sp_size(sp, HY_ROLE_STAT);
}

/* Where d_logits begin in the scratch of tiles. */
static size_t d_logits_at(const hy_sp *sp, int64_t tile, int64_t vocab) {
    return in_place(sp) ? 0 : hy_aligned((size_t)(tile * vocab) * hy_sp_size(sp, HY_ROLE_STAT));
}

static void head_all(hy_exec *x, const hy_node *node, int train) {
    const int64_t vocab = node->attr.ends.vocab;
    char *work = hy_work(x, node), *out = x->rows.logits;
    for (int64_t row = 0; row < x->T; row += x->head_tile) {
        const head_tile t = {.row = row,
                             .rows = x->T - row < x->head_tile ? x->T - row : x->head_tile,
                             .logits = out ? out + hy_bytes(x, HY_ROLE_STAT, (x->row + row) * vocab) : work,
                             .d_logits = work + d_logits_at(x->sp, x->head_tile, vocab)};
        head_forward(x, node, &t, train);
        if (train) {
            head_backward(x, node, &t);
        }
    }
}

static void head_eval(hy_exec *x, const hy_node *node) {
    head_all(x, node, 0);
}

static void head_train(hy_exec *x, const hy_node *node) {
    head_all(x, node, 1);
}

static int64_t head_work(const hy_sizing *s, const hy_node *node) {
    const int64_t tile = s->head_tile, vocab = node->attr.ends.vocab;
    const hy_role last = s->train ? HY_ROLE_ACT : HY_ROLE_STAT;
    const size_t before = s->train ? d_logits_at(s->sp, tile, vocab) : 0;
    return (int64_t)(before + (size_t)(tile * vocab) * hy_sp_size(s->sp, last));
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
