#include "train/run/phase_report.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/table.h"
#include "base/text.h"
#include "train/run/op_group.h"

enum { NAME_SIZE = 48, ROWS_MAX = 48 };

typedef struct row {
    char name[NAME_SIZE];
    double seconds;
    int64_t unseen, bytes; /* exchanges that a lane waited for, not the host; sent by this rank in all of the name */
} row;

static int add_row(row *rows, int n, const char *name, double seconds) {
    if (n == ROWS_MAX) {
        return n;
    }
    rows[n] = (row){.seconds = seconds};
    snprintf(rows[n].name, NAME_SIZE, "%s", name);
    return n + 1;
}

static int find_row(const row *rows, int n, const char *name) {
    for (int i = 0; i < n; i++) {
        if (strncmp(rows[i].name, name, NAME_SIZE - 1) == 0) {
            return i;
        }
    }
    return -1;
}

/* A row for each name of exchanges; those with the same name (all-gather and receive, say) are one. */
static int add_waits(row *rows, int n) {
    const hy_exchange_record *records = NULL;
    const int n_records = hy_exchange_records(&records), first = n;
    for (int i = 0; i < n_records; i++) {
        char name[NAME_SIZE];
        snprintf(name, sizeof name, "wait: %s", records[i].name);
        int at = find_row(rows + first, n - first, name);
        if (at < 0) {
            at = n - first;
            n = add_row(rows, n, name, 0.0);
        }
        if (first + at < n) { /* else there was no room */
            rows[first + at].seconds += records[i].waited;
            rows[first + at].unseen += records[i].unseen;
            rows[first + at].bytes += records[i].kind != HY_X_RECV ? records[i].bytes : 0;
        }
    }
    return n;
}

/* This rank's rows. */
static int collect(hy_device *device, const hy_phase_seconds *seconds, row *rows) {
    double by_group[HY_GROUP_COUNT] = {0}, inside = seconds->read + seconds->checkpoint + seconds->validation;
    int n = 0;
    for (int op = 0; op < HY_OP_COUNT; op++) {
        by_group[hy_op_group_of((hy_op_id)op)] += hy_device_counts(device)->seconds[op];
    }
    for (int g = 0; g < HY_GROUP_COUNT; g++) {
        n = add_row(rows, n, hy_op_group_name((hy_op_group)g), by_group[g]);
        inside += by_group[g];
    }
    n = add_waits(rows, n);
    n = add_row(rows, n, "moving exchanges", hy_exchange_moving());
    inside += hy_exchange_exposed();
    n = add_row(rows, n, "reading data", seconds->read);
    n = add_row(rows, n, "checkpoints", seconds->checkpoint);
    n = add_row(rows, n, "validation", seconds->validation);
    n = add_row(rows, n, "the rest", seconds->total > inside ? seconds->total - inside : 0.0);
    return add_row(rows, n, "total", seconds->total);
}

static void reduce_phases(hy_comm *world, double *values, int n, hy_reduce op) {
    hy_req req = {0};
    hy_comm_all_reduce(world, "phase report", values, n, HY_TYPE_F64, op, &req);
    hy_comm_wait(&req);
}

/* Of exchanges in the order of a lane the host knows how many, not how long. */
static hy_status print_unseen(const row *rows, int n) {
    hy_text_table *table = NULL;
    bool any = false;
    HY_TRY(hy_text_table_create(4, (const char *const[]){"in the order of lanes", "seconds", "exchanges", "sent"},
                                &table));
    for (int i = 0; i < n; i++) {
        if (rows[i].unseen > 0) {
            any = true;
            hy_text_table_cell(table, "%s", rows[i].name);
            hy_text_table_cell(table, "-");
            hy_text_table_cell(table, "%lld", (long long)rows[i].unseen);
            hy_text_table_cell(table, "%s", hy_text_bytes((double)rows[i].bytes).s);
        }
    }
    hy_status status = HY_OK;
    if (any) {
        hy_print_detail("\n");
        status = hy_text_table_show(table);
    }
    hy_text_table_destroy(table);
    return status;
}

static hy_status print_phases(const row *rows, int n, const double *least, const double *sum, const double *most,
                              int size) {
    hy_text_table *table = NULL;
    const double total = sum[n - 1] / size;
    HY_TRY(hy_text_table_create(5, (const char *const[]){"seconds by rank", "min", "mean", "max", "share"}, &table));
    for (int i = 0; i < n; i++) {
        const double mean = sum[i] / size;
        if (i == n - 1) {
            hy_text_table_rule(table);
        } else if (rows[i].unseen > 0 || most[i] < 0.0005) {
            continue;
        }
        hy_text_table_cell(table, "%s", rows[i].name);
        hy_text_table_cell(table, "%.3f", least[i]);
        hy_text_table_cell(table, "%.3f", mean);
        hy_text_table_cell(table, "%.3f", most[i]);
        hy_text_table_cell(table, "%.1f%%", total > 0.0 ? 100.0 * mean / total : 0.0);
    }
    const hy_status status = hy_text_table_show(table);
    hy_text_table_destroy(table);
    HY_TRY(status);
    return print_unseen(rows, n);
}

hy_status hy_phase_report(hy_comm *world, hy_device *device, const hy_phase_seconds *seconds) {
    row mine[ROWS_MAX], rows[ROWS_MAX];
    double least[ROWS_MAX], sum[ROWS_MAX], most[ROWS_MAX];
    memset(mine, 0, sizeof mine);
    int n_mine = collect(device, seconds, mine), n = n_mine;
    memcpy(rows, mine, sizeof rows);

    /* rank 0's names; a rank that has none of a name counts as 0 seconds */
    hy_req req = {0};
    hy_comm_broadcast(world, "phase report", &n, sizeof n, 0, &req);
    hy_comm_wait(&req);
    hy_comm_broadcast(world, "phase report", rows, sizeof rows, 0, &req);
    hy_comm_wait(&req);
    for (int i = 0; i < n; i++) {
        const int at = find_row(mine, n_mine, rows[i].name);
        least[i] = sum[i] = most[i] = at >= 0 ? mine[at].seconds : 0.0;
    }
    reduce_phases(world, least, n, HY_MIN);
    reduce_phases(world, sum, n, HY_SUM);
    reduce_phases(world, most, n, HY_MAX);
    const hy_status status =
        hy_comm_rank(world) == 0 ? print_phases(rows, n, least, sum, most, hy_comm_size(world)) : HY_OK;
    return hy_comm_agree(world, status);
}
