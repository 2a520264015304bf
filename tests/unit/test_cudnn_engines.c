/* The graphs of attention put to cuDNN itself, on a machine without a GPU: it can be asked for a GPU that is described to it (JSON), proposes
 * engines whose support it has checked, and compiles their kernels; what it cannot do is load them, for lack of a driver. So that a graph is
 * one that it knows as attention is tested; what the kernels compute is not. Skipped where the library or a libcuda to link against is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#if defined(HY_TEST_CUDNN_LIBRARY) && defined(HY_TEST_CUDA_STUB)
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "kernels/cuda/cudnn_graph.h"

enum { ENGINES = 4 };

typedef struct gpu {
    const char *name;
    int version, processors, shared;
} gpu;

static const gpu gpus[] = {
    {"NVIDIA A100-SXM4-80GB", 800, 108, 166912}, {"NVIDIA H200", 900, 132, 232448}, {"NVIDIA B200", 1000, 148, 232448}};

static hy_cudnn_library lib;

static cudnnBackendDescriptor_t properties_of(const gpu *g) {
    cudnnBackendDescriptor_t properties = NULL;
    char text[1024];
    snprintf(
        text, sizeof text,
        "{\"deviceName\": \"%s\", \"deviceVer\": %d, \"multiProcessorCount\": %d, "
        "\"maxSharedMemoryPerBlockOptin\": %d, \"maxGridSize\": [2147483647, 65535, 65535], "
        "\"maxBlockSize\": [1024, 1024, 64], \"regsPerBlock\": 65536, \"warpSize\": 32, "
        "\"maxSharedMemoryPerBlock\": 49152, \"reservedSharedMemoryPerBlock\": 1024, \"maxRegistersPerSM\": 65536, "
        "\"maxCtasPerSM\": 32, \"maxThreadsPerBlock\": 1024, \"maxThreadsPerSM\": 2048, \"pciDeviceId\": 0, "
        "\"isTccDriver\": 0, \"supportCoopLaunch\": 1, \"smClockRateKHz\": 1980000, \"memClockRateKHz\": 3201000, "
        "\"l2CacheSize\": 62914560, \"driverVer\": 13000, \"cudaDeviceId\": 0, \"totalGlobalMem\": 80000000000}",
        g->name, g->version, g->processors, g->shared);
    assert_int_equal(lib.cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &properties), 0);
    assert_int_equal(lib.cudnnBackendSetAttribute(properties, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                                  CUDNN_TYPE_CHAR, (int64_t)strlen(text), text),
                     0);
    assert_int_equal(lib.cudnnBackendFinalize(properties), 0);
    return properties;
}

/* How many engines there are; the first one's plan, if wanted, must get as far as loading its kernels. */
static int64_t engines_for(const gpu *where, const hy_cudnn_shape *shape, bool plan) {
    hy_cudnn_graph g;
    cudnnBackendDescriptor_t engines[ENGINES];
    const hy_cudnn_target target = {.properties = properties_of(where)};
    int64_t bytes = 0;
    const cudnnBackendDescriptor_t graph = hy_cudnn_graph_begin(&g, &lib, shape, &target);
    const int64_t n = graph != NULL ? hy_cudnn_graph_engines(&g, graph, &target, ENGINES, engines) : 0;
    if (plan && n > 0 && hy_cudnn_graph_plan(&g, engines[0], &target, &bytes) == NULL &&
        strstr(g.why, "cuLibraryLoadData") == NULL) {
        fail_msg("%s: %s", where->name, g.why);
    }
    assert_true(bytes <= HY_CUDNN_WORK);
    hy_cudnn_graph_end(&g);
    lib.cudnnBackendDestroyDescriptor(target.properties);
    return n;
}

static void test_attention_is_known(void **unused) {
    static const hy_cudnn_shape shapes[] = {{16, 16, 128, 128, 4096, 4096, 1},    {16, 4, 128, 128, 4096, 4096, 0},
                                            {16, 4, 64, 64, 1000, 777, 0},        {16, 16, 192, 128, 2048, 2048, 1},
                                            {8, 8, 256, 256, 1024, 1024, 1},      {16, 4, 128, 128, 72, 72, 1},
                                            {16, 4, 128, 128, 131072, 131072, 1}, {16, 4, 96, 96, 72, 56, 0}};
    (void)unused;
    for (size_t i = 0; i < sizeof gpus / sizeof gpus[0]; i++) {
        for (size_t j = 0; j < sizeof shapes / sizeof shapes[0]; j++) {
            const bool plan = gpus[i].version == 900 && j < 2; /* compiling takes seconds */
            if (engines_for(&gpus[i], &shapes[j], plan) == 0) {
                fail_msg("%s, shape %d: no engine", gpus[i].name, (int)j);
            }
        }
    }
}

/* What it does not know has no engine: heads of no multiple of 8, heads that no groups share. */
static void test_other_shapes_are_not(void **unused) {
    static const hy_cudnn_shape shapes[] = {{16, 16, 100, 128, 256, 256, 1}, {16, 3, 128, 128, 256, 256, 0}};
    (void)unused;
    for (size_t j = 0; j < sizeof shapes / sizeof shapes[0]; j++) {
        assert_int_equal(engines_for(&gpus[1], &shapes[j], false), 0);
    }
}

static int open_all(void **unused) {
    char why[256];
    (void)unused;
    /* cuDNN looks for libcuda.so.1: what has that name is loaded already */
    if (dlopen(HY_TEST_CUDA_STUB, RTLD_NOW | RTLD_GLOBAL) == NULL) {
        print_message("%s\n", dlerror());
        return 1;
    }
    if (!hy_cudnn_library_open(HY_TEST_CUDNN_LIBRARY, &lib, why, sizeof why)) {
        print_message("%s\n", why);
        return 1;
    }
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_attention_is_known),
                                       cmocka_unit_test(test_other_shapes_are_not)};
    return cmocka_run_group_tests(tests, open_all, NULL);
}
#else
static void test_cudnn(void **unused) {
    (void)unused;
    print_message("cuDNN, its header or a libcuda to link against is not here\n");
    skip();
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cudnn)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
