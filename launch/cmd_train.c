/* hylas train CONFIG: see train/run/train_loop.h. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "kernels/cpu/cpu_info.h"
#include "kernels/cpu/gemm.h"
#include "launch/build_info.h"
#include "launch/commands.h"
#include "launch/config_option.h"
#include "launch/environment.h"
#include "launch/options.h"
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

hy_status hy_cmd_train(int argc, char **argv, hy_comm *world) {
    hy_option_list sets = {.n = 0}, changes = {.n = 0};
    const hy_option options[] = {
        {"--set", HY_OPTION_LIST, &sets, "a.b=value", "changes one key of the config; may be given many times"},
        {"--allow-change", HY_OPTION_LIST, &changes, "KEY[,KEY]",
         "go on though KEY (or a key of the section KEY) is not what the run was made with"},
    };
    const hy_usage usage = {
        "[mpirun -np N] hylas train CONFIG [--set a.b=value]... [--allow-change KEY]...",
        "Trains the model of CONFIG on the N ranks. The same command resumes from the newest checkpoint in run.dir; a\n"
        "configuration that is another run's is an error. SIGINT and SIGTERM save the last finished step at once, "
        "SIGUSR1\n"
        "and train.time_limit finish the step at hand; the exit code is 75. `hylas help config` lists the keys.",
        options,
        2,
        1,
        1};
    hy_args args;
    hy_config *config = NULL;
    hy_schema_origins *origins = NULL;
    char *environment = NULL;
    HY_TRY(hy_options_parse(&usage, argc, argv, world, &args));
    if (args.help) {
        return HY_OK;
    }
    HY_TRY(hy_config_load_on_all_with_origins(world, args.positional[0], &sets, &config, &origins));
    warn_of_slow_products(world);
    const hy_status settled = hy_method_start(config, world);
    const hy_allowed_changes allowed = {changes.items, changes.n, origins};
    hy_status status = settled == HY_OK ? hy_environment_describe(argc, argv, config, world, &environment) : settled;
    if (status == HY_OK) {
        hy_log_record("\nstarted     %s by %s on %d ranks: %s\n", hy_utc_time().s, hy_build_version(),
                      hy_comm_size(world), args.positional[0]);
        status = hy_train_with(config, &(hy_train_options){.environment = environment, .allowed = &allowed}, world);
    }
    hy_schema_origins_destroy(origins);
    free(environment);
    hy_free(config);
    return status;
}
