/* One operation for `hylas bench kernels`: its memory, its inputs, its passes, and how many of its results are wrong.
 *
 * Inputs are those of a trained layer: q and k of norm 1, log decays in (-0.1, 0) but for one constant per head, beta
 * in (0, 1). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "launch/bench/bench.h"
#include "launch/bench/machine_rates.h"
#include "launch/bench/useful_work.h"

enum { Q, K_, A_, B_, V_, G, BETA, D_O, INPUTS, O = INPUTS, Y, LSE, DELTA, DQ, DK, DV, DA, DB, DG, DBETA, WORK };

static const char *const decay_names[] = {"none", "head", "scalar", "vector"};
static const char *const rule_names[] = {"additive", "delta", "dplr"};

void hy_bench_op_name(const hy_bench_op *op, char *name, size_t size) {
    if (op->attention) {
        snprintf(name, size, "attention");
    } else {
        snprintf(name, size, "recur %s %s", decay_names[op->decay], op->exclusive ? "exclusive" : rule_names[op->rule]);
    }
}

double hy_bench_op_work(const hy_bench_op *op) {
    return op->attention ? (double)op->B * hy_useful_attention(op->T, op->H, op->K, 0)
                         : hy_useful_recurrence(op->rule, op->B * op->T, op->H, op->K, op->V);
}

/* Elements of an array, 0 where the operation has none. */
static int64_t elements(const hy_bench_op *op, int array) {
    const int64_t rows = op->B * op->T * op->H;
    switch (array) {
    case Q:
    case K_:
    case DQ:
    case DK:
        return rows * op->K;
    case A_:
    case B_:
    case DA:
    case DB:
        return op->attention || op->rule != HY_RULE_DPLR ? 0 : rows * op->K;
    case V_:
    case D_O:
    case O:
    case DV:
        return rows * op->V;
    case G:
    case DG:
        if (op->attention || op->decay == HY_DECAY_NONE) {
            return 0;
        }
        return op->decay == HY_DECAY_HEAD ? op->H : op->decay == HY_DECAY_SCALAR ? rows : rows * op->K;
    case BETA:
    case DBETA:
        return op->attention || op->rule != HY_RULE_DELTA ? 0 : rows;
    case Y: /* attention's finished output: o, rounded */
        return op->attention ? rows * op->V : 0;
    default: /* LSE, DELTA */
        return op->attention ? rows : 0;
    }
}

/* kernels.h: what attention adds to from block to block is stat. */
static hy_role role_of(const hy_bench_op *op, int array) {
    switch (array) {
    case G:
    case BETA:
    case LSE:
    case DELTA:
    case DG:
    case DBETA:
        return HY_ROLE_STAT;
    case O:
    case DQ:
    case DK:
    case DV:
        return op->attention ? HY_ROLE_STAT : HY_ROLE_ACT;
    default:
        return HY_ROLE_ACT;
    }
}

static hy_recur_args recur_args(const hy_bench_run *r) {
    const hy_bench_op *op = &r->op;
    void *const *a = r->arrays;
    return (hy_recur_args){.decay = op->decay,
                           .rule = op->rule,
                           .exclusive = op->exclusive,
                           .T = op->B * op->T,
                           .H = op->H,
                           .HV = op->H,
                           .K = op->K,
                           .V = op->V,
                           .scale = 1 / sqrt((double)op->K),
                           .runs = r->runs,
                           .n_runs = op->B,
                           .run_tokens = op->B * op->T,
                           .run_longest = op->T,
                           .q = a[Q],
                           .k = a[K_],
                           .a = a[A_],
                           .b = a[B_],
                           .v = a[V_],
                           .g = a[G],
                           .beta = a[BETA],
                           .work = a[WORK],
                           .o = a[O],
                           .d_o = a[D_O],
                           .dq = a[DQ],
                           .dk = a[DK],
                           .da = a[DA],
                           .db = a[DB],
                           .dv = a[DV],
                           .dg = a[DG],
                           .dbeta = a[DBETA]};
}

static hy_attn_args attn_args(const hy_bench_run *r) {
    const hy_bench_op *op = &r->op;
    void *const *a = r->arrays;
    return (hy_attn_args){.H = op->H,
                          .HKV = op->H,
                          .D = op->K,
                          .DV = op->V,
                          .scale = 1 / sqrt((double)op->K),
                          .pairs = r->pairs,
                          .sight = op->B == 1 ? HY_ATTN_CAUSAL : HY_ATTN_SOME,
                          .known = op->B == 1 ? (hy_attn_pair){.nq = op->T, .nk = op->T} : (hy_attn_pair){0},
                          .n_pairs = op->B,
                          .nq = op->T,
                          .nk = op->T,
                          .lo = r->lo,
                          .q = a[Q],
                          .k = a[K_],
                          .v = a[V_],
                          .o = a[O],
                          .lse = a[LSE],
                          .d_o = a[D_O],
                          .delta = a[DELTA],
                          .dq = a[DQ],
                          .dk = a[DK],
                          .dv = a[DV],
                          .work = a[WORK]};
}

/* ---- inputs ---- */

static hy_dtype dtype_of(const hy_bench_run *r, int array) {
    return hy_dtype_of(r->dtype, role_of(&r->op, array));
}

static void put_value(const hy_bench_run *r, int array, void *data, int64_t i, double value) {
    const bool half = hy_dtype_of(r->inputs, role_of(&r->op, array)) == HY_BF16;
    const float rounded = half ? hy_bf16_value(hy_bf16_of((float)value)) : (float)value;
    const hy_dtype dtype = dtype_of(r, array);
    if (dtype == HY_F64) {
        ((double *)data)[i] = (double)rounded;
    } else if (dtype == HY_F32) {
        ((float *)data)[i] = rounded;
    } else {
        ((hy_bf16 *)data)[i] = hy_bf16_of(rounded);
    }
}

static double get_value(const hy_bench_run *r, int array, const void *data, int64_t i) {
    const hy_dtype dtype = dtype_of(r, array);
    return dtype == HY_F64   ? ((const double *)data)[i]
           : dtype == HY_F32 ? (double)((const float *)data)[i]
                             : (double)hy_bf16_value(((const hy_bf16 *)data)[i]);
}

static size_t bytes_of(const hy_bench_run *r, int array) {
    return (size_t)elements(&r->op, array) * hy_dtype_size(dtype_of(r, array));
}

enum {
    POOL = 65521
}; /* a prime, so that rows of one array differ; drawing every number would take longer than the bench */

/* Of a normal number, in (0, 1). */
static double uniform_of(double x) {
    return 0.5 * erfc(x * sqrt(0.5));
}

static void draw_array(const hy_bench_run *r, int array, const double *pool, void *data) {
    const int64_t n = elements(&r->op, array), cols = array <= B_ ? r->op.K : 1;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i += cols) {
        double squares = 0;
        for (int64_t j = 0; cols > 1 && j < cols; j++) {
            squares += pool[(i + j + 7919 * array) % POOL] * pool[(i + j + 7919 * array) % POOL];
        }
        for (int64_t j = 0; j < cols; j++) {
            const double x = pool[(i + j + 7919 * array) % POOL];
            double value = x;
            if (cols > 1) {
                value = (array == B_ ? -0.5 : 1) * x / sqrt(squares);
            } else if (array == G) {
                value = r->op.decay == HY_DECAY_HEAD ? log1p(-exp2(-5.0 - (double)(i + j))) : -0.1 * uniform_of(x);
            } else if (array == BETA) {
                value = uniform_of(x);
            }
            put_value(r, array, data, i + j, value);
        }
    }
}

static hy_status fill_array(const hy_bench_run *r, int array, const double *pool) {
    void *data = NULL;
    HY_TRY(hy_alloc("inputs of the bench", bytes_of(r, array), &data));
    draw_array(r, array, pool, data);
    hy_device_write(r->device, data, bytes_of(r, array), r->arrays[array]);
    hy_free(data);
    return HY_OK;
}

static hy_status fill_inputs(const hy_bench_run *r) {
    double *pool = NULL;
    HY_TRY(HY_NEW("random numbers", POOL, &pool));
    for (int64_t i = 0; i < POOL; i++) {
        pool[i] = hy_random_normal(1, 1, (uint64_t)i);
    }
    hy_status status = HY_OK;
    for (int array = 0; array < INPUTS && status == HY_OK; array++) {
        status = elements(&r->op, array) > 0 ? fill_array(r, array, pool) : HY_OK;
    }
    hy_free(pool);
    return status;
}

/* ---- a run ---- */

static hy_status send_list(hy_bench_run *r, const char *what, const void *list, size_t bytes, void **out) {
    HY_TRY(hy_device_alloc(r->device, what, bytes, out));
    hy_device_write(r->device, list, bytes, *out);
    return HY_OK;
}

/* Where a sequence begins, everywhere in it. */
static hy_status send_first_keys(hy_bench_run *r) {
    const int64_t tokens = r->op.B * r->op.T;
    int64_t *lo = NULL;
    HY_TRY(HY_NEW("first keys", tokens, &lo));
    for (int64_t t = 0; t < tokens; t++) {
        lo[t] = t / r->op.T * r->op.T;
    }
    const hy_status status = send_list(r, "first keys of the bench", lo, (size_t)tokens * sizeof *lo, &r->lo);
    hy_free(lo);
    return status;
}

static hy_status send_lists(hy_bench_run *r) {
    const int64_t T = r->op.T;
    hy_run runs[HY_BENCH_SEQUENCES_MAX];
    hy_attn_pair pairs[HY_BENCH_SEQUENCES_MAX];
    for (int64_t i = 0; i < r->op.B; i++) {
        runs[i] = (hy_run){i * T, T, -1, -1};
        pairs[i] = (hy_attn_pair){i * T, T, i * T, i * T, T, i * T};
    }
    if (!r->op.attention) {
        return send_list(r, "runs of the bench", runs, (size_t)r->op.B * sizeof *runs, &r->runs);
    }
    HY_TRY(send_list(r, "pairs of the bench", pairs, (size_t)r->op.B * sizeof *pairs, &r->pairs));
    return send_first_keys(r);
}

static hy_status reserve_arrays(hy_bench_run *r) {
    const hy_bench_op *op = &r->op;
    for (int array = 0; array < WORK; array++) {
        if (elements(op, array) > 0) {
            HY_TRY(hy_device_alloc(r->device, "array of the bench", bytes_of(r, array), &r->arrays[array]));
        }
    }
    HY_TRY(send_lists(r));
    const hy_recur_args recur = recur_args(r);
    const hy_attn_args attn = attn_args(r);
    if (op->attention) {
        hy_device_plan_attn(r->device, &attn);
    }
    const size_t work = op->attention ? hy_device_profile(r->device)->attn_work(&attn)
                                      : hy_device_profile(r->device)->recur_work(&recur);
    HY_TRY(hy_device_alloc(r->device, "scratch of the bench", work, &r->arrays[WORK]));
    return fill_inputs(r);
}

hy_status hy_bench_run_init(const hy_bench_op *op, const char *table, hy_dtype dtype, hy_dtype inputs,
                            hy_bench_run *run) {
    *run = (hy_bench_run){.op = *op, .dtype = dtype, .inputs = inputs};
    HY_TRY(hy_device_create(table, dtype, &run->device));
    const hy_status status = reserve_arrays(run);
    if (status != HY_OK) {
        hy_bench_run_fini(run);
    }
    return status;
}

void hy_bench_run_fini(hy_bench_run *run) {
    for (int array = 0; array < HY_BENCH_ARRAYS; array++) {
        hy_device_free(run->device, run->arrays[array]);
    }
    hy_device_free(run->device, run->runs);
    hy_device_free(run->device, run->pairs);
    hy_device_free(run->device, run->lo);
    hy_device_destroy(run->device);
}

static void fill_bench_array(hy_bench_run *r, int array, double value) {
    hy_fill(r->device,
            &(hy_fill_args){
                .n = elements(&r->op, array), .value = value, .y = r->arrays[array], .role = role_of(&r->op, array)});
}

/* What the passes add to, as it is before them. */
static void begin_fwd(hy_bench_run *r) {
    if (r->op.attention) {
        fill_bench_array(r, O, 0);
        fill_bench_array(r, LSE, -(double)INFINITY);
    }
}

static void begin_bwd(hy_bench_run *r) {
    if (!r->op.attention) {
        fill_bench_array(r, DG, 0);
        return;
    }
    for (int array = DQ; array <= DV; array++) {
        fill_bench_array(r, array, 0);
    }
    hy_axpy(r->device, &(hy_axpy_args){.n = elements(&r->op, O),
                                       .a = 1,
                                       .x = r->arrays[O],
                                       .y = r->arrays[Y],
                                       .from = HY_ROLE_STAT,
                                       .to = HY_ROLE_ACT});
}

static void pass_fwd(void *run) {
    hy_bench_run *r = run;
    const hy_recur_args recur = recur_args(r);
    const hy_attn_args attn = attn_args(r);
    if (r->op.attention) {
        hy_attn_fwd(r->device, &attn);
    } else {
        hy_recur_fwd(r->device, &recur);
    }
}

static void pass_bwd(void *run) {
    hy_bench_run *r = run;
    const hy_recur_args recur = recur_args(r);
    const hy_attn_args attn = attn_args(r);
    if (!r->op.attention) {
        hy_recur_bwd(r->device, &recur);
        return;
    }
    hy_attn_delta(r->device, &(hy_attn_delta_args){.rows = r->op.B * r->op.T * r->op.H,
                                                   .DV = r->op.V,
                                                   .y = r->arrays[Y],
                                                   .d_o = attn.d_o,
                                                   .delta = r->arrays[DELTA]});
    hy_attn_bwd(r->device, &attn);
}

double hy_bench_run_fwd(hy_bench_run *r) {
    begin_fwd(r);
    return hy_seconds_of_call(r->device, pass_fwd, r);
}

double hy_bench_run_bwd(hy_bench_run *r) {
    begin_bwd(r);
    return hy_seconds_of_call(r->device, pass_bwd, r);
}

/* ---- wrong elements ---- */

static void run_once(hy_bench_run *r) {
    begin_fwd(r);
    pass_fwd(r);
    begin_bwd(r);
    pass_bwd(r);
}

/* float32 sums of a few hundred terms chained over a few chunks agree to about 1e-5 of the array's rms; a wrong formula
 * does not to 1e-3. In bf16, whose roundings are 2e-3, single elements of gradients are off by ten of them. */
static int64_t count_wrong(const hy_bench_run *got, const hy_bench_run *want, int array, const void *const data[2]) {
    const double tolerance = got->dtype == HY_BF16 ? 5e-2 : 1e-3;
    const int64_t n = elements(&got->op, array);
    double squares = 0;
    int64_t wrong = 0;
    for (int64_t i = 0; i < n; i++) {
        squares += get_value(want, array, data[1], i) * get_value(want, array, data[1], i);
    }
    const double rms = n > 0 ? sqrt(squares / (double)n) : 0;
    for (int64_t i = 0; i < n; i++) {
        const double right = get_value(want, array, data[1], i);
        const double off = fabs(get_value(got, array, data[0], i) - right);
        wrong += !(off <= tolerance * (fabs(right) + rms));
    }
    return wrong;
}

/* An array of both, brought to the host. */
static hy_status compare_array(const hy_bench_run *got, const hy_bench_run *want, int array, int64_t *wrong) {
    const hy_bench_run *runs[] = {got, want};
    void *data[2] = {NULL, NULL};
    hy_status status = HY_OK;
    for (int i = 0; i < 2 && status == HY_OK; i++) {
        status = hy_alloc("array of the bench, to look at", bytes_of(runs[i], array), &data[i]);
        if (status == HY_OK) {
            hy_device_read(runs[i]->device, runs[i]->arrays[array], bytes_of(runs[i], array), data[i]);
        }
    }
    if (status == HY_OK) {
        *wrong += count_wrong(got, want, array, (const void *const *)data);
    }
    hy_free(data[0]);
    hy_free(data[1]);
    return status;
}

static int64_t at_most(int64_t a, int64_t most) {
    return a < most ? a : most;
}

hy_status hy_bench_count_wrong(const hy_bench_op *op, const char *table, hy_dtype dtype, int64_t *wrong) {
    enum { PREFIX = 203, SEQUENCES = 2, HEADS = 4 }; /* three chunks of 64 and a rest */
    static const int outputs[] = {O, DQ, DK, DV, DA, DB, DG, DBETA};
    hy_bench_op prefix = *op;
    hy_bench_run got, want;
    prefix.T = at_most(op->T, PREFIX);
    prefix.B = at_most(op->B, SEQUENCES);
    prefix.H = at_most(op->H, HEADS);
    HY_TRY(hy_bench_run_init(&prefix, table, dtype, dtype, &got));
    hy_status status = hy_bench_run_init(&prefix, "cpu_ref", HY_F64, dtype, &want);
    if (status == HY_OK) {
        run_once(&got);
        run_once(&want);
        *wrong = 0;
        for (size_t i = 0; i < sizeof outputs / sizeof outputs[0] && status == HY_OK; i++) {
            status = compare_array(&got, &want, outputs[i], wrong);
        }
        hy_bench_run_fini(&want);
    }
    hy_bench_run_fini(&got);
    return status;
}
