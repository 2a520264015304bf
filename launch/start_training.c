#include "launch/start_training.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/cpu/gemm.h"
#include "launch/build_info.h"
#include "launch/environment.h"
#include "train/run/method_start.h"
#include "train/run/train_loop.h"

static void warn_of_slow_products(const hy_comm *world) {
    const char *mend = hy_cpu_blas_mend();
    if (mend != NULL && hy_onednn_version()[0] == '\0' && hy_comm_rank(world) == 0) {
        hy_warn(
            "OpenBLAS does not know this processor: matrix products are several times slower than they could be; mend "
            "it with: export OPENBLAS_CORETYPE=%s",
            mend);
    }
}

hy_status hy_training_run(const hy_training_start *start, hy_config *config, hy_comm *world) {
    char *environment = NULL;
    hy_log_await_file();
    warn_of_slow_products(world);
    HY_TRY(hy_method_start(config, world));
    hy_status status = hy_environment_describe(start->argc, start->argv, config, world, &environment);
    if (status == HY_OK) {
        hy_log_record("\nstarted     %s by %s on %d ranks: %s\n", hy_utc_time().s, hy_build_version(),
                      hy_comm_size(world), start->name);
        status =
            hy_train_with(config, &(hy_train_options){.environment = environment, .allowed = start->allowed}, world);
    }
    free(environment);
    return status;
}
