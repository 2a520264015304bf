/* Every tolerance of the tests, with its reason. A value `got` passes against `want` when
 *
 *     |got − want| ≤ relative·|want| + of_rms·rms(want over its array)
 *
 * The second part is for sums: their rounding errors follow the size of the terms, which the array's rms stands for,
 * not the size of one result, which may be what is left after cancellation. float rounds at 6e-8, double at 1.1e-16. */
#ifndef HY_TESTS_TOLERANCE_H
#define HY_TESTS_TOLERANCE_H

typedef struct hy_tolerance {
    double relative, of_rms;
} hy_tolerance;

/* Copies, fills, one addition: the same roundings in the same places. */
#define HY_TOL_EXACT ((hy_tolerance){0, 0})

/* float, one element from a few operations and at most two calls of exp, log or division of about 1 ulp each. */
#define HY_TOL_F32_POINT ((hy_tolerance){2e-6, 1e-6})

/* float sums of up to a few thousand terms in any order: error grows as √n·6e-8 of the terms' rms. */
#define HY_TOL_F32_SUM ((hy_tolerance){1e-5, 1e-5})

/* float softmax attention: a score's absolute error is a relative error of its weight. Scores reach 60 here, each a sum
 * of up to 192 products: 60·6e-8·√192 = 5e-5. */
#define HY_TOL_F32_ATTENTION ((hy_tolerance){1e-4, 1e-4})

/* float recurrences: products of up to 153 terms chained over up to 131 tokens; the delta rule's triangular solve
 * multiplies errors by its condition, about 10 for unit keys. */
#define HY_TOL_F32_RECURRENCE ((hy_tolerance){1e-4, 1e-4})

/* bf16 rounds at 2^−8 = 0.0039; a result that is added to where it stands is rounded again each time. */
#define HY_TOL_BF16 ((hy_tolerance){6e-3, 4e-3})

/* bf16 has 8 bits of significand: one rounding is off by at most 2^−8 = 0.0039, here of what float has as above. */
#define HY_TOL_BF16_ONCE ((hy_tolerance){3.92e-3, 2e-5})

/* Sums in float of products whose factors are rounded to bf16 (softmax weights, score gradients; weights of a chunk, errors, states).
 * Bounds of a whole array's relative root mean square, and of one element, of_rms four times that: a factor is off by 2^−9/√3 =
 * 1.1e-3 (rms), a result is the sum of up to three products of two such factors, 2.8e-3 of its terms, and the largest of 1e5 errors is
 * 4.4 of these, or up to 10 where an error is a rounding times a normal factor. The terms of a row of an array are what counts: tokens
 * that read a state which came from elsewhere are sums of terms ten times the size of others', so of_rms is of the row's rms there. */
#define HY_BF16_OUTPUT_RMS       5e-3 /* outputs, */
#define HY_BF16_GRADIENT_RMS     8e-3 /* gradients of activations, with one more rounded factor, */
#define HY_BF16_GATE_RMS         2e-2 /* of decays, betas, scales of levels: differences of sums, of which less remains */
#define HY_TOL_BF16_FACTORS(rms) ((hy_tolerance){8e-3, 4 * (rms)})

/* The same in double: only the order of sums differs. */
#define HY_TOL_F64_REORDERED ((hy_tolerance){1e-12, 1e-12})

/* double, two different exact formulas (a recurrence against its closed form) over at most 200 tokens. */
#define HY_TOL_F64_FORMULA ((hy_tolerance){1e-10, 1e-10})

/* Central differences with step 1e-5 in double: truncation 1e-10·f''' and rounding 1e-16/1e-5, with room for losses
 * of size 100. */
#define HY_DIFFERENCE_STEP     1e-5
#define HY_TOL_F64_DIFFERENCES ((hy_tolerance){1e-6, 1e-7})

/* Relative root-mean-square errors of `hylas op` against vectors and models from elsewhere (tests/golden), which are float64 but for
 * the models' gradients: these were rounded to float32.
 *
 * bf16 keeps 8 bits: one rounding is off by 2^−9/√3 = 1.1e-3 (rms). Inputs and results of an operation are rounded, and in fast kernels
 * what lies between (the weights of a softmax, of a chunk): o 5e-3. A gradient has one more rounded factor, 8e-3. Gradients of decays and
 * betas are differences of sums, of which less remains: 2e-2.
 *
 * In a model the roundings of all layers add up: logits 2e-2; of the gradients the median over the parameters is bounded by 5e-2, each
 * only loosely, since some are small rests of large terms. The models named are worse conditioned than that: with nothing but their
 * matrices rounded to bf16, in float64 otherwise, errors of logits and the gradients' median are
 *   gated_deltanet 1.5e-2 1.4e-1, gated_deltanet_hybrid 8e-3 2.3e-2, hf_olmo_hybrid 2.3e-2 5.9e-2, hf_qwen3_5 1.0e-2 6.3e-2,
 *   linear_attn 1.6e-2 3.3e-2, rebased 5e-3 4.6e-2
 * and the roundings of activations are as large, and others on every rank count and table (gated_deltanet_hybrid 3.7e-2 to 1.4e-1). */
typedef struct hy_golden_bounds {
    const char *kind, *precision, *name; /* name: of one model, NULL of all others */
    double forward, gradient, decay;     /* decay: gradients of decays and betas */
    double median;                       /* of a file's gradients; 0: none */
} hy_golden_bounds;

static const hy_golden_bounds hy_golden[] = {
    {"ops", "f64", NULL, 1e-10, 1e-10, 1e-10, 0},
    {"ops", "f32", NULL, 1e-5, 1e-4, 1e-4, 0},
    {"ops", "bf16", NULL, 5e-3, 8e-3, 2e-2, 0},
    {"models", "f64", NULL, 1e-9, 1e-6, 1e-6, 0},
    {"models", "f32", NULL, 1e-5, 1e-4, 1e-4, 0},
    {"models", "bf16", "gated_deltanet", 3e-2, 0.5, 0.5, 2e-1},
    {"models", "bf16", "gated_deltanet_hybrid", 2e-2, 0.5, 0.5, 2e-1},
    {"models", "bf16", "hf_olmo_hybrid", 4e-2, 2.0, 2.0, 1e-1},
    {"models", "bf16", "hf_qwen3_5", 2e-2, 1.5, 1.5, 1e-1},
    {"models", "bf16", "linear_attn", 3e-2, 0.5, 0.5, 7e-2},
    {"models", "bf16", "rebased", 2e-2, 1.0, 1.0, 8e-2},
    {"models", "bf16", NULL, 2e-2, 0.5, 0.5, 5e-2},
};

#endif
