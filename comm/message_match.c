#include "comm/message_match.h"

#include "base/memory.h"

enum { NONE = -1, BUCKETS = 1 << 10 };

static uint64_t hash_of(const hy_message_key *k) {
    uint64_t x = k->tag * 0x9E3779B97F4A7C15u ^ ((uint64_t)(uint32_t)k->from << 32 | (uint32_t)k->to);
    x ^= (uint64_t)(uint32_t)k->comm << 48;
    x = (x ^ (x >> 31)) * 0xBF58476D1CE4E5B9u;
    return x ^ (x >> 29);
}

static bool is_same(const hy_message_key *a, const hy_message_key *b) {
    return a->tag == b->tag && a->from == b->from && a->to == b->to && a->comm == b->comm;
}

static int64_t *link_at(hy_message_table *t, const hy_message_key *key) {
    return &t->buckets[hash_of(key) % (uint64_t)t->n_buckets];
}

static void add_last(hy_message_table *t, int64_t at) {
    int64_t *link = link_at(t, &t->messages[at].key);
    while (*link != NONE) {
        link = &t->messages[*link].next;
    }
    t->messages[at].next = NONE;
    *link = at;
}

/* More lists once they grow long: all that waits moves over. */
static hy_status set_buckets(hy_message_table *t, int64_t n) {
    int64_t *old = t->buckets, n_old = t->n_buckets;
    HY_TRY(HY_NEW("lists of messages", n, &t->buckets));
    t->n_buckets = n;
    for (int64_t i = 0; i < n; i++) {
        t->buckets[i] = NONE;
    }
    for (int64_t i = 0; i < n_old; i++) {
        for (int64_t at = old[i], next; at != NONE; at = next) {
            next = t->messages[at].next;
            add_last(t, at);
        }
    }
    hy_free(old);
    return HY_OK;
}

static hy_status take_message(hy_message_table *t, int64_t *out) {
    if (t->n_buckets == 0) {
        t->spare = NONE;
        HY_TRY(set_buckets(t, BUCKETS));
    }
    if (t->spare != NONE) {
        *out = t->spare;
        t->spare = t->messages[*out].next;
        return HY_OK;
    }
    HY_TRY(HY_GROW("messages", t->n + 1, &t->limit, &t->messages));
    *out = t->n++;
    return HY_OK;
}

static bool find_other_side(hy_message_table *t, const hy_message_key *key, bool send, int64_t what, int64_t *out) {
    if (t->n_buckets == 0) {
        return false;
    }
    for (int64_t *link = link_at(t, key); *link != NONE; link = &t->messages[*link].next) {
        hy_message *m = &t->messages[*link];
        int64_t *side = send ? &m->send : &m->recv;
        if (is_same(&m->key, key)) {
            if (*side != NONE) {
                return false; /* others of this side wait already */
            }
            *side = what;
            *out = *link;
            *link = m->next;
            t->unmatched--;
            return true;
        }
    }
    return false;
}

hy_status hy_message_side(hy_message_table *t, const hy_message_key *key, bool send, int64_t what, int64_t *out) {
    if (find_other_side(t, key, send, what, out)) {
        return HY_OK;
    }
    HY_TRY(take_message(t, out));
    t->messages[*out] = (hy_message){.key = *key, .send = send ? what : NONE, .recv = send ? NONE : what};
    if (++t->unmatched > 2 * t->n_buckets) {
        HY_TRY(set_buckets(t, 4 * t->n_buckets));
    }
    add_last(t, *out);
    return HY_OK;
}

void hy_message_drop(hy_message_table *t, int64_t message) {
    t->messages[message].next = t->spare;
    t->spare = message;
}

void hy_message_clear(hy_message_table *t) {
    hy_free(t->messages);
    hy_free(t->buckets);
    *t = (hy_message_table){0};
}
