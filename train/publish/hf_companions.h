/* What stands beside the weights of a published model and is not read here: tokenizer and generation settings. Import keeps copies of them,
 * export puts them back. */
#ifndef HY_TRAIN_HF_COMPANIONS_H
#define HY_TRAIN_HF_COMPANIONS_H

#include <stdint.h>

#include "base/status.h"

/* Copies those that `from` holds into `to`, which is created if there are any; links are followed. *n: how many. HY_ERR_DATA. Local. */
HY_MUST_CHECK hy_status hy_hf_companions_copy(const char *from, const char *to, int64_t *n);

#endif
