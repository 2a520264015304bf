/* `hylas bench kernels`: products, every recurrence (decay × rule) and softmax attention on synthetic inputs, one line each, as
 * soon as it is measured. Runs on rank 0 with all its threads. Backward is measured with the forward before it, the
 * best of a few repetitions. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/count.h"
#include "base/json.h"
#include "launch/bench/bench.h"
#include "launch/bench/machine_rates.h"
#include "launch/options.h"
#include "launch/report_once.h"

enum { LIST_MAX = 16 };

typedef struct int_list {
    int64_t items[LIST_MAX];
    int n;
} int_list;

/* Sequences of T tokens, heads of D channels. */
typedef struct op_shape {
    int64_t B, T, H, D;
} op_shape;

typedef struct kernels_bench {
    const char *tokens_text, *sizes_text, *shapes_text, *only, *dtype_text, *table; /* options */
    hy_dtype dtype;
    int64_t heads, repetitions;
    int_list recur_tokens, attention_tokens, sizes;
    op_shape shapes[LIST_MAX]; /* instead of these, where there are any */
    int n_shapes;
    hy_bench_op ops[HY_BENCH_OPS_MAX];
    int n_ops;
    double gemm; /* operations per second */
    int64_t wrong;
    bool as_json;
    hy_json json; /* open where as_json */
} kernels_bench;

/* "64,128" or "8Ki,64Ki". */
static hy_status parse_list(const char *option, const char *text, int_list *list) {
    list->n = 0;
    for (const char *at = text;; at++) {
        char word[32];
        const size_t length = strcspn(at, ",");
        int64_t value = 0;
        (void)snprintf(word, sizeof word, "%.*s", (int)length, at);
        if (length >= sizeof word || !hy_count_parse(word, &value) || value < 1 || value > INT32_MAX ||
            list->n == LIST_MAX) {
            return hy_fail(HY_ERR_USAGE, "%s %s: wanted up to %d whole numbers above 0, as in 64,128 or 8Ki,64Ki",
                           option, text, LIST_MAX);
        }
        list->items[list->n++] = value;
        at += length;
        if (*at == '\0') {
            return HY_OK;
        }
    }
}

static hy_status fail_shapes(const char *text) {
    return hy_fail(HY_ERR_USAGE,
                   "--shapes %s: wanted up to %d of sequences (at most %d) x tokens x heads x channels, as in "
                   "1x8192x96x128,4x2Kix16x128",
                   text, LIST_MAX, HY_BENCH_SEQUENCES_MAX);
}

/* "1x8192x96x128,4x2Kix16x128". */
static hy_status parse_shapes(const char *text, kernels_bench *b) {
    const char *at = text;
    for (b->n_shapes = 0; b->n_shapes == 0 || *at++ == ','; b->n_shapes++) {
        op_shape *s = b->n_shapes < LIST_MAX ? &b->shapes[b->n_shapes] : NULL;
        int64_t *const fields[] = {&s->B, &s->T, &s->H, &s->D};
        for (int i = 0; i < 4; i++) {
            char word[32];
            const size_t length = strcspn(at, "x,");
            (void)snprintf(word, sizeof word, "%.*s", (int)(length < sizeof word ? length : 0), at);
            if (s == NULL || !hy_count_parse(word, fields[i]) || *fields[i] < 1 || *fields[i] > INT32_MAX ||
                (i < 3) != (at[length] == 'x')) {
                return fail_shapes(text);
            }
            at += length + (i < 3 ? 1 : 0);
        }
        if (s->B > HY_BENCH_SEQUENCES_MAX) {
            return fail_shapes(text);
        }
    }
    return HY_OK;
}

static hy_status check_kernels_options(void *context) {
    kernels_bench *b = context;
    if (b->heads < 1 || b->heads > 1024 || b->repetitions < 1 || b->repetitions > 1000) {
        return hy_fail(HY_ERR_USAGE, "--heads %lld --repeats %lld: wanted 1 to 1024 heads, 1 to 1000 repetitions",
                       (long long)b->heads, (long long)b->repetitions);
    }
    if (strcmp(b->dtype_text, "f32") != 0 && strcmp(b->dtype_text, "bf16") != 0) {
        return hy_fail(HY_ERR_USAGE, "--dtype %s: f32 or bf16", b->dtype_text);
    }
    b->dtype = strcmp(b->dtype_text, "bf16") == 0 ? HY_BF16 : HY_F32;
    HY_TRY(parse_list("--sizes", b->sizes_text, &b->sizes));
    HY_TRY(parse_list("--tokens", b->tokens_text != NULL ? b->tokens_text : "8Ki,64Ki", &b->recur_tokens));
    HY_TRY(parse_list("--tokens", b->tokens_text != NULL ? b->tokens_text : "4Ki,16Ki", &b->attention_tokens));
    if (b->shapes_text != NULL) {
        HY_TRY(parse_shapes(b->shapes_text, b));
    }
    return hy_bench_choose_ops(b->only, b->ops, &b->n_ops);
}

typedef struct timing {
    double fwd, both; /* best seconds */
} timing;

/* As often as asked for, but within two seconds; short operations go on for a tenth of a second. */
static hy_status measure_op(const kernels_bench *b, const hy_bench_op *op, timing *best) {
    const double least = 0.1, patience = 2.0; /* seconds */
    hy_bench_run run;
    double spent = 0;
    HY_TRY(hy_bench_run_init(op, b->table, b->dtype, b->dtype, &run));
    *best = (timing){(double)INFINITY, (double)INFINITY};
    for (int64_t i = 0; i == 0 || spent < (i < b->repetitions ? patience : least); i++) {
        const double fwd = hy_bench_run_fwd(&run), both = fwd + hy_bench_run_bwd(&run);
        best->fwd = fmin(best->fwd, fwd);
        best->both = fmin(best->both, both);
        spent += both;
    }
    hy_bench_run_fini(&run);
    return HY_OK;
}

static void print_kernels_head(void) {
    printf("%-22s %3s %7s %3s %4s %4s | %9s %8s %6s | %9s %8s %6s | %6s\n", "operation", "B", "T", "H", "K", "V",
           "fwd ms", "GFLOP/s", "% gemm", "f+b ms", "GFLOP/s", "% gemm", "#wrong");
}

static void print_op_row(kernels_bench *b, const hy_bench_op *op, const timing *t, int64_t wrong) {
    char name[32];
    const double fwd = hy_bench_op_work(op) / t->fwd, both = 3 * hy_bench_op_work(op) / t->both;
    hy_bench_op_name(op, name, sizeof name);
    printf("%-22s %3lld %7lld %3lld %4lld %4lld | %9.2f %8.1f %6.1f | %9.2f %8.1f %6.1f | %6lld\n", name,
           (long long)op->B, (long long)op->T, (long long)op->H, (long long)op->K, (long long)op->V, 1e3 * t->fwd,
           1e-9 * fwd, 100 * fwd / b->gemm, 1e3 * t->both, 1e-9 * both, 100 * both / b->gemm, (long long)wrong);
    fflush(stdout);
}

static void write_row(kernels_bench *b, const hy_bench_op *op, const timing *t, int64_t wrong) {
    hy_json *json = &b->json;
    char name[32];
    hy_bench_op_name(op, name, sizeof name);
    hy_json_open_object(json, NULL);
    hy_json_string(json, "operation", name);
    hy_json_int(json, "sequences", op->B);
    hy_json_int(json, "tokens", op->T);
    hy_json_int(json, "heads", op->H);
    hy_json_int(json, "key_dim", op->K);
    hy_json_int(json, "value_dim", op->V);
    hy_json_double(json, "forward_seconds", t->fwd);
    hy_json_double(json, "forward_backward_seconds", t->both);
    hy_json_double(json, "forward_flops", hy_bench_op_work(op));
    hy_json_int(json, "wrong", wrong);
    hy_json_close(json);
}

/* One operation at every number of tokens. */
static hy_status bench_op(kernels_bench *b, hy_bench_op op, const int_list *tokens) {
    int64_t wrong = 0;
    op.T = tokens->items[tokens->n - 1];
    HY_TRY(hy_bench_count_wrong(&op, b->table, b->dtype, &wrong));
    for (int i = 0; i < tokens->n; i++) {
        timing best;
        op.T = tokens->items[i];
        HY_TRY(measure_op(b, &op, &best));
        (b->as_json ? write_row : print_op_row)(b, &op, &best, wrong);
    }
    b->wrong += wrong;
    return HY_OK;
}

static hy_status bench_shapes(kernels_bench *b) {
    for (int s = 0; s < b->n_shapes; s++) {
        const op_shape *shape = &b->shapes[s];
        const int_list tokens = {{shape->T}, 1};
        for (int i = 0; i < b->n_ops; i++) {
            hy_bench_op op = b->ops[i];
            op.B = shape->B;
            op.H = shape->H;
            op.K = op.V = shape->D;
            HY_TRY(bench_op(b, op, &tokens));
        }
    }
    return HY_OK;
}

static hy_status bench_all(kernels_bench *b) {
    if (b->n_shapes > 0) {
        return bench_shapes(b);
    }
    for (int s = 0; s < b->sizes.n; s++) {
        for (int i = 0; i < b->n_ops; i++) {
            hy_bench_op op = b->ops[i];
            op.B = 1;
            op.H = b->heads;
            op.K = op.V = b->sizes.items[s];
            HY_TRY(bench_op(b, op, op.attention ? &b->attention_tokens : &b->recur_tokens));
        }
    }
    return HY_OK;
}

static void begin_report(kernels_bench *b, const char *detail) {
    if (!b->as_json) {
        printf("table %s (%s), %s; GEMM of %d³: %.0f GFLOP/s\n\n", b->table, detail,
               b->dtype == HY_BF16 ? "bf16" : "float32", HY_GEMM_RATE_N, 1e-9 * b->gemm);
        return;
    }
    hy_json_begin(&b->json, stdout);
    hy_json_open_object(&b->json, NULL);
    hy_json_string(&b->json, "device", b->table);
    hy_json_string(&b->json, "table", detail);
    hy_json_string(&b->json, "dtype", b->dtype == HY_BF16 ? "bf16" : "f32");
    hy_json_double(&b->json, "gemm_flops_per_second", b->gemm);
}

static void report_product(void *context, const char *pass, const hy_gemm_args *a, double rate) {
    kernels_bench *b = context;
    if (!b->as_json) {
        printf("%-22s %7lld %7lld %7lld | %8.0f\n", pass, (long long)a->m, (long long)a->n, (long long)a->k,
               1e-9 * rate);
        fflush(stdout);
        return;
    }
    hy_json_open_object(&b->json, NULL);
    hy_json_string(&b->json, "product", pass);
    hy_json_int(&b->json, "m", a->m);
    hy_json_int(&b->json, "n", a->n);
    hy_json_int(&b->json, "k", a->k);
    hy_json_double(&b->json, "flops_per_second", rate);
    hy_json_close(&b->json);
}

/* Left out where only some operations are asked for. */
static hy_status bench_products(kernels_bench *b) {
    if (b->only != NULL) {
        return HY_OK;
    }
    if (b->as_json) {
        hy_json_open_array(&b->json, "products");
    } else {
        printf("%-22s %7s %7s %7s | %8s\n", "product", "m", "n", "k", "GFLOP/s");
    }
    const hy_status status = hy_bench_products(b->table, b->dtype, report_product, b);
    if (b->as_json) {
        hy_json_close(&b->json);
    } else {
        printf("\n");
    }
    return status;
}

static void begin_rows(kernels_bench *b) {
    if (b->as_json) {
        hy_json_open_array(&b->json, "rows");
    } else {
        print_kernels_head();
    }
}

static hy_status end_report(kernels_bench *b, double gemm_after) {
    if (!b->as_json) {
        printf(
            "\nGEMM again: %.0f GFLOP/s. Shares are of the first; f+b: forward and backward. #wrong: elements off from "
            "cpu_ref in float64.\n",
            1e-9 * gemm_after);
        return HY_OK;
    }
    hy_json_close(&b->json);
    hy_json_double(&b->json, "gemm_flops_per_second_after", gemm_after);
    hy_json_close(&b->json);
    return hy_json_end(&b->json, HY_ERR_FAILED);
}

/* Rank 0 alone. */
static hy_status run_kernels(kernels_bench *b) {
    hy_comm *self = NULL;
    hy_profile profile;
    double after = 0;
    HY_TRY(hy_profile_of(b->table, b->dtype, &profile));
    HY_TRY(hy_comm_self_create(&self));
    hy_status status = hy_gemm_rate(self, b->table, b->dtype, &b->gemm);
    if (status == HY_OK) {
        begin_report(b, profile.detail);
        status = bench_products(b);
    }
    if (status == HY_OK) {
        begin_rows(b);
        status = bench_all(b);
    }
    if (status == HY_OK) {
        status = hy_gemm_rate(self, b->table, b->dtype, &after);
    }
    hy_comm_destroy(self);
    HY_TRY(status);
    HY_TRY(end_report(b, after));
    return b->wrong > 0 ? hy_fail(HY_ERR_VERIFY, "%lld elements are wrong", (long long)b->wrong) : HY_OK;
}

hy_status hy_bench_kernels(int argc, char **argv, hy_comm *world) {
    kernels_bench b = {.sizes_text = "64,128", .dtype_text = "f32", .table = "cpu", .heads = 4, .repetitions = 3};
    const hy_option options[] = {
        {"--tokens", HY_OPTION_TEXT, &b.tokens_text, "A,B", "tokens (recurrences 8Ki,64Ki; attention 4Ki,16Ki)"},
        {"--sizes", HY_OPTION_TEXT, &b.sizes_text, "A,B", "K = V of a head (64,128)"},
        {"--shapes", HY_OPTION_TEXT, &b.shapes_text, "A,B",
         "instead of tokens, sizes and heads: sequences x tokens x heads x channels, as 4x2048x16x128"},
        {"--table", HY_OPTION_TEXT, &b.table, "NAME", "the device: cpu (default), cuda, ..."},
        {"--heads", HY_OPTION_COUNT, &b.heads, "N", "heads (4)"},
        {"--only", HY_OPTION_TEXT, &b.only, "TEXT",
         "operations with this in their name, or those of the mixers with it: delta, gated, mamba2"},
        {"--dtype", HY_OPTION_TEXT, &b.dtype_text, "TYPE", "f32 (default) or bf16"},
        {"--repeats", HY_OPTION_COUNT, &b.repetitions, "N",
         "repetitions, the best counts (3; fewer where they take long)"},
        {"--json", HY_OPTION_FLAG, &b.as_json, NULL, "one JSON document instead of text (docs/json.md)"},
    };
    const hy_usage usage = {
        "hylas bench kernels [options]",
        "Times matrix products, every recurrence and softmax attention on a device of this machine, relates useful "
        "work to the rate of large\n"
        "products, and counts wrong results. Exit code 9 if there are any.",
        options,
        (int)(sizeof options / sizeof options[0]),
        0,
        0};
    hy_args args;
    HY_TRY(hy_options_parse(&usage, argc, argv, world, &args));
    if (args.help) {
        return HY_OK;
    }
    HY_TRY(hy_report_once(world, check_kernels_options, &b));
    return hy_comm_agree(world, hy_comm_rank(world) == 0 ? run_kernels(&b) : HY_OK);
}
