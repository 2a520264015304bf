/* Lists of head exchanges: with all ranks of a communicator in one process and groups of any size that divides it, every member gets the tokens of
 * its group, in their order, of its heads; and what it gives back is where it came from, once for every rank that has the head. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "sp/lists/head_lists.h"

enum { RANKS_MAX = 8 };

static uint64_t draws;

static int64_t draw(int64_t below) {
    return (int64_t)(hy_random_u64(9, 32, draws++) % (uint64_t)below);
}

typedef struct rank_side {
    hy_layout *layout, *outer;
    hy_list_image *image;
    hy_head_lists lists;
    hy_head_range range;
    int64_t *rows, *heads, *parts, *buffer;
    int64_t entries;
} rank_side;

static void move(const hy_block_list *list, const int64_t *from, int64_t *to) {
    for (int64_t i = 0; i < list->n; i++) {
        const hy_block *b = &list->host[i];
        for (int64_t r = 0; r < b->rows; r++) {
            for (int64_t c = 0; c < b->cols; c++) {
                to[b->to + r * b->to_ld + c] = from[b->from + r * b->from_ld + c];
            }
        }
    }
}

/* Every number of an array tells its token and head. */
static int64_t entry_of(int64_t position, int64_t head) {
    return 1 + position * 1000 + head;
}

static rank_side open_rank(hy_device *device, const hy_layout_dims *dims, int members, const hy_head_need *need) {
    rank_side s = {.entries = hy_head_buffer_entries(dims, members, &need->heads, need->kind)};
    const hy_layout_dims outer = hy_head_outer(dims, members);
    s.range = hy_head_range_of(&need->heads, need->kind, members, dims->rank % members);
    assert_int_equal(
        hy_layout_create_cut(dims->kind, &dims->cuts, dims->size, dims->rank, dims->n_seq, dims->len, &s.layout),
        HY_OK);
    assert_int_equal(
        hy_layout_create_cut(outer.kind, &outer.cuts, outer.size, outer.rank, outer.n_seq, outer.len, &s.outer), HY_OK);
    assert_int_equal(hy_list_image_create(device, hy_head_lists_bytes(dims, members), &s.image), HY_OK);
    hy_list_image_begin(s.image);
    s.lists = hy_head_lists_build(s.image, s.layout, s.outer, need);
    assert_true(hy_list_image_left(s.image) >= 0);
    hy_list_image_end(s.image);
    s.rows = calloc((size_t)(dims->T * s.range.total) + 1, sizeof *s.rows);
    s.parts = calloc((size_t)(dims->T * s.range.total * s.range.parts) + 1, sizeof *s.parts);
    s.heads = calloc((size_t)(outer.T * s.range.n) + 1, sizeof *s.heads);
    s.buffer = calloc((size_t)s.entries + 1, sizeof *s.buffer);
    for (int64_t i = 0; i < dims->T * s.range.total; i++) {
        s.rows[i] = entry_of(s.layout->pos[i / s.range.total], i % s.range.total);
    }
    return s;
}

static void close_rank(rank_side *s) {
    hy_layout_destroy(s->layout);
    hy_layout_destroy(s->outer);
    hy_list_image_destroy(s->image);
    free(s->rows);
    free(s->parts);
    free(s->heads);
    free(s->buffer);
}

/* Messages between the members of all groups; lengths agree. */
static void exchange(rank_side *sides, int size, int members, bool back) {
    for (int r = 0; r < size; r++) {
        for (int m = 0; m < members; m++) {
            const int other = r / members * members + m;
            const hy_head_peer *here = &sides[r].lists.peers[m], *there = &sides[other].lists.peers[r % members];
            assert_int_equal(here->heads, there->rows);
            assert_true(here->heads_at + here->heads <= sides[r].entries);
            if (other != r) {
                int64_t *heads = sides[r].buffer + here->heads_at, *rows = sides[other].buffer + there->rows_at;
                memcpy(back ? rows : heads, back ? heads : rows, (size_t)here->heads * sizeof *heads);
            }
        }
    }
}

static void check_heads(const rank_side *s) {
    for (int64_t i = 0; i < s->outer->T * s->range.n; i++) {
        assert_int_equal(s->heads[i], entry_of(s->outer->pos[i / s->range.n], s->range.begin + i % s->range.n));
    }
}

/* Of each entry as many parts as members that have the head; where none is, zeros. */
static void check_parts(const rank_side *s, int members, const hy_head_need *need) {
    for (int64_t i = 0; i < s->layout->T * s->range.total; i++) {
        int64_t holders = 0, there = 0;
        for (int m = 0; m < members; m++) {
            const hy_head_range range = hy_head_range_of(&need->heads, need->kind, members, m);
            holders += i % s->range.total >= range.begin && i % s->range.total < range.begin + range.n;
        }
        for (int64_t part = 0; part < s->range.parts; part++) {
            const int64_t got = s->parts[i * s->range.parts + part];
            assert_true(got == 0 || got == s->rows[i]);
            there += got != 0;
        }
        assert_int_equal(there, holders);
    }
}

static void check_group(hy_device *device, int size, int members, const hy_head_need *need) {
    rank_side sides[RANKS_MAX];
    const hy_layout_kind kind = draw(2) ? HY_LAYOUT_ZIGZAG : HY_LAYOUT_CONTIGUOUS;
    const int64_t n_seq = 1 + draw(3), len = draw(60);
    hy_cuts weights = {.n = draw(2) ? size : size % 2 == 0 && draw(2) ? size / 2 : 0};
    for (int64_t i = 0; i < weights.n; i++) {
        weights.each[i] = 1 + draw(9);
    }
    for (int r = 0; r < size; r++) {
        const hy_layout_dims dims = hy_layout_sizes_cut(kind, &weights, size, r, n_seq, len);
        sides[r] = open_rank(device, &dims, members, need);
        move(&sides[r].lists.pack, sides[r].rows, sides[r].buffer);
    }
    exchange(sides, size, members, false);
    for (int r = 0; r < size; r++) {
        move(&sides[r].lists.unpack, sides[r].buffer, sides[r].heads);
        check_heads(&sides[r]);
        memset(sides[r].buffer, 0, (size_t)sides[r].entries * sizeof *sides[r].buffer);
    }
    for (int r = 0; r < size; r++) {
        move(&sides[r].lists.pack_back, sides[r].heads, sides[r].buffer);
    }
    exchange(sides, size, members, true);
    for (int r = 0; r < size; r++) {
        move(&sides[r].lists.unpack_back, sides[r].buffer, sides[r].parts);
        check_parts(&sides[r], members, need);
        close_rank(&sides[r]);
    }
}

static void test_groups(void **state) {
    (void)state;
    hy_device *device;
    assert_int_equal(hy_device_create("cpu", HY_F32, &device), HY_OK);
    for (int round = 0; round < 150; round++) {
        const int members = 1 + (int)draw(RANKS_MAX), size = members * (1 + (int)draw(RANKS_MAX / members));
        hy_head_need need = {.kind = (hy_head_kind)draw(HY_HEAD_KINDS)};
        need.heads.shared = 1 + draw(5);
        need.heads.main = need.heads.shared * (1 + draw(5));
        check_group(device, size, members, &need);
    }
    hy_device_destroy(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_groups)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
