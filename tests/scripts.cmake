# Tests that are programs or scripts: each part adds its own below.

# golden/: hylas op against vectors from independent implementations.
add_executable(compare_tensors golden/compare_tensors.c)
target_link_libraries(compare_tensors PRIVATE hy_train)
foreach(kind ops models)
  foreach(ranks 1 2 3 7)
    foreach(layout contiguous zigzag)
      set(name golden/${kind}/${layout}/np${ranks})
      add_test(NAME ${name} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/golden/golden.sh ${kind} $<TARGET_FILE:hylas>
               $<TARGET_FILE:compare_tensors> ${data_dir} ${ranks} ${layout})
      set_tests_properties(${name} PROPERTIES TIMEOUT 300 ENVIRONMENT "${mpi_environment};MPIEXEC=${MPIEXEC_EXECUTABLE}")
    endforeach()
  endforeach()
endforeach()
if(HY_CUDA_HOST)
  foreach(kind ops models)
    add_test(NAME golden/${kind}/cuda_host COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/golden/golden.sh ${kind} $<TARGET_FILE:hylas>
             $<TARGET_FILE:compare_tensors> ${data_dir} 2 zigzag cuda_host)
    set_tests_properties(golden/${kind}/cuda_host PROPERTIES TIMEOUT 300 ENVIRONMENT "${mpi_environment};MPIEXEC=${MPIEXEC_EXECUTABLE}")
  endforeach()
endif()
function(hy_golden_transport transport)
  foreach(kind ops models)
    add_test(NAME golden/${kind}/${transport} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/golden/golden.sh ${kind} $<TARGET_FILE:hylas>
             $<TARGET_FILE:compare_tensors> ${data_dir} 3 zigzag cpu ${transport})
    set_tests_properties(golden/${kind}/${transport} PROPERTIES TIMEOUT 300 ENVIRONMENT "${mpi_environment};MPIEXEC=${MPIEXEC_EXECUTABLE};${ARGN}")
  endforeach()
endfunction()
if(TARGET hy::ucx)
  hy_golden_transport(ucx)
endif()
if(HY_HAVE_NCCL)
  hy_golden_transport(nccl "HYLAS_NCCL=$<TARGET_FILE:nccl_standin>")
endif()

# program/: the commands from outside, by exit code and output.
function(hy_program_test name)
  add_test(NAME program/${name} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/program/${name}.sh $<TARGET_FILE:hylas> ${data_dir} ${ARGN})
  set_tests_properties(program/${name} PROPERTIES TIMEOUT 600 ENVIRONMENT "${mpi_environment};MPIEXEC=${MPIEXEC_EXECUTABLE}")
endfunction()

hy_program_test(verify)
hy_program_test(published)
hy_program_test(bench)
hy_program_test(doctor)
hy_program_test(recall)
hy_program_test(report ${CMAKE_SOURCE_DIR})
# The page in a browser; skipped (77) where there is none.
hy_program_test(report_page ${CMAKE_SOURCE_DIR} ${CMAKE_CURRENT_BINARY_DIR})
set_tests_properties(program/report_page PROPERTIES SKIP_RETURN_CODE 77)
add_library(trace_slow SHARED trace/slow.c)
target_link_libraries(trace_slow PRIVATE hy::mpi)
hy_program_test(trace ${CMAKE_SOURCE_DIR} $<TARGET_FILE:trace_slow>)
set_tests_properties(program/trace PROPERTIES RUN_SERIAL TRUE) # it says who is slow, and where time goes that nobody measured
hy_program_test(train_again)
hy_program_test(older_checkpoint)
hy_program_test(async)
hy_program_test(transports)
hy_program_test(scale)
hy_program_test(ladder ${CMAKE_SOURCE_DIR})
hy_program_test(precision)
if(HY_CUDA_HOST)
  hy_program_test(cuda_host)
  hy_program_test(cuda_verify)
  hy_program_test(cuda_quickstart)
  if(HY_HAVE_CUDNN)
    hy_program_test(cudnn_verify $<TARGET_FILE:cudnn_standin>)
  endif()
  add_test(NAME program/plan_devices COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/program/plan_devices.sh $<TARGET_FILE:hylas> ${CMAKE_SOURCE_DIR})
  set_tests_properties(program/plan_devices PROPERTIES TIMEOUT 300 ENVIRONMENT "${mpi_environment};MPIEXEC=${MPIEXEC_EXECUTABLE}")
  add_test(NAME program/gpu_check COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/program/gpu_check.sh ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR})
  set_tests_properties(program/gpu_check PROPERTIES TIMEOUT 300 ENVIRONMENT "${mpi_environment};MPIEXEC=${MPIEXEC_EXECUTABLE}")
  # Registers, local memory and blocks per multiprocessor of the hot kernels; skipped (77) where nvcc was not.
  add_test(NAME program/kernel_resources COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/program/kernel_resources.sh ${CMAKE_SOURCE_DIR} ${CMAKE_BINARY_DIR}
           $<TARGET_FILE:launch_shapes>)
  set_tests_properties(program/kernel_resources PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77)
endif()
# That the study of overlap runs, and has a row for each exchange; how much is hidden is for docs/overlap.md.
hy_program_test(overlap_study ${CMAKE_SOURCE_DIR})
hy_program_test(exposed_study ${CMAKE_SOURCE_DIR})
set_tests_properties(program/overlap_study program/exposed_study PROPERTIES SKIP_RETURN_CODE 77)
if(HY_HAVE_NCCL)
  hy_program_test(nccl $<TARGET_FILE:nccl_standin>)
endif()
foreach(name slurm readme same_on_all) # what is in the repository besides the program
  add_test(NAME program/${name} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/program/${name}.sh $<TARGET_FILE:hylas> ${CMAKE_SOURCE_DIR})
  set_tests_properties(program/${name} PROPERTIES TIMEOUT 600 ENVIRONMENT "${mpi_environment};MPIEXEC=${MPIEXEC_EXECUTABLE}")
endforeach()

# Beside PyTorch, where there is one.
add_test(NAME program/pytorch COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/program/pytorch.sh $<TARGET_FILE:hylas> ${CMAKE_SOURCE_DIR})
set_tests_properties(program/pytorch PROPERTIES TIMEOUT 600 SKIP_RETURN_CODE 3 ENVIRONMENT "${mpi_environment};MPIEXEC=${MPIEXEC_EXECUTABLE}")

# What programs read (--json, --version) and what stays on disk of a run.
add_executable(json_get program/json_get.c)
target_link_libraries(json_get PRIVATE hy::jansson)
hy_program_test(json $<TARGET_FILE:json_get> ${CMAKE_SOURCE_DIR})
foreach(name run_record threads)
  add_test(NAME program/${name} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/program/${name}.sh $<TARGET_FILE:hylas> ${CMAKE_SOURCE_DIR} $<TARGET_FILE:json_get>)
  set_tests_properties(program/${name} PROPERTIES TIMEOUT 300 ENVIRONMENT "${mpi_environment};MPIEXEC=${MPIEXEC_EXECUTABLE}")
endforeach()

# fault/: what must survive. kill_resume.sh and stop_resume.sh take the number of kills or stops; by hand 20. cpu_apart: a device whose memory the
# child that saves does not see.
add_test(NAME fault/kill_resume COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/fault/kill_resume.sh $<TARGET_FILE:hylas> ${CMAKE_SOURCE_DIR} 4)
set_tests_properties(fault/kill_resume PROPERTIES TIMEOUT 900 ENVIRONMENT "${mpi_environment};MPIEXEC=${MPIEXEC_EXECUTABLE}")
add_test(NAME fault/stop_resume COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/fault/stop_resume.sh $<TARGET_FILE:hylas> ${CMAKE_SOURCE_DIR} 4)
set_tests_properties(fault/stop_resume PROPERTIES TIMEOUT 900 ENVIRONMENT "${mpi_environment};MPIEXEC=${MPIEXEC_EXECUTABLE}")
if(TARGET hy::ucx)
  add_executable(lost_peer fault/lost_peer.c)
  target_link_libraries(lost_peer PRIVATE hy_train)
  add_test(NAME fault/lost_peer COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/fault/lost_peer.sh $<TARGET_FILE:lost_peer>)
  set_tests_properties(fault/lost_peer PROPERTIES TIMEOUT 300 ENVIRONMENT "${mpi_environment};MPIEXEC=${MPIEXEC_EXECUTABLE}")
endif()
if(HY_HAVE_NCCL)
  add_executable(failed_exchange fault/failed_exchange.c)
  target_link_libraries(failed_exchange PRIVATE hy_train)
  add_test(NAME fault/failed_exchange COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/fault/failed_exchange.sh $<TARGET_FILE:failed_exchange> $<TARGET_FILE:nccl_standin>)
  set_tests_properties(fault/failed_exchange PROPERTIES TIMEOUT 300 ENVIRONMENT "${mpi_environment};MPIEXEC=${MPIEXEC_EXECUTABLE}")
endif()
add_test(NAME fault/stop_resume_apart COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/fault/stop_resume.sh $<TARGET_FILE:hylas> ${CMAKE_SOURCE_DIR} 3 cpu_apart bf16)
set_tests_properties(fault/stop_resume_apart PROPERTIES TIMEOUT 900 ENVIRONMENT "${mpi_environment};MPIEXEC=${MPIEXEC_EXECUTABLE}")
add_test(NAME fault/bad_inputs COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/fault/bad_inputs.sh $<TARGET_FILE:hylas> ${CMAKE_SOURCE_DIR})
set_tests_properties(fault/bad_inputs PROPERTIES TIMEOUT 900 ENVIRONMENT "${mpi_environment};MPIEXEC=${MPIEXEC_EXECUTABLE}")

# A rank that stops, loops, is elsewhere, dies, is slow.
add_executable(astray fault/astray.c)
target_link_libraries(astray PRIVATE hy_comm)
add_test(NAME fault/watchdog COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/fault/watchdog.sh $<TARGET_FILE:hylas> ${CMAKE_SOURCE_DIR} $<TARGET_FILE:astray>)
set_tests_properties(fault/watchdog PROPERTIES TIMEOUT 600 ENVIRONMENT "${mpi_environment};MPIEXEC=${MPIEXEC_EXECUTABLE}")

# Four hosts as network namespaces; skipped (77) where these are not allowed.
add_test(NAME fault/four_hosts COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/fault/four_hosts.sh $<TARGET_FILE:hylas> ${CMAKE_SOURCE_DIR})
set_tests_properties(fault/four_hosts PROPERTIES TIMEOUT 600 SKIP_RETURN_CODE 77 ENVIRONMENT "${mpi_environment};MPIEXEC=${MPIEXEC_EXECUTABLE}")

# The n-th system call or allocation fails: a draw of a minute here; all of them by `nth_failure.sh ... --all`. Sanitizers want to be
# loaded first themselves. Skipped (77) where the kernel refuses a seccomp filter.
if(NOT HY_SANITIZE AND NOT HY_TSAN AND CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|aarch64")
  add_library(nth_failure MODULE fault/nth_failure.c)
  add_test(NAME fault/nth_failure COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/fault/nth_failure.sh $<TARGET_FILE:hylas> $<TARGET_FILE:nth_failure>
           ${CMAKE_SOURCE_DIR})
  set_tests_properties(fault/nth_failure PROPERTIES TIMEOUT 600 SKIP_RETURN_CODE 77 ENVIRONMENT "${mpi_environment};MPIEXEC=${MPIEXEC_EXECUTABLE}")
endif()

# At the n-th exchange of a step one rank meets an error, is killed or stops: a draw here; all of them by `exchange_faults.sh ... --all`.
set(fault_transports mpi)
if(TARGET hy::ucx)
  string(APPEND fault_transports " ucx")
endif()
if(HY_HAVE_NCCL)
  string(APPEND fault_transports " nccl")
  set(fault_nccl "HYLAS_NCCL=$<TARGET_FILE:nccl_standin>")
endif()
if(NOT HY_SANITIZE AND NOT HY_TSAN)
  add_library(nth_exchange MODULE fault/nth_exchange.c)
  target_link_libraries(nth_exchange PRIVATE hy::mpi)
  add_test(NAME fault/exchange_faults COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/fault/exchange_faults.sh $<TARGET_FILE:hylas> ${CMAKE_SOURCE_DIR}
           $<TARGET_FILE:nth_exchange> ${fault_transports})
  set_tests_properties(fault/exchange_faults PROPERTIES TIMEOUT 600 ENVIRONMENT "${mpi_environment};MPIEXEC=${MPIEXEC_EXECUTABLE};${fault_nccl}")
  # A /dev/shm without room; skipped (77) where a mount namespace is not allowed.
  add_test(NAME fault/full_shm COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/fault/full_shm.sh $<TARGET_FILE:hylas> ${CMAKE_SOURCE_DIR} ${fault_transports})
  set_tests_properties(fault/full_shm PROPERTIES TIMEOUT 300 SKIP_RETURN_CODE 77 ENVIRONMENT "${mpi_environment};MPIEXEC=${MPIEXEC_EXECUTABLE};${fault_nccl}")
endif()

# The plan of a run against the run.
add_test(NAME program/plan COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/program/plan.sh $<TARGET_FILE:hylas> ${CMAKE_SOURCE_DIR})
set_tests_properties(program/plan PROPERTIES TIMEOUT 300 ENVIRONMENT "${mpi_environment};MPIEXEC=${MPIEXEC_EXECUTABLE}")

# Every recipe that carries a parameter count: its count, and verification at reduced width.
file(GLOB_RECURSE recipes CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/configs/*.yaml)
foreach(recipe ${recipes})
  file(STRINGS ${recipe} counted REGEX "^# parameters: ")
  if(counted)
    file(RELATIVE_PATH name ${CMAKE_SOURCE_DIR}/configs ${recipe})
    string(REGEX REPLACE "\\.yaml$" "" name ${name})
    add_test(NAME recipe/${name} COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/program/recipe.sh $<TARGET_FILE:hylas> ${recipe})
    set_tests_properties(recipe/${name} PROPERTIES TIMEOUT 300 ENVIRONMENT "${mpi_environment};MPIEXEC=${MPIEXEC_EXECUTABLE}")
  endif()
endforeach()

# Every kind of mixer with every exchange, layout, packing, recompute, device and transport against the oracle, token by token: each pair of
# values here; the whole product by launch/conformance.sh --full.
add_executable(conformance conformance/conformance.c conformance/conform_axes.c conformance/conform_problem.c conformance/conform_run.c
               conformance/conform_subject.c)
target_link_libraries(conformance PRIVATE hy_train)
set(conform_environment "${mpi_environment}")
if(HY_HAVE_NCCL)
  add_dependencies(conformance nccl_standin)
  list(APPEND conform_environment "HYLAS_NCCL=$<TARGET_FILE:nccl_standin>")
endif()
hy_dist_test(conformance/damaged 3 $<TARGET_FILE:conformance> --damaged)
set(conform_tests conformance/damaged/np3)
foreach(ranks 1 2 3 4 5 7 8)
  hy_dist_test(conformance ${ranks} $<TARGET_FILE:conformance>)
  list(APPEND conform_tests conformance/np${ranks})
endforeach()
set_tests_properties(${conform_tests} PROPERTIES TIMEOUT 900 ENVIRONMENT "${conform_environment}")
