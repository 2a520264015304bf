#include "train/run/layout_balance.h"

#include <string.h>

#include "base/memory.h"
#include "sp/layout.h"
#include "train/run/dry_run.h"
#include "train/run/machine.h"
#include "train/run/method_choice.h"
#include "train/run/trainer.h"

enum { PRICED_TOKENS = 1 << 14 };

const char *const hy_work_names[] = {[HY_WORK_PAIRS] = "softmax pairs",
                                     [HY_WORK_STATES] = "recurrences",
                                     [HY_WORK_CHANNELS] = "long convolutions",
                                     [HY_WORK_TOKENS] = "products and others",
                                     NULL};

hy_work_part hy_work_part_of(hy_op_id op) {
    switch (op) {
    case HY_OP_modal_filter_fwd:
    case HY_OP_modal_filter_bwd:
    case HY_OP_long_conv_fwd:
    case HY_OP_long_conv_bwd:
        return HY_WORK_CHANNELS;
    default:
        return hy_machine_rate(op) == HY_RATE_ATTENTION     ? HY_WORK_PAIRS
               : hy_machine_rate(op) == HY_RATE_RECURRENCES ? HY_WORK_STATES
                                                            : HY_WORK_TOKENS;
    }
}

/* Pairs of a document's first n tokens. */
static double pairs_of_first(int64_t n, int64_t window) {
    const double w = (double)(window > 0 && window < n ? window : n);
    return w * (w + 1) / 2 + ((double)n - w) * w;
}

/* ---- prices ---- */

/* FLOPs of softmax attention by layer, [n_layers]; of the other parts all together. What lies behind the mark, in places of the model. */
static void sum_schedule(const hy_schedule *schedule, double *attention, double *parts) {
    int place = HY_PLACE_REST;
    bool counts = false;
    for (int64_t i = 0; i < schedule->n; i++) {
        const hy_event *e = &schedule->events[i];
        const hy_work_part part = e->kind == HY_EVENT_COMPUTE ? hy_work_part_of((hy_op_id)e->a) : HY_WORK_PARTS;
        place = e->kind == HY_EVENT_PLACE ? e->a : place;
        counts = counts || e->kind == HY_EVENT_MARK;
        if (!counts || place == HY_PLACE_REST || part == HY_WORK_PARTS) {
            continue;
        }
        if (part == HY_WORK_PAIRS) {
            attention[(place - HY_PLACE_BLOCKS) / 2 - 1] += e->flops;
        } else {
            parts[part] += e->flops;
        }
    }
}

static void add_price(hy_work_prices *prices, int64_t window, double pair) {
    int i = 0;
    while (i < prices->n_windows && prices->softmax[i].window != window) {
        i++;
    }
    if (i == prices->n_windows) {
        prices->softmax[prices->n_windows++].window = window;
    }
    prices->softmax[i].pair += pair;
}

static hy_status find_prices(const hy_config *alone, double *attention, hy_schedule *schedule, hy_work_prices *out) {
    hy_run_shape shape;
    hy_data_split split;
    hy_model *model = NULL;
    double parts[HY_WORK_PARTS] = {0};
    HY_TRY(hy_trainer_shape(alone, 0, 1, 0, &shape, &split));
    HY_TRY(hy_dry_run_schedule(alone, 0, 1, 0, true, schedule, NULL));
    HY_TRY(hy_model_create(&alone->model, 1, &model));
    sum_schedule(schedule, attention, parts);
    for (int64_t layer = 0; layer < alone->model.layers; layer++) {
        hy_layer_info info;
        hy_model_layer_info(model, &shape, layer, &info);
        if (info.window >= 0) {
            add_price(out, info.window, attention[layer] / pairs_of_first(shape.len, info.window));
        }
    }
    for (int part = 0; part < HY_WORK_PARTS; part++) {
        out->token[part] = parts[part] / (double)shape.len;
    }
    hy_model_destroy(model);
    return HY_OK;
}

hy_status hy_work_prices_find(const hy_config *config, int stage, hy_work_prices *out) {
    hy_config *alone = NULL;
    double *attention = NULL;
    hy_schedule schedule = {.waited = -1};
    const int64_t len = hy_stage_get(config, stage).sequence;
    memset(out, 0, sizeof *out);
    HY_TRY(HY_NEW("configuration", 1, &alone));
    memcpy(alone, config, sizeof *alone);
    alone->parallel.method = hy_method_first(&config->parallel.method);
    alone->parallel.method.cuts = (hy_cuts){.n = 0}; /* one rank that cuts nothing */
    alone->parallel.data = alone->parallel.sequence = 1;
    alone->train.n_stages = 0;
    alone->train.accumulate = alone->data.batch = 1;
    alone->train.offload = HY_OFFLOAD_NONE;
    alone->train.carry_state = false;
    alone->data.eval_store.n = 0;
    alone->data.sequence = len < PRICED_TOKENS ? len : PRICED_TOKENS;
    hy_status status = HY_NEW("work of layers", config->model.layers, &attention);
    status = status == HY_OK ? find_prices(alone, attention, &schedule, out) : status;
    hy_schedule_clear(&schedule);
    hy_free(attention);
    hy_free(alone);
    return status;
}

/* ---- a micro-step ---- */

/* FLOPs of pairs whose query lies in a fragment; *doc: the document of its first token or one before it, moved on. */
static double pairs_of_fragment(const hy_layout *layout, const hy_work_prices *prices, const hy_fragment *f,
                                int64_t *doc) {
    const int64_t end = f->begin + f->len;
    double flops = 0.0;
    for (int64_t p = f->begin; p < end;) {
        while (layout->docs[*doc + 1] <= p) {
            (*doc)++;
        }
        const int64_t start = layout->docs[*doc], stop = layout->docs[*doc + 1] < end ? layout->docs[*doc + 1] : end;
        for (int i = 0; i < prices->n_windows; i++) {
            const int64_t window = prices->softmax[i].window;
            flops +=
                prices->softmax[i].pair * (pairs_of_first(stop - start, window) - pairs_of_first(p - start, window));
        }
        p = stop;
    }
    return flops;
}

/* `members` consecutive ranks do a part together. */
static void share_evenly(hy_rank_work *ranks, int size, int members, hy_work_part part) {
    for (int first = 0; first < size && members > 1; first += members) {
        double sum = 0.0;
        for (int r = first; r < first + members; r++) {
            sum += ranks[r].part[part];
        }
        for (int r = first; r < first + members; r++) {
            ranks[r].part[part] = sum / members;
        }
    }
}

static void work_of_ranks(const hy_layout *layout, const hy_work_prices *prices, const hy_sp_method *method,
                          hy_rank_work *ranks) {
    const int size = layout->size;
    int64_t doc = 0;
    for (int64_t i = 0; i < layout->n_frags; i++) {
        const hy_fragment *f = &layout->frags[i];
        hy_rank_work *work = &ranks[f->owner];
        work->part[HY_WORK_PAIRS] += pairs_of_fragment(layout, prices, f, &doc);
        for (int part = HY_WORK_PAIRS + 1; part < HY_WORK_PARTS; part++) {
            work->part[part] += prices->token[part] * (double)f->len;
        }
    }
    share_evenly(ranks, size, size, HY_WORK_CHANNELS);
    share_evenly(ranks, size, method->state == HY_STATE_HEADS ? size : 1, HY_WORK_STATES);
    share_evenly(ranks, size,
                 method->attention == HY_ATTENTION_HEADS ? size
                 : method->attention == HY_ATTENTION_2D  ? hy_sp_group_ranks(method, size)
                                                         : 1,
                 HY_WORK_PAIRS);
}

static double sum_parts(const hy_rank_work *work) {
    double sum = 0.0;
    for (int part = 0; part < HY_WORK_PARTS; part++) {
        sum += work->part[part];
    }
    return sum;
}

/* Of a rank, on average 1. */
static double relative_weight(const hy_cuts *weights, int rank, int size) {
    double sum = 0.0;
    for (int64_t i = 0; i < weights->n; i++) {
        sum += (double)weights->each[i];
    }
    return weights->n == 0 || size == 1 ? 1.0
                                        : (double)weights->each[rank * weights->n / size] * (double)weights->n / sum;
}

static void add_step(hy_balance *balance, const hy_sp_method *method, hy_rank_work *step) {
    double slowest = 0.0;
    for (int r = 0; r < balance->size; r++) {
        step[r].all = sum_parts(&step[r]);
        const double time = step[r].all / relative_weight(&method->cuts, r, balance->size);
        slowest = time > slowest ? time : slowest;
        for (int part = 0; part < HY_WORK_PARTS; part++) {
            balance->ranks[r].part[part] += step[r].part[part];
        }
        balance->ranks[r].all += step[r].all;
    }
    balance->slowest += slowest;
    balance->steps++;
}

hy_status hy_balance_add(hy_balance *balance, const hy_work_prices *prices, const hy_sp_method *method, int64_t n_seq,
                         int64_t len, const int64_t *docs, int64_t n_docs) {
    hy_layout *layout = NULL;
    hy_rank_work *step = NULL;
    HY_TRY(hy_layout_create_cut(method->layout, &method->cuts, balance->size, 0, n_seq, len, &layout));
    hy_status status = HY_NEW("work of ranks", balance->size, &step);
    status = status == HY_OK ? hy_layout_set_documents(layout, docs, n_docs) : status;
    if (status == HY_OK) {
        work_of_ranks(layout, prices, method, step);
        add_step(balance, method, step);
    }
    hy_free(step);
    hy_layout_destroy(layout);
    return status;
}

hy_status hy_balance_create(int size, hy_balance **out) {
    hy_balance *balance = NULL;
    HY_TRY(HY_NEW("balance", 1, &balance));
    balance->size = size;
    const hy_status status = HY_NEW("work of ranks", size, &balance->ranks);
    if (status != HY_OK) {
        hy_balance_destroy(balance);
        return status;
    }
    *out = balance;
    return HY_OK;
}

void hy_balance_destroy(hy_balance *balance) {
    if (balance != NULL) {
        hy_free(balance->ranks);
        hy_free(balance);
    }
}

double hy_balance_imbalance(const hy_balance *balance) {
    double sum = 0.0;
    for (int r = 0; r < balance->size; r++) {
        sum += balance->ranks[r].all;
    }
    return sum > 0.0 ? balance->slowest * balance->size / sum - 1.0 : 0.0;
}
