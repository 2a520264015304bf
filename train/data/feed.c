#include "train/data/feed.h"

#include <string.h>

#include "base/memory.h"
#include "train/data/read_ahead.h"

/* What one hy_feed_load brought. */
typedef struct feed_image {
    int64_t calls, valid;
    int32_t *tokens, *labels; /* [calls_max,T] */
    uint8_t *answers;         /* [calls_max,T] whether the label is an answer; zeros where the store marks none */
    int64_t *docs;            /* [calls_max, unit·len + 1] */
    int64_t *n_docs;          /* [calls_max] */
    int64_t *before;          /* [calls_max, unit] tokens that sequences go on from */
} feed_image;

struct hy_feed {
    hy_feed_shape shape;
    hy_layout *layout;
    feed_image images[2]; /* with shape.ahead both */
    int now;              /* the one that is loaded; the other one is read ahead */
    int32_t *window;      /* [frag_max + 1] a fragment and the token after it */
    int64_t *bounds;      /* [len + 1] document offsets in one sequence */
    hy_read_ahead *ahead; /* NULL without shape.ahead */
    hy_sequence *wanted;  /* [calls_max·unit] what is read ahead */
    int64_t n_wanted;     /* 0: nothing */
};

typedef struct feed_sizes {
    int64_t tokens, answers, docs, window, bounds, wanted; /* bytes */
} feed_sizes;

static feed_sizes sizes_of(const hy_feed_shape *shape) {
    const hy_layout_dims dims = hy_layout_sizes_cut(shape->layout, &shape->cuts, shape->sequence_size,
                                                    shape->sequence_rank, shape->unit, shape->len);
    feed_sizes sizes = {
        .tokens = shape->calls_max * dims.T * (int64_t)sizeof(int32_t),
        .answers = shape->calls_max * dims.T,
        .docs = shape->calls_max * (shape->unit * shape->len + 1) * (int64_t)sizeof(int64_t),
        .window = (dims.frag_max + 1) * (int64_t)sizeof(int32_t),
        .bounds = (shape->len + 1) * (int64_t)sizeof(int64_t),
        .wanted = shape->ahead ? shape->calls_max * shape->unit * (int64_t)sizeof(hy_sequence) : 0,
    };
    return sizes;
}

static hy_status reserve_image(const hy_feed_shape *shape, const feed_sizes *sizes, feed_image *image) {
    HY_TRY(hy_alloc("tokens", (size_t)sizes->tokens, (void **)&image->tokens));
    HY_TRY(hy_alloc("labels", (size_t)sizes->tokens, (void **)&image->labels));
    HY_TRY(hy_alloc("answers", (size_t)sizes->answers, (void **)&image->answers));
    HY_TRY(hy_alloc("documents", (size_t)sizes->docs, (void **)&image->docs));
    HY_TRY(HY_NEW("tokens before sequences", shape->calls_max * shape->unit, &image->before));
    return HY_NEW("document counts", shape->calls_max, &image->n_docs);
}

static void read_wanted(void *context);

static hy_status reserve_ahead(hy_feed *feed, const feed_sizes *sizes) {
    HY_TRY(reserve_image(&feed->shape, sizes, &feed->images[1]));
    HY_TRY(hy_alloc("sequences read ahead", (size_t)sizes->wanted, (void **)&feed->wanted));
    return hy_read_ahead_create(read_wanted, feed, &feed->ahead);
}

static hy_status reserve_feed(hy_feed *feed) {
    const hy_feed_shape *shape = &feed->shape;
    const feed_sizes sizes = sizes_of(shape);
    HY_TRY(hy_layout_create_cut(shape->layout, &shape->cuts, shape->sequence_size, shape->sequence_rank, shape->unit,
                                shape->len, &feed->layout));
    HY_TRY(reserve_image(shape, &sizes, &feed->images[0]));
    HY_TRY(hy_alloc("fragment window", (size_t)sizes.window, (void **)&feed->window));
    HY_TRY(hy_alloc("document offsets", (size_t)sizes.bounds, (void **)&feed->bounds));
    return shape->ahead ? reserve_ahead(feed, &sizes) : HY_OK;
}

hy_status hy_feed_create(const hy_feed_shape *shape, hy_feed **out) {
    hy_feed *feed = NULL;
    HY_TRY(HY_NEW("feed", 1, &feed));
    feed->shape = *shape;
    const hy_status status = reserve_feed(feed);
    if (status != HY_OK) {
        hy_feed_destroy(feed);
        return status;
    }
    *out = feed;
    return HY_OK;
}

void hy_feed_destroy(hy_feed *feed) {
    if (feed == NULL) {
        return;
    }
    hy_read_ahead_destroy(feed->ahead);
    hy_layout_destroy(feed->layout);
    for (int i = 0; i < 2; i++) {
        hy_free(feed->images[i].tokens);
        hy_free(feed->images[i].labels);
        hy_free(feed->images[i].answers);
        hy_free(feed->images[i].docs);
        hy_free(feed->images[i].n_docs);
        hy_free(feed->images[i].before);
    }
    hy_free(feed->window);
    hy_free(feed->bounds);
    hy_free(feed->wanted);
    hy_free(feed);
}

static int64_t *documents_at(const hy_feed *feed, const feed_image *image, int64_t call) {
    return image->docs + call * (feed->shape.unit * feed->shape.len + 1);
}

/* Answers among the labels of tokens [begin, begin + n), n > 0, which are the tokens one further; `more`: the store has
 * one there for the last of them. */
static hy_status mark_answers(const hy_feed *feed, hy_token_store *store, int64_t begin, int64_t n, int64_t more,
                              int32_t *labels, uint8_t *answers) {
    if (!hy_token_store_has_answers(store)) {
        memset(answers, 0, (size_t)n);
        return HY_OK;
    }
    HY_TRY(hy_token_store_read_answers(store, begin + 1, n - !more, answers));
    answers[n - 1] = more && answers[n - 1];
    for (int64_t i = 0; i < n; i++) {
        answers[i] = labels[i] != HY_LABEL_NONE && answers[i];
        labels[i] = feed->shape.answers_only && !answers[i] ? HY_LABEL_NONE : labels[i];
    }
    return HY_OK;
}

/* One fragment of `sequence`, which stands at `slot` of micro-step `call`; n_bounds offsets of it are in
 * feed->bounds. */
static hy_status load_fragment(hy_feed *feed, feed_image *image, int64_t call, int64_t slot,
                               const hy_sequence *sequence, const hy_fragment *fragment, int64_t n_bounds) {
    const int64_t begin = sequence->begin + fragment->begin - slot * feed->shape.len, n = fragment->len;
    const int64_t more = begin + n < hy_token_store_tokens(sequence->store);
    int32_t *tokens = image->tokens + call * feed->layout->T + fragment->local;
    int32_t *labels = image->labels + call * feed->layout->T + fragment->local;
    if (n == 0) {
        return HY_OK;
    }
    HY_TRY(hy_token_store_read(sequence->store, begin, n + more, feed->window));
    memcpy(tokens, feed->window, (size_t)n * sizeof *tokens);
    memcpy(labels, feed->window + 1, (size_t)(n - 1 + more) * sizeof *labels);
    for (int64_t i = 0; i < n_bounds; i++) {
        const int64_t last = feed->bounds[i] - 1 - begin; /* a document's last token */
        if (last >= 0 && last < n) {
            labels[last] = HY_LABEL_NONE;
        }
    }
    HY_TRY(mark_answers(feed, sequence->store, begin, n, more, labels,
                        image->answers + call * feed->layout->T + fragment->local));
    for (int64_t i = 0; i < n; i++) {
        image->valid += labels[i] != HY_LABEL_NONE;
    }
    return HY_OK;
}

/* How much of the sequence's first document came before it and was seen. */
static hy_status find_before(const hy_sequence *sequence, int64_t *before) {
    int64_t document = sequence->begin;
    if (sequence->seen > 0) {
        HY_TRY(hy_token_store_document_begin(sequence->store, sequence->begin, &document));
    }
    const int64_t earlier = sequence->begin - document;
    *before = earlier < sequence->seen ? earlier : sequence->seen;
    return HY_OK;
}

/* A sequence at `slot` of micro-step `call`; `counted` 0: its labels do not count. Appends its documents. */
static hy_status load_sequence(hy_feed *feed, feed_image *image, int64_t call, int64_t slot,
                               const hy_sequence *sequence, int counted) {
    const int64_t len = feed->shape.len, begin = sequence->begin;
    int64_t n_bounds = 0, *docs = documents_at(feed, image, call), *n_docs = &image->n_docs[call];
    HY_TRY(hy_token_store_boundaries(sequence->store, begin, begin + len, len + 1, feed->bounds, &n_bounds));
    HY_TRY(find_before(sequence, &image->before[call * feed->shape.unit + slot]));
    docs[(*n_docs)++] = slot * len;
    for (int64_t i = 0; i < n_bounds; i++) {
        if (feed->bounds[i] > begin && feed->bounds[i] < begin + len) {
            docs[(*n_docs)++] = slot * len + feed->bounds[i] - begin;
        }
    }
    const int64_t valid_before = image->valid;
    for (int64_t i = 0; i < feed->layout->n_local; i++) {
        const hy_fragment *fragment = &feed->layout->frags[feed->layout->local[i]];
        if (fragment->begin < slot * len || fragment->begin + fragment->len > (slot + 1) * len) {
            continue; /* of another sequence */
        }
        HY_TRY(load_fragment(feed, image, call, slot, sequence, fragment, n_bounds));
        if (!counted) {
            int32_t *labels = image->labels + call * feed->layout->T + fragment->local;
            for (int64_t t = 0; t < fragment->len; t++) {
                labels[t] = HY_LABEL_NONE;
            }
            memset(image->answers + call * feed->layout->T + fragment->local, 0, (size_t)fragment->len);
        }
    }
    if (!counted) {
        image->valid = valid_before;
    }
    return HY_OK;
}

static hy_status load_image(hy_feed *feed, feed_image *image, const hy_sequence *sequences, int64_t n) {
    const int64_t unit = feed->shape.unit, calls = (n + unit - 1) / unit;
    image->calls = 0;
    image->valid = 0;
    for (int64_t call = 0; call < calls; call++) {
        image->n_docs[call] = 0;
        for (int64_t slot = 0; slot < unit; slot++) {
            const int64_t index = call * unit + slot;
            HY_TRY(load_sequence(feed, image, call, slot, &sequences[index < n ? index : n - 1], index < n));
        }
        documents_at(feed, image, call)[image->n_docs[call]] = unit * feed->shape.len;
    }
    image->calls = calls;
    return HY_OK;
}

/* ---- ahead ---- */

/* In the thread; what is incomplete has no calls. */
static void read_wanted(void *context) {
    hy_feed *feed = context;
    (void)!load_image(feed, &feed->images[!feed->now], feed->wanted, feed->n_wanted);
}

void hy_feed_ahead(hy_feed *feed, const hy_sequence *sequences, int64_t n) {
    hy_feed_ahead_wait(feed);
    memcpy(feed->wanted, sequences, (size_t)n * sizeof *sequences);
    feed->n_wanted = n;
    hy_read_ahead_begin(feed->ahead);
}

void hy_feed_ahead_wait(hy_feed *feed) {
    if (feed->ahead != NULL) {
        hy_read_ahead_wait(feed->ahead);
    }
}

/* Whether just these were read ahead, without failing. */
static bool is_there(const hy_feed *feed, const hy_sequence *sequences, int64_t n) {
    bool same = n > 0 && feed->n_wanted == n && feed->images[!feed->now].calls > 0;
    for (int64_t i = 0; i < n && same; i++) {
        same = feed->wanted[i].store == sequences[i].store && feed->wanted[i].begin == sequences[i].begin &&
               feed->wanted[i].seen == sequences[i].seen;
    }
    return same;
}

hy_status hy_feed_load(hy_feed *feed, const hy_sequence *sequences, int64_t n) {
    hy_feed_ahead_wait(feed);
    const bool there = is_there(feed, sequences, n);
    feed->n_wanted = 0;
    if (there) {
        feed->now = !feed->now;
        return HY_OK;
    }
    return load_image(feed, &feed->images[feed->now], sequences, n);
}

/* ---- what is loaded ---- */

static const feed_image *loaded(const hy_feed *feed) {
    return &feed->images[feed->now];
}

int64_t hy_feed_calls(const hy_feed *feed) {
    return loaded(feed)->calls;
}

int64_t hy_feed_valid(const hy_feed *feed) {
    return loaded(feed)->valid;
}

hy_status hy_feed_batch(hy_feed *feed, int64_t call, hy_batch *batch) {
    const feed_image *image = loaded(feed);
    HY_TRY(hy_layout_set_documents(feed->layout, documents_at(feed, image, call), image->n_docs[call]));
    hy_layout_carry(feed->layout, image->before + call * feed->shape.unit);
    *batch = (hy_batch){.layout = feed->layout,
                        .tokens = image->tokens + call * feed->layout->T,
                        .labels = image->labels + call * feed->layout->T};
    return HY_OK;
}

const uint8_t *hy_feed_answers(const hy_feed *feed, int64_t call) {
    return loaded(feed)->answers + call * feed->layout->T;
}

const int64_t *hy_feed_documents(const hy_feed *feed, int64_t call, int64_t *n_docs) {
    *n_docs = loaded(feed)->n_docs[call];
    return documents_at(feed, loaded(feed), call);
}
