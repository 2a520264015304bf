#include "train/trace/advice.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { NAMES_MAX = 128 };
static const double LEAST_GAIN = 0.02; /* of a step */

/* Seconds of all steps under one name. */
typedef struct named_time {
    const char *name;
    double *by_rank;    /* WORK: computing [ranks] */
    double host, count; /* HOST: mean over ranks; exchanges: how many */
    double transfer;    /* exchanges: waited for the transfer, mean over ranks */
    double before;      /* computing between posting and waiting, where that was waited for; likewise */
    bool exchange;
} named_time;

typedef struct adviser {
    const hy_run_trace *trace;
    const hy_match *match;
    const hy_config *config;
    const hy_step_account *accounts;
    int64_t ranks, steps;
    double step; /* seconds, mean over ranks and steps */
    named_time names[NAMES_MAX];
    int n_names;
    double *room; /* [NAMES_MAX · ranks], then [ranks] to sort */
    hy_advice *out;
    int n;
} adviser;

/* ---- times by name ---- */

static named_time *time_of(adviser *a, const char *name, bool exchange) {
    for (int i = 0; i < a->n_names; i++) {
        if (a->names[i].exchange == exchange && strcmp(a->names[i].name, name) == 0) {
            return &a->names[i];
        }
    }
    if (a->n_names == NAMES_MAX) {
        return &a->names[NAMES_MAX - 1];
    }
    named_time *t = &a->names[a->n_names];
    *t = (named_time){.name = name, .exchange = exchange, .by_rank = a->room + a->n_names * a->ranks};
    a->n_names++;
    return t;
}

static void add_wait_time(adviser *a, int64_t rank, const hy_span *wait) {
    const hy_traced_rank *r = &a->trace->rank[rank];
    const int64_t at = wait - r->file.spans, exchange = r->waits_for[at];
    int64_t late_rank = -1;
    const double late = hy_wait_late(a->trace, a->match, rank, at, &late_rank);
    const double transfer = (wait->end - wait->begin - late) / (double)a->ranks;
    named_time *t = time_of(a, wait->name, true);
    t->count++;
    t->transfer += transfer;
    if (exchange >= 0) {
        const double before = hy_busy_within(&r->busy, r->file.spans[exchange].started, wait->begin);
        t->before += before / (double)a->ranks;
    }
}

static void add_times(adviser *a) {
    for (int64_t r = 0; r < a->ranks; r++) {
        const hy_traced_rank *rank = &a->trace->rank[r];
        for (int64_t i = 0; i < rank->n_tiles; i++) {
            const hy_tile *t = &rank->tiles[i];
            if (t->kind == HY_SPAN_WORK) {
                time_of(a, t->span->name, false)->by_rank[r] += t->end - t->begin;
            } else if (t->kind == HY_SPAN_HOST) {
                time_of(a, t->span->name, false)->host += (t->end - t->begin) / (double)a->ranks;
            } else if (t->kind == HY_SPAN_WAIT) {
                add_wait_time(a, r, t->span);
            }
        }
    }
}

/* ---- advice ---- */

HY_PRINTF(6, 7)
static void advise(adviser *a, hy_advice_kind kind, const char *name, int64_t rank, double seconds, const char *format,
                   ...) {
    const double gain = seconds / (double)a->steps;
    if (gain < LEAST_GAIN * a->step || a->n == HY_ADVICE_MAX) {
        return;
    }
    hy_advice *advice = &a->out[a->n++];
    *advice = (hy_advice){.kind = kind, .gain = gain, .name = name, .rank = rank};
    va_list args;
    va_start(args, format);
    (void)vsnprintf(advice->text, sizeof advice->text, format, args);
    va_end(args);
}

static int by_value(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of an even number the lower of the two in the middle: of two ranks the faster. */
static double median(const adviser *a, const double *by_rank) {
    double *sorted = a->room + (int64_t)NAMES_MAX * a->ranks;
    memcpy(sorted, by_rank, (size_t)a->ranks * sizeof *sorted);
    qsort(sorted, (size_t)a->ranks, sizeof *sorted, by_value);
    return sorted[(a->ranks - 1) / 2];
}

static double mean(const adviser *a, const double *by_rank) {
    double sum = 0.0;
    for (int64_t r = 0; r < a->ranks; r++) {
        sum += by_rank[r];
    }
    return sum / (double)a->ranks;
}

/* The operation of which `rank` does most beyond the median, and how much. */
static const named_time *most_beyond(const adviser *a, int64_t rank, double *seconds) {
    const named_time *most = NULL;
    *seconds = 0.0;
    for (int i = 0; i < a->n_names; i++) {
        const named_time *t = &a->names[i];
        const double beyond = t->exchange ? 0.0 : t->by_rank[rank] - median(a, t->by_rank);
        if (beyond > *seconds) {
            *seconds = beyond;
            most = t;
        }
    }
    return most;
}

/* Causal attention over contiguous parts gives the last of S ranks (2S − 1)/S times the mean: whether this is that, by half of it at least. */
static bool looks_contiguous(const adviser *a, const named_time *most, int64_t slow) {
    const int64_t s = a->trace->rank[0].file.info.sequence;
    const double expected = (double)(2 * s - 1) / (double)s, seen = most->by_rank[slow] / mean(a, most->by_rank);
    return a->config->parallel.method.layout == HY_LAYOUT_CONTIGUOUS && strcmp(most->name, "attention") == 0 &&
           slow % s == s - 1 && seen > 1.0 + 0.5 * (expected - 1.0);
}

/* A rank that computes longer than the others: because of its share of one operation, or in all it does. An operation that takes most of a slow
 * rank's time takes most of its excess as well, so what counts is whether the rest is as slow. */
static void look_at_evenness(adviser *a) {
    double *compute = a->room + (int64_t)(NAMES_MAX + 1) * a->ranks;
    int64_t slow = 0;
    for (int64_t r = 0; r < a->ranks; r++) {
        compute[r] = a->accounts[r].compute;
        slow = compute[r] > compute[slow] ? r : slow;
    }
    double beyond = 0.0;
    const double others = median(a, compute), excess = compute[slow] - others;
    const named_time *most = most_beyond(a, slow, &beyond);
    if (most == NULL || excess <= 0.0) {
        return;
    }
    const double rest = others - median(a, most->by_rank), rest_ratio = rest > 0.0 ? (excess - beyond) / rest : 0.0;
    const double ratio = excess / others;
    if (looks_contiguous(a, most, slow)) {
        advise(a, HY_ADVICE_LAYOUT, most->name, -1, most->by_rank[slow] - mean(a, most->by_rank),
               "parallel.layout: zigzag instead of contiguous: causal attention takes rank %lld %.2f times the mean, "
               "because later "
               "tokens see more keys",
               (long long)slow, most->by_rank[slow] / mean(a, most->by_rank));
    } else if (rest_ratio > 0.5 * ratio) {
        advise(a, HY_ADVICE_SLOW_RANK, NULL, slow, excess,
               "rank %lld is slow: it computes %.2f times as long as the others, in all operations alike; look at its "
               "processor and at what else runs on its host",
               (long long)slow, compute[slow] / others);
    } else {
        advise(a, HY_ADVICE_UNEQUAL, most->name, slow, most->by_rank[slow] - mean(a, most->by_rank),
               "rank %lld has more of '%s' to compute, %.2f times the mean: another parallel.layout, or documents that "
               "are "
               "spread more evenly",
               (long long)slow, most->name, most->by_rank[slow] / mean(a, most->by_rank));
    }
}

/* The names of a choice but for the one at hand: "ring or zeco". */
static const char *other_names(const char *const *names, int chosen, char *text, size_t size) {
    text[0] = '\0';
    for (int i = 0; names[i] != NULL; i++) {
        const size_t used = strlen(text);
        if (i != chosen) {
            snprintf(text + used, size - used, "%s%s", used > 0 ? " or " : "", names[i]);
        }
    }
    return text;
}

static bool begins_with(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

/* What can be changed about an exchange. */
static void say_remedy(const adviser *a, const char *name, bool blocking, char *text, size_t size) {
    char names[200];
    const hy_sp_method *m = &a->config->parallel.method;
    if (begins_with(name, "state") && m->overlap == HY_OVERLAP_SEEDED && blocking) {
        snprintf(text, size, "parallel.overlap: split computes outputs from zero state while it travels");
    } else if (begins_with(name, "state")) {
        snprintf(text, size, "parallel.state: %s instead of %s, or more tokens per rank",
                 other_names(hy_state_exchange_names, (int)m->state, names, sizeof names),
                 hy_state_exchange_names[m->state]);
    } else if (begins_with(name, "attention")) {
        snprintf(text, size, "parallel.attention: %s instead of %s, or fewer ranks per sequence (parallel.data)",
                 other_names(hy_attention_method_names, (int)m->attention, names, sizeof names),
                 hy_attention_method_names[m->attention]);
    } else if (begins_with(name, "gradients") || begins_with(name, "parameters")) {
        snprintf(text, size, "more tokens per step (data.batch with train.accumulate): the bytes stay the same");
    } else {
        snprintf(text, size, "more tokens per rank, so that there are fewer of it per token");
    }
}

static void look_at_exchanges(adviser *a) {
    for (int i = 0; i < a->n_names; i++) {
        const named_time *t = &a->names[i];
        if (!t->exchange) {
            continue;
        }
        char remedy[300];
        const bool blocking = t->before < 0.25 * t->transfer;
        say_remedy(a, t->name, blocking, remedy, sizeof remedy);
        if (blocking) {
            advise(a, HY_ADVICE_BLOCKING, t->name, -1, t->transfer,
                   "the exchange '%s' blocks: it is waited for as soon as it is posted, and nothing hides it; %s",
                   t->name, remedy);
        } else {
            advise(a, HY_ADVICE_EXCHANGE, t->name, -1, t->transfer,
                   "the exchange '%s' takes longer than what hides it; %s", t->name, remedy);
        }
    }
}

static void look_at_the_rest(adviser *a) {
    double moving = 0.0, uncovered = 0.0;
    for (int64_t r = 0; r < a->ranks; r++) {
        moving += a->accounts[r].moving / (double)a->ranks;
        uncovered += a->accounts[r].uncovered / (double)a->ranks;
    }
    advise(
        a, HY_ADVICE_MOVING, NULL, -1, moving,
        "the communication library copies messages while ranks could compute: another parallel.transport, or exchanges "
        "of fewer bytes");
    advise(a, HY_ADVICE_HOST, NULL, -1, uncovered, "%s",
           a->trace->rank[0].file.info.clock == HY_TRACE_LANE
               ? "the device has nothing to do: the host gives its work too late"
               : "no span says what ranks did: the trace is not whole");
    for (int i = 0; i < a->n_names; i++) {
        advise(a, HY_ADVICE_HOST, a->names[i].name, -1, a->names[i].host,
               "'%s' keeps ranks from computing: neither an operation nor an exchange", a->names[i].name);
    }
}

static int by_gain(const void *a, const void *b) {
    const hy_advice *x = a, *y = b;
    return (x->gain < y->gain) - (x->gain > y->gain);
}

int hy_advise(const hy_run_trace *trace, const hy_match *match, const hy_config *config,
              const hy_step_account *accounts, hy_advice advice[HY_ADVICE_MAX]) {
    adviser *a = NULL;
    double *room = NULL;
    const int64_t steps = hy_run_trace_steps(trace);
    if (steps == 0) {
        return 0;
    }
    if (HY_NEW("advice", 1, &a) != HY_OK || HY_NEW("times by name", (NAMES_MAX + 2) * trace->ranks, &room) != HY_OK) {
        hy_free(a);
        return -1;
    }
    *a = (adviser){.trace = trace,
                   .match = match,
                   .config = config,
                   .accounts = accounts,
                   .ranks = trace->ranks,
                   .steps = steps,
                   .room = room,
                   .out = advice};
    for (int64_t r = 0; r < trace->ranks; r++) {
        a->step += accounts[r].step / (double)(trace->ranks * steps);
    }
    add_times(a);
    look_at_evenness(a);
    look_at_exchanges(a);
    look_at_the_rest(a);
    qsort(advice, (size_t)a->n, sizeof *advice, by_gain);
    const int n = a->n;
    hy_free(room);
    hy_free(a);
    return n;
}
