#include "train/trace/step_account.h"

static double clip(double value, double low, double high) {
    return value < low ? low : value > high ? high : value;
}

double hy_wait_late(const hy_run_trace *trace, const hy_match *match, int64_t rank, int64_t wait, int64_t *late_rank) {
    const hy_traced_rank *r = &trace->rank[rank];
    const hy_span *s = &r->file.spans[wait];
    const hy_exchange_end *latest = r->waits_for[wait] >= 0 ? hy_match_latest(match, rank, r->waits_for[wait]) : NULL;
    *late_rank = -1;
    /* whoever posts after this rank has gone on was not waited for: a message may leave before its receiver looks */
    if (latest == NULL || latest->rank == rank || latest->of->started > s->end + trace->clock_error) {
        return 0.0;
    }
    const double late = clip(latest->of->started, s->begin, s->end) - s->begin;
    *late_rank = late > 0.0 ? latest->rank : -1;
    return late;
}

static void add_tiles(const hy_run_trace *trace, const hy_match *match, int64_t rank, const hy_trace_step *window,
                      hy_step_account *accounts) {
    const hy_traced_rank *r = &trace->rank[rank];
    hy_step_account *a = &accounts[rank];
    double covered = 0.0;
    for (int64_t i = hy_tile_at(r, window->begin); i < r->n_tiles && r->tiles[i].begin < window->end; i++) {
        const hy_tile *t = &r->tiles[i];
        const double seconds = clip(t->end, window->begin, window->end) - clip(t->begin, window->begin, window->end);
        covered += seconds;
        if (t->kind == HY_SPAN_WORK) {
            a->compute += seconds;
        } else if (t->kind == HY_SPAN_HOST) {
            a->host += seconds;
        } else if (t->kind == HY_SPAN_MOVE) {
            a->moving += seconds;
        } else {
            int64_t late_rank = -1;
            const double late = hy_wait_late(trace, match, rank, t->span - r->file.spans, &late_rank);
            a->waiting += seconds;
            a->late += late;
            if (late_rank >= 0) {
                accounts[late_rank].blamed += late;
            }
        }
    }
    a->uncovered += window->end - window->begin - covered;
}

/* What is in flight from `begin` to `end` ends here. */
static void end_flight(const hy_traced_rank *r, double begin, double end, hy_step_account *a) {
    a->in_flight += end - begin;
    a->hidden += hy_busy_within(&r->busy, begin, end);
}

/* Exchanges start nearly in the order in which they are posted: the union is made as they come. */
static void add_flights(const hy_traced_rank *r, const hy_trace_step *window, hy_step_account *a) {
    double begin = window->begin, end = window->begin, before = window->begin;
    for (int64_t i = 0; i < r->file.n_spans; i++) {
        const hy_span *s = &r->file.spans[i];
        if (s->kind != HY_SPAN_EXCHANGE || s->end <= window->begin || s->started >= window->end) {
            continue;
        }
        const double from = clip(s->started, before, window->end), to = clip(s->end, before, window->end);
        if (from > end) {
            end_flight(r, begin, end, a);
            before = end;
            begin = from;
        }
        begin = from < begin ? from : begin;
        end = to > end ? to : end;
    }
    end_flight(r, begin, end, a);
}

void hy_step_account_add(const hy_run_trace *trace, const hy_match *match, int64_t step, hy_step_account *accounts) {
    for (int64_t r = 0; r < trace->ranks; r++) {
        const hy_trace_step *window = hy_run_trace_step(trace, r, step);
        if (window != NULL) {
            accounts[r].step += window->end - window->begin;
            add_tiles(trace, match, r, window, accounts);
            add_flights(&trace->rank[r], window, &accounts[r]);
        }
    }
}
