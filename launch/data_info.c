/* hylas data info: what a store holds. */
#include <stdio.h>
#include <stdlib.h>

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

static hy_status print_info(const char *path) {
    static const double quantiles[] = {0.0, 0.1, 0.5, 0.9, 0.99, 1.0};
    hy_store_summary summary;
    hy_token_store *store = NULL;
    int64_t *lengths = NULL;
    HY_TRY(hy_token_store_check(path, 0, &summary));
    HY_TRY(hy_token_store_open(path, &store));
    const hy_status status = document_lengths(store, &lengths);
    if (status == HY_OK) {
        printf("%s\n  tokens     %lld (%s, uint%d)\n  documents  %lld\n  vocab      %lld\n  tokenizer  %s\n  seal      "
               " %s\n",
               path, (long long)summary.tokens, hy_text_count((double)summary.tokens).s,
               8 * hy_token_store_token_bytes(store), (long long)summary.documents, (long long)summary.vocab,
               hy_token_store_tokenizer(store),
               summary.sealed ? "ok (size and XXH3 as when written)" : "none; read through in a child process: ok");
        if (summary.answers >= 0) {
            printf("  answers    %lld tokens are marked\n", (long long)summary.answers);
        }
        printf("  lengths   ");
        for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++) {
            const int64_t at = (int64_t)(quantiles[i] * (double)(summary.documents - 1) + 0.5);
            printf(" %g%%: %lld%s", 100.0 * quantiles[i], (long long)lengths[at],
                   i + 1 < sizeof quantiles / sizeof quantiles[0] ? "," : "\n");
        }
    }
    hy_free(lengths);
    hy_token_store_close(store);
    return status;
}

hy_status hy_data_info(int argc, char **argv, hy_comm *world) {
    const hy_usage usage = {"hylas data info FILE",
                            "Verifies a token store and prints its counts and the quantiles of its documents' lengths.",
                            NULL,
                            0,
                            1,
                            1};
    hy_args args;
    HY_TRY(hy_options_parse(&usage, argc, argv, world, &args));
    if (args.help) {
        return HY_OK;
    }
    return hy_comm_agree(world, hy_comm_rank(world) == 0 ? print_info(args.positional[0]) : HY_OK);
}
