#include "launch/bench/step_operations.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/table.h"
#include "train/run/dry_run.h"

void hy_step_seconds_begin(hy_step_seconds *seconds, hy_device *device) {
    memcpy(seconds->before, hy_device_counts(device)->seconds, sizeof seconds->before);
}

void hy_step_seconds_end(hy_step_seconds *seconds, hy_device *device) {
    const double *now = hy_device_counts(device)->seconds;
    for (int op = 0; op < HY_OP_COUNT; op++) {
        const double took = now[op] - seconds->before[op];
        seconds->least[op] = seconds->steps == 0 || took < seconds->least[op] ? took : seconds->least[op];
    }
    seconds->steps++;
}

static void add_schedule(const hy_schedule *schedule, const hy_machine *machine, hy_step_operations *out) {
    bool counts = false;
    for (int64_t i = 0; i < schedule->n; i++) {
        const hy_event *event = &schedule->events[i];
        counts = counts || event->kind == HY_EVENT_MARK;
        if (counts && event->kind == HY_EVENT_COMPUTE) {
            hy_step_operation *op = &out->ops[event->a];
            op->calls += 1;
            op->flops += event->flops;
            op->bytes += event->bytes;
            op->predicted +=
                machine != NULL ? hy_machine_seconds(machine, (hy_op_id)event->a, event->flops, event->bytes) : 0;
        }
    }
}

/* This rank's, without the seconds that they took. */
static hy_status count_operations(const hy_config *config, int64_t tokens, const hy_machine *machine,
                                  const hy_comm *world, hy_step_operations *out) {
    hy_schedule schedule = {.waited = -1};
    hy_config *one = NULL;
    HY_TRY(HY_NEW("config of a step", 1, &one));
    *one = *config;
    one->data.sequence = tokens;
    one->data.batch = config->parallel.data;
    one->train.accumulate = 1;
    one->train.n_stages = 0;
    one->train.carry_state = false;
    const hy_status status =
        hy_dry_run_schedule(one, 0, hy_comm_size(world), hy_comm_rank(world), false, &schedule, NULL);
    if (status == HY_OK) {
        add_schedule(&schedule, machine, out);
    }
    hy_schedule_clear(&schedule);
    hy_free(one);
    return status;
}

hy_status hy_step_operations_collect(const hy_step_seconds *seconds, const hy_config *config, int64_t tokens,
                                     const hy_machine *machine, hy_comm *world, hy_step_operations *out) {
    enum { NUMBERS = sizeof(hy_step_operation) / sizeof(double) };
    hy_req req = {0};
    *out = (hy_step_operations){.predicted = machine != NULL};
    HY_TRY(hy_comm_agree(world, count_operations(config, tokens, machine, world, out)));
    for (int op = 0; op < HY_OP_COUNT; op++) {
        out->ops[op].seconds = seconds->least[op];
    }
    hy_comm_all_reduce(world, "bench", out->ops, (size_t)HY_OP_COUNT * NUMBERS, HY_TYPE_F64, HY_SUM, &req);
    hy_comm_wait(&req);
    for (int i = 0; i < HY_OP_COUNT * NUMBERS; i++) {
        ((double *)out->ops)[i] /= hy_comm_size(world);
    }
    return HY_OK;
}

typedef struct order {
    int op;
    double seconds;
} order;

static int by_seconds(const void *a, const void *b) {
    const double x = ((const order *)a)->seconds, y = ((const order *)b)->seconds;
    return (x < y) - (x > y);
}

/* Numbers of the operations that a step has; how many. */
static int sort_operations(const hy_step_operations *operations, order sorted[HY_OP_COUNT]) {
    int n = 0;
    for (int op = 0; op < HY_OP_COUNT; op++) {
        if (operations->ops[op].calls > 0) {
            sorted[n++] = (order){op, operations->ops[op].seconds};
        }
    }
    qsort(sorted, (size_t)n, sizeof *sorted, by_seconds);
    return n;
}

/* Devices that do not time their operations have no seconds. */
static void print_timed(hy_text_table *table, bool timed, double x) {
    if (timed) {
        hy_text_table_cell(table, "%.3f", x);
    } else {
        hy_text_table_cell(table, "-");
    }
}

static void print_operation(const hy_step_operation *op, const char *name, bool predicted, hy_text_table *table) {
    hy_text_table_cell(table, "%s", name);
    hy_text_table_cell(table, "%g", op->calls);
    hy_text_table_cell(table, "%.3f", 1e-9 * op->flops);
    hy_text_table_cell(table, "%.3f", 1e-9 * op->bytes);
    const bool timed = op->seconds > 0;
    print_timed(table, timed, 1e3 * op->seconds);
    print_timed(table, timed, 1e-9 * op->flops / op->seconds);
    print_timed(table, timed, 1e-9 * op->bytes / op->seconds);
    if (predicted) {
        hy_text_table_cell(table, "%.3f", 1e3 * op->predicted);
        print_timed(table, timed, 1e3 * (op->predicted - op->seconds));
    }
}

hy_status hy_step_operations_print(const hy_step_operations *operations) {
    static const char *const headers[] = {"operation", "calls", "GFLOP",     "GB",        "ms",
                                          "GFLOP/s",   "GB/s",  "predicted", "difference"};
    order sorted[HY_OP_COUNT];
    hy_step_operation sum = {.calls = 0};
    hy_text_table *table = NULL;
    const int n = sort_operations(operations, sorted);
    HY_TRY(hy_text_table_create(operations->predicted ? 9 : 7, headers, &table));
    for (int i = 0; i < n; i++) {
        const hy_step_operation *op = &operations->ops[sorted[i].op];
        print_operation(op, hy_op_name((hy_op_id)sorted[i].op), operations->predicted, table);
        sum.calls += op->calls;
        sum.flops += op->flops;
        sum.bytes += op->bytes;
        sum.seconds += op->seconds;
        sum.predicted += op->predicted;
    }
    hy_text_table_rule(table);
    print_operation(&sum, "together", operations->predicted, table);
    const hy_status status = hy_text_table_print(table, stdout);
    hy_text_table_destroy(table);
    return status;
}

void hy_step_operations_write(const hy_step_operations *operations, hy_json *json) {
    order sorted[HY_OP_COUNT];
    const int n = sort_operations(operations, sorted);
    hy_json_open_array(json, "operations");
    for (int i = 0; i < n; i++) {
        const hy_step_operation *op = &operations->ops[sorted[i].op];
        hy_json_open_object(json, NULL);
        hy_json_string(json, "name", hy_op_name((hy_op_id)sorted[i].op));
        hy_json_double(json, "calls", op->calls);
        hy_json_double(json, "flops", op->flops);
        hy_json_double(json, "bytes", op->bytes);
        if (op->seconds > 0) {
            hy_json_double(json, "seconds", op->seconds);
        } else {
            hy_json_null(json, "seconds");
        }
        if (operations->predicted) {
            hy_json_double(json, "predicted_seconds", op->predicted);
        }
        hy_json_close(json);
    }
    hy_json_close(json);
}
