/* Pieces travel in the order of the lists (lists/halo_lists.c), which is the same on all ranks. */
#include "sp/halo.h"

#include "sp/lists/halo_lists.h"

enum { TAG_HALO = 201, TAG_HALO_GRADIENT };

void hy_halo_open(hy_halo *halo, hy_sp *sp, const hy_layout_dims *dims, int64_t C, int64_t W, bool backward,
                  hy_carve *work) {
    *halo = (hy_halo){.sp = sp, .rows = W > 0 ? W - 1 : 0, .C = C};
    halo->lists = sp->lists ? hy_lists_width(sp->lists, W) : NULL; /* NULL while sizes are planned */
    halo->row_bytes = (size_t)C * hy_sp_size(sp, HY_ROLE_ACT);
    if (backward) {
        const int64_t rows = dims->n_local * halo->rows + hy_halo_rows_back_max(dims, W);
        halo->d_rows = hy_carve_take(work, (size_t)rows * halo->row_bytes);
    }
}

static char *row_of(const hy_halo *halo, const void *array, int64_t row) {
    return (char *)(uintptr_t)array + (size_t)row * halo->row_bytes;
}

static void halo_copy(const hy_halo *halo, const hy_block_list *list, const void *from, void *to, int acc) {
    if (list->n > 0) {
        hy_copy_blocks(
            halo->sp->device,
            &(hy_copy_blocks_args){
                .blocks = list->device, .n_blocks = list->n, .unit = halo->C, .acc = acc, .src = from, .dst = to});
    }
}

static void post_piece(const hy_halo *halo, const hy_halo_piece *p, const char *name, int tag, bool receives, char *at,
                       hy_req *req) {
    const size_t bytes = (size_t)p->rows * halo->row_bytes;
    *req = (hy_req){0};
    if (receives) {
        hy_comm_recv(halo->sp->comm, name, at, bytes, p->peer, tag, req);
    } else {
        hy_comm_send(halo->sp->comm, name, at, bytes, p->peer, tag, req);
    }
}

/* Sends or receives every piece whose rows this rank has (serves) or reads: forward those that serve send, backward the others. */
static void halo_post(hy_halo *halo, const char *name, int tag, bool serving_sends, const void *served, void *read) {
    const hy_width_lists *lists = halo->lists;
    hy_comm_group_begin(halo->sp->comm);
    for (int receiving = 0; receiving < 2; receiving++) { /* comm.h: sends first */
        for (int64_t i = 0; i < lists->n_pieces; i++) {
            const hy_halo_piece *p = &lists->pieces[i];
            if ((p->serves != serving_sends) == (receiving == 1)) {
                const int64_t row = p->serves && !serving_sends ? p->back : p->row;
                post_piece(halo, p, name, tag, receiving, row_of(halo, p->serves ? served : read, row),
                           &halo->sp->lists->requests[i]);
            }
        }
    }
    hy_comm_group_end(halo->sp->comm);
}

/* The hook of tests: halves what came from other ranks. */
static void halo_damage(hy_halo *halo, bool serving, const void *array) {
    for (int64_t i = 0; halo->sp->broken && i < halo->lists->n_pieces; i++) {
        const hy_halo_piece *p = &halo->lists->pieces[i];
        if (p->serves == serving) {
            char *rows = row_of(halo, array, serving ? p->back : p->row);
            hy_axpy(halo->sp->device, &(hy_axpy_args){.n = p->rows * halo->C, .a = 0.5, .x = rows, .y = rows});
        }
    }
}

void hy_halo_post(hy_halo *halo, const void *x, void *rows) {
    halo_copy(halo, &halo->lists->take, x, rows, 0);
    halo_post(halo, "halo", TAG_HALO, true, x, rows);
}

void hy_halo_finish(hy_halo *halo, void *rows) {
    hy_comm_wait_all(halo->sp->lists->requests, halo->lists->n_pieces);
    halo_damage(halo, false, rows);
}

void hy_halo_return_post(hy_halo *halo) {
    halo_post(halo, "halo gradient", TAG_HALO_GRADIENT, false, halo->d_rows, halo->d_rows);
}

void hy_halo_return_finish(hy_halo *halo, void *dx) {
    hy_comm_wait_all(halo->sp->lists->requests, halo->lists->n_pieces);
    halo_damage(halo, true, halo->d_rows);
    halo_copy(halo, &halo->lists->add, halo->d_rows, dx, 1);
}
