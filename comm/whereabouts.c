#include "comm/whereabouts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "base/text.h"
#include "comm/comm.h"

/* Messages pair off by neighbours: that two ranks wait for different ones says nothing. */
static bool is_message(const hy_whereabouts *at) {
    return at->kind == HY_X_SEND || at->kind == HY_X_RECV;
}

void hy_whereabouts_exchange(const hy_whereabouts *at, char *text, size_t size) {
    char peer[32] = "";
    if (is_message(at) && at->peer >= 0) {
        snprintf(peer, sizeof peer, " %s rank %d", at->kind == HY_X_SEND ? "to" : "from", (int)at->peer);
    }
    if (at->kind < 0 || at->kind >= HY_X_KINDS) {
        snprintf(text, size, "%s %lld", at->name, (long long)at->number);
    } else {
        snprintf(text, size, "%s \"%s\" %lld%s", hy_exchange_kind_name((hy_exchange_kind)at->kind), at->name,
                 (long long)at->number, peer);
    }
}

/* ---- a sentence ---- */

typedef struct sentence {
    char *text;
    size_t size, used;
} sentence;

HY_PRINTF(2, 3) static void say_on(sentence *s, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int n = s->used < s->size ? vsnprintf(s->text + s->used, s->size - s->used, format, arguments) : 0;
    va_end(arguments);
    s->used += n > 0 ? (size_t)n : 0;
}

static void say_place(sentence *s, const hy_whereabouts *at) {
    if (at->phase[0] != '\0') {
        say_on(s, " (step %lld, %s)", (long long)at->step, at->phase);
    }
}

static void say_rank(sentence *s, int rank, const char *host, const hy_whereabouts *at) {
    char exchange[HY_EXCHANGE_TEXT];
    hy_whereabouts_exchange(at, exchange, sizeof exchange);
    say_on(s, "rank %d on %s ", rank, host);
    if (at->answer == HY_GONE) {
        say_on(s, "is gone");
    } else if (at->answer == HY_SILENT) {
        say_on(s, "does not answer: it is stopped, or its host is out of reach");
    } else if (at->waits) {
        say_on(s, "has been waiting in another exchange, %s, for %s", exchange, hy_text_duration(at->seconds).s);
        say_place(s, at);
    } else {
        say_on(s, "has been computing for %s", hy_text_duration(at->seconds).s);
        say_place(s, at);
        if (at->name[0] != '\0') {
            say_on(s, "; it last waited in %s", exchange);
        }
    }
}

/* ---- who did not arrive ---- */

static bool same_exchange(const hy_whereabouts *a, const hy_whereabouts *b) {
    return a->kind == b->kind && a->number == b->number && strcmp(a->name, b->name) == 0;
}

/* The exchange that most wait in, and with as many that of `mine`. */
static int most_common(const hy_whereabouts *all, int size, int mine) {
    int best = mine, best_count = 0;
    for (int i = 0; i < size; i++) {
        const int r = (mine + i) % size;
        int count = 0;
        for (int other = 0; other < size; other++) {
            count += same_exchange(&all[r], &all[other]);
        }
        if (count > best_count) {
            best = r;
            best_count = count;
        }
    }
    return best;
}

typedef enum blame { SILENT_RANKS, COMPUTING_RANKS, OTHER_EXCHANGES, BLAMES } blame;

static bool is_blamed(blame what, const hy_whereabouts *at, const hy_whereabouts *expected) {
    switch (what) {
    case SILENT_RANKS:
        return at->answer != HY_ANSWERED;
    case COMPUTING_RANKS:
        return !at->waits;
    default:
        return !same_exchange(at, expected) && !(is_message(at) && is_message(expected));
    }
}

/* All wait: of messages, from the one that rank `mine` waits for on, who waits for whom, until that is somebody who was named or no message. */
static void say_who_waits_for_whom(sentence *s, const hy_whereabouts *all, const char *const *hosts, int size,
                                   int mine) {
    enum { LINKS = 8 };
    int at = mine;
    for (int i = 0; i < LINKS && is_message(&all[at]) && all[at].peer >= 0 && all[at].peer < size; i++) {
        at = all[at].peer;
        if (at == mine) {
            return;
        }
        char exchange[HY_EXCHANGE_TEXT];
        hy_whereabouts_exchange(&all[at], exchange, sizeof exchange);
        say_on(s, "; rank %d on %s waits in %s", at, hosts[at], exchange);
        say_place(s, &all[at]);
    }
}

int hy_whereabouts_judge(const hy_whereabouts *all, const char *const *hosts, int size, int mine, char *text,
                         size_t n) {
    enum { NAMED_MOST = 8 };
    sentence s = {text, n, 0};
    int blamed = 0, named = 0;
    for (int what = 0; what < BLAMES && blamed == 0; what++) {
        const hy_whereabouts *expected = &all[what == OTHER_EXCHANGES ? most_common(all, size, mine) : mine];
        for (int r = 0; r < size; r++) {
            if (!is_blamed((blame)what, &all[r], expected)) {
                continue;
            }
            if (++blamed <= NAMED_MOST) {
                say_on(&s, named++ > 0 ? "; " : "");
                say_rank(&s, r, hosts[r], &all[r]);
            }
        }
    }
    if (blamed > NAMED_MOST) {
        say_on(&s, "; and %d more", blamed - NAMED_MOST);
    }
    if (blamed == 0) {
        say_on(&s, "all ranks have arrived: what carries the exchange does not deliver (a link, or the library)");
        say_who_waits_for_whom(&s, all, hosts, size, mine);
    }
    return blamed;
}

/* ---- who is slow ---- */

/* What rank r waited between the two looks; < 0: not known. */
static double waited_between(const hy_whereabouts *before, const hy_whereabouts *after, int r) {
    const bool known = before[r].answer == HY_ANSWERED && after[r].answer == HY_ANSWERED;
    return known && after[r].waited >= before[r].waited ? after[r].waited - before[r].waited : -1.0;
}

/* The k-th smallest, from 0, of those that are known; quadratic, and P is at most some thousands. */
static double kth_waited(const hy_whereabouts *before, const hy_whereabouts *after, int size, int k) {
    for (int r = 0; r < size; r++) {
        const double mine = waited_between(before, after, r);
        int below = 0, equal = 0;
        for (int other = 0; other < size; other++) {
            const double theirs = waited_between(before, after, other);
            below += theirs >= 0.0 && theirs < mine;
            equal += theirs == mine;
        }
        if (mine >= 0.0 && below <= k && k < below + equal) {
            return mine;
        }
    }
    return 0.0;
}

int hy_whereabouts_slowest(const hy_whereabouts *before, const hy_whereabouts *after, int size, double seconds,
                           double *share) {
    int slowest = -1, known = 0;
    double least = 0.0;
    for (int r = 0; r < size; r++) {
        const double waited = waited_between(before, after, r);
        if (waited < 0.0) {
            continue;
        }
        known++;
        if (slowest < 0 || waited < least) {
            slowest = r;
            least = waited;
        }
    }
    if (known < 2 || seconds <= 0.0) {
        return -1;
    }
    *share = (kth_waited(before, after, size, 1 + (known - 2) / 2) - least) / seconds; /* of the others, the median */
    return slowest;
}
