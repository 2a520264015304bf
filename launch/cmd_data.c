/* hylas data: make or inspect a token store. The actions are rows of launch/data_actions.h. */
#include <string.h>

#include "base/text.h"
#include "launch/commands.h"
#include "launch/data_actions.h"
#include "launch/options.h"

static const struct {
    const char *name;
    hy_status (*run)(int argc, char **argv, hy_comm *world);
} actions[] = {
#define HY_X(name, usage, about) {#name, hy_data_##name},
    HY_DATA_ACTIONS(HY_X)
#undef HY_X
};
enum { N_ACTIONS = sizeof actions / sizeof actions[0] };

static hy_status fail_unknown_action(hy_comm *world, const char *word) {
    const char *names[N_ACTIONS];
    for (int i = 0; i < N_ACTIONS; i++) {
        names[i] = actions[i].name;
    }
    if (hy_comm_rank(world) > 0) {
        return hy_comm_agree(world, HY_ERR_PEER);
    }
    return hy_comm_agree(world, hy_fail(HY_ERR_USAGE, "hylas data: unknown action %s; nearest: %s", word,
                                        names[hy_text_nearest(word, names, N_ACTIONS)]));
}

hy_status hy_cmd_data(int argc, char **argv, hy_comm *world) {
    for (int i = 0; i < N_ACTIONS && argc > 1; i++) {
        if (strcmp(argv[1], actions[i].name) == 0) {
            return actions[i].run(argc - 1, argv + 1, world);
        }
    }
    if (argc > 1 && argv[1][0] != '-') {
        return fail_unknown_action(world, argv[1]);
    }
    const hy_usage usage = {"hylas data ACTION ...",
#define HY_X(name, usage, about) "  hylas data " #name " " usage ": " about "\n"
                            HY_DATA_ACTIONS(HY_X) "hylas data ACTION --help says more.",
#undef HY_X
                            NULL,
                            0,
                            1,
                            1};
    hy_args args;
    return hy_options_parse(&usage, argc, argv, world, &args);
}
