/* A stretch is what a state passes without leaving its node: it begins behind a fragment that lets nothing through, or where a state
 * enters the node, and one rank speaks for it: the one that has the fragment where it begins. The speaker takes what enters, sends it
 * to those of its node who read it, and sends on what leaves.
 *
 * Everything has a time. What a stretch that begins inside the node leaves is known at −1, before any message. A message goes at the
 * time after that at which its sender knows what it sends, and what it brings is known at its own. Blocks of a state follow each
 * other by 1. So at one time there are both ends of a message and nothing that waits for another of that time: whoever works off
 * times in order, those of a time together, waits for nobody in a circle. */
#include "sp/lists/relay_lists.h"

#include "sp/carve.h"
#include "sp/lists/state_lists.h"
#include "sp/state/segment_map.h"

enum { INSIDE = -1 /* the time of what needs no message */ };

static int64_t maps_max(const hy_layout_dims *dims, int node) {
    return node * dims->n_local;
}

int64_t hy_relay_messages_max(const hy_layout_dims *dims, int node) {
    return node < dims->size ? dims->n_local * (node + 1) : 0;
}

static int64_t hops_max(const hy_layout_dims *dims, int node) {
    return node < dims->size ? dims->n_local + 1 : 1;
}

size_t hy_relay_lists_bytes(const hy_layout_dims *dims, int node) {
    return hy_aligned((size_t)maps_max(dims, node) * sizeof(hy_fold_step)) +
           hy_aligned((size_t)hy_relay_messages_max(dims, node) * sizeof(hy_relay_message)) +
           hy_aligned((size_t)hops_max(dims, node) * sizeof(hy_relay_hop));
}

/* A walk over all fragments in the direction; what leaves the last one behind it: */
typedef struct relay_walk {
    const hy_layout *layout;
    int step, node;
    int64_t reach;
    int64_t before;  /* the last fragment, −1: none */
    int speaker;     /* of its stretch */
    int64_t known;   /* when the speaker knows it */
    bool wanted;     /* by this rank */
    int64_t entries; /* states that came into this rank's node so far and that it reads, but did not come to it */

    int64_t time; /* take steps of this hop; `any`: look for messages and hops instead */
    bool any;
    hy_relay_message *messages;
    hy_relay_hop *hops;
    hy_fold_step *steps;
    int64_t n_messages, n_hops, n_steps;
} relay_walk;

static const hy_fragment *fragment_of(const relay_walk *w, int64_t id) {
    return &w->layout->frags[id];
}

static int node_of(const relay_walk *w, int64_t id) {
    return fragment_of(w, id)->owner / w->node;
}

static bool is_near(const relay_walk *w, int64_t id) {
    return node_of(w, id) == w->layout->rank / w->node;
}

/* Of a fragment in this rank's node. */
static int64_t map_of(const relay_walk *w, int64_t id) {
    const hy_fragment *f = fragment_of(w, id);
    return f->owner % w->node * w->layout->n_local + f->slot;
}

/* Whether `rank`, in the same node, reads what leaves `id` in its stretch, or sends it on. */
static bool is_wanted(const relay_walk *w, int64_t id, int rank, int speaker) {
    for (int64_t next = id;; id = next) {
        next = hy_layout_neighbour(w->layout, id, w->step);
        const hy_fragment *f = next >= 0 ? fragment_of(w, next) : NULL;
        if (f == NULL || !hy_segment_enters(f, w->step)) {
            return false;
        }
        if (node_of(w, next) != rank / w->node) {
            return rank == speaker;
        }
        if (f->owner == rank) {
            return true;
        }
        if (!hy_segment_passes(f, w->reach)) {
            return false;
        }
    }
}

static void add_message(relay_walk *w, hy_relay_message message) {
    if (w->any) {
        w->messages[w->n_messages++] = message;
    }
}

/* Times of hops in order, each once. */
static void add_hop(relay_walk *w, int64_t time) {
    int64_t i = w->n_hops;
    while (i > 0 && w->hops[i - 1].time > time) {
        i--;
    }
    if (i > 0 && w->hops[i - 1].time == time) {
        return;
    }
    for (int64_t j = w->n_hops++; j > i; j--) {
        w->hops[j] = w->hops[j - 1];
    }
    w->hops[i] = (hy_relay_hop){.time = time};
}

static void add_step(relay_walk *w, int64_t time, hy_fold_step step) {
    if ((step.from < 0 || step.read < 0) && step.at < 0) {
        return;
    }
    if (w->any) {
        add_hop(w, time);
    } else if (time == w->time) {
        w->steps[w->n_steps++] = step;
    }
}

/* A state enters fragment `id` from another node: its owner gets it, then those of the node who read it. Returns where it is in this
 * rank's `in`, −1: nowhere. */
static int64_t enter_node(relay_walk *w, int64_t id) {
    const hy_fragment *f = fragment_of(w, id);
    const int rank = w->layout->rank, from = w->speaker, first = f->owner / w->node * w->node;
    const int64_t time = w->known + 1;
    int64_t at = f->owner == rank ? f->slot : -1;
    if (from == rank) {
        add_message(w, (hy_relay_message){.peer = f->owner,
                                          .sends = true,
                                          .left = true,
                                          .time = time,
                                          .at = map_of(w, w->before),
                                          .tag = 2 * f->slot});
    } else if (f->owner == rank) {
        add_message(w, (hy_relay_message){.peer = from, .time = time, .at = at, .tag = 2 * f->slot});
    }
    for (int to = first; to < first + w->node && to < w->layout->size && is_near(w, id); to++) {
        if (to == f->owner || (to != rank && f->owner != rank) || !is_wanted(w, w->before, to, f->owner)) {
            continue;
        }
        at = to == rank ? w->layout->n_local + w->entries++ : at;
        add_message(w, (hy_relay_message){.peer = to == rank ? f->owner : to,
                                          .sends = to != rank,
                                          .time = time + 1,
                                          .at = at,
                                          .tag = 2 * f->slot + 1});
    }
    w->known = time;
    w->speaker = f->owner;
    w->wanted = at >= 0;
    return at;
}

/* When this rank knows what passes: others of its node than the speaker a message later. */
static int64_t known_here(const relay_walk *w) {
    return w->known == INSIDE || w->speaker == w->layout->rank ? w->known : w->known + 1;
}

static void walk_fragment(relay_walk *w, int64_t id) {
    const hy_fragment *f = fragment_of(w, id);
    const bool enters = hy_segment_enters(f, w->step), passes = hy_segment_passes(f, w->reach),
               own = f->owner == w->layout->rank, near = is_near(w, id);
    const bool from_afar = enters && node_of(w, id) != node_of(w, w->before);
    const int64_t first = hy_layout_fragment_position(w->layout, f);
    hy_fold_step step = {.from = -1, .read = -1, .at = -1, .first = first, .end = first + f->len};
    if (from_afar) {
        step.read = enter_node(w, id);
    } else if (enters && near && w->wanted) {
        step.from = map_of(w, w->before);
        step.read = own ? f->slot : -1;
    }
    const int64_t time = known_here(w);
    if (!passes) {
        w->known = INSIDE;
        w->speaker = f->owner;
    }
    if (near && (!passes || own || from_afar)) {
        w->wanted = hy_segment_leaves(f, w->step) && is_wanted(w, id, w->layout->rank, w->speaker);
    }
    if (near && passes && w->wanted) {
        step.at = map_of(w, id);
    }
    if (near && enters) {
        add_step(w, time, step);
    }
    w->before = id;
}

static void walk_all(relay_walk *w) {
    w->before = -1;
    w->speaker = -1;
    w->known = INSIDE;
    w->wanted = false;
    w->entries = 0;
    int64_t id = hy_layout_neighbour(w->layout, w->step > 0 ? -1 : w->layout->n_frags, w->step);
    for (; id >= 0; id = hy_layout_neighbour(w->layout, id, w->step)) {
        walk_fragment(w, id);
    }
}

hy_relay_lists hy_relay_lists_build(hy_list_image *image, const hy_layout *layout, int step, int node, int64_t reach) {
    const hy_layout_dims dims = hy_layout_dims_of(layout);
    relay_walk w = {.layout = layout, .step = step, .node = node, .reach = reach, .any = true};
    w.steps = hy_list_image_take(image, (size_t)maps_max(&dims, node) * sizeof *w.steps);
    w.messages = hy_list_image_take(image, (size_t)hy_relay_messages_max(&dims, node) * sizeof *w.messages);
    w.hops = hy_list_image_take(image, (size_t)hops_max(&dims, node) * sizeof *w.hops);
    walk_all(&w);
    w.any = false;
    hy_relay_lists lists = {.messages = w.messages, .n_messages = w.n_messages, .hops = w.hops, .n_hops = w.n_hops};
    lists.end = INSIDE;
    for (int64_t i = 0; i < w.n_hops; i++) {
        const int64_t first = w.n_steps;
        w.time = w.hops[i].time;
        walk_all(&w);
        w.hops[i].fold = hy_fold_list_of(image, w.steps + first, w.n_steps - first);
        lists.end = w.time + 1;
    }
    for (int64_t i = 0; i < w.n_messages; i++) {
        lists.end = w.messages[i].time >= lists.end ? w.messages[i].time + 1 : lists.end;
    }
    return lists;
}
