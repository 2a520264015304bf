/* Only fragments that hold the middle of one document pass a state on, and only what an own fragment reads is folded. */
#include "sp/lists/state_lists.h"

#include "sp/carve.h"
#include "sp/lists/run_lists.h"
#include "sp/state/segment_map.h"

size_t hy_state_lists_bytes(const hy_layout_dims *dims) {
    return 2 * (hy_aligned((size_t)dims->n_frags * sizeof(hy_fold_step)) +
                2 * hy_aligned((size_t)dims->n_local * sizeof(hy_fold_step)));
}

static hy_fold_list fold_list(const hy_list_image *image, const hy_fold_step *host, int64_t n) {
    return (hy_fold_list){.host = host, .device = hy_list_image_device(image, host), .n = n};
}

/* Through map `at` of fragment f. */
static hy_fold_step step_through(const hy_fragment *f, int64_t from, int64_t read, int64_t at) {
    const int64_t first = f->begin - f->doc_begin;
    return (hy_fold_step){.from = from, .read = read, .at = at, .first = first, .end = first + f->len};
}

/* Whether the state leaving `id` reaches an own fragment. */
static bool is_read(const hy_layout *layout, int64_t id, int step) {
    for (id = hy_layout_neighbour(layout, id, step); id >= 0; id = hy_layout_neighbour(layout, id, step)) {
        const hy_fragment *f = &layout->frags[id];
        if (!hy_segment_enters(f, step)) {
            return false;
        }
        if (f->owner == layout->rank) {
            return true;
        }
        if (!hy_segment_passes(f)) {
            return false;
        }
    }
    return false;
}

static hy_fold_list build_fold(hy_list_image *image, const hy_layout *layout, int step) {
    hy_fold_step *steps = hy_list_image_take(image, (size_t)layout->n_frags * sizeof *steps);
    int64_t n = 0, from = -1; /* from: the map that left the state; −1 if none did or nobody here reads it */
    bool read = false;
    int64_t id = hy_layout_neighbour(layout, step > 0 ? -1 : layout->n_frags, step);
    for (; id >= 0; id = hy_layout_neighbour(layout, id, step)) {
        const hy_fragment *f = &layout->frags[id];
        const bool own = f->owner == layout->rank, passes = hy_segment_passes(f);
        if (!passes || own) {
            read = hy_segment_leaves(f, step) && is_read(layout, id, step);
        }
        const int64_t map = f->owner * layout->n_local + f->slot;
        hy_fold_step s = step_through(f, from, -1, -1);
        s.read = own && hy_segment_enters(f, step) ? f->slot : -1;
        from = read && hy_segment_leaves(f, step) ? map : -1;
        s.at = passes ? from : -1;
        if (s.read >= 0 || s.at >= 0) {
            steps[n++] = s;
        }
    }
    return fold_list(image, steps, n);
}

/* Fragment `ordinal`, in the direction, of this rank's in every sequence. */
static hy_fold_list build_ring(hy_list_image *image, const hy_layout *layout, int step, int64_t ordinal,
                               int64_t per_sequence) {
    hy_fold_step *steps = hy_list_image_take(image, (size_t)layout->n_local * sizeof *steps);
    const int64_t first = step > 0 ? ordinal : per_sequence - 1 - ordinal;
    int64_t n = 0;
    for (int64_t slot = first; slot < layout->n_local; slot += per_sequence) {
        const int64_t id = layout->local[slot];
        const hy_fragment *f = &layout->frags[id];
        if (!hy_segment_enters(f, step)) {
            continue;
        }
        const hy_fragment *before = &layout->frags[hy_layout_neighbour(layout, id, -step)];
        const int64_t from = before->owner == layout->rank ? before->slot : -1, at = hy_segment_passes(f) ? slot : -1;
        if (from >= 0 || at >= 0) {
            steps[n++] = step_through(f, from, slot, at);
        }
    }
    return fold_list(image, steps, n);
}

hy_state_lists hy_state_lists_build(hy_list_image *image, const hy_layout *layout, int step) {
    const int64_t per_sequence = layout->n_seq > 0 ? layout->n_local / layout->n_seq : 0;
    hy_state_lists lists = {.fold = build_fold(image, layout, step)};
    for (int64_t i = 0; i < per_sequence; i++) {
        lists.ring[i] = build_ring(image, layout, step, i, per_sequence);
    }
    return lists;
}

/* ---- levels ---- */

int64_t hy_level_states(int64_t columns, int64_t len) {
    int64_t bits = 0;
    for (int64_t x = len - 1; x > 0; x >>= 1) {
        bits++;
    }
    const int64_t n = bits < columns - 1 ? bits : columns - 1;
    return n > 1 ? n : 1;
}

size_t hy_level_lists_bytes(const hy_layout_dims *dims, int64_t columns) {
    const int64_t pieces = dims->n_local * hy_level_states(columns, dims->len);
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

hy_level_lists hy_level_lists_build(hy_list_image *image, const hy_layout *layout, int64_t columns) {
    hy_level_lists lists = {.columns = columns, .levels = hy_level_states(columns, layout->len)};
    hy_run *pieces = hy_list_image_take(image, (size_t)(layout->n_local * lists.levels) * sizeof *pieces);
    hy_map_join_entry *joins = hy_list_image_take(image, (size_t)layout->n_local * sizeof *joins);
    int64_t n = 0;
    for (int64_t slot = 0; slot < layout->n_local && layout->size > 1; slot++) {
        if (!layout->frags[layout->local[slot]].flows) {
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
