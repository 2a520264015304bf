/* What was exchanged, under which name, and how long this process waited for it: one record per (name, kind). */
#include <stdint.h>
#include <string.h>

#include "comm/comm_internal.h"

static hy_exchange_log own; /* this process's */

static hy_exchange_log *log_of(hy_exchange_log *log) {
    return log != NULL ? log : &own;
}

static int find_or_open(hy_exchange_log *log, const char *name, hy_exchange_kind kind) {
    for (int i = 0; i < log->n; i++) {
        if (log->records[i].kind == kind && strcmp(log->records[i].name, name) == 0) {
            return i;
        }
    }
    if (log->n == HY_RECORDED_EXCHANGES) {
        log->records[HY_RECORDED_EXCHANGES - 1].name = "(others)";
        return HY_RECORDED_EXCHANGES - 1;
    }
    log->records[log->n] = (hy_exchange_record){.name = name, .kind = kind};
    return log->n++;
}

/* Nearly always a name is one string constant. */
static int guess_or_find(hy_exchange_log *log, const char *name, hy_exchange_kind kind) {
    uint8_t *guess = &log->guesses[((uintptr_t)name + kind) % sizeof log->guesses];
    const hy_exchange_record *guessed = &log->records[*guess];
    if (*guess >= log->n || guessed->name != name || guessed->kind != kind) {
        *guess = (uint8_t)find_or_open(log, name, kind);
    }
    return *guess;
}

const char *hy_exchange_kind_name(hy_exchange_kind kind) {
    static const char *const names[HY_X_KINDS] = {"all-gather", "all-reduce", "reduce-scatter", "all-to-all",
                                                  "broadcast",  "send",       "receive"};
    return names[kind];
}

int hy_record_post(hy_exchange_log *log, const char *name, hy_exchange_kind kind, int64_t bytes) {
    log = log_of(log);
    const int record = guess_or_find(log, name, kind);
    log->records[record].count++;
    log->records[record].bytes += bytes;
    return record;
}

void hy_record_wait(hy_exchange_log *log, int record, double waited) {
    log = log_of(log);
    if (record >= log->n) {
        return; /* posted before a reset */
    }
    log->records[record].waited += waited;
}

void hy_record_unseen(hy_exchange_log *log, int record) {
    log = log_of(log);
    if (record < log->n) {
        log->records[record].unseen++;
    }
}

void hy_record_move(hy_exchange_log *log, double seconds) {
    log_of(log)->moving += seconds;
}

double hy_exchange_moving(void) {
    return own.moving;
}

double hy_exchange_exposed(void) {
    double seconds = own.moving;
    for (int i = 0; i < own.n; i++) {
        seconds += own.records[i].waited;
    }
    return seconds;
}

bool hy_exchange_exposed_is_known(void) {
    for (int i = 0; i < own.n; i++) {
        if (own.records[i].unseen > 0) {
            return false;
        }
    }
    return true;
}

int hy_exchange_records(const hy_exchange_record **out) {
    *out = own.records;
    return own.n;
}

void hy_exchange_reset(void) {
    own.n = 0;
    own.moving = 0.0;
}
