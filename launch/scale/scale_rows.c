#include "launch/scale/scale_rows.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"

enum { CSV_MAX = 64 << 20, COLUMNS_MAX = 64 };

typedef struct csv_row {
    const char *cell[COLUMNS_MAX];
    int n;
} csv_row;

typedef struct csv_table {
    char *text; /* that cells point into */
    csv_row head, *rows;
    int64_t n_rows;
    int ranks, hash, settings, value[HY_SCALE_VALUES]; /* columns; settings: how many there are, from the first on */
    bool names[COLUMNS_MAX];                           /* settings that differ */
} csv_table;

/* ---- cells ---- */

/* Cuts the line at *text; false after the last. A line that nothing ends was being written. */
static bool next_row(char **text, csv_row *row) {
    char *end = strchr(*text, '\n');
    if (end == NULL) {
        return false;
    }
    *end = '\0';
    row->n = 0;
    for (char *cell = *text; cell != NULL && row->n < COLUMNS_MAX;) {
        row->cell[row->n++] = cell;
        cell = strchr(cell, ',');
        if (cell != NULL) {
            *cell++ = '\0';
        }
    }
    *text = end + 1;
    return true;
}

static int column_of(const csv_row *head, const char *name) {
    int i = 0;
    while (i < head->n && strcmp(head->cell[i], name) != 0) {
        i++;
    }
    return i < head->n ? i : -1;
}

static hy_status read_head(const char *path, csv_table *t) {
    static const char *const names[HY_SCALE_VALUES] = {"tokens_per_second", "efficiency", "exposed_share",
                                                       "memory_bytes"};
    t->ranks = column_of(&t->head, "ranks");
    t->settings = column_of(&t->head, "tokens");
    t->hash = column_of(&t->head, "config_hash");
    bool known = t->ranks >= 0 && t->settings > t->ranks && t->hash >= 0 && t->settings > t->hash;
    for (int v = 0; v < HY_SCALE_VALUES; v++) {
        t->value[v] = column_of(&t->head, names[v]);
        known = known && t->value[v] > t->settings;
    }
    return known ? HY_OK : hy_fail(HY_ERR_DATA, "%s: its columns are not those of hylas scale", path);
}

/* Settings tell lines apart, but for the number of ranks and what follows from the others. */
static void find_names(csv_table *t) {
    for (int c = 0; c < t->settings; c++) {
        for (int64_t r = 1; r < t->n_rows && c != t->ranks && c != t->hash; r++) {
            t->names[c] = t->names[c] || strcmp(t->rows[r].cell[c], t->rows[0].cell[c]) != 0;
        }
    }
}

static hy_status read_table(const char *path, csv_table *t) {
    size_t length = 0;
    int64_t lines = 0;
    HY_TRY(hy_file_read(path, CSV_MAX, HY_ERR_DATA, &t->text, &length));
    for (const char *c = t->text; *c != '\0'; c++) {
        lines += *c == '\n';
    }
    HY_TRY(HY_NEW("rows of a study", lines + 1, &t->rows));
    char *at = t->text;
    if (!next_row(&at, &t->head)) {
        return hy_fail(HY_ERR_DATA, "%s: is empty", path);
    }
    HY_TRY(read_head(path, t));
    while (next_row(&at, &t->rows[t->n_rows])) {
        t->n_rows += t->rows[t->n_rows].n == t->head.n;
    }
    if (t->n_rows == 0) {
        return hy_fail(HY_ERR_DATA, "%s: has no row yet", path);
    }
    find_names(t);
    return HY_OK;
}

/* ---- lines ---- */

/* What differs, in words; where nothing does the first column, the machine. */
static void name_line(const csv_table *t, const csv_row *row, char name[HY_SCALE_NAME]) {
    size_t used = 0;
    name[0] = '\0';
    for (int c = 0; c < t->settings && used < HY_SCALE_NAME; c++) {
        if (t->names[c]) {
            const char *dot = strrchr(t->head.cell[c], '.');
            used += (size_t)snprintf(name + used, HY_SCALE_NAME - used, "%s%s %s", used > 0 ? ", " : "",
                                     dot != NULL ? dot + 1 : t->head.cell[c], row->cell[c]);
        }
    }
    if (used == 0) {
        (void)snprintf(name, HY_SCALE_NAME, "%s", row->cell[0]);
    }
}

static hy_scale_line *line_of(hy_scale_lines *lines, const char *name) {
    int i = 0;
    while (i < lines->n && strcmp(lines->line[i].name, name) != 0) {
        i++;
    }
    if (i == lines->n && i < HY_SCALE_LINES) {
        (void)snprintf(lines->line[lines->n++].name, HY_SCALE_NAME, "%s", name);
    }
    return i < HY_SCALE_LINES ? &lines->line[i] : NULL;
}

/* At its place in order of ranks. */
static hy_status add_point(const char *csv, const csv_table *t, const csv_row *row, hy_scale_line *line) {
    const double ranks = strtod(row->cell[t->ranks], NULL);
    const uint64_t config = strtoull(row->cell[t->hash], NULL, 16);
    int at = 0;
    while (at < line->n && line->ranks[at] < ranks) {
        at++;
    }
    if (at == line->n || line->ranks[at] > ranks) {
        if (line->n == HY_SCALE_POINTS) {
            return hy_fail(HY_ERR_USAGE, "%s: more than %d points of a line are no picture", csv, HY_SCALE_POINTS);
        }
        const size_t after = (size_t)(line->n++ - at) * sizeof(double);
        memmove(&line->ranks[at + 1], &line->ranks[at], after);
        memmove(&line->config[at + 1], &line->config[at], after);
        for (int v = 0; v < HY_SCALE_VALUES; v++) {
            memmove(&line->value[v][at + 1], &line->value[v][at], after);
        }
    } else if (line->config[at] != config) {
        return hy_fail(HY_ERR_USAGE,
                       "%s: '%s' on %.0f ranks is there with two configurations; draw them from two files", csv,
                       line->name, ranks);
    }
    line->ranks[at] = ranks;
    line->config[at] = config;
    for (int v = 0; v < HY_SCALE_VALUES; v++) {
        char *end = NULL;
        const char *cell = row->cell[t->value[v]];
        line->value[v][at] = strtod(cell, &end);
        line->value[v][at] = end == cell ? (double)NAN : line->value[v][at];
    }
    return HY_OK;
}

/* Of the line's fewest ranks, which may have come after the row was written. */
static void find_efficiency(hy_scale_line *line) {
    const double *rate = line->value[HY_SCALE_RATE];
    for (int i = 0; i < line->n; i++) {
        line->value[HY_SCALE_EFFICIENCY][i] = rate[i] / line->ranks[i] / (rate[0] / line->ranks[0]);
    }
}

static hy_status gather_lines(const char *csv, const csv_table *t, hy_scale_lines *lines) {
    for (int64_t r = 0; r < t->n_rows; r++) {
        char name[HY_SCALE_NAME];
        name_line(t, &t->rows[r], name);
        hy_scale_line *line = line_of(lines, name);
        if (line == NULL) {
            return hy_fail(HY_ERR_USAGE, "%s: more than %d lines are no picture; draw fewer settings", csv,
                           HY_SCALE_LINES);
        }
        HY_TRY(add_point(csv, t, &t->rows[r], line));
    }
    for (int i = 0; i < lines->n; i++) {
        find_efficiency(&lines->line[i]);
    }
    return HY_OK;
}

hy_status hy_scale_lines_read(const char *csv, hy_scale_lines **out) {
    csv_table table = {.text = NULL};
    hy_scale_lines *lines = NULL;
    HY_TRY(HY_NEW("lines of a study", 1, &lines));
    hy_status status = read_table(csv, &table);
    status = status == HY_OK ? gather_lines(csv, &table, lines) : status;
    hy_free(table.rows);
    hy_free(table.text);
    if (status != HY_OK) {
        hy_free(lines);
        return status;
    }
    *out = lines;
    return HY_OK;
}
