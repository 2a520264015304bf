/* Reference bonus: s = Σ_i r_i u_i k_i;  o (+)= s v. With ds = d_o·v:  dr_i = ds u_i k_i, and likewise dk, du;  dv = s
 * d_o. */

#define COLUMNS 256

#define REF_BODY "kernels/cpu/ref_bonus.inc"
#include "kernels/cpu/ref_precisions.h"
