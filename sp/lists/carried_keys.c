/* A query at position p of its sequence sees the rows j of the window − 1 before it whose positions j − (window − 1) are not before p − window + 1, nor
 * before what its document had in earlier steps. Only the first window − 1 queries see any, and those lie in the first fragment. */
#include "sp/lists/carried_keys.h"

#include "sp/carve.h"

size_t hy_carried_keys_bytes(const hy_layout_dims *dims) {
    return hy_aligned((size_t)dims->n_seq * sizeof(hy_attn_pair)) + hy_aligned((size_t)dims->T * sizeof(int64_t));
}

/* Of the sequence whose first run is `run`. */
static hy_attn_pair pair_of_run(const hy_layout *layout, const hy_run *run, int64_t s, int64_t rows, int64_t *lo) {
    const int64_t first = s * layout->len, nq = run->len < rows ? run->len : rows;
    for (int64_t i = 0; i < nq; i++) {
        const int64_t reach = first + i - rows, begin = first - layout->before[s];
        lo[run->begin + i] = begin > reach ? begin : reach;
    }
    return (hy_attn_pair){
        .q = run->begin, .nq = nq, .q_begin = first, .k = s * rows, .nk = rows, .k_begin = first - rows};
}

hy_carried_keys hy_carried_keys_build(hy_list_image *image, const hy_layout *layout, int64_t window) {
    hy_attn_pair *pairs = hy_list_image_take(image, (size_t)layout->n_seq * sizeof *pairs);
    int64_t *lo = hy_list_image_take(image, (size_t)layout->T * sizeof *lo);
    hy_carried_keys keys = {.pairs = hy_list_image_device(image, pairs),
                            .lo = {.host = lo, .device = hy_list_image_device(image, lo), .n = layout->T}};
    for (int64_t s = 0; s < layout->n_seq && window > 1; s++) {
        const hy_fragment *f = hy_layout_own_end(layout, s, 0);
        if (f && layout->before[s] > 0) {
            pairs[keys.n] = pair_of_run(layout, &layout->runs[layout->first_run[f->slot]], s, window - 1, lo);
            keys.nq = pairs[keys.n].nq > keys.nq ? pairs[keys.n].nq : keys.nq;
            keys.n++;
        }
    }
    return keys;
}
