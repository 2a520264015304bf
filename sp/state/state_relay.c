/* Exchanges in which maps are gathered inside nodes and states pass from node to node: all-gather (one node), ring and chain (every rank a
 * node of its own), hierarchical. What is folded and sent, and in which order, is in the lists (relay_lists.c): the layout's alone, the
 * same on every rank and whenever messages arrive. What no fragment reads is not sent.
 *
 * Blocks: maps do not mix columns of a state (A·S + H), so each is folded and passed on by itself while the next one is on its way (ZeCO,
 * Chou et al. 2025, for a gate per key; here for every A, which never leaves a node).
 *
 * Backward gathers A again, with dH: kept from forward, a node's maps would grow with its ranks in every layer. */
#include "sp/lists/relay_lists.h"
#include "sp/state/state_exchange.h"

enum { TAG_STATE = 1000 };

/* ---- shape ---- */

/* Rows of what passes, whose columns are cut. */
static int64_t rows_of(const hy_state_pass *pass) {
    return hy_segment_elements(&pass->shape) / (pass->shape.V > 0 ? pass->shape.V : 1);
}

static int64_t column_of(const hy_state_pass *pass, int64_t block) {
    return block * pass->shape.V / pass->n_blocks;
}

static int64_t columns_of(const hy_state_pass *pass, int64_t block) {
    return column_of(pass, block + 1) - column_of(pass, block);
}

static size_t stat_bytes(const hy_state_pass *pass, int64_t elements) {
    return (size_t)elements * hy_role_size(pass->sp->profile->dtype, HY_ROLE_STAT);
}

/* Where state `at` of n has a block, in an array of blocks. */
static size_t place_of(const hy_state_pass *pass, int64_t n, int64_t at, int64_t block) {
    return stat_bytes(pass, rows_of(pass) * (n * column_of(pass, block) + at * columns_of(pass, block)));
}

static size_t block_bytes(const hy_state_pass *pass, int64_t block) {
    return stat_bytes(pass, rows_of(pass) * columns_of(pass, block));
}

static char *incoming_at(const hy_state_pass *pass, int64_t at, int64_t block) {
    return pass->states + place_of(pass, pass->n_in, at, block);
}

/* Map `at` of the node. */
static char *map_at(const hy_state_pass *pass, int64_t at, int64_t block) {
    const int64_t n_local = pass->sp->layout->n_local;
    return pass->H + (size_t)(at / n_local) * pass->rank_bytes + place_of(pass, n_local, at % n_local, block);
}

static int64_t blocks_of(const hy_state_pass *pass) {
    const int64_t least = pass->sp->method.block > 0 ? pass->sp->method.block : HY_STATE_BLOCK;
    const int64_t n = pass->row->in_blocks ? (int64_t)pass->shape.h_bytes / least : 1;
    const int64_t most = pass->shape.V < HY_STATE_BLOCKS ? pass->shape.V : HY_STATE_BLOCKS;
    return n > most && most > 0 ? most : n > 1 ? n : 1;
}

static int node_begin(const hy_state_pass *pass) {
    return pass->sp->layout->rank - pass->node_rank;
}

/* ---- scratch ---- */

static const hy_relay_lists *relay_of(const hy_state_pass *pass) {
    return &pass->lists->relays[pass->step > 0 ? 0 : 1];
}

/* Whether this rank receives at a time, of some block. */
static bool relay_receives(const hy_state_pass *pass, int64_t time) {
    const hy_relay_lists *relay = relay_of(pass);
    for (int64_t i = 0; i < relay->n_messages; i++) {
        const hy_relay_message *m = &relay->messages[i];
        if (!m->sends && m->time <= time && time < m->time + pass->n_blocks) {
            return true;
        }
    }
    return false;
}

static int64_t relay_last(const hy_state_pass *pass) {
    return relay_of(pass)->end + pass->n_blocks - 2;
}

static void relay_cut(hy_state_pass *pass, const hy_layout_dims *dims, hy_carve *work) {
    const bool several = pass->node > 1, passes = pass->node < dims->size;
    const size_t own_A = several ? hy_aligned((size_t)dims->n_local * pass->shape.a_bytes) : 0;
    pass->rank_bytes = own_A + hy_aligned((size_t)dims->n_local * pass->shape.h_bytes);
    pass->message = hy_carve_take(work, (size_t)pass->node * pass->rank_bytes);
    pass->node_A =
        several ? hy_carve_take(work, (size_t)pass->node * (size_t)dims->n_local * pass->shape.a_bytes) : NULL;
    pass->n_in = several && passes ? 2 * dims->n_local : dims->n_local;
    pass->states = NULL;
    if (pass->n_blocks > 1 || pass->n_in > dims->n_local) {
        pass->states = hy_carve_take(work, (size_t)pass->n_in * pass->shape.h_bytes);
    }
    pass->own_H = NULL;
    if (pass->n_blocks > 1) {
        pass->own_H = hy_carve_take(work, (size_t)dims->n_local * pass->shape.h_bytes);
    }
    if (work->base) {
        const bool together = several && !passes && pass->n_blocks == 1 && pass->step > 0 && !pass->sp->carries &&
                              pass->in == pass->own_A + own_A; /* `in` holds what is carried already */
        pass->H = pass->message + own_A;
        pass->own = together ? pass->own_A : pass->message + (size_t)pass->node_rank * pass->rank_bytes;
        pass->own_H = together ? pass->in : pass->own_H ? pass->own_H : pass->own + own_A;
        pass->node_A = several ? pass->node_A : pass->own_A;
        pass->states = pass->states ? pass->states : pass->in;
    }
}

/* Whether no document crosses a cut: a gather would bring what nobody reads. All ranks see the same. */
static bool nothing_enters(const hy_layout *layout, int step) {
    for (int64_t id = 0; id < layout->n_frags; id++) {
        if (hy_segment_enters(&layout->frags[id], step)) {
            return false;
        }
    }
    return true;
}

/* Ranks of a node. Where no fragment lets a state pass, neighbours alone have to do with each other: nobody gathers anything. */
static int node_ranks(const hy_state_row *row, const hy_sp_method *method, const hy_layout_dims *dims, int64_t reach) {
    return reach > 0 && reach <= dims->frag_min ? 1 : row->node(method, dims->size);
}

static void relay_open(hy_state_pass *pass, const hy_layout_dims *dims, hy_carve *work) {
    const int node = node_ranks(pass->row, &pass->sp->method, dims, pass->reach), first = dims->rank / node * node;
    pass->node = node < dims->size - first ? node : dims->size - first;
    pass->node_rank = dims->rank - first;
    pass->n_blocks =
        node < dims->size || dims->cuts.fixed > 0 ? blocks_of(pass) : 1; /* fixed: on any number of ranks */
    relay_cut(pass, dims, work);
    pass->gathered = pass->node == 1 || (work->base && nothing_enters(pass->sp->layout, pass->step));
    pass->time = -1;
}

/* ---- inside a node ---- */

static void copy_matrix(const hy_state_pass *pass, int64_t rows, int64_t cols, const void *from, int64_t src_ld,
                        void *to, int64_t dst_ld) {
    hy_copy2d(pass->sp->device, &(hy_copy2d_args){.rows = rows,
                                                  .cols = cols,
                                                  .src_ld = src_ld,
                                                  .dst_ld = dst_ld,
                                                  .src = from,
                                                  .dst = to,
                                                  .from = HY_ROLE_STAT,
                                                  .to = HY_ROLE_STAT});
}

static int64_t own_A_elements(const hy_state_pass *pass) {
    return pass->sp->layout->n_local * pass->shape.HV * pass->shape.a_size;
}

static void gather_post(hy_state_pass *pass) {
    hy_comm *comm = pass->sp->comm;
    const char *name = hy_state_pass_name(pass);
    const int64_t n = own_A_elements(pass);
    if (pass->own != pass->own_A) {
        copy_matrix(pass, 1, n, pass->own_A, n, pass->own, n);
    }
    if (pass->node == pass->sp->layout->size) {
        hy_comm_all_gather(comm, name, pass->own, pass->message, pass->rank_bytes, pass->requests);
        return;
    }
    hy_comm_group_begin(comm);
    for (int i = 0; i < pass->node; i++) {
        if (i != pass->node_rank) {
            const int peer = node_begin(pass) + i;
            hy_comm_send(comm, name, pass->own, pass->rank_bytes, peer, TAG_STATE, &pass->requests[2 * i + 1]);
            hy_comm_recv(comm, name, pass->message + (size_t)i * pass->rank_bytes, pass->rank_bytes, peer, TAG_STATE,
                         &pass->requests[2 * i]);
        }
    }
    hy_comm_group_end(comm);
}

static bool requests_done(hy_req *requests, int64_t n, bool wait) {
    for (int64_t i = 0; i < n; i++) {
        if (wait) {
            hy_comm_wait(&requests[i]);
        } else if (!hy_comm_test(&requests[i])) {
            return false;
        }
    }
    return true;
}

static void gather_damage(hy_state_pass *pass) {
    const hy_layout *layout = pass->sp->layout;
    for (int64_t id = 0; pass->sp->broken && id < layout->n_frags; id++) {
        const hy_fragment *f = &layout->frags[id];
        const int at = f->owner - node_begin(pass);
        if (f->owner == layout->rank || at < 0 || at >= pass->node || !hy_segment_leaves(f, pass->step)) {
            continue;
        }
        for (int64_t block = 0; block < pass->n_blocks; block++) {
            hy_state_damage(pass, map_at(pass, at * layout->n_local + f->slot, block),
                            rows_of(pass) * columns_of(pass, block));
        }
    }
}

/* Maps of the node are there: their A side by side. */
static bool gather_done(hy_state_pass *pass, bool wait) {
    if (!pass->gathered && requests_done(pass->requests, 2 * (int64_t)pass->node, wait)) {
        const int64_t n = own_A_elements(pass);
        copy_matrix(pass, pass->node, n, pass->message, (int64_t)(pass->rank_bytes / stat_bytes(pass, 1)), pass->node_A,
                    n);
        gather_damage(pass);
        pass->gathered = true;
    }
    return pass->gathered;
}

/* ---- between nodes ---- */

static hy_req *message_requests(const hy_state_pass *pass, int64_t i) {
    return pass->requests + 2 * (int64_t)pass->node + i * HY_STATE_BLOCKS;
}

static void post_message(hy_state_pass *pass, int64_t i, int64_t block) {
    const hy_relay_message *m = &relay_of(pass)->messages[i];
    const char *name = hy_state_pass_name(pass);
    const size_t bytes = block_bytes(pass, block);
    const int tag = TAG_STATE + 1 + (int)m->tag;
    hy_req *req = message_requests(pass, i) + block;
    if (m->sends) {
        const char *state = m->left ? map_at(pass, m->at, block) : incoming_at(pass, m->at, block);
        hy_comm_send(pass->sp->comm, name, state, bytes, m->peer, tag, req);
    } else {
        hy_comm_recv(pass->sp->comm, name, incoming_at(pass, m->at, block), bytes, m->peer, tag, req);
    }
}

/* All messages of a time, sends first (comm.h). */
static void relay_post_time(hy_state_pass *pass) {
    const hy_relay_lists *relay = relay_of(pass);
    hy_comm_group_begin(pass->sp->comm);
    for (int receiving = 0; receiving < 2; receiving++) {
        for (int64_t i = 0; i < relay->n_messages; i++) {
            const int64_t block = pass->time - relay->messages[i].time;
            if (block >= 0 && block < pass->n_blocks && relay->messages[i].sends != (receiving == 1)) {
                post_message(pass, i, block);
            }
        }
    }
    hy_comm_group_end(pass->sp->comm);
}

/* Whether all that is received at this time is there. */
static bool relay_arrived(hy_state_pass *pass, bool wait) {
    const hy_relay_lists *relay = relay_of(pass);
    for (int64_t i = 0; i < relay->n_messages; i++) {
        const hy_relay_message *m = &relay->messages[i];
        const int64_t block = pass->time - m->time;
        if (m->sends || block < 0 || block >= pass->n_blocks) {
            continue;
        }
        if (!requests_done(message_requests(pass, i) + block, 1, wait)) {
            return false;
        }
    }
    return true;
}

static void relay_damage(hy_state_pass *pass) {
    const hy_relay_lists *relay = relay_of(pass);
    for (int64_t i = 0; pass->sp->broken && i < relay->n_messages; i++) {
        const hy_relay_message *m = &relay->messages[i];
        const int64_t block = pass->time - m->time;
        if (!m->sends && block >= 0 && block < pass->n_blocks) {
            hy_state_damage(pass, incoming_at(pass, m->at, block), rows_of(pass) * columns_of(pass, block));
        }
    }
}

/* What is known at this time, so what goes at the next one. */
static void relay_fold(hy_state_pass *pass) {
    const hy_relay_lists *relay = relay_of(pass);
    for (int64_t i = 0; i < relay->n_hops; i++) {
        const int64_t block = pass->time - relay->hops[i].time;
        if (block < 0 || block >= pass->n_blocks) {
            continue;
        }
        hy_segment_maps maps = {.shape = pass->shape,
                                .A = pass->node_A,
                                .H = map_at(pass, 0, block),
                                .group = pass->sp->layout->n_local,
                                .group_ld = (int64_t)(pass->rank_bytes / stat_bytes(pass, 1))};
        maps.shape.V = columns_of(pass, block);
        hy_segment_fold(pass->sp->device, &relay->hops[i].fold, pass->step, &maps, incoming_at(pass, 0, block));
    }
}

static void relay_step(hy_state_pass *pass) {
    relay_fold(pass);
    pass->time++;
    relay_post_time(pass);
}

/* To the next time at which something comes here: all that waits for nothing. */
static void step_to_receipt(hy_state_pass *pass) {
    while (pass->time <= relay_last(pass) && !relay_receives(pass, pass->time)) {
        relay_step(pass);
    }
}

/* ---- the exchange ---- */

/* Columns of whole states to blocks, or back: of n own fragments from the first-th on. */
static void cut_columns(hy_state_pass *pass, bool back, int64_t first, int64_t n) {
    const int64_t V = pass->shape.V, n_local = pass->sp->layout->n_local, rows = rows_of(pass);
    char *blocks = back ? pass->states : map_at(pass, pass->node_rank * n_local, 0);
    for (int64_t block = 0; block < pass->n_blocks; block++) {
        const int64_t cols = columns_of(pass, block);
        char *whole = (back ? pass->in : pass->own_H) + stat_bytes(pass, first * rows * V + column_of(pass, block));
        char *cut =
            blocks + place_of(pass, back ? pass->n_in : n_local, 0, block) + stat_bytes(pass, first * rows * cols);
        copy_matrix(pass, n * rows, cols, back ? cut : whole, back ? cols : V, back ? whole : cut, back ? V : cols);
    }
}

/* What came into `in`: of fragments that nothing enters it may hold what is carried. */
static void deliver_states(hy_state_pass *pass) {
    const hy_layout *layout = pass->sp->layout;
    if (!pass->sp->carries) {
        cut_columns(pass, true, 0, layout->n_local);
        return;
    }
    for (int64_t slot = 0; slot < layout->n_local; slot++) {
        if (hy_segment_enters(&layout->frags[layout->local[slot]], pass->step)) {
            cut_columns(pass, true, slot, 1);
        }
    }
}

static void relay_post(hy_state_pass *pass) {
    if (pass->n_blocks > 1) {
        cut_columns(pass, false, 0, pass->sp->layout->n_local);
    }
    if (!pass->gathered) {
        gather_post(pass);
        return;
    }
    step_to_receipt(pass);
}

static bool relay_posts_later(const hy_state_pass *pass) {
    const hy_relay_lists *relay = relay_of(pass);
    int64_t i = 0;
    while (i < relay->n_messages && relay->messages[i].time + pass->n_blocks - 1 <= pass->time) {
        i++;
    }
    return i < relay->n_messages;
}

/* Time after time. */
static void relay_move_on(hy_state_pass *pass, hy_state_move move) {
    const bool wait = move != HY_MOVE_WHAT_CAME;
    if (!pass->gathered) {
        if (!gather_done(pass, wait)) {
            return;
        }
        step_to_receipt(pass);
        if (move == HY_MOVE_ONE) {
            return;
        }
    }
    while (pass->time <= relay_last(pass) && relay_arrived(pass, wait)) {
        relay_damage(pass);
        relay_step(pass);
        step_to_receipt(pass);
        if (move == HY_MOVE_ONE) {
            return;
        }
    }
}

static void relay_finish(hy_state_pass *pass) {
    for (int64_t i = 0; i < relay_of(pass)->n_messages; i++) {
        hy_comm_wait_all(message_requests(pass, i), pass->n_blocks);
    }
    if (pass->states != pass->in) {
        deliver_states(pass);
    }
}

static int all_ranks(const hy_sp_method *method, int size) {
    (void)method;
    return size;
}

static int one_rank(const hy_sp_method *method, int size) {
    (void)method;
    (void)size;
    return 1;
}

static size_t relay_lists_bytes(const hy_layout_dims *dims, const hy_sp_method *method, int64_t reach) {
    return 2 * hy_relay_lists_bytes(dims, node_ranks(hy_state_row_of(method->state), method, dims, reach));
}

static int64_t relay_requests(const hy_layout_dims *dims, const hy_sp_method *method, int64_t reach) {
    const int node = node_ranks(hy_state_row_of(method->state), method, dims, reach);
    return 2 * (int64_t)node + hy_relay_messages_max(dims, node) * HY_STATE_BLOCKS;
}

static void relay_build_lists(hy_list_image *image, const hy_layout *layout, const hy_sp_method *method, int64_t reach,
                              hy_state_lists *out) {
    const int node = node_ranks(hy_state_row_of(method->state), method, &layout->dims, reach);
    for (int i = 0; i < 2; i++) {
        out->relays[i] = hy_relay_lists_build(image, layout, i == 0 ? 1 : -1, node, reach);
    }
}

#define RELAY                                                                                                          \
    .lists_bytes = relay_lists_bytes, .requests = relay_requests, .build = relay_build_lists, .open = relay_open,      \
    .post = relay_post, .posts_later = relay_posts_later, .move_on = relay_move_on, .finish = relay_finish
const hy_state_row hy_state_row_allgather = {.title = "state all-gather", .node = all_ranks, RELAY};
const hy_state_row hy_state_row_ring = {.title = "state ring", .node = one_rank, RELAY};
const hy_state_row hy_state_row_chain = {.title = "state chain", .node = one_rank, .in_blocks = true, RELAY};
const hy_state_row hy_state_row_hierarchical = {
    .title = "state node chain", .node = hy_sp_node_ranks, .in_blocks = true, RELAY};
