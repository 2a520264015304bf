/* Softmax attention of every table against cpu_ref in double: all block shapes over head sizes around and between
 * vector lengths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/cuda/cudnn_attention.h"
#include "tests/parity_attn.h"

static const int64_t sizes[][2] = {{1, 1}, {3, 5}, {16, 16}, {24, 40}, {64, 64}, {80, 80}, {192, 128}, {128, 153}};
static const int64_t heads[][2] = {{2, 2}, {3, 1}, {4, 2}};
#define SIZES (sizeof sizes / sizeof sizes[0])

static void check_shape(int shape) {
    parity p;
    assert_int_equal(parity_init(&p), HY_OK);
    for (size_t i = 0; i < SIZES; i++) {
        for (size_t j = 0; j < 2; j++) {
            const size_t n = 2 * i + j, h = (n + (size_t)shape) % 3;
            const attn_case c = {.shape = shape,
                                 .H = heads[h][0],
                                 .HKV = heads[h][1],
                                 .D = sizes[i][0],
                                 .DV = sizes[i][1],
                                 .first = j == 0,
                                 .spread = n % 4 < 2 ? 1 : 15};
            parity_rest_host(&p, (i + 3 * j + (size_t)shape) % 4 != 0); /* the interpreter takes its time */
            attn_all_cases(&p, &c);
        }
    }
    print_message("%s: %lld cases on %d tables, worst error %.3g of the tolerance, of arrays in bf16 %.3g\n",
                  attn_shapes[shape].name, (long long)p.cases, p.n_tables, p.worst, p.worst_rms);
    parity_fini(&p);
    assert_int_equal(p.failures, 0);
}

static void test_blocks(void **unused) {
    (void)unused;
    for (int shape = 0; shape < ATTN_SHAPES; shape++)
        check_shape(shape);
    if (getenv("HYLAS_CUDNN") != NULL) {
        print_message("%lld calls by cuDNN\n", (long long)hy_cudnn_runs());
        assert_true(hy_cudnn_runs() > 0 || strcmp(getenv("HYLAS_CUDNN"), "off") == 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_blocks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
