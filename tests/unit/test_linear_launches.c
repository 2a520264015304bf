/* Few, large calls: what a layer of every linear mixer asks of a device that likes its work whole, on 1 to 64 ranks, by every exchange of
 * states and overlap, whole sequences and packed documents. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "layers/mixers/mixer.h"
#include "tests/launch_counts.h"

static const int64_t whole[] = {0, 401}, packed[] = {0, 3, 90, 211, 211, 390, 401};

static const launch_counts limit = {40, 80};

/* What an exchange of more than one step takes beside: calls of a round of the scan, of the way into a node and out of it, of each array's way
 * to heads. */
static int64_t extra_calls(const launch_case *c) {
    const hy_state_exchange state = c->method.state;
    int64_t steps = c->size == 1 ? 0 : state == HY_STATE_HIERARCHICAL ? 1 : state == HY_STATE_HEADS ? 2 : 0;
    while (state == HY_STATE_SCAN && c->size > 1 && (1 << steps) < 2 * c->size) {
        steps++;
    }
    return 8 * steps;
}

static void check(const launch_case *c, launch_counts *most) {
    const launch_counts n = launches_of_layer(c);
    most->fwd = n.fwd > most->fwd ? n.fwd : most->fwd;
    most->bwd = n.bwd > most->bwd ? n.bwd : most->bwd;
    const int64_t extra = extra_calls(c);
    if (n.fwd > limit.fwd + extra || n.bwd > limit.bwd + extra || n.fwd < 5 || n.bwd < 5) {
        fail_msg(
            "%s: %lld calls forward, %lld backward; rank %d of %d, layout %s, state %s, overlap %s, %lld documents",
            c->kind, (long long)n.fwd, (long long)n.bwd, c->rank, c->size, hy_layout_names[c->method.layout],
            hy_state_exchange_names[c->method.state], hy_overlap_names[c->method.overlap], (long long)c->n_docs);
    }
}

static void check_mixer(const char *kind) {
    static const int places[][2] = {{1, 0}, {2, 1}, {4, 0}, {4, 3}, {64, 17}}; /* ranks, rank */
    launch_counts most = {0};
    launch_case c = {.kind = kind, .len = 401};
    for (size_t p = 0; p < sizeof places / sizeof *places; p++) {
        for (int mode = 0; hy_state_exchange_names[mode / 8]; mode++) {
            c.size = places[p][0];
            c.rank = places[p][1];
            c.docs = mode & 1 ? packed : whole;
            c.n_docs = mode & 1 ? 6 : 1;
            c.method.layout = mode & 2 ? HY_LAYOUT_ZIGZAG : HY_LAYOUT_CONTIGUOUS;
            c.method.overlap = mode & 4 ? HY_OVERLAP_SEEDED : HY_OVERLAP_SPLIT;
            c.method.state = (hy_state_exchange)(mode / 8);
            c.method.node = 4;
            c.method.block = 1 << 30; /* states in one: three calls for every block more */
            check(&c, &most);
        }
    }
    print_message("%s: at most %lld calls forward, %lld backward\n", kind, (long long)most.fwd, (long long)most.bwd);
}

static void test_linear_layers(void **unused) {
    (void)unused;
    for (int i = 0; hy_mixer_row_at(i) != NULL; i++) {
        const char *kind = hy_mixer_row_at(i)->kind;
        if (strcmp(kind, "attention") != 0 && strcmp(kind, "mla") != 0 && strcmp(kind, "lizard") != 0) {
            check_mixer(kind);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_linear_layers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
