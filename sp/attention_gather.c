/* All-gather attention: every rank brings K and V, padded to the longest rank, in one all-gather; backward reduces the gradients of
 * everyone's rows to their owners in one reduce-scatter. A rank's block holds its K rows, then its V rows. */
#include <string.h>

#include "sp/attention_internal.h"

static size_t block_bytes(const hy_attn_call *c) {
    return (size_t)(c->dims.T_max * (c->k_row + c->v_row)) * c->esize;
}

/* Byte offset of K (V) row `row` inside a rank's block. */
static size_t k_offset(const hy_attn_call *c, int64_t row) {
    return (size_t)(row * c->k_row) * c->esize;
}

static size_t v_offset(const hy_attn_call *c, int64_t row) {
    return (size_t)(c->dims.T_max * c->k_row + row * c->v_row) * c->esize;
}

static void copy_rows(hy_attn_call *c, int64_t cols, const void *src, void *dst) {
    hy_copy2d(c->sp->device, &(hy_copy2d_args){.rows = c->dims.T, .cols = cols, .src_ld = cols, .dst_ld = cols, .src = src, .dst = dst});
}

static void gather(hy_attn_call *c) {
    char *mine = c->s.kv[0] + (size_t)c->dims.rank * block_bytes(c);
    hy_fill(c->sp->device, &(hy_fill_args){.n = c->dims.T_max * (c->k_row + c->v_row), .y = mine});
    copy_rows(c, c->k_row, c->a->k, mine + k_offset(c, 0));
    copy_rows(c, c->v_row, c->a->v, mine + v_offset(c, 0));
    hy_req req = {0};
    hy_comm_all_gather(c->sp->comm, "attention K,V", mine, c->s.kv[0], block_bytes(c), &req);
    hy_comm_wait(&req);
    if (c->sp->broken) {
        for (int r = 0; r < c->dims.size; r++) {
            char *theirs = c->s.kv[0] + (size_t)r * block_bytes(c);
            if (r != c->dims.rank) {
                hy_axpy(c->sp->device, &(hy_axpy_args){.n = c->dims.T_max * c->k_row, .a = 1.01, .x = theirs, .y = theirs});
            }
        }
    }
}

static void reduce(hy_attn_call *c) {
    hy_req req = {0};
    hy_type type = c->esize == 8 ? HY_TYPE_F64 : HY_TYPE_F32;
    hy_comm_reduce_scatter(c->sp->comm, "attention dK,dV", c->s.d_kv[0], c->s.d_own[0], c->dims.T_max * (c->k_row + c->v_row), type, &req);
    hy_comm_wait(&req);
    copy_rows(c, c->k_row, c->s.d_own[0] + k_offset(c, 0), c->a->dk);
    copy_rows(c, c->v_row, c->s.d_own[0] + v_offset(c, 0), c->a->dv);
}

void hy_attn_gather(hy_attn_call *c) {
    const hy_layout *layout = c->sp->layout;
    gather(c);
    if (c->backward) {
        hy_fill(c->sp->device, &(hy_fill_args){.n = c->dims.size * c->dims.T_max * (c->k_row + c->v_row), .y = c->s.d_kv[0]});
    }
    for (int64_t id = 0; id < layout->n_frags; id++) {
        const hy_fragment *f = &layout->frags[id];
        const char *block = c->s.kv[0] + (size_t)f->owner * block_bytes(c);
        char *d_block = c->s.d_kv[0] + (size_t)f->owner * block_bytes(c);
        hy_attn_block(c, f->begin, f->len, block + k_offset(c, f->local), block + v_offset(c, f->local), d_block + k_offset(c, f->local),
                      d_block + v_offset(c, f->local));
    }
    if (c->backward) {
        reduce(c);
    }
}
