/* Cutting sequences into fragments, and documents into the runs of this rank. Everything follows from the cut points (layout.h) and the
 * list of document starts, which all ranks know, so no rank asks another. */
#include "sp/layout.h"

#include <string.h>

#include "base/memory.h"

enum { SPARE_DOCS = 1024 }; /* room for empty documents */

/* A sequence is cut into stretches, each of one owner, and a stretch into fragments: one, unless their number is fixed. */
static int64_t stretches_per_sequence(hy_layout_kind kind, const hy_cuts *cuts, int size) {
    const bool alone = size == 1 && (cuts == NULL || cuts->fixed == 0);
    return kind == HY_LAYOUT_ZIGZAG && !alone ? 2 * (int64_t)size : size;
}

static int owner_of(int64_t stretch, int size) {
    return (int)(stretch < size ? stretch : 2 * (int64_t)size - 1 - stretch);
}

/* ---- cut points ---- */

typedef struct cut_points {
    const hy_cuts *weights; /* NULL: all alike */
    int64_t size, stretches, F, len;
    int64_t each, together;             /* ranks of a weight; of these that are one of the layout's */
    int64_t before[HY_WEIGHTS_MAX + 1]; /* weight i: those of all ranks before */
} cut_points;

static cut_points points_of(hy_layout_kind kind, const hy_cuts *cuts, int size, int64_t len) {
    cut_points c = {.size = size, .stretches = stretches_per_sequence(kind, cuts, size), .len = len, .together = 1};
    c.F = cuts != NULL && cuts->fixed > 0 ? cuts->fixed : c.stretches;
    if (cuts != NULL && cuts->n > 0 && size > 1) {
        c.weights = cuts;
        c.together = cuts->together > 1 ? cuts->together : 1;
        c.each = size * c.together / cuts->n;
        for (int64_t i = 0; i < cuts->n; i++) {
            c.before[i + 1] = c.before[i] + c.each * cuts->each[i];
        }
    }
    return c;
}

/* Of all ranks before `rank`. */
static int64_t weight_before(const cut_points *c, int64_t rank) {
    const int64_t i = rank * c->together;
    return c->weights == NULL ? rank
           : rank == c->size  ? c->before[c->weights->n]
                              : c->before[i / c->each] + i % c->each * c->weights->each[i / c->each];
}

/* Where fragment i of a sequence begins; that of F is its end. */
static int64_t cut_at(const cut_points *c, int64_t i) {
    if (c->weights == NULL) {
        return hy_share_begin(i, c->len, c->F);
    }
    const int64_t all = weight_before(c, c->size);
    const int64_t before = i <= c->size ? weight_before(c, i) : 2 * all - weight_before(c, c->F - i);
    return hy_share_begin(before, c->len, c->F > c->size ? 2 * all : all);
}

static int64_t fragment_length(const cut_points *c, int64_t i) {
    return cut_at(c, i + 1) - cut_at(c, i);
}

static int64_t stretch_begin(const cut_points *c, int64_t stretch) {
    return cut_at(c, stretch * (c->F / c->stretches));
}

static int64_t stretch_length(const cut_points *c, int64_t stretch) {
    return stretch_begin(c, stretch + 1) - stretch_begin(c, stretch);
}

/* Of a sequence. */
static int64_t tokens_of(const cut_points *c, int rank) {
    return stretch_length(c, rank) + (c->stretches > c->size ? stretch_length(c, c->stretches - 1 - rank) : 0);
}

hy_status hy_cuts_check(hy_layout_kind kind, const hy_cuts *cuts, int size) {
    if (cuts->fixed > 0 && cuts->n > 0) {
        return hy_fail(HY_ERR_USAGE,
                       "parallel.weights do not go with parallel.invariant: its cuts are the same on any ranks");
    }
    if (cuts->fixed % stretches_per_sequence(kind, cuts, size) != 0) {
        return hy_fail(HY_ERR_USAGE, "parallel.fragments: %lld are not shared out evenly among %d ranks, layout %s",
                       (long long)cuts->fixed, size, hy_layout_names[kind]);
    }
    if (size > 1 && cuts->n > 0 && size % cuts->n != 0) {
        return hy_fail(
            HY_ERR_USAGE,
            "parallel.weights: %lld numbers for the %d ranks that share a sequence; as many, or as many as divide "
            "them, or none: all alike",
            (long long)cuts->n, size);
    }
    return HY_OK;
}

hy_layout_dims hy_layout_sizes_cut(hy_layout_kind kind, const hy_cuts *cuts, int size, int rank, int64_t n_seq,
                                   int64_t len) {
    const cut_points c = points_of(kind, cuts, size, len);
    hy_layout_dims dims = {.kind = kind, .size = size, .rank = rank, .n_seq = n_seq, .len = len, .frag_min = len};
    if (cuts != NULL) {
        dims.cuts = *cuts;
    }
    dims.n_local = n_seq * (c.F / size);
    dims.n_frags = n_seq * c.F;
    dims.T = n_seq * tokens_of(&c, rank);
    for (int r = 0; r < size; r++) {
        const int64_t tokens = n_seq * tokens_of(&c, r);
        dims.T_max = tokens > dims.T_max ? tokens : dims.T_max;
    }
    for (int64_t i = 0; i < c.F && n_seq > 0; i++) {
        const int64_t length = fragment_length(&c, i);
        dims.frag_max = length > dims.frag_max ? length : dims.frag_max;
        dims.frag_min = length < dims.frag_min ? length : dims.frag_min;
    }
    return dims;
}

int64_t hy_layout_fragment_tokens(const hy_layout_dims *dims, int64_t i) {
    const cut_points c = points_of(dims->kind, &dims->cuts, dims->size, dims->len);
    return fragment_length(&c, i);
}

int64_t hy_layout_length_for(const hy_layout_dims *dims, int64_t rows) {
    const cut_points c = points_of(dims->kind, &dims->cuts, dims->size, 0);
    const int64_t all = c.F / c.size * weight_before(&c, c.size);
    int64_t least = all;
    for (int64_t i = 0; i < c.size; i++) {
        const int64_t weight = weight_before(&c, i + 1) - weight_before(&c, i);
        least = weight < least ? weight : least;
    }
    return (rows * all + least - 1) / least;
}

static void cut_fragments(hy_layout *layout) {
    const cut_points c = points_of(layout->kind, &layout->cuts, layout->size, layout->len);
    const int64_t per_rank = c.F / c.size, each = c.F / c.stretches;
    for (int64_t s = 0; s < layout->n_seq; s++) {
        for (int64_t i = 0; i < c.F; i++) {
            hy_fragment *f = &layout->frags[s * c.F + i];
            const int64_t begin = cut_at(&c, i), stretch = i / each;
            const bool mirrored = stretch >= layout->size;
            f->begin = s * layout->len + begin;
            f->len = fragment_length(&c, i);
            f->owner = owner_of(stretch, layout->size);
            f->slot = s * per_rank + mirrored * each + i % each;
            f->local = s * tokens_of(&c, f->owner) + (mirrored ? stretch_length(&c, f->owner) : 0) + begin -
                       stretch_begin(&c, stretch);
            if (f->owner == layout->rank) {
                layout->local[f->slot] = s * c.F + i;
            }
        }
    }
}

static void number_positions(hy_layout *layout) {
    for (int64_t slot = 0; slot < layout->n_local; slot++) {
        const hy_fragment *f = &layout->frags[layout->local[slot]];
        for (int64_t t = 0; t < f->len; t++) {
            layout->pos[f->local + t] = f->begin + t;
        }
    }
}

static hy_status reserve(hy_layout *layout) {
    const int64_t tokens = layout->n_seq * layout->len;
    HY_TRY(HY_NEW("layout fragments", layout->n_frags, &layout->frags));
    HY_TRY(HY_NEW("layout own fragments", layout->n_local, &layout->local));
    HY_TRY(HY_NEW("layout documents", tokens + layout->n_seq + SPARE_DOCS + 1, &layout->docs));
    HY_TRY(HY_NEW("layout runs", layout->T, &layout->runs));
    HY_TRY(HY_NEW("layout documents of runs", layout->T, &layout->run_doc));
    HY_TRY(HY_NEW("layout first runs", layout->n_local + 1, &layout->first_run));
    HY_TRY(HY_NEW("layout positions", layout->T, &layout->pos));
    HY_TRY(HY_NEW("layout document positions", layout->T, &layout->doc_pos));
    HY_TRY(HY_NEW("layout tokens before", layout->n_seq, &layout->before));
    return HY_NEW("layout document starts", layout->T, &layout->doc_start);
}

int64_t hy_layout_rank_tokens(const hy_layout_dims *dims, int rank) {
    const cut_points c = points_of(dims->kind, &dims->cuts, dims->size, dims->len);
    return dims->n_seq * tokens_of(&c, rank);
}

int64_t hy_layout_documents_max(const hy_layout_dims *dims) {
    return dims->n_seq * dims->len + dims->n_seq + SPARE_DOCS;
}

hy_status hy_layout_create_cut(hy_layout_kind kind, const hy_cuts *cuts, int size, int rank, int64_t n_seq, int64_t len,
                               hy_layout **out) {
    hy_layout *layout = NULL;
    HY_TRY(cuts != NULL ? hy_cuts_check(kind, cuts, size * (cuts->together > 1 ? (int)cuts->together : 1)) : HY_OK);
    const hy_layout_dims dims = hy_layout_sizes_cut(kind, cuts, size, rank, n_seq, len);
    HY_TRY(HY_NEW("layout", 1, &layout));
    *layout = (hy_layout){.kind = kind, .cuts = dims.cuts, .size = size, .rank = rank, .n_seq = n_seq, .len = len};
    layout->n_frags = dims.n_frags;
    layout->n_local = dims.n_local;
    layout->T = dims.T;
    layout->dims = dims;
    hy_status status;
    HY_TRY_GOTO(status, reserve(layout), failed);
    cut_fragments(layout);
    number_positions(layout);
    const int64_t whole[2] = {0, n_seq * len};
    HY_TRY_GOTO(status, hy_layout_set_documents(layout, whole, 1), failed);
    *out = layout;
    return HY_OK;
failed:
    hy_layout_destroy(layout);
    return status;
}

void hy_layout_destroy(hy_layout *layout) {
    if (layout == NULL) {
        return;
    }
    hy_free(layout->frags);
    hy_free(layout->local);
    hy_free(layout->docs);
    hy_free(layout->runs);
    hy_free(layout->run_doc);
    hy_free(layout->first_run);
    hy_free(layout->pos);
    hy_free(layout->doc_pos);
    hy_free(layout->doc_start);
    hy_free(layout->before);
    hy_free(layout);
}

static hy_status layout_check_documents(const hy_layout *layout, const int64_t *docs, int64_t n_docs) {
    const int64_t tokens = layout->n_seq * layout->len;
    if (n_docs < 0 || n_docs > tokens + SPARE_DOCS) {
        return hy_fail(HY_ERR_DATA, "documents: %lld for %lld tokens; at most %lld", (long long)n_docs,
                       (long long)tokens, (long long)(tokens + SPARE_DOCS));
    }
    if (docs[0] != 0 || docs[n_docs] != tokens) {
        return hy_fail(HY_ERR_DATA, "documents: the list runs from %lld to %lld; it must run from 0 to %lld",
                       (long long)docs[0], (long long)docs[n_docs], (long long)tokens);
    }
    for (int64_t d = 0; d < n_docs; d++) {
        if (docs[d + 1] < docs[d]) {
            return hy_fail(HY_ERR_DATA, "documents: start %lld is %lld, after %lld; starts must not decrease",
                           (long long)(d + 1), (long long)docs[d + 1], (long long)docs[d]);
        }
    }
    return HY_OK;
}

/* Copies the list, adding the sequence starts that it lacks. */
static void list_documents(hy_layout *layout, const int64_t *docs, int64_t n_docs) {
    int64_t n = 0;
    int64_t sequence = 1; /* the next start that may be missing */
    for (int64_t d = 0; d <= n_docs; d++) {
        while (sequence < layout->n_seq && sequence * layout->len <= docs[d]) {
            if (sequence * layout->len < docs[d]) {
                layout->docs[n++] = sequence * layout->len;
            }
            sequence++;
        }
        layout->docs[n++] = docs[d];
    }
    layout->n_docs = n - 1;
}

/* Index of the (never empty) document that holds the token at `position`. */
static int64_t document_at(const hy_layout *layout, int64_t position) {
    int64_t low = 0, high = layout->n_docs; /* docs[low] ≤ position < docs[high] */
    while (high - low > 1) {
        const int64_t middle = low + (high - low) / 2;
        if (layout->docs[middle] <= position) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

static void mark_fragment(const hy_layout *layout, hy_fragment *f) {
    f->continues = f->flows = false;
    f->single = true;
    f->doc_begin = f->begin;
    if (f->len == 0) {
        return;
    }
    const int64_t first = document_at(layout, f->begin), last = document_at(layout, f->begin + f->len - 1);
    f->doc_begin = layout->docs[first];
    f->continues = layout->docs[first] < f->begin;
    f->flows = layout->docs[last + 1] > f->begin + f->len;
    f->single = first == last;
}

/* The runs and positions of one of this rank's fragments. */
static void cut_runs(hy_layout *layout, const hy_fragment *f) {
    const int64_t end = f->begin + f->len;
    int64_t doc = f->len > 0 ? document_at(layout, f->begin) : 0;
    for (int64_t p = f->begin; p < end; doc++) {
        const int64_t doc_end = layout->docs[doc + 1], start = layout->docs[doc];
        if (doc_end <= p) {
            continue; /* empty document */
        }
        const int64_t stop = doc_end < end ? doc_end : end;
        const int64_t t0 = f->local + (p - f->begin);
        layout->run_doc[layout->n_runs] = doc;
        layout->runs[layout->n_runs++] =
            (hy_run){.begin = t0, .len = stop - p, .s0 = start < p ? f->slot : -1, .s1 = doc_end > end ? f->slot : -1};
        for (int64_t t = 0; t < stop - p; t++) {
            layout->doc_pos[t0 + t] = p + t - start;
            layout->doc_start[t0 + t] = start;
        }
        p = stop;
    }
}

static void cut_documents(hy_layout *layout) {
    for (int64_t i = 0; i < layout->n_frags; i++) {
        mark_fragment(layout, &layout->frags[i]);
    }
    layout->n_runs = 0;
    for (int64_t slot = 0; slot < layout->n_local; slot++) {
        layout->first_run[slot] = layout->n_runs;
        cut_runs(layout, &layout->frags[layout->local[slot]]);
    }
    layout->first_run[layout->n_local] = layout->n_runs;
    memset(layout->before, 0, (size_t)layout->n_seq * sizeof *layout->before);
}

hy_status hy_layout_set_documents(hy_layout *layout, const int64_t *docs, int64_t n_docs) {
    HY_TRY(layout_check_documents(layout, docs, n_docs));
    list_documents(layout, docs, n_docs);
    cut_documents(layout);
    return HY_OK;
}

void hy_layout_share_documents(hy_layout *layout, const hy_layout *other) {
    layout->n_docs = other->n_docs;
    memcpy(layout->docs, other->docs, (size_t)(other->n_docs + 1) * sizeof *other->docs);
    cut_documents(layout);
}

/* A run of sequence s's first document. */
static void continue_run(hy_layout *layout, hy_run *run, int64_t s) {
    const int64_t first = s * layout->len;
    if (layout->pos[run->begin] == first) {
        run->s0 = layout->frags[hy_layout_end_fragment(layout, s, 0)].slot;
    }
    for (int64_t t = run->begin; t < run->begin + run->len; t++) {
        layout->doc_pos[t] += layout->before[s];
    }
}

void hy_layout_carry(hy_layout *layout, const int64_t *before) {
    memcpy(layout->before, before, (size_t)layout->n_seq * sizeof *before);
    for (int64_t i = 0; i < layout->n_runs; i++) {
        hy_run *run = &layout->runs[i];
        const int64_t s = layout->pos[run->begin] / layout->len;
        if (before[s] > 0 && layout->doc_start[run->begin] == s * layout->len) {
            continue_run(layout, run, s);
        }
    }
}

int64_t hy_layout_neighbour(const hy_layout *layout, int64_t id, int step) {
    do {
        id += step;
    } while (id >= 0 && id < layout->n_frags && layout->frags[id].len == 0);
    return id < layout->n_frags ? id : -1;
}

void hy_layout_shard(const hy_layout *layout, const void *full, size_t row_bytes, void *local) {
    for (int64_t slot = 0; slot < layout->n_local; slot++) {
        const hy_fragment *f = &layout->frags[layout->local[slot]];
        if (f->len > 0) {
            memcpy((char *)local + (size_t)f->local * row_bytes, (const char *)full + (size_t)f->begin * row_bytes,
                   (size_t)f->len * row_bytes);
        }
    }
}

void hy_layout_unshard(const hy_layout *layout, const void *local, size_t row_bytes, void *full) {
    for (int64_t slot = 0; slot < layout->n_local; slot++) {
        const hy_fragment *f = &layout->frags[layout->local[slot]];
        if (f->len > 0) {
            memcpy((char *)full + (size_t)f->begin * row_bytes, (const char *)local + (size_t)f->local * row_bytes,
                   (size_t)f->len * row_bytes);
        }
    }
}
