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

#include "tests/parity_check.h"

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
    return interpreted && (p->rests_host || (!there && parity_is_borrowed(p, table)));
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

/* For long tests: whether cuda_host is left out of the cases to come; never with HYLAS_PARITY=full. */
static PARITY_UNUSED void parity_rest_host(parity *p, int rests) {
    const char *wanted = getenv("HYLAS_PARITY");
    p->rests_host = rests && (wanted == NULL || strcmp(wanted, "full") != 0);
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

/* For tests of what only the kernels of kernels/cuda have: their tables and no other. Whether there are any. */
static PARITY_UNUSED int parity_keep_cuda(parity *p) {
    int n = 0;
    for (int i = 0; i < p->n_tables; i++)
        if (strncmp(p->tables[i].name, "cuda", 4) == 0)
            p->tables[n++] = p->tables[i];
    p->n_tables = n;
    return n > 0;
}

/* Tables: cpu_ref in float and bf16, cpu in double, cpu in float and bf16 for every instruction set this processor has; cuda_host. */
static PARITY_UNUSED hy_status parity_init(parity *p) {
    static const char *const sets[] = {"amx", "avx512", "avx2",
                                       "plain"}; /* oneDNN keeps to what the first one allows */
    static const hy_dtype dtypes[] = {HY_F32, HY_BF16};
    hy_device *device;
    memset(p, 0, sizeof *p);
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
