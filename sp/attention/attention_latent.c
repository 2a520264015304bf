/* Attention over rows of a latent: keys and values of a part are made just before its queries read them, and thrown
 * away after; in backward their gradients go back through the same product at once:
 *
 *   product = latent Wᵀ [n,HKV,nope+DV];   keys and values of all heads from it: kernels.h, hy_latent_heads
 *   dlatent += d product W;   dW += d productᵀ latent
 *
 * A part is as many rows as the device likes, so that what is made stays small (attention_lists.h); a product, where it does, is of
 * SLICE rows, so that it stays in cache and exchanges advance in between. Whatever the method, a row is made once on every rank that sees it. */
#include "sp/attention/attention_internal.h"

enum { SLICE = 128 };

/* Rows of a product, of n. */
static int64_t slice_rows(const hy_sp *sp, int64_t n) {
    return sp->profile->tuning.latent_rows > 0 && n > SLICE ? SLICE : n;
}

/* Columns of the product. */
static int64_t product_cols(const hy_sp_attn *a) {
    return a->HKV * (a->D - a->latent.rope + a->DV);
}

void hy_latent_cut(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape, hy_carve *work,
                   hy_attn_scratch *s) {
    const size_t esize = hy_sp_size(sp, HY_ROLE_ACT), ssize = hy_sp_size(sp, HY_ROLE_STAT);
    const int64_t rows = hy_attn_part_rows(sp->profile, dims, sp->method.attention, shape->window);
    const size_t k = (size_t)(rows * shape->HKV * shape->D), v = (size_t)(rows * shape->HKV * shape->DV);
    s->made_k = hy_carve_take(work, k * esize);
    s->made_v = hy_carve_take(work, v * esize);
    s->made_d = hy_carve_take(work, (k + v) * ssize);
    s->product = hy_carve_take(work, (size_t)(slice_rows(sp, rows) * product_cols(shape)) * esize);
}

/* n rows of a part, from its first-th on; `rows` and `made` begin with them. */
typedef struct latent_slice {
    int64_t n;
    hy_kv_rows rows, made;
} latent_slice;

static hy_latent_heads_args heads_args(const hy_attn_call *c, const latent_slice *s) {
    const hy_sp_attn *a = c->a;
    return (hy_latent_heads_args){
        .T = s->n, .H = a->HKV, .nope = a->D - a->latent.rope, .rope = a->latent.rope, .DV = a->DV};
}

static void make_keys(hy_attn_call *c, const latent_slice *s) {
    const hy_sp_attn *a = c->a;
    const int64_t cols = product_cols(a);
    hy_gemm(c->sp->device, &(hy_gemm_args){.trans_b = 1,
                                           .m = s->n,
                                           .n = cols,
                                           .k = a->latent.rank,
                                           .alpha = 1,
                                           .a = s->rows.k,
                                           .lda = a->latent.rank,
                                           .b = a->latent.w,
                                           .b_role = HY_ROLE_WEIGHT,
                                           .ldb = a->latent.rank,
                                           .c = c->s.product,
                                           .ldc = cols});
    hy_latent_heads_args heads = heads_args(c, s);
    heads.product = c->s.product;
    heads.shared = s->rows.v;
    heads.k = (char *)(uintptr_t)s->made.k;
    heads.v = (char *)(uintptr_t)s->made.v;
    hy_latent_heads_fwd(c->sp->device, &heads);
}

static void make_keys_bwd(hy_attn_call *c, const latent_slice *s) {
    const hy_sp_attn *a = c->a;
    const int64_t cols = product_cols(a);
    hy_latent_heads_args heads = heads_args(c, s);
    heads.dk = s->made.d_k;
    heads.dv = s->made.d_v;
    heads.dproduct = c->s.product;
    heads.dshared = s->rows.d_v;
    hy_latent_heads_bwd(c->sp->device, &heads);
    hy_gemm_args product = {.m = s->n,
                            .n = a->latent.rank,
                            .k = cols,
                            .alpha = 1,
                            .a = c->s.product,
                            .lda = cols,
                            .b = a->latent.w,
                            .b_role = HY_ROLE_WEIGHT,
                            .ldb = a->latent.rank,
                            .beta = 1,
                            .c = s->rows.d_k,
                            .c_role = HY_ROLE_STAT,
                            .ldc = a->latent.rank};
    hy_gemm(c->sp->device, &product);
    product.trans_a = 1;
    product.m = cols;
    product.k = s->n;
    product.b = s->rows.k;
    product.b_role = HY_ROLE_ACT;
    product.c = a->latent.dw;
    product.c_role = HY_ROLE_GRAD;
    hy_gemm(c->sp->device, &product);
}

/* Every slice of the part, one after the other. `rows`: of the hop. */
static void each_latent_slice(hy_attn_call *c, const hy_attn_part *part, const hy_kv_rows *rows, const hy_kv_rows *made,
                              void (*work)(hy_attn_call *, const latent_slice *)) {
    const hy_sp_attn *a = c->a;
    const int64_t step = slice_rows(c->sp, part->rows);
    for (int64_t first = 0; first < part->rows; first += step) {
        const latent_slice s = {.n = part->rows - first < step ? part->rows - first : step,
                                .rows = hy_attn_rows_from(c, rows, part->row + first, c->k_row, c->v_row),
                                .made = hy_attn_rows_from(c, made, first, a->HKV * a->D, a->HKV * a->DV)};
        work(c, &s);
        hy_comm_progress(c->sp->comm);
    }
}

void hy_attn_latent(hy_attn_call *c, const hy_attn_part *part, const hy_kv_rows *rows) {
    const int64_t k = part->rows * c->a->HKV * c->a->D, v = part->rows * c->a->HKV * c->a->DV;
    const hy_kv_rows made = {
        .k = c->s.made_k, .v = c->s.made_v, .d_k = c->s.made_d, .d_v = c->s.made_d + (size_t)k * c->ssize};
    each_latent_slice(c, part, rows, &made, make_keys);
    if (c->backward) {
        hy_fill(c->sp->device, &(hy_fill_args){.n = k + v, .value = 0, .y = c->s.made_d, .role = HY_ROLE_STAT});
    }
    hy_attn_part_compute(c, part, &made);
    if (c->backward) {
        each_latent_slice(c, part, rows, &made, make_keys_bwd);
    }
}
