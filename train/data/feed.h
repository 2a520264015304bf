/* What one rank reads of token stores: for every micro-step the tokens and labels of its own fragments, and the
 * documents of the sequences it takes part in. The sequences of a step may come from several stores.
 *
 * The label of a token is the next token of its document, also where that lies in another rank's fragment or beyond the
 * sequence's edge; −100 at a document's last token, and where only answers count (data.loss) at every target that is
 * none. A document that crosses a sequence's edge is two documents to the
 * model (its state starts anew), but where what is carried has seen the first of them (hy_layout_carry). */
#ifndef HY_TRAIN_FEED_H
#define HY_TRAIN_FEED_H

#include "layers/model.h"
#include "train/data/token_store.h"

enum { HY_LABEL_NONE = -100 };

typedef struct hy_feed_shape {
    hy_layout_kind layout;
    hy_cuts cuts;
    int sequence_size, sequence_rank;
    int64_t unit, len; /* sequences per micro-step; tokens per sequence */
    int64_t calls_max; /* micro-steps held at a time */
    bool answers_only; /* the other targets do not count */
    bool ahead;        /* room for what hy_feed_ahead reads */
} hy_feed_shape;

typedef struct hy_feed hy_feed;

/* Tokens [begin, begin + len) of a store, which is borrowed. seen: how many tokens before them what is carried from step to step has seen, as far
 * as they are of the same document. */
typedef struct hy_sequence {
    hy_token_store *store;
    int64_t begin, seen;
} hy_sequence;

HY_MUST_CHECK hy_status hy_feed_create(const hy_feed_shape *shape, hy_feed **out); /* Local. */
void hy_feed_destroy(hy_feed *feed);

/* Reads `n` sequences, unit per micro-step; what is left of the last micro-step is filled with uncounted
 * sequences. Those that were read ahead are there already. HY_ERR_DATA as in token_store.h. Allocates nothing. Local. */
HY_MUST_CHECK hy_status hy_feed_load(hy_feed *feed, const hy_sequence *sequences, int64_t n);

/* Begins to read what a later hy_feed_load will ask for, in a thread of the feed's own, while what is loaded stays as it is. Until
 * hy_feed_ahead_wait has returned nobody else may use HDF5, which is not made for threads. What fails here says nothing: hy_feed_load
 * reads again then, and tells. Needs shape.ahead. Local. */
void hy_feed_ahead(hy_feed *feed, const hy_sequence *sequences, int64_t n);
void hy_feed_ahead_wait(hy_feed *feed); /* nothing to do where nothing was begun */

int64_t hy_feed_calls(const hy_feed *feed); /* micro-steps loaded */
int64_t hy_feed_valid(const hy_feed *feed); /* labels of this rank that count, over all micro-steps loaded */
/* Micro-step `call`. The batch is valid until the next hy_feed_batch. HY_ERR_DATA if the layout refuses the documents.
 * Local. */
HY_MUST_CHECK hy_status hy_feed_batch(hy_feed *feed, int64_t call, hy_batch *batch);
/* Which labels of micro-step `call` are answers: [T], 0 or 1; zeros where a store marks none. */
const uint8_t *hy_feed_answers(const hy_feed *feed, int64_t call);
/* Documents of micro-step `call`: [*n_docs + 1] positions in it. For counting FLOPs. */
const int64_t *hy_feed_documents(const hy_feed *feed, int64_t call, int64_t *n_docs);

#endif
