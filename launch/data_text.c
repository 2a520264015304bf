/* hylas data text: files as bytes into a token store, one document per file; every 50th may go to a second store for
 * validation. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "launch/data_actions.h"
#include "launch/options.h"
#include "train/data/token_store.h"

enum { READ_BLOCK = 1 << 16 };

/* Files whose bytes are no text, by name. */
static const struct {
    const char *suffix, *what, *way_out;
} containers[] = {
    {".jsonl", "JSON lines", "write the text of each line to a file of its own"},
    {".ndjson", "JSON lines", "write the text of each line to a file of its own"},
    {".parquet", "a table", "write the text of each row to a file of its own"},
    {".arrow", "a table", "write the text of each row to a file of its own"},
    {".feather", "a table", "write the text of each row to a file of its own"},
    {".npy", "an array", "put token ids into a store (docs/training.md says how)"},
    {".npz", "arrays", "put token ids into a store (docs/training.md says how)"},
    {".h5", "HDF5", "a token store is named as it is, data.store"},
    {".hdf5", "HDF5", "a token store is named as it is, data.store"},
    {".gz", "compressed", "unpack it"},
    {".bz2", "compressed", "unpack it"},
    {".xz", "compressed", "unpack it"},
    {".zst", "compressed", "unpack it"},
    {".zip", "compressed", "unpack it"},
};

static hy_status check_file_name(const char *path) {
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; dot != NULL && i < sizeof containers / sizeof containers[0]; i++) {
        if (strcasecmp(dot, containers[i].suffix) == 0) {
            return hy_fail(HY_ERR_DATA,
                           "%s: %s, and a model would be trained on the file's syntax; %s first, or take it byte by "
                           "byte with --any-file",
                           path, containers[i].what, containers[i].way_out);
        }
    }
    return HY_OK;
}

typedef struct text_import {
    hy_token_writer *main, *held; /* held: NULL without --hold-out */
    hy_token_writer *writer;      /* of the present document: one of the two */
    int64_t n_held;
    bool any_file;        /* whatever its name says */
    int64_t vocab, limit; /* limit: stop after this many tokens; 0 = none */
    int64_t tokens, documents, empty, skipped;
    unsigned char bytes[READ_BLOCK];
    int32_t ids[READ_BLOCK];
} text_import;

static bool store_is_full(const text_import *import) {
    return import->limit > 0 && import->tokens >= import->limit;
}

static hy_status add_bytes(text_import *import, const char *path, size_t n) {
    for (size_t i = 0; i < n; i++) {
        import->ids[i] = import->bytes[i];
        if (import->ids[i] >= import->vocab) {
            return hy_fail(HY_ERR_DATA, "%s: byte %d at offset %lld is outside --vocab %lld", path,
                           (int)import->bytes[i], (long long)i, (long long)import->vocab);
        }
    }
    import->tokens += (int64_t)n;
    return hy_token_writer_append(import->writer, import->ids, (int64_t)n);
}

static hy_status import_file(text_import *import, const char *path) {
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return hy_fail(HY_ERR_DATA, "%s: cannot be opened: %s", path, strerror(errno));
    }
    const int64_t before = import->tokens;
    const bool hold = import->held != NULL && hy_data_holds(import->documents);
    import->writer = hold ? import->held : import->main;
    hy_status status = HY_OK;
    ssize_t got = 0;
    while (status == HY_OK && (got = read(fd, import->bytes, READ_BLOCK)) > 0) {
        status = add_bytes(import, path, (size_t)got);
    }
    if (got < 0) {
        status = hy_fail(HY_ERR_DATA, "%s: cannot be read: %s", path, strerror(errno));
    }
    close(fd);
    HY_TRY(status);
    if (import->tokens == before) {
        import->empty++;
        return HY_OK;
    }
    import->documents++;
    import->n_held += hold;
    return hy_token_writer_end_document(import->writer);
}

/* A file, or all below a folder in byte order of their names. `named`: the user named it, so a link is followed; below
 * folders links, sockets and devices are skipped. */
static hy_status add_path(text_import *import, const char *path, bool named, int depth) {
    enum { DEPTH_MAX = 64 };
    struct stat info;
    if (store_is_full(import)) {
        return HY_OK;
    }
    if ((named ? stat(path, &info) : lstat(path, &info)) != 0) {
        return hy_fail(HY_ERR_DATA, "%s: %s", path, strerror(errno));
    }
    if (S_ISREG(info.st_mode)) {
        HY_TRY(import->any_file ? HY_OK : check_file_name(path));
        return import_file(import, path);
    }
    if (!S_ISDIR(info.st_mode) || depth == DEPTH_MAX) {
        import->skipped++;
        return HY_OK;
    }
    hy_file_list list;
    HY_TRY(hy_file_list_dir(path, HY_ERR_DATA, &list));
    hy_status status = HY_OK;
    for (int64_t i = 0; i < list.count && status == HY_OK; i++) {
        char below[HY_PATH_MAX];
        if (snprintf(below, sizeof below, "%s/%s", path, list.names[i]) >= HY_PATH_MAX) {
            status = hy_fail(HY_ERR_DATA, "%s/%s: the path is too long", path, list.names[i]);
        } else {
            status = add_path(import, below, false, depth + 1);
        }
    }
    hy_file_list_free(&list);
    return status;
}

static hy_status finish_stores(text_import *import, const char *out) {
    if (import->documents == 0) {
        return hy_fail(HY_ERR_DATA, "%s: no file with anything in it below the paths given", out);
    }
    if (import->held != NULL && import->n_held == 0) {
        return hy_fail(HY_ERR_DATA, "%s: --hold-out needs at least two files with something in them", out);
    }
    HY_TRY(hy_token_writer_finish(import->main));
    return import->held != NULL ? hy_token_writer_finish(import->held) : HY_OK;
}

static hy_status import_text(const hy_args *args, const char *out, const char *hold_out, text_import *import) {
    hy_status status = hy_token_writer_create(out, import->vocab, "bytes", &import->main);
    if (status == HY_OK && hold_out != NULL) {
        status = hy_token_writer_create(hold_out, import->vocab, "bytes", &import->held);
    }
    for (int i = 0; i < args->n && status == HY_OK; i++) {
        status = add_path(import, args->positional[i], true, 0);
    }
    if (status == HY_OK) {
        status = finish_stores(import, out);
    }
    hy_token_writer_destroy(import->main);
    hy_token_writer_destroy(import->held);
    return status;
}

hy_status hy_data_text(int argc, char **argv, hy_comm *world) {
    const char *out = NULL, *hold_out = NULL;
    int64_t vocab = 256, limit = 0;
    bool any_file = false;
    const hy_option options[] = {
        {"--out", HY_OPTION_TEXT, &out, "FILE", "the token store to write"},
        {"--hold-out", HY_OPTION_TEXT, &hold_out, "FILE",
         "every 50th document goes to this second store instead: for validation"},
        {"--vocab", HY_OPTION_COUNT, &vocab, "N", "vocabulary of the store (256): larger leaves room for other ids"},
        {"--limit", HY_OPTION_INT, &limit, "N", "stop after the file that reaches this many tokens"},
        {"--any-file", HY_OPTION_FLAG, &any_file, NULL,
         "also files that by their name hold no text: tables, arrays, archives"},
    };
    const hy_usage usage = {"hylas data text PATHS... --out FILE [options]",
                            "Makes a token store: the tokens are the bytes of the files, every file is one document.\n"
                            "Folders are read in order of names, with all below them; empty files are left out.",
                            options,
                            sizeof options / sizeof options[0],
                            1,
                            -1};
    hy_args args;
    HY_TRY(hy_options_parse(&usage, argc, argv, world, &args));
    if (args.help) {
        return HY_OK;
    }
    if (out == NULL) {
        return hy_comm_agree(world,
                             hy_comm_rank(world) > 0 ? HY_ERR_PEER : hy_fail(HY_ERR_USAGE, "--out FILE is missing"));
    }
    hy_status status = HY_OK;
    if (hy_comm_rank(world) == 0) {
        text_import *import = NULL;
        status = HY_NEW("text import", 1, &import);
        if (status == HY_OK) {
            import->vocab = vocab;
            import->any_file = any_file;
            import->limit = limit;
            status = import_text(&args, out, hold_out, import);
        }
        if (status == HY_OK) {
            printf(
                "%s: %s tokens in %lld documents (%lld empty files left out, %lld links and special files skipped)\n",
                out, hy_text_count((double)import->tokens).s, (long long)import->documents, (long long)import->empty,
                (long long)import->skipped);
            if (hold_out != NULL) {
                printf("%s: %lld of these documents, held out for validation\n", hold_out, (long long)import->n_held);
            }
        }
        hy_free(import);
    }
    return hy_comm_agree(world, status);
}
