# What launch/build_info.c tells: fixed at configuration, but for the commit, which HylasCommit.cmake looks up at every build.
string(TOUPPER "${CMAKE_BUILD_TYPE}" build_type)
get_directory_property(build_options COMPILE_OPTIONS)
string(JOIN " " build_flags ${CMAKE_C_FLAGS} ${CMAKE_C_FLAGS_${build_type}} ${build_options})
set_source_files_properties(${CMAKE_SOURCE_DIR}/launch/build_info.c PROPERTIES COMPILE_DEFINITIONS
  "HY_VERSION=\"${PROJECT_VERSION}\";HY_BUILD_TYPE=\"${CMAKE_BUILD_TYPE}\";HY_BUILD_FLAGS=\"${build_flags}\";HY_BUILD_COMPILER=\"${CMAKE_C_COMPILER_ID} ${CMAKE_C_COMPILER_VERSION}\"")

set(commit_file ${CMAKE_BINARY_DIR}/generated/build_commit.c)
add_custom_target(hylas_commit BYPRODUCTS ${commit_file}
  COMMAND ${CMAKE_COMMAND} -DSOURCE=${CMAKE_SOURCE_DIR} -DOUT=${commit_file} -P ${CMAKE_SOURCE_DIR}/launch/cmake/HylasCommit.cmake)
add_dependencies(hylas hylas_commit)
target_sources(hylas PRIVATE ${commit_file})
