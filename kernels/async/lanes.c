/* One mutex and one condition for a device: a step has thousands of calls, not millions. Operations and copies run outside the mutex. */
#include "kernels/async/lanes.h"

#include <omp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/signals.h"
#include "kernels/async/memory_guard.h"
#include "kernels/async/seen_order.h"
#include "kernels/device_internal.h"

enum { QUEUE = 1024 }; /* calls given and not done, per lane */

typedef enum call_kind { CALL_OPERATION, CALL_COPY, CALL_OTHER, CALL_AFTER, CALL_AFTER_SIGNAL } call_kind;

typedef union any_args {
#define HY_X(op, args) args##_args op;
    HY_OPS(HY_X)
#undef HY_X
} any_args;

typedef struct lane_call {
    call_kind kind;
    hy_op_id op;
    union {
        any_args args;
        struct {
            void *to;
            const void *from;
            size_t bytes;
        } copy;
        struct {
            void (*call)(void *context);
            void *context;
        } other;
        hy_mark mark;
        struct {
            const hy_signal *signal;
            uint64_t value;
        } signal;
    } u;
} lane_call;

typedef struct lane_queue {
    hy_stream stream; /* first: the queue's address is the stream's */
    hy_lanes *lanes;
    hy_lane lane;
    pthread_t thread;
    bool running;
    uint64_t given, done; /* calls so far */
    lane_call *calls;     /* [QUEUE] call i at i % QUEUE */
} lane_queue;

struct hy_lanes {
    const hy_table *table;
    hy_op_counts *counts;
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* anything below */
    lane_queue queues[HY_LANES];
    bool ending;
    hy_idle idle;
    uint64_t seed, drop, taken; /* marks and waits for signals so far; the one to lose */
    int threads;                /* OpenMP's, of whoever created the device: scratch was planned for them */
};

/* ---- delays, and the mark that gets lost ---- */

static uint64_t number_from(const char *variable, uint64_t otherwise) {
    const char *text = getenv(variable);
    return text != NULL && text[0] != '\0' ? strtoull(text, NULL, 10) : otherwise;
}

static void pause_for(int64_t nanoseconds) {
    const struct timespec time = {.tv_nsec = nanoseconds};
    (void)nanosleep(&time, NULL);
}

/* Mostly none, sometimes tens of microseconds, rarely milliseconds: so that either side may come late. */
static void delay(const lane_queue *queue, uint64_t index) {
    const uint64_t drawn = hy_random_u64(queue->lanes->seed, 77 + (uint64_t)queue->lane, index);
    if (drawn % 512 == 0) {
        pause_for((int64_t)(drawn >> 32) % 4000000);
    } else if (drawn % 16 == 0) {
        pause_for((int64_t)(drawn >> 32) % 60000);
    }
}

/* Whether this is the one to lose. Host only. */
static bool lost(hy_lanes *lanes) {
    return ++lanes->taken == lanes->drop;
}

/* ---- order ---- */

static void lock(hy_lanes *lanes) {
    hide_order();
    pthread_mutex_lock(&lanes->mutex);
}

static void unlock(hy_lanes *lanes) {
    pthread_mutex_unlock(&lanes->mutex);
    show_order();
}

/* Two addresses in the place of call i: what its thread did before it was given, and what the lane did up to its end. */
static const void *given_at(const lane_queue *queue, uint64_t i) {
    return &queue->calls[i % QUEUE];
}

static const void *done_at(const lane_queue *queue, uint64_t i) {
    return &queue->calls[i % QUEUE].u;
}

/* What the lane did up to the mark, which it has reached, is before what this thread does from now on. */
static void come_after(const hy_lanes *lanes, hy_mark mark) {
    if (mark.at > 0) {
        order_after(done_at(&lanes->queues[mark.lane], mark.at - 1));
    }
}

/* ---- threads ---- */

static bool reached(const hy_lanes *lanes, hy_mark mark) {
    return lanes->queues[mark.lane].done >= mark.at;
}

/* With the mutex held, and again when it returns. */
static void run_call(lane_queue *queue, const lane_call *call) {
    hy_lanes *lanes = queue->lanes;
    order_after(given_at(queue, queue->done));
    if (call->kind == CALL_AFTER) {
        while (!reached(lanes, call->u.mark)) {
            pthread_cond_wait(&lanes->changed, &lanes->mutex);
        }
        come_after(lanes, call->u.mark);
        return;
    }
    if (call->kind == CALL_AFTER_SIGNAL) {
        while (call->u.signal.signal->value < call->u.signal.value && !lanes->ending) {
            pthread_cond_wait(&lanes->changed, &lanes->mutex);
        }
        order_after(call->u.signal.signal);
        return;
    }
    unlock(lanes);
    delay(queue, queue->done);
    hy_guard_enter();
    const double begun = hy_now();
    if (call->kind == CALL_OPERATION) {
        hy_table_call(lanes->table, call->op, &call->u.args);
    } else if (call->kind == CALL_OTHER) {
        call->u.other.call(call->u.other.context);
    } else if (call->u.copy.from != NULL) {
        memcpy(call->u.copy.to, call->u.copy.from, call->u.copy.bytes);
    } else {
        memset(call->u.copy.to, 0, call->u.copy.bytes);
    }
    const double seconds = hy_now() - begun;
    hy_guard_leave();
    lock(lanes);
    if (call->kind == CALL_OPERATION) {
        lanes->counts->seconds[call->op] += seconds;
    }
}

static void *run_lane(void *context) {
    lane_queue *queue = context;
    hy_lanes *lanes = queue->lanes;
    omp_set_num_threads(lanes->threads);
    lock(lanes);
    for (;;) {
        while (queue->done == queue->given && !lanes->ending) {
            pthread_cond_wait(&lanes->changed, &lanes->mutex);
        }
        if (queue->done == queue->given) {
            break;
        }
        run_call(queue, &queue->calls[queue->done % QUEUE]);
        order_before(done_at(queue, queue->done));
        queue->done++;
        pthread_cond_broadcast(&lanes->changed);
    }
    unlock(lanes);
    return NULL;
}

/* ---- create, destroy ---- */

static hy_status start_thread(lane_queue *queue) {
    sigset_t before;
    hy_signals_hold(&before);
    const int failed = pthread_create(&queue->thread, NULL, run_lane, queue);
    hy_signals_release(&before);
    if (failed) {
        return hy_fail(HY_ERR_MEMORY, "a thread for a lane of the device cannot be made: %s", strerror(failed));
    }
    queue->running = true;
    return HY_OK;
}

static hy_status start_lanes(hy_lanes *lanes) {
    for (int i = 0; i < HY_LANES; i++) {
        lane_queue *queue = &lanes->queues[i];
        *queue = (lane_queue){.lanes = lanes, .lane = (hy_lane)i};
        HY_TRY(HY_NEW("queue of a lane", QUEUE, &queue->calls));
    }
    for (int i = 0; i < HY_LANES; i++) {
        HY_TRY(start_thread(&lanes->queues[i]));
    }
    return HY_OK;
}

hy_status hy_lanes_create(const hy_table *table, hy_op_counts *counts, hy_lanes **out) {
    hy_lanes *lanes = NULL;
    HY_TRY(HY_NEW("lanes", 1, &lanes));
    (void)hy_guard_kind(); /* decided before there are threads */
    *lanes = (hy_lanes){.table = table,
                        .counts = counts,
                        .seed = number_from("HYLAS_ASYNC_SEED", 1),
                        .drop = number_from("HYLAS_ASYNC_DROP", 0),
                        .threads = omp_get_max_threads()};
    pthread_mutex_init(&lanes->mutex, NULL);
    pthread_cond_init(&lanes->changed, NULL);
    const hy_status status = start_lanes(lanes);
    if (status != HY_OK) {
        hy_lanes_destroy(lanes);
        return status;
    }
    *out = lanes;
    return HY_OK;
}

size_t hy_lanes_bytes(void) {
    return sizeof(hy_lanes) + (size_t)(HY_LANES * QUEUE) * sizeof(lane_call);
}

void hy_lanes_destroy(hy_lanes *lanes) {
    if (lanes == NULL) {
        return;
    }
    lock(lanes);
    lanes->ending = true;
    pthread_cond_broadcast(&lanes->changed);
    unlock(lanes);
    for (int i = 0; i < HY_LANES; i++) {
        if (lanes->queues[i].running) {
            (void)pthread_join(lanes->queues[i].thread, NULL);
        }
    }
    for (int i = 0; i < HY_LANES; i++) { /* other lanes may have waited for it */
        hy_free(lanes->queues[i].calls);
    }
    pthread_cond_destroy(&lanes->changed);
    pthread_mutex_destroy(&lanes->mutex);
    hy_free(lanes);
}

/* ---- the host waits ---- */

/* Where there is somebody to call, briefly at a time. The mutex is held. */
static void wait_until(hy_lanes *lanes, hy_mark mark) {
    while (!reached(lanes, mark)) {
        if (lanes->idle.call == NULL) {
            pthread_cond_wait(&lanes->changed, &lanes->mutex);
            continue;
        }
        unlock(lanes);
        lanes->idle.call(lanes->idle.context);
        lock(lanes);
        if (!reached(lanes, mark)) {
            struct timespec until;
            clock_gettime(CLOCK_REALTIME, &until);
            until.tv_nsec += 50000; /* between looks at the exchanges */
            if (until.tv_nsec >= 1000000000) {
                until.tv_sec++;
                until.tv_nsec -= 1000000000;
            }
            (void)pthread_cond_timedwait(&lanes->changed, &lanes->mutex, &until);
        }
    }
}

void hy_lanes_wait(hy_lanes *lanes, hy_mark mark) {
    lock(lanes);
    wait_until(lanes, mark);
    come_after(lanes, mark);
    unlock(lanes);
}

bool hy_lanes_reached(hy_lanes *lanes, hy_mark mark) {
    lock(lanes);
    const bool yes = reached(lanes, mark);
    if (yes) {
        come_after(lanes, mark);
    }
    unlock(lanes);
    return yes;
}

void hy_lanes_set_idle(hy_lanes *lanes, hy_idle idle) {
    lanes->idle = idle;
}

/* ---- the host gives ---- */

static void give(hy_lanes *lanes, hy_lane lane, const lane_call *call, size_t bytes) {
    lane_queue *queue = &lanes->queues[lane];
    lock(lanes);
    if (queue->given >= QUEUE) {
        wait_until(lanes, (hy_mark){lane, queue->given - QUEUE + 1});
    }
    memcpy(&queue->calls[queue->given % QUEUE], call, bytes);
    order_before(given_at(queue, queue->given));
    queue->given++;
    pthread_cond_broadcast(&lanes->changed);
    unlock(lanes);
}

void hy_lanes_operation(hy_lanes *lanes, hy_op_id op, const void *args, size_t bytes) {
    lane_call call;
    call.kind = CALL_OPERATION;
    call.op = op;
    memcpy(&call.u.args, args, bytes);
    give(lanes, HY_LANE_COMPUTE, &call, offsetof(lane_call, u) + bytes);
}

void hy_lanes_copy(hy_lanes *lanes, hy_lane lane, void *to, const void *from, size_t bytes) {
    const lane_call call = {.kind = CALL_COPY, .u.copy = {to, from, bytes}};
    if (bytes > 0) {
        give(lanes, lane, &call, sizeof call);
    }
}

static void give_other(hy_stream *stream, void (*function)(void *context), void *context) {
    lane_queue *queue = (lane_queue *)(void *)stream;
    const lane_call call = {.kind = CALL_OTHER, .u.other = {function, context}};
    give(queue->lanes, queue->lane, &call, sizeof call);
}

hy_stream *hy_lanes_stream(hy_lanes *lanes, hy_lane lane) {
    lanes->queues[lane].stream.give = give_other;
    return &lanes->queues[lane].stream;
}

hy_mark hy_lanes_mark(hy_lanes *lanes, hy_lane lane) {
    return (hy_mark){lane, lost(lanes) ? 0 : lanes->queues[lane].given}; /* written by this thread alone */
}

void hy_lanes_after(hy_lanes *lanes, hy_lane lane, hy_mark mark) {
    const lane_call call = {.kind = CALL_AFTER, .u.mark = mark};
    if (mark.lane != lane && mark.at > 0) {
        give(lanes, lane, &call, sizeof call);
    }
}

void hy_lanes_after_signal(hy_lanes *lanes, hy_lane lane, const hy_signal *signal, uint64_t value) {
    const lane_call call = {.kind = CALL_AFTER_SIGNAL, .u.signal = {signal, value}};
    if (!lost(lanes)) {
        give(lanes, lane, &call, sizeof call);
    }
}

void hy_lanes_signal(hy_lanes *lanes, hy_signal *signal, uint64_t value) {
    lock(lanes);
    signal->value = value;
    order_before(signal);
    pthread_cond_broadcast(&lanes->changed);
    unlock(lanes);
}
