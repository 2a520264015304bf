/* mpirun -np P conformance [--full] [--part I/N] [--seed S] [--row A,B,...] [--damaged]
 *
 * The rows of the conformance matrix (conform_axes.h) that have P ranks: each runs a model of its kind of mixer forward and backward as it
 * says, and every token's output and every token's input gradient are compared with the oracle's (conform_problem.h), and the gradient of
 * every parameter. Rows are those that have every pair of values; --full: the whole product; --part: an N-th of it, by lot;
 * --row: one, as a failure prints it. --damaged: every exchange is damaged, and each row must fail. Exit code 1: rows failed. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "layers/mixers/mixer.h"
#include "tests/conformance/conform_axes.h"
#include "tests/conformance/conform_run.h"
#include "tests/conformance/conform_subject.h"

/* The largest error of a row that passes, by element type. docs/conformance.md says what is measured. */
static const double bounds[][CONFORM_WHATS] = {[HY_F32] = {2e-2, 2e-2, 2e-2}, [HY_F64] = {1e-11, 1e-11, 1e-11}};
static const char *const type_names[] = {[HY_F32] = "f32", [HY_F64] = "f64", NULL};
static const char *const node_names[] = {"all", "2", "3", NULL};
static const char *const block_names[] = {"whole", "cut", NULL};

typedef struct worst_row {
    double error;
    conform_row row;
    char parameter[64];
} worst_row;

typedef struct matrix {
    hy_comm *world;
    conform_values axes[CONFORM_AXES];
    conform_place places[CONFORM_PLACES_MAX];
    int n_places, n_states, n_attentions;
    bool full, damaged;
    int64_t part, parts;
    uint64_t seed;
    const char *only;
    conform_subjects subjects;
    int64_t passed, failed, counts[CONFORM_AXES][CONFORM_VALUES_MAX];
    worst_row worst[2][CONFORM_WHATS];
} matrix;

/* ---- the axes ---- */

static hy_status add_names(conform_values *axis, const char *title, const char *const *names) {
    axis->title = title;
    for (int i = 0; names != NULL && names[i] != NULL; i++) {
        HY_TRY(conform_add_value(axis, names[i]));
    }
    return HY_OK;
}

static hy_status fill_exchanges(matrix *m) {
    conform_values *axis = &m->axes[CONFORM_EXCHANGE];
    char name[40];
    axis->title = "exchange";
    while (hy_state_exchange_names[m->n_states] != NULL) {
        m->n_states++;
    }
    while (hy_attention_method_names[m->n_attentions] != NULL) {
        m->n_attentions++;
    }
    for (int i = 0; i < (m->n_states > m->n_attentions ? m->n_states : m->n_attentions); i++) {
        (void)snprintf(name, sizeof name, "%s/%s", hy_state_exchange_names[i % m->n_states],
                       hy_attention_method_names[i % m->n_attentions]);
        HY_TRY(conform_add_value(axis, name));
    }
    return HY_OK;
}

static hy_status fill_kinds(conform_values *axis) {
    axis->title = "kind";
    for (int i = 0; hy_mixer_row_at(i) != NULL; i++) {
        hy_model *model = NULL;
        HY_TRY(conform_model_create(hy_mixer_row_at(i)->kind, CONFORM_HEADS_NARROW, &model));
        axis->groups[i] = conform_model_group(model);
        hy_model_destroy(model);
        HY_TRY(conform_add_value(axis, hy_mixer_row_at(i)->kind));
    }
    return HY_OK;
}

static hy_status fill_axes(matrix *m) {
    static const char *const ranks[] = {"1", "2", "3", "4", "5", "7", "8", NULL};
    conform_values *axes = m->axes;
    char name[40];
    HY_TRY(fill_kinds(&axes[CONFORM_KIND]));
    HY_TRY(add_names(&axes[CONFORM_RANKS], "ranks", ranks));
    HY_TRY(fill_exchanges(m));
    HY_TRY(add_names(&axes[CONFORM_LAYOUT], "layout", hy_layout_names));
    HY_TRY(add_names(&axes[CONFORM_PACKING], "packing", conform_packing_names));
    HY_TRY(add_names(&axes[CONFORM_RECOMPUTE], "recompute", hy_recompute_names));
    HY_TRY(add_names(&axes[CONFORM_PLACE], "place", NULL));
    for (int i = 0; i < m->n_places; i++) {
        (void)snprintf(name, sizeof name, "%s/%s", m->places[i].device, hy_transport_names[m->places[i].transport]);
        HY_TRY(conform_add_value(&axes[CONFORM_PLACE], name));
    }
    HY_TRY(add_names(&axes[CONFORM_TYPE], "type", type_names));
    HY_TRY(add_names(&axes[CONFORM_OVERLAP], "overlap", hy_overlap_names));
    HY_TRY(add_names(&axes[CONFORM_HEADS], "heads", conform_heads_names));
    HY_TRY(add_names(&axes[CONFORM_NODE], "node", node_names));
    HY_TRY(add_names(&axes[CONFORM_BLOCK], "block", block_names));
    return add_names(&axes[CONFORM_OFFLOAD], "offload", hy_offload_names);
}

static void print_row(const matrix *m, const conform_row *row) {
    for (int a = 0; a < CONFORM_AXES; a++) {
        (void)printf(" %s", m->axes[a].names[row->at[a]]);
    }
    (void)printf(" (--seed %llu --row ", (unsigned long long)m->seed);
    for (int a = 0; a < CONFORM_AXES; a++) {
        (void)printf("%s%d", a == 0 ? "" : ",", row->at[a]);
    }
    (void)printf(")\n");
}

/* ---- rows ---- */

/* Whether a row before it is the same, because its kind has fewer ways to exchange. */
static bool is_repeated(const matrix *m, const conform_row *row) {
    const hy_model *model = m->subjects.of[row->at[CONFORM_HEADS]].model;
    const bool states = conform_model_has_states(model), keys = conform_model_group(model) == CONFORM_KEYS;
    const int of_states = states ? m->n_states : 1, of_keys = keys ? m->n_attentions : 1;
    return row->at[CONFORM_EXCHANGE] >= (of_states > of_keys ? of_states : of_keys);
}

static conform_method method_of(const matrix *m, const conform_row *row) {
    static const int64_t nodes[] = {0, 2, 3}, blocks[] = {0, sizeof(double)};
    const uint8_t *at = row->at;
    return (conform_method){.sp = {.layout = (hy_layout_kind)at[CONFORM_LAYOUT],
                                   .state = (hy_state_exchange)(at[CONFORM_EXCHANGE] % m->n_states),
                                   .attention = (hy_attention_method)(at[CONFORM_EXCHANGE] % m->n_attentions),
                                   .overlap = (hy_overlap)at[CONFORM_OVERLAP],
                                   .node = nodes[at[CONFORM_NODE]],
                                   .block = blocks[at[CONFORM_BLOCK]]},
                            .recompute = (hy_recompute)at[CONFORM_RECOMPUTE],
                            .offload = (hy_offload_to)at[CONFORM_OFFLOAD],
                            .dtype = (hy_dtype)at[CONFORM_TYPE],
                            .broken = m->damaged};
}

static void judge(matrix *m, const conform_row *row, const conform_errors *errors) {
    const int type = row->at[CONFORM_TYPE];
    bool within = true;
    for (int i = 0; i < CONFORM_WHATS; i++) {
        worst_row *worst = &m->worst[type][i];
        within = within && errors->of[i] <= bounds[type][i];
        if (errors->of[i] >= worst->error) {
            *worst = (worst_row){.error = errors->of[i], .row = *row};
            (void)snprintf(worst->parameter, sizeof worst->parameter, "%s", errors->parameter);
        }
    }
    m->passed += within != m->damaged;
    m->failed += within == m->damaged;
    for (int a = 0; a < CONFORM_AXES; a++) {
        m->counts[a][row->at[a]]++;
    }
    if (within == m->damaged && hy_comm_rank(m->world) == 0) {
        (void)printf("FAILED: output %.1e, input's gradient %.1e, gradient of %s %.1e:", errors->of[0], errors->of[1],
                     errors->parameter, errors->of[2]);
        print_row(m, row);
    }
}

/* A row of this number of ranks. Collective. */
static hy_status run_row(matrix *m, const conform_row *drawn) {
    conform_row row = *drawn;
    row.at[CONFORM_PACKING] = m->damaged ? CONFORM_ALONE : row.at[CONFORM_PACKING]; /* every cut is crossed */
    conform_errors errors;
    HY_TRY(conform_subjects_use(&m->subjects, m->axes[CONFORM_KIND].names[row.at[CONFORM_KIND]], m->seed));
    if (m->full && is_repeated(m, &row)) {
        return HY_OK;
    }
    conform_want want;
    HY_TRY(conform_subjects_expect(&m->subjects, m->world, (conform_heads)row.at[CONFORM_HEADS],
                                   (conform_packing)row.at[CONFORM_PACKING], &want));
    const conform_method method = method_of(m, &row);
    HY_TRY(conform_run(m->world, &m->places[row.at[CONFORM_PLACE]], &want, &method, &errors));
    judge(m, &row, &errors);
    return HY_OK;
}

static bool is_mine(const matrix *m, const conform_row *row) {
    return atoi(m->axes[CONFORM_RANKS].names[row->at[CONFORM_RANKS]]) == hy_comm_size(m->world);
}

/* By lot: a part has each value of each axis as often as its size makes likely, whatever the number of parts. */
static bool is_of_part(const matrix *m, int64_t number) {
    return (int64_t)(hy_random_u64((uint64_t)hy_comm_size(m->world), hy_random_stream("part"), (uint64_t)number) %
                     (uint64_t)m->parts) == m->part;
}

static hy_status run_product(matrix *m) {
    const int64_t n = conform_product(m->axes);
    int64_t number = 0;
    for (int64_t i = 0; i < n; i++) {
        const conform_row row = conform_product_row(m->axes, m->seed, i);
        if (is_mine(m, &row) && is_of_part(m, number++)) {
            HY_TRY(run_row(m, &row));
        }
    }
    return HY_OK;
}

static hy_status run_cover(matrix *m) {
    conform_row *rows = NULL;
    int64_t n = 0;
    HY_TRY(conform_cover(m->axes, m->seed, &rows, &n));
    hy_status status =
        conform_pairs_missing(m->axes, rows, n) == 0 ? HY_OK : hy_fail(HY_ERR_FAILED, "pairs are missing");
    for (int64_t i = 0; i < n && status == HY_OK; i++) {
        status = is_mine(m, &rows[i]) ? run_row(m, &rows[i]) : HY_OK;
    }
    hy_free(rows);
    return status;
}

static hy_status run_only(matrix *m) {
    conform_row row = {{0}};
    const char *text = m->only;
    for (int a = 0; a < CONFORM_AXES; a++) {
        char *end = NULL;
        const long value = strtol(text, &end, 10);
        if (end == text || value < 0 || value >= m->axes[a].n || *end != (a + 1 < CONFORM_AXES ? ',' : '\0')) {
            return hy_fail(HY_ERR_USAGE, "--row %s: wanted %d numbers of values, as a failure prints them", m->only,
                           (int)CONFORM_AXES);
        }
        row.at[a] = (uint8_t)value;
        text = end + 1;
    }
    return is_mine(m, &row) ? run_row(m, &row)
                            : hy_fail(HY_ERR_USAGE, "--row %s: of %s ranks", m->only,
                                      m->axes[CONFORM_RANKS].names[row.at[CONFORM_RANKS]]);
}

/* ---- the program ---- */

static void report(const matrix *m, double seconds) {
    for (int a = 0; a < CONFORM_AXES; a++) {
        for (int i = 0; i < m->axes[a].n; i++) {
            (void)printf("count %s %s %lld\n", m->axes[a].title, m->axes[a].names[i], (long long)m->counts[a][i]);
        }
    }
    for (int type = 0; type < 2; type++) {
        for (int i = 0; i < CONFORM_WHATS && m->counts[CONFORM_TYPE][type] > 0; i++) {
            const worst_row *w = &m->worst[type][i];
            (void)printf("worst %s %.1e (bound %.0e), %s%s%s:", type_names[type], w->error, bounds[type][i],
                         conform_what_names[i], i == CONFORM_PARAMETER ? " " : "",
                         i == CONFORM_PARAMETER ? w->parameter : "");
            print_row(m, &w->row);
        }
    }
    (void)printf("conformance%s: %d ranks, %lld passed, %lld failed, %.1f s\n", m->damaged ? ", damaged" : "",
                 hy_comm_size(m->world), (long long)m->passed, (long long)m->failed, seconds);
}

static hy_status parse_words(int argc, char **argv, matrix *m) {
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--full") == 0) {
            m->full = true;
        } else if (strcmp(argv[i], "--damaged") == 0) {
            m->damaged = true;
        } else if (strcmp(argv[i], "--seed") == 0) {
            m->seed = strtoull(value, NULL, 10);
            i++;
        } else if (strcmp(argv[i], "--row") == 0) {
            m->only = value;
            i++;
        } else if (strcmp(argv[i], "--part") == 0) {
            char *end = NULL;
            m->part = strtoll(value, &end, 10) - 1;
            m->parts = *end == '/' ? strtoll(end + 1, NULL, 10) : 0;
            i++;
        } else {
            return hy_fail(HY_ERR_USAGE, "conformance: unknown option %s", argv[i]);
        }
    }
    return m->parts > m->part && m->part >= 0 ? HY_OK : hy_fail(HY_ERR_USAGE, "--part: wanted I/N, 1 <= I <= N");
}

static hy_status run_matrix(int argc, char **argv, matrix *m) {
    HY_TRY(parse_words(argc, argv, m));
    m->n_places = conform_places_find(m->world, m->places);
    HY_TRY(fill_axes(m));
    return m->only != NULL ? run_only(m) : m->full ? run_product(m) : run_cover(m);
}

int main(int argc, char **argv) {
    static matrix m = {.parts = 1, .seed = 1};
    if (hy_comm_world_create(&argc, &argv, &m.world) != HY_OK) {
        return 1;
    }
    const double begun = hy_now();
    const hy_status status = hy_comm_agree(m.world, run_matrix(argc, argv, &m));
    if (hy_comm_rank(m.world) == 0) {
        report(&m, hy_now() - begun);
    }
    conform_subjects_free(&m.subjects);
    for (int i = 0; i < m.n_places; i++) {
        conform_place_close(&m.places[i]);
    }
    hy_comm_destroy(m.world);
    return status == HY_OK && m.failed == 0 && m.passed > 0 ? 0 : 1;
}
