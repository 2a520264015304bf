/* Reference activations, gated products, rotary embedding and decay gates. */
#include <math.h>

#define REF_BODY "kernels/cpu/ref_elementwise.inc"
#include "kernels/cpu/ref_precisions.h"
