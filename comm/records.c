/* What was exchanged, under which name, and how long this process waited for it: one record per (name, kind). */
#include <string.h>

#include "comm/comm_internal.h"

enum { RECORDS_MAX = 256 };

static hy_exchange_record records[RECORDS_MAX];
static int n_records;
static double moving;

static int find_or_open(const char *name, hy_exchange_kind kind) {
    for (int i = 0; i < n_records; i++) {
        if (records[i].kind == kind && (records[i].name == name || strcmp(records[i].name, name) == 0)) {
            return i;
        }
    }
    if (n_records == RECORDS_MAX) {
        records[RECORDS_MAX - 1].name = "(others)";
        return RECORDS_MAX - 1;
    }
    records[n_records] = (hy_exchange_record){.name = name, .kind = kind};
    return n_records++;
}

int hy_record_post(const char *name, hy_exchange_kind kind, int64_t bytes) {
    const int record = find_or_open(name, kind);
    records[record].count++;
    records[record].bytes += bytes;
    return record;
}

void hy_record_wait(int record, double in_flight, double waited) {
    if (record >= n_records) {
        return; /* posted before a reset */
    }
    records[record].in_flight += in_flight;
    records[record].waited += waited;
}

void hy_record_move(double seconds) {
    moving += seconds;
}

double hy_exchange_moving(void) {
    return moving;
}

double hy_exchange_exposed(void) {
    double seconds = moving;
    for (int i = 0; i < n_records; i++) {
        seconds += records[i].waited;
    }
    return seconds;
}

int hy_exchange_records(const hy_exchange_record **out) {
    *out = records;
    return n_records;
}

void hy_exchange_reset(void) {
    n_records = 0;
    moving = 0.0;
}
