# kernels/cpu/ref*.c: the reference table. kernels/cpu/simd/*.c: fast variants, each file compiled once per instruction
# set with HY_ISA = plain, avx2, avx512 (which suffixes its public names), and once more per set, and for amx, with activations in
# bf16 (isa.h); the table picks at run time.
file(GLOB ref_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/cpu/*.c)
target_sources(hy_kernels PRIVATE ${ref_sources})
target_link_libraries(hy_kernels PUBLIC hy::cblas hy::fftw3 hy::fftw3f)
if(TARGET hy::onednn)
  target_link_libraries(hy_kernels PUBLIC hy::onednn)
  target_compile_definitions(hy_kernels PRIVATE HY_HAVE_ONEDNN=1)
endif()

set(isa_list plain)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" AND NOT HY_FUZZ AND NOT HY_TSAN) # these run the reference table, or plain
  list(APPEND isa_list avx2 avx512)
endif()
set(flags_plain "")
set(flags_avx2 -mavx2 -mfma -mtune=generic)
set(flags_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512)
set(flags_amx ${flags_avx512} -mavx512bf16 -mamx-tile -mamx-bf16)
include(CheckCCompilerFlag)
check_c_compiler_flag("-mavx512bf16 -mamx-tile -mamx-bf16" HY_COMPILER_HAS_AMX)

file(GLOB simd_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/cpu/simd/*.c)

# hy_simd(<isa> <suffix of the library> <sources> <definitions>)
function(hy_simd isa suffix sources)
  add_library(hy_kernels_${suffix} OBJECT ${sources})
  target_compile_definitions(hy_kernels_${suffix} PRIVATE HY_ISA=${isa} HY_ISA_${isa}=1 ${ARGN})
  target_compile_options(hy_kernels_${suffix} PRIVATE ${flags_${isa}} -fno-trapping-math $<$<BOOL:${HY_FUZZ}>:-fno-sanitize=all>)
  target_link_libraries(hy_kernels_${suffix} PRIVATE hy_base hy::openmp hy::cblas)
  target_sources(hy_kernels PRIVATE $<TARGET_OBJECTS:hy_kernels_${suffix}>)
  target_compile_definitions(hy_kernels PRIVATE HY_HAVE_${suffix}=1)
endfunction()

foreach(isa ${isa_list})
  hy_simd(${isa} ${isa} "${simd_sources}")
  hy_simd(${isa} bf16_${isa} "${simd_sources}" HY_BF16_ACTS=1)
endforeach()
if("avx512" IN_LIST isa_list AND HY_COMPILER_HAS_AMX)
  hy_simd(amx bf16_amx "${simd_sources}" HY_BF16_ACTS=1 HY_ISA_avx512=1)
endif()
