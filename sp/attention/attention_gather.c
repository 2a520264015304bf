/* All-gather attention: every rank brings K and V, padded to the longest rank, in one all-gather, and computes its own
 * keys while it travels. Backward gathers them again; the gradients of everyone's rows go to their owners in one
 * all-to-all, and each owner adds them in order of ranks. A rank's block holds its K rows, then its V rows. */
#include "sp/attention/attention_internal.h"

static size_t block_bytes(const hy_attn_call *c) {
    return (size_t)(c->dims.T_max * (c->k_row + c->v_row)) * c->esize;
}

static char *block_of(const hy_attn_call *c, char *blocks, int rank) {
    return blocks + (size_t)rank * block_bytes(c);
}

/* Byte offset of K (V) row `row` inside a rank's block. */
static size_t k_offset(const hy_attn_call *c, int64_t row) {
    return (size_t)(row * c->k_row) * c->esize;
}

static size_t v_offset(const hy_attn_call *c, int64_t row) {
    return (size_t)(c->dims.T_max * c->k_row + row * c->v_row) * c->esize;
}

/* Rows past T are never read: they are left as they are. */
static void copy_rows(hy_attn_call *c, int64_t cols, const void *src, void *dst, int acc) {
    hy_copy2d(c->sp->device,
              &(hy_copy2d_args){
                  .rows = c->dims.T, .cols = cols, .src_ld = cols, .dst_ld = cols, .src = src, .dst = dst, .acc = acc});
}

static void post_gather(hy_attn_call *c, hy_req *req) {
    char *mine = block_of(c, c->s.kv[0], c->dims.rank);
    copy_rows(c, c->k_row, c->a->k, mine + k_offset(c, 0), 0);
    copy_rows(c, c->v_row, c->a->v, mine + v_offset(c, 0), 0);
    hy_comm_all_gather(c->sp->comm, "attention K,V", mine, c->s.kv[0], block_bytes(c), req);
}

/* The keys and values of every fragment of other ranks. */
static void compute_others(hy_attn_call *c) {
    const hy_layout *layout = c->sp->layout;
    for (int64_t id = 0; id < layout->n_frags; id++) {
        const hy_fragment *f = &layout->frags[id];
        if (f->owner == c->dims.rank || f->len == 0) {
            continue;
        }
        char *kv = block_of(c, c->s.kv[0], f->owner), *d_kv = block_of(c, c->s.d_kv[0], f->owner);
        if (c->sp->broken) {
            char *k = kv + k_offset(c, f->local);
            hy_axpy(c->sp->device, &(hy_axpy_args){.n = f->len * c->k_row, .a = 0.5, .x = k, .y = k});
        }
        hy_attn_block(c, &(hy_kv_block){.begin = f->begin,
                                        .rows = f->len,
                                        .k = kv + k_offset(c, f->local),
                                        .v = kv + v_offset(c, f->local),
                                        .d_k = d_kv + k_offset(c, f->local),
                                        .d_v = d_kv + v_offset(c, f->local)});
    }
}

/* Block r of the result holds what rank r's queries contribute to the own rows; the own contribution is in dk, dv. */
static void return_gradients(hy_attn_call *c) {
    hy_req req;
    hy_comm_all_to_all(c->sp->comm, "attention dK,dV", c->s.d_kv[0], c->s.kv[0], block_bytes(c), &req);
    hy_comm_wait(&req);
    for (int r = 0; r < c->dims.size; r++) {
        if (r != c->dims.rank) {
            const char *theirs = block_of(c, c->s.kv[0], r);
            copy_rows(c, c->k_row, theirs + k_offset(c, 0), c->a->dk, 1);
            copy_rows(c, c->v_row, theirs + v_offset(c, 0), c->a->dv, 1);
        }
    }
}

void hy_attn_gather(hy_attn_call *c) {
    hy_req req;
    post_gather(c, &req);
    if (c->backward) {
        const int64_t n = c->dims.size * c->dims.T_max * (c->k_row + c->v_row);
        hy_fill(c->sp->device, &(hy_fill_args){.n = n, .value = 0, .y = c->s.d_kv[0]});
    }
    hy_attn_own_blocks(c, c->a->dk, c->a->dv);
    hy_comm_wait(&req);
    compute_others(c);
    if (c->backward) {
        return_gradients(c);
    }
}
