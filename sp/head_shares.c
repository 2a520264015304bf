#include "sp/head_shares.h"

#include "sp/layout.h"

typedef struct head_share {
    int64_t main, n_main, shared, n_shared;
    int64_t part, parts;     /* of the shared head, among the ranks that have it; the most of any */
    int64_t holder, holders; /* among the ranks that have a head */
} head_share;

/* A rank's share of shared head j's main heads, if it is one of its ranks. */
static void share_group(const hy_heads *heads, int64_t j, int64_t ranks, int64_t rank, head_share *out) {
    const int64_t group = heads->main / heads->shared, first = hy_share_begin(j, ranks, heads->shared),
                  n = hy_share_begin(j + 1, ranks, heads->shared) - first, holding = n < group ? n : group;
    if (rank >= first && rank < first + n) {
        const int64_t begin = hy_share_begin(rank - first, group, n);
        out->n_main = hy_share_begin(rank - first + 1, group, n) - begin;
        out->main = j * group + begin;
        out->shared = j;
        out->n_shared = out->n_main > 0;
        out->part = n < group ? rank - first : begin;
        out->holder = out->holders + out->part;
    }
    out->parts = holding > out->parts ? holding : out->parts;
    out->holders += holding;
}

static head_share share_of(const hy_heads *heads, int64_t ranks, int64_t rank) {
    head_share own = {0};
    if (heads->shared >= ranks) {
        const int64_t group = heads->main / heads->shared;
        own.shared = hy_share_begin(rank, heads->shared, ranks);
        own.n_shared = hy_share_begin(rank + 1, heads->shared, ranks) - own.shared;
        own.main = own.shared * group;
        own.n_main = own.n_shared * group;
        own.parts = 1;
        own.holder = rank;
        own.holders = ranks;
    }
    for (int64_t j = 0; j < heads->shared && heads->shared < ranks; j++) {
        share_group(heads, j, ranks, rank, &own);
    }
    return own;
}

hy_head_range hy_head_range_of(const hy_heads *heads, hy_head_kind kind, int ranks, int rank) {
    const head_share own = share_of(heads, ranks, rank);
    switch (kind) {
    case HY_HEADS_MAIN:
        return (hy_head_range){.begin = own.main, .n = own.n_main, .total = heads->main, .parts = 1};
    case HY_HEADS_SHARED:
        return (hy_head_range){
            .begin = own.shared, .n = own.n_shared, .total = heads->shared, .part = own.part, .parts = own.parts};
    default:
        return (hy_head_range){.n = own.n_main > 0, .total = 1, .part = own.holder, .parts = own.holders};
    }
}
