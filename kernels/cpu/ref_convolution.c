/* Reference short convolution. With X = [halo; x] of one run, p the pre-activation:
 *
 *   p[i,c] = bias[c] + Σ_j w[c,j]·X[i + j, c],   y = act(p),   d = dy·act'(p)
 *   dX[r,c] = Σ_j w[c,j]·d[r − j, c];   dw[c,j] = Σ_i d[i,c]·X[i + j, c];   dbias[c] = Σ_i d[i,c]
 *
 * i counts the run's tokens, r the rows of X, W − 1 of them before the first token. p is recomputed wherever d is
 * needed. */
#include <math.h>

#define REF_BODY "kernels/cpu/ref_convolution.inc"
#include "kernels/cpu/ref_precisions.h"
