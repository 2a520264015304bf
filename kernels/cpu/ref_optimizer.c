/* Reference AdamW (Loshchilov & Hutter 2019, decoupled weight decay). */
#include <math.h>

#define REF_BODY "kernels/cpu/ref_optimizer.inc"
#include "kernels/cpu/ref_precisions.h"
