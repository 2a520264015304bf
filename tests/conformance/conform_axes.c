/* A covering array of strength two, made greedily (Cohen et al. 1997, AETG): a row begins with the first pair that no row has yet, then takes on
 * one axis after the other the value that completes most new pairs with what the row has already. */
#include "tests/conformance/conform_axes.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"

enum { ROWS_MAX = 1 << 13, UNSET = 255 };

typedef struct pairs {
    bool had[CONFORM_AXES][CONFORM_VALUES_MAX][CONFORM_AXES][CONFORM_VALUES_MAX]; /* first axis < second */
    int64_t rows[CONFORM_AXES][CONFORM_VALUES_MAX];                               /* that have the value */
} pairs;

hy_status conform_add_value(conform_values *axis, const char *name) {
    if (axis->n == CONFORM_VALUES_MAX) {
        return hy_fail(HY_ERR_FAILED, "%s: more than %d values", axis->title, CONFORM_VALUES_MAX);
    }
    (void)snprintf(axis->names[axis->n++], sizeof axis->names[0], "%s", name);
    return HY_OK;
}

static bool *pair_of(pairs *p, int a, int value_a, int b, int value_b) {
    return a < b ? &p->had[a][value_a][b][value_b] : &p->had[b][value_b][a][value_a];
}

static void mark_pairs(pairs *p, const conform_row *row) {
    for (int a = 0; a < CONFORM_AXES; a++) {
        p->rows[a][row->at[a]]++;
        for (int b = a + 1; b < CONFORM_AXES; b++) {
            *pair_of(p, a, row->at[a], b, row->at[b]) = true;
        }
    }
}

/* Pairs of any two axes that nobody has; the first of them into `first` where that is given. */
static int64_t count_missing(const conform_values axes[CONFORM_AXES], pairs *p, conform_row *first) {
    int64_t missing = 0;
    for (int a = 0; a < CONFORM_AXES; a++) {
        for (int x = 0; x < axes[a].n; x++) {
            for (int b = a + 1; b < CONFORM_AXES; b++) {
                for (int y = 0; y < axes[b].n; y++) {
                    if (*pair_of(p, a, x, b, y)) {
                        continue;
                    }
                    if (missing++ == 0 && first != NULL) {
                        memset(first->at, UNSET, sizeof first->at);
                        first->at[a] = (uint8_t)x;
                        first->at[b] = (uint8_t)y;
                    }
                }
            }
        }
    }
    return missing;
}

/* Of the axis's values (of kinds: those of the group, unless it is CONFORM_NEITHER) that with most new pairs; of equal ones that which fewest rows
 * have, and of these the first from a drawn place on. */
static int best_value(const conform_values *axis, int a, pairs *p, const conform_row *row, conform_group group,
                      uint64_t draw) {
    int best = 0, most = -1;
    for (int i = 0; i < axis->n; i++) {
        const int value = (int)((draw + (uint64_t)i) % (uint64_t)axis->n);
        int fresh = 0;
        for (int b = 0; b < CONFORM_AXES; b++) {
            fresh += row->at[b] != UNSET && b != a && !*pair_of(p, a, value, b, row->at[b]);
        }
        const bool better = fresh > most || (fresh == most && p->rows[a][value] < p->rows[a][best]);
        if (better && (a != CONFORM_KIND || group == CONFORM_NEITHER || axis->groups[value] == group)) {
            most = fresh;
            best = value;
        }
    }
    return best;
}

static int by_value_of_axes(const void *a, const void *b) {
    return memcmp(((const conform_row *)a)->at, ((const conform_row *)b)->at, CONFORM_AXES);
}

static void fill_row(const conform_values axes[CONFORM_AXES], pairs *p, conform_group group, uint64_t seed,
                     int64_t number, conform_row *row) {
    for (int a = 0; a < CONFORM_AXES; a++) {
        if (row->at[a] == UNSET) {
            const uint64_t draw = hy_random_u64(seed, 30, (uint64_t)(number * CONFORM_AXES + a)) >> 8;
            row->at[a] = (uint8_t)best_value(&axes[a], a, p, row, group, draw);
        }
    }
    mark_pairs(p, row);
}

/* The i-th row of the product of the axes that say who sends what to whom; false: there are no more. The group turns with all of them: as there are
 * as many groups as packings, three of these axes have each group once. */
static bool begin_traffic_row(const conform_values axes[CONFORM_AXES], int64_t i, conform_row *row,
                              conform_group *group) {
    static const conform_axis traffic[] = {CONFORM_RANKS, CONFORM_EXCHANGE, CONFORM_LAYOUT, CONFORM_PACKING};
    int turn = 0;
    memset(row->at, UNSET, sizeof row->at);
    for (size_t a = 0; a < sizeof traffic / sizeof traffic[0]; a++) {
        row->at[traffic[a]] = (uint8_t)(i % axes[traffic[a]].n);
        turn += row->at[traffic[a]];
        i /= axes[traffic[a]].n;
    }
    *group = i == 0 ? (conform_group)(turn % CONFORM_GROUPS) : CONFORM_NEITHER;
    return i == 0;
}

hy_status conform_cover(const conform_values axes[CONFORM_AXES], uint64_t seed, conform_row **rows, int64_t *n) {
    pairs *p = NULL;
    conform_row row;
    conform_group group;
    *n = 0;
    HY_TRY(HY_NEW("pairs", 1, &p));
    hy_status status = HY_NEW("rows", ROWS_MAX, rows);
    while (status == HY_OK && *n < ROWS_MAX &&
           (begin_traffic_row(axes, *n, &row, &group) || count_missing(axes, p, &row) > 0)) {
        fill_row(axes, p, group, seed, *n, &row);
        (*rows)[(*n)++] = row;
    }
    hy_free(p);
    HY_TRY(status);
    qsort(*rows, (size_t)*n, sizeof **rows, by_value_of_axes);
    return *n < ROWS_MAX ? HY_OK : hy_fail(HY_ERR_FAILED, "the matrix needs more than %d rows", ROWS_MAX);
}

int64_t conform_pairs_missing(const conform_values axes[CONFORM_AXES], const conform_row *rows, int64_t n) {
    pairs *p = NULL;
    if (HY_NEW("pairs", 1, &p) != HY_OK) {
        return -1;
    }
    for (int64_t i = 0; i < n; i++) {
        mark_pairs(p, &rows[i]);
    }
    const int64_t missing = count_missing(axes, p, NULL);
    hy_free(p);
    return missing;
}

int64_t conform_product(const conform_values axes[CONFORM_AXES]) {
    int64_t n = 1;
    for (int a = 0; a < CONFORM_MAIN; a++) {
        n *= axes[a].n;
    }
    return n;
}

conform_row conform_product_row(const conform_values axes[CONFORM_AXES], uint64_t seed, int64_t i) {
    conform_row row;
    int64_t rest = i;
    for (int a = CONFORM_MAIN - 1; a >= 0; a--) {
        row.at[a] = (uint8_t)(rest % axes[a].n);
        rest /= axes[a].n;
    }
    for (int a = CONFORM_MAIN; a < CONFORM_AXES; a++) {
        const uint64_t draw = hy_random_u64(seed, 31, (uint64_t)(i * CONFORM_AXES + a)) >> 8;
        row.at[a] = (uint8_t)(draw % (uint64_t)axes[a].n);
    }
    return row;
}
