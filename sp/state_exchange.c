#include "sp/state_exchange.h"

#include <string.h>

enum { TAG_STATE = 201, TAG_STATE_GRADIENT };

static size_t bytes_of(const hy_sp *sp, int64_t elements) {
    return (size_t)elements * hy_dtype_size(sp->device->table.dtype);
}

static void copy(hy_sp *sp, int64_t rows, int64_t cols, int64_t src_ld, const void *src, void *dst) {
    hy_copy2d(sp->device, &(hy_copy2d_args){.rows = rows, .cols = cols, .src_ld = src_ld, .dst_ld = cols, .src = src, .dst = dst});
}

/* ---- all-gather ---- */

static void gather_begin(hy_sp *sp, hy_state_buffers *b, const char *name, int64_t block) {
    hy_comm_all_gather(sp->comm, name, b->mine, b->maps, bytes_of(sp, block), &b->reqs[0]);
}

static void gather_forward_end(hy_sp *sp, const hy_map_size *size, hy_state_buffers *b, void *S_in) {
    int64_t n = sp->layout->n_local, block = n * (size->A + size->S);
    hy_comm_wait(&b->reqs[0]);
    hy_gathered_maps maps = {.A = b->maps, .H = b->maps + bytes_of(sp, n * size->A), .a_rank = block, .h_rank = block};
    hy_segment_fold_forward(sp, size, &maps, S_in, b->temp);
    copy(sp, sp->layout->size, n * size->A, block, b->maps, b->A_kept);
}

static void gather_backward_end(hy_sp *sp, const hy_map_size *size, hy_state_buffers *b, void *dS_out) {
    int64_t n = sp->layout->n_local;
    hy_comm_wait(&b->reqs[0]);
    hy_gathered_maps maps = {.A = b->A_kept, .H = b->maps, .a_rank = n * size->A, .h_rank = n * size->S};
    hy_segment_fold_backward(sp, size, &maps, dS_out, b->temp);
}

/* ---- ring ---- */

/* Hands `state` to the neighbouring fragment: kept in `inbox` of its slot if it is ours, sent otherwise. */
static void hand_on(hy_sp *sp, const hy_map_size *size, const hy_fragment *to, const char *name, int tag, const char *state, char *inbox, hy_req *req) {
    if (to->owner == sp->layout->rank) {
        copy(sp, 1, size->S, size->S, state, inbox + bytes_of(sp, to->slot * size->S));
    } else {
        hy_comm_send(sp->comm, name, state, bytes_of(sp, size->S), to->owner, tag, req);
    }
}

static void receive(hy_sp *sp, const hy_map_size *size, const hy_fragment *from, const char *name, int tag, char *inbox) {
    if (from->owner != sp->layout->rank) {
        hy_req req = {0};
        hy_comm_recv(sp->comm, name, inbox, bytes_of(sp, size->S), from->owner, tag, &req);
        hy_comm_wait(&req);
    }
}

static void ring_forward_end(hy_sp *sp, const hy_map_size *size, hy_state_buffers *b, void *S_in) {
    const hy_layout *layout = sp->layout;
    int64_t n = layout->n_local;
    const char *A = b->mine, *H = b->mine + bytes_of(sp, n * size->A);
    for (int64_t slot = 0; slot < n; slot++) {
        int64_t id = layout->local[slot];
        const hy_fragment *f = &layout->frags[id];
        char *in = (char *)S_in + bytes_of(sp, slot * size->S);
        const char *out = H + bytes_of(sp, slot * size->S);
        if (f->continues) {
            receive(sp, size, &layout->frags[hy_layout_neighbour(layout, id, -1)], "state", TAG_STATE, in);
        }
        if (hy_fragment_passes(f)) {
            char *passed = b->out + bytes_of(sp, slot * size->S);
            hy_map_step(sp->device, size, 0, A + bytes_of(sp, slot * size->A), in, out, passed);
            out = passed;
        }
        if (f->flows) {
            hand_on(sp, size, &layout->frags[hy_layout_neighbour(layout, id, 1)], "state", TAG_STATE, out, S_in, &b->reqs[slot]);
        }
    }
    hy_comm_wait_all(b->reqs, n);
    copy(sp, 1, n * size->A, n * size->A, A, b->A_kept);
}

static void ring_backward_end(hy_sp *sp, const hy_map_size *size, hy_state_buffers *b, void *dS_out) {
    const hy_layout *layout = sp->layout;
    for (int64_t slot = layout->n_local - 1; slot >= 0; slot--) {
        int64_t id = layout->local[slot];
        const hy_fragment *f = &layout->frags[id];
        char *in = (char *)dS_out + bytes_of(sp, slot * size->S);
        const char *out = b->mine + bytes_of(sp, slot * size->S);
        if (f->flows) {
            receive(sp, size, &layout->frags[hy_layout_neighbour(layout, id, 1)], "state gradient", TAG_STATE_GRADIENT, in);
        }
        if (hy_fragment_passes(f)) {
            char *passed = b->out + bytes_of(sp, slot * size->S);
            hy_map_step(sp->device, size, 1, b->A_kept + bytes_of(sp, slot * size->A), in, out, passed);
            out = passed;
        }
        if (f->continues) {
            hand_on(sp, size, &layout->frags[hy_layout_neighbour(layout, id, -1)], "state gradient", TAG_STATE_GRADIENT, out, dS_out, &b->reqs[slot]);
        }
    }
    hy_comm_wait_all(b->reqs, layout->n_local);
}

/* ---- the interface ---- */

void hy_state_forward_begin(hy_sp *sp, const hy_map_size *size, hy_state_buffers *b) {
    if (sp->state == HY_STATE_ALLGATHER) {
        gather_begin(sp, b, "state maps", sp->layout->n_local * (size->A + size->S));
    }
}

void hy_state_forward_end(hy_sp *sp, const hy_map_size *size, hy_state_buffers *b, void *S_in) {
    (sp->state == HY_STATE_ALLGATHER ? gather_forward_end : ring_forward_end)(sp, size, b, S_in);
    if (sp->broken) {
        hy_axpy(sp->device, &(hy_axpy_args){.n = sp->layout->n_local * size->S, .a = 1.01, .x = S_in, .y = S_in});
    }
}

void hy_state_backward_begin(hy_sp *sp, const hy_map_size *size, hy_state_buffers *b) {
    if (sp->state == HY_STATE_ALLGATHER) {
        gather_begin(sp, b, "state gradients", sp->layout->n_local * size->S);
    }
}

void hy_state_backward_end(hy_sp *sp, const hy_map_size *size, hy_state_buffers *b, void *dS_out) {
    (sp->state == HY_STATE_ALLGATHER ? gather_backward_end : ring_backward_end)(sp, size, b, dS_out);
}
