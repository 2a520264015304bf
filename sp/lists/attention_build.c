#include "sp/lists/attention_build.h"

/* A block of keys: rows at global positions begin.., the first of them row `row` of what the hop is computed of. */
typedef struct key_block {
    int64_t begin, rows, row;
} key_block;

enum { TILE_GROUP = 256 }; /* queries among which kernels share loads */

/* Whether queries are cut into ranges at all: only where exchanges are to advance in between. */
static bool cuts_queries(const hy_profile *profile, int size) {
    return size > 1 && profile->tuning.attn_products > 0;
}

int64_t hy_attn_tiles_max(const hy_profile *profile, const hy_layout_dims *dims) {
    return cuts_queries(profile, dims->size) ? dims->frag_max / TILE_GROUP + 1 : 1;
}

void hy_attn_hop_begin(hy_attn_builder *b) {
    b->hop = &b->lists->hops[b->lists->n_hops++];
    *b->hop = (hy_attn_hop){.parts = b->lists->parts + b->n_parts};
    b->part = NULL;
}

static void part_begin(hy_attn_builder *b, int64_t row, int64_t rows) {
    b->part = &b->lists->parts[b->n_parts++];
    *b->part = (hy_attn_part){.row = row, .rows = rows, .first_group = b->calls.n, .first_apart = b->apart.n};
    b->hop->n_parts++;
    b->calls.group = b->apart.group = NULL;
}

/* What the mask leaves of a pair: the first key that a query sees never decreases. */
static hy_attn_sight sight_of(const hy_attn_builder *b, const hy_attn_pair *pair) {
    const bool from_first = b->lo[pair->q + pair->nq - 1] <= pair->k_begin;
    if (from_first && pair->k_begin + pair->nk - 1 <= pair->q_begin) {
        return HY_ATTN_ALL;
    }
    return from_first && pair->q_begin == pair->k_begin && pair->nq == pair->nk ? HY_ATTN_CAUSAL : HY_ATTN_SOME;
}

/* Pairs go into the call at hand while it stays as small as the device likes; one that is known is alone. True: it begins a call. */
static bool add_to_calls(const hy_attn_builder *b, hy_attn_calls *calls, hy_attn_group *groups,
                         const hy_attn_pair *pair, hy_attn_sight sight) {
    const int64_t liked = cuts_queries(b->profile, b->dims.size) ? b->profile->tuning.attn_products : 0;
    const int64_t more = pair->nq * pair->nk * b->lists->need.products;
    const bool begins = calls->group == NULL || sight != HY_ATTN_SOME || calls->group->sight != HY_ATTN_SOME ||
                        (liked > 0 && calls->products + more > liked);
    if (begins) {
        calls->group = &groups[calls->n++];
        *calls->group = (hy_attn_group){.first = b->n_pairs, .sight = sight};
        calls->group->known = sight != HY_ATTN_SOME ? *pair : (hy_attn_pair){0};
        calls->products = 0;
    }
    calls->products += more;
    calls->group->n++;
    calls->group->nq = hy_greater(calls->group->nq, pair->nq);
    calls->group->nk = hy_greater(calls->group->nk, pair->nk);
    return begins;
}

static void add_pair(hy_attn_builder *b, const hy_attn_pair *pair) {
    const int64_t known = hy_attn_known_rows(b->profile, &b->dims);
    b->part->n_groups += add_to_calls(b, &b->calls, b->lists->groups, pair, HY_ATTN_SOME);
    if (known > 0) {
        const hy_attn_sight sight = pair->nq == known && pair->nk == known ? sight_of(b, pair) : HY_ATTN_SOME;
        b->part->n_apart += add_to_calls(b, &b->apart, b->lists->apart, pair, sight);
    }
    b->lists->built[b->n_pairs++] = *pair;
}

/* Of `all` queries, how many per pair: about as many multiplications as the device likes, but whole groups. */
static int64_t queries_of_pair(const hy_attn_builder *b, int64_t keys, int64_t all) {
    if (!cuts_queries(b->profile, b->dims.size)) {
        return all;
    }
    const int64_t products = hy_greater(keys * b->lists->need.products, 1);
    return hy_greater(b->profile->tuning.attn_products / products / TILE_GROUP * TILE_GROUP, TILE_GROUP);
}

/* How many of the fragment's queries see some key before position `end`: the first key never decreases. */
static int64_t queries_seeing(const hy_attn_builder *b, const hy_fragment *f, int64_t end) {
    int64_t low = 0, high = f->len;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (b->lo[f->local + middle] < end) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* This rank's x-th fragment of the sequence that the block is of. */
static const hy_fragment *fragment_of(const hy_attn_builder *b, const key_block *block, int64_t x) {
    const int64_t in_sequence = b->layout->n_local / b->layout->n_seq;
    return &b->layout->frags[b->layout->local[block->begin / b->layout->len * in_sequence + x]];
}

/* The queries of a fragment that see the block; `row`: of the block in the part. */
static void add_fragment(hy_attn_builder *b, const key_block *block, int64_t row, const hy_fragment *f) {
    const int64_t end = block->begin + block->rows, n = queries_seeing(b, f, end);
    const int64_t step = queries_of_pair(b, block->rows, f->len);
    for (int64_t first = hy_greater(block->begin - f->begin, 0); first < n; first += step) {
        const int64_t nq = hy_lesser(n - first, step), t = f->local + first, begin = hy_greater(block->begin, b->lo[t]);
        add_pair(b, &(hy_attn_pair){.q = t,
                                    .nq = nq,
                                    .q_begin = f->begin + first,
                                    .k = row + begin - block->begin,
                                    .nk = hy_lesser(end, f->begin + first + nq) - begin,
                                    .k_begin = begin});
    }
}

static void add_block(hy_attn_builder *b, const key_block *block, int64_t row) {
    for (int64_t x = 0; x < b->layout->n_local / b->layout->n_seq; x++) {
        add_fragment(b, block, row, fragment_of(b, block, x));
    }
}

/* The first key position in [begin, end of the block) that some own query sees; its end if there is none. */
static int64_t first_seen(const hy_attn_builder *b, const key_block *block, int64_t begin) {
    int64_t first = block->begin + block->rows;
    for (int64_t x = 0; x < b->layout->n_local / b->layout->n_seq; x++) {
        const hy_fragment *f = fragment_of(b, block, x);
        const int64_t behind = hy_greater(begin - f->begin, 0); /* queries before it see none of the keys */
        if (behind < f->len) {
            first = hy_lesser(first, hy_greater(b->lo[f->local + behind], begin));
        }
    }
    return first;
}

/* The rows that some own query sees, in parts as large as the device likes. */
static void add_parts(hy_attn_builder *b, const key_block *block) {
    const int64_t end = block->begin + block->rows;
    for (int64_t at = first_seen(b, block, block->begin); at < end; at = first_seen(b, block, at)) {
        const key_block part = {at, hy_lesser(b->profile->tuning.latent_rows, end - at),
                                block->row + at - block->begin};
        part_begin(b, part.row, part.rows);
        add_block(b, &part, 0);
        at += part.rows;
    }
}

static void add_keys(hy_attn_builder *b, const key_block *block, const key_block *whole) {
    if (b->lists->need.latent && b->profile->tuning.latent_rows > 0) {
        add_parts(b, block);
        return;
    }
    if (b->part == NULL) {
        part_begin(b, whole->row, whole->rows);
    }
    add_block(b, block, block->row - whole->row);
}

void hy_attn_hop_keys(hy_attn_builder *b, const hy_kv_piece *pieces, int64_t n) {
    const hy_kv_piece *last = pieces + n - 1;
    const key_block all = {.row = n > 0 ? pieces->at : 0, .rows = n > 0 ? last->at + last->rows - pieces->at : 0};
    for (int64_t i = 0; i < n; i++) {
        add_keys(b, &(key_block){pieces[i].begin, pieces[i].rows, pieces[i].at}, &all);
    }
}

static int64_t rows_of_pieces(const hy_kv_piece *pieces, int64_t n) {
    return n > 0 ? pieces[n - 1].at + pieces[n - 1].rows : 0;
}

void hy_attn_hop_in(hy_attn_builder *b, int from, const hy_kv_piece *pieces, int64_t n) {
    b->hop->from = from;
    b->hop->rows_in = rows_of_pieces(pieces, n);
}

void hy_attn_hop_out(hy_attn_builder *b, int to, const hy_kv_piece *pieces, int64_t n) {
    hy_attn_hop *hop = b->hop;
    hy_block *out = hy_list_image_take(b->image, (size_t)n * sizeof *out);
    hy_row_block *home = hy_list_image_take(b->image, (size_t)n * sizeof *home);
    hop->to = to;
    hop->rows_out = rows_of_pieces(pieces, n);
    hop->n_out = n;
    hop->out = hy_list_image_device(b->image, out);
    hop->home = hy_list_image_device(b->image, home);
    for (int64_t i = 0; i < n; i++) {
        const hy_kv_piece *p = &pieces[i];
        out[i] = (hy_block){.rows = p->rows, .cols = 1, .from = p->local, .from_ld = 1, .to = p->at, .to_ld = 1};
        home[i] = (hy_row_block){.from = p->at, .to = p->local, .n = p->rows};
        hop->out_max = hy_greater(hop->out_max, p->rows);
    }
}

void hy_attn_build_pairwise(hy_attn_builder *b) {
    const hy_layout *layout = b->layout;
    const int P = layout->size, r = layout->rank;
    const int64_t window = b->lists->need.window;
    hy_kv_piece *pieces = b->lists->pieces;
    for (int h = 1; h < P; h++) {
        const int from = (r - h + P) % P, to = (r + h) % P;
        hy_attn_hop_begin(b);
        const int64_t n_in = hy_kv_pieces(layout, from, (hy_ranks){r, 1}, window, pieces);
        hy_attn_hop_in(b, from, pieces, n_in);
        hy_attn_hop_keys(b, pieces, n_in);
        hy_attn_hop_out(b, to, pieces, hy_kv_pieces(layout, r, (hy_ranks){to, 1}, window, pieces));
    }
}
