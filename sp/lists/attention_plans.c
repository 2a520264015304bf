/* Which plans attention is to have: of whole fragments, with the heads that this rank computes. */
#include "sp/attention/attention_row.h"
#include "sp/lists/head_lists.h"
#include "sp/lists/lists.h"

static bool are_heads(const hy_attn_heads *a, const hy_attn_heads *b) {
    return a->H == b->H && a->HKV == b->HKV && a->D == b->D && a->DV == b->DV && !(a->scale < b->scale) &&
           !(a->scale > b->scale);
}

void hy_lists_need_attn_heads(hy_lists_needs *needs, const hy_attn_heads *heads) {
    int i = 0;
    while (i < needs->n_attn_heads && !are_heads(&needs->attn_heads[i], heads)) {
        i++;
    }
    if (i == HY_LISTS_MAX) {
        return; /* these have no plan */
    }
    needs->attn_heads[i] = *heads;
    needs->n_attn_heads = i < needs->n_attn_heads ? needs->n_attn_heads : i + 1;
}

static void plan_heads(hy_device *device, const hy_layout_dims *dims, const hy_attn_heads *heads) {
    const int64_t rows = hy_attn_known_rows(hy_device_profile(device), dims);
    hy_attn_args a = {.H = heads->H,
                      .HKV = heads->HKV,
                      .D = heads->D,
                      .DV = heads->DV,
                      .scale = heads->scale,
                      .sight = HY_ATTN_CAUSAL,
                      .known = {.nq = rows, .nk = rows}};
    if (rows == 0 || heads->H == 0) {
        return;
    }
    hy_device_plan_attn(device, &a);
    if (hy_layout_dims_cut(dims)) {
        a.sight = HY_ATTN_ALL;
        hy_device_plan_attn(device, &a);
    }
}

void hy_lists_plan_attention(hy_device *device, const hy_layout_dims *dims, const hy_lists_needs *needs) {
    const hy_attn_by_heads *by_heads = dims->size > 1 ? hy_attn_row_of(needs->method.attention)->by_heads : NULL;
    for (int i = 0; i < needs->n_attn_heads; i++) {
        hy_attn_heads heads = needs->attn_heads[i];
        hy_layout_dims outer = *dims;
        if (by_heads) {
            const hy_heads all = {heads.H, heads.HKV};
            const int members = by_heads->near ? hy_sp_group_ranks(&needs->method, dims->size) : dims->size;
            heads.H = hy_head_range_of(&all, HY_HEADS_MAIN, members, dims->rank % members).n;
            heads.HKV = hy_head_range_of(&all, HY_HEADS_SHARED, members, dims->rank % members).n;
            outer = hy_head_outer(dims, members);
        }
        plan_heads(device, &outer, &heads);
    }
}
