#include "train/trace/exchange_match.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "comm/comm.h"

static bool is_message(const hy_span *s) {
    return s->exchange == HY_X_SEND || s->exchange == HY_X_RECV;
}

/* The first rank of the span's communicator and how far its ranks lie apart: all of them, those of a sequence, or those with one place in theirs. */
static void members_of(const hy_rank_trace *file, const hy_span *s, int64_t *first, int64_t *stride) {
    const hy_trace_info *info = &file->info;
    *first = 0;
    *stride = 1;
    if (s->size == info->ranks) {
        return;
    }
    if (s->size == info->sequence) {
        *first = info->rank - info->rank % info->sequence;
    } else {
        *first = info->rank % info->sequence;
        *stride = info->sequence;
    }
}

static hy_exchange_end end_of(const hy_rank_trace *file, int64_t span) {
    const hy_span *s = &file->spans[span];
    hy_exchange_end end = {.rank = file->info.rank, .span = span, .of = s};
    int64_t stride = 1;
    members_of(file, s, &end.first, &stride);
    if (is_message(s)) {
        const int64_t peer = end.first + stride * s->peer;
        end.first = s->exchange == HY_X_SEND ? end.rank : peer;
        end.other = s->exchange == HY_X_SEND ? peer : end.rank;
    }
    return end;
}

static int64_t sign_of(int64_t a, int64_t b) {
    return (a > b) - (a < b);
}

/* Equal: the same exchange, but for its number. */
static int64_t compare_kinds(const hy_exchange_end *a, const hy_exchange_end *b) {
    const bool messages = is_message(a->of);
    int64_t d = sign_of(a->of->place.step, b->of->place.step);
    d = d != 0 ? d : sign_of(messages, is_message(b->of));
    d = d != 0 || messages ? d : sign_of(a->of->exchange, b->of->exchange);
    d = d != 0 ? d : sign_of(a->of->size, b->of->size);
    d = d != 0 ? d : sign_of(a->first, b->first);
    d = d != 0 ? d : sign_of(a->other, b->other);
    d = d != 0 ? d : sign_of(a->of->tag, b->of->tag);
    return d != 0 ? d : strcmp(a->of->name, b->of->name);
}

/* In a rank's own order: what is the n-th of its kind. */
static int order_on_rank(const void *left, const void *right) {
    const hy_exchange_end *a = left, *b = right;
    int64_t d = sign_of(a->rank, b->rank);
    d = d != 0 ? d : compare_kinds(a, b);
    d = d != 0 ? d : sign_of(a->of->exchange, b->of->exchange);
    return (int)sign_of(d != 0 ? d : sign_of(a->of->number, b->of->number), 0);
}

static int64_t same_exchange(const hy_exchange_end *a, const hy_exchange_end *b) {
    const int64_t d = compare_kinds(a, b);
    return d != 0 ? d : sign_of(a->ordinal, b->ordinal);
}

static int order_of_all(const void *left, const void *right) {
    const hy_exchange_end *a = left, *b = right;
    const int64_t d = same_exchange(a, b);
    return (int)sign_of(d != 0 ? d : sign_of(a->rank, b->rank), 0);
}

static void number_ends(hy_match *m) {
    qsort(m->ends, (size_t)m->n, sizeof *m->ends, order_on_rank);
    for (int64_t i = 1; i < m->n; i++) {
        const hy_exchange_end *before = &m->ends[i - 1];
        hy_exchange_end *end = &m->ends[i];
        const bool goes_on =
            end->rank == before->rank && compare_kinds(end, before) == 0 && end->of->exchange == before->of->exchange;
        end->ordinal = goes_on ? before->ordinal + 1 : 0;
    }
    qsort(m->ends, (size_t)m->n, sizeof *m->ends, order_of_all);
}

int64_t hy_match_size(const hy_match *match, int64_t first) {
    int64_t n = 1;
    while (first + n < match->n && same_exchange(&match->ends[first], &match->ends[first + n]) == 0) {
        n++;
    }
    return n;
}

static bool all_are_there(const hy_match *match, int64_t first, int64_t n) {
    const hy_span *s = match->ends[first].of;
    return n == (is_message(s) ? 2 : s->size);
}

static void find_groups(hy_match *m) {
    for (int64_t first = 0, n; first < m->n; first += n) {
        n = hy_match_size(m, first);
        const bool whole = all_are_there(m, first, n);
        m->n_whole += whole ? n : 0;
        for (int64_t i = first; i < first + n; i++) {
            m->group[m->ends[i].rank][m->ends[i].span] = whole ? first : -1;
        }
    }
}

static hy_status collect_ends(const hy_run_trace *trace, hy_match *m) {
    int64_t room = 0;
    for (int64_t r = 0; r < trace->ranks; r++) {
        room += trace->rank[r].file.n_spans;
    }
    HY_TRY(HY_NEW("ends of exchanges", room + 1, &m->ends));
    HY_TRY(HY_NEW("exchanges by rank", trace->ranks, &m->group));
    m->ranks = trace->ranks;
    for (int64_t r = 0; r < trace->ranks; r++) {
        const hy_rank_trace *file = &trace->rank[r].file;
        HY_TRY(HY_NEW("exchanges by span", file->n_spans + 1, &m->group[r]));
        for (int64_t i = 0; i < file->n_spans; i++) {
            m->group[r][i] = -1;
            if (file->spans[i].kind == HY_SPAN_EXCHANGE) {
                m->ends[m->n++] = end_of(file, i);
            }
        }
    }
    return HY_OK;
}

hy_status hy_match_create(const hy_run_trace *trace, hy_match *out) {
    hy_match m = {.n = 0};
    const hy_status status = collect_ends(trace, &m);
    if (status != HY_OK) {
        hy_match_free(&m);
        return status;
    }
    number_ends(&m);
    find_groups(&m);
    *out = m;
    return HY_OK;
}

void hy_match_free(hy_match *match) {
    for (int64_t r = 0; r < match->ranks; r++) {
        hy_free(match->group[r]);
    }
    hy_free(match->group);
    hy_free(match->ends);
    *match = (hy_match){.n = 0};
}

const hy_exchange_end *hy_match_latest(const hy_match *match, int64_t rank, int64_t span) {
    const int64_t first = match->group[rank][span];
    if (first < 0) {
        return NULL;
    }
    const hy_exchange_end *latest = &match->ends[first];
    for (int64_t i = first + 1, end = first + hy_match_size(match, first); i < end; i++) {
        latest = match->ends[i].of->started > latest->of->started ? &match->ends[i] : latest;
    }
    return latest;
}
