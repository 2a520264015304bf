/* Reference interpolation between two arrays, with a weight per element or per channel. */

#define REF_BODY "kernels/cpu/ref_lerp.inc"
#include "kernels/cpu/ref_precisions.h"
