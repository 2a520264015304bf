/* `hylas bench sp CONFIG`: a layer of every mixer of CONFIG with every layout and exchange, on some numbers of ranks: time forward, and forward and
 * backward, what was exchanged and held, and what of it is not as on one rank.
 *
 * Times are the least of the rounds, each as long as its slowest rank takes. Bytes, messages and waiting are those of one step, forward and
 * backward: of the rank that sends most, of the one that waits longest. Wrong are the loss and the elements of gradients further from those of
 * one rank than the precision's bound, relative to the root mean square of their parameter. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/count.h"
#include "base/json.h"
#include "base/memory.h"
#include "base/table.h"
#include "base/text.h"
#include "launch/bench/bench.h"
#include "launch/config_option.h"
#include "launch/verify.h"
#include "train/run/method_choice.h"

enum { RANKS_MAX = 32, MASTER_SEED = 1, DATA_SEED = 2 };

typedef struct sp_row {
    double forward, step, waited; /* seconds */
    double sent, messages, held;  /* bytes, of held: from forward to backward */
    int64_t wrong;                /* -1: not checked */
} sp_row;

typedef struct sp_bench {
    hy_comm *world;
    hy_config *config;               /* with a model of one layer */
    int64_t per_rank, rounds, check; /* tokens of a rank; rounds; tokens up to which one rank computes it too */
    int64_t ranks[RANKS_MAX];
    int n_ranks;
    const char *only;
    bool broken; /* exchanges are damaged: #wrong must say so */
    hy_text_table *table;
    hy_json *json;
    int64_t wrong;
} sp_bench;

static double of_all(hy_comm *comm, double value) {
    hy_req req = {0};
    hy_comm_all_reduce(comm, "bench", &value, 1, HY_TYPE_F64, HY_MAX, &req);
    hy_comm_wait(&req);
    return value;
}

/* ---- a run ---- */

static double time_pass(hy_verify_run *r, bool backward) {
    hy_comm_barrier(r->ranks);
    const double begun = hy_now();
    hy_verify_pass(r, backward);
    return of_all(r->ranks, hy_now() - begun);
}

static void count_exchanges(const hy_verify_run *r, sp_row *row) {
    const hy_exchange_record *records = NULL;
    const int n = hy_exchange_records(&records);
    double sent = 0, messages = 0;
    const double waited = hy_exchange_exposed();
    for (int i = 0; i < n; i++) {
        const bool own = strcmp(records[i].name, "bench") == 0 || strcmp(records[i].name, "agree") == 0;
        sent += own || records[i].kind == HY_X_RECV ? 0.0 : (double)records[i].bytes;
        messages += own || records[i].kind == HY_X_RECV ? 0.0 : (double)records[i].count;
    }
    row->sent = of_all(r->ranks, sent);
    row->messages = of_all(r->ranks, messages);
    row->waited = of_all(r->ranks, waited);
    row->held = of_all(r->ranks, (double)hy_runner_bytes(r->runner).held);
}

/* Memory is touched. */
static void time_run(const sp_bench *b, hy_verify_run *r, sp_row *row) {
    hy_exchange_reset();
    (void)time_pass(r, true);
    count_exchanges(r, row);
    row->forward = row->step = (double)INFINITY;
    for (int64_t i = 0; i < b->rounds; i++) {
        row->forward = fmin(row->forward, time_pass(r, false));
        row->step = fmin(row->step, time_pass(r, true));
    }
}

/* ---- what is wrong ---- */

typedef struct sp_gradients {
    double loss;
    void *flat; /* on rank 0 of the world what one rank gives; summed over the ranks what they give */
} sp_gradients;

static double element(const void *x, int64_t i, hy_dtype dtype) {
    return dtype == HY_F64 ? ((const double *)x)[i] : (double)((const float *)x)[i];
}

static int64_t count_wrong(const hy_model *model, const sp_gradients *got, const sp_gradients *want, hy_dtype dtype) {
    const double bound = dtype == HY_BF16 ? 0.5 : 2e-3; /* of a single element, in root mean squares of its parameter */
    int64_t n_params, wrong = !(fabs(got->loss - want->loss) <= bound * fabs(want->loss));
    const hy_param *params = hy_model_params(model, &n_params);
    const hy_dtype type = dtype == HY_F64 ? HY_F64 : HY_F32;
    const double floor = 1e-6 * hy_verify_rms(want->flat, hy_model_flat_size(model), type);
    for (int64_t p = 0; p < n_params; p++) {
        const size_t at = (size_t)params[p].offset * hy_dtype_size(type);
        const double rms = fmax(hy_verify_rms((const char *)want->flat + at, params[p].size, type), floor);
        for (int64_t i = params[p].offset; i < params[p].offset + params[p].size; i++) {
            wrong += !(fabs(element(got->flat, i, type) - element(want->flat, i, type)) <= bound * rms);
        }
    }
    return wrong;
}

/* ---- rows ---- */

static const char *mixer_name(const sp_bench *b) {
    return b->config->model.mixers[b->config->model.layer_mixer[0]].name;
}

static void show_sp_row(sp_bench *b, int size, const hy_sp_method *m, const char *exchange, const sp_row *row) {
    if (b->json != NULL) {
        hy_json_open_object(b->json, NULL);
        hy_json_string(b->json, "mixer", mixer_name(b));
        hy_json_string(b->json, "layout", hy_layout_names[m->layout]);
        hy_json_string(b->json, "exchange", exchange);
        hy_json_int(b->json, "ranks", size);
        hy_json_int(b->json, "tokens_per_rank", b->per_rank);
        hy_json_double(b->json, "forward_seconds", row->forward);
        hy_json_double(b->json, "step_seconds", row->step);
        hy_json_double(b->json, "sent_bytes", row->sent);
        hy_json_double(b->json, "messages", row->messages);
        hy_json_double(b->json, "held_bytes", row->held);
        hy_json_double(b->json, "exposed_seconds", row->waited);
        hy_json_int(b->json, "wrong", row->wrong);
        hy_json_close(b->json);
        return;
    }
    hy_text_table_cell(b->table, "%s", mixer_name(b));
    hy_text_table_cell(b->table, "%s", hy_layout_names[m->layout]);
    hy_text_table_cell(b->table, "%s", exchange);
    hy_text_table_cell(b->table, "%d", size);
    hy_text_table_cell(b->table, "%s", hy_text_duration(row->forward).s);
    hy_text_table_cell(b->table, "%s", hy_text_duration(row->step).s);
    hy_text_table_cell(b->table, "%s", hy_text_bytes(row->sent).s);
    hy_text_table_cell(b->table, "%.0f", row->messages);
    hy_text_table_cell(b->table, "%s", hy_text_bytes(row->held).s);
    hy_text_table_cell(b->table, "%s", hy_text_duration(row->waited).s);
    hy_text_table_cell(b->table, row->wrong < 0 ? "-" : "%lld", (long long)row->wrong);
}

static hy_verify_method method_of_bench(const sp_bench *b, const hy_sp_method *method) {
    return (hy_verify_method){.sp = *method,
                              .recompute = b->config->train.recompute,
                              .dtype = hy_config_precision(b->config),
                              .table = b->config->run.device,
                              .transport = b->config->parallel.transport};
}

/* One method on the ranks of `ranks`; want NULL: not checked. Collective over them. */
static hy_status bench_method(sp_bench *b, hy_comm *ranks, hy_model *model, const hy_verify_data *data,
                              const hy_sp_method *method, const char *exchange, const void *masters,
                              const sp_gradients *want, void *flat) {
    hy_verify_run run;
    hy_verify_method how = method_of_bench(b, method);
    sp_row row = {.wrong = -1};
    how.broken = b->broken;
    HY_TRY(hy_verify_begin(model, data, &how, ranks, masters, &run));
    hy_verify_pass(&run, true);
    if (want != NULL) {
        sp_gradients got = {.flat = flat};
        hy_verify_read(&run, &got.loss, flat);
        row.wrong = count_wrong(model, &got, want, how.dtype);
        b->wrong += row.wrong;
    }
    time_run(b, &run, &row);
    hy_verify_end(&run);
    if (hy_comm_rank(b->world) == 0) {
        show_sp_row(b, hy_comm_size(ranks), method, exchange, &row);
    }
    return HY_OK;
}

/* What the layer exchanges: states, keys and values, or something that has one way only. */
static hy_status bench_methods(sp_bench *b, hy_comm *ranks, hy_model *model, const hy_verify_data *data,
                               const void *masters, const sp_gradients *want, void *flat) {
    hy_sp_method m = b->config->parallel.method;
    hy_layer_info info;
    hy_run_shape shape = {.method = m, .sequence_size = 2, .n_seq = 1, .len = data->tokens};
    hy_model_layer_info(model, &shape, 0, &info);
    const bool states = info.method != NULL && strcmp(info.method, hy_sp_state_title(&m)) == 0;
    const bool keys = info.method != NULL && (strcmp(info.method, hy_sp_attn_title(&m, false)) == 0 ||
                                              strcmp(info.method, hy_sp_attn_title(&m, true)) == 0);
    const char *const *names = states ? hy_state_exchange_names : hy_attention_method_names;
    for (int way = 0; states || keys ? names[way] != NULL : way < 1; way++) {
        const char *exchange = states || keys ? names[way] : info.method != NULL ? info.method : "none";
        m.state = states ? (hy_state_exchange)way : m.state;
        m.attention = keys ? (hy_attention_method)way : m.attention;
        for (int layout = 0; hy_layout_names[layout] != NULL; layout++) {
            m.layout = (hy_layout_kind)layout;
            HY_TRY(bench_method(b, ranks, model, data, &m, exchange, masters, want, flat));
        }
    }
    return HY_OK;
}

typedef struct sp_arrays {
    hy_model *model;
    hy_verify_data data;
    void *masters, *want, *got;
} sp_arrays;

static hy_status prepare_arrays(const sp_bench *b, int64_t tokens, sp_arrays *a) {
    const hy_dtype dtype = hy_config_precision(b->config);
    HY_TRY(hy_model_create(&b->config->model, 1, &a->model));
    const size_t n = (size_t)hy_model_flat_size(a->model);
    HY_TRY(hy_verify_data_create(tokens, 1, b->config->model.vocab, DATA_SEED, &a->data));
    HY_TRY(hy_alloc("parameters", n * hy_role_size(dtype, HY_ROLE_STAT), &a->masters));
    HY_TRY(hy_alloc("gradients of one rank", n * hy_role_size(dtype, HY_ROLE_GRAD), &a->want));
    HY_TRY(hy_alloc("gradients of ranks", n * hy_role_size(dtype, HY_ROLE_GRAD), &a->got));
    hy_model_init_params(a->model, MASTER_SEED, dtype == HY_BF16 ? HY_F32 : dtype, a->masters);
    return HY_OK;
}

static void free_arrays(sp_arrays *a) {
    hy_model_destroy(a->model);
    hy_verify_data_free(&a->data);
    hy_free(a->masters);
    hy_free(a->want);
    hy_free(a->got);
}

/* What one rank gives, on every rank. */
static hy_status reference(const sp_bench *b, sp_arrays *a, sp_gradients *want) {
    const hy_sp_method first = hy_method_first(&b->config->parallel.method);
    const hy_verify_method how = method_of_bench(b, &first);
    hy_comm *alone = NULL;
    HY_TRY(hy_comm_self_create(&alone));
    want->flat = a->want;
    const hy_status status = hy_verify_step(a->model, &a->data, &how, alone, a->masters, &want->loss, want->flat);
    hy_comm_destroy(alone);
    return status;
}

/* The layer of the configuration at hand on the first `size` ranks; the others wait. Collective over the world. */
static hy_status bench_size(sp_bench *b, int size) {
    const int rank = hy_comm_rank(b->world);
    hy_comm *ranks = NULL;
    sp_arrays a = {.model = NULL};
    sp_gradients want = {0};
    const int64_t tokens = b->per_rank * size;
    HY_TRY(hy_comm_split(b->world, rank < size ? 0 : -1, rank, &ranks));
    hy_status status = hy_comm_agree(b->world, ranks != NULL ? prepare_arrays(b, tokens, &a) : HY_OK);
    const bool checks = tokens <= b->check;
    if (status == HY_OK && checks) {
        status = hy_comm_agree(b->world, ranks != NULL ? reference(b, &a, &want) : HY_OK);
    }
    if (status == HY_OK) {
        status = hy_comm_agree(
            b->world,
            ranks != NULL ? bench_methods(b, ranks, a.model, &a.data, a.masters, checks ? &want : NULL, a.got) : HY_OK);
    }
    free_arrays(&a);
    hy_comm_destroy(ranks);
    return status;
}

static hy_status bench_mixers(sp_bench *b) {
    hy_model_config *small = NULL;
    HY_TRY(HY_NEW("model", 1, &small));
    hy_method_small_model(&b->config->model, small);
    hy_status status = HY_OK;
    for (int64_t l = 0; l < small->layers && status == HY_OK; l++) {
        b->config->model = *small;
        b->config->model.layers = 1;
        b->config->model.layer_mixer[0] = small->layer_mixer[l];
        if (b->only != NULL && strstr(mixer_name(b), b->only) == NULL) {
            continue;
        }
        for (int i = 0; i < b->n_ranks && status == HY_OK; i++) {
            status = bench_size(b, (int)b->ranks[i]);
        }
    }
    hy_free(small);
    return status;
}

/* ---- the command ---- */

static hy_status parse_sizes(const char *text, sp_bench *b) {
    const int limit = hy_comm_size(b->world);
    b->ranks[0] = limit;
    b->n_ranks = 1;
    bool good = text == NULL || hy_count_list_parse(text, b->ranks, RANKS_MAX, &b->n_ranks);
    for (int i = 0; i < b->n_ranks && good; i++) {
        good = b->ranks[i] >= 1 && b->ranks[i] <= limit;
    }
    return good ? HY_OK : hy_fail(HY_ERR_USAGE, "--ranks %s: at most %d numbers from 1 to %d", text, RANKS_MAX, limit);
}

static hy_status print_rows(sp_bench *b, bool json) {
    static const char *const headers[] = {"mixer", "layout",   "exchange", "ranks",   "forward", "step",
                                          "sent",  "messages", "held",     "exposed", "#wrong"};
    hy_json out;
    const bool first = hy_comm_rank(b->world) == 0;
    hy_status status = HY_OK;
    if (json && first) {
        hy_json_begin(&out, stdout);
        hy_json_open_array(&out, NULL);
        b->json = &out;
    } else if (first) {
        status = hy_text_table_create(11, headers, &b->table);
    }
    HY_TRY(hy_comm_agree(b->world, status));
    status = bench_mixers(b);
    if (b->json != NULL) {
        hy_json_close(&out);
        const hy_status ended = hy_json_end(&out, HY_ERR_FAILED);
        status = status == HY_OK ? ended : status;
    } else if (b->table != NULL && status == HY_OK) {
        status = hy_text_table_print(b->table, stdout);
    }
    hy_text_table_destroy(b->table);
    status = hy_comm_agree(b->world, status);
    return status != HY_OK || b->wrong == 0 ? status
                                            : hy_fail(HY_ERR_VERIFY, "%lld values are wrong", (long long)b->wrong);
}

hy_status hy_bench_sp(int argc, char **argv, hy_comm *world) {
    sp_bench b = {.world = world, .per_rank = 1024, .rounds = 5, .check = 1 << 14};
    const char *ranks = NULL;
    bool json = false;
    hy_option_list sets = {.n = 0};
    const hy_option options[] = {
        {"--ranks", HY_OPTION_TEXT, &ranks, "LIST", "numbers of ranks, 2,4 (default: all)"},
        {"--tokens", HY_OPTION_COUNT, &b.per_rank, "N", "tokens of a rank (default 1024)"},
        {"--rounds", HY_OPTION_COUNT, &b.rounds, "N", "the least of so many times counts (default 5)"},
        {"--check", HY_OPTION_INT, &b.check, "N", "tokens in all up to which one rank computes it too (default 16Ki)"},
        {"--only", HY_OPTION_TEXT, &b.only, "NAME", "mixers with this in their name"},
        {"--set", HY_OPTION_LIST, &sets, "a.b=value", "changes one key of the config; may be given many times"},
        {"--break-exchange", HY_OPTION_FLAG, &b.broken, NULL, "damages what is exchanged, to see that #wrong tells"},
        {"--json", HY_OPTION_FLAG, &json, NULL, "one JSON document instead of a table (docs/json.md)"},
    };
    const hy_usage usage = {.line = "mpirun -np N hylas bench sp CONFIG [options]",
                            .about =
                                "A layer of every mixer of CONFIG with every layout and every exchange: time, bytes, "
                                "messages, memory held, waiting, and what is not as on one rank.",
                            .options = options,
                            .n_options = (int)(sizeof options / sizeof options[0]),
                            .min_args = 1,
                            .max_args = 1};
    hy_args args;
    HY_TRY(hy_options_parse(&usage, argc, argv, world, &args));
    if (args.help) {
        return HY_OK;
    }
    HY_TRY(hy_config_load_on_all(world, args.positional[0], &sets, &b.config));
    b.config->parallel.method = hy_method_first(&b.config->parallel.method);
    b.config->parallel.method.cuts.fixed = 0;
    b.config->parallel.method.node = b.config->parallel.method.node > 0 ? b.config->parallel.method.node : 2;
    hy_status status = hy_comm_agree(world, parse_sizes(ranks, &b));
    if (status == HY_OK) {
        status = print_rows(&b, json);
    }
    hy_free(b.config);
    return status;
}
