/* What an exchange of states costs: bytes that every rank receives, counted by a transport on one rank of a layout whose others are not
 * there, against the formulas of docs/exchanges.md; what stays from forward to backward, which no number of ranks changes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sp/state/state_exchange.h"

enum { MIB = 1 << 20, HEADS = 32, WIDTH = 128 };

typedef struct cost_case {
    hy_sp_method method;
    hy_recur_args op;
    int size;
    const int64_t *docs; /* [n_docs+1]; NULL: one document */
    int64_t n_docs;
} cost_case;

static hy_recur_args dense = {
    .decay = HY_DECAY_SCALAR, .rule = HY_RULE_DELTA, .H = HEADS, .HV = HEADS, .K = WIDTH, .V = WIDTH};
static hy_recur_args diagonal = {
    .decay = HY_DECAY_VECTOR, .rule = HY_RULE_ADDITIVE, .H = HEADS, .HV = HEADS, .K = WIDTH, .V = WIDTH};

static int64_t received_bytes(const hy_exchange_log *log) {
    int64_t bytes = 0;
    for (int i = 0; i < log->n; i++) {
        const hy_exchange_kind kind = log->records[i].kind; /* of an all-gather a rank receives what it sends */
        bytes += kind == HY_X_RECV || kind == HY_X_ALL_GATHER ? log->records[i].bytes : 0;
    }
    return bytes;
}

/* One pass of a rank, one sequence of 64 tokens a rank. */
static int64_t count_pass(const cost_case *c, int rank, int step) {
    static hy_exchange_log log;
    hy_device *device = NULL;
    hy_comm *comm = NULL, *bound = NULL;
    hy_layout *layout = NULL;
    hy_lists *lists = NULL;
    hy_lists_needs needs = {.method = c->method};
    void *memory = NULL;
    log = (hy_exchange_log){0};
    hy_exchange_reset();
    assert_int_equal(hy_device_create("dry:cpu", HY_F32, &device), HY_OK);
    assert_int_equal(hy_comm_count_create(c->size, rank, &log, &comm), HY_OK);
    assert_int_equal(hy_comm_bind(comm, device, HY_TRANSPORT_AUTO, &bound), HY_OK);
    assert_int_equal(hy_layout_create(c->method.layout, c->size, rank, 1, 64 * c->size, &layout), HY_OK);
    if (c->docs != NULL) {
        assert_int_equal(hy_layout_set_documents(layout, c->docs, c->n_docs), HY_OK);
    }
    const hy_layout_dims dims = hy_layout_dims_of(layout);
    hy_sp_recur_need(&needs, &c->op, 0);
    assert_int_equal(hy_lists_create(device, &dims, &needs, &lists), HY_OK);
    hy_lists_set(lists, layout, NULL, NULL, 0.0);
    hy_sp sp = {.profile = hy_device_profile(device),
                .device = device,
                .comm = bound,
                .layout = layout,
                .lists = lists,
                .method = c->method};
    const hy_segment_shape shape = hy_segment_shape_of(&c->op, HY_F32);
    hy_state_pass pass = {0};
    hy_carve work = {0};
    hy_state_open(&pass, &sp, &dims, &shape, step, &work);
    const size_t states = hy_aligned((size_t)dims.n_local * shape.h_bytes), own_A = hy_state_kept_bytes(&dims, &shape);
    assert_int_equal(hy_device_alloc(device, "states", states + hy_aligned(own_A) + work.used, &memory), HY_OK);
    pass.in = memory;
    pass.own_A = pass.in + states;
    hy_state_open(&pass, &sp, &dims, &shape, step, &(hy_carve){.base = pass.own_A + hy_aligned(own_A)});
    hy_state_post(&pass);
    hy_state_resume(&pass);
    hy_state_finish(&pass);
    const int64_t bytes = received_bytes(&log);
    hy_device_free(device, memory);
    hy_lists_destroy(lists);
    hy_layout_destroy(layout);
    hy_comm_destroy(bound);
    hy_comm_destroy(comm);
    hy_device_destroy(device);
    return bytes;
}

/* ---- formulas: bytes of A and H of one fragment ---- */

typedef struct map_bytes {
    int64_t A, H;
} map_bytes;

static map_bytes bytes_of(const cost_case *c) {
    const hy_segment_shape shape = hy_segment_shape_of(&c->op, HY_F32);
    return (map_bytes){(int64_t)shape.a_bytes, (int64_t)shape.h_bytes};
}

/* Fragments of a rank, as ordinals in the direction of the pass; their number. */
static int ordinals(const cost_case *c, int rank, int step, int at[2]) {
    const int n = c->method.layout == HY_LAYOUT_ZIGZAG ? 2 : 1, all = n * c->size;
    const int first = rank, second = all - 1 - rank;
    at[0] = step > 0 ? first : all - 1 - first;
    at[1] = step > 0 ? second : all - 1 - second;
    return n;
}

static int owner_at(const cost_case *c, int ordinal, int step) {
    const int all = (c->method.layout == HY_LAYOUT_ZIGZAG ? 2 : 1) * c->size;
    const int id = step > 0 ? ordinal : all - 1 - ordinal;
    return id < c->size ? id : all - 1 - id;
}

/* All maps of the other ranks of a node, and a state wherever a node's fragments begin but at the very beginning. */
static int64_t relay_formula(const cost_case *c, int rank, int step, int node) {
    const map_bytes b = bytes_of(c);
    const int first = rank / node * node, last = first + node < c->size ? first + node : c->size;
    int at[2];
    const int n = ordinals(c, rank, step, at);
    int64_t bytes = (last - first - 1) * n * (b.A + b.H);
    const int all = n * c->size;
    for (int i = 1; i < all && node < c->size; i++) {
        const int owner = owner_at(c, i, step), before = owner_at(c, i - 1, step);
        bytes += owner / node == rank / node && before / node != rank / node ? b.H : 0;
    }
    return bytes;
}

static int64_t scan_formula(const cost_case *c, int rank, int step) {
    const map_bytes b = bytes_of(c);
    int at[2];
    const int n = ordinals(c, rank, step, at);
    int64_t bytes = 0;
    for (int i = 0; i < n; i++) {
        for (int d = 1; d <= at[i]; d *= 2) {
            bytes += owner_at(c, at[i] - d, step) == rank ? 0 : b.H + (at[i] >= 2 * d ? b.A : 0);
        }
    }
    return bytes;
}

static int64_t formula(const cost_case *c, int rank, int step) {
    switch (c->method.state) {
    case HY_STATE_ALLGATHER:
        return relay_formula(c, rank, step, c->size);
    case HY_STATE_RING:
    case HY_STATE_CHAIN:
        return relay_formula(c, rank, step, 1);
    case HY_STATE_HIERARCHICAL:
        return relay_formula(c, rank, step, hy_sp_node_ranks(&c->method, c->size));
    case HY_STATE_SCAN:
        return scan_formula(c, rank, step);
    case HY_STATE_HEADS: /* counted where they are computed (tests/dist/test_recurrence.c) */
    case HY_STATE_AUTO:
        break;
    }
    return -1;
}

static void test_formulas(void **unused) {
    (void)unused;
    const int sizes[] = {2, 3, 5, 7, 8};
    for (int i = 0; i < 5; i++) {
        for (int mode = 0; mode < 4; mode++) {
            for (int state = 0; state < HY_STATE_HEADS; state++) {
                const cost_case c = {.method = {.layout = (hy_layout_kind)(mode & 1),
                                                .state = (hy_state_exchange)state,
                                                .node = 1 + sizes[i] / 3},
                                     .op = mode & 2 ? dense : diagonal,
                                     .size = sizes[i]};
                for (int rank = 0; rank < c.size; rank++) {
                    assert_int_equal(count_pass(&c, rank, 1), formula(&c, rank, 1));
                    assert_int_equal(count_pass(&c, rank, -1), formula(&c, rank, -1));
                }
            }
        }
    }
}

/* The most that a rank of 8 receives; contiguous, fp32. */
static int64_t most_received(hy_state_exchange state, const hy_recur_args *op) {
    const cost_case c = {.method = {.layout = HY_LAYOUT_CONTIGUOUS, .state = state, .node = 4}, .op = *op, .size = 8};
    int64_t most = 0;
    for (int rank = 0; rank < c.size; rank++) {
        const int64_t bytes = count_pass(&c, rank, 1);
        most = bytes > most ? bytes : most;
    }
    return most;
}

static void test_table(void **unused) {
    (void)unused;
    const int64_t rows = (int64_t)HEADS * WIDTH * 4; /* A of a diagonal */
    assert_int_equal(most_received(HY_STATE_ALLGATHER, &dense), 28 * MIB);
    assert_int_equal(most_received(HY_STATE_ALLGATHER, &diagonal), 14 * MIB + 7 * rows);
    assert_int_equal(most_received(HY_STATE_SCAN, &dense),
                     10 * MIB); /* 12 with the last round's A, which nothing reads */
    assert_int_equal(most_received(HY_STATE_RING, &dense), 2 * MIB);
    assert_int_equal(most_received(HY_STATE_CHAIN, &dense), 2 * MIB);
    assert_int_equal(most_received(HY_STATE_HIERARCHICAL, &dense), 14 * MIB);
}

/* A document per fragment: nothing is sent, whatever the method. One that crosses one cut: its state goes over that one, and only an
 * all-gather brings more than that. */
static void test_cuts_without_documents(void **unused) {
    (void)unused;
    for (int mode = 0; mode < 4; mode++) {
        const hy_layout_kind kind = (hy_layout_kind)(mode & 1);
        const int size = 5, frags = kind == HY_LAYOUT_ZIGZAG ? 2 * size : size, joined = 2;
        int64_t apart[16], one[16], n_one = 0;
        for (int i = 0; i <= frags; i++) {
            apart[i] = (int64_t)i * 64 * size / frags;
            if (i != joined) {
                one[n_one++] = apart[i];
            }
        }
        for (int state = 0; state < HY_STATE_HEADS; state++) {
            cost_case c = {.method = {.layout = kind, .state = (hy_state_exchange)state, .node = 1 + (mode >> 1)},
                           .op = dense,
                           .size = size,
                           .docs = apart,
                           .n_docs = frags};
            for (int step = -1; step <= 1; step += 2) {
                int64_t crossing = 0;
                for (int rank = 0; rank < size; rank++) {
                    c.docs = apart;
                    c.n_docs = frags;
                    assert_int_equal(count_pass(&c, rank, step), 0);
                    c.docs = one;
                    c.n_docs = frags - 1;
                    crossing += count_pass(&c, rank, step);
                }
                if (state == HY_STATE_RING || state == HY_STATE_CHAIN || state == HY_STATE_SCAN) {
                    assert_int_equal(crossing, bytes_of(&c).H);
                }
            }
        }
    }
}

/* What has decayed over a fragment of 64 tokens (zigzag: 32) is not passed on: a fragment gets the H of the one before it, whatever the method. A bound
 * that takes one token more leaves all as it was. */
static void test_pruned(void **unused) {
    (void)unused;
    for (int mode = 0; mode < 4; mode++) {
        const hy_layout_kind kind = (hy_layout_kind)(mode & 1);
        const double tokens = kind == HY_LAYOUT_ZIGZAG ? 32 : 64;
        for (int state = 0; state < HY_STATE_HEADS; state++) {
            cost_case c = {
                .method = {.layout = kind, .state = (hy_state_exchange)state, .node = 1 + (mode >> 1), .prune = 1e-4},
                .op = diagonal,
                .size = 5};
            c.op.decay = HY_DECAY_HEAD;
            for (int rank = 0; rank < c.size; rank++) {
                for (int step = -1; step <= 1; step += 2) {
                    c.op.log_decay_max = log(c.method.prune) / (tokens - 0.5);
                    assert_int_equal(count_pass(&c, rank, step), relay_formula(&c, rank, step, 1));
                    c.op.log_decay_max = log(c.method.prune) / (tokens + 0.5);
                    assert_int_equal(count_pass(&c, rank, step), formula(&c, rank, step));
                }
            }
        }
    }
}

/* ---- memory ---- */

static void test_kept(void **unused) {
    (void)unused;
    hy_profile profile;
    assert_int_equal(hy_profile_of("cpu", HY_F32, &profile), HY_OK);
    for (int mode = 0; mode < 4; mode++) {
        for (int state = 0; state < HY_STATE_HEADS; state++) {
            const hy_sp sp = {.profile = &profile, .method = {.state = (hy_state_exchange)state, .node = 8}};
            const hy_level_recur_args levels = {.base = mode & 2 ? dense : diagonal, .L = 12};
            const int sizes[] = {8, 64, 256};
            size_t kept[3], of_levels[3];
            for (int i = 0; i < 3; i++) {
                const hy_layout_dims dims = hy_layout_sizes((hy_layout_kind)(mode & 1), sizes[i], 0, 2, 1 << 16);
                kept[i] = hy_sp_recur_kept(&sp, &dims, &levels.base);
                of_levels[i] = hy_sp_level_recur_kept(&sp, &dims, &levels);
            }
            assert_true(kept[0] > 0);
            assert_true(kept[0] == kept[1] && kept[1] == kept[2]);
            assert_true(of_levels[0] == of_levels[1] && of_levels[1] == of_levels[2]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_formulas), cmocka_unit_test(test_table),
                                       cmocka_unit_test(test_cuts_without_documents), cmocka_unit_test(test_pruned),
                                       cmocka_unit_test(test_kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
