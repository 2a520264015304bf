/* Reference fill, copy, axpy, add, sum of squares. */
#include "kernels/cpu/ref.h"

#define REF_BODY "kernels/cpu/ref_memory.inc"
#include "kernels/cpu/ref_precisions.h"
