/* Opening and reading a token store. */
#include "train/data/token_store.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "train/data/h5.h"

struct hy_token_store {
    char path[512];
    hid_t file, tokens, documents, answers; /* answers: −1 if the store has none */
    bool blank;                             /* has no file */
    int64_t n_tokens, n_documents, vocab;
    int token_bytes;
    char tokenizer[HY_TOKENIZER_MAX];
};

/* A 1-D dataset of integers; *size elements of *bytes each. */
static hy_status open_integers(hy_token_store *store, const char *name, hid_t *dataset, int64_t *size, int *bytes,
                               int *is_signed) {
    HY_TRY(hy_h5_dataset_open(store->file, store->path, name, HY_ERR_DATA, dataset));
    const hid_t space = H5Dget_space(*dataset), type = H5Dget_type(*dataset);
    hsize_t dims = 0;
    const int usable = space >= 0 && type >= 0 && H5Sget_simple_extent_ndims(space) == 1 &&
                       H5Sget_simple_extent_dims(space, &dims, NULL) == 1 && H5Tget_class(type) == H5T_INTEGER;
    *bytes = type >= 0 ? (int)H5Tget_size(type) : 0;
    *is_signed = type >= 0 && H5Tget_sign(type) != H5T_SGN_NONE;
    *size = (int64_t)dims;
    if (space >= 0) {
        H5Sclose(space);
    }
    if (type >= 0) {
        H5Tclose(type);
    }
    return usable ? HY_OK : hy_fail(HY_ERR_DATA, "%s: dataset %s is not a list of integers", store->path, name);
}

static hy_status read_vocab(hy_token_store *store) {
    const hid_t attribute = hy_h5_attribute_open(store->file, "vocab");
    long long vocab = 0;
    const int failed = attribute < 0 || H5Aread(attribute, H5T_NATIVE_LLONG, &vocab) < 0;
    if (attribute >= 0) {
        H5Aclose(attribute);
    }
    if (failed) {
        return hy_h5_fail(HY_ERR_DATA, store->path, "attribute vocab");
    }
    if (vocab < 2 || vocab > INT32_MAX) {
        return hy_fail(HY_ERR_DATA, "%s: attribute vocab is %lld; a vocabulary has 2 to %d ids", store->path, vocab,
                       INT32_MAX);
    }
    store->vocab = vocab;
    return HY_OK;
}

/* A fixed or variable length text attribute, cut to the space there is; empty where there is none. */
static void read_text(hid_t file, const char *name, char *out, size_t size) {
    out[0] = '\0';
    const hid_t attribute = hy_h5_attribute_open(file, name);
    if (attribute < 0) {
        return;
    }
    const hid_t type = H5Aget_type(attribute);
    if (type >= 0 && H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) > 0) {
        char *text = NULL;
        if (H5Aread(attribute, type, &text) >= 0 && text != NULL) {
            snprintf(out, size, "%s", text);
            H5free_memory(text);
        }
    } else if (type >= 0 && H5Tget_class(type) == H5T_STRING && H5Tget_size(type) < size) {
        char text[256] = "";
        if (H5Tget_size(type) < sizeof text && H5Aread(attribute, type, text) >= 0) {
            snprintf(out, size, "%.*s", (int)size - 1, text);
        }
    }
    if (type >= 0) {
        H5Tclose(type);
    }
    H5Aclose(attribute);
}

static hy_status open_answers(hy_token_store *store) {
    int64_t n = 0;
    int bytes = 0, is_signed = 0;
    if (H5Lexists(store->file, "answers", H5P_DEFAULT) <= 0) {
        return HY_OK;
    }
    HY_TRY(open_integers(store, "answers", &store->answers, &n, &bytes, &is_signed));
    if (is_signed || bytes != 1 || n != store->n_tokens) {
        return hy_fail(HY_ERR_DATA,
                       "%s: answers are %lld integers of %d bytes; they must be uint8, one for each of %lld tokens",
                       store->path, (long long)n, bytes, (long long)store->n_tokens);
    }
    return HY_OK;
}

static hy_status open_structure(hy_token_store *store) {
    int64_t n_offsets = 0, ends[2];
    int bytes = 0, is_signed = 0;
    HY_TRY(hy_h5_open(store->path, HY_ERR_DATA, &store->file));
    HY_TRY(open_integers(store, "tokens", &store->tokens, &store->n_tokens, &store->token_bytes, &is_signed));
    if (is_signed || (store->token_bytes != 1 && store->token_bytes != 2 && store->token_bytes != 4)) {
        return hy_fail(HY_ERR_DATA, "%s: tokens are not uint8, uint16 or uint32", store->path);
    }
    HY_TRY(open_integers(store, "documents", &store->documents, &n_offsets, &bytes, &is_signed));
    if (n_offsets < 2) {
        return hy_fail(HY_ERR_DATA, "%s: documents has %lld offsets; a store has at least one document", store->path,
                       (long long)n_offsets);
    }
    store->n_documents = n_offsets - 1;
    HY_TRY(open_answers(store));
    HY_TRY(read_vocab(store));
    read_text(store->file, "tokenizer", store->tokenizer, sizeof store->tokenizer);
    HY_TRY(hy_token_store_offsets(store, 0, 1, &ends[0]));
    HY_TRY(hy_token_store_offsets(store, store->n_documents, 1, &ends[1]));
    if (ends[0] != 0 || ends[1] != store->n_tokens) {
        return hy_fail(HY_ERR_DATA,
                       "%s: document offsets go from %lld to %lld; they must go from 0 to the number of tokens, %lld",
                       store->path, (long long)ends[0], (long long)ends[1], (long long)store->n_tokens);
    }
    return HY_OK;
}

hy_status hy_token_store_open(const char *path, hy_token_store **out) {
    hy_token_store *store = NULL;
    HY_TRY(HY_NEW("token store", 1, &store));
    store->file = store->tokens = store->documents = store->answers = -1;
    hy_status status = HY_OK;
    if (snprintf(store->path, sizeof store->path, "%s", path) >= (int)sizeof store->path) {
        status = hy_fail(HY_ERR_DATA, "%s: the path is too long", path);
    } else {
        status = open_structure(store);
    }
    if (status != HY_OK) {
        hy_token_store_close(store);
        return status;
    }
    *out = store;
    return HY_OK;
}

hy_status hy_token_store_blank(int64_t tokens, int64_t vocab, hy_token_store **out) {
    hy_token_store *store = NULL;
    HY_TRY(HY_NEW("token store", 1, &store));
    *store = (hy_token_store){.path = "(blank)",
                              .file = -1,
                              .tokens = -1,
                              .documents = -1,
                              .answers = -1,
                              .blank = true,
                              .n_tokens = tokens,
                              .n_documents = 1,
                              .vocab = vocab,
                              .token_bytes = 4};
    *out = store;
    return HY_OK;
}

void hy_token_store_close(hy_token_store *store) {
    if (store == NULL) {
        return;
    }
    if (store->tokens >= 0) {
        H5Dclose(store->tokens);
    }
    if (store->documents >= 0) {
        H5Dclose(store->documents);
    }
    if (store->answers >= 0) {
        H5Dclose(store->answers);
    }
    if (store->file >= 0) {
        H5Fclose(store->file);
    }
    hy_free(store);
}

int64_t hy_token_store_tokens(const hy_token_store *store) {
    return store->n_tokens;
}

int64_t hy_token_store_documents(const hy_token_store *store) {
    return store->n_documents;
}

int64_t hy_token_store_vocab(const hy_token_store *store) {
    return store->vocab;
}

int hy_token_store_token_bytes(const hy_token_store *store) {
    return store->token_bytes;
}

const char *hy_token_store_tokenizer(const hy_token_store *store) {
    return store->tokenizer;
}

int hy_token_store_has_answers(const hy_token_store *store) {
    return store->blank || store->answers >= 0;
}

/* Whether [begin, begin + n) lies in a list of `size`. */
static hy_status check_range(const hy_token_store *store, const char *what, int64_t begin, int64_t n, int64_t size) {
    if (begin < 0 || n < 0 || begin > size || n > size - begin) {
        return hy_fail(HY_ERR_DATA, "%s: %s %lld .. %lld asked for, there are %lld", store->path, what,
                       (long long)begin, (long long)(begin + n), (long long)size);
    }
    return HY_OK;
}

hy_status hy_token_store_read(hy_token_store *store, int64_t begin, int64_t n, int32_t *out) {
    HY_TRY(check_range(store, "tokens", begin, n, store->n_tokens));
    if (store->blank) {
        memset(out, 0, (size_t)n * sizeof *out);
        return HY_OK;
    }
    if (hy_h5_read_range(store->tokens, H5T_NATIVE_INT32, begin, n, out) < 0) {
        char what[96];
        snprintf(what, sizeof what, "tokens %lld .. %lld cannot be read", (long long)begin, (long long)(begin + n));
        return hy_h5_fail(HY_ERR_DATA, store->path, what);
    }
    for (int64_t i = 0; i < n; i++) {
        if (out[i] < 0 || out[i] >= store->vocab) { /* ids beyond int32 arrive as INT32_MAX */
            return hy_fail(HY_ERR_DATA, "%s: token %lld has id %ld, outside the store's vocabulary of %lld",
                           store->path, (long long)(begin + i), (long)out[i], (long long)store->vocab);
        }
    }
    return HY_OK;
}

hy_status hy_token_store_read_answers(hy_token_store *store, int64_t begin, int64_t n, uint8_t *out) {
    HY_TRY(check_range(store, "answers", begin, n, store->n_tokens));
    if (store->blank) {
        memset(out, 1, (size_t)n);
        return HY_OK;
    }
    if (hy_h5_read_range(store->answers, H5T_NATIVE_UINT8, begin, n, out) < 0) {
        return hy_h5_fail(HY_ERR_DATA, store->path, "answers cannot be read");
    }
    for (int64_t i = 0; i < n; i++) {
        if (out[i] > 1) {
            return hy_fail(HY_ERR_DATA, "%s: answers of token %lld is %d; it must be 0 or 1", store->path,
                           (long long)(begin + i), (int)out[i]);
        }
    }
    return HY_OK;
}

hy_status hy_token_store_offsets(hy_token_store *store, int64_t first, int64_t n, int64_t *out) {
    HY_TRY(check_range(store, "document offsets", first, n, store->n_documents + 1));
    for (int64_t i = 0; i < n && store->blank; i++) {
        out[i] = first + i == 0 ? 0 : store->n_tokens;
    }
    if (store->blank) {
        return HY_OK;
    }
    if (hy_h5_read_range(store->documents, H5T_NATIVE_INT64, first, n, out) < 0) {
        return hy_h5_fail(HY_ERR_DATA, store->path, "document offsets cannot be read");
    }
    return HY_OK;
}

/* Index of the first offset >= position. */
static hy_status find_offset(hy_token_store *store, int64_t position, int64_t *index) {
    int64_t low = 0, high = store->n_documents; /* the last offset is >= position */
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        int64_t value = 0;
        HY_TRY(hy_token_store_offsets(store, middle, 1, &value));
        if (value < position) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *index = low;
    return HY_OK;
}

hy_status hy_token_store_boundaries(hy_token_store *store, int64_t begin, int64_t end, int64_t capacity, int64_t *out,
                                    int64_t *n) {
    int64_t first = 0, last = 0;
    HY_TRY(check_range(store, "tokens", begin, end - begin, store->n_tokens));
    HY_TRY(find_offset(store, begin, &first));
    if (end == store->n_tokens) {
        last = store->n_documents + 1;
    } else {
        HY_TRY(find_offset(store, end + 1, &last));
    }
    if (last - first > capacity) {
        return hy_fail(HY_ERR_DATA, "%s: %lld document offsets between tokens %lld and %lld; they must increase",
                       store->path, (long long)(last - first), (long long)begin, (long long)end);
    }
    HY_TRY(hy_token_store_offsets(store, first, last - first, out));
    for (int64_t i = 0; i < last - first; i++) {
        if (out[i] < begin || out[i] > end || (i > 0 && out[i] <= out[i - 1])) {
            return hy_fail(HY_ERR_DATA, "%s: document offset %lld is %lld: offsets must increase", store->path,
                           (long long)(first + i), (long long)out[i]);
        }
    }
    *n = last - first;
    return HY_OK;
}

hy_status hy_token_store_document_begin(hy_token_store *store, int64_t at, int64_t *begin) {
    int64_t after = 0;
    HY_TRY(check_range(store, "tokens", at, 1, store->n_tokens));
    HY_TRY(find_offset(store, at + 1, &after));
    HY_TRY(hy_token_store_offsets(store, after > 0 ? after - 1 : 0, 1, begin));
    if (*begin < 0 || *begin > at) {
        return hy_fail(HY_ERR_DATA, "%s: document offset %lld is %lld: offsets must increase", store->path,
                       (long long)(after - 1), (long long)*begin);
    }
    return HY_OK;
}
