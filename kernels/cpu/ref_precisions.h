/* Compiles REF_BODY for float, double and bf16 (with float statistics); no include guard, one use per source file. */
#include "kernels/cpu/ref.h"

#define ACT                      float
#define STAT                     float
#define REF(op)                  hy_ref_##op##_f32
#define OWN(name)                ref_##name##_f32
#define AT(role, array, i)       ((void)(role), hy_ref_get(((const float *)(array))[i]))
#define SET(role, array, i, val) ((void)(role), hy_ref_put((float *)(array) + (i), val))
#include REF_BODY
#undef ACT
#undef STAT
#undef REF
#undef OWN
#undef AT
#undef SET

#define ACT                      double
#define STAT                     double
#define REF(op)                  hy_ref_##op##_f64
#define OWN(name)                ref_##name##_f64
#define AT(role, array, i)       ((void)(role), hy_ref_get(((const double *)(array))[i]))
#define SET(role, array, i, val) ((void)(role), hy_ref_put((double *)(array) + (i), val))
#include REF_BODY
#undef ACT
#undef STAT
#undef REF
#undef OWN
#undef AT
#undef SET

#define ACT                      hy_bf16
#define STAT                     float
#define REF(op)                  hy_ref_##op##_bf16
#define OWN(name)                ref_##name##_bf16
#define AT(role, array, i)       hy_ref_mixed_get(role, array, i)
#define SET(role, array, i, val) hy_ref_mixed_put(role, array, i, val)
#include REF_BODY
#undef ACT
#undef STAT
#undef REF
#undef OWN
#undef AT
#undef SET
