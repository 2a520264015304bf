/* Of parity.h: how a case is described. */
#ifndef HY_TESTS_PARITY_CASE_H
#define HY_TESTS_PARITY_CASE_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "kernels/device_internal.h"
#include "tests/parity_device.h"
#include "tests/parity_roles.h"
#include "tests/tolerance.h"

#define PARITY_UNUSED __attribute__((unused))

typedef enum parity_role { PARITY_INPUT, PARITY_OVERWRITTEN, PARITY_UPDATED } parity_role;

enum { PARITY_BUFFERS = 24, PARITY_TABLES = 14, PARITY_GUARD = 64, PARITY_HOST = 64, PARITY_NO_FIELD = -1 };

typedef struct parity_buffer {
    long field, alias; /* offsets of the pointers in the args struct */
    const char *type, *name;
    int64_t n, row; /* row: of a matrix of rows that differ in size, else 0 */
    parity_role role;
    double *start; /* [n] */
    double *want;  /* [n] what the reference made of it */
} parity_buffer;

typedef struct parity {
    hy_table reference, tables[PARITY_TABLES];
    int n_tables;
    parity_memory memory[2]; /* with HYLAS_PARITY_DEVICE: of the table of f32, of bf16 */
    int each;                /* HYLAS_PARITY_EACH; 1 */
    uint64_t seed;
    double slack;   /* what tolerances are multiplied by: 1; 2 for inputs other than those they were found with */
    int rests_host; /* cuda_host is left out: some cases of a long list are enough where every lane is interpreted */
    uint64_t draws;
    /* the case at hand */
    hy_op_id op;
    char label[200];
    parity_args args;
    hy_tolerance tolerance;
    double condition; /* what an ill-conditioned system multiplies an element's error by where factors are rounded; 1 */
    double terms; /* size of the terms that outputs are sums of, if these may cancel in a whole array; counts as rms */
    parity_buffer buffers[PARITY_BUFFERS];
    int n_buffers;
    long scalar;     /* offset of a `double *` that the operation adds to, PARITY_NO_FIELD if none */
    long host_array; /* offset of a `double *` to host_n values that it overwrites, PARITY_NO_FIELD if none */
    int64_t host_n;
    double scalar_want, host_want[PARITY_HOST];
    /* totals */
    int64_t cases, failures;
    double worst;     /* largest error ÷ tolerance seen */
    double worst_rms; /* the same of whole arrays where factors are rounded to bf16 */
} parity;

static PARITY_UNUSED void parity_begin(parity *p, hy_op_id op, hy_tolerance tolerance) {
    p->op = op;
    p->tolerance = tolerance;
    p->condition = 1;
    p->terms = 0;
    p->n_buffers = 0;
    p->scalar = PARITY_NO_FIELD;
    p->host_array = PARITY_NO_FIELD;
    p->host_n = 0;
    memset(&p->args, 0, sizeof p->args);
    snprintf(p->label, sizeof p->label, "%s", hy_op_name(op));
}

static PARITY_UNUSED double parity_uniform(parity *p) {
    return hy_random_uniform(p->seed, 2, p->draws++);
}

/* A buffer for the pointer at `field`, start values N(0,1) for inputs and updated outputs, NaN for overwritten ones.
 * Returns the start values, to be changed before the case runs; they are rounded to float then. */
static PARITY_UNUSED double *parity_buffer_add(parity *p, const char *type, const char *name, size_t field, int64_t n,
                                               parity_role role) {
    parity_buffer *b = &p->buffers[p->n_buffers++];
    *b = (parity_buffer){
        .field = (long)field, .alias = PARITY_NO_FIELD, .type = type, .name = name, .n = n, .role = role};
    b->start = malloc((size_t)(n + 1) * sizeof(double));
    b->want = malloc((size_t)(n + 1) * sizeof(double));
    for (int64_t i = 0; i < n; i++)
        b->start[i] = role == PARITY_OVERWRITTEN ? NAN : hy_random_normal(p->seed, 1, p->draws++);
    return b->start;
}

#define PARITY_IN(p, type, member, n)                                                                                  \
    parity_buffer_add((p), #type, #member, offsetof(type##_args, member), (n), PARITY_INPUT)
#define PARITY_OUT(p, type, member, n)                                                                                 \
    parity_buffer_add((p), #type, #member, offsetof(type##_args, member), (n), PARITY_OVERWRITTEN)
#define PARITY_ACC(p, type, member, n)                                                                                 \
    parity_buffer_add((p), #type, #member, offsetof(type##_args, member), (n), PARITY_UPDATED)
#define PARITY_OUT_IF(p, type, member, n, acc)                                                                         \
    parity_buffer_add((p), #type, #member, offsetof(type##_args, member), (n),                                         \
                      (acc) ? PARITY_UPDATED : PARITY_OVERWRITTEN)
/* The buffer added last is also `member`. */
#define PARITY_ALIAS(p, type, member)                                                                                  \
    ((p)->buffers[(p)->n_buffers - 1].alias = (long)offsetof(type##_args, member),                                     \
     (p)->buffers[(p)->n_buffers - 1].role = PARITY_UPDATED)
/* The buffer added last holds rows of `length`, whose results may be terms of very different sizes (HY_TOL_BF16_FACTORS). */
#define PARITY_ROWS(p, length)              ((p)->buffers[(p)->n_buffers - 1].row = (length))
#define PARITY_SCALAR(p, type, member)      ((p)->scalar = (long)offsetof(type##_args, member))
#define PARITY_HOST_OUT(p, type, member, n) ((p)->host_array = (long)offsetof(type##_args, member), (p)->host_n = (n))

static PARITY_UNUSED void parity_uniform_fill(parity *p, double *x, int64_t n, double low, double high) {
    for (int64_t i = 0; i < n; i++)
        x[i] = low + (high - low) * parity_uniform(p);
}

#endif
