/* Ring attention, pairwise: at hop h this rank receives from rank − h and sends to rank + h, exactly the rows that the
 * receiver sees. The next hop's transfer is posted before the present block is computed. In backward keys and values
 * travel again, and the partial gradients go straight back to their owner, who adds them in order of hops. */
#include "sp/attention/attention_move.h"

static hy_attn_others ring_others(const hy_sp_method *method, const hy_layout_dims *dims) {
    (void)method;
    const int64_t hops = dims->size - 1;
    return (hy_attn_others){.hops = hops, .out = hops * dims->n_local, .requests = HY_ATTN_MOVE_REQUESTS};
}

static void ring_cut(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape, hy_carve *work,
                     hy_attn_scratch *s) {
    hy_attn_way_cut(sp, shape, hy_kv_rows_max(dims, shape->window), work, &s->way);
}

static hy_attn_pass ring_pass(const hy_attn_call *c) {
    return (hy_attn_pass){
        .hops = c->lists->hops + 1, .n = c->lists->n_hops - 1, .source = hy_attn_own_rows(c), .reqs = c->lists->reqs};
}

static void keys_ring_post(hy_attn_call *c) {
    const hy_attn_pass pass = ring_pass(c);
    hy_attn_pass_start(c, &pass);
}

static void keys_ring_finish(hy_attn_call *c) {
    const hy_attn_pass pass = ring_pass(c);
    hy_attn_pass_finish(c, &pass);
}

const hy_attn_row hy_attn_row_ring = {.title = "ring attention",
                                      .latent_title = "latent ring",
                                      .others = ring_others,
                                      .part_rows = hy_kv_rows_max,
                                      .build = hy_attn_build_pairwise,
                                      .cut = ring_cut,
                                      .post = keys_ring_post,
                                      .finish = keys_ring_finish};
