/* hylas data info: what a store holds. */
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/memory.h"
#include "base/text.h"
#include "launch/data_actions.h"
#include "launch/options.h"
#include "train/data/token_store.h"

static int compare_int64(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Document lengths, sorted: caller frees. */
static hy_status document_lengths(hy_token_store *store, int64_t **lengths) {
    const int64_t n = hy_token_store_documents(store);
    int64_t *offsets = NULL;
    HY_TRY(HY_NEW("document lengths", n + 1, &offsets));
    const hy_status status = hy_token_store_offsets(store, 0, n + 1, offsets);
    if (status != HY_OK) {
        hy_free(offsets);
        return status;
    }
    for (int64_t i = 0; i < n; i++) {
        offsets[i] = offsets[i + 1] - offsets[i];
    }
    qsort(offsets, (size_t)n, sizeof *offsets, compare_int64);
    *lengths = offsets;
    return HY_OK;
}

static const double quantiles[] = {0.0, 0.1, 0.5, 0.9, 0.99, 1.0};
enum { N_QUANTILES = sizeof quantiles / sizeof quantiles[0] };

/* `lengths`: of the documents, sorted. */
static int64_t quantile(const int64_t *lengths, int64_t documents, int which) {
    return lengths[(int64_t)(quantiles[which] * (double)(documents - 1) + 0.5)];
}

static hy_status write_info(const char *path, const hy_store_summary *summary, hy_token_store *store,
                            const int64_t *lengths) {
    hy_json json;
    hy_json_begin(&json, stdout);
    hy_json_open_object(&json, NULL);
    hy_json_string(&json, "store", path);
    hy_json_int(&json, "tokens", summary->tokens);
    hy_json_int(&json, "token_bytes", hy_token_store_token_bytes(store));
    hy_json_int(&json, "documents", summary->documents);
    hy_json_int(&json, "vocab", summary->vocab);
    hy_json_string(&json, "tokenizer", hy_token_store_tokenizer(store));
    hy_json_bool(&json, "sealed", summary->sealed);
    if (summary->answers >= 0) {
        hy_json_int(&json, "answers", summary->answers);
    } else {
        hy_json_null(&json, "answers");
    }
    hy_json_open_array(&json, "length_quantiles");
    for (int i = 0; i < N_QUANTILES; i++) {
        hy_json_open_object(&json, NULL);
        hy_json_double(&json, "quantile", quantiles[i]);
        hy_json_int(&json, "tokens", quantile(lengths, summary->documents, i));
        hy_json_close(&json);
    }
    hy_json_close(&json);
    hy_json_close(&json);
    return hy_json_end(&json, HY_ERR_FAILED);
}

static hy_status print_info(const char *path, const hy_store_summary *summary, hy_token_store *store,
                            const int64_t *lengths) {
    printf("%s\n  tokens     %lld (%s, uint%d)\n  documents  %lld\n  vocab      %lld\n  tokenizer  %s\n  seal      "
           " %s\n",
           path, (long long)summary->tokens, hy_text_count((double)summary->tokens).s,
           8 * hy_token_store_token_bytes(store), (long long)summary->documents, (long long)summary->vocab,
           hy_token_store_tokenizer(store),
           summary->sealed ? "ok (size and XXH3 as when written)" : "none; read through in a child process: ok");
    if (summary->answers >= 0) {
        printf("  answers    %lld tokens are marked\n", (long long)summary->answers);
    }
    printf("  lengths   ");
    for (int i = 0; i < N_QUANTILES; i++) {
        printf(" %g%%: %lld%s", 100.0 * quantiles[i], (long long)quantile(lengths, summary->documents, i),
               i + 1 < N_QUANTILES ? "," : "\n");
    }
    return HY_OK;
}

static hy_status tell_store(const char *path, bool json) {
    hy_store_summary summary;
    hy_token_store *store = NULL;
    int64_t *lengths = NULL;
    HY_TRY(hy_token_store_check(path, 0, &summary));
    HY_TRY(hy_token_store_open(path, &store));
    hy_status status = document_lengths(store, &lengths);
    if (status == HY_OK) {
        status = (json ? write_info : print_info)(path, &summary, store, lengths);
    }
    hy_free(lengths);
    hy_token_store_close(store);
    return status;
}

hy_status hy_data_info(int argc, char **argv, hy_comm *world) {
    bool json = false;
    const hy_option options[] = {
        {"--json", HY_OPTION_FLAG, &json, NULL, "one JSON document instead of text (docs/json.md)"},
    };
    const hy_usage usage = {"hylas data info FILE [options]",
                            "Verifies a token store and prints its counts and the quantiles of its documents' lengths.",
                            options,
                            1,
                            1,
                            1};
    hy_args args;
    HY_TRY(hy_options_parse(&usage, argc, argv, world, &args));
    if (args.help) {
        return HY_OK;
    }
    return hy_comm_agree(world, hy_comm_rank(world) == 0 ? tell_store(args.positional[0], json) : HY_OK);
}
