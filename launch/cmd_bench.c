/* hylas bench kernels|step: speed, as a share of the fp32 matrix-product rate measured in the same run. */
#include <string.h>

#include "base/clock.h"
#include "base/memory.h"
#include "launch/bench.h"
#include "launch/commands.h"

hy_status hy_bench_gemm_rate(hy_device *device, int64_t n, int repeats, double *flops_per_second) {
    float *m = NULL;
    HY_TRY(HY_NEW("matrices", 3 * n * n, &m));
    for (int64_t i = 0; i < 2 * n * n; i++) {
        m[i] = (float)(i % 17) * 0.1f;
    }
    *flops_per_second = 0;
    for (int i = 0; i < repeats; i++) {
        double begin = hy_now();
        hy_gemm(device, &(hy_gemm_args){.m = n, .n = n, .k = n, .alpha = 1, .a = m, .lda = n, .b = m + n * n, .ldb = n, .c = m + 2 * n * n, .ldc = n});
        double rate = 2.0 * (double)n * (double)n * (double)n / (hy_now() - begin);
        *flops_per_second = rate > *flops_per_second ? rate : *flops_per_second;
    }
    hy_free(m);
    return HY_OK;
}

double hy_bench_recur_flops(hy_rule rule, int64_t key_dim, int64_t value_dim) {
    double C = 64, K = (double)key_dim, V = (double)value_dim;
    return 2 * (rule == HY_RULE_DELTA ? C * K + C * C / 6 + C * (K + V) / 2 + 3 * K * V + C * V / 2 : C * K / 2 + C * V / 2 + 2 * K * V);
}

hy_status hy_cmd_bench(int argc, char **argv, hy_comm *world) {
    if (argc > 1 && strcmp(argv[1], "kernels") == 0) {
        return hy_bench_kernels(argc - 1, argv + 1, world);
    }
    if (argc > 1 && strcmp(argv[1], "step") == 0) {
        return hy_bench_step(argc - 1, argv + 1, world);
    }
    return hy_comm_rank(world) == 0 ? hy_fail(HY_ERR_USAGE, "usage: hylas bench kernels|step ...; --help after either tells more") : HY_ERR_PEER;
}
