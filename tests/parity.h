/* Runs one operation on several tables with the same inputs and compares every output with cpu_ref in double. Tables of bf16 get a run
 * of their own, whose start values bf16 represents where an array's role makes it so.
 *
 * A case is described, not executed: its args struct with shapes and flags, and for each pointer a buffer with start
 * values that float represents exactly. For each table the harness places the buffers between sentinels, at addresses
 * aligned to nothing but the element (to 16 bytes in every second case), hands out `work` filled with NaN, calls the table entry and checks that
 *   - outputs agree within the case's tolerance; what the reference leaves untouched is untouched (still NaN);
 *   - outputs are finite where the reference is, inputs keep every bit, and no sentinel changed.
 * An overwritten output starts as NaN, so an operation that reads it shows. Where it is built, cuda_host runs those operations that it has
 * of its own, each case in another order of lanes.
 *
 *   HYLAS_PARITY_DEVICE=cuda   instead of all these tables: this device, in memory of its own (parity_device.h), f32 and bf16
 *   HYLAS_PARITY_EACH=7        there, and on cuda_host: one case of so many
 *   HYLAS_PARITY_SEED=1        of the inputs */
#ifndef HY_TESTS_PARITY_H
#define HY_TESTS_PARITY_H

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
    int interpreted_each;    /* interpreted tables run one case of so many; 1 */
    int each;                /* HYLAS_PARITY_EACH; 1 */
    uint64_t seed;
    double
        slack; /* what tolerances are multiplied by: 1; of other inputs than those they were found with 2, as single errors vary */
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

/* ---- describing a case ---- */

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

/* ---- running it ---- */

static void parity_call(const hy_table *table, hy_op_id op, parity_args *args) {
    switch (op) {
#define HY_X(op, type)                                                                                                 \
    case HY_OP_##op:                                                                                                   \
        table->op(&args->op);                                                                                          \
        break;
        HY_OPS(HY_X)
#undef HY_X
    case HY_OP_COUNT:
        break;
    }
}

static void *parity_field(parity_args *args, long field) {
    return (char *)args + field;
}

static void parity_put(unsigned char *data, hy_dtype dtype, int64_t i, double x) {
    if (dtype == HY_F64)
        memcpy(data + 8 * i, &x, 8);
    else if (dtype == HY_F32)
        memcpy(data + 4 * i, &(float){(float)x}, 4);
    else
        memcpy(data + 2 * i, &(hy_bf16){hy_bf16_of((float)x).bits}, 2);
}

static double parity_get(const unsigned char *data, hy_dtype dtype, int64_t i) {
    double x;
    float f;
    hy_bf16 half;
    if (dtype == HY_F64) {
        memcpy(&x, data + 8 * i, 8);
        return x;
    }
    if (dtype == HY_BF16) {
        memcpy(&half, data + 2 * i, 2);
        return (double)hy_bf16_value(half);
    }
    memcpy(&f, data + 4 * i, 4);
    return (double)f;
}

/* A block of `bytes` between sentinels; offset from the allocation by the guard and one element. */
static unsigned char *parity_block(size_t bytes, size_t shift) {
    unsigned char *raw = malloc(bytes + 2 * PARITY_GUARD + shift);
    memset(raw, 0xA5, bytes + 2 * PARITY_GUARD + shift);
    return raw + PARITY_GUARD + shift;
}

static int parity_block_intact_free(unsigned char *block, size_t bytes, size_t shift) {
    int intact = 1;
    unsigned char *raw = block - PARITY_GUARD - shift;
    for (size_t i = 0; i < PARITY_GUARD + shift; i++)
        intact &= raw[i] == 0xA5;
    for (size_t i = 0; i < PARITY_GUARD; i++)
        intact &= block[bytes + i] == 0xA5;
    free(raw);
    return intact;
}

static void parity_fail(parity *p, const hy_table *table, const char *what) {
    if (p->failures++ < 20)
        print_error("%s on %s/%s: %s\n", p->label, table->name, table->detail, what);
}

static int parity_uses_recur_work(hy_op_id op) {
    return op == HY_OP_recur_map || op == HY_OP_recur_fwd || op == HY_OP_recur_inject || op == HY_OP_recur_map_bwd ||
           op == HY_OP_recur_bwd;
}

static int parity_uses_level_work(hy_op_id op) {
    return op == HY_OP_level_fwd || op == HY_OP_level_map_bwd || op == HY_OP_level_bwd;
}

/* Fewer numbers, say the gradient of a decay per head, have no root mean square to speak of. */
enum { PARITY_RMS_OF = 32 };

/* Whether a table rounds factors of products to bf16, so that its float results are no closer than that. */
static int parity_rounds_factors(const hy_table *table, hy_op_id op) {
    const int attention = op == HY_OP_attn_fwd || op == HY_OP_attn_bwd;
    if (table->dtype != HY_BF16)
        return 0;
    if (strncmp(table->name, "cuda", 4) == 0)
        return attention || parity_uses_recur_work(op) || parity_uses_level_work(op);
    return strcmp(table->detail, "amx") == 0 && (attention || op == HY_OP_recur_fwd || op == HY_OP_recur_bwd);
}

/* What errors are relative to beside the array's own size: of a map, what it begins as, the root mean square of the identity, of which little
 * may be left; of a single number, which may be anything, a draw of the inputs. */
static double parity_terms(const parity *p, const hy_table *table, const char *name, int64_t n) {
    if (n == 1)
        return fmax(p->terms, 1);
    const int identity =
        strcmp(name, "A_map") == 0 && parity_uses_recur_work(p->op) && parity_rounds_factors(table, p->op);
    return identity ? fmax(p->terms, 1 / sqrt((double)p->args.recur_map.K)) : p->terms;
}

/* Root mean square of what is finite. */
static double parity_rms(const double *x, int64_t n) {
    double squares = 0;
    int64_t finite = 0;
    for (int64_t i = 0; i < n; i++) {
        squares += isfinite(x[i]) ? x[i] * x[i] : 0;
        finite += isfinite(x[i]) ? 1 : 0;
    }
    return finite > 0 ? sqrt(squares / (double)finite) : 0;
}

/* Relative root mean square error that such a table's array may have. dl, what is left of a row's output times its gradient, is as dg. */
static double parity_rounds_bound(const char *field) {
    const char *name = strncmp(field, "base.", 5) == 0 ? field + 5 : field; /* of hy_level_recur */
    if (strcmp(name, "dg") == 0 || strcmp(name, "dbeta") == 0 || strcmp(name, "dl") == 0)
        return HY_BF16_GATE_RMS;
    return strcmp(name, "o") == 0 ? HY_BF16_OUTPUT_RMS : HY_BF16_GRADIENT_RMS;
}

/* `dtype`: of the array; `row`: as in parity_buffer. */
static void parity_compare(parity *p, const hy_table *table, const char *name, hy_dtype dtype, const double *want,
                           double *got, int64_t n, int64_t row) {
    const hy_tolerance half = p->tolerance.relative <= HY_TOL_F32_SUM.relative ? HY_TOL_BF16_ONCE : HY_TOL_BF16;
    const hy_tolerance tol = dtype == HY_F64 ? HY_TOL_F64_REORDERED
                             : parity_rounds_factors(table, p->op)
                                 ? HY_TOL_BF16_FACTORS(p->condition * parity_rounds_bound(name))
                             : dtype == HY_BF16 ? half
                                                : p->tolerance;
    const int by_row = row > 0 && parity_rounds_factors(table, p->op);
    const double whole = fmax(parity_terms(p, table, name, n), parity_rms(want, n));
    double worst = 0, errors = 0, rms = whole;
    int64_t at = -1, finite = 0;
    for (int64_t i = 0; i < n; i++) {
        finite += isfinite(want[i]) ? 1 : 0;
        if (by_row && i % row == 0)
            rms = fmax(whole, parity_rms(want + i, row));
        if (want[i] == got[i] || (isnan(want[i]) && isnan(got[i])))
            continue;
        errors += (got[i] - want[i]) * (got[i] - want[i]);
        /* The floor is for a whole array of 1e-25, such as the transition of a run that forgets everything: what
         * remains there is what cancelled, and matters to nobody. */
        const double error =
            fabs(got[i] - want[i]) / p->slack / (tol.relative * fabs(want[i]) + tol.of_rms * rms + 1e-18);
        if (!(error <= worst)) {
            worst = isnan(error) ? INFINITY : error;
            at = i;
        }
    }
    if (parity_rounds_factors(table, p->op) && finite >= PARITY_RMS_OF) {
        const double allowed = p->slack * parity_rounds_bound(name);
        const double relative = sqrt(errors / (double)finite) / (whole + 1e-18);
        p->worst_rms = fmax(p->worst_rms, relative / allowed);
        if (!(relative <= allowed))
            parity_fail(p, table, "relative root mean square error of a whole array");
    }
    if (worst > p->worst)
        p->worst = worst;
    if (worst > 1) {
        char what[160];
        snprintf(what, sizeof what, "%s[%lld of %lld] = %.9g, want %.9g (rms %.3g): %.3g × tolerance", name,
                 (long long)at, (long long)n, got[at], want[at], whole, worst);
        parity_fail(p, table, what);
    }
}

/* The bytes of a buffer as the table sees them. */
static hy_dtype parity_dtype(const parity *p, const hy_table *table, const parity_buffer *b) {
    return hy_dtype_of(table->dtype, parity_role_of(b->type, b->name, &p->args));
}

static size_t parity_shift(const parity *p, hy_dtype dtype) {
    return p->cases % 2 == 0 ? hy_dtype_size(dtype) : 0;
}

static unsigned char *parity_load(const parity *p, const parity_buffer *b, hy_dtype dtype) {
    unsigned char *data = parity_block((size_t)b->n * hy_dtype_size(dtype), parity_shift(p, dtype));
    for (int64_t i = 0; i < b->n; i++)
        parity_put(data, dtype, i, b->start[i]);
    return data;
}

static void parity_check_buffer(parity *p, const hy_table *table, parity_buffer *b, unsigned char *data) {
    const hy_dtype dtype = parity_dtype(p, table, b);
    const size_t element = hy_dtype_size(dtype);
    double *got = malloc((size_t)(b->n + 1) * sizeof(double));
    for (int64_t i = 0; i < b->n; i++)
        got[i] = parity_get(data, dtype, i);
    if (b->role == PARITY_INPUT && memcmp(got, b->start, (size_t)b->n * sizeof(double)) != 0)
        parity_fail(p, table, "an input was written to");
    if (!parity_block_intact_free(data, (size_t)b->n * element, parity_shift(p, dtype)))
        parity_fail(p, table, b->name);
    if (table == &p->reference)
        memcpy(b->want, got, (size_t)b->n * sizeof(double));
    else if (b->role != PARITY_INPUT)
        parity_compare(p, table, b->name, dtype, b->want, got, b->n, b->row);
    free(got);
}

static int parity_uses_attn_work(hy_op_id op) {
    return op == HY_OP_attn_fwd || op == HY_OP_attn_bwd;
}

static int parity_uses_long_conv_work(hy_op_id op) {
    return op == HY_OP_long_conv_fwd || op == HY_OP_long_conv_bwd;
}

/* `work` of the size that the table asks for, aligned to 64 bytes, filled with NaN, a sentinel after it. */
typedef struct parity_work {
    void *allocation;
    unsigned char *data;
    size_t bytes;
} parity_work;

static void parity_work_point(hy_op_id op, parity_args *args, void *work) {
    if (parity_uses_recur_work(op))
        args->recur_fwd.work = work;
    else if (parity_uses_level_work(op))
        args->level_fwd.base.work = work;
    else if (parity_uses_attn_work(op))
        args->attn_fwd.work = work;
    else if (parity_uses_long_conv_work(op))
        args->long_conv_fwd.work = work;
}

static parity_work parity_work_for(const hy_table *table, hy_op_id op, parity_args *args) {
    parity_work w = {0};
    if (parity_uses_recur_work(op))
        w.bytes = table->recur_work(&args->recur_fwd);
    else if (parity_uses_level_work(op))
        w.bytes = table->level_work(&args->level_fwd);
    else if (parity_uses_attn_work(op))
        w.bytes = table->attn_work(&args->attn_fwd);
    else if (parity_uses_long_conv_work(op))
        w.bytes = table->long_conv_work(&args->long_conv_fwd);
    w.allocation = malloc(w.bytes + 3 * PARITY_GUARD);
    w.data = (unsigned char *)(((uintptr_t)w.allocation + 63) & ~(uintptr_t)63);
    memset(w.data, 0xFF, w.bytes); /* NaN in either type */
    memset(w.data + w.bytes, 0xA5, PARITY_GUARD);
    parity_work_point(op, args, w.data);
    return w;
}

static int parity_work_intact_free(parity_work *w) {
    int intact = 1;
    for (size_t i = 0; i < PARITY_GUARD; i++)
        intact &= w->data[w->bytes + i] == 0xA5;
    free(w->allocation);
    return intact;
}

static void parity_check_host(parity *p, const hy_table *table, double *scalar, double *host) {
    if (table == &p->reference) {
        p->scalar_want = *scalar;
        memcpy(p->host_want, host, sizeof p->host_want);
        return;
    }
    parity_compare(p, table, "scalar", hy_dtype_of(table->dtype, HY_ROLE_STAT), &p->scalar_want, scalar, 1, 0);
    parity_compare(p, table, "host array", hy_dtype_of(table->dtype, HY_ROLE_STAT), p->host_want, host, PARITY_HOST, 0);
}

static void parity_point(parity_args *args, long field, const void *at) {
    if (field != PARITY_NO_FIELD)
        memcpy(parity_field(args, field), &at, sizeof at);
}

/* Buffers and work with their sentinels, results, lists: there, as they are here, and the arguments with them. */
static void parity_send_case(parity *p, const hy_table *table, parity_memory *m, parity_args *args, parity_work *work) {
    parity_list lists[PARITY_LISTS];
    const int n_lists = parity_lists_of(p->op, args, lists);
    size_t bytes = work->bytes;
    for (int i = 0; i < p->n_buffers; i++)
        bytes += (size_t)p->buffers[i].n * sizeof(double);
    for (int i = 0; i < n_lists; i++)
        bytes += lists[i].bytes;
    parity_memory_begin(m, bytes + sizeof(double[PARITY_HOST]));
    for (int i = 0; i < p->n_buffers; i++) {
        const parity_buffer *b = &p->buffers[i];
        const hy_dtype dtype = parity_dtype(p, table, b);
        const size_t before = PARITY_GUARD + parity_shift(p, dtype);
        unsigned char *data;
        memcpy(&data, parity_field(args, b->field), sizeof data);
        const size_t size = before + (size_t)b->n * hy_dtype_size(dtype) + PARITY_GUARD;
        const unsigned char *there = parity_lend(m, data - before, size) + before;
        parity_point(args, b->field, there);
        parity_point(args, b->alias, there);
    }
    for (int i = 0; i < n_lists; i++) {
        void *list;
        memcpy(&list, parity_field(args, (long)lists[i].field), sizeof list);
        if (list != NULL)
            parity_point(args, (long)lists[i].field, parity_send(m, list, lists[i].bytes));
    }
    const long results[] = {p->scalar, p->host_array};
    for (int i = 0; i < 2; i++) {
        void *result;
        if (results[i] != PARITY_NO_FIELD) {
            memcpy(&result, parity_field(args, results[i]), sizeof result);
            parity_point(args, results[i], parity_lend(m, result, (i == 0 ? 1 : PARITY_HOST) * sizeof(double)));
        }
    }
    parity_work_point(p->op, args, parity_lend(m, work->data, work->bytes + PARITY_GUARD));
}

static void parity_call_there(parity *p, const hy_table *table, const parity_args *here, parity_work *work) {
    parity_memory *m = &p->memory[table->dtype == HY_BF16];
    parity_args args = *here;
    parity_send_case(p, table, m, &args, work);
    if (parity_names_the_host(m, &args))
        parity_fail(p, table, "parity_lists_of: a list of this operation is not copied to the device");
    else
        parity_call_device(m->device, p->op, &args);
    parity_bring_back(m);
}

static void parity_run_on(parity *p, const hy_table *table) {
    parity_args args = p->args;
    unsigned char *data[PARITY_BUFFERS];
    double scalar = 0.75, host[PARITY_HOST];
    for (int i = 0; i < p->n_buffers; i++) {
        const parity_buffer *b = &p->buffers[i];
        data[i] = parity_load(p, b, parity_dtype(p, table, b));
        parity_point(&args, b->field, data[i]);
        parity_point(&args, b->alias, data[i]);
    }
    for (int i = 0; i < PARITY_HOST; i++)
        host[i] = i < p->host_n ? NAN : 0.5;
    parity_point(&args, p->scalar, &scalar);
    parity_point(&args, p->host_array, host);
    parity_work work = parity_work_for(table, p->op, &args);
    if (p->memory[0].device != NULL && table != &p->reference)
        parity_call_there(p, table, &args, &work);
    else
        parity_call(table, p->op, &args);
    if (!parity_work_intact_free(&work))
        parity_fail(p, table, "wrote beyond work");
    for (int i = 0; i < p->n_buffers; i++)
        parity_check_buffer(p, table, &p->buffers[i], data[i]);
    parity_check_host(p, table, &scalar, host);
}

/* The interpreter's order of lanes, another one for each case, also where three operations take turns. */
static void parity_choose_order(const parity *p) {
    static const char *const orders[] = {"forward", "reverse", "shuffle"};
    char seed[24];
    snprintf(seed, sizeof seed, "%lld", (long long)p->cases);
    setenv("HYLAS_SIMT_ORDER", orders[(p->cases + p->cases / 3) % 3], 1);
    setenv("HYLAS_SIMT_SEED", seed, 1);
}

/* Whether the entry is one that another table was run with. */
static int parity_is_borrowed(const parity *p, const hy_table *table) {
    int borrowed = 0;
    for (const hy_table *other = p->tables; other < table; other++) {
        switch (p->op) {
#define HY_X(op, type)                                                                                                 \
    case HY_OP_##op:                                                                                                   \
        borrowed |= other->op == table->op;                                                                            \
        break;
            HY_OPS(HY_X)
#undef HY_X
        case HY_OP_COUNT:
            break;
        }
    }
    return borrowed;
}

/* Whether the case is one of those that are left out, or cuda_host has nothing to show. */
static int parity_passes_over(const parity *p, const hy_table *table) {
    const int there = p->memory[0].device != NULL, interpreted = strcmp(table->name, "cuda_host") == 0;
    if ((there || interpreted) && p->cases % p->each != 0)
        return 1;
    return interpreted &&
           (p->rests_host || p->cases % p->interpreted_each != 0 || (!there && parity_is_borrowed(p, table)));
}

/* Start values that the arrays of a run in `precision` hold exactly. */
static void parity_round(parity *p, hy_dtype precision) {
    for (int i = 0; i < p->n_buffers; i++) {
        parity_buffer *b = &p->buffers[i];
        const int half = hy_dtype_of(precision, parity_role_of(b->type, b->name, &p->args)) == HY_BF16;
        for (int64_t j = 0; j < b->n; j++)
            b->start[j] = half ? (double)hy_bf16_value(hy_bf16_of((float)b->start[j])) : (double)(float)b->start[j];
    }
}

/* All tables of bf16, or all others, after the reference; which rests where there is none. */
static void parity_run_tables(parity *p, int bf16) {
    int n = 0;
    for (int i = 0; i < p->n_tables; i++) {
        if ((p->tables[i].dtype == HY_BF16) != bf16 || parity_passes_over(p, &p->tables[i]))
            continue;
        if (n++ == 0) {
            parity_round(p, bf16 ? HY_BF16 : HY_F32);
            parity_run_on(p, &p->reference);
        }
        parity_run_on(p, &p->tables[i]);
    }
}

static PARITY_UNUSED void parity_run(parity *p) {
    parity_choose_order(p);
    parity_run_tables(p, 0);
    parity_run_tables(p, 1);
    for (int i = 0; i < p->n_buffers; i++) {
        free(p->buffers[i].start);
        free(p->buffers[i].want);
    }
    p->cases++;
}

/* For long tests: interpreted tables run one case of `each`; all with HYLAS_PARITY=full. */
static PARITY_UNUSED void parity_thin_interpreted(parity *p, int each) {
    const char *wanted = getenv("HYLAS_PARITY");
    p->interpreted_each = wanted != NULL && strcmp(wanted, "full") == 0 ? 1 : each;
}

/* A whole number of the environment, at least 1. */
static int64_t parity_wanted(const char *variable) {
    const char *text = getenv(variable);
    const long long value = text != NULL ? atoll(text) : 1;
    return value > 1 ? value : 1;
}

static hy_status parity_init_device(parity *p, const char *name) {
    static const hy_dtype dtypes[] = {HY_F32, HY_BF16};
    for (int i = 0; i < 2; i++) {
        HY_TRY(hy_device_create(name, dtypes[i], &p->memory[i].device));
        p->tables[p->n_tables++] = p->memory[i].device->table;
    }
    return HY_OK;
}

static PARITY_UNUSED void parity_fini(parity *p) {
    for (int i = 0; i < 2; i++)
        if (p->memory[i].device != NULL) {
            hy_device_free(p->memory[i].device, p->memory[i].block);
            hy_device_destroy(p->memory[i].device);
        }
}

/* For what only the kernels of kernels/cuda have: without all other tables. */
static PARITY_UNUSED void parity_keep_cuda(parity *p) {
    int n = 0;
    for (int i = 0; i < p->n_tables; i++)
        if (strncmp(p->tables[i].name, "cuda", 4) == 0)
            p->tables[n++] = p->tables[i];
    p->n_tables = n;
}

/* Tables: cpu_ref in float and bf16, cpu in double, cpu in float and bf16 for every instruction set this processor has; cuda_host. */
static PARITY_UNUSED hy_status parity_init(parity *p) {
    static const char *const sets[] = {"amx", "avx512", "avx2",
                                       "plain"}; /* oneDNN keeps to what the first one allows */
    static const hy_dtype dtypes[] = {HY_F32, HY_BF16};
    hy_device *device;
    memset(p, 0, sizeof *p);
    p->interpreted_each = 1;
    p->each = (int)parity_wanted("HYLAS_PARITY_EACH");
    p->seed = (uint64_t)parity_wanted("HYLAS_PARITY_SEED");
    p->slack = p->seed == 1 ? 1 : 2;
    HY_TRY(hy_device_create("cpu_ref", HY_F64, &device));
    p->reference = device->table;
    hy_device_destroy(device);
    if (getenv("HYLAS_PARITY_DEVICE") != NULL)
        return parity_init_device(p, getenv("HYLAS_PARITY_DEVICE"));
    HY_TRY(hy_device_create("cpu_ref", HY_F32, &device));
    p->tables[p->n_tables++] = device->table;
    hy_device_destroy(device);
    HY_TRY(hy_device_create("cpu_ref", HY_BF16, &device));
    p->tables[p->n_tables++] = device->table;
    hy_device_destroy(device);
    HY_TRY(hy_device_create("cpu", HY_F64, &device));
    p->tables[p->n_tables++] = device->table;
    hy_device_destroy(device);
    for (size_t i = 0; i < sizeof sets / sizeof sets[0] * 2; i++) {
        setenv("HYLAS_CPU", sets[i / 2], 1);
        HY_TRY(hy_device_create("cpu", dtypes[i % 2], &device));
        if (strcmp(hy_device_profile(device)->detail, sets[i / 2]) == 0)
            p->tables[p->n_tables++] = device->table;
        hy_device_destroy(device);
    }
    unsetenv("HYLAS_CPU");
#ifdef HY_TEST_CUDA_HOST
    for (int i = 0; i < 2; i++) {
        HY_TRY(hy_device_create("cuda_host", dtypes[i], &device));
        p->tables[p->n_tables++] = device->table;
        hy_device_destroy(device);
    }
#endif
    return HY_OK;
}

#endif
