/* Compiles REF_BODY for float and for double; no include guard, one use per source file. */
#include "kernels/cpu/ref.h"

#define REAL      float
#define REF(op)   hy_ref_##op##_f32
#define OWN(name) ref_##name##_f32
#include REF_BODY
#undef REAL
#undef REF
#undef OWN

#define REAL      double
#define REF(op)   hy_ref_##op##_f64
#define OWN(name) ref_##name##_f64
#include REF_BODY
#undef REAL
#undef REF
#undef OWN
