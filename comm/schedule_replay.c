#include "comm/schedule_replay.h"

#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/time_queue.h"
#include "comm/message_match.h"
#include "comm/schedule_members.h"

enum { NONE = -1, OVER = -2 };

/* An exchange of one rank. */
typedef struct exchange {
    int32_t rank, number;
    int name, place;
    int64_t post;  /* its event */
    int64_t at;    /* the parts of its next step; NONE: it has no more */
    int64_t until; /* behind its last part */
    int awaited;   /* messages */
    bool counts;
    double posted;
    int64_t next; /* of its rank's that could go on, or spare */
} exchange;

typedef struct rank_player {
    const hy_schedule *schedule;
    int64_t at;          /* the next event */
    int64_t *exchanges;  /* [schedule->exchanges] under way; NONE: not posted; OVER: complete */
    int64_t could_go_on; /* first of them; NONE */
    int32_t waits_for;   /* NONE: for none */
    int place;
    double since, delay; /* when it began to wait; what posting took since it computed */
    bool counts, ended;  /* it is behind its mark */
    int *names;          /* [n_names] in the replay's list */
    int64_t early,
        early_end; /* the next event that may be done early, and behind the last one; NONE: there are none now */
} rank_player;

typedef struct replaying {
    const hy_replay_rates *rates;
    hy_replay *out;
    int n_ranks, n_comms;
    rank_player *players;
    hy_members *comms;
    hy_network *network;
    hy_message_table messages;
    hy_time_queue ready; /* ranks */
    exchange *exchanges;
    int64_t n_exchanges, limit, spare;
    double now;
} replaying;

/* ---- what is counted ---- */

static hy_status find_name(hy_replay *out, int limit, const char *name, int *at) {
    for (*at = 0; *at < out->n_exchanges; ++*at) {
        if (strcmp(out->exchanges[*at].name, name) == 0) {
            return HY_OK;
        }
    }
    if (out->n_exchanges == limit) {
        return hy_fail(HY_ERR_DATA, "schedules name more than %d exchanges", limit);
    }
    out->exchanges[out->n_exchanges++].name = name;
    return HY_OK;
}

static hy_status prepare_counts(replaying *p) {
    enum { NAMES = 256 };
    int places = 1;
    HY_TRY(HY_NEW("ranks", p->n_ranks, &p->out->ranks));
    HY_TRY(HY_NEW("exchanges", NAMES, &p->out->exchanges));
    for (int r = 0; r < p->n_ranks; r++) {
        rank_player *player = &p->players[r];
        const hy_schedule *s = player->schedule;
        HY_TRY(HY_NEW("names", s->n_names + 1, &player->names));
        for (int i = 0; i < s->n_names; i++) {
            HY_TRY(find_name(p->out, NAMES, s->names[i], &player->names[i]));
        }
        for (int64_t i = 0; i < s->n; i++) {
            places = s->events[i].kind == HY_EVENT_PLACE && s->events[i].a >= places ? s->events[i].a + 1 : places;
        }
    }
    p->out->n_places = places;
    return HY_NEW("places", places, &p->out->places);
}

/* ---- exchanges ---- */

static hy_status take_exchange(replaying *p, int64_t *out) {
    if (p->spare != NONE) {
        *out = p->spare;
        p->spare = p->exchanges[*out].next;
        return HY_OK;
    }
    HY_TRY(HY_GROW("exchanges under way", p->n_exchanges + 1, &p->limit, &p->exchanges));
    *out = p->n_exchanges++;
    return HY_OK;
}

static hy_status complete(replaying *p, int64_t at) {
    exchange *e = &p->exchanges[at];
    rank_player *player = &p->players[e->rank];
    hy_replay_exchange *sum = &p->out->exchanges[e->name];
    const int32_t rank = e->rank, number = e->number;
    sum->in_flight += player->counts ? p->now - e->posted : 0;
    player->exchanges[number] = OVER;
    e->next = p->spare;
    p->spare = at;
    if (player->waits_for != number) {
        return HY_OK;
    }
    const double waited = player->counts ? p->now - player->since : 0;
    player->waits_for = NONE;
    sum->waited += waited;
    p->out->ranks[rank].waiting += waited;
    p->out->places[player->place].waited += waited;
    return hy_time_queue_add(&p->ready, p->now, rank, 0);
}

static hy_status send_off(replaying *p, int64_t at) {
    hy_message *m = &p->messages.messages[at];
    m->left = true;
    return hy_network_send(p->network, p->now, m->key.from, m->key.to, m->bytes, at);
}

static void count_message(replaying *p, const exchange *e, bool send, int64_t bytes) {
    hy_replay_exchange *sum = &p->out->exchanges[e->name];
    p->out->ranks[e->rank].posting += p->rates->post;
    if (send) {
        sum->messages++;
        sum->sent += bytes;
        p->out->places[e->place].messages++;
        p->out->places[e->place].sent += bytes;
    } else {
        sum->received += bytes;
    }
}

/* One message of exchange `at`. */
static hy_status post_message(replaying *p, int64_t at, const hy_part *part) {
    exchange *e = &p->exchanges[at];
    const hy_event *post = &p->players[e->rank].schedule->events[e->post];
    const hy_members *m = &p->comms[post->at.comm];
    const int peer = m->ranks[m->first[e->rank] + part->peer];
    const bool send = part->kind == HY_PART_SEND, eager = part->bytes <= p->rates->eager;
    const hy_message_key key = {.comm = (int32_t)post->at.comm,
                                .from = send ? e->rank : peer,
                                .to = send ? peer : e->rank,
                                .tag = post->at.tag};
    int64_t id = NONE;
    HY_TRY(hy_message_side(&p->messages, &key, send, at, &id));
    hy_message *message = &p->messages.messages[id];
    p->players[e->rank].delay += p->rates->post;
    if (e->counts) {
        count_message(p, e, send, part->bytes);
    }
    if (send) {
        message->bytes = part->bytes;
        e->awaited += !eager;
        return eager || message->recv != NONE ? send_off(p, id) : HY_OK;
    }
    if (message->arrived) {
        hy_message_drop(&p->messages, id);
        return HY_OK;
    }
    e->awaited++;
    return message->send != NONE && !message->left ? send_off(p, id) : HY_OK;
}

/* Steps for as long as they need not wait. */
static hy_status go_on(replaying *p, int64_t at) {
    while (p->exchanges[at].awaited == 0 && p->exchanges[at].at != NONE) {
        const exchange *e = &p->exchanges[at];
        const hy_part *parts = p->players[e->rank].schedule->parts;
        int64_t i = e->at;
        for (; i < e->until && parts[i].kind != HY_PART_STEP; i++) {
            HY_TRY(post_message(p, at, &parts[i]));
        }
        p->exchanges[at].at = i < p->exchanges[at].until ? i + 1 : NONE;
    }
    return p->exchanges[at].awaited == 0 ? complete(p, at) : HY_OK;
}

static hy_status one_is_there(replaying *p, int64_t at) {
    exchange *e = &p->exchanges[at];
    rank_player *player = &p->players[e->rank];
    if (--e->awaited > 0) {
        return HY_OK;
    }
    if (e->at != NONE && p->rates->calls_progress && player->waits_for == NONE && !player->ended) {
        e->next = player->could_go_on;
        player->could_go_on = at;
        return HY_OK;
    }
    return go_on(p, at);
}

static hy_status arrive(replaying *p, int64_t id) {
    const hy_message m = p->messages.messages[id];
    p->messages.messages[id].arrived = true;
    if (m.recv != NONE) {
        hy_message_drop(&p->messages, id);
        HY_TRY(one_is_there(p, m.recv));
    }
    return m.bytes > p->rates->eager ? one_is_there(p, m.send) : HY_OK;
}

/* ---- ranks ---- */

static hy_status post_exchange(replaying *p, int rank, const hy_event *event) {
    rank_player *player = &p->players[rank];
    const hy_schedule *s = player->schedule;
    const hy_body *body = &s->bodies[event->how.body];
    int64_t at = NONE;
    HY_TRY(take_exchange(p, &at));
    p->exchanges[at] = (exchange){.rank = rank,
                                  .number = event->a,
                                  .name = player->names[event->how.name],
                                  .place = player->place,
                                  .post = event - s->events,
                                  .at = body->n > 0 ? body->first : NONE,
                                  .until = body->first + body->n,
                                  .counts = player->counts,
                                  .posted = p->now};
    player->exchanges[event->a] = at;
    p->out->exchanges[p->exchanges[at].name].count += player->counts;
    return go_on(p, at);
}

static double compute_one(replaying *p, int rank, const hy_event *e) {
    const rank_player *player = &p->players[rank];
    const double seconds = p->rates->seconds(p->rates->context, e->a, e->flops, e->bytes);
    p->out->places[player->place].computed += player->counts ? seconds : 0;
    p->out->ranks[rank].computing += player->counts ? seconds : 0;
    return seconds;
}

/* Operations up to the next event that others may notice, one at least. */
static hy_status compute(replaying *p, int rank) {
    rank_player *player = &p->players[rank];
    const hy_schedule *s = player->schedule;
    const bool looks = p->rates->calls_progress || player->early != NONE; /* around, between operations */
    double seconds = 0;
    for (; player->at < s->n; player->at++) {
        const hy_event *e = &s->events[player->at];
        if (e->kind == HY_EVENT_PLACE) {
            player->place = e->a;
            continue;
        }
        if (e->kind != HY_EVENT_COMPUTE || (looks && seconds > 0)) {
            break;
        }
        seconds += compute_one(p, rank, e);
    }
    return hy_time_queue_add(&p->ready, p->now + seconds, rank, 0);
}

/* ---- what may be done early ---- */

/* From here on: up to the last exchange that is posted between BEGIN and END, as others wait for that; what comes behind it has time. */
static void find_early(rank_player *player) {
    const hy_schedule *s = player->schedule;
    int64_t at = player->at, last = NONE;
    while (at < s->n && !(s->events[at].kind == HY_EVENT_EARLY && s->events[at].a == HY_EARLY_BEGIN)) {
        at++;
    }
    player->early = at + 1;
    for (; at < s->n && !(s->events[at].kind == HY_EVENT_EARLY && s->events[at].a == HY_EARLY_END); at++) {
        last = s->events[at].kind == HY_EVENT_POST ? at : last;
    }
    player->early_end = last + 1;
    if (last == NONE) {
        player->early = NONE;
    }
}

/* As much of it as waits for nothing, up to an operation: then the rank is busy. */
static hy_status go_early(replaying *p, int rank, bool *busy) {
    rank_player *player = &p->players[rank];
    *busy = false;
    while (player->early != NONE && player->early < player->early_end) {
        const hy_event *e = &player->schedule->events[player->early];
        if (e->kind == HY_EVENT_WAIT && player->exchanges[e->a] >= 0) {
            return HY_OK;
        }
        player->early++;
        if (e->kind == HY_EVENT_POST) {
            HY_TRY(post_exchange(p, rank, e));
        } else if (e->kind == HY_EVENT_COMPUTE) {
            *busy = true;
            return hy_time_queue_add(&p->ready, p->now + compute_one(p, rank, e), rank, 0);
        }
    }
    return HY_OK;
}

static void meet_early(rank_player *player, hy_early early) {
    if (early == HY_EARLY_FROM) {
        find_early(player);
    } else if (early == HY_EARLY_BEGIN && player->early != NONE) {
        player->at = player->early; /* the rest, in its turn */
        player->early = NONE;
    }
}

/* What posting took, before what comes next. */
static bool is_delayed(replaying *p, int rank, hy_status *status) {
    rank_player *player = &p->players[rank];
    const double delay = player->delay;
    player->delay = 0;
    *status = delay > 0 ? hy_time_queue_add(&p->ready, p->now + delay, rank, 0) : HY_OK;
    return delay > 0;
}

static hy_status advance_exchanges(replaying *p, int rank) {
    rank_player *player = &p->players[rank];
    while (player->could_go_on != NONE) {
        const int64_t at = player->could_go_on;
        player->could_go_on = p->exchanges[at].next;
        HY_TRY(go_on(p, at));
    }
    return HY_OK;
}

/* Until it computes, waits or ends. */
static hy_status play(replaying *p, int rank) {
    rank_player *player = &p->players[rank];
    const hy_schedule *s = player->schedule;
    hy_status status;
    bool busy;
    HY_TRY(advance_exchanges(p, rank));
    HY_TRY(go_early(p, rank, &busy));
    while (player->at < s->n && !busy) {
        const hy_event *e = &s->events[player->at];
        if (e->kind != HY_EVENT_POST && e->kind != HY_EVENT_PLACE && is_delayed(p, rank, &status)) {
            return status;
        }
        if (e->kind == HY_EVENT_COMPUTE) {
            return compute(p, rank);
        }
        player->at++;
        if (e->kind == HY_EVENT_PLACE) {
            player->place = e->a;
        } else if (e->kind == HY_EVENT_EARLY) {
            meet_early(player, (hy_early)e->a);
        } else if (e->kind == HY_EVENT_MARK) {
            player->counts = true;
            p->out->ranks[rank].begin = p->now;
        } else if (e->kind == HY_EVENT_POST) {
            HY_TRY(post_exchange(p, rank, e));
        } else if (e->kind == HY_EVENT_WAIT && player->exchanges[e->a] >= 0) {
            player->waits_for = e->a;
            player->since = p->now;
            return advance_exchanges(p, rank);
        }
    }
    if (busy) {
        return HY_OK;
    }
    player->ended = true;
    p->out->ranks[rank].end = p->now;
    return advance_exchanges(p, rank);
}

/* ---- all ---- */

static bool has_mark(const hy_schedule *s) {
    for (int64_t i = 0; i < s->n; i++) {
        if (s->events[i].kind == HY_EVENT_MARK) {
            return true;
        }
    }
    return false;
}

static hy_status prepare_players(replaying *p, const hy_schedule *const *schedules) {
    HY_TRY(HY_NEW("ranks", p->n_ranks, &p->players));
    for (int r = 0; r < p->n_ranks; r++) {
        rank_player *player = &p->players[r];
        *player = (rank_player){.schedule = schedules[r],
                                .could_go_on = NONE,
                                .waits_for = NONE,
                                .early = NONE,
                                .counts = !has_mark(schedules[r])};
        HY_TRY(HY_NEW("exchanges of a rank", schedules[r]->exchanges, &player->exchanges));
        for (int32_t i = 0; i < schedules[r]->exchanges; i++) {
            player->exchanges[i] = OVER; /* posted before the schedule began */
        }
        HY_TRY(hy_time_queue_add(&p->ready, 0.0, r, 0));
    }
    HY_TRY(hy_members_list(schedules, p->n_ranks, &p->n_comms, &p->comms));
    return prepare_counts(p);
}

static hy_status name_who_waits(const replaying *p) {
    for (int r = 0; r < p->n_ranks; r++) {
        const rank_player *player = &p->players[r];
        if (player->waits_for != NONE) {
            const exchange *e = &p->exchanges[player->exchanges[player->waits_for]];
            return hy_fail(HY_ERR_DATA, "schedules do not fit each other: rank %d waits for '%s' for ever", r,
                           p->out->exchanges[e->name].name);
        }
    }
    return HY_OK;
}

/* Also what nobody waits for, to its end. */
static hy_status play_all(replaying *p) {
    double arrival;
    bool moves;
    for (;;) {
        const hy_time_entry *ready = hy_time_queue_first(&p->ready);
        HY_TRY(hy_network_next(p->network, &moves, &arrival));
        if (ready == NULL && !moves) {
            return name_who_waits(p);
        }
        if (moves && (ready == NULL || arrival <= ready->when)) {
            p->now = arrival;
            const int64_t id = hy_network_go_on(p->network);
            HY_TRY(id != NONE ? arrive(p, id) : HY_OK);
            continue;
        }
        const int rank = (int)ready->what;
        p->now = ready->when;
        hy_time_queue_drop_first(&p->ready);
        HY_TRY(play(p, rank));
    }
}

static void sum_up(const replaying *p) {
    double begin = 0, end = 0;
    for (int r = 0; r < p->n_ranks; r++) {
        const hy_replay_rank *rank = &p->out->ranks[r];
        begin = rank->begin > begin ? rank->begin : begin;
        end = rank->end > end ? rank->end : end;
    }
    p->out->seconds = end - begin;
}

static void clear(replaying *p) {
    for (int r = 0; r < p->n_ranks && p->players != NULL; r++) {
        hy_free(p->players[r].exchanges);
        hy_free(p->players[r].names);
    }
    hy_free(p->players);
    hy_members_destroy(p->comms, p->n_comms);
    hy_free(p->exchanges);
    hy_message_clear(&p->messages);
    hy_time_queue_clear(&p->ready);
    hy_network_destroy(p->network);
}

hy_status hy_replay_run(const hy_schedule *const *schedules, int ranks, const hy_network_shape *network,
                        const hy_replay_rates *rates, hy_replay **out) {
    replaying p = {.rates = rates, .n_ranks = ranks, .spare = NONE};
    hy_status status = HY_NEW("replay", 1, &p.out);
    HY_TRY(status);
    p.out->n_ranks = ranks;
    HY_TRY_GOTO(status, hy_network_create(network, ranks, &p.network), end);
    HY_TRY_GOTO(status, prepare_players(&p, schedules), end);
    HY_TRY_GOTO(status, play_all(&p), end);
    sum_up(&p);
end:
    clear(&p);
    if (status != HY_OK) {
        hy_replay_destroy(p.out);
        return status;
    }
    *out = p.out;
    return HY_OK;
}

void hy_replay_destroy(hy_replay *replay) {
    if (replay != NULL) {
        hy_free(replay->ranks);
        hy_free(replay->exchanges);
        hy_free(replay->places);
        hy_free(replay);
    }
}
