/* What `hylas bench kernels` measures: one core operation, forward and backward, of one size. */
#ifndef HY_LAUNCH_BENCH_H
#define HY_LAUNCH_BENCH_H

#include <stdbool.h>

#include "comm/comm.h"
#include "kernels/kernels.h"

typedef struct hy_bench_op {
    bool attention; /* softmax, causal; else the recurrence of decay and rule */
    hy_decay decay;
    hy_rule rule;
    int exclusive;
    int64_t B, T, H, K, V; /* B sequences of T tokens each */
} hy_bench_op;

/* "recur scalar delta", "attention". */
void hy_bench_op_name(const hy_bench_op *op, char *name, size_t size);
double hy_bench_op_work(const hy_bench_op *op); /* useful operations of the forward pass; backward: twice that */

/* Every array of one operation in one precision, in the device's memory. Inputs are the same for every T (a prefix), and for every precision: numbers that
 * `inputs` holds exactly. */
enum { HY_BENCH_ARRAYS = 20, HY_BENCH_SEQUENCES_MAX = 64 };
typedef struct hy_bench_run {
    hy_bench_op op;
    hy_dtype dtype, inputs;
    hy_device *device;
    void *runs, *pairs, *lo; /* lists: hy_run [B], hy_attn_pair [B], int64_t [B,T] */
    void *arrays[HY_BENCH_ARRAYS];
} hy_bench_run;

HY_MUST_CHECK hy_status hy_bench_run_init(const hy_bench_op *op, const char *table, hy_dtype dtype, hy_dtype inputs,
                                          hy_bench_run *run);
void hy_bench_run_fini(hy_bench_run *run);
/* One pass, in seconds (hy_seconds_of_call). */
double hy_bench_run_fwd(hy_bench_run *run);
double hy_bench_run_bwd(hy_bench_run *run);

/* The operations to measure, without sizes: all, or those with `only` in their name, or, where there is none, those of the mixers with it in
 * theirs. HY_ERR_USAGE listing what there is. */
enum { HY_BENCH_OPS_MAX = 16 };
HY_MUST_CHECK hy_status hy_bench_choose_ops(const char *only, hy_bench_op ops[HY_BENCH_OPS_MAX], int *n_ops);

/* Elements of outputs and gradients of a short run of `op` by `table` in `dtype` that are off from cpu_ref in
 * float64, or not finite. */
HY_MUST_CHECK hy_status hy_bench_count_wrong(const hy_bench_op *op, const char *table, hy_dtype dtype, int64_t *wrong);

/* Products of linear layers by `table`: `report` is called with each, what it is for, and the best of its rates in operations per
 * second. */
typedef void (*hy_bench_product_fn)(void *context, const char *pass, const hy_gemm_args *product, double rate);
HY_MUST_CHECK hy_status hy_bench_products(const char *table, hy_dtype dtype, hy_bench_product_fn report, void *context);

/* The benches. Collective. */
HY_MUST_CHECK hy_status hy_bench_kernels(int argc, char **argv, hy_comm *world);
HY_MUST_CHECK hy_status hy_bench_step(int argc, char **argv, hy_comm *world);
HY_MUST_CHECK hy_status hy_bench_sp(int argc, char **argv, hy_comm *world);

#endif
