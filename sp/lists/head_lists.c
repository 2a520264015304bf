/* A rank's buffer holds, one behind the other, a message to or from every member: first those on the side of rows, own tokens of each
 * member's heads; then those on the side of heads, each other member's tokens of own heads. What a rank keeps for itself is the first of
 * either and lies there once. In a message tokens are in the order of their owner's buffer. */
#include "sp/lists/head_lists.h"

#include "sp/carve.h"

hy_layout_dims hy_head_outer(const hy_layout_dims *dims, int members) {
    hy_cuts weights = dims->cuts;
    weights.together = members;
    return hy_layout_sizes_cut(dims->kind, &weights, dims->size / members, dims->rank / members, dims->n_seq,
                               dims->len);
}

/* Member `m` of this rank's group as a rank of the layout. */
static int rank_of_member(int rank, int members, int m) {
    return rank / members * members + m;
}

static hy_head_range range_of_member(const hy_head_need *need, int members, int m) {
    return hy_head_range_of(&need->heads, need->kind, members, m);
}

/* Messages of the rank that `dims` are of; returns the entries of its buffer. peers NULL: just these. */
static int64_t place_messages(const hy_layout_dims *dims, int members, const hy_head_need *need, hy_head_peer *peers) {
    const int own = dims->rank % members;
    const int64_t heads = range_of_member(need, members, own).n;
    int64_t at = 0;
    for (int m = 0; m < members; m++) {
        const int64_t n = dims->T * range_of_member(need, members, m).n;
        if (peers) {
            peers[m].rows = n;
            peers[m].rows_at = at;
        }
        at += n;
    }
    for (int m = 0; m < members; m++) {
        const int64_t n = hy_layout_rank_tokens(dims, rank_of_member(dims->rank, members, m)) * heads;
        if (peers) {
            peers[m].heads = n;
            peers[m].heads_at = m == own ? peers[m].rows_at : at;
        }
        at += m == own ? 0 : n;
    }
    return at;
}

int64_t hy_head_buffer_entries(const hy_layout_dims *dims, int members, const hy_heads *heads, hy_head_kind kind) {
    return place_messages(dims, members, &(hy_head_need){.heads = *heads, .kind = kind}, NULL);
}

size_t hy_head_lists_bytes(const hy_layout_dims *dims, int members) {
    const size_t blocks = hy_aligned((size_t)(members * dims->n_local) * sizeof(hy_block));
    return 4 * blocks + hy_aligned((size_t)members * sizeof(hy_head_peer));
}

typedef struct head_builder {
    hy_list_image *image;
    const hy_layout *layout, *outer;
    const hy_head_need *need;
    int members;
    hy_head_peer *peers;
} head_builder;

static hy_block *take_blocks(const head_builder *b) {
    return hy_list_image_take(b->image, (size_t)(b->members * b->layout->n_local) * sizeof(hy_block));
}

/* Own rows and the messages to members; back, those of a head that several hold lie beside each other, [T,total,parts]. */
static void list_rows_side(const head_builder *b, hy_head_lists *out) {
    hy_block *pack = take_blocks(b), *back = take_blocks(b);
    int64_t n = 0;
    for (int m = 0; m < b->members; m++) {
        const hy_head_range range = range_of_member(b->need, b->members, m);
        for (int64_t slot = 0; slot < b->layout->n_local && range.n > 0; slot++) {
            const hy_fragment *f = &b->layout->frags[b->layout->local[slot]];
            pack[n] = (hy_block){.rows = f->len,
                                 .cols = range.n,
                                 .from = f->local * range.total + range.begin,
                                 .from_ld = range.total,
                                 .to = b->peers[m].rows_at + f->local * range.n,
                                 .to_ld = range.n};
            back[n] = (hy_block){.rows = f->len,
                                 .cols = range.n,
                                 .from = pack[n].to,
                                 .from_ld = range.n,
                                 .to = pack[n].from * range.parts + range.part,
                                 .to_ld = range.total * range.parts};
            n++;
        }
    }
    out->pack = hy_block_list_of(b->image, pack, n);
    out->unpack_back = hy_block_list_of(b->image, back, n);
}

/* The row of a fragment's first token among all that the group has: its fragments of a sequence that follow one another are one of `outer`. */
static int64_t row_in_outer(const head_builder *b, int64_t id) {
    const hy_fragment *f = &b->layout->frags[id],
                      *around = &b->outer->frags[id / (b->layout->n_frags / b->outer->n_frags)];
    return around->local + f->begin - around->begin;
}

/* Messages from members and the rows of own heads. */
static void list_heads_side(const head_builder *b, hy_head_lists *out) {
    const int group = b->layout->rank / b->members;
    const int64_t heads = range_of_member(b->need, b->members, b->layout->rank % b->members).n;
    hy_block *unpack = take_blocks(b), *back = take_blocks(b);
    int64_t n = 0;
    for (int64_t id = 0; id < b->layout->n_frags && heads > 0; id++) {
        const hy_fragment *f = &b->layout->frags[id];
        if (f->owner / b->members == group) {
            const int64_t in_message = b->peers[f->owner % b->members].heads_at + f->local * heads;
            const int64_t in_rows = row_in_outer(b, id) * heads;
            unpack[n] = (hy_block){
                .rows = f->len, .cols = heads, .from = in_message, .from_ld = heads, .to = in_rows, .to_ld = heads};
            back[n] = (hy_block){
                .rows = f->len, .cols = heads, .from = in_rows, .from_ld = heads, .to = in_message, .to_ld = heads};
            n++;
        }
    }
    out->unpack = hy_block_list_of(b->image, unpack, n);
    out->pack_back = hy_block_list_of(b->image, back, n);
}

hy_head_lists hy_head_lists_build(hy_list_image *image, const hy_layout *layout, const hy_layout *outer,
                                  const hy_head_need *need) {
    const int members = layout->size / outer->size;
    const hy_layout_dims dims = hy_layout_dims_of(layout);
    hy_head_lists out = {.members = members};
    const head_builder b = {.image = image,
                            .layout = layout,
                            .outer = outer,
                            .need = need,
                            .members = members,
                            .peers = hy_list_image_take(image, (size_t)members * sizeof(hy_head_peer))};
    place_messages(&dims, members, need, b.peers);
    out.peers = b.peers;
    list_rows_side(&b, &out);
    list_heads_side(&b, &out);
    return out;
}
