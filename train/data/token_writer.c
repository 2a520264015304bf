/* Writing a token store as a stream: one chunk of tokens and one of offsets are held, nothing else. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "train/data/file_hash.h"
#include "train/data/h5.h"
#include "train/data/token_store.h"

enum { CHUNK = 1 << 16 }; /* elements */

/* A dataset that grows by whole buffers. */
typedef struct list {
    hid_t dataset, memory_type;
    size_t element; /* bytes in memory */
    int64_t stored, held;
    unsigned char *buffer; /* [CHUNK] elements */
} list;

struct hy_token_writer {
    char path[HY_PATH_MAX], partial[HY_PATH_MAX];
    hid_t file;
    list tokens, offsets, answers; /* answers: made with the first of them */
    int64_t vocab, document_begin, n_documents;
};

static hy_status list_flush(hy_token_writer *writer, list *l) {
    const hsize_t size = (hsize_t)(l->stored + l->held);
    if (l->held > 0 && (H5Dset_extent(l->dataset, &size) < 0 ||
                        hy_h5_write_range(l->dataset, l->memory_type, l->stored, l->held, l->buffer) < 0)) {
        return hy_h5_fail(HY_ERR_DATA, writer->partial, "cannot be written (is the disk full?)");
    }
    l->stored += l->held;
    l->held = 0;
    return HY_OK;
}

static hy_status list_append(hy_token_writer *writer, list *l, const void *items, int64_t n) {
    for (int64_t done = 0; done < n;) {
        const int64_t space = CHUNK - l->held, part = n - done < space ? n - done : space;
        memcpy(l->buffer + (size_t)l->held * l->element, (const unsigned char *)items + (size_t)done * l->element,
               (size_t)part * l->element);
        l->held += part;
        done += part;
        if (l->held == CHUNK) {
            HY_TRY(list_flush(writer, l));
        }
    }
    return HY_OK;
}

static hy_status write_text_attribute(const hy_token_writer *writer, const char *name, const char *text) {
    const hid_t space = H5Screate(H5S_SCALAR), type = H5Tcopy(H5T_C_S1);
    hid_t attribute = -1;
    int result = H5Tset_size(type, strlen(text) + 1);
    if (result >= 0) {
        attribute = H5Acreate2(writer->file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
        result = attribute < 0 ? -1 : H5Awrite(attribute, type, text);
    }
    if (attribute >= 0) {
        H5Aclose(attribute);
    }
    H5Tclose(type);
    H5Sclose(space);
    return result < 0 ? hy_h5_fail(HY_ERR_DATA, writer->partial, name) : HY_OK;
}

static hy_status write_vocab(const hy_token_writer *writer) {
    const long long vocab = writer->vocab;
    const hid_t space = H5Screate(H5S_SCALAR);
    const hid_t attribute = H5Acreate2(writer->file, "vocab", H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT);
    const int result = attribute < 0 ? -1 : H5Awrite(attribute, H5T_NATIVE_LLONG, &vocab);
    if (attribute >= 0) {
        H5Aclose(attribute);
    }
    H5Sclose(space);
    return result < 0 ? hy_h5_fail(HY_ERR_DATA, writer->partial, "vocab") : HY_OK;
}

static hy_status list_create(hy_token_writer *writer, list *l, const char *name, hid_t file_type, hid_t memory_type) {
    l->memory_type = memory_type;
    l->element = H5Tget_size(memory_type);
    HY_TRY(HY_NEW(name, (size_t)CHUNK * l->element, &l->buffer));
    l->dataset = hy_h5_dataset_create(writer->file, name, file_type, 0, CHUNK);
    return l->dataset < 0 ? hy_h5_fail(HY_ERR_DATA, writer->partial, name) : HY_OK;
}

static hy_status create_store_file(hy_token_writer *writer, const char *tokenizer) {
    const hid_t width = writer->vocab <= 256 ? H5T_STD_U8LE : writer->vocab <= 65536 ? H5T_STD_U16LE : H5T_STD_U32LE;
    const int64_t zero = 0;
    HY_TRY(hy_h5_create(writer->partial, HY_ERR_DATA, &writer->file));
    HY_TRY(list_create(writer, &writer->tokens, "tokens", width, H5T_NATIVE_INT32));
    HY_TRY(list_create(writer, &writer->offsets, "documents", H5T_STD_I64LE, H5T_NATIVE_INT64));
    HY_TRY(write_text_attribute(writer, "format", HY_TOKEN_STORE_FORMAT));
    HY_TRY(write_text_attribute(writer, "tokenizer", tokenizer));
    HY_TRY(write_vocab(writer));
    return list_append(writer, &writer->offsets, &zero, 1);
}

/* The folder that `path` lies in. */
static hy_status make_folder(const char *path) {
    char folder[HY_PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (slash == NULL || slash == path) {
        return HY_OK;
    }
    snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
    return hy_file_make_dirs(folder, HY_ERR_DATA);
}

hy_status hy_token_writer_create(const char *path, int64_t vocab, const char *tokenizer, hy_token_writer **out) {
    hy_token_writer *writer = NULL;
    if (vocab < 2 || vocab > INT32_MAX) {
        return hy_fail(HY_ERR_USAGE, "a vocabulary has 2 to %d ids, not %lld", INT32_MAX, (long long)vocab);
    }
    HY_TRY(HY_NEW("token writer", 1, &writer));
    writer->file = writer->tokens.dataset = writer->offsets.dataset = writer->answers.dataset = -1;
    writer->vocab = vocab;
    hy_status status = HY_OK;
    const int n = snprintf(writer->path, sizeof writer->path, "%s", path);
    if (n >= HY_PATH_MAX || snprintf(writer->partial, sizeof writer->partial, "%s.tmp", path) >= HY_PATH_MAX) {
        status = hy_fail(HY_ERR_DATA, "%s: the path is too long", path);
    } else {
        status = make_folder(path);
        status = status == HY_OK ? create_store_file(writer, tokenizer) : status;
    }
    if (status != HY_OK) {
        hy_token_writer_destroy(writer);
        return status;
    }
    *out = writer;
    return HY_OK;
}

static int64_t tokens_so_far(const hy_token_writer *writer) {
    return writer->tokens.stored + writer->tokens.held;
}

hy_status hy_token_writer_append(hy_token_writer *writer, const int32_t *tokens, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (tokens[i] < 0 || tokens[i] >= writer->vocab) {
            return hy_fail(HY_ERR_DATA, "%s: token %lld has id %ld, outside the vocabulary of %lld", writer->path,
                           (long long)(tokens_so_far(writer) + i), (long)tokens[i], (long long)writer->vocab);
        }
    }
    return list_append(writer, &writer->tokens, tokens, n);
}

hy_status hy_token_writer_append_answers(hy_token_writer *writer, const uint8_t *answers, int64_t n) {
    if (writer->answers.dataset < 0) {
        HY_TRY(list_create(writer, &writer->answers, "answers", H5T_STD_U8LE, H5T_NATIVE_UINT8));
    }
    return list_append(writer, &writer->answers, answers, n);
}

/* A store has answers for all of its tokens or no list of them. */
static hy_status finish_answers(hy_token_writer *writer) {
    const int64_t n = writer->answers.stored + writer->answers.held;
    if (writer->answers.dataset >= 0 && n != tokens_so_far(writer)) {
        return hy_fail(HY_ERR_DATA, "%s: answers of %lld tokens were given, there are %lld", writer->path, (long long)n,
                       (long long)tokens_so_far(writer));
    }
    return list_flush(writer, &writer->answers);
}

hy_status hy_token_writer_end_document(hy_token_writer *writer) {
    const int64_t end = tokens_so_far(writer);
    if (end == writer->document_begin) {
        return hy_fail(HY_ERR_DATA, "%s: document %lld is empty; every document needs at least one token", writer->path,
                       (long long)writer->n_documents);
    }
    writer->document_begin = end;
    writer->n_documents++;
    return list_append(writer, &writer->offsets, &end, 1);
}

static void list_close(list *l) {
    if (l->dataset >= 0) {
        H5Dclose(l->dataset);
    }
    l->dataset = -1;
    hy_free(l->buffer);
    l->buffer = NULL;
}

static hy_status close_file(hy_token_writer *writer) {
    list_close(&writer->tokens);
    list_close(&writer->offsets);
    list_close(&writer->answers);
    const hid_t file = writer->file;
    writer->file = -1;
    return file >= 0 && H5Fclose(file) < 0
               ? hy_h5_fail(HY_ERR_DATA, writer->partial, "cannot be closed (is the disk full?)")
               : HY_OK;
}

hy_status hy_token_writer_finish(hy_token_writer *writer) {
    hy_file_hash hash;
    if (writer->n_documents == 0 || tokens_so_far(writer) != writer->document_begin) {
        return hy_fail(HY_ERR_DATA, "%s: %s", writer->path,
                       tokens_so_far(writer) != writer->document_begin ? "the last document was not ended"
                                                                       : "no documents");
    }
    HY_TRY(list_flush(writer, &writer->tokens));
    HY_TRY(list_flush(writer, &writer->offsets));
    HY_TRY(finish_answers(writer));
    HY_TRY(close_file(writer));
    HY_TRY(hy_file_sync(writer->partial, HY_ERR_DATA));
    HY_TRY(hy_file_hash_compute(writer->partial, HY_ERR_DATA, &hash));
    HY_TRY(hy_seal_remove(
        writer->path, HY_ERR_DATA)); /* a crash from here on leaves a store without a seal, never with a wrong one */
    HY_TRY(hy_file_rename(writer->partial, writer->path, HY_ERR_DATA));
    writer->partial[0] = '\0';
    return hy_seal_write(writer->path, &hash, HY_ERR_DATA);
}

void hy_token_writer_destroy(hy_token_writer *writer) {
    if (writer == NULL) {
        return;
    }
    hy_status status = close_file(writer);
    if (writer->partial[0] != '\0') {
        remove(writer->partial);
    }
    (void)status;
    hy_free(writer);
}
