/* Cells are kept as texts until the widths of all are known. The header is row 0. */
#include "base/table.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/utf8.h"

enum { COLUMNS_MAX = 64, CELL_BYTES = 256 };

struct hy_text_table {
    int columns;
    int64_t count; /* cells, header included */
    int64_t room;
    char **cells;
    int64_t *rules; /* cells before each rule */
    int64_t n_rules, rules_room;
    hy_status status;
};

static hy_status append_text(hy_text_table *table, const char *text) {
    HY_TRY(HY_GROW("table", table->count + 1, &table->room, &table->cells));
    const size_t bytes = strlen(text) + 1;
    void *cell = NULL;
    HY_TRY(hy_alloc("table cell", bytes, &cell));
    memcpy(cell, text, bytes);
    table->cells[table->count++] = cell;
    return HY_OK;
}

hy_status hy_text_table_create(int columns, const char *const *headers, hy_text_table **out) {
    if (columns < 1 || columns > COLUMNS_MAX) {
        return hy_fail(HY_ERR_FAILED, "a table of %d columns: 1 to %d are possible", columns, COLUMNS_MAX);
    }
    hy_text_table *table = NULL;
    HY_TRY(HY_NEW("table", 1, &table));
    table->columns = columns;
    for (int i = 0; i < columns; i++) {
        const hy_status status = append_text(table, headers[i]);
        if (status != HY_OK) {
            hy_text_table_destroy(table);
            return status;
        }
    }
    *out = table;
    return HY_OK;
}

void hy_text_table_destroy(hy_text_table *table) {
    if (table == NULL) {
        return;
    }
    for (int64_t i = 0; i < table->count; i++) {
        hy_free(table->cells[i]);
    }
    hy_free(table->cells);
    hy_free(table->rules);
    hy_free(table);
}

void hy_text_table_cell(hy_text_table *table, const char *format, ...) {
    char text[CELL_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (table->status == HY_OK) {
        table->status = append_text(table, text);
    }
}

void hy_text_table_rule(hy_text_table *table) {
    if (table->status == HY_OK) {
        table->status = HY_GROW("table", table->n_rules + 1, &table->rules_room, &table->rules);
    }
    if (table->status == HY_OK) {
        table->rules[table->n_rules++] = table->count;
    }
}

static bool looks_like_number(const char *cell) {
    if (cell[0] == '\0' || strcmp(cell, "-") == 0 || strcmp(cell, "nan") == 0) {
        return true;
    }
    cell += *cell == '-' || *cell == '+';
    if (strcmp(cell, "inf") == 0) {
        return true;
    }
    cell += *cell == '.';
    return *cell >= '0' && *cell <= '9';
}

typedef struct column {
    size_t width;
    bool right;
} column;

static void measure_columns(const hy_text_table *table, column *columns) {
    for (int c = 0; c < table->columns; c++) {
        columns[c] = (column){.right = table->count > table->columns};
        for (int64_t i = c; i < table->count; i += table->columns) {
            const size_t width = hy_utf8_count(table->cells[i]);
            columns[c].width = width > columns[c].width ? width : columns[c].width;
            columns[c].right = columns[c].right && (i == c || looks_like_number(table->cells[i]));
        }
    }
}

static void print_table_row(const hy_text_table *table, const column *columns, int64_t first, FILE *out) {
    size_t owed = 0; /* blanks not written yet: none end a line */
    for (int c = 0; c < table->columns; c++) {
        const char *cell = first + c < table->count ? table->cells[first + c] : "";
        const size_t padding = columns[c].width - hy_utf8_count(cell);
        owed += columns[c].right ? padding : 0;
        if (cell[0] != '\0') {
            (void)fprintf(out, "%*s%s", (int)owed, "", cell);
            owed = 0;
        }
        owed += (columns[c].right ? 0 : padding) + 2;
    }
    (void)fputc('\n', out);
}

static void print_rule(const hy_text_table *table, const column *columns, FILE *out) {
    for (int c = 0; c < table->columns; c++) {
        (void)fputs(c > 0 ? "  " : "", out);
        for (size_t i = 0; i < columns[c].width; i++) {
            (void)fputc('-', out);
        }
    }
    (void)fputc('\n', out);
}

hy_status hy_text_table_print(const hy_text_table *table, FILE *out) {
    HY_TRY(table->status);
    column columns[COLUMNS_MAX];
    measure_columns(table, columns);
    int64_t rule = 0;
    for (int64_t i = 0; i < table->count; i += table->columns) {
        for (; rule < table->n_rules && table->rules[rule] <= i; rule++) {
            print_rule(table, columns, out);
        }
        print_table_row(table, columns, i, out);
        if (i == 0) {
            print_rule(table, columns, out);
        }
    }
    return ferror(out) ? hy_fail(HY_ERR_FAILED, "cannot write a table") : HY_OK;
}

hy_status hy_text_table_show(const hy_text_table *table) {
    char *text = NULL;
    size_t length = 0;
    FILE *memory = open_memstream(&text, &length);
    if (memory == NULL) {
        return hy_fail(HY_ERR_MEMORY, "no memory to show a table");
    }
    hy_status status = hy_text_table_print(table, memory);
    if (fclose(memory) != 0 && status == HY_OK) {
        status = hy_fail(HY_ERR_MEMORY, "no memory to show a table");
    }
    if (status == HY_OK) {
        hy_print_detail("%s", text);
    }
    free(text);
    return status;
}
