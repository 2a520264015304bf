/* hylas bench kernels: every decay × rule of the chunked recurrences, and causal softmax attention, forward and backward. Columns: best
 * times, useful GFLOP/s of both directions together, their share of the fp32 matrix-product rate of this run, and #wrong: elements of
 * outputs and gradients of a short problem that differ from the double-precision reference by more than 1/500 of its rms. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/table.h"
#include "launch/bench.h"
#include "launch/options.h"

enum { WRONG_TOKENS = 150, ARRAYS = 14 };

typedef struct row {
    bool attention;
    hy_decay decay;
    hy_rule rule;
    int64_t T, H, K;
} row;

/* Buffers of one problem, by place in `slots`; real type of the device. */
typedef enum slot { Q, KEY, VALUE, GATE, BETA, D_O, OUT, DQ, DK, DV, DG, DBETA, WORK, LSE } slot;

typedef struct problem {
    hy_device *device;
    row r;
    size_t esize;
    int64_t size[ARRAYS];
    void *slots[ARRAYS];
    int64_t *lo;
    hy_run run;
} problem;

static const char *const decay_names[] = {"none", "head", "scalar", "vector"};

static hy_recur_args recur_args(problem *p) {
    const row *r = &p->r;
    return (hy_recur_args){.decay = r->decay, .rule = r->rule, .T = r->T, .H = r->H, .HV = r->H, .K = r->K, .V = r->K, .scale = 1 / sqrt((double)r->K),
                           .runs = &p->run, .n_runs = 1, .q = p->slots[Q], .k = p->slots[KEY], .v = p->slots[VALUE],
                           .g = r->decay == HY_DECAY_NONE ? NULL : p->slots[GATE], .beta = r->rule == HY_RULE_DELTA ? p->slots[BETA] : NULL,
                           .work = p->slots[WORK], .o = p->slots[OUT], .d_o = p->slots[D_O], .dq = p->slots[DQ], .dk = p->slots[DK],
                           .dv = p->slots[DV], .dg = r->decay == HY_DECAY_NONE ? NULL : p->slots[DG],
                           .dbeta = r->rule == HY_RULE_DELTA ? p->slots[DBETA] : NULL};
}

static hy_attn_args attn_args(problem *p) {
    const row *r = &p->r;
    return (hy_attn_args){.H = r->H, .HKV = r->H, .D = r->K, .DV = r->K, .scale = 1 / sqrt((double)r->K), .nq = r->T, .nk = r->T, .lo = p->lo,
                          .q = p->slots[Q], .k = p->slots[KEY], .v = p->slots[VALUE], .o = p->slots[OUT], .lse = p->slots[LSE], .d_o = p->slots[D_O],
                          .delta = p->slots[DG], .dq = p->slots[DQ], .dk = p->slots[DK], .dv = p->slots[DV], .work = p->slots[WORK]};
}

static void fill(problem *p, slot s, double value) {
    hy_fill(p->device, &(hy_fill_args){.n = p->size[s], .value = value, .y = p->slots[s]});
}

static void forward(problem *p) {
    if (p->r.attention) {
        fill(p, OUT, 0);
        fill(p, LSE, -INFINITY);
        hy_attn_args a = attn_args(p);
        hy_attn_fwd(p->device, &a);
    } else {
        hy_recur_args a = recur_args(p);
        hy_recur_fwd(p->device, &a);
    }
}

static void backward(problem *p) {
    if (p->r.attention) {
        hy_attn_args a = attn_args(p);
        fill(p, DQ, 0);
        fill(p, DK, 0);
        fill(p, DV, 0);
        hy_attn_delta(p->device, &a);
        hy_attn_bwd(p->device, &a);
    } else {
        hy_recur_args a = recur_args(p);
        fill(p, DG, 0);
        hy_recur_bwd(p->device, &a);
    }
}

static double input(slot s, int64_t i, int64_t K) {
    double n = hy_random_normal(11, (uint64_t)s, (uint64_t)i), u = hy_random_uniform(12, (uint64_t)s, (uint64_t)i);
    return s == GATE ? -0.1 * u : s == BETA ? u : s == VALUE || s == D_O ? n : n / sqrt((double)K); /* q, k of length about 1 */
}

static void problem_fini(problem *p) {
    for (int s = 0; s < ARRAYS; s++) {
        hy_free(p->slots[s]);
    }
    hy_free(p->lo);
}

static hy_status problem_init(problem *p, hy_device *device, const row *r) {
    *p = (problem){.device = device, .r = *r, .esize = hy_dtype_size(device->table.dtype), .run = {0, r->T, -1, -1}};
    int64_t tokens = r->T * r->H, wide = tokens * r->K;
    for (int s = 0; s < ARRAYS; s++) {
        p->size[s] = s == BETA || s == DBETA || s == LSE ? tokens : wide;
    }
    p->size[GATE] = p->size[DG] = r->decay == HY_DECAY_VECTOR && !r->attention ? wide : r->decay == HY_DECAY_HEAD && !r->attention ? r->H : tokens;
    hy_recur_args recur = recur_args(p);
    hy_attn_args attn = attn_args(p);
    p->size[WORK] = (int64_t)((r->attention ? device->table.attn_work(&attn) : device->table.recur_work(&recur)) / p->esize) + 1;
    hy_status status = HY_NEW("first keys", r->T, &p->lo);
    for (int s = 0; s < ARRAYS && status == HY_OK; s++) {
        status = hy_alloc("bench array", (size_t)p->size[s] * p->esize, &p->slots[s]);
    }
    for (int s = 0; s <= D_O && status == HY_OK; s++) {
        for (int64_t i = 0; i < p->size[s]; i++) {
            double x = input((slot)s, i % 100003, r->K);
            if (p->esize == 8) {
                ((double *)p->slots[s])[i] = (float)x;
            } else {
                ((float *)p->slots[s])[i] = (float)x;
            }
        }
    }
    if (status != HY_OK) {
        problem_fini(p);
    }
    return status;
}

/* Elements of slot `s` that differ by more than 1/500 of the reference's rms. */
static int64_t wrong_elements(const problem *fast, const problem *ref, slot s) {
    const float *a = fast->slots[s];
    const double *b = ref->slots[s];
    double sum = 0;
    int64_t wrong = 0;
    for (int64_t i = 0; i < ref->size[s]; i++) {
        sum += b[i] * b[i];
    }
    double bound = sqrt(sum / (double)(ref->size[s] + 1)) / 500;
    for (int64_t i = 0; i < ref->size[s]; i++) {
        wrong += !(fabs((double)a[i] - b[i]) <= bound);
    }
    return wrong;
}

static hy_status count_wrong(hy_device *fast, hy_device *reference, row r, int64_t *wrong) {
    problem a, b;
    r.T = WRONG_TOKENS;
    HY_TRY(problem_init(&a, fast, &r));
    hy_status status = problem_init(&b, reference, &r);
    if (status == HY_OK) {
        forward(&a);
        backward(&a);
        forward(&b);
        backward(&b);
        *wrong = 0;
        for (slot s = OUT; s <= DV; s++) {
            *wrong += wrong_elements(&a, &b, s);
        }
        *wrong += r.attention || r.decay == HY_DECAY_NONE ? 0 : wrong_elements(&a, &b, DG);
        *wrong += r.attention || r.rule == HY_RULE_ADDITIVE ? 0 : wrong_elements(&a, &b, DBETA);
        problem_fini(&b);
    }
    problem_fini(&a);
    return status;
}

static hy_status run_row(hy_device *fast, hy_device *reference, const row *r, double gemm, int64_t repeats, hy_text_table *table) {
    problem p;
    int64_t wrong = 0;
    HY_TRY(count_wrong(fast, reference, *r, &wrong));
    HY_TRY(problem_init(&p, fast, r));
    double best_fwd = 1e30, best_bwd = 1e30;
    for (int64_t i = 0; i < repeats; i++) {
        double t0 = hy_now();
        forward(&p);
        double t1 = hy_now();
        backward(&p);
        double t2 = hy_now();
        best_fwd = t1 - t0 < best_fwd ? t1 - t0 : best_fwd;
        best_bwd = t2 - t1 < best_bwd ? t2 - t1 : best_bwd;
    }
    problem_fini(&p);
    double T = (double)r->T, H = (double)r->H;
    double fwd = r->attention ? 4 * (double)r->K * T * T / 2 * H : T * H * hy_bench_recur_flops(r->rule, r->K, r->K);
    double both = best_fwd + best_bwd;
    hy_text_table_cell(table, "%s", r->attention ? "softmax attention" : r->rule == HY_RULE_DELTA ? "delta" : "additive");
    hy_text_table_cell(table, "%s", r->attention ? "causal" : decay_names[r->decay]);
    hy_text_table_cell(table, "%lld", (long long)r->K);
    hy_text_table_cell(table, "%lld", (long long)r->T);
    hy_text_table_cell(table, "%.2f", 1e3 * best_fwd);
    hy_text_table_cell(table, "%.2f", 1e3 * both);
    hy_text_table_cell(table, "%.1f", 3 * fwd / both / 1e9);
    hy_text_table_cell(table, "%.0f", 100 * fwd / best_fwd / gemm);
    hy_text_table_cell(table, "%.0f", 100 * 3 * fwd / both / gemm);
    hy_text_table_cell(table, "%lld", (long long)wrong);
    return HY_OK;
}

typedef struct sweep {
    int64_t heads, repeats, tokens, size;
    const char *only;
} sweep;

static hy_status run_all(const sweep *s, hy_device *fast, hy_device *reference, double gemm, hy_text_table *table) {
    const int64_t sizes[] = {64, 128}, linear_tokens[] = {8192, 65536}, softmax_tokens[] = {4096, 16384};
    for (int kind = 0; kind < 9; kind++) { /* 4 decays × 2 rules, attention */
        for (int i = 0; i < 4; i++) {
            row r = {.attention = kind == 8, .decay = (hy_decay)(kind & 3), .rule = kind >= 4 ? HY_RULE_DELTA : HY_RULE_ADDITIVE, .H = s->heads};
            r.K = sizes[i >> 1];
            r.T = s->tokens > 0 ? s->tokens : r.attention ? softmax_tokens[i & 1] : linear_tokens[i & 1];
            const char *name = r.attention ? "attention" : r.rule == HY_RULE_DELTA ? "delta" : "additive";
            bool wanted = !s->only || strstr(name, s->only) || (!r.attention && strcmp(decay_names[r.decay], s->only) == 0);
            if (wanted && (s->size == 0 || s->size == r.K) && !(s->tokens > 0 && (i & 1))) {
                HY_TRY(run_row(fast, reference, &r, gemm, s->repeats, table));
            }
        }
    }
    return HY_OK;
}

hy_status hy_bench_kernels(int argc, char **argv, hy_comm *world) {
    sweep s = {.heads = 4, .repeats = 3};
    const hy_option rows[] = {
        {"--tokens", HY_OPTION_INT, &s.tokens, "T", "one length instead of 8,192 and 65,536 (softmax: 4,096 and 16,384)"},
        {"--size", HY_OPTION_INT, &s.size, "K", "only head size 64 or 128"},
        {"--heads", HY_OPTION_INT, &s.heads, "H", "heads (default 4)"},
        {"--repeats", HY_OPTION_INT, &s.repeats, "N", "runs, of which the best counts (default 3)"},
        {"--only", HY_OPTION_TEXT, &s.only, "WORD", "additive, delta, attention, or a decay: none, head, scalar, vector"},
    };
    const hy_usage usage = {"hylas bench kernels [options]",
                            "Recurrences (every decay and rule) and softmax attention: times, and useful work as a share of the fp32\n"
                            "matrix-product rate of this run. Threads: OMP_NUM_THREADS. HYLAS_CPU=plain|avx2|avx512 restricts the kernels.",
                            rows, 5, 0, 0};
    hy_args args;
    hy_device fast, reference;
    hy_text_table *table = NULL;
    double gemm = 0;
    HY_TRY(hy_options_parse(&usage, argc, argv, world, &args));
    if (args.help) {
        return HY_OK;
    }
    HY_TRY(hy_device_init(&fast, "cpu", HY_F32));
    HY_TRY(hy_device_init(&reference, "cpu_ref", HY_F64));
    HY_TRY(hy_bench_gemm_rate(&fast, 2048, 5, &gemm));
    printf("table cpu (%s), fp32 product of 2048^3: %.1f GFLOP/s; work counted in chunks of 64, triangles halved\n\n", fast.table.detail, gemm / 1e9);
    HY_TRY(hy_text_table_create(10, (const char *const[]){"operation", "decay", "K=V", "T", "ms fwd", "ms fwd+bwd", "GFLOP/s", "% fwd", "% fwd+bwd", "#wrong"}, &table));
    hy_status status = run_all(&s, &fast, &reference, gemm, table);
    if (status == HY_OK) {
        status = hy_text_table_print(table, stdout);
    }
    hy_text_table_destroy(table);
    return status;
}
