/* The layout against what it must be, token by token: every fragment, flag, run and position is compared with a table
 * of document starts made here the slow way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "sp/layout.h"

enum { TOKENS_MAX = 400 };

static uint64_t draws;

static int64_t draw(int64_t below) {
    return (int64_t)(hy_random_u64(7, 11, draws++) % (uint64_t)below);
}

static int compare(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Random documents, some empty, some starting where fragments do. */
static int64_t draw_documents(const hy_layout *layout, int64_t *docs) {
    const int64_t tokens = layout->n_seq * layout->len, n_docs = 1 + draw(9);
    docs[0] = 0;
    docs[n_docs] = tokens;
    for (int64_t d = 1; d < n_docs; d++) {
        docs[d] = draw(3) == 0 ? layout->frags[draw(layout->n_frags)].begin : draw(tokens + 1);
    }
    qsort(docs, (size_t)n_docs + 1, sizeof *docs, compare);
    return n_docs;
}

/* start[p]: first token of the document of token p; end[p]: one past its last. */
static void expected_documents(const hy_layout *layout, const int64_t *docs, int64_t n_docs, int64_t *start,
                               int64_t *end) {
    const int64_t tokens = layout->n_seq * layout->len;
    for (int64_t p = 0; p < tokens; p++) {
        start[p] = p == 0 ? 0 : start[p - 1];
        if (p % layout->len == 0) {
            start[p] = p;
        }
        for (int64_t d = 0; d < n_docs; d++) {
            start[p] = docs[d] == p ? p : start[p];
        }
    }
    for (int64_t p = tokens - 1; p >= 0; p--) {
        end[p] = p + 1 < tokens && start[p + 1] == start[p] ? end[p + 1] : p + 1;
    }
}

static void check_fragments(const hy_layout *layout, const int64_t *start, const int64_t *end) {
    for (int64_t i = 0; i < layout->n_frags; i++) {
        const hy_fragment *f = &layout->frags[i];
        const int64_t last = f->begin + f->len - 1;
        assert_int_equal(f->continues, f->len > 0 && start[f->begin] < f->begin);
        assert_int_equal(f->flows, f->len > 0 && end[last] > last + 1);
        assert_int_equal(f->single, f->len == 0 || start[f->begin] == start[last]);
        if (f->len > 0) {
            assert_int_equal(f->doc_begin, start[f->begin]);
        }
    }
}

static void check_runs(const hy_layout *layout, const int64_t *start, const int64_t *end) {
    int64_t t = 0;
    for (int64_t slot = 0; slot < layout->n_local; slot++) {
        const hy_fragment *f = &layout->frags[layout->local[slot]];
        for (int64_t i = layout->first_run[slot]; i < layout->first_run[slot + 1]; i++) {
            const hy_run *run = &layout->runs[i];
            assert_int_equal(run->begin, t);
            assert_true(run->len > 0 && t + run->len <= f->local + f->len);
            const int64_t p0 = layout->pos[t], p1 = layout->pos[t + run->len - 1];
            assert_int_equal(p1 - p0, run->len - 1);
            assert_int_equal(start[p0], start[p1]);
            assert_true(p0 == f->begin || start[p0] == p0);
            assert_true(p1 == f->begin + f->len - 1 || end[p1] == p1 + 1);
            assert_int_equal(run->s0, start[p0] < p0 ? slot : -1);
            assert_int_equal(run->s1, end[p1] > p1 + 1 ? slot : -1);
            assert_int_equal(layout->docs[layout->run_doc[i]], start[p0]);
            assert_int_equal(layout->docs[layout->run_doc[i] + 1], end[p0]);
            t += run->len;
        }
        assert_int_equal(t, f->local + f->len);
    }
    assert_int_equal(layout->first_run[layout->n_local], layout->n_runs);
    for (t = 0; t < layout->T; t++) {
        assert_int_equal(layout->doc_start[t], start[layout->pos[t]]);
        assert_int_equal(layout->doc_pos[t], layout->pos[t] - start[layout->pos[t]]);
    }
}

/* Where fragment i of a sequence begins: a share of its tokens as large as the owners before it weigh. */
static int64_t expected_begin(const hy_layout *layout, const hy_cuts *weights, int64_t i) {
    const int64_t F = layout->n_frags / layout->n_seq;
    int64_t before = 0, all = 0;
    if (weights->fixed > 0) {
        return i * layout->len / F;
    }
    for (int64_t j = 0; j < F; j++) {
        const int64_t owner = j < layout->size ? j : F - 1 - j;
        const int64_t weight = weights->n > 0 ? weights->each[owner * weights->n / layout->size] : 1;
        before += j < i ? weight : 0;
        all += weight;
    }
    return before * layout->len / all;
}

static void check_cut(hy_layout *const *layouts, const hy_cuts *weights, int size) {
    const hy_layout *first = layouts[0];
    const int64_t F = first->n_seq ? first->n_frags / first->n_seq : 0;
    int64_t p = 0, T_max = 0, frag_max = 0, frag_min = TOKENS_MAX;
    for (int64_t i = 0; i < first->n_frags; i++) {
        const hy_fragment *f = &first->frags[i];
        assert_int_equal(f->begin, p);
        assert_int_equal(f->begin, i / F * first->len + expected_begin(first, weights, i % F));
        p += f->len;
        frag_max = f->len > frag_max ? f->len : frag_max;
        frag_min = f->len < frag_min ? f->len : frag_min;
        const int64_t stretches =
            first->kind == HY_LAYOUT_ZIGZAG && (size > 1 || first->cuts.fixed > 0) ? 2 * size : size;
        const int64_t stretch = i % F / (F / stretches), owner = stretch < size ? stretch : stretches - 1 - stretch;
        assert_int_equal(f->owner, owner);
        assert_int_equal(layouts[owner]->local[f->slot], i);
    }
    assert_int_equal(p, first->n_seq * first->len);
    for (int r = 0; r < size; r++) {
        T_max = layouts[r]->T > T_max ? layouts[r]->T : T_max;
        assert_memory_equal(layouts[r]->frags, first->frags, (size_t)first->n_frags * sizeof(hy_fragment));
    }
    for (int r = 0; r < size; r++) {
        const hy_layout_dims dims = hy_layout_dims_of(layouts[r]);
        assert_int_equal(dims.T, layouts[r]->T);
        assert_int_equal(dims.T_max, T_max);
        assert_int_equal(dims.frag_max, frag_max);
        assert_int_equal(dims.frag_min, frag_min);
        for (int other = 0; other < size; other++) {
            assert_int_equal(hy_layout_rank_tokens(&dims, other), layouts[other]->T);
        }
        assert_int_equal(dims.n_local, layouts[r]->n_local);
        assert_int_equal(dims.n_frags, layouts[r]->n_frags);
    }
}

static void check_shards(hy_layout *const *layouts, int size) {
    const int64_t tokens = layouts[0]->n_seq * layouts[0]->len;
    int16_t full[TOKENS_MAX * 3], local[TOKENS_MAX * 3], back[TOKENS_MAX * 3];
    for (int64_t i = 0; i < tokens * 3; i++) {
        full[i] = (int16_t)draw(30000);
    }
    memset(back, 0, sizeof back);
    for (int r = 0; r < size; r++) {
        memset(local, 0, sizeof local);
        hy_layout_shard(layouts[r], full, 3 * sizeof *full, local);
        for (int64_t t = 0; t < layouts[r]->T; t++) {
            assert_memory_equal(&local[3 * t], &full[3 * layouts[r]->pos[t]], 3 * sizeof *full);
        }
        hy_layout_unshard(layouts[r], local, 3 * sizeof *full, back);
    }
    assert_memory_equal(back, full, (size_t)tokens * 3 * sizeof *full);
}

static void check_one(hy_layout_kind kind, const hy_cuts *weights, int size, int64_t n_seq, int64_t len) {
    hy_layout *layouts[8];
    for (int r = 0; r < size; r++) {
        assert_int_equal(hy_layout_create_cut(kind, weights, size, r, n_seq, len, &layouts[r]), HY_OK);
    }
    check_cut(layouts, weights, size);
    check_shards(layouts, size);
    for (int round = 0; round < 6; round++) {
        int64_t docs[16] = {0, n_seq * len}, start[TOKENS_MAX], end[TOKENS_MAX];
        const int64_t n_docs = round == 0 ? 1 : draw_documents(layouts[0], docs);
        expected_documents(layouts[0], docs, n_docs, start, end);
        const int64_t before = hy_alloc_count();
        for (int r = 0; r < size; r++) {
            assert_int_equal(hy_layout_set_documents(layouts[r], docs, n_docs), HY_OK);
            check_fragments(layouts[r], start, end);
            check_runs(layouts[r], start, end);
        }
        assert_int_equal(hy_alloc_count(), before);
    }
    for (int r = 0; r < size; r++) {
        hy_layout_destroy(layouts[r]);
    }
}

static void test_random_layouts(void **state) {
    (void)state;
    for (int size = 1; size <= 7; size++) {
        for (int round = 0; round < 30; round++) {
            const int64_t n_seq = 1 + draw(3), len = round < 3 ? round : 1 + draw(TOKENS_MAX / n_seq);
            hy_cuts weights = {.n = 0};
            check_one(HY_LAYOUT_CONTIGUOUS, &weights, size, n_seq, len);
            check_one(HY_LAYOUT_ZIGZAG, &weights, size, n_seq, len);
            for (weights.n = 1; weights.n <= size; weights.n++) {
                for (int64_t i = 0; i < weights.n; i++) {
                    weights.each[i] = 1 + draw(draw(2) ? 4 : HY_WEIGHT_MAX);
                }
                if (size % weights.n == 0 && draw(2)) {
                    check_one(draw(2) ? HY_LAYOUT_ZIGZAG : HY_LAYOUT_CONTIGUOUS, &weights, size, n_seq, len);
                }
            }
            const int64_t times = 1 + draw(3); /* fixed fragments of a stretch */
            check_one(HY_LAYOUT_CONTIGUOUS, &(hy_cuts){.fixed = times * size}, size, n_seq, len);
            check_one(HY_LAYOUT_ZIGZAG, &(hy_cuts){.fixed = times * 2 * size}, size, n_seq, len);
        }
    }
}

/* The most ranks and weights there may be, and sequences whose products with them would not fit. */
static void test_large_numbers(void **state) {
    (void)state;
    const int64_t len = (int64_t)1 << 40;
    const hy_cuts weights = {.n = 2, .each = {HY_WEIGHT_MAX, 1}};
    const int size = 1 << 20;
    const hy_layout_dims dims = hy_layout_sizes_cut(HY_LAYOUT_ZIGZAG, &weights, size, 0, 1, len);
    const double first = (double)HY_WEIGHT_MAX * (double)len / (1001.0 * size / 2);
    assert_true(fabs((double)dims.T - first) <= 2);
    assert_true(fabs((double)hy_layout_rank_tokens(&dims, size - 1) - first / HY_WEIGHT_MAX) <= 2);
}

static void test_weights_that_do_not_fit(void **state) {
    (void)state;
    hy_layout *layout = NULL;
    const hy_cuts weights = {.n = 4, .each = {1, 2, 3, 4}};
    for (int size = 1; size <= 8; size++) {
        const bool fits = size == 1 || size % 4 == 0;
        assert_int_equal(hy_cuts_check(HY_LAYOUT_ZIGZAG, &weights, size), fits ? HY_OK : HY_ERR_USAGE);
        const hy_status status = hy_layout_create_cut(HY_LAYOUT_ZIGZAG, &weights, size, 0, 1, 64, &layout);
        assert_int_equal(status, fits ? HY_OK : HY_ERR_USAGE);
        if (fits) {
            hy_layout_destroy(layout);
        }
    }
}

/* From the length that is told on, no fragment has fewer rows; where nothing is weighed, it is the least such length. */
static void test_length_for(void **state) {
    (void)state;
    for (int round = 0; round < 200; round++) {
        const int size = 1 + (int)draw(6);
        hy_cuts weights = {.n = draw(2) ? size : 0};
        for (int64_t i = 0; i < weights.n; i++) {
            weights.each[i] = 1 + draw(9);
        }
        const hy_layout_kind kind = draw(2) ? HY_LAYOUT_ZIGZAG : HY_LAYOUT_CONTIGUOUS;
        const int64_t rows = 1 + draw(20);
        hy_layout_dims dims = hy_layout_sizes_cut(kind, &weights, size, 0, 1, 10);
        const int64_t len = hy_layout_length_for(&dims, rows);
        for (int64_t more = 0; more < 20; more++) {
            assert_true(hy_layout_sizes_cut(kind, &weights, size, 0, 1, len + more).frag_min >= rows);
        }
        assert_true(weights.n > 0 || hy_layout_sizes(kind, size, 0, 1, len - 1).frag_min < rows);
    }
}

/* An unlisted sequence start becomes a document; listed ones and empty documents keep their indices. */
static void test_document_indices(void **state) {
    (void)state;
    hy_layout *layout;
    assert_int_equal(hy_layout_create(HY_LAYOUT_CONTIGUOUS, 1, 0, 2, 5, &layout), HY_OK);
    assert_int_equal(layout->n_docs, 2);
    const int64_t listed[] = {0, 0, 5, 5, 10};
    assert_int_equal(hy_layout_set_documents(layout, listed, 4), HY_OK);
    assert_int_equal(layout->n_docs, 4);
    assert_int_equal(layout->n_runs, 2);
    assert_int_equal(layout->run_doc[0], 1);
    assert_int_equal(layout->run_doc[1], 3);
    const int64_t across[] = {0, 3, 7, 10};
    assert_int_equal(hy_layout_set_documents(layout, across, 3), HY_OK);
    const int64_t want[] = {0, 3, 5, 7, 10};
    assert_int_equal(layout->n_docs, 4);
    assert_memory_equal(layout->docs, want, sizeof want);
    hy_layout_destroy(layout);
}

/* The same cuts, and every fragment once, on any number of ranks. */
static void test_fixed_cuts(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        hy_layout *one = NULL, *many = NULL;
        assert_int_equal(hy_layout_create_cut((hy_layout_kind)kind, &(hy_cuts){.fixed = 8}, 1, 0, 2, 37, &one), HY_OK);
        assert_int_equal(one->n_local, 16);
        for (int rank = 0; rank < 4; rank++) {
            assert_int_equal(hy_layout_create_cut((hy_layout_kind)kind, &(hy_cuts){.fixed = 8}, 4, rank, 2, 37, &many),
                             HY_OK);
            for (int64_t slot = 0; slot < many->n_local; slot++) {
                const int64_t id = many->local[slot];
                assert_int_equal(many->frags[id].begin, one->frags[id].begin);
                assert_int_equal(many->frags[id].len, one->frags[id].len);
            }
            hy_layout_destroy(many);
        }
        hy_layout_destroy(one);
    }
}

static void test_bad_documents(void **state) {
    (void)state;
    hy_layout *layout;
    assert_int_equal(hy_layout_create(HY_LAYOUT_ZIGZAG, 3, 1, 1, 10, &layout), HY_OK);
    const int64_t late[] = {1, 10}, early[] = {0, 9}, back[] = {0, 6, 5, 10};
    assert_int_equal(hy_layout_set_documents(layout, late, 1), HY_ERR_DATA);
    assert_int_equal(hy_layout_set_documents(layout, early, 1), HY_ERR_DATA);
    assert_int_equal(hy_layout_set_documents(layout, back, 3), HY_ERR_DATA);
    assert_int_equal(hy_layout_set_documents(layout, back, -1), HY_ERR_DATA);
    static int64_t many[2000];
    many[1999] = 10;
    assert_int_equal(hy_layout_set_documents(layout, many, 1999), HY_ERR_DATA);
    assert_int_equal(hy_layout_set_documents(layout, many + 999, 1000), HY_OK);
    hy_layout_destroy(layout);
    hy_layout_destroy(NULL);
}

static void test_allocation_failures(void **state) {
    (void)state;
    const int64_t before = hy_alloc_bytes();
    for (int64_t n = 1; n < 20; n++) {
        hy_layout *layout = NULL;
        hy_alloc_fail_after(n);
        const hy_status status = hy_layout_create(HY_LAYOUT_ZIGZAG, 4, 2, 2, 17, &layout);
        hy_alloc_fail_after(0);
        assert_int_equal(status == HY_OK, layout != NULL);
        assert_true(status == HY_OK || status == HY_ERR_MEMORY);
        hy_layout_destroy(layout);
        assert_int_equal(hy_alloc_bytes(), before);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_layouts),          cmocka_unit_test(test_large_numbers),
        cmocka_unit_test(test_weights_that_do_not_fit), cmocka_unit_test(test_length_for),
        cmocka_unit_test(test_document_indices),        cmocka_unit_test(test_fixed_cuts),
        cmocka_unit_test(test_bad_documents),           cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
