/* Reference fill, copy, axpy, add, rows, repeated heads, sum of squares. */

#define REF_BODY "kernels/cpu/ref_memory.inc"
#include "kernels/cpu/ref_precisions.h"
