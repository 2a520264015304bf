/* The token stores of a run, open on every rank, and checked against everything that will be read of them: every stage's
 * sequence length, the model's vocabulary, each other's tokenizer. */
#ifndef HY_TRAIN_RUN_STORES_H
#define HY_TRAIN_RUN_STORES_H

#include "comm/comm.h"
#include "train/data/token_store.h"
#include "train/run/config.h"
#include "train/run/one_tokenizer.h"

typedef struct hy_open_store {
    char name[HY_STORE_NAME_MAX];
    const hy_store_config *config; /* borrowed */
    hy_token_store *store;
} hy_open_store;

typedef struct hy_run_stores {
    int n_train, n_eval;
    hy_open_store train[HY_RECORDS_MAX]; /* of all stages, each once */
    hy_open_store eval[HY_STORES_MAX];
} hy_run_stores;

/* train false: those for validation alone. Rank 0 reads the files through (token_store.h). What was opened before a
 * failure is in *out. `tokenizer` is what they must have, unless data.tokenizer says that their ids mean the same. Collective. */
HY_MUST_CHECK hy_status hy_run_stores_open(const hy_config *config, bool train, hy_comm *world,
                                           hy_one_tokenizer *tokenizer, hy_run_stores *out);
/* The same stores without files (hy_token_store_blank), long enough for every step and validation. Local. */
HY_MUST_CHECK hy_status hy_run_stores_blank(const hy_config *config, hy_run_stores *out);
void hy_run_stores_close(hy_run_stores *stores);

/* Index of the training store called so; −1 if there is none. */
int hy_run_stores_find(const hy_run_stores *stores, const char *name);

#endif
