/* Random problems for tests of sequence parallelism, equal on all ranks, and buffers that show when something outside
 * them is written or something unwritten in them is read. */
#ifndef HY_TESTS_SP_CASE_H
#define HY_TESTS_SP_CASE_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "sp/sp.h"
#include "tests/dist/dist.h"
#include "tests/tolerance.h"

enum { SP_DOCS_MAX = 24, SP_GUARD = 256, SP_GUARD_BYTE = 0xA5 };

static uint64_t sp_draws;

static inline int64_t sp_draw(int64_t below) {
    return (int64_t)(hy_random_u64(20, 1, sp_draws++) % (uint64_t)below);
}

/* n normal numbers times `scale`. */
static inline double *sp_normal(int64_t n, double scale) {
    double *x = calloc((size_t)n + 1, sizeof *x);
    for (int64_t i = 0; i < n; i++) {
        x[i] = scale * hy_random_normal(20, 2, sp_draws++);
    }
    return x;
}

/* Small integers: sums of their products are exact. */
static inline double *sp_integers(int64_t n) {
    double *x = calloc((size_t)n + 1, sizeof *x);
    for (int64_t i = 0; i < n; i++) {
        x[i] = (double)(sp_draw(9) - 4);
    }
    return x;
}

typedef struct sp_case {
    int64_t n_seq, len, n_docs;
    int64_t docs[SP_DOCS_MAX + 4];
    int64_t weights[8]; /* of ranks, in turn; zeros: all alike */
} sp_case;

static inline int sp_compare(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Where fragment i of a sequence begins, if there are `parts` that weigh as ranks do, or as first and second fragments of half as many. */
static inline int64_t sp_edge(const sp_case *c, int64_t i, int64_t parts, bool mirrored) {
    int64_t before = 0, all = 0;
    for (int64_t j = 0; j < parts; j++) {
        const int64_t owner = mirrored && j >= parts / 2 ? parts - 1 - j : j;
        const int64_t weight = c->weights[0] > 0 ? c->weights[owner % 8] : 1;
        before += j < i ? weight : 0;
        all += weight;
    }
    return before * c->len / all;
}

/* Documents: none but the sequences, or random ones, among them empty ones and ones that start on the edges of
 * fragments. Every sequence start is listed, so that documents have the same index everywhere. */
static inline sp_case sp_case_draw(int64_t n_seq, int64_t len, int parts) {
    sp_case c = {.n_seq = n_seq, .len = len};
    for (int64_t s = 0; s <= n_seq; s++) {
        c.docs[c.n_docs++] = s * len;
    }
    for (int i = 0, uneven = (int)sp_draw(2); i < 8 && uneven; i++) {
        c.weights[i] = 1 + sp_draw(sp_draw(2) ? 3 : 40);
    }
    const int64_t more = len > 0 ? sp_draw(3) * sp_draw(SP_DOCS_MAX / 2 - 4) : 0;
    for (int64_t d = 0; d < more && c.n_docs < SP_DOCS_MAX; d++) {
        const int64_t s = sp_draw(n_seq);
        const int64_t at =
            sp_draw(2) ? sp_edge(&c, sp_draw(parts + 1), parts, parts % 2 == 0 && sp_draw(2)) : sp_draw(len + 1);
        c.docs[c.n_docs++] = s * len + at;
        if (sp_draw(5) == 0) {
            c.docs[c.n_docs++] = s * len + at;
        }
    }
    qsort(c.docs, (size_t)c.n_docs, sizeof *c.docs, sp_compare);
    c.n_docs--;
    return c;
}

static inline hy_layout *sp_layout(const sp_case *c, hy_layout_kind kind, const hy_comm *comm) {
    hy_layout *layout = NULL;
    const int size = hy_comm_size(comm);
    hy_cuts weights = {.n = c->weights[0] == 0 ? 0 : size % 2 == 0 && c->weights[1] % 2 ? size / 2 : size};
    for (int64_t i = 0; i < weights.n; i++) {
        weights.each[i] = c->weights[i % 8];
    }
    if (hy_layout_create_cut(kind, &weights, size, hy_comm_rank(comm), c->n_seq, c->len, &layout) != HY_OK ||
        hy_layout_set_documents(layout, c->docs, c->n_docs) != HY_OK) {
        hy_comm_abort(1);
    }
    return layout;
}

/* The device and the communicator of an operation. Its arrays are the test's own memory, which is fine for devices of the host: but the test
 * touches them only where sp_wait has returned. */
static inline hy_device *sp_device(void) {
    hy_device *device = NULL;
    if (hy_device_create(hy_test_device("cpu_ref"), HY_F64, &device) != HY_OK) {
        hy_comm_abort(1);
    }
    return device;
}

static inline hy_comm *sp_bound(hy_comm *comm, hy_device *device) {
    hy_comm *bound = NULL;
    if (hy_comm_bind(comm, device, hy_test_transport(), &bound) != HY_OK) {
        hy_comm_abort(1);
    }
    return bound;
}

static inline void sp_wait(const hy_sp *sp) {
    hy_device_wait(sp->device, hy_device_mark(sp->device, HY_LANE_COMPUTE));
}

/* An operation, whole or in two parts, as a plan calls it, the exchange moved on a few times in between. `late`: an input that START must not read, and does not get; or NULL. */
#define SP_CALL(sp, late, call)                                                                                        \
    do {                                                                                                               \
        const void **sp_late = (late), *sp_input = sp_late ? *sp_late : NULL;                                          \
        if (sp_draw(2)) {                                                                                              \
            (sp)->part = HY_SP_START;                                                                                  \
            if (sp_late) {                                                                                             \
                *sp_late = NULL;                                                                                       \
            }                                                                                                          \
            call;                                                                                                      \
            for (int64_t sp_moves = sp_draw(4); sp_moves > 0; sp_moves--) {                                            \
                hy_sp_progress(sp);                                                                                    \
            }                                                                                                          \
            (sp)->part = HY_SP_FINISH;                                                                                 \
            if (sp_late) {                                                                                             \
                *sp_late = sp_input;                                                                                   \
            }                                                                                                          \
        }                                                                                                              \
        call;                                                                                                          \
        (sp)->part = HY_SP_WHOLE;                                                                                      \
    } while (0)

/* The lists of sp's layout, which sp reads from now on. */
static inline hy_lists *sp_lists(hy_sp *sp, const hy_lists_needs *needs) {
    hy_lists *lists = NULL;
    const hy_layout_dims dims = hy_layout_dims_of(sp->layout);
    hy_lists_needs told = *needs;
    told.method = sp->method;
    hy_lists_plan_attention(sp->device, &dims, &told);
    if (hy_lists_create(sp->device, &dims, &told, &lists) != HY_OK) {
        hy_comm_abort(1);
    }
    hy_lists_set(lists, sp->layout, NULL, NULL, 0.0);
    sp->lists = lists;
    return lists;
}

/* Whether its states take one all-gather: of all ranks' maps, where a document crosses a cut at all. */
static inline bool sp_gathers_states(const hy_sp *sp) {
    const int size = sp->layout->size;
    bool crossed = false;
    for (int64_t id = 0; id < sp->layout->n_frags; id++) {
        crossed |= sp->layout->frags[id].continues;
    }
    return crossed && (sp->method.state == HY_STATE_ALLGATHER ||
                       (sp->method.state == HY_STATE_HIERARCHICAL && hy_sp_node_ranks(&sp->method, size) == size));
}

/* A buffer of exactly `bytes`, every byte 0xFF (NaN), then a guard. */
static inline void *sp_buffer(size_t bytes) {
    char *p = aligned_alloc(64, (bytes + SP_GUARD + 127) / 64 * 64);
    memset(p, 0xFF, bytes);
    memset(p + bytes, SP_GUARD_BYTE, SP_GUARD);
    return p;
}

static inline void sp_buffer_check(const void *buffer, size_t bytes, const char *what) {
    const unsigned char *guard = (const unsigned char *)buffer + bytes;
    for (int i = 0; i < SP_GUARD; i++) {
        CHECK(guard[i] == SP_GUARD_BYTE, "%s: written %d bytes past its %zu", what, i, bytes);
    }
}

/* This rank's rows of a full array. */
static inline double *sp_shard(const hy_layout *layout, const double *full, int64_t row) {
    double *local = calloc((size_t)(layout->T * row) + 1, sizeof *local);
    if (full) {
        hy_layout_shard(layout, full, (size_t)row * sizeof *full, local);
    }
    return local;
}

static inline double sp_rms(const double *x, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += x[i] * x[i];
    }
    return n > 0 ? sqrt(sum / (double)n) : 0;
}

static inline int64_t sp_differences(const double *got, const double *want, int64_t n, hy_tolerance t, double rms) {
    int64_t wrong = 0;
    for (int64_t i = 0; i < n; i++) {
        wrong += !(fabs(got[i] - want[i]) <= t.relative * fabs(want[i]) + t.of_rms * rms);
    }
    return wrong;
}

/* Local rows against this rank's rows of the full array. Returns how many elements differ. */
static inline int64_t sp_rows_differ(const hy_layout *layout, const double *got, const double *want_full, int64_t row) {
    double *want = sp_shard(layout, want_full, row);
    const double rms = sp_rms(want_full, layout->n_seq * layout->len * row);
    const int64_t wrong = sp_differences(got, want, layout->T * row, HY_TOL_F64_REORDERED, rms);
    free(want);
    return wrong;
}

/* Count and bytes of this process's exchanges of one kind since the last reset. */
static inline int64_t sp_exchanges(hy_exchange_kind kind, int64_t *bytes) {
    const hy_exchange_record *records;
    const int n = hy_exchange_records(&records);
    int64_t count = 0;
    *bytes = 0;
    for (int i = 0; i < n; i++) {
        if (records[i].kind == kind) {
            count += records[i].count;
            *bytes += records[i].bytes;
        }
    }
    return count;
}

static inline void sp_sum(hy_comm *comm, double *x, int64_t n) {
    hy_req req;
    hy_comm_all_reduce(comm, "test", x, n, HY_TYPE_F64, HY_SUM, &req);
    hy_comm_wait(&req);
}

/* Rows of `owner` that fragments of `reader` see through a window (0 = none), the slow way; each: once for every fragment. */
static inline int64_t sp_rows_seen(const hy_layout *layout, int64_t window, int owner, int reader, bool each) {
    int64_t rows = 0;
    for (int64_t i = 0; i < layout->n_frags; i++) {
        const hy_fragment *keys = &layout->frags[i];
        for (int64_t p = keys->begin; p < keys->begin + keys->len && keys->owner == owner; p++) {
            int64_t seen = 0;
            for (int64_t j = i + 1; j < layout->n_frags; j++) {
                const hy_fragment *f = &layout->frags[j];
                seen += f->owner == reader && f->len > 0 && f->doc_begin <= p && (window == 0 || f->begin - p < window);
            }
            rows += each ? seen : seen > 0;
        }
    }
    return rows;
}

#endif
