#include "kernels/cpu/isa_choice.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/simd/isa.h"

#if HY_HAVE_bf16_amx
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* overlays_<set>, overlays_bf16_<set>: of every family. */
#define HY_DECLARE(family, isa)      void HY_ISA_PASTE(hy_##family##_overlay, isa)(hy_table * table);
#define HY_ENTRY(family, isa)        HY_ISA_PASTE(hy_##family##_overlay, isa),
#define HY_DECLARE_BF16(family, isa) void HY_ISA_PASTE(hy_##family##_overlay_bf16, isa)(hy_table * table);
#define HY_ENTRY_BF16(family, isa)   HY_ISA_PASTE(hy_##family##_overlay_bf16, isa),

#if HY_HAVE_plain
#define HY_X(family) HY_DECLARE(family, plain)
HY_SIMD_FAMILIES(HY_X)
#undef HY_X
#define HY_X(family) HY_ENTRY(family, plain)
static const hy_overlay_fn overlays_plain[] = {HY_SIMD_FAMILIES(HY_X) NULL};
#undef HY_X
#define HY_X(family) HY_DECLARE_BF16(family, plain)
HY_SIMD_FAMILIES(HY_X)
#undef HY_X
#define HY_X(family) HY_ENTRY_BF16(family, plain)
static const hy_overlay_fn overlays_bf16_plain[] = {HY_SIMD_FAMILIES(HY_X) NULL};
#undef HY_X
#endif

#if HY_HAVE_avx2
#define HY_X(family) HY_DECLARE(family, avx2)
HY_SIMD_FAMILIES(HY_X)
#undef HY_X
#define HY_X(family) HY_ENTRY(family, avx2)
static const hy_overlay_fn overlays_avx2[] = {HY_SIMD_FAMILIES(HY_X) NULL};
#undef HY_X
#define HY_X(family) HY_DECLARE_BF16(family, avx2)
HY_SIMD_FAMILIES(HY_X)
#undef HY_X
#define HY_X(family) HY_ENTRY_BF16(family, avx2)
static const hy_overlay_fn overlays_bf16_avx2[] = {HY_SIMD_FAMILIES(HY_X) NULL};
#undef HY_X

static int has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

#if HY_HAVE_avx512
#define HY_X(family) HY_DECLARE(family, avx512)
HY_SIMD_FAMILIES(HY_X)
#undef HY_X
#define HY_X(family) HY_ENTRY(family, avx512)
static const hy_overlay_fn overlays_avx512[] = {HY_SIMD_FAMILIES(HY_X) NULL};
#undef HY_X
#define HY_X(family) HY_DECLARE_BF16(family, avx512)
HY_SIMD_FAMILIES(HY_X)
#undef HY_X
#define HY_X(family) HY_ENTRY_BF16(family, avx512)
static const hy_overlay_fn overlays_bf16_avx512[] = {HY_SIMD_FAMILIES(HY_X) NULL};
#undef HY_X

static int has_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
}
#endif

#if HY_HAVE_bf16_amx
#define HY_X(family) HY_DECLARE_BF16(family, amx)
HY_SIMD_FAMILIES(HY_X)
#undef HY_X
#define HY_X(family) HY_ENTRY_BF16(family, amx)
static const hy_overlay_fn overlays_bf16_amx[] = {HY_SIMD_FAMILIES(HY_X) NULL};
#undef HY_X

/* Linux hands out tile registers to processes that ask (arch_prctl, for all of their threads). */
static int may_use_tiles(void) {
#if defined(__linux__) && defined(SYS_arch_prctl)
    const long request_permission = 0x1023, tile_data = 18;
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
    return 0;
#endif
}

static int has_amx(void) {
    return has_avx512() && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("amx-tile") &&
           __builtin_cpu_supports("amx-bf16") && may_use_tiles();
}
#endif

static int has_plain(void) {
    return 1;
}

/* Widest first. A set that was not compiled for this architecture has no overlays, yet its name is known. */
static const hy_isa_choice isa_choices[] = {
#if HY_HAVE_bf16_amx
    {"amx", has_amx, NULL, overlays_bf16_amx},
#else
    {"amx", NULL, NULL, NULL},
#endif
#if HY_HAVE_avx512
    {"avx512", has_avx512, overlays_avx512, overlays_bf16_avx512},
#else
    {"avx512", NULL, NULL, NULL},
#endif
#if HY_HAVE_avx2
    {"avx2", has_avx2, overlays_avx2, overlays_bf16_avx2},
#else
    {"avx2", NULL, NULL, NULL},
#endif
#if HY_HAVE_plain
    {"plain", has_plain, overlays_plain, overlays_bf16_plain},
#else
    {"plain", has_plain, NULL, NULL},
#endif
};
#define ISA_COUNT (sizeof isa_choices / sizeof isa_choices[0])

static int isa_fits(const hy_isa_choice *isa, hy_dtype dtype) {
    return isa->supported != NULL && (dtype == HY_BF16 ? isa->bf16 : isa->f32) != NULL && isa->supported();
}

hy_status hy_isa_choose(hy_dtype dtype, const hy_isa_choice **out) {
    const char *limit = getenv("HYLAS_CPU");
    size_t first = 0;
    if (limit != NULL && limit[0] != '\0') {
        while (first < ISA_COUNT && strcmp(limit, isa_choices[first].name) != 0)
            first++;
        if (first == ISA_COUNT)
            return hy_fail(HY_ERR_USAGE, "HYLAS_CPU=%s: not one of plain, avx2, avx512, amx", limit);
    }
    while (first < ISA_COUNT - 1 && !isa_fits(&isa_choices[first], dtype))
        first++;
    *out = &isa_choices[first];
    return HY_OK;
}
