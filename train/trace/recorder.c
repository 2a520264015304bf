#include "train/trace/recorder.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "kernels/gpus.h"
#include "train/trace/clock_align.h"
#include "train/trace/step_set.h"

enum { RING = 1 << 13, OPEN_MAX = 2048, ROOM_OF_STEP = 1 << 16, CLOCKS_MAX = 2 * HY_STEP_RANGES_MAX + 2 };

struct hy_recorder {
    const hy_config *config;
    hy_comm *world;
    hy_device *device;
    char path[HY_PATH_MAX];
    hy_step_set named;
    int64_t step; /* at hand */
    double begin; /* of it */
    bool whole;   /* its spans are kept */
    bool failed;  /* the file could not be written: said once */
    hy_span *ring;
    int64_t drained;        /* spans that were looked at */
    int64_t open[OPEN_MAX]; /* exchanges among them that are not over */
    int64_t n_open;
    hy_span *spans; /* [RING + OPEN_MAX] that are over and were not added up yet */
    hy_busy
        busy; /* [2·(RING + OPEN_MAX)]: of this step and the one before, in which its first exchanges may have begun */
    hy_totals *totals;
    hy_rank_trace trace; /* totals apart */
    int64_t spans_room, steps_room;
    hy_clock_point clock[CLOCKS_MAX];
    bool moved; /* spans were kept since the clocks were measured */
};

/* ---- clocks ---- */

/* When COMPUTE gets there. */
static void stamp_lane(void *device, double *at) {
    hy_device_stamp(device, HY_LANE_COMPUTE, at);
}

static bool has_lanes(const hy_recorder *r) {
    return r->trace.info.clock == HY_TRACE_LANE;
}

static void measure_clock(hy_recorder *r) {
    const hy_clock_point point = hy_clock_align(r->world);
    if (r->trace.n_clock < CLOCKS_MAX) {
        r->clock[r->trace.n_clock++] = point;
    }
    r->moved = false;
}

/* ---- after a step ---- */

static hy_status append_rows(const char *name, void **rows, int64_t *have, int64_t *room, size_t row, const void *more,
                             int64_t n) {
    HY_TRY(hy_grow(name, *have + n, row, room, rows));
    memcpy((char *)*rows + (size_t)*have * row, more, (size_t)n * row);
    *have += n;
    return HY_OK;
}

/* Of the spans begun so far that were not taken yet, those that are over and belong to a step: into r->spans, in order of their beginnings. */
static int64_t take_spans(hy_recorder *r) {
    const int64_t begun = hy_spans_count(), n_open = r->n_open;
    int64_t n = 0;
    r->n_open = 0;
    for (int64_t i = 0; i < n_open + begun - r->drained; i++) {
        const int64_t number = i < n_open ? r->open[i] : r->drained + 1 + i - n_open;
        const hy_span *s = hy_span_of(number);
        if (s == NULL) {
            r->trace.info.lost++;
        } else if (s->end > 0.0 && s->place.step >= 0) {
            r->spans[n++] = *s;
        } else if (s->end == 0.0 && s->kind == HY_SPAN_EXCHANGE && r->n_open < OPEN_MAX) {
            r->open[r->n_open++] = number;
        }
    }
    r->drained = begun;
    return n;
}

static hy_status keep_spans(hy_recorder *r, const hy_span *spans, int64_t n) {
    return append_rows("spans of a trace", (void **)&r->trace.spans, &r->trace.n_spans, &r->spans_room,
                       sizeof *r->spans, spans, n);
}

/* What a step that is kept posted, and that ended only now. */
static hy_status keep_late_spans(hy_recorder *r, int64_t n) {
    int64_t late = 0;
    while (late < n && r->spans[late].place.step < r->step && hy_step_set_has(&r->named, r->spans[late].place.step)) {
        late++;
    }
    return late > 0 ? keep_spans(r, r->spans, late) : HY_OK;
}

static hy_status end_kept_step(hy_recorder *r, double end) {
    const hy_trace_step step = {r->step, r->begin, end};
    r->moved = true;
    return append_rows("steps of a trace", (void **)&r->trace.steps, &r->trace.n_steps, &r->steps_room, sizeof step,
                       &step, 1);
}

/* Adds up what is over, and keeps it where the step is kept. Between operations: in the middle of a step, or behind it. */
static void empty_ring(void *context) {
    hy_recorder *r = context;
    if (r->whole && has_lanes(r)) {
        hy_device_wait(r->device, hy_device_mark(r->device, HY_LANE_COMPUTE)); /* which writes the times */
    }
    const int64_t n = take_spans(r);
    hy_busy_forget(&r->busy, 2.0 * r->begin - hy_now()); /* a step's length before it began */
    if (r->busy.n > RING + OPEN_MAX) {
        r->busy.n = 0;
    }
    hy_busy_add(&r->busy, r->spans, n, r->whole && has_lanes(r));
    hy_totals_add(r->totals, r->spans, n, &r->busy);
    hy_totals_settle(r->totals, &r->busy);
    if ((r->whole ? keep_spans(r, r->spans, n) : keep_late_spans(r, n)) != HY_OK) {
        hy_warn("step %lld is not whole in the trace", (long long)r->step);
    }
}

static void write_trace(hy_recorder *r) {
    int64_t n = 0;
    if (r->path[0] == '\0') {
        return;
    }
    hy_rank_trace trace = r->trace;
    trace.totals = (hy_total *)hy_totals_rows(r->totals, &n);
    trace.n_totals = n;
    if (hy_rank_trace_write(&trace, r->path) != HY_OK && !r->failed) {
        r->failed = true;
        hy_warn("%s is not there or old: the run goes on without", r->path);
    }
}

/* ---- made and freed ---- */

static hy_status reserve_recorder(hy_recorder *r) {
    HY_TRY(HY_NEW("ring of spans", RING, &r->ring));
    HY_TRY(HY_NEW("spans of a step", RING + OPEN_MAX, &r->spans));
    HY_TRY(HY_NEW("busy parts", 2 * (RING + OPEN_MAX), &r->busy.parts));
    return hy_totals_create(&r->totals);
}

int64_t hy_recorder_bytes(const hy_config *config) {
    const hy_recorder *r = NULL;
    const size_t bytes = sizeof *r + RING * sizeof *r->ring + (RING + OPEN_MAX) * sizeof *r->spans +
                         2 * (RING + OPEN_MAX) * sizeof *r->busy.parts + hy_totals_bytes();
    return config->trace.on ? (int64_t)bytes : 0;
}

static hy_status prepare_files(hy_recorder *r, int rank) {
    char folder[HY_PATH_MAX];
    if (r->config->run.dir[0] == '\0') {
        return HY_OK;
    }
    HY_TRY(hy_trace_path(r->config->run.dir, rank, r->path));
    memcpy(folder, r->path, sizeof folder);
    *strrchr(folder, '/') = '\0';
    return hy_file_make_dirs(folder, HY_ERR_ENV);
}

hy_status hy_recorder_create(const hy_config *config, const hy_mesh *mesh, hy_device *device, hy_recorder **out) {
    hy_recorder *r = NULL;
    *out = NULL;
    if (!config->trace.on) {
        return HY_OK;
    }
    hy_status status = HY_NEW("recorder of a trace", 1, &r);
    if (status == HY_OK) {
        *r = (hy_recorder){.config = config, .world = mesh->world, .device = device};
        r->trace.info = (hy_trace_info){.version = HY_TRACE_VERSION,
                                        .rank = hy_comm_rank(mesh->world),
                                        .ranks = hy_comm_size(mesh->world),
                                        .data = mesh->data_size,
                                        .sequence = mesh->sequence_size,
                                        .clock = hy_device_is_async(device) ? HY_TRACE_LANE : HY_TRACE_HOST,
                                        .node = config->parallel.method.node};
        r->trace.clock = r->clock;
        status = hy_step_set_parse("trace.steps", config->trace.steps, &r->named);
    }
    status = status == HY_OK ? reserve_recorder(r) : status;
    status = status == HY_OK ? prepare_files(r, hy_comm_rank(mesh->world)) : status;
    status = hy_comm_agree(mesh->world, status);
    if (status != HY_OK) {
        hy_recorder_destroy(r);
        return status;
    }
    hy_spans_record(r->ring, RING);
    hy_spans_set_taker(empty_ring, r);
    hy_spans_set_marker(hy_gpu_marker());
    *out = r;
    return HY_OK;
}

void hy_recorder_destroy(hy_recorder *recorder) {
    if (recorder == NULL) {
        return;
    }
    if (hy_spans_have_clock()) { /* a step that was given up: the device still writes times into the ring */
        hy_device_wait(recorder->device, hy_device_mark(recorder->device, HY_LANE_COMPUTE));
    }
    hy_spans_record(NULL, 0);
    hy_spans_set_clock(NULL, NULL);
    hy_spans_set_taker(NULL, NULL);
    hy_spans_set_marker(NULL);
    hy_totals_destroy(recorder->totals);
    hy_free(recorder->ring);
    hy_free(recorder->spans);
    hy_free(recorder->busy.parts);
    hy_free(recorder->trace.spans);
    hy_free(recorder->trace.steps);
    hy_free(recorder);
}

/* ---- around a step ---- */

void hy_recorder_step_begin(hy_recorder *r, int64_t step) {
    if (r == NULL) {
        return;
    }
    r->whole = hy_step_set_has(&r->named, step);
    if (r->whole && !hy_step_set_has(&r->named, step - 1)) {
        measure_clock(r);
    }
    if (r->whole) { /* on all ranks or none: clocks are measured together */
        const hy_status room =
            HY_GROW("spans of a trace", r->trace.n_spans + ROOM_OF_STEP, &r->spans_room, &r->trace.spans);
        r->whole = hy_comm_agree(r->world, room) == HY_OK;
    }
    if (r->whole && has_lanes(r)) {
        hy_device_wait(r->device, hy_device_mark(r->device, HY_LANE_COMPUTE));
        hy_spans_set_clock(stamp_lane, r->device);
    }
    r->step = step;
    r->begin = hy_now();
    hy_span_set_place((hy_span_place){.step = (int32_t)step, .node = -1, .block = -1});
}

void hy_recorder_step_end(hy_recorder *r) {
    if (r == NULL) {
        return;
    }
    if (r->whole && has_lanes(r)) {
        hy_device_wait(r->device, hy_device_mark(r->device, HY_LANE_COMPUTE));
    }
    hy_spans_set_clock(NULL, NULL);
    const double end = hy_now();
    hy_span_set_place((hy_span_place){.step = -1, .node = -1, .block = -1});
    empty_ring(r);
    r->trace.info.steps++;
    if (r->whole && end_kept_step(r, end) != HY_OK) {
        hy_warn("step %lld is not in the trace", (long long)r->step);
    }
    if (r->whole && !hy_step_set_has(&r->named, r->step + 1)) {
        measure_clock(r);
        write_trace(r);
    }
}

void hy_recorder_finish(hy_recorder *r) {
    if (r == NULL) {
        return;
    }
    if (has_lanes(r)) { /* what the last step posted is over, and found to be */
        hy_device_wait(r->device, hy_device_mark(r->device, HY_LANE_EXCHANGE));
        hy_comm_look_around();
        empty_ring(r);
    }
    if (r->moved) {
        measure_clock(r);
    }
    write_trace(r);
}
