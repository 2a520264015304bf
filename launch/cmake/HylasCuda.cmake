# kernels/cuda/*.cu, compiled twice: by nvcc for GPUs (device `cuda`), where there is one; and by the host's C++ compiler with the interpreter of
# tests/simt (device `cuda_host`), where tests are built.
option(HY_CUDA "Compile kernels/cuda with nvcc, where there is one" ON)
set(HY_CUDA_TARGETS 80 90a 100 CACHE STRING "GPU architectures that nvcc compiles for; those it does not know are left out")
file(GLOB cuda_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/cuda/*.cu)
file(GLOB cuda_headers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/kernels/cuda/*.cuh)
set(cuda_dir ${CMAKE_SOURCE_DIR}/kernels/cuda)

# ---- on the host ----
include(CheckLanguage)
check_language(CXX)
if(BUILD_TESTING AND CMAKE_CXX_COMPILER AND NOT HY_FUZZ AND NOT HY_TSAN)
  enable_language(CXX)
  set(HY_CUDA_HOST ON)
  file(GLOB simt_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/simt/*.c)
  list(FILTER simt_sources EXCLUDE REGEX "/launch_[a-z]+\\.c$") # programs
  # Without what directories add for C: C++ has other warnings, and what kernels.h declares shadows in C++ only.
  set(host_options -Wall -Wextra -Wconversion -fno-exceptions -fno-rtti -fno-math-errno -ffp-contract=fast $<$<BOOL:${HY_WERROR}>:-Werror>)
  if(HY_SANITIZE)
    list(APPEND host_options -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  endif()
  set_source_files_properties(${cuda_sources} PROPERTIES LANGUAGE CXX)
  add_library(hy_cuda_host OBJECT ${cuda_sources})
  set_target_properties(hy_cuda_host PROPERTIES CXX_STANDARD 17 CXX_EXTENSIONS OFF COMPILE_OPTIONS "${host_options}")
  add_library(hy_simt OBJECT ${simt_sources})
  target_sources(hy_kernels PRIVATE $<TARGET_OBJECTS:hy_cuda_host> $<TARGET_OBJECTS:hy_simt> ${cuda_dir}/table_host.c)
  target_compile_definitions(hy_kernels PRIVATE HY_HAVE_CUDA_HOST=1)
endif()

# ---- for GPUs; not where sanitizers or fuzzing look at the host ----
unset(cuda_wanted)
if(HY_CUDA AND NOT HY_SANITIZE AND NOT HY_TSAN AND NOT HY_FUZZ)
  set(cuda_wanted ON)
  find_program(HY_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin $ENV{CUDA_PATH}/bin /usr/local/cuda/bin /opt/cuda/bin)
endif()
if(cuda_wanted AND HY_NVCC)
  get_filename_component(cuda_root ${HY_NVCC} REALPATH)
  get_filename_component(cuda_root ${cuda_root}/../.. REALPATH)
  find_path(HY_CUDA_INCLUDE cuda_runtime_api.h HINTS ${cuda_root}/include ${cuda_root}/targets/x86_64-linux/include)
  find_library(HY_CUDART cudart_static HINTS ${cuda_root}/lib64 ${cuda_root}/targets/x86_64-linux/lib)
endif()
if(NOT cuda_wanted OR NOT HY_NVCC OR NOT HY_CUDA_INCLUDE OR NOT HY_CUDART)
  message(STATUS "nvcc is not here, or switched off (HY_CUDA, sanitizers): the device cuda is left out")
  return()
endif()

execute_process(COMMAND ${HY_NVCC} --list-gpu-arch OUTPUT_VARIABLE known_targets)
set(cuda_codes -gencode arch=compute_80,code=compute_80) # what is newer compiles it when it starts
foreach(target ${HY_CUDA_TARGETS})
  string(REGEX REPLACE "[a-z]$" "" number ${target})
  if(known_targets MATCHES "compute_${number}(\n|$)")
    list(APPEND cuda_codes -gencode arch=compute_${target},code=sm_${target})
  endif()
endforeach()
string(REPLACE ";" " " cuda_codes_said "${cuda_codes}")
message(STATUS "nvcc: ${HY_NVCC} ${cuda_codes_said}")

foreach(source ${cuda_sources})
  get_filename_component(name ${source} NAME_WE)
  set(object ${CMAKE_BINARY_DIR}/cuda/${name}.o)
  add_custom_command(OUTPUT ${object}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/cuda
    COMMAND ${HY_NVCC} -std=c++17 -O3 -lineinfo -I${CMAKE_SOURCE_DIR} ${cuda_codes} $<$<BOOL:${HY_WERROR}>:-Werror> $<$<BOOL:${HY_WERROR}>:all-warnings>
            -Xcompiler=-Wall,-fno-exceptions -MD -MF ${object}.d -c ${source} -o ${object}
    DEPENDS ${source} DEPFILE ${object}.d COMMENT "nvcc ${name}.cu" COMMAND_EXPAND_LISTS VERBATIM)
  target_sources(hy_kernels PRIVATE ${object})
endforeach()
file(GLOB cuda_c_sources CONFIGURE_DEPENDS ${cuda_dir}/*.c)
list(FILTER cuda_c_sources EXCLUDE REGEX "/table_host\\.c$")
target_sources(hy_kernels PRIVATE ${cuda_c_sources})
target_include_directories(hy_kernels SYSTEM PRIVATE ${HY_CUDA_INCLUDE})
if(EXISTS ${HY_CUDA_INCLUDE}/cufft.h)
  target_compile_definitions(hy_kernels PRIVATE HY_HAVE_CUFFT=1)
else()
  message(STATUS "cufft.h is not here: the device cuda has no long convolutions")
endif()
target_compile_definitions(hy_kernels PRIVATE HY_HAVE_CUDA=1)
target_link_libraries(hy_kernels PUBLIC ${HY_CUDART} dl rt pthread)
