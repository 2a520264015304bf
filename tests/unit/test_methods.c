/* The ways to exchange: every name has a complete row, and rows are told apart in tables of layers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sp/attention/attention_row.h"
#include "sp/state/state_exchange.h"

static int count_of(const char *const *names) {
    int n = 0;
    while (names[n]) {
        n++;
    }
    return n;
}

static void test_attention_rows(void **unused) {
    (void)unused;
    const int n = count_of(hy_attention_method_names);
    assert_true(n >= 2);
    for (int i = 0; i < n; i++) {
        const hy_attn_row *row = hy_attn_row_of((hy_attention_method)i);
        assert_true(row->by_heads
                        ? row->by_heads->kept && row->by_heads->work && row->by_heads->fwd && row->by_heads->bwd
                        : row->others && row->part_rows && row->build && row->cut && row->post && row->finish);
        assert_string_not_equal(row->title, row->latent_title);
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(row->title, hy_attn_row_of((hy_attention_method)j)->title);
            assert_string_not_equal(hy_attention_method_names[i], hy_attention_method_names[j]);
        }
    }
}

static void test_state_rows(void **unused) {
    (void)unused;
    const int n = count_of(hy_state_exchange_names);
    assert_true(n >= 2);
    for (int i = 0; i < n; i++) {
        const hy_state_row *row = hy_state_row_of((hy_state_exchange)i);
        assert_true(row->by_heads || (row->lists_bytes && row->requests && row->build && row->open && row->post));
        assert_true(!row->posts_later == !row->move_on);
        assert_true(row->by_heads || row->move_on || row->finish);
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(row->title, hy_state_row_of((hy_state_exchange)j)->title);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_attention_rows), cmocka_unit_test(test_state_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
