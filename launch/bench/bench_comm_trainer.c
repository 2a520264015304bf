/* The exchanges of one training step, each by itself: a layer's states, a hop of K and V, a bucket of gradients or parameters, whatever the
 * configuration's mixers and optimizer send, at the mean of their sizes on rank 0 in a dry run of the step (train/run/dry_run.h). Each is timed alone,
 * and posted before computing that is cut into operations, as the trainer does it:
 *
 *     hidden = (exchange alone + computing alone − both together) / the shorter of the two
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/table.h"
#include "base/text.h"
#include "launch/bench/comm_bench.h"
#include "train/run/dry_run.h"
#include "train/run/trainer.h"

enum { ROWS_MOST = HY_RECORDED_EXCHANGES, MESSAGES_MOST = 2 };

typedef struct trainer_row {
    char name[80];
    hy_exchange_kind kind;
    bool of_world; /* of all ranks, not of those that share a sequence */
    int messages;  /* posted together: of one hop, K and V */
    int64_t bytes[MESSAGES_MOST], per_step;
} trainer_row;

typedef struct trainer_bench {
    hy_comm_bench *b;
    hy_mesh mesh;
    hy_comm *sequence; /* bound */
    hy_comm_computing computing;
    trainer_row rows[ROWS_MOST];
    int n;
    char *send, *recv; /* the device's, each for all messages of any row */
    double *times;     /* of rounds */
} trainer_bench;

/* ---- what there is ---- */

/* What is not of the model goes over all ranks: the optimizer's, and the agreements of a step. */
static bool is_of_world(const char *name) {
    static const char *const names[] = {"gradients", "parameters", "step counts", "loss and norm"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* Bytes of a block, or of a message, of the mean exchange of a record (comm.c says what a record counts). */
static int64_t block_bytes(const hy_exchange_record *r, int size) {
    const double mean = (double)r->bytes / (double)r->count;
    const double others = size > 1 ? (double)(size - 1) : 1.0;
    switch (r->kind) {
    case HY_X_ALL_REDUCE:
        return llround(mean * (double)size / (2.0 * others)); /* the record was rounded down */
    case HY_X_SEND:
        return (int64_t)mean;
    default:
        return (int64_t)(mean / others);
    }
}

static bool ends_in(const char *name, const char *end) {
    const size_t n = strlen(name), m = strlen(end);
    return n > m && strcmp(name + n - m, end) == 0;
}

/* The V of the K in the row before: the two of a hop leave together. */
static bool belongs_to_last(const trainer_bench *t, const hy_exchange_record *r) {
    const trainer_row *last = t->n > 0 ? &t->rows[t->n - 1] : NULL;
    return last != NULL && last->kind == r->kind && last->messages == 1 && ends_in(last->name, " K") &&
           ends_in(r->name, " V") && strncmp(last->name, r->name, strlen(r->name) - 1) == 0;
}

static void add_row(trainer_bench *t, const hy_exchange_record *r) {
    const bool of_world = is_of_world(r->name);
    const int64_t bytes = block_bytes(r, of_world ? hy_comm_size(t->b->world) : t->mesh.sequence_size);
    if (r->kind == HY_X_RECV || r->count == 0 || bytes == 0 ||
        (t->b->only != NULL && strstr(r->name, t->b->only) == NULL)) {
        return;
    }
    if (belongs_to_last(t, r)) {
        trainer_row *last = &t->rows[t->n - 1];
        last->bytes[last->messages++] = bytes;
        (void)strncat(last->name, " and V", sizeof last->name - strlen(last->name) - 1);
        return;
    }
    trainer_row *row = &t->rows[t->n++];
    *row = (trainer_row){.kind = r->kind, .of_world = of_world, .messages = 1, .bytes = {bytes}, .per_step = r->count};
    snprintf(row->name, sizeof row->name, "%s", r->name);
}

/* The same on every rank. Local. */
static hy_status find_rows(trainer_bench *t, const hy_config *config) {
    hy_dry_run *dry = NULL;
    HY_TRY(hy_dry_run_create(config, hy_comm_size(t->b->world), 0, false, &dry));
    const hy_exchange_log *log = &dry->stages[0].step;
    for (int i = 0; i < log->n; i++) {
        add_row(t, &log->records[i]);
    }
    hy_dry_run_destroy(dry);
    return HY_OK;
}

/* Room for the largest buffer of any row. */
static size_t most_bytes(const trainer_bench *t) {
    size_t most = 1;
    for (int i = 0; i < t->n; i++) {
        const size_t bytes =
            (size_t)(t->rows[i].bytes[0] + t->rows[i].bytes[1] + 16) * (size_t)hy_comm_size(t->b->world);
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* ---- timing ---- */

static hy_comm *comm_of(const trainer_bench *t, const trainer_row *row) {
    return row->of_world ? t->b->bound : t->sequence;
}

/* 4 reqs. */
static void post_row(const trainer_bench *t, const trainer_row *row, hy_req *reqs) {
    hy_comm *comm = comm_of(t, row);
    size_t at = 0;
    for (int i = 0; i < row->messages; i++) {
        const hy_comm_case c = {.kind = row->kind,
                                .type = HY_TYPE_F32,
                                .count = (row->bytes[i] + 3) / 4,
                                .rank = hy_comm_rank(comm),
                                .size = hy_comm_size(comm)};
        hy_comm_bench_post(comm, &c, t->send + at, t->recv + at, &reqs[2 * i]);
        at += (size_t)hy_comm_case_sent(&c) * sizeof(float);
    }
}

/* Keeps the core busy without memory. */
static void be_busy(double until) {
    static volatile double sink;
    double x = 1.0;
    while (hy_now() < until) {
        for (int i = 0; i < 200; i++) {
            x = x * 0.999999 + 1e-6;
        }
    }
    sink = x;
    (void)sink;
}

static void sleep_through(double seconds) {
    const struct timespec span = {(time_t)seconds, (long)(1e9 * (seconds - floor(seconds)))};
    (void)nanosleep(&span, NULL);
}

/* Whole operations, between which exchanges advance. */
static void compute(const trainer_bench *t, hy_comm *comm, double seconds) {
    const double end = hy_now() + seconds;
    for (double now = hy_now(); now < end; now = hy_now()) {
        const double piece = fmin(end - now, t->computing.piece);
        if (t->computing.elsewhere) {
            sleep_through(piece);
        } else {
            be_busy(now + piece);
        }
        hy_comm_progress(comm);
    }
}

typedef enum together { EXCHANGE, COMPUTING, BOTH } together;

static double one_round(const trainer_bench *t, const trainer_row *row, together what, double seconds) {
    hy_req reqs[2 * MESSAGES_MOST] = {{0}};
    hy_comm_barrier(t->b->world);
    const double begun = hy_now();
    if (what != COMPUTING) {
        post_row(t, row, reqs);
    }
    if (what != EXCHANGE) {
        compute(t, comm_of(t, row), seconds);
    }
    hy_comm_bench_wait(t->b, reqs, 2 * MESSAGES_MOST);
    return hy_now() - begun;
}

static int by_time(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of rounds, each as long as its slowest rank takes: one that something else interrupted counts no more than others. Collective. */
static double time_row(const trainer_bench *t, const trainer_row *row, together what, double seconds) {
    for (int64_t i = -t->b->warmups; i < t->b->rounds; i++) {
        const double time = one_round(t, row, what, seconds);
        t->times[i > 0 ? i : 0] = time;
    }
    hy_req req = {0};
    hy_comm_all_reduce(t->b->world, "bench", t->times, t->b->rounds, HY_TYPE_F64, HY_MAX, &req);
    hy_comm_wait(&req);
    qsort(t->times, (size_t)t->b->rounds, sizeof *t->times, by_time);
    return t->times[t->b->rounds / 2];
}

/* ---- rows ---- */

typedef struct row_times {
    double exchange, computing, both, hidden;
} row_times;

static row_times measure_row(const trainer_bench *t, const trainer_row *row) {
    row_times r = {.exchange = time_row(t, row, EXCHANGE, 0.0)};
    const double seconds = t->computing.seconds > 0.0 ? t->computing.seconds : r.exchange;
    r.computing = time_row(t, row, COMPUTING, seconds);
    r.both = time_row(t, row, BOTH, seconds);
    r.hidden = fmax(0.0, fmin(1.0, (r.exchange + r.computing - r.both) / fmin(r.exchange, r.computing)));
    return r;
}

static int64_t row_bytes(const trainer_row *row) {
    return row->bytes[0] + row->bytes[1];
}

static void write_row(hy_json *json, const trainer_row *row, const row_times *r) {
    hy_json_open_object(json, NULL);
    hy_json_string(json, "name", row->name);
    hy_json_string(json, "kind", hy_exchange_kind_name(row->kind));
    hy_json_bool(json, "of_all_ranks", row->of_world);
    hy_json_int(json, "bytes", row_bytes(row));
    hy_json_int(json, "per_step", row->per_step);
    hy_json_double(json, "exchange_seconds", r->exchange);
    hy_json_double(json, "compute_seconds", r->computing);
    hy_json_double(json, "both_seconds", r->both);
    hy_json_double(json, "hidden", r->hidden);
    hy_json_close(json);
}

static void add_cells(hy_text_table *table, const trainer_row *row, const row_times *r) {
    hy_text_table_cell(table, "%s", row->name);
    hy_text_table_cell(table, "%s", hy_exchange_kind_name(row->kind));
    hy_text_table_cell(table, "%s", row->of_world ? "all" : "sequence");
    hy_text_table_cell(table, "%lld", (long long)row->per_step);
    hy_text_table_cell(table, "%s", hy_text_bytes((double)row_bytes(row)).s);
    hy_text_table_cell(table, "%s", hy_text_duration(r->exchange).s);
    hy_text_table_cell(table, "%s", hy_text_duration(r->computing).s);
    hy_text_table_cell(table, "%s", hy_text_duration(r->both).s);
    hy_text_table_cell(table, "%.0f%%", 100.0 * r->hidden);
}

static hy_status bench_rows(trainer_bench *t) {
    static const char *const head[] = {"exchange", "kind",      "ranks", "a step", "block",
                                       "alone",    "computing", "both",  "hidden"};
    hy_text_table *table = NULL;
    hy_json *json = t->b->json;
    HY_TRY(hy_comm_agree(t->b->world, hy_text_table_create(sizeof head / sizeof head[0], head, &table)));
    if (json != NULL) {
        hy_json_open_array(json, "rows");
    }
    for (int i = 0; i < t->n; i++) {
        const row_times r = measure_row(t, &t->rows[i]);
        if (json != NULL) {
            write_row(json, &t->rows[i], &r);
        } else {
            add_cells(table, &t->rows[i], &r);
        }
    }
    if (json != NULL) {
        hy_json_close(json);
    }
    const hy_status status = json == NULL ? hy_text_table_print(table, stdout) : HY_OK;
    hy_text_table_destroy(table);
    return hy_comm_agree(t->b->world, status);
}

/* Local. */
static hy_status reserve_rows(trainer_bench *t, const hy_config *config) {
    HY_TRY(find_rows(t, config));
    HY_TRY(HY_NEW("times of rounds", t->b->rounds, &t->times));
    HY_TRY(hy_device_alloc(t->b->device, "what is sent", most_bytes(t), (void **)&t->send));
    return hy_device_alloc(t->b->device, "what is received", most_bytes(t), (void **)&t->recv);
}

static hy_status bench_on_mesh(trainer_bench *t, const hy_config *config) {
    const hy_transport_id transport = hy_comm_transport_id(t->b->bound);
    HY_TRY(hy_comm_agree(t->b->world, hy_comm_bind(t->mesh.sequence, t->b->device, transport, &t->sequence)));
    HY_TRY(hy_comm_agree(t->b->world, reserve_rows(t, config)));
    return bench_rows(t);
}

hy_status hy_comm_bench_trainer(hy_comm_bench *b, const hy_config *config, const hy_comm_computing *computing) {
    trainer_bench *t = NULL;
    HY_TRY(hy_comm_agree(b->world, HY_NEW("exchanges of a step", 1, &t)));
    t->b = b;
    t->computing = *computing;
    const int size = hy_comm_size(b->world);
    hy_status status =
        hy_mesh_create(b->world, (int)config->parallel.data, hy_trainer_sequence_size(config, size), &t->mesh);
    if (status == HY_OK) {
        status = bench_on_mesh(t, config);
        hy_comm_destroy(t->sequence);
        hy_mesh_destroy(&t->mesh);
    }
    hy_device_free(b->device, t->recv);
    hy_device_free(b->device, t->send);
    hy_free(t->times);
    hy_free(t);
    return status;
}
