/* Few, large calls: what one layer asks of a device that likes its work whole, on 1 to 4 ranks, both layouts and methods, packed
 * documents. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/launch_counts.h"

static launch_counts most;

/* Own keys and one hop per other rank. */
static int64_t hops_of(const launch_case *c) {
    return c->size;
}

static void check_limits(const launch_case *c, launch_counts n, launch_counts once, launch_counts per_hop) {
    const int64_t hops = hops_of(c);
    most.fwd = n.fwd > most.fwd ? n.fwd : most.fwd;
    most.bwd = n.bwd > most.bwd ? n.bwd : most.bwd;
    if (n.fwd > once.fwd + per_hop.fwd * hops || n.bwd > once.bwd + per_hop.bwd * hops || n.fwd < 5 || n.bwd < 5) {
        fail_msg("%s: %lld calls forward, %lld backward; rank %d of %d, layout %s, method %d, %lld documents, %d hops",
                 c->kind, (long long)n.fwd, (long long)n.bwd, c->rank, c->size, hy_layout_names[c->method.layout],
                 (int)c->method.attention, (long long)c->n_docs, (int)hops);
    }
}

static void check_attention(const launch_case *c, launch_counts n) {
    check_limits(c, n, (launch_counts){16, 24}, (launch_counts){4, 4});
}

static void check_mla(const launch_case *c, launch_counts n) {
    check_limits(c, n, (launch_counts){23, 44}, (launch_counts){4, 11});
}

static void windowed(hy_mixer_config *m) {
    m->heads = 4;
    m->kv_heads = 2;
    m->window = 60;
    m->sinks = 2;
}

static void check_all(const char *name, launch_case c, void (*check)(const launch_case *, launch_counts)) {
    most = (launch_counts){0};
    for (int bf16 = 0; bf16 < 2; bf16++) {
        c.precision = bf16 ? HY_BF16 : HY_F32;
        launch_every_case(c, 4, check);
    }
    print_message("%s: at most %lld calls forward, %lld backward\n", name, (long long)most.fwd, (long long)most.bwd);
}

static void test_attention(void **unused) {
    (void)unused;
    check_all("attention", (launch_case){.kind = "attention"}, check_attention);
    check_all("windowed attention", (launch_case){.kind = "attention", .fields = windowed}, check_attention);
}

static void test_mla(void **unused) {
    (void)unused;
    check_all("mla", (launch_case){.kind = "mla"}, check_mla);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_attention), cmocka_unit_test(test_mla)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
