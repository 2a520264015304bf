/* The W−1 rows before each own fragment, from the fragments that hold them; and their gradients back to those. */
#ifndef HY_SP_HALO_H
#define HY_SP_HALO_H

#include "sp/carve.h"
#include "sp/sp.h"

typedef struct hy_halo {
    hy_sp *sp;
    const hy_width_lists *lists;
    int64_t rows, C;
    size_t row_bytes;
    char
        *d_rows; /* backward: gradients of the rows, then of those that other ranks send back: [n_local,W−1,C], [.,C] */
} hy_halo;

void hy_halo_open(hy_halo *halo, hy_sp *sp, const hy_layout_dims *dims, int64_t C, int64_t W, bool backward,
                  hy_carve *work);
/* Fills halo [n_local,W−1,C] from x [T,C]: entries of fragments whose document began before them; rows before the
 * document's start are zeros. Other entries are left alone. */
void hy_halo_post(hy_halo *halo, const void *x, void *rows);
void hy_halo_finish(hy_halo *halo, void *rows);
/* The adjoint: dx [T,C] += the gradients halo->d_rows of the rows above, in a fixed order. */
void hy_halo_return_post(hy_halo *halo);
void hy_halo_return_finish(hy_halo *halo, void *dx);

#endif
