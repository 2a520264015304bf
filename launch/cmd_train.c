/* hylas train CONFIG: see train/run/train_loop.h. */
#include "base/memory.h"
#include "launch/commands.h"
#include "launch/config_option.h"
#include "launch/options.h"
#include "train/run/train_loop.h"

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
    HY_TRY(hy_options_parse(&usage, argc, argv, world, &args));
    if (args.help) {
        return HY_OK;
    }
    HY_TRY(hy_config_load_on_all(world, args.positional[0], &sets, &config));
    const hy_status status = hy_train(config, world);
    hy_free(config);
    return status;
}
