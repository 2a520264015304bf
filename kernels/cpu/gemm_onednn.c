/* Products by oneDNN, versions 2 and 3. A bf16 product is prepared once per shape and kept, the last KEPT shapes of them; sums over k
 * are float, C is rounded once. What oneDNN is not asked for (factors other than 1, a float32 array times a bf16 one, empty
 * products) is widened for BLAS. Its scratch is its own: it grows to what the largest product needs, and stays. */
#include "kernels/cpu/gemm.h"

#include <stdio.h>
#include <string.h>

#if HY_HAVE_ONEDNN
#include <oneapi/dnnl/dnnl.h>
#include <pthread.h>

#include "kernels/cpu/cpu_info.h"
#include "kernels/cpu/simd/isa.h"

void HY_ISA_PASTE(hy_fast_gemm_bf16, avx512)(const hy_gemm_args *a);

enum { KEPT = 256, OPERANDS = 3 };

typedef struct product_key {
    int64_t m, n, k, lda, ldb, ldc;
    int trans_a, trans_b, c_is_float;
    float beta;
} product_key;

typedef struct product {
    product_key key;
    dnnl_primitive_t primitive; /* NULL: empty place */
    dnnl_memory_t operands[OPERANDS];
} product;

static struct {
    pthread_mutex_t lock; /* held while a product runs: its operands and oneDNN's scratch serve one call at a time */
    bool begun, failed;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    product kept[KEPT];
} products = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- what differs between versions 2 and 3 ---- */

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t matrix;

static dnnl_status_t matrix_init(matrix *x, const dnnl_dims_t sizes, dnnl_data_type_t type, const dnnl_dims_t strides) {
    return dnnl_memory_desc_create_with_strides(x, 2, sizes, type, strides);
}

static void matrix_fini(matrix *x) {
    dnnl_memory_desc_destroy(*x);
}

static dnnl_status_t operand_create(dnnl_memory_t *out, const matrix *x) {
    return dnnl_memory_create(out, *x, products.engine, DNNL_MEMORY_NONE);
}

static dnnl_status_t append_sum(dnnl_post_ops_t steps, float beta) {
    return dnnl_post_ops_append_sum(steps, beta, 0, dnnl_data_type_undef);
}

static dnnl_status_t describe_product(dnnl_primitive_desc_t *out, const matrix x[OPERANDS],
                                      const_dnnl_primitive_attr_t how) {
    return dnnl_matmul_primitive_desc_create(out, products.engine, x[0], x[1], NULL, x[2], how);
}
#else
typedef dnnl_memory_desc_t matrix;

static dnnl_status_t matrix_init(matrix *x, const dnnl_dims_t sizes, dnnl_data_type_t type, const dnnl_dims_t strides) {
    return dnnl_memory_desc_init_by_strides(x, 2, sizes, type, strides);
}

static void matrix_fini(matrix *x) {
    (void)x;
}

static dnnl_status_t operand_create(dnnl_memory_t *out, const matrix *x) {
    return dnnl_memory_create(out, x, products.engine, DNNL_MEMORY_NONE);
}

static dnnl_status_t append_sum(dnnl_post_ops_t steps, float beta) {
    return dnnl_post_ops_append_sum(steps, beta);
}

static dnnl_status_t describe_product(dnnl_primitive_desc_t *out, const matrix x[OPERANDS],
                                      const_dnnl_primitive_attr_t how) {
    dnnl_matmul_desc_t what;
    const dnnl_status_t status = dnnl_matmul_desc_init(&what, &x[0], &x[1], NULL, &x[2]);
    return status != dnnl_success ? status : dnnl_primitive_desc_create(out, &what, how, products.engine, NULL);
}
#endif

/* ---- preparing ---- */

static dnnl_status_t attributes_create(float beta, dnnl_primitive_attr_t *out) {
    dnnl_post_ops_t steps = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(out);
    if (status != dnnl_success || beta == 0)
        return status;
    status = dnnl_post_ops_create(&steps);
    if (status == dnnl_success)
        status = append_sum(steps, beta);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(*out, steps);
    dnnl_post_ops_destroy(steps);
    return status;
}

static dnnl_status_t primitive_create(const product_key *key, const matrix x[OPERANDS], dnnl_primitive_t *out) {
    dnnl_primitive_attr_t how = NULL;
    dnnl_primitive_desc_t what = NULL;
    dnnl_status_t status = attributes_create(key->beta, &how);
    if (status == dnnl_success)
        status = describe_product(&what, x, how);
    if (status == dnnl_success)
        status = dnnl_primitive_create(out, what);
    dnnl_primitive_desc_destroy(what);
    dnnl_primitive_attr_destroy(how);
    return status;
}

static void product_fini(product *p) {
    for (int i = 0; i < OPERANDS; i++)
        dnnl_memory_destroy(p->operands[i]);
    dnnl_primitive_destroy(p->primitive);
    *p = (product){.primitive = NULL};
}

static dnnl_status_t product_init(const product_key *key, product *p) {
    const dnnl_dims_t sizes[OPERANDS] = {{key->m, key->k}, {key->k, key->n}, {key->m, key->n}};
    const dnnl_dims_t strides[OPERANDS] = {{key->trans_a ? 1 : key->lda, key->trans_a ? key->lda : 1},
                                           {key->trans_b ? 1 : key->ldb, key->trans_b ? key->ldb : 1},
                                           {key->ldc, 1}};
    dnnl_status_t status = dnnl_success;
    matrix x[OPERANDS];
    int made = 0;
    *p = (product){.key = *key};
    for (; made < OPERANDS && status == dnnl_success; made++)
        status = matrix_init(&x[made], sizes[made], made == 2 && key->c_is_float ? dnnl_f32 : dnnl_bf16, strides[made]);
    if (status == dnnl_success)
        status = primitive_create(key, x, &p->primitive);
    for (int i = 0; i < OPERANDS && status == dnnl_success; i++)
        status = operand_create(&p->operands[i], &x[i]);
    for (int i = 0; i < made; i++)
        matrix_fini(&x[i]);
    if (status != dnnl_success)
        product_fini(p);
    return status;
}

/* ---- finding ---- */

static bool products_begin(void) {
    if (!products.begun) {
        products.begun = true;
        products.failed =
            dnnl_engine_create(&products.engine, dnnl_cpu, 0) != dnnl_success ||
            dnnl_stream_create(&products.stream, products.engine, dnnl_stream_default_flags) != dnnl_success;
    }
    return !products.failed;
}

static uint64_t product_hash(const product_key *key) {
    const int64_t numbers[] = {key->m,   key->n,   key->k,   key->trans_a + 2 * key->trans_b + 4 * key->c_is_float,
                               key->lda, key->ldb, key->ldc, key->beta != 0};
    uint64_t hash = 0;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        hash = (hash ^ (uint64_t)numbers[i]) * UINT64_C(0x9E3779B97F4A7C15), hash ^= hash >> 29;
    return hash;
}

static bool same_key(const product_key *a, const product_key *b) {
    return a->m == b->m && a->n == b->n && a->k == b->k && a->lda == b->lda && a->ldb == b->ldb && a->ldc == b->ldc &&
           a->trans_a == b->trans_a && a->trans_b == b->trans_b && a->c_is_float == b->c_is_float && a->beta == b->beta;
}

/* Its place, with what was there before replaced; NULL if oneDNN refuses. */
static product *find_product(const product_key *key) {
    product *p = &products.kept[product_hash(key) % KEPT];
    if (p->primitive != NULL && same_key(&p->key, key))
        return p;
    product_fini(p);
    return product_init(key, p) == dnnl_success ? p : NULL;
}

static bool onednn_multiply(const hy_gemm_args *a) {
    const product_key key = {.m = a->m,
                             .n = a->n,
                             .k = a->k,
                             .lda = a->lda,
                             .ldb = a->ldb,
                             .ldc = a->ldc,
                             .trans_a = a->trans_a != 0,
                             .trans_b = a->trans_b != 0,
                             .c_is_float = a->c_role >= HY_ROLE_STAT,
                             .beta = (float)a->beta};
    void *const data[OPERANDS] = {(void *)(uintptr_t)a->a, (void *)(uintptr_t)a->b, a->c};
    static const int names[OPERANDS] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    dnnl_exec_arg_t operands[OPERANDS];
    product *p = products_begin() ? find_product(&key) : NULL;
    bool good = p != NULL;
    for (int i = 0; i < OPERANDS && good; i++) {
        operands[i] = (dnnl_exec_arg_t){names[i], p->operands[i]};
        good = dnnl_memory_set_data_handle(p->operands[i], data[i]) == dnnl_success;
    }
    return good && dnnl_primitive_execute(p->primitive, products.stream, OPERANDS, operands) == dnnl_success &&
           dnnl_stream_wait(products.stream) == dnnl_success;
}

static void onednn_gemm_bf16(const hy_gemm_args *a) {
    bool done = false;
    if (a->m > 0 && a->n > 0 && a->k > 0 && a->alpha == 1 && a->a_role < HY_ROLE_STAT && a->b_role < HY_ROLE_STAT) {
        pthread_mutex_lock(&products.lock);
        done = onednn_multiply(a);
        pthread_mutex_unlock(&products.lock);
    }
    if (!done)
        HY_ISA_PASTE(hy_fast_gemm_bf16, avx512)(a);
}

static void onednn_gemm_f32(const hy_gemm_args *a) {
    if (a->m <= 0 || a->n <= 0 || a->k <= 0 ||
        dnnl_sgemm(a->trans_a ? 'T' : 'N', a->trans_b ? 'T' : 'N', a->m, a->n, a->k, (float)a->alpha, a->a, a->lda,
                   a->b, a->ldb, (float)a->beta, a->c, a->ldc) != dnnl_success)
        hy_blas_gemm_f32(a);
}

hy_gemm_fn hy_onednn_gemm(hy_dtype dtype, const char *isa) {
    if (dtype == HY_F32)
        return hy_cpu_blas_mend() != NULL ? onednn_gemm_f32 : NULL;
    if (dtype != HY_BF16 || !__builtin_cpu_supports("avx512bf16"))
        return NULL;
    /* The first table of a process decides; asking what is in effect makes it so. */
    if (strcmp(isa, "avx512") == 0)
        (void)dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx512_core_bf16);
    (void)dnnl_get_effective_cpu_isa();
    return strcmp(isa, "avx512") == 0 || strcmp(isa, "amx") == 0 ? onednn_gemm_bf16 : NULL;
}

const char *hy_onednn_version(void) {
    static char text[32];
    const dnnl_version_t *v = dnnl_version();
    (void)snprintf(text, sizeof text, "%d.%d.%d", v->major, v->minor, v->patch);
    return text;
}
#else
hy_gemm_fn hy_onednn_gemm(hy_dtype dtype, const char *isa) {
    (void)dtype;
    (void)isa;
    return NULL;
}

const char *hy_onednn_version(void) {
    return "";
}
#endif

void hy_cpu_bf16_products(const char *isa, char *text, size_t size) {
    if (hy_onednn_gemm(HY_BF16, isa) != NULL)
        (void)snprintf(text, size, "oneDNN %s with %s", hy_onednn_version(),
                       strcmp(isa, "amx") == 0 ? "AMX" : "AVX512-BF16");
    else
        (void)snprintf(text, size, "BLAS, widened to float32%s",
                       hy_onednn_version()[0] == '\0' ? ": oneDNN is not built in" : "");
}
