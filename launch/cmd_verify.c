/* `hylas verify CONFIG`: one step of the config's model on 2, 3, 4 ranks against one rank: loss and every parameter's gradient, on
 * packed documents and a length that nothing divides. Exit code 9 if any differs by more than its bound.
 *
 * In float64 only the order of sums differs, so the bound is tight: an error of the method shows. float32 runs the operations that
 * training uses. bf16 (--dtype bf16) rounds in other places on another number of ranks, so that its bound shows errors of the method,
 * which are as large as the gradients, but no small ones. A gradient far smaller than the others (which may be zero but for rounding) is measured against a floor, a share of the
 * rms of all gradients.
 *
 * With train.carry_state also the loss of every token: two steps of half the length, carrying what goes on, against one forward of all. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/table.h"
#include "launch/commands.h"
#include "launch/config_option.h"
#include "launch/options.h"
#include "launch/relaunch.h"
#include "launch/report_once.h"
#include "launch/verify.h"
#include "train/run/method_choice.h"

enum { SIZES_MAX = 4, RANKS = 4 };

typedef struct precision {
    const char *name;
    hy_dtype dtype;
    double bound, floor; /* floor: share of the rms of all gradients */
    bool asked;          /* runs only where it is asked for, or is what the config trains in */
} precision;

static const precision precisions[] = {
    {"f64", HY_F64, 1e-10, 1e-6, false}, {"f32", HY_F32, 1e-4, 1e-4, false}, {"bf16", HY_BF16, 5e-1, 1e-2, true}};
enum { PRECISIONS = sizeof precisions / sizeof precisions[0] };

/* Of parameters and gradients, which are what is compared. */
static hy_dtype compared_type(const precision *p) {
    return hy_dtype_of(p->dtype, HY_ROLE_GRAD);
}

typedef struct verify {
    /* options */
    const char *path, *dtype, *table;
    hy_option_list sets;
    int64_t tokens, documents, seed;
    double bound; /* 0 = the precision's own */
    bool all, each, broken;
    /* the work */
    hy_comm *world;
    hy_config *config;
    hy_model *model;
    hy_verify_data data;
    int sizes[SIZES_MAX], n_sizes;
    double *errors;        /* rank 0: [n_params + 2][n_sizes]: last the loss, and the tokens' losses in two steps */
    int64_t runs;          /* numbers of ranks times methods, of one precision */
    double worst, seconds; /* of one precision */
    char worst_at[256];
} verify;

static hy_verify_method method_of(const verify *v, const precision *p) {
    const char *table = v->table ? v->table : v->config->run.device;
    return (hy_verify_method){.sp = v->config->parallel.method,
                              .recompute = v->config->train.recompute,
                              .dtype = p->dtype,
                              .table = table,
                              .transport = v->config->parallel.transport,
                              .broken = v->broken};
}

typedef struct buffers {
    void *params, *want, *got;
    double want_loss;
    double *want_rows, *got_rows; /* [tokens] with train.carry_state, else NULL */
} buffers;

/* Rank 0: the largest error of one thing so far, and of all. */
static void note_error(verify *v, int64_t i, const char *what, int column, const hy_verify_method *m, double error) {
    double *worst = &v->errors[i * v->n_sizes + column];
    if (isnan(error))
        error = (double)INFINITY;
    if (error > *worst)
        *worst = error;
    if (error >= v->worst) {
        v->worst = error;
        snprintf(v->worst_at, sizeof v->worst_at, "%s on %d ranks (%s, states %s, attention %s, %s)", what,
                 v->sizes[column], hy_layout_names[m->sp.layout], hy_state_exchange_names[m->sp.state],
                 hy_attention_method_names[m->sp.attention], hy_overlap_names[m->sp.overlap]);
    }
}

static const char *const carried_row = "losses of tokens, two steps";

/* Rank 0: the largest difference of any token's loss, against the rms of all. */
static void compare_rows(verify *v, int column, const hy_verify_method *m, const buffers *b) {
    const double rms = hy_verify_rms(b->want_rows, v->data.tokens, HY_F64);
    int64_t n_params;
    double error = 0;
    hy_model_params(v->model, &n_params);
    for (int64_t t = 0; t < v->data.tokens; t++) {
        const double off = fabs(b->got_rows[t] - b->want_rows[t]) / rms;
        error = off <= error ? error : off;
    }
    note_error(v, n_params + 1, carried_row, column, m, error);
}

/* Rank 0: folds the differences of one run into errors. */
static void compare_steps(verify *v, const precision *p, int column, const hy_verify_method *m, double loss,
                          const buffers *b) {
    const void *grads = b->got, *want = b->want;
    int64_t n;
    const hy_param *params = hy_model_params(v->model, &n);
    const hy_dtype type = compared_type(p);
    const size_t real = hy_dtype_size(type);
    double floor = p->floor * hy_verify_rms(want, hy_model_flat_size(v->model), type);
    for (int64_t i = 0; i <= n; i++) {
        double error = fabs(loss - b->want_loss) / fabs(b->want_loss);
        if (i < n)
            error = hy_verify_error((const char *)grads + (size_t)params[i].offset * real,
                                    (const char *)want + (size_t)params[i].offset * real, params[i].size, type, floor);
        note_error(v, i, i < n ? params[i].name : "loss", column, m, error);
    }
}

/* parallel.weights are of the configuration's own number of ranks; other numbers take them in turn. */
static void fit_weights(hy_cuts *weights, int size) {
    const int64_t n = weights->n;
    if (n > 0 && size <= HY_WEIGHTS_MAX) {
        for (int64_t i = n; i < size; i++) {
            weights->each[i] = weights->each[i % n];
        }
        weights->n = size;
    }
}

/* One number of ranks, one method. The ranks beyond it wait. */
static hy_status run_size(verify *v, const precision *p, int column, const hy_verify_method *asked, buffers *b) {
    int rank = hy_comm_rank(v->world);
    hy_verify_method own = *asked, *method = &own;
    fit_weights(&own.sp.cuts, v->sizes[column]);
    hy_comm *sequence = NULL;
    double loss = 0;
    HY_TRY(hy_comm_split(v->world, rank < v->sizes[column] ? 0 : -1, rank, &sequence));
    hy_status status = HY_OK;
    if (sequence)
        status = hy_verify_step(v->model, &v->data, method, sequence, b->params, &loss, b->got);
    if (status == HY_OK && rank == 0)
        compare_steps(v, p, column, method, loss, b);
    if (status == HY_OK && sequence && b->got_rows)
        status = hy_verify_rows(v->model, &v->data, method, sequence, b->params, 2, b->got_rows);
    if (status == HY_OK && rank == 0 && b->got_rows)
        compare_rows(v, column, method, b);
    v->runs++;
    status = hy_comm_agree(v->world, status);
    hy_comm_destroy(sequence);
    return status;
}

static int names_in(const char *const *names) {
    int n = 0;
    while (names[n])
        n++;
    return n;
}

/* The config's own method, or with --all every way to exchange with every layout and overlap. States and softmax layers do not meet, so
 * their exchanges are paired. */
static hy_status run_methods(verify *v, const precision *p, int column, buffers *b) {
    hy_verify_method m = method_of(v, p);
    if (!v->all)
        return run_size(v, p, column, &m, b);
    m.sp.node = m.sp.node > 0 ? m.sp.node : 2;
    const int states = names_in(hy_state_exchange_names), attentions = names_in(hy_attention_method_names);
    for (int i = 0; i < (states > attentions ? states : attentions); i++) {
        m.sp.state = (hy_state_exchange)(i % states);
        m.sp.attention = (hy_attention_method)(i % attentions);
        if (v->config->train.carry_state && m.sp.state == HY_STATE_HEADS)
            continue;
        if (v->config->train.carry_state && !hy_sp_method_carries(&m.sp))
            m.sp.attention = HY_ATTENTION_RING;
        for (m.sp.layout = 0; hy_layout_names[m.sp.layout]; m.sp.layout++)
            for (m.sp.overlap = 0; hy_overlap_names[m.sp.overlap]; m.sp.overlap++)
                HY_TRY(run_size(v, p, column, &m, b));
    }
    return HY_OK;
}

static hy_status run_one_rank(verify *v, const precision *p, buffers *b) {
    hy_verify_method method = method_of(v, p);
    method.broken = false;
    hy_comm *self = NULL;
    HY_TRY(hy_comm_self_create(&self));
    hy_status status = hy_verify_step(v->model, &v->data, &method, self, b->params, &b->want_loss, b->want);
    if (status == HY_OK && b->want_rows)
        status = hy_verify_rows(v->model, &v->data, &method, self, b->params, 1, b->want_rows);
    hy_comm_destroy(self);
    return status;
}

/* Initial values, all moved a little: what starts at zero would hide the gradients behind it. */
static void make_params(const verify *v, hy_dtype dtype, void *params) {
    hy_model_init_params(v->model, (uint64_t)v->seed, dtype, params);
    for (int64_t i = 0; i < hy_model_flat_size(v->model); i++) {
        double step = 0.02 * hy_random_normal((uint64_t)v->seed, hy_random_stream("verify"), (uint64_t)i);
        if (dtype == HY_F64)
            ((double *)params)[i] += step;
        else
            ((float *)params)[i] += (float)step;
    }
}

static hy_status run_precision(verify *v, const precision *p) {
    buffers b = {0};
    double begin = hy_now();
    size_t bytes = (size_t)hy_model_flat_size(v->model) * hy_dtype_size(compared_type(p));
    int64_t n_params;
    hy_model_params(v->model, &n_params);
    memset(v->errors, 0, (size_t)((n_params + 2) * v->n_sizes) * sizeof *v->errors);
    v->worst = 0;
    v->runs = 0;
    hy_status status = hy_alloc("parameters", bytes, &b.params);
    if (status == HY_OK)
        status = hy_alloc("gradients", bytes, &b.got);
    if (status == HY_OK && hy_comm_rank(v->world) == 0)
        status = hy_alloc("gradients of one rank", bytes, &b.want);
    if (status == HY_OK && v->config->train.carry_state)
        status = HY_NEW("losses of tokens", v->tokens, &b.want_rows);
    if (status == HY_OK && v->config->train.carry_state)
        status = HY_NEW("losses of tokens", v->tokens, &b.got_rows);
    if (status == HY_OK)
        make_params(v, compared_type(p), b.params);
    if (status == HY_OK && hy_comm_rank(v->world) == 0)
        status = run_one_rank(v, p, &b);
    status = hy_comm_agree(v->world, status);
    for (int i = 0; i < v->n_sizes && status == HY_OK; i++)
        status = run_methods(v, p, i, &b);
    hy_free(b.params);
    hy_free(b.got);
    hy_free(b.want);
    hy_free(b.want_rows);
    hy_free(b.got_rows);
    v->seconds = hy_now() - begin;
    return status;
}

/* "model.layers.12.attn.q_proj.weight" → "model.layers.*.attn.q_proj.weight". */
static void pattern_of(const char *name, char *pattern, size_t size) {
    const char *layers = strstr(name, "layers.");
    if (!layers) {
        snprintf(pattern, size, "%s", name);
        return;
    }
    const char *number = layers + strlen("layers.");
    snprintf(pattern, size, "%.*s*%s", (int)(number - name), name, number + strspn(number, "0123456789"));
}

static void add_error_row(const verify *v, hy_text_table *table, const char *name, int64_t count,
                          const double *errors) {
    hy_text_table_cell(table, "%s", name);
    hy_text_table_cell(table, "%lld", (long long)count);
    for (int c = 0; c < v->n_sizes; c++)
        hy_text_table_cell(table, "%.1e", errors[c]);
}

/* One row per parameter; those that differ only in their layer share a row (unless --each), which shows the worst of them. */
static void add_rows(const verify *v, hy_text_table *table) {
    int64_t n;
    const hy_param *params = hy_model_params(v->model, &n);
    for (int64_t i = 0; i < n; i++) {
        char mine[160], other[160];
        double worst[SIZES_MAX] = {0};
        int64_t count = 0, first = -1;
        pattern_of(params[i].name, mine, sizeof mine);
        for (int64_t j = 0; j < n; j++) {
            pattern_of(params[j].name, other, sizeof other);
            if (v->each ? i != j : strcmp(mine, other) != 0)
                continue;
            first = first < 0 ? j : first;
            count++;
            for (int c = 0; c < v->n_sizes; c++)
                worst[c] = fmax(worst[c], v->errors[j * v->n_sizes + c]);
        }
        if (first == i)
            add_error_row(v, table, v->each ? params[i].name : mine, count, worst);
    }
    add_error_row(v, table, "loss", 1, &v->errors[n * v->n_sizes]);
    if (v->config->train.carry_state)
        add_error_row(v, table, carried_row, 1, &v->errors[(n + 1) * v->n_sizes]);
}

static hy_status report_precision(const verify *v, const precision *p, double bound) {
    const char *headers[2 + SIZES_MAX] = {"gradient of", "layers"};
    char columns[SIZES_MAX][24];
    for (int c = 0; c < v->n_sizes; c++) {
        snprintf(columns[c], sizeof columns[c], "%d ranks", v->sizes[c]);
        headers[2 + c] = columns[c];
    }
    hy_text_table *table = NULL;
    HY_TRY(hy_text_table_create(2 + v->n_sizes, headers, &table));
    add_rows(v, table);
    printf("\n%s, table %s: relative error against 1 rank\n", p->name, v->table ? v->table : v->config->run.device);
    hy_status status = hy_text_table_print(table, stdout);
    hy_text_table_destroy(table);
    printf("worst: %.1e, %s; bound %.0e: %s (%lld methods, %.1f s)\n", v->worst, v->worst_at, bound,
           v->worst <= bound ? "ok" : "FAILED", (long long)(v->runs / v->n_sizes), v->seconds);
    return status;
}

static hy_status run_all(verify *v) {
    int64_t n_params;
    bool failed = false;
    hy_model_params(v->model, &n_params);
    printf("%s: %lld layers, %lld parameters; %lld tokens in %lld documents, %lld labels counted\n", v->path,
           (long long)v->config->model.layers, (long long)hy_model_parameter_count(v->model), (long long)v->tokens,
           (long long)v->data.n_docs, (long long)v->data.counted);
    for (int i = 0; i < PRECISIONS; i++) {
        const precision *p = &precisions[i];
        double bound = v->bound > 0 ? v->bound : p->bound;
        if (v->dtype ? strcmp(v->dtype, p->name) != 0 : p->asked && p->dtype != hy_config_precision(v->config))
            continue;
        HY_TRY(run_precision(v, p));
        hy_status status = HY_OK;
        if (hy_comm_rank(v->world) == 0)
            status = report_precision(v, p, bound);
        HY_TRY(hy_comm_agree(v->world, status));
        failed = failed || !(v->worst <= bound);
    }
    if (failed)
        return hy_fail(HY_ERR_VERIFY, "%s: several ranks do not compute what one rank does (see the table)", v->path);
    return HY_OK;
}

static hy_status check_verify_options(void *context) {
    const verify *v = context;
    bool known = !v->dtype;
    for (int i = 0; i < PRECISIONS && !known; i++)
        known = strcmp(v->dtype, precisions[i].name) == 0;
    if (!known)
        return hy_fail(HY_ERR_USAGE, "--dtype %s: f64, f32 or bf16", v->dtype);
    if (v->tokens < 1 || v->tokens > 1 << 24 || v->documents < 1 || v->documents > v->tokens)
        return hy_fail(HY_ERR_USAGE, "--tokens %lld --documents %lld: wanted 1 to 16M tokens in at least one document",
                       (long long)v->tokens, (long long)v->documents);
    return HY_OK;
}

static hy_status prepare_verify(verify *v) {
    int size = hy_comm_size(v->world);
    int64_t n_params;
    for (int p = 2; p <= size && p <= RANKS; p++)
        v->sizes[v->n_sizes++] = p;
    if (size > RANKS)
        v->sizes[v->n_sizes++] = size;
    HY_TRY(hy_model_create(&v->config->model, 1, &v->model));
    hy_model_params(v->model, &n_params);
    HY_TRY(HY_NEW("errors", (n_params + 2) * v->n_sizes, &v->errors));
    return hy_verify_data_create(v->tokens, v->documents, v->config->model.vocab, (uint64_t)v->seed, &v->data);
}

hy_status hy_cmd_verify(int argc, char **argv, hy_comm *world) {
    verify v = {.world = world, .tokens = 1021, .documents = 9, .seed = 1};
    const hy_option options[] = {
        {"--set", HY_OPTION_LIST, &v.sets, "A.B=VALUE", "override a key of the config; may be given many times"},
        {"--tokens", HY_OPTION_COUNT, &v.tokens, "N", "length of the sequence (default 1021)"},
        {"--documents", HY_OPTION_COUNT, &v.documents, "N",
         "documents packed into it, cut at random places (default 9)"},
        {"--seed", HY_OPTION_INT, &v.seed, "N", "of parameters, tokens and documents (default 1)"},
        {"--dtype", HY_OPTION_TEXT, &v.dtype, "TYPE",
         "f64, f32 or bf16 alone (default: f64, f32, and bf16 if train.precision is)"},
        {"--table", HY_OPTION_TEXT, &v.table, "NAME", "operations: cpu_ref or cpu (default: run.device)"},
        {"--bound", HY_OPTION_REAL, &v.bound, "X",
         "largest relative error (default 1e-10 in f64, 1e-4 in f32, 0.5 in bf16)"},
        {"--all", HY_OPTION_FLAG, &v.all, NULL, "every layout, overlap and exchange there is, not only the config's"},
        {"--each", HY_OPTION_FLAG, &v.each, NULL, "one row for each parameter"},
        {"--break-exchange", HY_OPTION_FLAG, &v.broken, NULL,
         "damage every exchange on purpose: verification must fail"},
    };
    const hy_usage usage = {
        .line = "[mpirun -np N] hylas verify CONFIG [options]",
        .about = "Runs one step of the config's model, randomly initialised, on one rank and with its sequence sharded "
                 "over 2, 3, 4 ranks "
                 "(and N, if more), and compares loss and every parameter's gradient. Without mpirun it starts itself "
                 "on 4 ranks. "
                 "Exit code 9 if they differ.",
        .options = options,
        .n_options = (int)(sizeof options / sizeof options[0]),
        .min_args = 1,
        .max_args = 1,
    };
    hy_args args;
    HY_TRY(hy_options_parse(&usage, argc, argv, world, &args));
    if (args.help)
        return HY_OK;
    v.path = args.positional[0];
    HY_TRY(hy_report_once(world, check_verify_options, &v));
    HY_TRY(hy_config_load_on_all(world, v.path, &v.sets, &v.config));
    v.config->parallel.method = hy_method_first(&v.config->parallel.method);
    v.config->parallel.method.cuts.fixed = 0; /* it compares with one rank that cuts nothing */
    v.config->parallel.method.prune = 0;      /* nor leaves anything out */
    if (!hy_comm_launched()) {
        hy_free(v.config);
        return hy_relaunch(RANKS, argc, argv);
    }
    hy_status status = HY_OK;
    if (hy_comm_size(world) < 2)
        status = hy_fail(HY_ERR_USAGE,
                         "verify compares one rank with several: start it with mpirun -np 4, or without mpirun");
    if (status == HY_OK)
        status = hy_comm_agree(world, prepare_verify(&v));
    if (status == HY_OK)
        status = run_all(&v);
    hy_verify_data_free(&v.data);
    hy_free(v.errors);
    hy_free(v.config);
    hy_model_destroy(v.model);
    return status;
}
