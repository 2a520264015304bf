/* The W−1 rows before each own fragment, from the fragments that hold them; and their gradients back to those. */
#ifndef HY_SP_HALO_H
#define HY_SP_HALO_H

#include "sp/carve.h"
#include "sp/sp.h"

typedef struct hy_halo {
    hy_sp *sp;
    int64_t rows, C;
    size_t row_bytes;
    int64_t n_reqs;
    hy_req *reqs;
    char *rows_back; /* backward: gradient rows from other ranks, in the order of the pieces */
} hy_halo;

void hy_halo_open(hy_halo *halo, hy_sp *sp, const hy_layout_dims *dims, int64_t C, int64_t W, bool backward,
                  hy_carve *work);
/* Fills halo [n_local,W−1,C] from x [T,C]: entries of fragments whose document began before them; rows before the
 * document's start are zeros. Other entries are left alone. */
void hy_halo_post(hy_halo *halo, const void *x, void *rows);
void hy_halo_finish(hy_halo *halo, void *rows);
/* The adjoint: dx [T,C] += the gradients d_rows [n_local,W−1,C] of the rows above, in a fixed order. */
void hy_halo_return_post(hy_halo *halo, const void *d_rows);
void hy_halo_return_finish(hy_halo *halo, const void *d_rows, void *dx);

#endif
