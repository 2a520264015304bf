/* hylas train CONFIG: see train/run/train_loop.h. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "kernels/cpu/cpu_info.h"
#include "launch/build_info.h"
#include "launch/commands.h"
#include "launch/config_option.h"
#include "launch/environment.h"
#include "launch/options.h"
#include "train/run/train_loop.h"

static void warn_of_slow_products(const hy_comm *world) {
    const char *mend = hy_cpu_blas_mend();
    if (mend != NULL && hy_comm_rank(world) == 0) {
        hy_warn(
            "OpenBLAS does not know this processor: matrix products are several times slower than they could be; mend "
            "it with: export OPENBLAS_CORETYPE=%s",
            mend);
    }
}

hy_status hy_cmd_train(int argc, char **argv, hy_comm *world) {
    hy_option_list sets = {.n = 0};
    const hy_option options[] = {
        {"--set", HY_OPTION_LIST, &sets, "a.b=value", "changes one key of the config; may be given many times"},
    };
    const hy_usage usage = {
        "[mpirun -np N] hylas train CONFIG [--set a.b=value]...",
        "Trains the model of CONFIG on the N ranks. The same command resumes from the newest checkpoint in run.dir.\n"
        "SIGTERM, SIGUSR1 and train.time_limit save and exit with 75. `hylas help config` lists the keys.",
        options,
        1,
        1,
        1};
    hy_args args;
    hy_config *config = NULL;
    char *environment = NULL;
    HY_TRY(hy_options_parse(&usage, argc, argv, world, &args));
    if (args.help) {
        return HY_OK;
    }
    HY_TRY(hy_config_load_on_all(world, args.positional[0], &sets, &config));
    warn_of_slow_products(world);
    hy_status status = hy_environment_describe(argc, argv, world, &environment);
    if (status == HY_OK) {
        hy_log_record("\nstarted     %s by %s on %d ranks: %s\n", hy_utc_time().s, hy_build_version(),
                      hy_comm_size(world), args.positional[0]);
        status = hy_train_with(config, &(hy_train_options){.environment = environment}, world);
    }
    free(environment);
    hy_free(config);
    return status;
}
