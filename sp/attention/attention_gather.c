/* All-gather attention: every rank brings K and V, padded to the longest rank, in one all-gather, and computes its own
 * keys while it travels. Backward gathers them again; the gradients of everyone's rows go to their owners in one
 * all-to-all, and each owner adds them in order of ranks. A rank's block holds its K rows, then its V rows. */
#include "sp/attention/attention_internal.h"

/* Blocks of keys and values, and of their gradients, whose elements may be larger. */
typedef struct blocks {
    char *base;
    size_t element;
} blocks;

static size_t block_bytes(const hy_attn_call *c, size_t element) {
    return (size_t)(c->dims.T_max * (c->k_row + c->v_row)) * element;
}

/* K (V) row `row` of a rank's block. */
static char *k_row_of(const hy_attn_call *c, const blocks *b, int rank, int64_t row) {
    return b->base + (size_t)rank * block_bytes(c, b->element) + (size_t)(row * c->k_row) * b->element;
}

static char *v_row_of(const hy_attn_call *c, const blocks *b, int rank, int64_t row) {
    return k_row_of(c, b, rank, c->dims.T_max) + (size_t)(row * c->v_row) * b->element;
}

/* Rows past T are never read: they are left as they are. */
static void copy_rows(hy_attn_call *c, int64_t cols, const void *src, void *dst, hy_role role, int acc) {
    hy_copy2d(c->sp->device, &(hy_copy2d_args){.rows = c->dims.T,
                                               .cols = cols,
                                               .src_ld = cols,
                                               .dst_ld = cols,
                                               .src = src,
                                               .dst = dst,
                                               .acc = acc,
                                               .from = role,
                                               .to = role});
}

static blocks keys_of(const hy_attn_call *c) {
    return (blocks){c->s.kv[0], c->esize};
}

static blocks gradients_of(const hy_attn_call *c) {
    return (blocks){c->s.d_kv[0], c->ssize};
}

static void post_gather(hy_attn_call *c, hy_req *req) {
    const blocks kv = keys_of(c);
    char *mine = k_row_of(c, &kv, c->dims.rank, 0);
    copy_rows(c, c->k_row, c->a->k, mine, HY_ROLE_ACT, 0);
    copy_rows(c, c->v_row, c->a->v, v_row_of(c, &kv, c->dims.rank, 0), HY_ROLE_ACT, 0);
    hy_comm_all_gather(c->sp->comm, "attention K,V", mine, kv.base, block_bytes(c, kv.element), req);
}

/* The keys and values of every fragment of other ranks. */
static void compute_others(hy_attn_call *c) {
    const hy_layout *layout = c->sp->layout;
    const blocks kv = keys_of(c), d_kv = gradients_of(c);
    for (int64_t id = 0; id < layout->n_frags; id++) {
        const hy_fragment *f = &layout->frags[id];
        if (f->owner == c->dims.rank || f->len == 0) {
            continue;
        }
        char *k = k_row_of(c, &kv, f->owner, f->local);
        if (c->sp->broken) {
            hy_axpy(c->sp->device, &(hy_axpy_args){.n = f->len * c->k_row, .a = 0.5, .x = k, .y = k});
        }
        hy_attn_block(c, &(hy_kv_block){.begin = f->begin,
                                        .rows = f->len,
                                        .k = k,
                                        .v = v_row_of(c, &kv, f->owner, f->local),
                                        .d_k = k_row_of(c, &d_kv, f->owner, f->local),
                                        .d_v = v_row_of(c, &d_kv, f->owner, f->local)});
    }
}

/* Block r of the result holds what rank r's queries contribute to the own rows; the own contribution is in dk, dv. */
static void return_gradients(hy_attn_call *c) {
    hy_req req;
    const blocks theirs = {c->s.kv[0], c->ssize};
    hy_comm_all_to_all(c->sp->comm, "attention dK,dV", c->s.d_kv[0], theirs.base, block_bytes(c, c->ssize), &req);
    hy_comm_wait(&req);
    for (int r = 0; r < c->dims.size; r++) {
        if (r != c->dims.rank) {
            copy_rows(c, c->k_row, k_row_of(c, &theirs, r, 0), c->dk, HY_ROLE_STAT, 1);
            copy_rows(c, c->v_row, v_row_of(c, &theirs, r, 0), c->dv, HY_ROLE_STAT, 1);
        }
    }
}

void hy_attn_gather(hy_attn_call *c) {
    hy_req req;
    post_gather(c, &req);
    if (c->backward) {
        const int64_t n = c->dims.size * c->dims.T_max * (c->k_row + c->v_row);
        hy_fill(c->sp->device, &(hy_fill_args){.n = n, .value = 0, .y = c->s.d_kv[0], .role = HY_ROLE_STAT});
    }
    hy_attn_own_blocks(c);
    hy_comm_wait(&req);
    compute_others(c);
    if (c->backward) {
        return_gradients(c);
    }
}
