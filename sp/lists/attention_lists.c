#include "sp/lists/attention_lists.h"

#include <string.h>

#include "base/memory.h"
#include "sp/attention/attention_row.h"
#include "sp/carve.h"
#include "sp/lists/attention_build.h"

/* ---- sizes ---- */

typedef struct attn_counts {
    int64_t hops, parts, pairs, out, requests;
} attn_counts;

static attn_counts count_most(const hy_profile *profile, const hy_layout_dims *dims, const hy_sp_method *method,
                              const hy_attn_need *need) {
    const hy_attn_others others =
        dims->size > 1 ? hy_attn_row_of(method->attention)->others(method, dims) : (hy_attn_others){0};
    const int64_t blocks = dims->size * dims->n_local, in_sequence = dims->n_local / hy_greater(dims->n_seq, 1);
    const int64_t rows = profile->tuning.latent_rows;
    const bool in_parts = need->latent && rows > 0;
    const int64_t parts = in_parts ? (dims->frag_max + rows - 1) / rows : 1;
    return (attn_counts){.hops = 1 + others.hops,
                         .parts = in_parts ? blocks * parts : dims->size,
                         .pairs = blocks * parts * in_sequence * hy_attn_tiles_max(profile, dims),
                         .out = others.out,
                         .requests = others.requests};
}

int64_t hy_attn_known_rows(const hy_profile *profile, const hy_layout_dims *dims) {
    const int64_t liked = profile->tuning.attn_known, rows = dims->frag_max;
    return liked > 0 && rows > 0 && rows * rows >= liked ? rows : 0;
}

int64_t hy_attn_part_rows(const hy_profile *profile, const hy_layout_dims *dims, hy_attention_method method,
                          int64_t window) {
    if (profile->tuning.latent_rows > 0) {
        return hy_lesser(profile->tuning.latent_rows, dims->frag_max);
    }
    return dims->size > 1 ? hy_greater(dims->T, hy_attn_row_of(method)->part_rows(dims, window)) : dims->T;
}

size_t hy_attn_lists_image(const hy_profile *profile, const hy_layout_dims *dims, const hy_sp_method *method,
                           const hy_attn_need *need) {
    const attn_counts n = count_most(profile, dims, method, need);
    /* a hop's lists begin at a multiple of HY_ALIGN */
    return hy_aligned((size_t)n.pairs * sizeof(hy_attn_pair)) + (size_t)n.hops * 2 * HY_ALIGN +
           (size_t)n.out * (sizeof(hy_block) + sizeof(hy_row_block));
}

hy_status hy_attn_lists_create(const hy_profile *profile, const hy_layout_dims *dims, const hy_sp_method *method,
                               const hy_attn_need *need, hy_attn_lists **out) {
    const attn_counts n = count_most(profile, dims, method, need);
    hy_attn_lists *lists = NULL;
    hy_status status = HY_OK;
    HY_TRY(HY_NEW("attention lists", 1, &lists));
    *lists = (hy_attn_lists){.need = *need, .method = *method};
    HY_TRY_GOTO(status, HY_NEW("attention hops", n.hops, &lists->hops), failed);
    HY_TRY_GOTO(status, HY_NEW("attention pairs", n.pairs, &lists->built), failed);
    HY_TRY_GOTO(status, HY_NEW("attention calls", n.pairs, &lists->groups), failed);
    if (hy_attn_known_rows(profile, dims) > 0) {
        HY_TRY_GOTO(status, HY_NEW("attention calls", n.pairs, &lists->apart), failed);
    }
    HY_TRY_GOTO(status, HY_NEW("attention parts", n.parts, &lists->parts), failed);
    HY_TRY_GOTO(status, HY_NEW("attention pieces", HY_PIECE_LISTS * dims->n_local, &lists->pieces), failed);
    HY_TRY_GOTO(status, HY_NEW("attention requests", n.requests, &lists->reqs), failed);
    *out = lists;
    return HY_OK;
failed:
    hy_attn_lists_destroy(lists);
    return status;
}

void hy_attn_lists_destroy(hy_attn_lists *lists) {
    if (lists) {
        hy_free(lists->hops);
        hy_free(lists->built);
        hy_free(lists->groups);
        hy_free(lists->apart);
        hy_free(lists->parts);
        hy_free(lists->pieces);
        hy_free(lists->reqs);
        hy_free(lists);
    }
}

/* ---- building ---- */

static void build_own(hy_attn_builder *b) {
    const hy_layout *layout = b->layout;
    hy_kv_piece *pieces = b->lists->pieces;
    int64_t n = 0;
    for (int64_t slot = 0; slot < layout->n_local; slot++) {
        const hy_fragment *f = &layout->frags[layout->local[slot]];
        if (f->len > 0) {
            pieces[n++] = (hy_kv_piece){.begin = f->begin, .rows = f->len, .at = f->local};
        }
    }
    hy_attn_hop_begin(b);
    hy_attn_hop_keys(b, pieces, n);
}

void hy_attn_lists_set(hy_attn_lists *lists, const hy_profile *profile, hy_list_image *image, const hy_layout *layout,
                       const int64_t *lo) {
    hy_attn_builder b = {.lists = lists,
                         .profile = profile,
                         .image = image,
                         .layout = layout,
                         .dims = hy_layout_dims_of(layout),
                         .lo = lo};
    lists->n_hops = 0;
    build_own(&b);
    if (layout->size > 1) {
        hy_attn_row_of(lists->method.attention)->build(&b);
    }
    const size_t bytes = (size_t)b.n_pairs * sizeof(hy_attn_pair);
    void *pairs = hy_list_image_take(image, bytes);
    memcpy(pairs, lists->built, bytes);
    lists->pairs = hy_list_image_device(image, pairs);
}
