/* Reference mixtures of two arrays. */

#define REF_BODY "kernels/cpu/ref_lerp.inc"
#include "kernels/cpu/ref_precisions.h"
