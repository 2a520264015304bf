/* A plain text table for reports: columns as wide as their widest cell, two blanks apart; a column whose cells all look
 * like numbers ("12", "-1.5", "1.50 GiB", "3m12s", "-") is aligned right, others left.
 *
 *     hy_text_table *table = NULL;
 *     HY_TRY(hy_text_table_create(3, (const char *const[]){"name", "shape", "bytes"}, &table));
 *     hy_text_table_cell(table, "%s", name);      // row by row, left to right
 *     hy_text_table_cell(table, "%d x %d", m, n);
 *     hy_text_table_cell(table, "%s", hy_text_bytes(bytes).s);
 *     status = hy_text_table_print(table, stdout);
 *     hy_text_table_destroy(table); */
#ifndef HY_BASE_TABLE_H
#define HY_BASE_TABLE_H

#include <stdio.h>

#include "base/status.h"

typedef struct hy_text_table hy_text_table;

HY_MUST_CHECK hy_status hy_text_table_create(int columns, const char *const *headers, hy_text_table **out);
void hy_text_table_destroy(hy_text_table *table);

/* The next cell, at most 255 bytes of it. A failed allocation is remembered and returned by hy_text_table_print. */
HY_PRINTF(2, 3) void hy_text_table_cell(hy_text_table *table, const char *format, ...);

/* A line of dashes before the next row: above a total, say. */
void hy_text_table_rule(hy_text_table *table);

/* Header, rule, rows; a last row that is not full is filled with empty cells. */
HY_MUST_CHECK hy_status hy_text_table_print(const hy_text_table *table, FILE *out);
/* The same as a detail of what the program says (base/log.h). */
HY_MUST_CHECK hy_status hy_text_table_show(const hy_text_table *table);

#endif
