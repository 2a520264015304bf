/* All that a run reads has one tokenizer: its stores, and the checkpoint that it goes on or starts from, or that eval looks at. */
#ifndef HY_TRAIN_ONE_TOKENIZER_H
#define HY_TRAIN_ONE_TOKENIZER_H

#include "comm/comm.h"
#include "train/data/token_store.h"

/* What was found so far, and whose it is, for messages. All zero: nothing yet. */
typedef struct hy_one_tokenizer {
    char name[HY_TOKENIZER_MAX], whose[576];
} hy_one_tokenizer;

/* Adds what `whose` has; name "": not known, which fits any. HY_ERR_DATA where it is another than before, which rank 0 says. All ranks give
 * the same and get the same. */
HY_MUST_CHECK hy_status hy_one_tokenizer_add(hy_one_tokenizer *one, const hy_comm *world, const char *name,
                                             const char *whose);

#endif
