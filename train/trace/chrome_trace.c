#include "train/trace/chrome_trace.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/memory.h"
#include "comm/comm.h"

enum {
    OWN_TRACK = 1,
    EXCHANGE_TRACKS = 64,
    HOST_TRACK = 1 + OWN_TRACK + EXCHANGE_TRACKS
}; /* more exchanges at a time than that are left out */

typedef struct chrome_writer {
    const hy_run_trace *trace;
    const hy_match *match;
    double start;    /* what is 0 in the file */
    int64_t **track; /* [rank][span] of exchanges; 0: left out */
    hy_json json;
    int64_t n_flows;
} chrome_writer;

/* Whole nanoseconds, so that what lies inside another stays inside. */
static double since_start(const chrome_writer *w, double time) {
    return rint((time - w->start) * 1e9) / 1e3;
}

static void open_event(chrome_writer *w, const char *phase, const char *name, int64_t rank, int64_t track) {
    hy_json_open_object(&w->json, NULL);
    hy_json_string(&w->json, "ph", phase);
    hy_json_string(&w->json, "name", name);
    hy_json_int(&w->json, "pid", rank);
    hy_json_int(&w->json, "tid", track);
}

static void put_name(chrome_writer *w, const char *what, int64_t rank, int64_t track, const char *format) {
    char text[64];
    snprintf(text, sizeof text, format, (long long)(track == 0 ? rank : track - OWN_TRACK));
    open_event(w, "M", what, rank, track);
    hy_json_open_object(&w->json, "args");
    hy_json_string(&w->json, "name", text);
    hy_json_close(&w->json);
    hy_json_close(&w->json);
}

static void put_place(chrome_writer *w, const hy_span *s) {
    static const char *const phases[] = {"forward", "recompute", "backward"};
    hy_json_int(&w->json, "step", s->place.step);
    if (s->place.block > 0) {
        hy_json_int(&w->json, "layer", s->place.block - 1);
    }
    if (s->place.node >= 0) {
        hy_json_int(&w->json, "node", s->place.node);
        hy_json_string(&w->json, "pass", phases[s->place.phase >= 0 && s->place.phase < 3 ? s->place.phase : 0]);
    }
}

static void put_slice(chrome_writer *w, int64_t rank, int64_t track, const hy_span *s) {
    static const char *const kinds[] = {"work", "host", "exchange", "wait", "moving"};
    open_event(w, "X", s->name, rank, track);
    hy_json_string(&w->json, "cat", kinds[s->kind]);
    hy_json_double(&w->json, "ts", since_start(w, s->begin));
    hy_json_double(&w->json, "dur", since_start(w, s->end) - since_start(w, s->begin));
    hy_json_open_object(&w->json, "args");
    put_place(w, s);
    if (s->kind == HY_SPAN_EXCHANGE) {
        hy_json_string(&w->json, "kind", hy_exchange_kind_name((hy_exchange_kind)s->exchange));
        hy_json_int(&w->json, "bytes", s->bytes);
        hy_json_int(&w->json, "peer", s->peer);
        hy_json_double(&w->json, "not yet", since_start(w, s->not_yet));
    }
    hy_json_close(&w->json);
    hy_json_close(&w->json);
}

/* ---- tracks ---- */

/* The first track that is free when the exchange begins; 0: none. */
static int64_t find_track(double *ends, const hy_span *s) {
    for (int t = 0; t < EXCHANGE_TRACKS; t++) {
        if (ends[t] <= s->begin) {
            ends[t] = s->end;
            return OWN_TRACK + 1 + t;
        }
    }
    return 0;
}

static hy_status choose_tracks(chrome_writer *w, int64_t rank) {
    const hy_rank_trace *file = &w->trace->rank[rank].file;
    double ends[EXCHANGE_TRACKS] = {0};
    HY_TRY(HY_NEW("tracks of exchanges", file->n_spans + 1, &w->track[rank]));
    for (int64_t i = 0; i < file->n_spans; i++) {
        const hy_span *s = &file->spans[i];
        if (s->kind == HY_SPAN_EXCHANGE && s->end > s->begin) {
            w->track[rank][i] = find_track(ends, s);
        }
    }
    return HY_OK;
}

/* What the host does beside a lane of its device has a track of its own: the two overlap. */
static int64_t track_of(const chrome_writer *w, int64_t rank, int64_t span) {
    const hy_rank_trace *file = &w->trace->rank[rank].file;
    const int kind = file->spans[span].kind;
    if (kind == HY_SPAN_EXCHANGE) {
        return w->track[rank][span];
    }
    const bool beside = file->info.clock == HY_TRACE_LANE && (kind == HY_SPAN_HOST || kind == HY_SPAN_MOVE);
    return beside ? HOST_TRACK : OWN_TRACK;
}

static void put_rank(chrome_writer *w, int64_t rank) {
    const hy_rank_trace *file = &w->trace->rank[rank].file;
    int64_t last = OWN_TRACK;
    put_name(w, "process_name", rank, 0, "rank %lld");
    put_name(w, "thread_name", rank, OWN_TRACK, "computing and waiting");
    if (file->info.clock == HY_TRACE_LANE) {
        put_name(w, "thread_name", rank, HOST_TRACK, "the host");
    }
    for (int64_t i = 0; i < file->n_spans; i++) {
        const hy_span *s = &file->spans[i];
        const int64_t track = track_of(w, rank, i);
        for (; last < track && track < HOST_TRACK; last++) {
            put_name(w, "thread_name", rank, last + 1, "exchanges %lld");
        }
        if (track > 0 && s->end > s->begin) {
            put_slice(w, rank, track, s);
        }
    }
}

/* ---- arrows ---- */

static void put_arrow_end(chrome_writer *w, const char *phase, const hy_exchange_end *end, double time) {
    open_event(w, phase, end->of->name, end->rank, w->track[end->rank][end->span]);
    hy_json_string(&w->json, "cat", "flow");
    hy_json_int(&w->json, "id", w->n_flows);
    hy_json_double(&w->json, "ts", since_start(w, time));
    if (phase[0] == 'f') {
        hy_json_string(&w->json, "bp", "e"); /* to the slice around it, not to the next */
    }
    hy_json_close(&w->json);
}

/* Both ends lie inside their slices, the second not before the first; where clocks or a sender in a hurry do not let them there is no arrow. */
static void put_arrow(chrome_writer *w, const hy_exchange_end *from, const hy_exchange_end *to) {
    const double begin = from->of->begin, arrival = to->of->begin > begin ? to->of->begin : begin;
    const bool drawn = w->track[from->rank][from->span] > 0 && w->track[to->rank][to->span] > 0;
    if (drawn && since_start(w, arrival) < since_start(w, to->of->end)) {
        w->n_flows++;
        put_arrow_end(w, "s", from, begin);
        put_arrow_end(w, "f", to, arrival);
    }
}

static void put_arrows(chrome_writer *w, int64_t first) {
    const hy_exchange_end *ends = &w->match->ends[first];
    const int64_t n = hy_match_size(w->match, first);
    if (w->match->group[ends->rank][ends->span] < 0) {
        return; /* some of its ranks are missing */
    }
    const hy_exchange_end *from = hy_match_latest(w->match, ends->rank, ends->span);
    for (int64_t i = 0; i < n; i++) {
        from = ends[i].of->exchange == HY_X_SEND ? &ends[i] : from;
    }
    for (int64_t i = 0; i < n; i++) {
        if (&ends[i] != from) {
            put_arrow(w, from, &ends[i]);
        }
    }
}

/* ---- */

static hy_status put_all(chrome_writer *w) {
    for (int64_t r = 0; r < w->trace->ranks; r++) {
        const hy_rank_trace *file = &w->trace->rank[r].file;
        HY_TRY(choose_tracks(w, r));
        if (file->n_spans > 0 && (w->start == 0.0 || file->spans[0].begin < w->start)) {
            w->start = file->spans[0].begin;
        }
    }
    hy_json_open_object(&w->json, NULL);
    hy_json_string(&w->json, "displayTimeUnit", "ms");
    hy_json_open_array(&w->json, "traceEvents");
    for (int64_t r = 0; r < w->trace->ranks; r++) {
        put_rank(w, r);
    }
    for (int64_t first = 0; first < w->match->n; first += hy_match_size(w->match, first)) {
        put_arrows(w, first);
    }
    hy_json_close(&w->json);
    hy_json_close(&w->json);
    return HY_OK;
}

hy_status hy_chrome_trace_write(const hy_run_trace *trace, const hy_match *match, const char *path) {
    chrome_writer w = {.trace = trace, .match = match};
    HY_TRY(HY_NEW("tracks by rank", trace->ranks, &w.track));
    FILE *file = fopen(path, "we");
    hy_status status = file == NULL ? hy_fail(HY_ERR_FAILED, "%s: cannot be opened: %s", path, strerror(errno)) : HY_OK;
    if (status == HY_OK) {
        hy_json_begin(&w.json, file);
        status = put_all(&w);
        status = status == HY_OK ? hy_json_end(&w.json, HY_ERR_FAILED) : status;
        (void)fclose(file);
    }
    for (int64_t r = 0; r < trace->ranks; r++) {
        hy_free(w.track[r]);
    }
    hy_free(w.track);
    return status;
}
