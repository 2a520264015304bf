/* hylas train CONFIG: see train/run/train_loop.h. */
#include "base/memory.h"
#include "launch/commands.h"
#include "launch/config_option.h"
#include "launch/options.h"
#include "launch/start_training.h"

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
    HY_TRY(hy_options_parse(&usage, argc, argv, world, &args));
    if (args.help) {
        return HY_OK;
    }
    HY_TRY(hy_config_load_on_all_with_origins(world, args.positional[0], &sets, &config, &origins));
    const hy_allowed_changes allowed = {changes.items, changes.n, origins};
    const hy_training_start start = {argc, argv, args.positional[0], &allowed};
    const hy_status status = hy_training_run(&start, config, world);
    hy_schema_origins_destroy(origins);
    hy_free(config);
    return status;
}
