/* All-gather attention: every rank brings K and V, padded to the longest rank, and computes its own keys while they travel. Backward
 * gathers them again; the gradients of everyone's rows go to their owners by all-to-all, and each owner adds them in order of ranks.
 * Everybody's K lies before everybody's V, so that rank r's row t is row r·T_max + t of either. */
#include "sp/attention/attention_internal.h"

/* ---- lists ---- */

static int64_t tokens_of_rank(const hy_layout *layout, int rank) {
    int64_t tokens = 0;
    for (int64_t id = 0; id < layout->n_frags; id++) {
        tokens += layout->frags[id].owner == rank ? layout->frags[id].len : 0;
    }
    return tokens;
}

/* Rows of rank r begin at r·T_max. Those of a latent are made a rank at a time: never what lies between ranks, which may be
 * anything. */
static void gather_build(hy_attn_builder *b) {
    const hy_layout *layout = b->layout;
    const bool by_rank = b->lists->need.latent && b->profile->tuning.latent_rows == 0;
    hy_attn_hop_begin(b, layout->rank, layout->rank);
    const hy_key_block all = {.rows = layout->size * b->dims.T_max};
    for (int r = 0; r < (by_rank ? layout->size : 1); r++) {
        const hy_key_block mine = {.rows = tokens_of_rank(layout, r), .row = r * b->dims.T_max};
        for (int64_t id = 0; id < layout->n_frags; id++) {
            const hy_fragment *f = &layout->frags[id];
            if (f->owner != layout->rank && (!by_rank || f->owner == r)) {
                hy_attn_hop_block(b, &(hy_key_block){f->begin, f->len, f->owner * b->dims.T_max + f->local},
                                  by_rank ? &mine : &all);
            }
        }
    }
    hy_row_block *home = hy_list_image_take(b->image, (size_t)(layout->size - 1) * sizeof *home);
    int64_t n = 0;
    for (int r = 0; r < layout->size; r++) {
        if (r != layout->rank) {
            home[n++] = (hy_row_block){r * b->dims.T_max, 0, layout->T};
        }
    }
    hy_attn_hop_home(b, home, n);
}

static hy_attn_others gather_others(const hy_layout_dims *dims) {
    return (hy_attn_others){.hops = 1, .home = dims->size - 1};
}

static int64_t gather_part_rows(const hy_layout_dims *dims, int64_t window) {
    (void)window;
    return dims->T_max;
}

/* ---- a call ---- */

static void gather_cut(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape, hy_carve *work,
                       hy_attn_scratch *s) {
    const int64_t all = dims->size * dims->T_max * (hy_attn_k_row(shape) + hy_attn_v_row(shape));
    s->kv[0] =
        hy_carve_take(work, (size_t)all * hy_sp_size(sp, HY_ROLE_STAT)); /* the gradients that come back are stat */
    s->d_kv[0] = hy_carve_take(work, (size_t)all * hy_sp_size(sp, HY_ROLE_STAT));
}

/* Where everybody's rows begin, in an array of such elements. */
typedef struct everybody {
    char *k, *v;
    size_t k_block, v_block; /* bytes of a rank */
} everybody;

static everybody rows_in(const hy_attn_call *c, char *base, size_t element) {
    const size_t rows = (size_t)c->dims.T_max, k = rows * (size_t)c->k_row * element;
    return (everybody){base, base + (size_t)c->dims.size * k, k, rows * (size_t)c->v_row * element};
}

/* Own rows to their place; those past T are never read, and left as they are. */
static void place_gathered_rows(hy_attn_call *c, int64_t cols, const void *src, void *dst) {
    hy_copy2d(
        c->sp->device,
        &(hy_copy2d_args){.rows = c->dims.T, .cols = cols, .src_ld = cols, .dst_ld = cols, .src = src, .dst = dst});
}

static void keys_gather_post(hy_attn_call *c) {
    const everybody kv = rows_in(c, c->s.kv[0], c->esize);
    const size_t rank = (size_t)c->dims.rank;
    char *k = kv.k + rank * kv.k_block, *v = kv.v + rank * kv.v_block;
    place_gathered_rows(c, c->k_row, c->a->k, k);
    place_gathered_rows(c, c->v_row, c->a->v, v);
    hy_comm_all_gather(c->sp->comm, "attention K", k, kv.k, kv.k_block, &c->lists->reqs[0][0]);
    hy_comm_all_gather(c->sp->comm, "attention V", v, kv.v, kv.v_block, &c->lists->reqs[0][1]);
    if (c->backward) {
        const int64_t n = c->dims.size * c->dims.T_max * (c->k_row + c->v_row);
        hy_fill(c->sp->device, &(hy_fill_args){.n = n, .value = 0, .y = c->s.d_kv[0], .role = HY_ROLE_STAT});
    }
}

/* Damage to others' keys; their padding may hold anything. */
static void damage_gathered(hy_attn_call *c, const everybody *kv) {
    for (int64_t id = 0; id < c->sp->layout->n_frags; id++) {
        const hy_fragment *f = &c->sp->layout->frags[id];
        if (f->owner != c->dims.rank) {
            char *k = kv->k + (size_t)f->owner * kv->k_block + (size_t)(f->local * c->k_row) * c->esize;
            hy_axpy(c->sp->device, &(hy_axpy_args){.n = f->len * c->k_row, .a = 0.5, .x = k, .y = k});
        }
    }
}

static void compute_others(hy_attn_call *c) {
    const everybody kv = rows_in(c, c->s.kv[0], c->esize), d_kv = rows_in(c, c->s.d_kv[0], c->ssize);
    if (c->sp->broken) {
        damage_gathered(c, &kv);
    }
    hy_attn_hop_compute(c, &c->lists->hops[1], &(hy_kv_rows){.k = kv.k, .v = kv.v, .d_k = d_kv.k, .d_v = d_kv.v});
}

/* Block r of what comes is what rank r's queries contribute to the own rows; the own contribution is in dk, dv. */
static void return_gradients(hy_attn_call *c) {
    hy_req reqs[2];
    const everybody ours = rows_in(c, c->s.d_kv[0], c->ssize), theirs = rows_in(c, c->s.kv[0], c->ssize);
    hy_comm_all_to_all(c->sp->comm, "attention dK", ours.k, theirs.k, theirs.k_block, &reqs[0]);
    hy_comm_all_to_all(c->sp->comm, "attention dV", ours.v, theirs.v, theirs.v_block, &reqs[1]);
    hy_comm_wait_all(reqs, 2);
    hy_attn_add_home(c, &c->lists->hops[1], theirs.k, c->dims.size * c->dims.T_max);
}

static void keys_gather_finish(hy_attn_call *c) {
    hy_comm_wait_all(c->lists->reqs[0], 2);
    compute_others(c);
    if (c->backward) {
        return_gradients(c);
    }
}

const hy_attn_row hy_attn_row_allgather = {.title = "K/V all-gather",
                                           .latent_title = "latent all-gather",
                                           .others = gather_others,
                                           .part_rows = gather_part_rows,
                                           .build = gather_build,
                                           .cut = gather_cut,
                                           .post = keys_gather_post,
                                           .finish = keys_gather_finish};
