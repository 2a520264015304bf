/* What exchanges of states share, and the levels of log-linear recurrences. */
#include "sp/lists/state_lists.h"

#include "sp/carve.h"
#include "sp/lists/run_lists.h"

hy_fold_list hy_fold_list_of(const hy_list_image *image, const hy_fold_step *host, int64_t n) {
    return (hy_fold_list){.host = host, .device = hy_list_image_device(image, host), .n = n};
}

/* ---- levels ---- */

int64_t hy_level_states(int64_t columns, int64_t len, bool carries) {
    int64_t bits = 0;
    for (int64_t x = len - 1; x > 0; x >>= 1) {
        bits++;
    }
    const int64_t n = bits < columns - 1 && !carries ? bits : columns - 1;
    return n > 1 ? n : 1;
}

size_t hy_level_lists_bytes(const hy_layout_dims *dims, int64_t columns, bool carries) {
    const int64_t pieces = dims->n_local * hy_level_states(columns, dims->len, carries);
    return hy_aligned((size_t)pieces * sizeof(hy_run)) + hy_aligned((size_t)dims->n_local * sizeof(hy_map_join_entry));
}

/* The part of a run that lies in the block of bit `bit` of the position at its end; len 0 if none does. */
static hy_run state_piece_of(const hy_run *run, int64_t first, int64_t bit, int64_t at) {
    const int64_t end = first + run->len, block = end >> (bit + 1) << (bit + 1);
    const int64_t from = block > first ? block : first, to = block + ((int64_t)1 << bit);
    if (!(end >> bit & 1) || to <= from) {
        return (hy_run){0};
    }
    return (hy_run){.begin = run->begin + from - first, .len = to - from, .s0 = at, .s1 = at};
}

/* The fragment's state is wanted: by the next fragment, or by the next step. */
static bool gives_state(const hy_layout *layout, int64_t slot, bool carries) {
    const int64_t id = layout->local[slot];
    const hy_fragment *f = &layout->frags[id];
    const int64_t sequence = f->begin / layout->len;
    return f->flows || (carries && f->len > 0 && id == hy_layout_end_fragment(layout, sequence, 1));
}

hy_level_lists hy_level_lists_build(hy_list_image *image, const hy_layout *layout, int64_t columns, bool carries) {
    hy_level_lists lists = {.columns = columns, .levels = hy_level_states(columns, layout->len, carries)};
    hy_run *pieces = hy_list_image_take(image, (size_t)(layout->n_local * lists.levels) * sizeof *pieces);
    hy_map_join_entry *joins = hy_list_image_take(image, (size_t)layout->n_local * sizeof *joins);
    int64_t n = 0;
    for (int64_t slot = 0; slot < layout->n_local && (hy_layout_cut(layout) || carries); slot++) {
        if (!gives_state(layout, slot, carries)) {
            continue;
        }
        const hy_run *run = &layout->runs[layout->first_run[slot + 1] - 1];
        hy_map_join_entry join = {.slot = slot};
        for (int64_t bit = 0; bit < lists.levels; bit++) {
            const hy_run piece = state_piece_of(run, layout->doc_pos[run->begin], bit, slot * lists.levels + bit);
            if (piece.len > 0) {
                pieces[n++] = piece;
                join.bits |= (int64_t)1 << bit;
            }
        }
        joins[lists.n_joins++] = join;
    }
    lists.pieces = hy_run_list_of(image, pieces, n);
    lists.joins = joins;
    lists.joins_device = hy_list_image_device(image, joins);
    return lists;
}
