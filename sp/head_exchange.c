#include "sp/head_exchange.h"

enum { TAG_HEADS = 301 }; /* + the move's number */

void hy_heads_open(hy_head_exchange *x, const hy_sp *sp, const hy_layout_dims *dims, int members,
                   const hy_heads *heads) {
    *x = (hy_head_exchange){.sp = sp, .dims = *dims, .heads = *heads, .members = members};
}

static size_t move_entry(const hy_head_exchange *x, const hy_head_move *move) {
    return (size_t)move->width * hy_sp_size(x->sp, move->role);
}

hy_head_move hy_head_move_cut(hy_head_exchange *x, const char *name, hy_head_kind kind, int64_t width, hy_role role,
                              bool back, hy_carve *work) {
    hy_head_move move = {.name = name, .kind = kind, .back = back, .width = width, .role = role};
    move.range = hy_head_range_of(&x->heads, kind, x->members, x->dims.rank % x->members);
    const int64_t entries = hy_head_buffer_entries(&x->dims, x->members, &x->heads, kind);
    move.buffer = hy_carve_take(work, (size_t)entries * move_entry(x, &move));
    if (back && move.range.parts > 1) {
        move.parts =
            hy_carve_take(work, (size_t)(x->dims.T * move.range.total * move.range.parts) * move_entry(x, &move));
    }
    if (x->sp->lists) { /* not while sizes are planned */
        move.req = x->sp->lists->requests + (int64_t)x->n_moves * 2 * (x->members - 1);
    }
    move.tag = TAG_HEADS + x->n_moves++;
    return move;
}

static const hy_head_lists *lists_of(const hy_head_exchange *x, const hy_head_move *move) {
    return hy_lists_heads(x->sp->lists, &(hy_head_need){x->heads, move->kind, x->near});
}

static void move_blocks(const hy_head_exchange *x, const hy_head_move *move, const hy_block_list *list,
                        const void *from, void *to) {
    hy_copy_blocks(x->sp->device, &(hy_copy_blocks_args){.blocks = list->device,
                                                         .n_blocks = list->n,
                                                         .unit = move->width,
                                                         .src = from,
                                                         .dst = to,
                                                         .role = move->role});
}

/* To the members ahead in turn; nobody sends what is empty. */
static void send_messages(const hy_head_exchange *x, const hy_head_move *move) {
    const int n = x->members, own = x->dims.rank % n, first = x->dims.rank - own;
    const hy_head_peer *peers = lists_of(x, move)->peers;
    const size_t entry = move_entry(x, move);
    for (int h = 1; h < n && entry > 0; h++) {
        const int to = (own + h) % n;
        const int64_t rows = move->back ? peers[to].heads : peers[to].rows,
                      at = move->back ? peers[to].heads_at : peers[to].rows_at;
        if (rows > 0) {
            hy_comm_send(x->sp->comm, move->name, move->buffer + (size_t)at * entry, (size_t)rows * entry, first + to,
                         move->tag, &move->req[2 * h - 1]);
        }
    }
}

/* From the members behind in turn. */
static void recv_messages(const hy_head_exchange *x, const hy_head_move *move) {
    const int n = x->members, own = x->dims.rank % n, first = x->dims.rank - own;
    const hy_head_peer *peers = lists_of(x, move)->peers;
    const size_t entry = move_entry(x, move);
    for (int h = 1; h < n && entry > 0; h++) {
        const int from = (own - h + n) % n;
        const int64_t rows = move->back ? peers[from].rows : peers[from].heads,
                      at = move->back ? peers[from].rows_at : peers[from].heads_at;
        if (rows > 0) {
            hy_comm_recv(x->sp->comm, move->name, move->buffer + (size_t)at * entry, (size_t)rows * entry, first + from,
                         move->tag, &move->req[2 * h - 2]);
        }
    }
}

void hy_heads_post(const hy_head_exchange *x, const hy_head_array *arrays, int n) {
    for (int i = 0; i < n; i++) {
        const hy_head_move *move = arrays[i].move;
        if (move) {
            const hy_head_lists *lists = lists_of(x, move);
            move_blocks(x, move, move->back ? &lists->pack_back : &lists->pack, arrays[i].from, move->buffer);
        }
    }
    hy_comm_group_begin(x->sp->comm);
    for (int i = 0; i < n; i++) { /* of all arrays first what is sent (comm.h) */
        if (arrays[i].move) {
            send_messages(x, arrays[i].move);
        }
    }
    for (int i = 0; i < n; i++) {
        if (arrays[i].move) {
            recv_messages(x, arrays[i].move);
        }
    }
    hy_comm_group_end(x->sp->comm);
}

/* The hook of tests: halves what came from other members to heads. */
static void damage_heads(const hy_head_exchange *x, const hy_head_move *move, const hy_block_list *list) {
    const size_t element = hy_sp_size(x->sp, move->role);
    const hy_head_peer *own = &lists_of(x, move)->peers[x->dims.rank % x->members];
    for (int64_t i = 0; i < list->n; i++) {
        const hy_block *b = &list->host[i];
        char *at = move->buffer + (size_t)(b->from * move->width) * element;
        if (b->from < own->heads_at || b->from >= own->heads_at + own->heads) {
            hy_axpy(x->sp->device, &(hy_axpy_args){.n = b->rows * b->cols * move->width,
                                                   .a = 0.5,
                                                   .x = at,
                                                   .y = at,
                                                   .from = move->role,
                                                   .to = move->role});
        }
    }
}

static void take_heads(const hy_head_exchange *x, const hy_head_array *array) {
    const hy_block_list *list = &lists_of(x, array->move)->unpack;
    if (x->sp->broken) {
        damage_heads(x, array->move, list);
    }
    move_blocks(x, array->move, list, array->move->buffer, array->to);
}

/* The parts of ranks that hold the same head are added in the order of these ranks; ranks that are fewer than the most leave zeros. */
static void take_rows(const hy_head_exchange *x, const hy_head_array *array) {
    const hy_head_move *move = array->move;
    const hy_block_list *list = &lists_of(x, move)->unpack_back;
    const int64_t rows = x->dims.T * move->range.total;
    if (move->range.parts == 1) {
        move_blocks(x, move, list, move->buffer, array->to);
        return;
    }
    hy_fill(x->sp->device,
            &(hy_fill_args){.n = rows * move->range.parts * move->width, .y = move->parts, .role = move->role});
    move_blocks(x, move, list, move->buffer, move->parts);
    hy_repeat_bwd(x->sp->device, &(hy_repeat_args){.rows = rows,
                                                   .repeat = move->range.parts,
                                                   .cols = move->width,
                                                   .dy = move->parts,
                                                   .dx = array->to,
                                                   .from = HY_ROLE_ACT,
                                                   .to = move->role});
}

void hy_heads_take(const hy_head_exchange *x, const hy_head_array *arrays, int n) {
    for (int i = 0; i < n; i++) {
        if (arrays[i].move) {
            hy_comm_wait_all(arrays[i].move->req, 2 * ((int64_t)x->members - 1));
            (arrays[i].move->back ? take_rows : take_heads)(x, &arrays[i]);
        }
    }
}
