#include "train/run/run_stores.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "train/run/stage.h"

int hy_run_stores_find(const hy_run_stores *stores, const char *name) {
    for (int i = 0; i < stores->n_train; i++) {
        if (strcmp(stores->train[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

void hy_run_stores_close(hy_run_stores *stores) {
    for (int i = 0; i < stores->n_train; i++) {
        hy_token_store_close(stores->train[i].store);
    }
    for (int i = 0; i < stores->n_eval; i++) {
        hy_token_store_close(stores->eval[i].store);
    }
    stores->n_train = stores->n_eval = 0;
}

static bool reads(const hy_stage *stage, const hy_open_store *open) {
    for (int64_t i = 0; i < stage->stores->n; i++) {
        char name[HY_STORE_NAME_MAX];
        hy_store_name(&stage->stores->items[i], name);
        if (strcmp(name, open->name) == 0) {
            return true;
        }
    }
    return false;
}

/* A whole sequence of every stage that reads the store fits into it. */
static hy_status check_length(const hy_config *config, bool train, const hy_open_store *open) {
    for (int i = 0; i < hy_stage_count(config); i++) {
        const hy_stage stage = hy_stage_get(config, i);
        const int64_t places = train && config->train.carry_state ? stage.batch : 1;
        if (stage.sequence > hy_token_store_tokens(open->store) / places && (!train || reads(&stage, open))) {
            char key[64];
            hy_stage_key(config, i, "sequence", key, sizeof key);
            return hy_fail(HY_ERR_DATA,
                           "%s %lld: the token store %s holds %lld tokens, less than one sequence%s; add text or "
                           "shorten it",
                           key, (long long)stage.sequence, open->config->path,
                           (long long)hy_token_store_tokens(open->store),
                           places > 1 ? " for each of data.batch (train.carry_state)" : "");
        }
    }
    return HY_OK;
}

/* `first`: the run's first store, which the others must agree with. */
static hy_status check_vocabulary(const hy_config *config, const hy_open_store *open, const hy_open_store *first) {
    const hy_token_store *one = first->store, *two = open->store;
    if (hy_token_store_vocab(two) > config->model.vocab) {
        return hy_fail(HY_ERR_DATA, "%s: its vocabulary of %lld does not fit model.vocab %lld", open->config->path,
                       (long long)hy_token_store_vocab(two), (long long)config->model.vocab);
    }
    if (config->data.tokenizer[0] == '\0' && hy_token_store_vocab(one) != hy_token_store_vocab(two)) {
        return hy_fail(HY_ERR_DATA,
                       "the stores of a run must have one vocabulary, or data.tokenizer say that their ids mean the "
                       "same: %s has %lld ids, %s has %lld",
                       first->config->path, (long long)hy_token_store_vocab(one), open->config->path,
                       (long long)hy_token_store_vocab(two));
    }
    return HY_OK;
}

static hy_status check_stores(const hy_config *config, bool train, const hy_open_store *open,
                              const hy_open_store *first) {
    HY_TRY(check_length(config, train, open));
    HY_TRY(check_vocabulary(config, open, first));
    if (train && config->data.loss == HY_LOSS_ANSWERS && !hy_token_store_has_answers(open->store)) {
        return hy_fail(HY_ERR_DATA,
                       "data.loss answers: the token store %s marks no answers; train on all targets, or make a store "
                       "that does: hylas data recall",
                       open->config->path);
    }
    return HY_OK;
}

/* What the run will see of it, said once. */
static void describe(const hy_config *config, const hy_store_config *store, const hy_store_summary *summary,
                     int64_t sequence) {
    hy_info("%s: %lld tokens in %lld documents, %lld sequences of %lld", store->path, (long long)summary->tokens,
            (long long)summary->documents, (long long)(summary->tokens / sequence), (long long)sequence);
    if (summary->longer > 0) {
        hy_info("%s: %lld documents are longer than %s (the longest: %lld tokens): %s at sequence edges", store->path,
                (long long)summary->longer, config->train.n_stages > 0 ? "any stage's sequence" : "data.sequence",
                (long long)summary->longest, config->train.carry_state ? "carried on" : "cut");
    }
}

static int64_t longest_sequence(const hy_config *config) {
    int64_t longest = 1;
    for (int i = 0; i < hy_stage_count(config); i++) {
        const hy_stage stage = hy_stage_get(config, i);
        longest = stage.sequence > longest ? stage.sequence : longest;
    }
    return longest;
}

/* Where a store goes, with its name; NULL if an earlier stage reads it too. */
static hy_status add_place(hy_run_stores *out, const hy_store_config *store, bool train, hy_open_store **place) {
    char name[HY_STORE_NAME_MAX];
    hy_store_name(store, name);
    *place = NULL;
    if (train && hy_run_stores_find(out, name) >= 0) {
        return HY_OK;
    }
    if (train && out->n_train == HY_RECORDS_MAX) {
        return hy_fail(HY_ERR_USAGE, "train.stages read more than %d stores", HY_RECORDS_MAX);
    }
    *place = train ? &out->train[out->n_train++] : &out->eval[out->n_eval++];
    (void)snprintf((*place)->name, sizeof(*place)->name, "%s", name);
    (*place)->config = store;
    return HY_OK;
}

/* Rank 0 reads the store through; every rank then opens it. What is wrong is said by rank 0. */
static hy_status open_store(const hy_config *config, bool train, hy_comm *world, const hy_open_store *first,
                            hy_one_tokenizer *tokenizer, hy_open_store *out) {
    const bool first_rank = hy_comm_rank(world) == 0;
    const int64_t sequence = longest_sequence(config);
    const hy_store_config *store = out->config;
    hy_store_summary summary;
    HY_TRY(hy_comm_agree(world, first_rank ? hy_token_store_check(store->path, sequence, &summary) : HY_OK));
    if (first_rank) {
        describe(config, store, &summary, sequence);
    }
    HY_TRY(hy_comm_agree(world, hy_token_store_open(store->path, &out->store)));
    if (config->data.tokenizer[0] == '\0') { /* else all are of that one, whatever they say */
        HY_TRY(hy_one_tokenizer_add(tokenizer, world, hy_token_store_tokenizer(out->store), store->path));
    }
    HY_TRY(hy_comm_agree(world, first_rank ? check_stores(config, train, out, first) : HY_OK));
    const bool carried = first_rank && train && config->train.carry_state;
    return hy_comm_agree(world, carried ? hy_model_config_check_reach(&config->model, summary.longest + 1,
                                                                      "documents that go on (train.carry_state)")
                                        : HY_OK);
}

static hy_status open_list(const hy_config *config, const hy_store_list *list, bool train, hy_comm *world,
                           hy_one_tokenizer *tokenizer, hy_run_stores *out) {
    for (int64_t i = 0; i < list->n; i++) {
        hy_open_store *open = NULL;
        HY_TRY(add_place(out, &list->items[i], train, &open));
        if (open == NULL) {
            continue;
        }
        const hy_open_store *first = out->n_train > 0 ? &out->train[0] : &out->eval[0];
        HY_TRY(open_store(config, train, world, first, tokenizer, open));
    }
    return HY_OK;
}

hy_status hy_run_stores_open(const hy_config *config, bool train, hy_comm *world, hy_one_tokenizer *tokenizer,
                             hy_run_stores *out) {
    for (int i = 0; train && i < hy_stage_count(config); i++) {
        const hy_stage stage = hy_stage_get(config, i);
        HY_TRY(open_list(config, stage.stores, true, world, tokenizer, out));
    }
    return open_list(config, &config->data.eval_store, false, world, tokenizer, out);
}

/* ---- without files ---- */

static hy_status blank_list(const hy_config *config, const hy_store_list *list, int64_t tokens, bool train,
                            hy_run_stores *out) {
    for (int64_t i = 0; i < list->n; i++) {
        hy_open_store *open = NULL;
        HY_TRY(add_place(out, &list->items[i], train, &open));
        if (open == NULL) {
            continue;
        }
        HY_TRY(hy_token_store_blank(tokens, config->model.vocab, &open->store));
    }
    return HY_OK;
}

hy_status hy_run_stores_blank(const hy_config *config, hy_run_stores *out) {
    int64_t sequences = config->train.eval.sequences;
    for (int i = 0; i < hy_stage_count(config); i++) {
        const hy_stage stage = hy_stage_get(config, i);
        sequences = stage.batch > sequences ? stage.batch : sequences;
    }
    const int64_t tokens = (sequences + 1) * longest_sequence(config);
    for (int i = 0; i < hy_stage_count(config); i++) {
        const hy_stage stage = hy_stage_get(config, i);
        HY_TRY(blank_list(config, stage.stores, tokens, true, out));
    }
    return blank_list(config, &config->data.eval_store, tokens, false, out);
}
