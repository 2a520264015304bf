/* An exclusive scan of maps over fragments in ⌈log2⌉ rounds. Before[f], the composition of the fragments before f, doubles in length
 * every round:  Before = Before ∘ what came;  then what goes on is M_f ∘ Before. Its H is at the end the state that enters f. */
#include "sp/lists/scan_lists.h"
#include "sp/state/state_exchange.h"

enum { TAG_SCAN = 1000 };

static void scan_open(hy_state_pass *pass, const hy_layout_dims *dims, hy_carve *work) {
    const size_t a_bytes = (size_t)dims->n_local * pass->shape.a_bytes,
                 h_bytes = (size_t)dims->n_local * pass->shape.h_bytes;
    hy_scan_maps *maps = &pass->scan;
    pass->own_H = hy_carve_take(work, h_bytes);
    maps->before[0] = hy_carve_take(work, a_bytes);
    maps->before[1] = hy_carve_take(work, a_bytes);
    maps->came_A = hy_carve_take(work, a_bytes);
    maps->came_H = hy_carve_take(work, h_bytes);
    maps->next_A = hy_carve_take(work, a_bytes);
    maps->next_H = hy_carve_take(work, h_bytes);
    maps->round = 0;
}

static const hy_scan_lists *scan_of(const hy_state_pass *pass) {
    return &pass->lists->scans[pass->step > 0 ? 0 : 1];
}

/* A map's part, A or H, from one slot to another of this rank, or as a message. */
static void transfer_part(hy_state_pass *pass, const hy_scan_transfer *t, bool of_A, char *from, char *to,
                          hy_req *req) {
    const size_t bytes = of_A ? pass->shape.a_bytes : pass->shape.h_bytes;
    const int tag = TAG_SCAN + 2 * (int)t->tag + of_A;
    const char *name = hy_state_pass_name(pass);
    char *left = from + (size_t)(t->from > 0 ? t->from : 0) * bytes,
         *came = to + (size_t)(t->to > 0 ? t->to : 0) * bytes;
    if (t->from >= 0 && t->to >= 0) {
        const int64_t n = (int64_t)(bytes / hy_sp_size(pass->sp, HY_ROLE_STAT));
        hy_copy2d(pass->sp->device, &(hy_copy2d_args){.rows = 1,
                                                      .cols = n,
                                                      .src_ld = n,
                                                      .dst_ld = n,
                                                      .src = left,
                                                      .dst = came,
                                                      .from = HY_ROLE_STAT,
                                                      .to = HY_ROLE_STAT});
    } else if (t->from >= 0) {
        hy_comm_send(pass->sp->comm, name, left, bytes, t->peer, tag, req);
    } else {
        hy_comm_recv(pass->sp->comm, name, came, bytes, t->peer, tag, req);
    }
}

/* Those of the round that come, or those that leave or stay here. */
static void transfer_round(hy_state_pass *pass, bool receiving) {
    const hy_scan_maps *maps = &pass->scan;
    const hy_scan_round *round = &scan_of(pass)->rounds[maps->round];
    const bool first = maps->round == 0;
    for (int64_t i = 0; i < round->n_transfers; i++) {
        const hy_scan_transfer *t = &round->transfers[i];
        if ((t->from < 0) != receiving) {
            continue;
        }
        if (t->maps) {
            transfer_part(pass, t, true, first ? pass->own_A : maps->next_A, first ? maps->before[0] : maps->came_A,
                          &pass->requests[2 * i]);
        }
        transfer_part(pass, t, false, first ? pass->own_H : maps->next_H, first ? pass->in : maps->came_H,
                      &pass->requests[2 * i + 1]);
    }
}

static void scan_post_round(hy_state_pass *pass) {
    if (pass->scan.round == scan_of(pass)->n_rounds) {
        return;
    }
    hy_comm_group_begin(pass->sp->comm);
    transfer_round(pass, false); /* comm.h: sends first */
    transfer_round(pass, true);
    hy_comm_group_end(pass->sp->comm);
}

/* Whether the round's messages have come, and gone: what they were sent from is written again. */
static bool scan_arrived(hy_state_pass *pass, bool wait) {
    const hy_scan_round *round = &scan_of(pass)->rounds[pass->scan.round];
    for (int64_t i = 0; i < 2 * round->n_transfers; i++) {
        if (wait) {
            hy_comm_wait(&pass->requests[i]);
        } else if (!hy_comm_test(&pass->requests[i])) {
            return false;
        }
    }
    return true;
}

static void scan_damage(hy_state_pass *pass) {
    const hy_scan_round *round = &scan_of(pass)->rounds[pass->scan.round];
    char *came = pass->scan.round == 0 ? pass->in : pass->scan.came_H;
    for (int64_t i = 0; pass->sp->broken && i < round->n_transfers; i++) {
        const hy_scan_transfer *t = &round->transfers[i];
        if (t->from < 0) {
            hy_state_damage(pass, came + (size_t)t->to * pass->shape.h_bytes, hy_segment_elements(&pass->shape));
        }
    }
}

/* The A of `early` then `late`, of all own fragments: late·early, of adjoints (early·late)ᵀ, of which A is kept. */
static void compose_A(const hy_state_pass *pass, const char *early, const char *late, char *out) {
    const hy_segment_shape *shape = &pass->shape;
    const bool matrix = shape->a_size == shape->K * shape->K;
    hy_segment_shape maps = {.HV = pass->sp->layout->n_local * shape->HV * (matrix ? 1 : shape->a_size),
                             .K = matrix ? shape->K : 1,
                             .V = matrix ? shape->K : 1,
                             .a_size = matrix ? shape->a_size : 1};
    hy_segment_apply(pass->sp->device, &maps, 1, pass->step > 0 ? late : early, pass->step > 0 ? early : late, NULL,
                     out);
}

static void scan_fold(const hy_state_pass *pass, const hy_fold_list *list, const char *A, char *H, char *states) {
    const hy_segment_maps maps = {.shape = pass->shape, .A = A, .H = H, .group = pass->sp->layout->n_local};
    hy_segment_fold(pass->sp->device, list, pass->step, &maps, states);
}

static void scan_compute_round(hy_state_pass *pass) {
    hy_scan_maps *maps = &pass->scan;
    const hy_scan_lists *scan = scan_of(pass);
    const hy_scan_round *round = &scan->rounds[maps->round];
    const int64_t n_local = pass->sp->layout->n_local;
    char *before = maps->before[maps->round % 2];
    if (maps->round > 0) {
        char *shorter = maps->before[(maps->round + 1) % 2];
        scan_fold(pass, &round->reach, shorter, pass->in, maps->came_H);
        if (round->maps) {
            compose_A(pass, maps->came_A, shorter, before);
        }
    }
    if (maps->round + 1 < scan->n_rounds && round[1].n_transfers > 0) {
        hy_segment_copy(pass->sp->device, &pass->shape, n_local, pass->own_H, maps->next_H);
        scan_fold(pass, &round->through, pass->own_A, maps->next_H, pass->in);
        if (round->maps) {
            compose_A(pass, before, pass->own_A, maps->next_A);
        }
    }
}

/* In a round behind this one. */
static bool scan_posts_later(const hy_state_pass *pass) {
    const hy_scan_lists *scan = scan_of(pass);
    int64_t round = pass->scan.round + 1;
    while (round < scan->n_rounds && scan->rounds[round].n_transfers == 0) {
        round++;
    }
    return round < scan->n_rounds;
}

/* Round after round. */
static void scan_move_on(hy_state_pass *pass, hy_state_move move) {
    while (pass->scan.round < scan_of(pass)->n_rounds && scan_arrived(pass, move != HY_MOVE_WHAT_CAME)) {
        scan_damage(pass);
        scan_compute_round(pass);
        pass->scan.round++;
        scan_post_round(pass);
        if (move == HY_MOVE_ONE) {
            return;
        }
    }
}

static size_t scan_lists_bytes(const hy_layout_dims *dims, const hy_sp_method *method, int64_t reach) {
    (void)method;
    (void)reach;
    return 2 * hy_scan_lists_bytes(dims);
}

static int64_t scan_requests(const hy_layout_dims *dims, const hy_sp_method *method, int64_t reach) {
    (void)method;
    (void)reach;
    return 2 * hy_scan_transfers_max(dims);
}

static void scan_build_lists(hy_list_image *image, const hy_layout *layout, const hy_sp_method *method, int64_t reach,
                             hy_state_lists *out) {
    (void)method;
    for (int i = 0; i < 2; i++) {
        out->scans[i] = hy_scan_lists_build(image, layout, i == 0 ? 1 : -1, reach);
    }
}

const hy_state_row hy_state_row_scan = {.title = "state scan",
                                        .lists_bytes = scan_lists_bytes,
                                        .requests = scan_requests,
                                        .build = scan_build_lists,
                                        .open = scan_open,
                                        .post = scan_post_round,
                                        .posts_later = scan_posts_later,
                                        .move_on = scan_move_on};
