#include "launch/build_info.h"

#include <jansson.h>
#include <stdio.h>
#include <xxhash.h>
#include <yaml.h>

#include "comm/comm.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/cpu/gemm.h"
#include "train/data/h5.h"

const char *hy_build_version(void) {
    static char text[160];
    snprintf(text, sizeof text, "hylas %s (%s)", HY_VERSION, hy_build_commit);
    return text;
}

static void write_libraries(hy_json *json) {
    char text[256];
    hy_json_open_object(json, "libraries");
    hy_json_string(json, "mpi", hy_comm_library());
    hy_h5_version(text, sizeof text);
    hy_json_string(json, "hdf5", text);
    hy_cpu_blas(text, sizeof text);
    hy_json_string(json, "blas", text);
    hy_json_string(json, "onednn", hy_onednn_version()[0] != '\0' ? hy_onednn_version() : NULL);
    hy_json_string(json, "fftw", hy_cpu_fft());
    hy_json_string(json, "yaml", yaml_get_version_string());
    hy_json_string(json, "jansson", JANSSON_VERSION);
    const unsigned xxhash = XXH_versionNumber();
    snprintf(text, sizeof text, "%u.%u.%u", xxhash / 10000, xxhash / 100 % 100, xxhash % 100);
    hy_json_string(json, "xxhash", text);
    hy_json_close(json);
}

void hy_build_json(hy_json *json) {
    hy_json_string(json, "version", HY_VERSION);
    hy_json_string(json, "commit", hy_build_commit);
    hy_json_open_object(json, "build");
    hy_json_string(json, "type", HY_BUILD_TYPE);
    hy_json_string(json, "flags", HY_BUILD_FLAGS);
    hy_json_string(json, "compiler", HY_BUILD_COMPILER);
    hy_json_close(json);
    write_libraries(json);
}
