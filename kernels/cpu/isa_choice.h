/* Which of the fast variants run on this processor: every instruction set is linked in, and chosen from here when a table is made. */
#ifndef HY_KERNELS_CPU_ISA_CHOICE_H
#define HY_KERNELS_CPU_ISA_CHOICE_H

#include "kernels/kernels.h"

typedef void (*hy_overlay_fn)(hy_table *table);

typedef struct hy_isa_choice {
    const char *name;       /* plain, avx2, avx512, amx */
    int (*supported)(void); /* by this processor; NULL where it was not compiled */
    const hy_overlay_fn *f32,
        *bf16; /* overlays for tables of either element type, ended by NULL; NULL where there are none */
} hy_isa_choice;

/* The widest set that has overlays for `dtype` (HY_F32 or HY_BF16), runs here, and is not wider than the environment's HYLAS_CPU =
 * plain | avx2 | avx512 | amx. HY_ERR_USAGE if that holds another word. */
HY_MUST_CHECK hy_status hy_isa_choose(hy_dtype dtype, const hy_isa_choice **out);

#endif
