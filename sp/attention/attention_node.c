/* Attention among ranks of which some are near each other (parallel.node): a block of keys and values enters a node once and is passed on
 * inside it. Own rows go around the node as in the ring. Then stage by stage those of another node come: of a node of d before, each
 * rank takes in the rows of the rank with its own place, all that anybody in its node sees of them, and they go around the node from
 * there, to each rank what it sees. The next stage's rows travel between nodes meanwhile. In backward gradients come together
 * where the rows were taken in, in order of places, and leave the node once.
 *
 * Nodes need not be equal: a rank of a smaller one takes in the rows of several, in as many rounds; a stage is a distance and a round. All
 * ranks go through stages and hops in one order, so that a transport that runs posts strictly in order cannot lock up.
 *
 * Source: two levels of rings as in DoubleRing (LoongTrain: Gu et al. 2024), pairwise here. */
#include "sp/attention/attention_move.h"

/* ---- who takes in whose rows ---- */

typedef struct node_map {
    int size, node;  /* ranks of all, of a node that is not the last */
    int nodes, mine; /* nodes; this rank's */
    int n, place;    /* ranks of this rank's node; its own place in it */
    int stages, rounds;
} node_map;

/* Ranks of node i. */
static hy_ranks ranks_of_node(const node_map *m, int i) {
    const int first = i * m->node, left = m->size - first;
    return (hy_ranks){first, left < m->node ? left : m->node};
}

static node_map node_map_of(const hy_sp_method *method, int size, int rank) {
    node_map m = {.size = size, .node = hy_sp_node_ranks(method, size)};
    m.nodes = (size + m.node - 1) / m.node;
    m.mine = rank / m.node;
    m.n = ranks_of_node(&m, m.mine).n;
    m.place = rank % m.node;
    const int last = ranks_of_node(&m, m.nodes - 1).n;
    m.rounds = (m.node + last - 1) / last;
    m.stages = (m.nodes - 1) * m.rounds;
    return m;
}

/* Whose rows the rank at a place of this rank's node takes in; −1: nobody's. */
static int owner_at(const node_map *m, int stage, int place) {
    const int before = (m->mine - 1 - stage / m->rounds + m->nodes) % m->nodes;
    const hy_ranks owners = ranks_of_node(m, before);
    const int i = place + stage % m->rounds * m->n;
    return i < owners.n ? owners.first + i : -1;
}

/* The rank that takes in this rank's rows; −1: none at this stage. */
static int taker_at(const node_map *m, int stage) {
    const hy_ranks takers = ranks_of_node(m, (m->mine + 1 + stage / m->rounds) % m->nodes);
    return m->place / takers.n == stage % m->rounds ? takers.first + m->place % takers.n : -1;
}

/* ---- lists: the own keys; those of this node; per stage what it takes in, the own part of that, and what others of this node took in ---- */

static int64_t pieces_seen(const hy_attn_builder *b, int owner, hy_ranks readers, hy_kv_piece *pieces) {
    return owner < 0 ? 0 : hy_kv_pieces(b->layout, owner, readers, b->lists->need.window, pieces);
}

/* Some of `owner`'s rows, by where they lie among all that this node took in of it. */
static void place_in_taken(hy_attn_builder *b, const node_map *m, int owner, hy_kv_piece *pieces, int64_t n) {
    const hy_kv_piece *taken = b->lists->pieces + b->layout->n_local;
    pieces_seen(b, owner, ranks_of_node(m, m->mine), b->lists->pieces + b->layout->n_local);
    for (int64_t i = 0; i < n; i++) {
        while (taken->begin + taken->rows <= pieces[i].begin) {
            taken++;
        }
        pieces[i].local = taken->at + pieces[i].begin - taken->begin;
    }
}

static void build_across(hy_attn_builder *b, const node_map *m, int stage) {
    hy_kv_piece *pieces = b->lists->pieces;
    const int owner = owner_at(m, stage, m->place), taker = taker_at(m, stage);
    hy_attn_hop_begin(b);
    hy_attn_hop_in(b, owner, pieces, pieces_seen(b, owner, ranks_of_node(m, m->mine), pieces));
    const hy_ranks readers = ranks_of_node(m, taker < 0 ? 0 : taker / m->node);
    hy_attn_hop_out(b, taker, pieces, taker < 0 ? 0 : pieces_seen(b, b->layout->rank, readers, pieces));
}

static void build_taken(hy_attn_builder *b, const node_map *m, int stage) {
    hy_kv_piece *pieces = b->lists->pieces;
    const int owner = owner_at(m, stage, m->place);
    const int64_t n = pieces_seen(b, owner, (hy_ranks){b->layout->rank, 1}, pieces);
    place_in_taken(b, m, owner, pieces, n);
    for (int64_t i = 0; i < n; i++) {
        pieces[i].at = pieces[i].local;
    }
    hy_attn_hop_begin(b);
    hy_attn_hop_keys(b, pieces, n);
}

/* A hop around this node, of own rows or (stage ≥ 0) of those taken in. */
static void build_inside(hy_attn_builder *b, const node_map *m, int stage, int h) {
    hy_kv_piece *pieces = b->lists->pieces;
    const int rank = b->layout->rank, first = m->mine * m->node;
    const int before = (m->place - h + m->n) % m->n, after = (m->place + h) % m->n;
    hy_attn_hop_begin(b);
    const int64_t n_in =
        pieces_seen(b, stage < 0 ? first + before : owner_at(m, stage, before), (hy_ranks){rank, 1}, pieces);
    hy_attn_hop_in(b, first + before, pieces, n_in);
    hy_attn_hop_keys(b, pieces, n_in);
    const int owner = stage < 0 ? rank : owner_at(m, stage, m->place);
    const int64_t n_out = pieces_seen(b, owner, (hy_ranks){first + after, 1}, pieces);
    if (stage >= 0) {
        place_in_taken(b, m, owner, pieces, n_out);
    }
    hy_attn_hop_out(b, first + after, pieces, n_out);
}

static void node_build(hy_attn_builder *b) {
    const node_map m = node_map_of(&b->lists->method, b->layout->size, b->layout->rank);
    for (int stage = -1; stage < m.stages; stage++) {
        if (stage >= 0) {
            build_across(b, &m, stage);
            build_taken(b, &m, stage);
        }
        for (int h = 1; h < m.n; h++) {
            build_inside(b, &m, stage, h);
        }
    }
}

static hy_attn_others node_others(const hy_sp_method *method, const hy_layout_dims *dims) {
    const node_map m = node_map_of(method, dims->size, dims->rank);
    return (hy_attn_others){.hops = m.n - 1 + (int64_t)m.stages * (m.n + 1),
                            .out = (m.n - 1 + (int64_t)m.stages * m.n) * dims->n_local,
                            .requests = 2 * HY_ATTN_MOVE_REQUESTS};
}

/* ---- a call ---- */

static void node_cut(const hy_sp *sp, const hy_layout_dims *dims, const hy_sp_attn *shape, hy_carve *work,
                     hy_attn_scratch *s) {
    const node_map m = node_map_of(&sp->method, dims->size, dims->rank);
    const int64_t rows = hy_kv_rows_max(dims, shape->window);
    hy_attn_way_cut(sp, shape, m.n > 1 ? rows : 0, work, &s->way);
    hy_attn_way_cut(sp, shape, m.stages > 0 ? rows : 0, work, &s->across);
}

/* The first hop of a stage: across, taken, then those inside. */
static const hy_attn_hop *hops_of_stage(const hy_attn_call *c, const node_map *m, int stage) {
    return c->lists->hops + m->n + (int64_t)stage * (m->n + 1);
}

static hy_attn_move across_move(const hy_attn_call *c, const node_map *m, int stage) {
    const hy_kv_rows own = hy_attn_own_rows(c);
    hy_attn_move x = hy_attn_way_move(c, &c->s.across, hops_of_stage(c, m, stage), stage & 1, &own,
                                      c->lists->reqs + HY_ATTN_MOVE_REQUESTS);
    x.name[0] = "attention K,V between nodes";
    x.name[1] = "attention dK,dV between nodes";
    return x;
}

static void post_across(hy_attn_call *c, const node_map *m, int stage) {
    if (stage < m->stages) {
        const hy_attn_move x = across_move(c, m, stage);
        hy_attn_keys_start(c, &x);
    }
}

static void wait_gradients_across(hy_attn_call *c, const node_map *m, int stage) {
    if (c->backward && stage >= 0) {
        const hy_attn_move x = across_move(c, m, stage);
        hy_attn_gradients_wait(c, &x);
    }
}

/* Around this node: own rows. */
static hy_attn_pass pass_of_own(const hy_attn_call *c, const node_map *m) {
    return (hy_attn_pass){
        .hops = c->lists->hops + 1, .n = m->n - 1, .source = hy_attn_own_rows(c), .reqs = c->lists->reqs};
}

/* What another node's rows bring. */
static void compute_stage(hy_attn_call *c, const node_map *m, int stage) {
    const hy_attn_move x = across_move(c, m, stage);
    const hy_attn_pass pass = {.hops = x.hop + 2, .n = m->n - 1, .source = x.came, .reqs = c->lists->reqs};
    hy_attn_keys_wait(c, &x);
    post_across(c, m, stage + 1);
    hy_attn_gradients_begin(c, &x);
    hy_attn_pass_start(c, &pass);
    hy_attn_hop_compute(c, x.hop + 1, &x.came);
    hy_attn_pass_finish(c, &pass);
    wait_gradients_across(c, m, stage - 1);
    hy_attn_gradients_start(c, &x);
}

static void keys_node_post(hy_attn_call *c) {
    const node_map m = node_map_of(&c->sp->method, c->dims.size, c->dims.rank);
    const hy_attn_pass pass = pass_of_own(c, &m);
    post_across(c, &m, 0);
    hy_attn_pass_start(c, &pass);
}

static void keys_node_finish(hy_attn_call *c) {
    const node_map m = node_map_of(&c->sp->method, c->dims.size, c->dims.rank);
    const hy_attn_pass pass = pass_of_own(c, &m);
    hy_attn_pass_finish(c, &pass);
    for (int stage = 0; stage < m.stages; stage++) {
        compute_stage(c, &m, stage);
    }
    wait_gradients_across(c, &m, m.stages - 1);
}

const hy_attn_row hy_attn_row_node = {.title = "attention by nodes",
                                      .latent_title = "latents by nodes",
                                      .others = node_others,
                                      .part_rows = hy_kv_rows_max,
                                      .build = node_build,
                                      .cut = node_cut,
                                      .post = keys_node_post,
                                      .finish = keys_node_finish};
