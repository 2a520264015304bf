/* Attention over rows of a latent: keys and values of a block are made just before its queries read them, and thrown
 * away after; in backward their gradients go back through the same product at once:
 *
 *   product = latent Wᵀ [n,HKV,nope+DV];   key_h = [product_h, first nope | shared];   value_h = product_h, last DV
 *   d product = [dkey_h, first nope | dvalue_h];   dlatent += d product W;   dW += d productᵀ latent
 *   dshared += Σ_h dkey_h, last rope
 *
 * A block is cut into as many rows as the device likes, so that what is made stays small; a product, where it does, into SLICE
 * rows, so that it stays in cache and exchanges advance in between. Whatever the method, a row is made once on every rank that sees it. */
#include "sp/attention/attention_internal.h"

enum { SLICE = 128 };

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Rows made at a time, and rows of a product, of n. */
static int64_t block_rows(const hy_sp *sp, int64_t n) {
    return sp->profile->tuning.latent_rows > 0 ? least(sp->profile->tuning.latent_rows, n) : n;
}

static int64_t slice_rows(const hy_sp *sp, int64_t n) {
    return sp->profile->tuning.latent_rows > 0 ? least(SLICE, n) : n;
}

/* Columns of the product. */
static int64_t product_cols(const hy_sp_attn *a) {
    return a->HKV * (a->D - a->latent.rope + a->DV);
}

void hy_latent_cut(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape, hy_carve *work,
                   hy_attn_scratch *s) {
    const size_t esize = hy_sp_size(sp, HY_ROLE_ACT), ssize = hy_sp_size(sp, HY_ROLE_STAT);
    const int64_t rows = block_rows(sp, dims->frag_max);
    const size_t k = (size_t)(rows * shape->HKV * shape->D), v = (size_t)(rows * shape->HKV * shape->DV);
    s->made_k = hy_carve_take(work, k * esize);
    s->made_v = hy_carve_take(work, v * esize);
    s->made_dk = hy_carve_take(work, k * ssize);
    s->made_dv = hy_carve_take(work, v * ssize);
    s->product = hy_carve_take(work, (size_t)(slice_rows(sp, rows) * product_cols(shape)) * esize);
}

/* Copies a part of every head, [n,HKV,cols], between rows of heads that are src_ld and dst_ld wide, into an array of activations. */
static void copy_heads(hy_attn_call *c, int64_t n, int64_t cols, hy_role from, const char *src, int64_t src_ld,
                       char *dst, int64_t dst_ld) {
    hy_copy2d(c->sp->device, &(hy_copy2d_args){.rows = n * c->a->HKV,
                                               .cols = cols,
                                               .src_ld = src_ld,
                                               .dst_ld = dst_ld,
                                               .src = src,
                                               .dst = dst,
                                               .from = from});
}

/* Where a slice of n rows of a block begins, in every array. */
typedef struct slice {
    int64_t n;
    const char *latent, *shared;
    char *d_latent, *d_shared;
    char *k, *v, *dk, *dv;
} slice;

static slice slice_of(const hy_attn_call *c, const hy_kv_block *block, int64_t first, int64_t n) {
    const hy_sp_attn *a = c->a;
    /* elements from the beginning of each array */
    const size_t latent = (size_t)(first * a->latent.rank), shared = (size_t)(first * a->latent.rope);
    const size_t k = (size_t)(first * a->HKV * a->D), v = (size_t)(first * a->HKV * a->DV);
    slice s = {.n = n,
               .latent = block->k + latent * c->esize,
               .shared = block->v + shared * c->esize,
               .k = c->s.made_k + k * c->esize,
               .v = c->s.made_v + v * c->esize,
               .dk = c->s.made_dk + k * c->ssize,
               .dv = c->s.made_dv + v * c->ssize};
    if (c->backward) {
        s.d_latent = block->d_k + latent * c->ssize;
        s.d_shared = block->d_v + shared * c->ssize;
    }
    return s;
}

static void make(hy_attn_call *c, const slice *s) {
    const hy_sp_attn *a = c->a;
    const int64_t nope = a->D - a->latent.rope, wide = nope + a->DV, cols = product_cols(a);
    hy_gemm(c->sp->device, &(hy_gemm_args){.trans_b = 1,
                                           .m = s->n,
                                           .n = cols,
                                           .k = a->latent.rank,
                                           .alpha = 1,
                                           .a = s->latent,
                                           .lda = a->latent.rank,
                                           .b = a->latent.w,
                                           .b_role = HY_ROLE_WEIGHT,
                                           .ldb = a->latent.rank,
                                           .c = c->s.product,
                                           .ldc = cols});
    copy_heads(c, s->n, nope, HY_ROLE_ACT, c->s.product, wide, s->k, a->D);
    copy_heads(c, s->n, a->DV, HY_ROLE_ACT, c->s.product + (size_t)nope * c->esize, wide, s->v, a->DV);
    for (int64_t h = 0; h < a->HKV; h++) {
        hy_copy2d(c->sp->device, &(hy_copy2d_args){.rows = s->n,
                                                   .cols = a->latent.rope,
                                                   .src_ld = a->latent.rope,
                                                   .dst_ld = a->HKV * a->D,
                                                   .src = s->shared,
                                                   .dst = s->k + (size_t)(h * a->D + nope) * c->esize});
    }
}

static void make_bwd(hy_attn_call *c, const slice *s) {
    const hy_sp_attn *a = c->a;
    const int64_t nope = a->D - a->latent.rope, wide = nope + a->DV, cols = product_cols(a);
    copy_heads(c, s->n, nope, HY_ROLE_STAT, s->dk, a->D, c->s.product, wide);
    copy_heads(c, s->n, a->DV, HY_ROLE_STAT, s->dv, a->DV, c->s.product + (size_t)nope * c->esize, wide);
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
                            .c = s->d_latent,
                            .c_role = HY_ROLE_STAT,
                            .ldc = a->latent.rank};
    hy_gemm(c->sp->device, &product);
    product.trans_a = 1;
    product.m = cols;
    product.k = s->n;
    product.b = s->latent;
    product.b_role = HY_ROLE_ACT;
    product.c = a->latent.dw;
    product.c_role = HY_ROLE_GRAD;
    hy_gemm(c->sp->device, &product);
    for (int64_t h = 0; h < a->HKV; h++) {
        hy_copy2d(c->sp->device, &(hy_copy2d_args){.rows = s->n,
                                                   .cols = a->latent.rope,
                                                   .src_ld = a->HKV * a->D,
                                                   .dst_ld = a->latent.rope,
                                                   .src = s->dk + (size_t)(h * a->D + nope) * c->ssize,
                                                   .dst = s->d_shared,
                                                   .acc = 1,
                                                   .from = HY_ROLE_STAT,
                                                   .to = HY_ROLE_STAT});
    }
}

/* Every slice of the rows, one after the other. */
static void each_slice(hy_attn_call *c, const hy_kv_block *rows, void (*work)(hy_attn_call *, const slice *)) {
    const int64_t step = slice_rows(c->sp, rows->rows);
    for (int64_t first = 0; first < rows->rows; first += step) {
        const slice s = slice_of(c, rows, first, least(step, rows->rows - first));
        work(c, &s);
        hy_comm_progress(c->sp->comm);
    }
}

static hy_kv_block part_of(const hy_attn_call *c, const hy_kv_block *block, int64_t first, int64_t rows) {
    const size_t k_at = (size_t)(first * c->k_row), v_at = (size_t)(first * c->v_row);
    hy_kv_block part = {
        .begin = block->begin + first, .rows = rows, .k = block->k + k_at * c->esize, .v = block->v + v_at * c->esize};
    if (c->backward) {
        part.d_k = block->d_k + k_at * c->ssize;
        part.d_v = block->d_v + v_at * c->ssize;
    }
    return part;
}

static void zero(hy_attn_call *c, char *y, int64_t n) {
    hy_fill(c->sp->device, &(hy_fill_args){.n = n, .value = 0, .y = y, .role = HY_ROLE_STAT});
}

static void attend(hy_attn_call *c, const hy_kv_block *part) {
    each_slice(c, part, make);
    if (c->backward) {
        zero(c, c->s.made_dk, part->rows * c->a->HKV * c->a->D);
        zero(c, c->s.made_dv, part->rows * c->a->HKV * c->a->DV);
    }
    hy_attn_keys(c, &(hy_kv_block){.begin = part->begin,
                                   .rows = part->rows,
                                   .k = c->s.made_k,
                                   .v = c->s.made_v,
                                   .d_k = c->s.made_dk,
                                   .d_v = c->s.made_dv});
    if (c->backward) {
        each_slice(c, part, make_bwd);
    }
}

void hy_attn_latent(hy_attn_call *c, const hy_kv_block *block) {
    const int64_t end = block->begin + block->rows;
    for (int64_t at = hy_attn_first_seen(c, block->begin, end); at < end; at = hy_attn_first_seen(c, at, end)) {
        const hy_kv_block part = part_of(c, block, at - block->begin, block_rows(c->sp, end - at));
        attend(c, &part);
        at += part.rows;
    }
}
