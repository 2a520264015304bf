/* Reference AdamW (Loshchilov & Hutter 2019, decoupled weight decay). */
#include <math.h>

#include "kernels/cpu/ref.h"

#define REF_BODY "kernels/cpu/ref_optimizer.inc"
#include "kernels/cpu/ref_precisions.h"
