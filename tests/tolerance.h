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

/* The same in double: only the order of sums differs. */
#define HY_TOL_F64_REORDERED ((hy_tolerance){1e-12, 1e-12})

/* double, two different exact formulas (a recurrence against its closed form) over at most 200 tokens. */
#define HY_TOL_F64_FORMULA ((hy_tolerance){1e-10, 1e-10})

/* Central differences with step 1e-5 in double: truncation 1e-10·f''' and rounding 1e-16/1e-5, with room for losses
 * of size 100. */
#define HY_DIFFERENCE_STEP     1e-5
#define HY_TOL_F64_DIFFERENCES ((hy_tolerance){1e-6, 1e-7})

#endif
