/* The long convolutions of kernels/cuda where documents are longer than two sizes of blocks reach: three, against FFTW's transforms of whole
 * documents in double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/parity.h"

/* p's only table is one of kernels/cuda in `dtype`, its reference cpu in double. */
static void choose_tables(parity *p, hy_dtype dtype) {
    hy_device *cpu;
    assert_int_equal(parity_init(p), HY_OK);
    if (!parity_keep_cuda(p))
        skip();
    p->tables[0] = p->tables[dtype == HY_BF16];
    p->n_tables = 1;
    assert_int_equal(p->tables[0].dtype, dtype);
    assert_int_equal(hy_device_create("cpu", HY_F64, &cpu), HY_OK);
    p->reference = cpu->table;
    hy_device_destroy(cpu);
    assert_ptr_not_equal(p->tables[0].long_conv_fwd, p->reference.long_conv_fwd);
}

static void check(hy_op_id op, hy_dtype dtype) {
    static const int64_t docs[] = {0, 1500, 71501, 71502, 73000};
    enum { C = 1, T = 73000, L = 70001 };
    parity p;
    choose_tables(&p, dtype);
    parity_begin(&p, op, HY_TOL_F32_SUM);
    p.args.long_conv_fwd = (hy_long_conv_args){.C = C, .T = T, .L = L, .docs = docs, .n_docs = 4};
    PARITY_IN(&p, hy_long_conv, x, C * T);
    PARITY_IN(&p, hy_long_conv, h, C * L);
    if (op == HY_OP_long_conv_fwd) {
        PARITY_OUT(&p, hy_long_conv, y, C * T);
    } else {
        PARITY_IN(&p, hy_long_conv, dy, C * T);
        PARITY_OUT(&p, hy_long_conv, dx, C * T);
        PARITY_OUT(&p, hy_long_conv, dh, C * L);
    }
    parity_run(&p);
    print_message("%s: worst error %.3g of the tolerance\n", hy_op_name(op), p.worst);
    parity_fini(&p);
    assert_int_equal(p.failures, 0);
}

static void test_forward(void **unused) {
    (void)unused;
    check(HY_OP_long_conv_fwd, HY_F32);
}

static void test_backward(void **unused) {
    (void)unused;
    check(HY_OP_long_conv_bwd, HY_F32);
}

static void test_forward_bf16(void **unused) {
    (void)unused;
    check(HY_OP_long_conv_fwd, HY_BF16);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward),
        cmocka_unit_test(test_backward),
        cmocka_unit_test(test_forward_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
