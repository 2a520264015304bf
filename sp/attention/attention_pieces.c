#include "sp/attention/attention_pieces.h"

/* The first key position that the first token of `fragment` sees. */
static int64_t first_key_of(const hy_fragment *fragment, int64_t window) {
    int64_t reach = window > 0 ? fragment->begin - window + 1 : fragment->doc_begin;
    return reach > fragment->doc_begin ? reach : fragment->doc_begin;
}

int64_t hy_kv_pieces(const hy_layout *layout, int owner, hy_ranks readers, int64_t window, hy_kv_piece *pieces) {
    int64_t n = 0, at = 0;
    for (int64_t id = 0; id < layout->n_frags; id++) {
        const hy_fragment *keys = &layout->frags[id];
        if (keys->owner != owner || keys->len == 0) {
            continue;
        }
        int64_t end = keys->begin + keys->len, first = end;
        int64_t sequence_end = (keys->begin / layout->len + 1) * layout->len;
        for (int64_t q = id + 1; q < layout->n_frags && layout->frags[q].begin < sequence_end; q++) {
            const hy_fragment *queries = &layout->frags[q];
            if (queries->owner >= readers.first && queries->owner < readers.first + readers.n && queries->len > 0) {
                int64_t needed = first_key_of(queries, window);
                first = needed < first ? needed : first;
            }
        }
        first = first > keys->begin ? first : keys->begin;
        if (first < end) {
            pieces[n++] = (hy_kv_piece){
                .begin = first, .rows = end - first, .local = keys->local + first - keys->begin, .at = at};
            at += end - first;
        }
    }
    return n;
}

int64_t hy_kv_rows_max(const hy_layout_dims *dims, int64_t window) {
    if (dims->size == 1) {
        return 0;
    }
    int64_t rows = window > 0 && window - 1 < dims->frag_max ? window - 1 : dims->frag_max;
    return rows * dims->n_local;
}
