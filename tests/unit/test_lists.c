/* The lists of random layouts against the layout itself: every run where it belongs, once and in order, parts that add up to their
 * run, first keys, and an image that is never fuller than planned. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "sp/sp.h"

static uint64_t draws;

static int64_t draw(int64_t below) {
    return (int64_t)(hy_random_u64(9, 31, draws++) % (uint64_t)below);
}

static int compare(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* kind 0: whole sequences; 1: a document per token; 2: random ones. */
static void draw_documents(hy_layout *layout, int kind) {
    const int64_t tokens = layout->n_seq * layout->len, n = kind == 0 ? 1 : kind == 1 ? tokens : 1 + draw(12);
    int64_t *docs = calloc((size_t)n + 2, sizeof *docs);
    for (int64_t d = 1; d < n; d++) {
        docs[d] = kind == 1 ? d : draw(3) == 0 ? layout->frags[draw(layout->n_frags)].begin : draw(tokens + 1);
    }
    docs[n] = tokens;
    qsort(docs, (size_t)n + 1, sizeof *docs, compare);
    assert_int_equal(hy_layout_set_documents(layout, docs, n), HY_OK);
    free(docs);
}

static void check_list(const hy_run_list *list) {
    int64_t tokens = 0, longest = 0;
    for (int64_t i = 0; i < list->n; i++) {
        tokens += list->host[i].len;
        longest = list->host[i].len > longest ? list->host[i].len : longest;
    }
    assert_int_equal(tokens, list->tokens);
    assert_int_equal(longest, list->longest);
    assert_memory_equal(list->host, list->device, (size_t)list->n * sizeof(hy_run));
}

static hy_run run_at(const hy_layout *layout, int64_t i, bool documents) {
    hy_run run = layout->runs[i];
    const int64_t doc = layout->n_local + layout->run_doc[i];
    run.s0 = documents && run.s0 < 0 ? doc : run.s0;
    run.s1 = documents && run.s1 < 0 ? doc : run.s1;
    return run;
}

static void check_same(const hy_run *got, hy_run want) {
    assert_memory_equal(got, &want, sizeof want);
}

/* Each run in the one forward and the one backward list where it belongs. */
static void check_runs(const hy_layout *layout, const hy_run_lists *lists, bool documents) {
    int64_t starting = 0, ending = 0, flowing = 0, part = 0;
    for (int64_t slot = 0; slot < layout->n_local; slot++) {
        assert_int_equal(lists->first_starting[slot], starting);
        assert_int_equal(lists->first_ending[slot], ending);
        assert_int_equal(lists->continuing_at[slot] >= 0, layout->frags[layout->local[slot]].continues);
        for (int64_t i = layout->first_run[slot]; i < layout->first_run[slot + 1]; i++) {
            const hy_run run = run_at(layout, i, documents);
            if (layout->runs[i].s0 >= 0) {
                const int64_t at = lists->continuing_at[slot];
                check_same(&lists->continuing.host[at], run);
                assert_int_equal(at < lists->n_passing, layout->runs[i].s1 >= 0);
            } else {
                check_same(&lists->starting.host[starting++], run);
            }
            if (layout->runs[i].s1 >= 0) {
                check_same(&lists->flowing.host[flowing++], run);
            } else {
                check_same(&lists->ending.host[ending++], run);
            }
            for (int64_t done = 0; lists->part > 0 && run.len > lists->part && done < run.len; done += lists->part) {
                const bool last = run.len - done <= lists->part;
                check_same(&lists->parts.host[part++], (hy_run){.begin = run.begin + done,
                                                                .len = last ? run.len - done : lists->part,
                                                                .s0 = done == 0 ? run.s0 : 0,
                                                                .s1 = last ? run.s1 : 0});
            }
        }
    }
    assert_int_equal(lists->starting.n, starting);
    assert_int_equal(lists->first_starting[layout->n_local], starting);
    assert_int_equal(lists->ending.n, ending);
    assert_int_equal(lists->flowing.n, flowing);
    assert_int_equal(lists->parts.n, part);
    assert_int_equal(lists->all.n, layout->n_runs);
    assert_int_equal(lists->continuing.n, layout->n_runs - starting);
    const hy_run_list *const all[] = {&lists->all,    &lists->continuing, &lists->starting,
                                      &lists->ending, &lists->flowing,    &lists->parts};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        check_list(all[i]);
    }
}

static void check_lists(const hy_lists *lists, const hy_layout *layout) {
    assert_true(hy_list_image_left(lists->image) >= 0);
    check_runs(layout, &lists->runs, false);
    check_runs(layout, &lists->document_runs, true);
    assert_memory_equal(lists->doc_pos.device, layout->doc_pos, (size_t)layout->T * sizeof(int64_t));
    assert_int_equal(lists->docs.n, layout->n_docs + 1);
    assert_memory_equal(lists->docs.device, layout->docs, (size_t)lists->docs.n * sizeof(int64_t));
    for (int i = 0; i < 3; i++) {
        const int64_t window = (int64_t[]){0, 7, 300}[i];
        const hy_window_lists *w = hy_lists_window(lists, window);
        assert_int_equal(w->window, window);
        for (int64_t t = 0; t < layout->T; t++) {
            int64_t lo = layout->pos[t]; /* the slow way */
            while (lo > layout->doc_start[t] && (window == 0 || layout->pos[t] - (lo - 1) < window)) {
                lo--;
            }
            assert_int_equal(w->lo.host[t], lo);
            assert_int_equal(w->lo.device[t], lo);
        }
    }
}

static void test_random_layouts(void **state) {
    (void)state;
    hy_device *device;
    assert_int_equal(hy_device_create("cpu", HY_F32, &device), HY_OK);
    hy_lists_needs needs = {.documents = true};
    hy_sp_recur_need(&needs, &(hy_recur_args){.H = 1, .HV = 1}, 3);
    for (int64_t W = 1; W < 40; W *= 3) {
        hy_sp_conv_need(&needs, W);
        hy_sp_long_conv_need(&needs, W);
    }
    hy_sp_level_recur_need(&needs, &(hy_level_recur_args){.L = 11});
    for (int i = 0; i < 4; i++) {
        hy_sp_attn_need(&needs, &(hy_sp_attn){.window = (int64_t[]){0, 7, 300, 7}[i]});
    }
    for (int kind = 0; kind < HY_HEAD_KINDS; kind++) {
        hy_lists_need_heads(&needs, &(hy_head_need){{6, 2}, (hy_head_kind)kind, false});
    }
    assert_int_equal(needs.windows.n, 3);
    for (int round = 0; round < 60; round++) {
        const int size = 1 + (int)draw(5);
        hy_layout *layout;
        hy_lists *lists;
        hy_cuts weights = {.n = draw(2) ? size : 0};
        for (int64_t i = 0; i < weights.n; i++) {
            weights.each[i] = 1 + draw(9);
        }
        assert_int_equal(hy_layout_create_cut(draw(2) ? HY_LAYOUT_ZIGZAG : HY_LAYOUT_CONTIGUOUS, &weights, size,
                                              (int)draw(size), 1 + draw(3), draw(5) == 0 ? draw(4) : draw(900),
                                              &layout),
                         HY_OK);
        const hy_layout_dims dims = hy_layout_dims_of(layout);
        assert_int_equal(hy_lists_create(device, &dims, &needs, &lists), HY_OK);
        int32_t *tokens = calloc((size_t)layout->T + 1, sizeof *tokens);
        for (int kind = 0; kind < 3 && layout->len > 0; kind++) {
            const int32_t *const former = lists->tokens.device;
            draw_documents(layout, kind);
            memset(tokens, kind, (size_t)layout->T * sizeof *tokens);
            hy_lists_set(lists, layout, tokens, tokens, 0.25 + kind);
            check_lists(lists, layout);
            assert_memory_equal(lists->labels.device, tokens, (size_t)layout->T * sizeof *tokens);
            assert_true(former != lists->tokens.device); /* two images alternate */
            assert_true(*lists->d_scale == 0.25 + kind);
        }
        hy_lists_destroy(lists);
        hy_layout_destroy(layout);
        free(tokens);
    }
    hy_device_destroy(device);
}

/* ---- calls of pairs that are known ---- */

/* What query `row` of a pair's sees: keys first .. end − 1 of it. */
static void seen_by(const hy_attn_pair *p, const int64_t *lo, int64_t row, int64_t *first, int64_t *end) {
    const int64_t from = lo[p->q + row] - p->k_begin, to = p->q_begin + row + 1 - p->k_begin;
    *first = from > 0 ? from : 0;
    *end = to < p->nk ? to : p->nk;
}

static hy_attn_sight sight_by_queries(const hy_attn_pair *p, const int64_t *lo) {
    bool all = true, causal = p->nq == p->nk;
    for (int64_t i = 0; i < p->nq; i++) {
        int64_t first, end;
        seen_by(p, lo, i, &first, &end);
        all = all && first == 0 && end == p->nk;
        causal = causal && first == 0 && end == i + 1;
    }
    return all ? HY_ATTN_ALL : causal ? HY_ATTN_CAUSAL : HY_ATTN_SOME;
}

/* The fragment's length from which on pairs are known alone, and how many calls were, by sight. */
typedef struct knowing {
    int64_t rows, counts[3];
} knowing;

static void check_call(const hy_attn_lists *lists, const hy_attn_group *group, const int64_t *lo, knowing *k) {
    for (int64_t x = group->first; x < group->first + group->n; x++) {
        const hy_attn_pair *pair = &lists->pairs[x], none = {0};
        const hy_attn_sight sight = sight_by_queries(pair, lo);
        const bool alone = k->rows > 0 && sight != HY_ATTN_SOME && pair->nq == k->rows && pair->nk == k->rows;
        assert_int_equal(group->sight, alone ? sight : HY_ATTN_SOME);
        assert_true(!alone || group->n == 1);
        assert_memory_equal(&group->known, alone ? pair : &none, sizeof *pair);
        k->counts[group->sight]++;
    }
}

/* Keys that queries see in the pairs of a call. */
static int64_t seen_in(const hy_attn_lists *lists, const hy_attn_group *group, const int64_t *lo) {
    int64_t seen = 0;
    for (int64_t x = group->first; x < group->first + group->n; x++) {
        for (int64_t i = 0; i < lists->pairs[x].nq; i++) {
            int64_t first, end;
            seen_by(&lists->pairs[x], lo, i, &first, &end);
            seen += end > first ? end - first : 0;
        }
    }
    return seen;
}

/* Calls of one window's lists, in order: both kinds are of all pairs, which have all that is seen; where nothing is known, a part is one call. */
static void check_calls(const hy_attn_lists *lists, const hy_layout *layout, const int64_t *lo, knowing *k) {
    int64_t next[2] = {0}, seen = 0, all = 0;
    for (int h = 0; h < lists->n_hops; h++) {
        for (int64_t i = 0; i < lists->hops[h].n_parts; i++) {
            const hy_attn_part *part = &lists->hops[h].parts[i];
            assert_true(part->n_groups <= 1);
            for (int64_t j = 0; j < part->n_groups; j++) {
                const hy_attn_group *group = &lists->groups[part->first_group + j];
                assert_int_equal(group->first, next[0]);
                assert_int_equal(group->sight, HY_ATTN_SOME);
                next[0] += group->n;
                seen += seen_in(lists, group, lo);
            }
            for (int64_t j = 0; j < part->n_apart; j++) {
                const hy_attn_group *group = &lists->apart[part->first_apart + j];
                assert_int_equal(group->first, next[1]);
                next[1] += group->n;
                check_call(lists, group, lo, k);
            }
        }
    }
    for (int64_t t = 0; t < layout->T; t++) {
        all += layout->pos[t] - lo[t] + 1;
    }
    assert_int_equal(next[1], k->rows > 0 ? next[0] : 0);
    assert_int_equal(seen, all);
}

/* A device that likes known pairs alone, from `least` products on. */
static hy_device *device_that_knows(int64_t least) {
    hy_device *device;
    assert_int_equal(hy_device_create("whole:cpu", HY_F32, &device), HY_OK);
    ((hy_profile *)(uintptr_t)hy_device_profile(device))->tuning.attn_known = least;
    return device;
}

static void test_known_pairs(void **state) {
    (void)state;
    knowing k = {0};
    for (int round = 0; round < 200; round++) {
        const int64_t least = (int64_t[]){0, 1, 50, 400}[draw(4)];
        const int size = 1 + (int)draw(4);
        hy_lists_needs needs = {0};
        hy_layout *layout;
        hy_lists *lists;
        hy_device *device = device_that_knows(least);
        for (int i = 0; i < 2; i++) {
            hy_sp_attn_need(&needs, &(hy_sp_attn){.window = (int64_t[]){0, 20}[i], .H = 1, .D = 8, .DV = 8});
        }
        assert_int_equal(hy_layout_create(draw(2) ? HY_LAYOUT_ZIGZAG : HY_LAYOUT_CONTIGUOUS, size, (int)draw(size),
                                          1 + draw(2), 20 + draw(200), &layout),
                         HY_OK);
        const hy_layout_dims dims = hy_layout_dims_of(layout);
        assert_int_equal(hy_lists_create(device, &dims, &needs, &lists), HY_OK);
        int32_t *tokens = calloc((size_t)layout->T + 1, sizeof *tokens);
        draw_documents(layout, (int)draw(3));
        hy_lists_set(lists, layout, tokens, tokens, 1);
        for (int i = 0; i < needs.n_attentions; i++) {
            const hy_attn_lists *attention = hy_lists_attention(lists, &needs.attentions[i]);
            k.rows = least > 0 && dims.frag_max * dims.frag_max >= least ? dims.frag_max : 0;
            check_calls(attention, layout, hy_lists_window(lists, attention->need.window)->lo.host, &k);
        }
        hy_lists_destroy(lists);
        hy_layout_destroy(layout);
        hy_device_destroy(device);
        free(tokens);
    }
    assert_true(k.counts[HY_ATTN_SOME] > 0 && k.counts[HY_ATTN_ALL] > 0 && k.counts[HY_ATTN_CAUSAL] > 0);
}

static void test_too_many_windows(void **state) {
    (void)state;
    hy_lists_needs needs = {0};
    for (int64_t w = 0; w <= HY_LISTS_MAX; w++) {
        hy_sp_attn_need(&needs, &(hy_sp_attn){.window = w});
    }
    assert_int_equal(needs.status, HY_ERR_USAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_layouts), cmocka_unit_test(test_known_pairs),
                                       cmocka_unit_test(test_too_many_windows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
