/* The chain of a fragment are those before it that reach it: as far back as documents go on, up to the one whose document begins inside
 * it, or that nothing passes. Round r brings, from 2^r fragments before, the composition of as many (Hillis & Steele 1986), as far as the chain goes. Where
 * it begins in there, nothing comes before and only H is needed. */
#include "sp/lists/scan_lists.h"

#include "sp/carve.h"
#include "sp/lists/state_lists.h"
#include "sp/state/segment_map.h"

static int64_t rounds_max(const hy_layout_dims *dims) {
    int64_t rounds = 0;
    while (dims->n_seq > 0 && ((int64_t)1 << rounds) < dims->n_frags / dims->n_seq) {
        rounds++;
    }
    return rounds;
}

int64_t hy_scan_transfers_max(const hy_layout_dims *dims) {
    return 2 * dims->n_local;
}

size_t hy_scan_lists_bytes(const hy_layout_dims *dims) {
    const int64_t rounds = rounds_max(dims);
    return hy_aligned((size_t)rounds * sizeof(hy_scan_round)) +
           (size_t)rounds * (hy_aligned((size_t)hy_scan_transfers_max(dims) * sizeof(hy_scan_transfer)) +
                             2 * hy_aligned((size_t)dims->n_local * sizeof(hy_fold_step)));
}

typedef struct scan_build {
    const hy_layout *layout;
    int step;
    int64_t faded, distance; /* faded: tokens of a fragment that nothing passes (reach.h) */
    hy_scan_transfer *transfers;
    hy_fold_step *reach, *through;
    int64_t n_reach, n_through;
    hy_scan_round round;
} scan_build;

/* Fragments that reach `id` (in the build's direction), or that what leaves it reaches (the other way); at most `most`. */
static int64_t chain_length(const scan_build *b, int64_t id, bool reached, int64_t most) {
    const hy_layout *layout = b->layout;
    const int step = b->step;
    int64_t n = 0;
    while (n < most) {
        const int64_t next = hy_layout_neighbour(layout, id, reached ? step : -step);
        const bool linked = next >= 0 && hy_segment_enters(&layout->frags[reached ? next : id], step);
        if (!linked || layout->frags[id].len == 0) {
            break;
        }
        n++;
        id = next;
        if (!hy_segment_passes(&layout->frags[id], b->faded)) {
            break;
        }
    }
    return n;
}

/* The fragment `distance` further on. */
static int64_t fragment_after(const hy_layout *layout, int64_t id, int step, int64_t distance) {
    for (; distance > 0; distance--) {
        id = hy_layout_neighbour(layout, id, step);
    }
    return id;
}

static void add_transfer(scan_build *b, int64_t from, int64_t to, bool maps) {
    const hy_fragment *source = &b->layout->frags[from], *target = &b->layout->frags[to];
    const bool sends = source->owner == b->layout->rank, receives = target->owner == b->layout->rank;
    b->transfers[b->round.n_transfers++] = (hy_scan_transfer){.peer = receives ? source->owner : target->owner,
                                                              .from = sends ? source->slot : -1,
                                                              .to = receives ? target->slot : -1,
                                                              .tag = target->slot,
                                                              .maps = maps};
    b->round.maps |= maps && receives;
}

/* What reaches fragment `id` from `distance` before goes through those in between. */
static void add_reach(scan_build *b, int64_t id) {
    const int64_t slot = b->layout->frags[id].slot;
    const hy_fragment *near = &b->layout->frags[fragment_after(b->layout, id, -b->step, 1)];
    const hy_fragment *far = &b->layout->frags[fragment_after(b->layout, id, -b->step, b->distance - 1)];
    const hy_fragment *first = b->step > 0 ? far : near, *last = b->step > 0 ? near : far;
    const int64_t begin = hy_layout_fragment_position(b->layout, first);
    b->reach[b->n_reach++] = (hy_fold_step){
        .from = -1, .read = slot, .at = slot, .first = begin, .end = begin + last->begin + last->len - first->begin};
}

static void scan_fragment(scan_build *b, int64_t id) {
    const hy_layout *layout = b->layout;
    const hy_fragment *f = &layout->frags[id];
    const int64_t d = b->distance, before = chain_length(b, id, false, 2 * d),
                  behind = chain_length(b, id, true, 2 * d);
    const bool passes = hy_segment_passes(f, b->faded);
    if (before >= d) {
        add_transfer(b, fragment_after(layout, id, -b->step, d), id, before >= 2 * d);
        if (d > 1) {
            add_reach(b, id);
        }
    }
    if (behind >= d) {
        const int64_t to = fragment_after(layout, id, b->step, d);
        if (layout->frags[to].owner != layout->rank) {
            add_transfer(b, id, to, passes && before >= d);
        }
    }
    if (behind >= 2 * d && passes) {
        const int64_t first = hy_layout_fragment_position(layout, f);
        b->through[b->n_through++] =
            (hy_fold_step){.from = -1, .read = f->slot, .at = f->slot, .first = first, .end = first + f->len};
    }
}

hy_scan_lists hy_scan_lists_build(hy_list_image *image, const hy_layout *layout, int step, int64_t reach) {
    const hy_layout_dims dims = hy_layout_dims_of(layout);
    const int64_t rounds = rounds_max(&dims);
    hy_scan_round *all = hy_list_image_take(image, (size_t)rounds * sizeof *all);
    for (int64_t r = 0; r < rounds; r++) {
        scan_build b = {.layout = layout, .step = step, .faded = reach, .distance = (int64_t)1 << r};
        b.transfers = hy_list_image_take(image, (size_t)hy_scan_transfers_max(&dims) * sizeof *b.transfers);
        b.reach = hy_list_image_take(image, (size_t)dims.n_local * sizeof *b.reach);
        b.through = hy_list_image_take(image, (size_t)dims.n_local * sizeof *b.through);
        for (int64_t slot = 0; slot < layout->n_local; slot++) {
            scan_fragment(&b, layout->local[slot]);
        }
        b.round.transfers = b.transfers;
        b.round.reach = hy_fold_list_of(image, b.reach, b.n_reach);
        b.round.through = hy_fold_list_of(image, b.through, b.n_through);
        all[r] = b.round;
    }
    return (hy_scan_lists){.rounds = all, .n_rounds = rounds};
}
