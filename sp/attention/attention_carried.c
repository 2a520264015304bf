/* Attention with a window over sequences that go on from step to step: the window − 1 rows of K and V before a sequence are a block of keys
 * more, which the rank of the first fragment has. Their gradients end there. */
#include "sp/attention/attention_internal.h"

static int64_t carried_rows(const hy_sp_attn *a) {
    return a->window > 1 ? a->window - 1 : 0;
}

int64_t hy_sp_attn_carried(const hy_sp *sp, const hy_sp_attn *shape) {
    if (shape->window <= 0 || shape->latent.rank > 0) {
        return -1;
    }
    const int64_t row = hy_attn_k_row(shape) + hy_attn_v_row(shape);
    return carried_rows(shape) * row * (int64_t)hy_sp_size(sp, HY_ROLE_ACT);
}

/* Ranks after the first have no first fragment. */
static int64_t kept_rows(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape) {
    return sp->carries && dims->rank == 0 ? dims->n_seq * carried_rows(shape) : 0;
}

size_t hy_attn_carried_kept(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape) {
    const int64_t row = hy_attn_k_row(shape) + hy_attn_v_row(shape);
    return (size_t)(kept_rows(sp, dims, shape) * row) * hy_sp_size(sp, HY_ROLE_ACT);
}

void hy_attn_carried_cut(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape, hy_carve *work,
                         hy_attn_scratch *s) {
    const int64_t rows = kept_rows(sp, dims, shape);
    const size_t ssize = hy_sp_size(sp, HY_ROLE_STAT);
    s->d_carried[0] = hy_carve_take(work, (size_t)(rows * hy_attn_k_row(shape)) * ssize);
    s->d_carried[1] = hy_carve_take(work, (size_t)(rows * hy_attn_v_row(shape)) * ssize);
}

/* The kept rows of V lie behind those of K. */
static char *kept_values(const hy_attn_call *c) {
    return (char *)c->a->kept + (size_t)(c->dims.n_seq * carried_rows(c->a) * c->k_row) * c->esize;
}

static char *carried_at(const hy_attn_call *c, int64_t sequence) {
    return (char *)c->a->carried + sequence * hy_sp_attn_carried(c->sp, c->a);
}

static void copy_key_rows(const hy_attn_call *c, int64_t cols, const char *from, char *to) {
    hy_copy2d(c->sp->device,
              &(hy_copy2d_args){
                  .rows = carried_rows(c->a), .cols = cols, .src_ld = cols, .dst_ld = cols, .src = from, .dst = to});
}

void hy_attn_carried_load(hy_attn_call *c) {
    const hy_layout *layout = c->sp->layout;
    const int64_t rows = carried_rows(c->a);
    for (int64_t s = 0; s < layout->n_seq; s++) {
        if (layout->rank == 0 && layout->before[s] > 0) {
            const char *from = carried_at(c, s);
            copy_key_rows(c, c->k_row, from, (char *)c->a->kept + (size_t)(s * rows * c->k_row) * c->esize);
            copy_key_rows(c, c->v_row, from + (size_t)(rows * c->k_row) * c->esize,
                          kept_values(c) + (size_t)(s * rows * c->v_row) * c->esize);
        }
    }
}

void hy_attn_carried_store(hy_attn_call *c) {
    const hy_layout *layout = c->sp->layout;
    const int64_t rows = carried_rows(c->a);
    for (int64_t s = 0; s < layout->n_seq; s++) {
        const hy_fragment *f = hy_layout_own_end(layout, s, 1);
        if (f) {
            const size_t first = (size_t)(f->local + f->len - rows) * c->esize;
            char *to = carried_at(c, s);
            copy_key_rows(c, c->k_row, (const char *)c->a->k + first * (size_t)c->k_row, to);
            copy_key_rows(c, c->v_row, (const char *)c->a->v + first * (size_t)c->v_row,
                          to + (size_t)(rows * c->k_row) * c->esize);
        }
    }
}

void hy_attn_carried_compute(hy_attn_call *c) {
    const hy_carried_keys *keys = &hy_lists_window(c->sp->lists, c->a->window)->carried;
    const hy_attn_pairs pairs = {
        .first = keys->pairs, .n = keys->n, .nq = keys->nq, .nk = carried_rows(c->a), .lo = keys->lo.device};
    if (keys->n > 0) {
        hy_attn_pairs_compute(
            c, &pairs,
            &(hy_kv_rows){.k = c->a->kept, .v = kept_values(c), .d_k = c->s.d_carried[0], .d_v = c->s.d_carried[1]});
    }
}
