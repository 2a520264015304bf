/* Reference loss: lse = log Σ e^x, loss = Σ over counted rows of (lse − x[label]), gradient d_scale·(softmax − onehot).
 */
#include <math.h>
#include <string.h>

#define REF_BODY "kernels/cpu/ref_loss.inc"
#include "kernels/cpu/ref_precisions.h"
