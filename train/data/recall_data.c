#include "train/data/recall_data.h"

#include <stddef.h>

#include "base/random.h"

/* A document under construction. */
typedef struct writer {
    const hy_recall_shape *shape;
    uint64_t document;
    const int32_t *text;
    int32_t *tokens;
    uint8_t *answers;
    int64_t n, n_filler, n_pairs; /* tokens and filler so far; facts of the document */
} writer;

/* A stream of its own for each document and use. */
static uint64_t stream_of_document(const char *use, uint64_t document) {
    return hy_random_stream(use) + document;
}

static uint64_t permuted(const writer *w, const char *use, int64_t n, int64_t i) {
    return hy_random_permute(w->shape->seed, stream_of_document(use, w->document), (uint64_t)n, (uint64_t)i);
}

static uint64_t below(const writer *w, const char *use, int64_t n, int64_t i) {
    return hy_random_u64(w->shape->seed, stream_of_document(use, w->document), (uint64_t)i) % (uint64_t)n;
}

static void put(writer *w, int64_t id, uint8_t answer) {
    w->tokens[w->n] = (int32_t)id;
    w->answers[w->n++] = answer;
}

static void put_filler(writer *w) {
    const int64_t i = w->n_filler++;
    put(w, w->text != NULL ? w->text[i] : (int64_t)below(w, "recall filler", w->shape->filler, i), 0);
}

static void put_fact(writer *w, int64_t pair, uint8_t answer) {
    const hy_recall_shape *shape = w->shape;
    put(w, shape->filler + (int64_t)permuted(w, "recall keys", shape->keys, pair), 0);
    put(w, shape->filler + shape->keys + (int64_t)below(w, "recall values", shape->values, pair), answer);
}

/* The fact that query number `query` asks: all in each round of n_pairs, in one random order, entered one further each
 * round. */
static int64_t asked(const writer *w, int64_t query) {
    const int64_t round = query / w->n_pairs, i = query % w->n_pairs;
    return (int64_t)((permuted(w, "recall queries", w->n_pairs, i) + (uint64_t)round) % (uint64_t)w->n_pairs);
}

/* n facts or queries among n_filler tokens: every choice of places is equally likely. */
static void put_stretch(writer *w, int64_t n, int64_t n_filler, int queries, const char *places) {
    for (int64_t i = 0; i < n + n_filler; i++) {
        const int64_t item = n_filler > 0 ? (int64_t)permuted(w, places, n + n_filler, i) : i;
        if (item >= n) {
            put_filler(w);
        } else {
            put_fact(w, queries ? asked(w, item) : item, (uint8_t)queries);
        }
    }
}

hy_recall_counts hy_recall_count(const hy_recall_shape *shape, uint64_t document, int64_t len) {
    const uint64_t choices = (uint64_t)(shape->pairs_max - shape->pairs_min + 1);
    hy_recall_counts c;
    c.pairs =
        shape->pairs_min + (int64_t)(hy_random_u64(shape->seed, hy_random_stream("recall pairs"), document) % choices);
    c.queries = shape->queries > 0 ? shape->queries : c.pairs;
    c.filler = len - 2 * (c.pairs + c.queries);
    return c;
}

void hy_recall_document(const hy_recall_shape *shape, uint64_t document, int64_t len, const int32_t *text,
                        int32_t *tokens, uint8_t *answers) {
    const hy_recall_counts counts = hy_recall_count(shape, document, len);
    const int64_t among_queries = shape->task == HY_RECALL_MQAR ? counts.filler : 0;
    writer w = {.shape = shape,
                .document = document,
                .text = text,
                .tokens = tokens,
                .answers = answers,
                .n_pairs = counts.pairs};
    put_stretch(&w, counts.pairs, counts.filler - among_queries, 0, "recall places of facts");
    put_stretch(&w, counts.queries, among_queries, 1, "recall places of queries");
}

hy_status hy_recall_check(const hy_recall_shape *shape, int64_t len) {
    const int64_t queries = shape->queries > 0 ? shape->queries : shape->pairs_max;
    const int64_t least = 2 * (shape->pairs_max + queries);
    if (shape->pairs_min < 1 || shape->pairs_min > shape->pairs_max) {
        return hy_fail(HY_ERR_USAGE, "--pairs-min %lld, --pairs %lld: at least 1, and not more than --pairs",
                       (long long)shape->pairs_min, (long long)shape->pairs_max);
    }
    if (shape->pairs_max > shape->keys) {
        return hy_fail(HY_ERR_USAGE, "--pairs %lld: a document's keys are distinct and there are --keys %lld",
                       (long long)shape->pairs_max, (long long)shape->keys);
    }
    if (shape->queries < 0 || shape->values < 2) {
        return hy_fail(HY_ERR_USAGE, "--queries %lld, --values %lld: not below 0, not below 2",
                       (long long)shape->queries, (long long)shape->values);
    }
    if (shape->filler < 1) {
        return hy_fail(HY_ERR_USAGE,
                       "--vocab: no id is left for filler beside --keys %lld and --values %lld; nearest: --vocab %lld",
                       (long long)shape->keys, (long long)shape->values, (long long)(shape->keys + shape->values + 1));
    }
    if (len < least) {
        return hy_fail(
            HY_ERR_USAGE,
            "a document of %lld tokens (--tokens over --documents) is too short for %lld facts and %lld queries; "
            "nearest: %lld",
            (long long)len, (long long)shape->pairs_max, (long long)queries, (long long)least);
    }
    return HY_OK;
}
