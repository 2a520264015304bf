# kernels/cpu/ref*.c: the reference table. kernels/cpu/simd/*.c: fast variants, each file compiled once per instruction
# set with HY_ISA = plain, avx2, avx512 (which suffixes its public names); the table picks at run time.
file(GLOB ref_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/cpu/*.c)
target_sources(hy_kernels PRIVATE ${ref_sources})
target_link_libraries(hy_kernels PUBLIC hy::cblas hy::fftw3 hy::fftw3f)

set(isa_list plain)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" AND NOT HY_FUZZ) # fuzzing runs the reference table
  list(APPEND isa_list avx2 avx512)
endif()
set(flags_plain "")
set(flags_avx2 -mavx2 -mfma -mtune=generic)
set(flags_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512)

file(GLOB simd_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/cpu/simd/*.c)
if(simd_sources)
  foreach(isa ${isa_list})
    add_library(hy_kernels_${isa} OBJECT ${simd_sources})
    target_compile_definitions(hy_kernels_${isa} PRIVATE HY_ISA=${isa} HY_ISA_${isa}=1)
    target_compile_options(hy_kernels_${isa} PRIVATE ${flags_${isa}} -fno-trapping-math $<$<BOOL:${HY_FUZZ}>:-fno-sanitize=all>)
    target_link_libraries(hy_kernels_${isa} PRIVATE hy_base hy::openmp hy::cblas)
    target_sources(hy_kernels PRIVATE $<TARGET_OBJECTS:hy_kernels_${isa}>)
    target_compile_definitions(hy_kernels PRIVATE HY_HAVE_${isa}=1)
  endforeach()
endif()
