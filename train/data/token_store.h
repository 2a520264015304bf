/* The token store: one HDF5 file with the datasets `tokens` (1-D, uint8, uint16 or uint32) and `documents` (1-D int64
 * offsets: first 0, strictly increasing, last = number of tokens), both chunked with Fletcher32, and the attributes
 * vocab (int64: ids are below it), tokenizer and format (text). A store may have a third dataset `answers` (uint8, one
 * per token): 1 where the token, as a target, is an answer that its document determines. The format's name is the same
 * with and without it: a reader that knows nothing of answers sees a whole store.
 *
 * Beside a store made here lies its seal `<store>.xxh3`, size and XXH3 of the whole file, because libhdf5 may crash or
 * hang on damaged bytes. hy_token_store_check (one rank, once per run) verifies the seal before libhdf5 opens the file;
 * a store without one (made by others) is read through once in a child process, whose crash or hang is then an error
 * like any other.
 *
 * Errors are HY_ERR_DATA and name the file and what is wrong where. Everything here is local. */
#ifndef HY_TRAIN_TOKEN_STORE_H
#define HY_TRAIN_TOKEN_STORE_H

#include <stdint.h>

#include "base/status.h"

enum { HY_TOKENIZER_MAX = 64 }; /* bytes of its name */

#define HY_TOKEN_STORE_FORMAT "hylas-tokens-1"

/* ---- reading ---- */

typedef struct hy_token_store hy_token_store;

typedef struct hy_store_summary {
    int64_t tokens, documents, longest; /* longest: tokens of the longest document */
    int64_t longer;                     /* documents longer than the sequence length asked about */
    int64_t vocab;
    int64_t answers; /* tokens marked as answers; −1: the store has no such list */
    int sealed;      /* whether a seal was there (and matched) */
} hy_store_summary;

/* Verifies the whole store: seal or child, structure, every document offset. sequence: see `longer`; 0 = do not count.
 */
HY_MUST_CHECK hy_status hy_token_store_check(const char *path, int64_t sequence, hy_store_summary *out);

/* Opens a checked store and looks at its structure only. */
HY_MUST_CHECK hy_status hy_token_store_open(const char *path, hy_token_store **out);
/* A store without a file, for planning: one document of so many tokens, all of them 0, every one marked as an answer. */
HY_MUST_CHECK hy_status hy_token_store_blank(int64_t tokens, int64_t vocab, hy_token_store **out);
void hy_token_store_close(hy_token_store *store);

int64_t hy_token_store_tokens(const hy_token_store *store);
int64_t hy_token_store_documents(const hy_token_store *store);
int64_t hy_token_store_vocab(const hy_token_store *store);
int hy_token_store_token_bytes(const hy_token_store *store); /* 1, 2 or 4 */
const char *hy_token_store_tokenizer(const hy_token_store *store);
int hy_token_store_has_answers(const hy_token_store *store);

/* Tokens [begin, begin + n) as int32. An id of vocab or more names its position. */
HY_MUST_CHECK hy_status hy_token_store_read(hy_token_store *store, int64_t begin, int64_t n, int32_t *out);
/* Which of the same tokens are answers: 0 or 1, anything else is an error. Requires hy_token_store_has_answers. */
HY_MUST_CHECK hy_status hy_token_store_read_answers(hy_token_store *store, int64_t begin, int64_t n, uint8_t *out);

/* Document offsets b with begin <= b <= end, increasing, into out [capacity]; *n of them. More than capacity is an
 * error (end - begin + 1 always suffices). Reads only the part of `documents` that holds them. */
HY_MUST_CHECK hy_status hy_token_store_boundaries(hy_token_store *store, int64_t begin, int64_t end, int64_t capacity,
                                                  int64_t *out, int64_t *n);
/* The first token of the document that token `at` belongs to. */
HY_MUST_CHECK hy_status hy_token_store_document_begin(hy_token_store *store, int64_t at, int64_t *begin);
/* Offsets number first .. first + n - 1, of tokens' documents + 1 in all. */
HY_MUST_CHECK hy_status hy_token_store_offsets(hy_token_store *store, int64_t first, int64_t n, int64_t *out);

/* ---- writing: into `<path>.tmp`, renamed when whole ---- */

typedef struct hy_token_writer hy_token_writer;

/* Creates missing folders above `path`. vocab decides the width of a token: uint8 up to 256, uint16 up to 65,536, uint32 above. */
HY_MUST_CHECK hy_status hy_token_writer_create(const char *path, int64_t vocab, const char *tokenizer,
                                               hy_token_writer **out);
HY_MUST_CHECK hy_status hy_token_writer_append(hy_token_writer *writer, const int32_t *tokens, int64_t n);
/* The answers of tokens in the same order, at any pace: a store with any has as many as tokens when it is finished. */
HY_MUST_CHECK hy_status hy_token_writer_append_answers(hy_token_writer *writer, const uint8_t *answers, int64_t n);
/* Ends the present document; one without tokens is an error. */
HY_MUST_CHECK hy_status hy_token_writer_end_document(hy_token_writer *writer);
/* Syncs, renames, seals. At least one document. */
HY_MUST_CHECK hy_status hy_token_writer_finish(hy_token_writer *writer);
/* NULL allowed. Removes the temporary file if finish was not reached. */
void hy_token_writer_destroy(hy_token_writer *writer);

#endif
