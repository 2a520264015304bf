/* Reference fill, copy, axpy, add, sum of squares. */

#define REF_BODY "kernels/cpu/ref_memory.inc"
#include "kernels/cpu/ref_precisions.h"
