# cuDNN's header, 9.10 or later, where the CUDA toolkit or the system has it; the library itself is looked for when the program runs.
option(HY_CUDNN "Let attention on GPUs ask for cuDNN, where its header is" ON)
if(HY_CUDNN)
  find_path(HY_CUDNN_INCLUDE cudnn.h HINTS ${HY_CUDA_INCLUDE} $ENV{CUDNN_HOME}/include $ENV{CUDA_HOME}/include /usr/local/cuda/include /opt/cuda/include)
  find_path(HY_CUDNN_CUDA_INCLUDE cuda_runtime.h HINTS ${HY_CUDNN_INCLUDE} ${HY_CUDA_INCLUDE} $ENV{CUDA_HOME}/include /usr/local/cuda/include /opt/cuda/include)
endif()
if(HY_CUDNN AND HY_CUDNN_INCLUDE AND HY_CUDNN_CUDA_INCLUDE)
  include(CheckCSourceCompiles)
  include(CMakePushCheckState)
  cmake_push_check_state(RESET)
  set(CMAKE_REQUIRED_INCLUDES ${HY_CUDNN_INCLUDE} ${HY_CUDNN_CUDA_INCLUDE})
  set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY) # nothing is linked
  file(GLOB cudnn_versions ${HY_CUDNN_INCLUDE}/cudnn_version*.h)
  set(cudnn_version "")
  foreach(header ${cudnn_versions})
    file(MD5 ${header} hash)
    string(APPEND cudnn_version ${hash})
  endforeach()
  string(MD5 cudnn_place "${HY_CUDNN_INCLUDE} ${HY_CUDNN_CUDA_INCLUDE} ${cudnn_version}") # another header is another answer
  check_c_source_compiles("
    #include <cudnn.h>
    #if CUDNN_VERSION < 91000
    #error too old
    #endif
    int names[] = {CUDNN_POINTWISE_GEN_INDEX, CUDNN_POINTWISE_CMP_GE, CUDNN_POINTWISE_BINARY_SELECT, CUDNN_ATTR_TENSOR_IS_BY_VALUE,
                   CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR,
                   CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION};
    void (*last_error)(char *, size_t) = cudnnGetLastErrorString;" HY_CUDNN_HEADER_${cudnn_place})
  cmake_pop_check_state()
  unset(CMAKE_TRY_COMPILE_TARGET_TYPE)
endif()
if(HY_CUDNN AND HY_CUDNN_HEADER_${cudnn_place})
  set(HY_HAVE_CUDNN ON)
  add_library(hy_cudnn INTERFACE)
  target_include_directories(hy_cudnn SYSTEM INTERFACE ${HY_CUDNN_INCLUDE} ${HY_CUDNN_CUDA_INCLUDE})
  target_compile_definitions(hy_kernels PRIVATE HY_HAVE_CUDNN=1)
  target_link_libraries(hy_kernels PRIVATE hy_cudnn)
  target_sources(hy_kernels PRIVATE ${CMAKE_SOURCE_DIR}/kernels/cuda/cudnn_library.c ${CMAKE_SOURCE_DIR}/kernels/cuda/cudnn_graph.c)
else()
  message(STATUS "cudnn.h, 9.10 or later, is not here, or switched off (HY_CUDNN): softmax attention on GPUs is this program's own")
endif()
target_sources(hy_kernels PRIVATE ${CMAKE_SOURCE_DIR}/kernels/cuda/cudnn_attention.c)
