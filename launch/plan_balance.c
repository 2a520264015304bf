#include "launch/plan_balance.h"

#include "base/memory.h"
#include "base/table.h"
#include "base/text.h"
#include "train/data/token_store.h"
#include "train/run/layout_balance.h"
#include "train/run/trainer.h"

enum { SAMPLES = 16 };

typedef struct plan_balance {
    hy_sp_method method; /* of the stage */
    int size;            /* ranks of a sequence; 1: nothing is shared out */
    int64_t n_seq, len;
    hy_balance *layouts[HY_LAYOUT_AUTO];
} plan_balance;

/* ---- documents ---- */

/* One micro-step of every layout. */
static hy_status add_micro_step(plan_balance *b, const hy_work_prices *prices, const int64_t *docs, int64_t n_docs) {
    for (int kind = 0; kind < (int)HY_LAYOUT_AUTO; kind++) {
        hy_sp_method method = b->method;
        method.layout = (hy_layout_kind)kind;
        method.cuts.fixed = 0; /* more cuts share out the same tokens, and not every layout has as many */
        HY_TRY(hy_balance_add(b->layouts[kind], prices, &method, b->n_seq, b->len, docs, n_docs));
    }
    return HY_OK;
}

/* One document in each: sequence starts need not be listed. */
static hy_status add_whole_sequences(plan_balance *b, const hy_work_prices *prices) {
    const int64_t docs[2] = {0, b->n_seq * b->len};
    return add_micro_step(b, prices, docs, 1);
}

/* Micro-steps of consecutive tokens, evenly over the store. docs: [n_seq·len + 3]. */
static hy_status add_samples(plan_balance *b, const hy_work_prices *prices, hy_token_store *store, int64_t *docs) {
    const int64_t tokens = b->n_seq * b->len, there = hy_token_store_tokens(store) / tokens;
    if (there == 0) {
        return hy_fail(HY_ERR_DATA, "--documents: the store has %lld tokens, a micro-step %lld",
                       (long long)hy_token_store_tokens(store), (long long)tokens);
    }
    for (int64_t i = 0; i < SAMPLES && i < there; i++) {
        const int64_t begin = (there <= SAMPLES ? i : i * there / SAMPLES) * tokens;
        int64_t n = 0;
        HY_TRY(hy_token_store_boundaries(store, begin + 1, begin + tokens - 1, tokens, docs + 1, &n));
        docs[0] = 0;
        for (int64_t d = 1; d <= n; d++) {
            docs[d] -= begin;
        }
        docs[n + 1] = tokens;
        HY_TRY(add_micro_step(b, prices, docs, n + 1));
    }
    return HY_OK;
}

static hy_status add_documents(plan_balance *b, const hy_work_prices *prices, const char *path) {
    hy_token_store *store = NULL;
    hy_store_summary summary;
    int64_t *docs = NULL;
    HY_TRY(hy_token_store_check(path, 0, &summary));
    HY_TRY(hy_token_store_open(path, &store));
    hy_status status = HY_NEW("documents", b->n_seq * b->len + 3, &docs);
    status = status == HY_OK ? add_samples(b, prices, store, docs) : status;
    hy_free(docs);
    hy_token_store_close(store);
    return status;
}

/* ---- a stage ---- */

static void plan_balance_clear(plan_balance *b) {
    for (int kind = 0; kind < (int)HY_LAYOUT_AUTO; kind++) {
        hy_balance_destroy(b->layouts[kind]);
    }
}

static hy_status fill_balances(plan_balance *b, const hy_config *config, int stage, bool documents) {
    const hy_stage at = hy_stage_get(config, stage);
    hy_work_prices prices;
    HY_TRY(hy_work_prices_find(config, stage, &prices));
    for (int kind = 0; kind < (int)HY_LAYOUT_AUTO; kind++) {
        HY_TRY(hy_balance_create(b->size, &b->layouts[kind]));
    }
    return documents ? add_documents(b, &prices, at.stores->items[0].path) : add_whole_sequences(b, &prices);
}

static hy_status balance_stage(const hy_config *config, int stage, int ranks, bool documents, plan_balance *b) {
    hy_run_shape shape;
    hy_data_split split;
    HY_TRY(hy_trainer_shape(config, stage, ranks, 0, &shape, &split));
    *b = (plan_balance){.method = shape.method, .size = shape.sequence_size, .n_seq = shape.n_seq, .len = shape.len};
    if (b->size == 1) {
        return HY_OK;
    }
    const hy_status status = fill_balances(b, config, stage, documents);
    if (status != HY_OK) {
        plan_balance_clear(b);
    }
    return status;
}

static hy_rank_work mean_of(const hy_balance *balance) {
    hy_rank_work mean = {.all = 0.0};
    const double n = (double)balance->size * (double)balance->steps;
    for (int r = 0; r < balance->size; r++) {
        for (int part = 0; part < HY_WORK_PARTS; part++) {
            mean.part[part] += balance->ranks[r].part[part] / n;
        }
        mean.all += balance->ranks[r].all / n;
    }
    return mean;
}

/* The rank with most work. */
static int fullest_of(const hy_balance *balance) {
    int fullest = 0;
    for (int r = 1; r < balance->size; r++) {
        fullest = balance->ranks[r].all > balance->ranks[fullest].all ? r : fullest;
    }
    return fullest;
}

static void add_layout_row(hy_text_table *table, const plan_balance *b, int kind) {
    const hy_balance *balance = b->layouts[kind];
    const hy_rank_work mean = mean_of(balance);
    const int fullest = fullest_of(balance);
    hy_text_table_cell(table, "%s%s", kind == (int)b->method.layout ? "* " : "  ", hy_layout_names[kind]);
    for (int part = 0; part < HY_WORK_PARTS; part++) {
        hy_text_table_cell(table, "%.1f%%", mean.all > 0.0 ? 100.0 * mean.part[part] / mean.all : 0.0);
    }
    hy_text_table_cell(table, "%sFLOP", hy_text_count(mean.all).s);
    hy_text_table_cell(table, "%sFLOP", hy_text_count(balance->ranks[fullest].all / (double)balance->steps).s);
    hy_text_table_cell(table, "%d", fullest);
    hy_text_table_cell(table, "%.1f%%", 100.0 * hy_balance_imbalance(balance));
}

static hy_status print_layouts(const plan_balance *b, bool documents) {
    hy_text_table *table = NULL;
    const char *titles[5 + HY_WORK_PARTS] = {"  layout"};
    for (int part = 0; part < HY_WORK_PARTS; part++) {
        titles[1 + part] = hy_work_names[part];
    }
    titles[1 + HY_WORK_PARTS] = "mean of ranks";
    titles[2 + HY_WORK_PARTS] = "most";
    titles[3 + HY_WORK_PARTS] = "on rank";
    titles[4 + HY_WORK_PARTS] = "imbalance";
    HY_TRY(hy_text_table_create(5 + HY_WORK_PARTS, titles, &table));
    for (int kind = 0; kind < (int)HY_LAYOUT_AUTO; kind++) {
        add_layout_row(table, b, kind);
    }
    printf("\nbalance     of a micro-step's operations, %s. *: parallel.layout\n",
           documents ? "with the documents of the first store" : "one document in every sequence");
    const hy_status status = hy_text_table_print(table, stdout);
    hy_text_table_destroy(table);
    printf("Imbalance: the slowest rank's time over the mean's, less 1%s. Exchanges and what they add are not in it.\n",
           b->method.cuts.n > 0 ? ", if ranks are as fast as they weigh" : "");
    return status;
}

hy_status hy_plan_balance_print(const hy_config *config, int stage, int ranks, bool documents) {
    plan_balance b;
    HY_TRY(balance_stage(config, stage, ranks, documents, &b));
    const hy_status status = b.size > 1 ? print_layouts(&b, documents) : HY_OK;
    plan_balance_clear(&b);
    return status;
}

/* ---- JSON ---- */

static void write_work(hy_json *json, const hy_rank_work *work, double steps) {
    hy_json_open_object(json, NULL);
    hy_json_double(json, "softmax_pairs", work->part[HY_WORK_PAIRS] / steps);
    hy_json_double(json, "recurrences", work->part[HY_WORK_STATES] / steps);
    hy_json_double(json, "long_convolutions", work->part[HY_WORK_CHANNELS] / steps);
    hy_json_double(json, "others", work->part[HY_WORK_TOKENS] / steps);
    hy_json_close(json);
}

static void write_layout(hy_json *json, int kind, const hy_balance *balance) {
    hy_json_open_object(json, NULL);
    hy_json_string(json, "layout", hy_layout_names[kind]);
    hy_json_int(json, "micro_steps", balance->steps);
    hy_json_double(json, "imbalance", hy_balance_imbalance(balance));
    hy_json_open_array(json, "ranks");
    for (int r = 0; r < balance->size; r++) {
        write_work(json, &balance->ranks[r], (double)balance->steps);
    }
    hy_json_close(json);
    hy_json_close(json);
}

hy_status hy_plan_balance_json(hy_json *json, const hy_config *config, int stage, int ranks, bool documents) {
    plan_balance b;
    HY_TRY(balance_stage(config, stage, ranks, documents, &b));
    hy_json_open_array(json, "balance");
    for (int kind = 0; kind < (int)HY_LAYOUT_AUTO && b.size > 1; kind++) {
        write_layout(json, kind, b.layouts[kind]);
    }
    hy_json_close(json);
    plan_balance_clear(&b);
    return HY_OK;
}
