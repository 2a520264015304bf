/* `hylas bench kernels`: every recurrence (decay × rule) and softmax attention on synthetic inputs, one line each, as
 * soon as it is measured. Runs on rank 0 with all its threads. Backward is measured with the forward before it, the
 * best of a few repetitions. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launch/bench/bench.h"
#include "launch/bench/machine_rates.h"
#include "launch/options.h"
#include "launch/report_once.h"

enum { LIST_MAX = 16 };

typedef struct int_list {
    int64_t items[LIST_MAX];
    int n;
} int_list;

typedef struct kernels_bench {
    const char *tokens_text, *sizes_text, *only; /* options */
    int64_t heads, repetitions;
    int_list recur_tokens, attention_tokens, sizes;
    double gemm; /* operations per second */
    int64_t rows, wrong;
} kernels_bench;

/* "64,128" or "8k,64k". */
static hy_status parse_list(const char *option, const char *text, int_list *list) {
    list->n = 0;
    for (const char *at = text;; at++) {
        char *end = NULL;
        int64_t value = strtoll(at, &end, 10);
        if (*end == 'k' && end != at) {
            value *= 1024;
            end++;
        }
        if (end == at || value < 1 || value > INT32_MAX || (*end != ',' && *end != '\0') || list->n == LIST_MAX) {
            return hy_fail(HY_ERR_USAGE, "%s %s: wanted up to %d whole numbers above 0, as in 64,128 or 8k,64k", option,
                           text, LIST_MAX);
        }
        list->items[list->n++] = value;
        at = end;
        if (*at == '\0') {
            return HY_OK;
        }
    }
}

static hy_status check_options(void *context) {
    kernels_bench *b = context;
    if (b->heads < 1 || b->heads > 1024 || b->repetitions < 1 || b->repetitions > 1000) {
        return hy_fail(HY_ERR_USAGE, "--heads %lld --repeats %lld: wanted 1 to 1024 heads, 1 to 1000 repetitions",
                       (long long)b->heads, (long long)b->repetitions);
    }
    HY_TRY(parse_list("--sizes", b->sizes_text, &b->sizes));
    HY_TRY(parse_list("--tokens", b->tokens_text != NULL ? b->tokens_text : "8k,64k", &b->recur_tokens));
    return parse_list("--tokens", b->tokens_text != NULL ? b->tokens_text : "4k,16k", &b->attention_tokens);
}

typedef struct timing {
    double fwd, both; /* best seconds */
} timing;

/* As often as asked for, but within two seconds; short operations go on for a tenth of a second. */
static hy_status measure(const kernels_bench *b, const hy_bench_op *op, timing *best) {
    const double least = 0.1, patience = 2.0; /* seconds */
    hy_bench_run run;
    double spent = 0;
    HY_TRY(hy_bench_run_init(op, "cpu", HY_F32, &run));
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

static void print_head(void) {
    printf("%-22s %7s %4s %4s | %9s %8s %6s | %9s %8s %6s | %6s\n", "operation", "T", "K", "V", "fwd ms", "GFLOP/s",
           "% gemm", "f+b ms", "GFLOP/s", "% gemm", "#wrong");
}

static void print_row(const kernels_bench *b, const hy_bench_op *op, const timing *t, int64_t wrong) {
    char name[32];
    const double fwd = hy_bench_op_work(op) / t->fwd, both = 3 * hy_bench_op_work(op) / t->both;
    hy_bench_op_name(op, name, sizeof name);
    printf("%-22s %7lld %4lld %4lld | %9.2f %8.1f %6.1f | %9.2f %8.1f %6.1f | %6lld\n", name, (long long)op->T,
           (long long)op->K, (long long)op->V, 1e3 * t->fwd, 1e-9 * fwd, 100 * fwd / b->gemm, 1e3 * t->both,
           1e-9 * both, 100 * both / b->gemm, (long long)wrong);
    fflush(stdout);
}

/* One operation at every number of tokens. */
static hy_status bench_op(kernels_bench *b, hy_bench_op op, const int_list *tokens) {
    char name[32];
    int64_t wrong = 0;
    hy_bench_op_name(&op, name, sizeof name);
    if (b->only != NULL && strstr(name, b->only) == NULL) {
        return HY_OK;
    }
    op.T = tokens->items[tokens->n - 1];
    HY_TRY(hy_bench_count_wrong(&op, &wrong));
    for (int i = 0; i < tokens->n; i++) {
        timing best;
        op.T = tokens->items[i];
        HY_TRY(measure(b, &op, &best));
        print_row(b, &op, &best, wrong);
        b->rows++;
    }
    b->wrong += wrong;
    return HY_OK;
}

static hy_status bench_all(kernels_bench *b) {
    static const hy_rule rules[] = {HY_RULE_ADDITIVE, HY_RULE_DELTA};
    print_head();
    for (int s = 0; s < b->sizes.n; s++) {
        const int64_t size = b->sizes.items[s];
        for (int rule = 0; rule < 2; rule++) {
            for (int decay = HY_DECAY_NONE; decay <= HY_DECAY_VECTOR; decay++) {
                const hy_bench_op op = {
                    .decay = (hy_decay)decay, .rule = rules[rule], .H = b->heads, .K = size, .V = size};
                HY_TRY(bench_op(b, op, &b->recur_tokens));
            }
        }
        hy_bench_op rwkv = {.decay = HY_DECAY_VECTOR, .exclusive = 1, .H = b->heads, .K = size, .V = size};
        HY_TRY(bench_op(b, rwkv, &b->recur_tokens));
        rwkv.exclusive = 0, rwkv.rule = HY_RULE_DPLR;
        HY_TRY(bench_op(b, rwkv, &b->recur_tokens));
        HY_TRY(
            bench_op(b, (hy_bench_op){.attention = true, .H = b->heads, .K = size, .V = size}, &b->attention_tokens));
    }
    return HY_OK;
}

/* Rank 0 alone. */
static hy_status run(kernels_bench *b) {
    hy_comm *self = NULL;
    hy_device device;
    double after = 0;
    HY_TRY(hy_device_init(&device, "cpu", HY_F32));
    HY_TRY(hy_comm_self_create(&self));
    hy_status status = hy_gemm_rate(self, &b->gemm);
    if (status == HY_OK) {
        printf("table cpu (%s), float32, %lld heads; GEMM of %d³: %.0f GFLOP/s\n\n", device.table.detail,
               (long long)b->heads, HY_GEMM_RATE_N, 1e-9 * b->gemm);
        status = bench_all(b);
    }
    if (status == HY_OK) {
        status = hy_gemm_rate(self, &after);
    }
    hy_comm_destroy(self);
    HY_TRY(status);
    printf("\nGEMM again: %.0f GFLOP/s. Shares are of the first; f+b: forward and backward. #wrong: elements off from "
           "cpu_ref in float64.\n",
           1e-9 * after);
    if (b->rows == 0) {
        return hy_fail(HY_ERR_USAGE, "--only %s: no operation has this in its name (see the column operation)",
                       b->only);
    }
    return b->wrong > 0 ? hy_fail(HY_ERR_VERIFY, "%lld elements are wrong", (long long)b->wrong) : HY_OK;
}

hy_status hy_bench_kernels(int argc, char **argv, hy_comm *world) {
    kernels_bench b = {.sizes_text = "64,128", .heads = 4, .repetitions = 3};
    const hy_option options[] = {
        {"--tokens", HY_OPTION_TEXT, &b.tokens_text, "A,B", "tokens (recurrences 8k,64k; attention 4k,16k)"},
        {"--sizes", HY_OPTION_TEXT, &b.sizes_text, "A,B", "K = V of a head (64,128)"},
        {"--heads", HY_OPTION_INT, &b.heads, "N", "heads (4)"},
        {"--only", HY_OPTION_TEXT, &b.only, "TEXT", "operations with this in their name, such as delta or attention"},
        {"--repeats", HY_OPTION_INT, &b.repetitions, "N",
         "repetitions, the best counts (3; fewer where they take long)"},
    };
    const hy_usage usage = {"hylas bench kernels [options]",
                            "Times every recurrence and softmax attention on this machine, relates useful work to the "
                            "rate of float32 matrix\n"
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
    HY_TRY(hy_report_once(world, check_options, &b));
    return hy_comm_agree(world, hy_comm_rank(world) == 0 ? run(&b) : HY_OK);
}
