/* Of parity.h: buffers between sentinels, and what a table left in them beside what the reference did. */
#ifndef HY_TESTS_PARITY_CHECK_H
#define HY_TESTS_PARITY_CHECK_H

#include "tests/parity_case.h"

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

#endif
