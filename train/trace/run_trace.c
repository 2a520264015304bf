#include "train/trace/run_trace.h"

#include <stdlib.h>

#include "base/memory.h"
#include "train/trace/clock_align.h"

/* ---- one clock ---- */

static void move_time(const hy_rank_trace *t, double *time) {
    if (*time > 0.0) {
        *time = hy_clock_common(t->clock, t->n_clock, *time);
    }
}

static void move_times(hy_rank_trace *t) {
    for (int64_t i = 0; i < t->n_spans; i++) {
        hy_span *s = &t->spans[i];
        move_time(t, &s->begin);
        move_time(t, &s->end);
        move_time(t, &s->started);
        move_time(t, &s->not_yet);
    }
    for (int64_t i = 0; i < t->n_steps; i++) {
        move_time(t, &t->steps[i].begin);
        move_time(t, &t->steps[i].end);
    }
}

static int by_begin(const void *a, const void *b) {
    const hy_span *x = a, *y = b;
    if (x->begin != y->begin) {
        return x->begin < y->begin ? -1 : 1;
    }
    return (x->number > y->number) - (x->number < y->number);
}

/* ---- tiles ---- */

static int tile_order(const void *a, const void *b) {
    const hy_tile *x = a, *y = b;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

/* On a device's lane neither what the host does nor what it moves keeps anybody from computing. */
static bool makes_tile(const hy_span *s, bool lanes) {
    return s->kind == HY_SPAN_WAIT || (!lanes && (s->kind == HY_SPAN_HOST || s->kind == HY_SPAN_MOVE));
}

static hy_status lay_tiles(hy_traced_rank *r) {
    const hy_rank_trace *file = &r->file;
    const bool lanes = file->info.clock == HY_TRACE_LANE;
    HY_TRY(HY_NEW("busy parts", file->n_spans + 1, &r->busy.parts));
    hy_busy_add(&r->busy, file->spans, file->n_spans, lanes);
    HY_TRY(HY_NEW("tiles", file->n_spans + r->busy.n + 1, &r->tiles));
    for (int64_t i = 0; i < r->busy.n; i++) {
        const hy_busy_part *p = &r->busy.parts[i];
        r->tiles[r->n_tiles++] = (hy_tile){p->begin, p->end, HY_SPAN_WORK, p->span};
    }
    for (int64_t i = 0; i < file->n_spans; i++) {
        const hy_span *s = &file->spans[i];
        if (makes_tile(s, lanes) && s->end > s->begin) {
            r->tiles[r->n_tiles++] = (hy_tile){s->begin, s->end, (hy_span_kind)s->kind, s};
        }
    }
    qsort(r->tiles, (size_t)r->n_tiles, sizeof *r->tiles, tile_order);
    return HY_OK;
}

int64_t hy_tile_at(const hy_traced_rank *rank, double time) {
    int64_t low = 0, high = rank->n_tiles;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (rank->tiles[middle].end > time) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

/* ---- who waits for what ---- */

typedef struct numbered_span {
    int64_t number, at;
} numbered_span;

static int by_number(const void *a, const void *b) {
    const numbered_span *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

static hy_status find_waits(hy_traced_rank *r) {
    const hy_rank_trace *file = &r->file;
    numbered_span *spans = NULL;
    HY_TRY(HY_NEW("exchanges of waits", file->n_spans + 1, &r->waits_for));
    HY_TRY(HY_NEW("spans by number", file->n_spans + 1, &spans));
    for (int64_t i = 0; i < file->n_spans; i++) {
        spans[i] = (numbered_span){file->spans[i].number, i};
    }
    qsort(spans, (size_t)file->n_spans, sizeof *spans, by_number);
    for (int64_t i = 0; i < file->n_spans; i++) {
        const numbered_span wanted = {.number = file->spans[i].kind == HY_SPAN_WAIT ? file->spans[i].of : 0};
        const numbered_span *found = bsearch(&wanted, spans, (size_t)file->n_spans, sizeof *spans, by_number);
        r->waits_for[i] = found != NULL && file->spans[found->at].kind == HY_SPAN_EXCHANGE ? found->at : -1;
    }
    hy_free(spans);
    return HY_OK;
}

/* ---- all ranks ---- */

static hy_status prepare_rank(hy_run_trace *trace, int64_t r) {
    hy_rank_trace *file = &trace->rank[r].file;
    if (file->info.ranks != trace->ranks || file->info.rank != r) {
        return hy_fail(HY_ERR_DATA,
                       "the trace of rank %lld is of rank %lld of %lld: files of several runs in one folder",
                       (long long)r, (long long)file->info.rank, (long long)file->info.ranks);
    }
    if (file->n_steps != trace->rank[0].file.n_steps) {
        return hy_fail(
            HY_ERR_DATA,
            "the trace of rank %lld has %lld whole steps, that of rank 0 %lld: files of several runs in one folder",
            (long long)r, (long long)file->n_steps, (long long)trace->rank[0].file.n_steps);
    }
    for (int64_t i = 0; i < file->n_clock; i++) {
        trace->clock_error = file->clock[i].error > trace->clock_error ? file->clock[i].error : trace->clock_error;
    }
    move_times(file);
    qsort(file->spans, (size_t)file->n_spans, sizeof *file->spans, by_begin);
    HY_TRY(find_waits(&trace->rank[r]));
    return lay_tiles(&trace->rank[r]);
}

hy_status hy_run_trace_create(hy_rank_trace *files, int64_t ranks, hy_run_trace *out) {
    hy_run_trace trace = {.ranks = ranks};
    hy_status status = HY_NEW("traced ranks", ranks, &trace.rank);
    for (int64_t r = 0; r < ranks; r++) {
        if (trace.rank != NULL) {
            trace.rank[r].file = files[r];
        } else {
            hy_rank_trace_free(&files[r]);
        }
    }
    for (int64_t r = 0; r < ranks && status == HY_OK; r++) {
        status = prepare_rank(&trace, r);
    }
    if (status != HY_OK) {
        hy_run_trace_free(&trace);
        return status;
    }
    *out = trace;
    return HY_OK;
}

static hy_status read_files(const char *run, int64_t ranks, hy_rank_trace *files) {
    char path[HY_PATH_MAX];
    for (int64_t r = 1; r < ranks; r++) {
        HY_TRY(hy_trace_path(run, r, path));
        if (!hy_file_exists(path)) {
            return hy_fail(HY_ERR_DATA, "%s: not there, and the run had %lld ranks; do they write to one file system?",
                           path, (long long)ranks);
        }
        HY_TRY(hy_rank_trace_read(path, &files[r]));
    }
    return HY_OK;
}

hy_status hy_run_trace_read(const char *run, hy_run_trace *out) {
    char path[HY_PATH_MAX];
    hy_rank_trace first, *files = NULL;
    HY_TRY(hy_trace_path(run, 0, path));
    if (!hy_file_exists(path)) {
        return hy_fail(HY_ERR_DATA,
                       "%s: not there; hylas trace takes the folder of a run (run.dir) that was traced "
                       "(trace.on) and has ended, or has passed trace.steps",
                       path);
    }
    HY_TRY(hy_rank_trace_read(path, &first));
    const int64_t ranks = first.info.ranks;
    hy_status status = HY_NEW("files of a trace", ranks, &files);
    if (status != HY_OK) {
        hy_rank_trace_free(&first);
        return status;
    }
    files[0] = first;
    status = read_files(run, ranks, files);
    if (status == HY_OK) {
        status = hy_run_trace_create(files, ranks, out);
    } else {
        for (int64_t r = 0; r < ranks; r++) {
            hy_rank_trace_free(&files[r]);
        }
    }
    hy_free(files);
    return status;
}

void hy_run_trace_free(hy_run_trace *trace) {
    for (int64_t r = 0; r < trace->ranks && trace->rank != NULL; r++) {
        hy_rank_trace_free(&trace->rank[r].file);
        hy_free(trace->rank[r].busy.parts);
        hy_free(trace->rank[r].tiles);
        hy_free(trace->rank[r].waits_for);
    }
    hy_free(trace->rank);
    *trace = (hy_run_trace){.ranks = 0};
}

const hy_trace_step *hy_run_trace_step(const hy_run_trace *trace, int64_t rank, int64_t i) {
    const hy_rank_trace *file = &trace->rank[rank].file;
    const int64_t step = trace->rank[0].file.steps[i].step;
    for (int64_t k = 0; k < file->n_steps; k++) {
        if (file->steps[k].step == step) {
            return &file->steps[k];
        }
    }
    return NULL;
}
