#include "comm/network.h"

#include <string.h>

#include "base/memory.h"
#include "base/time_queue.h"

/* What a message flows through: ports of ranks, out and in, by level; uplinks of nodes and trunks of switches, up and down. */
enum { OUT, IN, SIDES, LINKS = 3 * SIDES, NONE = -1 };

/* A message. Before its latency is over it is on no link. */
typedef struct flow {
    int64_t id, version, next_spare;
    double left, rate, since; /* bytes, as of `since` */
    int link[LINKS], n_links;
    int64_t next[LINKS], before[LINKS]; /* of the same link */
    bool flows;
} flow;

typedef struct link {
    double capacity;
    int64_t first, n;
    bool changed; /* what flows through it has become more or less, and rates are still those of before */
} link_state;

struct hy_network {
    hy_network_shape shape;
    int ranks, node, nodes, leaf, switches; /* node: ranks of one; leaf: nodes of one */
    link_state *links;
    flow *flows;
    int64_t n_flows, limit, spare;
    int *changed; /* [n_changed] links, room for all */
    int n_changed;
    double now;           /* when they changed */
    hy_time_queue events; /* of messages: the end of their latency, their arrival */
};

/* Into parts of `each`, all in one with 0. */
static int parts_of(int all, int *each) {
    *each = *each > 0 && *each < all ? *each : all;
    return (all + *each - 1) / *each;
}

static void count_parts(hy_network *n) {
    n->node = n->shape.node;
    n->leaf = n->shape.leaf;
    n->nodes = parts_of(n->ranks, &n->node);
    n->switches = parts_of(n->nodes, &n->leaf) * (n->shape.rails ? n->node : 1);
}

static int switch_of(const hy_network *n, int rank) {
    const int leaf = rank / n->node / n->leaf;
    return n->shape.rails ? leaf * n->node + rank % n->node : leaf;
}

static int port(const hy_network *n, int level, int side, int rank) {
    return (level * SIDES + side) * n->ranks + rank;
}

static int uplink(const hy_network *n, int side, int node) {
    return HY_LEVELS * SIDES * n->ranks + side * n->nodes + node;
}

static int trunk(const hy_network *n, int side, int leaf_switch) {
    return HY_LEVELS * SIDES * n->ranks + SIDES * n->nodes + side * n->switches + leaf_switch;
}

hy_status hy_network_create(const hy_network_shape *shape, int ranks, hy_network **out) {
    hy_network *n = NULL;
    HY_TRY(HY_NEW("simulated network", 1, &n));
    *n = (hy_network){.shape = *shape, .ranks = ranks, .spare = NONE};
    count_parts(n);
    const int ports = HY_LEVELS * SIDES * ranks, trunks = ports + SIDES * n->nodes,
              links = trunks + SIDES * n->switches;
    hy_status status = HY_NEW("simulated links", links, &n->links);
    status = status == HY_OK ? HY_NEW("links that changed", links, &n->changed) : status;
    if (status != HY_OK) {
        hy_network_destroy(n);
        return status;
    }
    for (int i = 0; i < links; i++) {
        n->links[i] = (link_state){.capacity = i >= trunks         ? shape->trunk
                                               : i >= ports        ? shape->uplink
                                               : i < SIDES * ranks ? shape->bandwidth[HY_NEAR]
                                                                   : shape->bandwidth[HY_FAR],
                                   .first = NONE};
    }
    *out = n;
    return HY_OK;
}

void hy_network_destroy(hy_network *n) {
    if (n != NULL) {
        hy_time_queue_clear(&n->events);
        hy_free(n->flows);
        hy_free(n->changed);
        hy_free(n->links);
        hy_free(n);
    }
}

/* ---- messages ---- */

static hy_status take_flow(hy_network *n, int64_t *out) {
    if (n->spare != NONE) {
        *out = n->spare;
        n->spare = n->flows[*out].next_spare;
        return HY_OK;
    }
    HY_TRY(HY_GROW("messages", n->n_flows + 1, &n->limit, &n->flows));
    *out = n->n_flows++;
    return HY_OK;
}

static int level_of(const hy_network *n, int from, int to) {
    return from / n->node == to / n->node ? HY_NEAR : HY_FAR;
}

static void find_links(const hy_network *n, int from, int to, flow *f) {
    const int level = level_of(n, from, to), leaves = switch_of(n, from), enters = switch_of(n, to);
    f->n_links = 0;
    f->link[f->n_links++] = port(n, level, OUT, from);
    f->link[f->n_links++] = port(n, level, IN, to);
    if (level == HY_FAR && n->shape.uplink > 0) {
        f->link[f->n_links++] = uplink(n, OUT, from / n->node);
        f->link[f->n_links++] = uplink(n, IN, to / n->node);
    }
    if (level == HY_FAR && leaves != enters && n->shape.trunk > 0) {
        f->link[f->n_links++] = trunk(n, OUT, leaves);
        f->link[f->n_links++] = trunk(n, IN, enters);
    }
}

static double latency_of(const hy_network *n, int from, int to) {
    const int level = level_of(n, from, to);
    const bool switched = level == HY_FAR && switch_of(n, from) != switch_of(n, to);
    return from == to ? 0.0 : n->shape.latency[level] + (switched ? n->shape.trunk_latency : 0.0);
}

hy_status hy_network_send(hy_network *n, double now, int from, int to, int64_t bytes, int64_t id) {
    int64_t at = NONE;
    HY_TRY(take_flow(n, &at));
    flow *f = &n->flows[at];
    const int64_t version = f->version;
    *f = (flow){.id = id, .version = version + 1, .left = from == to ? 0.0 : (double)bytes};
    find_links(n, from, to, f);
    return hy_time_queue_add(&n->events, now + latency_of(n, from, to), at, f->version);
}

/* ---- shares ---- */

/* What has flowed at the rate so far. */
static void settle(flow *f, double now) {
    f->left -= f->rate * (now - f->since);
    f->left = f->left > 0 ? f->left : 0;
    f->since = now;
}

static hy_status set_rate(hy_network *n, int64_t at, double now) {
    flow *f = &n->flows[at];
    double rate = 0;
    for (int i = 0; i < f->n_links; i++) {
        const link_state *l = &n->links[f->link[i]];
        const double share = l->capacity / (double)l->n;
        rate = i == 0 || share < rate ? share : rate;
    }
    if (rate == f->rate) {
        return HY_OK;
    }
    settle(f, now);
    f->rate = rate;
    return hy_time_queue_add(&n->events, now + f->left / rate, at, ++f->version);
}

static int place_on(const flow *f, int link) {
    int place = 0;
    while (f->link[place] != link) {
        place++;
    }
    return place;
}

/* Rates follow once for all that begins and ends at one time: the thousand messages of an all-gather do not each set those of all others. */
static void mark_changed(hy_network *n, const flow *f, double now) {
    n->now = now;
    for (int i = 0; i < f->n_links; i++) {
        if (!n->links[f->link[i]].changed) {
            n->links[f->link[i]].changed = true;
            n->changed[n->n_changed++] = f->link[i];
        }
    }
}

static hy_status set_changed_rates(hy_network *n) {
    while (n->n_changed > 0) {
        const int link = n->changed[--n->n_changed];
        n->links[link].changed = false;
        for (int64_t at = n->links[link].first; at != NONE; at = n->flows[at].next[place_on(&n->flows[at], link)]) {
            HY_TRY(set_rate(n, at, n->now));
        }
    }
    return HY_OK;
}

static void enter_links(hy_network *n, int64_t at) {
    flow *f = &n->flows[at];
    for (int i = 0; i < f->n_links; i++) {
        link_state *l = &n->links[f->link[i]];
        f->next[i] = l->first;
        f->before[i] = NONE;
        if (l->first != NONE) {
            flow *second = &n->flows[l->first];
            second->before[place_on(second, f->link[i])] = at;
        }
        l->first = at;
        l->n++;
    }
}

static void leave_links(hy_network *n, int64_t at) {
    const flow *f = &n->flows[at];
    for (int i = 0; i < f->n_links; i++) {
        link_state *l = &n->links[f->link[i]];
        const int64_t next = f->next[i], before = f->before[i];
        if (before == NONE) {
            l->first = next;
        } else {
            flow *b = &n->flows[before];
            b->next[place_on(b, f->link[i])] = next;
        }
        if (next != NONE) {
            flow *a = &n->flows[next];
            a->before[place_on(a, f->link[i])] = before;
        }
        l->n--;
    }
}

/* ---- events ---- */

/* Its latency is over: what it has to move begins to flow. */
static void begin_to_flow(hy_network *n, int64_t at, double now) {
    n->flows[at].flows = true;
    n->flows[at].since = now;
    enter_links(n, at);
    mark_changed(n, &n->flows[at], now);
}

static void end_flow(hy_network *n, int64_t at, double now) {
    flow *f = &n->flows[at];
    f->version++;
    f->next_spare = n->spare;
    n->spare = at;
    if (f->flows) {
        leave_links(n, at);
        f->flows = false;
        mark_changed(n, f, now);
    }
}

static const hy_time_entry *next_event(hy_network *n) {
    const hy_time_entry *e;
    while ((e = hy_time_queue_first(&n->events)) != NULL && e->version != n->flows[e->what].version) {
        hy_time_queue_drop_first(&n->events);
    }
    return e;
}

hy_status hy_network_next(hy_network *n, bool *moves, double *when) {
    const hy_time_entry *e = next_event(n);
    if (n->n_changed > 0 && (e == NULL || e->when > n->now)) { /* time goes on */
        HY_TRY(set_changed_rates(n));
        e = next_event(n);
    }
    *moves = e != NULL;
    *when = e != NULL ? e->when : 0.0;
    return HY_OK;
}

int64_t hy_network_go_on(hy_network *n) {
    const hy_time_entry e = *hy_time_queue_first(&n->events);
    const flow *f = &n->flows[e.what];
    hy_time_queue_drop_first(&n->events);
    if (!f->flows && f->left > 0) {
        begin_to_flow(n, e.what, e.when);
        return NONE;
    }
    const int64_t arrived = f->id;
    end_flow(n, e.what, e.when);
    return arrived;
}
