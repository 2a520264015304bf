#include "train/run/one_tokenizer.h"

#include <stdio.h>
#include <string.h>

hy_status hy_one_tokenizer_add(hy_one_tokenizer *one, const hy_comm *world, const char *name, const char *whose) {
    if (name[0] == '\0' || strncmp(one->name, name, sizeof one->name - 1) == 0) {
        return HY_OK;
    }
    if (one->name[0] == '\0') {
        (void)snprintf(one->name, sizeof one->name, "%s", name);
        (void)snprintf(one->whose, sizeof one->whose, "%s", whose);
        return HY_OK;
    }
    return hy_comm_rank(world) > 0
               ? HY_ERR_PEER
               : hy_fail(HY_ERR_DATA,
                         "tokenizers differ: %s has '%s', %s has '%s'; make the store with the same one, or, where "
                         "their ids mean the same, say so: --set data.tokenizer='%s'",
                         one->whose, one->name, whose, name, name);
}
