/* `hylas bench kernels`: core operations.  `hylas bench step CONFIG`: a whole training step.  `hylas bench comm`: exchanges.  `hylas bench sp CONFIG`:
 * ways to share sequences. */
#include <string.h>

#include "base/text.h"
#include "launch/bench/bench.h"
#include "launch/bench/comm_bench.h"
#include "launch/commands.h"
#include "launch/options.h"
#include "launch/report_once.h"

static hy_status fail_unknown_bench(void *context) {
    static const char *const names[] = {"kernels", "step", "comm", "sp"};
    const char *word = context;
    return hy_fail(HY_ERR_USAGE, "hylas bench: unknown bench %s; nearest: %s", word,
                   names[hy_text_nearest(word, names, 4)]);
}

hy_status hy_cmd_bench(int argc, char **argv, hy_comm *world) {
    if (argc > 1 && strcmp(argv[1], "kernels") == 0) {
        return hy_bench_kernels(argc - 1, argv + 1, world);
    }
    if (argc > 1 && strcmp(argv[1], "step") == 0) {
        return hy_bench_step(argc - 1, argv + 1, world);
    }
    if (argc > 1 && strcmp(argv[1], "comm") == 0) {
        return hy_bench_comm(argc - 1, argv + 1, world);
    }
    if (argc > 1 && strcmp(argv[1], "sp") == 0) {
        return hy_bench_sp(argc - 1, argv + 1, world);
    }
    if (argc > 1 && argv[1][0] != '-') {
        return hy_report_once(world, fail_unknown_bench, argv[1]);
    }
    const hy_usage usage = {
        "hylas bench kernels|step|comm|sp ...",
        "  hylas bench kernels [options]                      recurrences and attention on this machine\n"
        "  [mpirun -np N] hylas bench step CONFIG [options]   whole training steps on synthetic tokens\n"
        "  [mpirun -np N] hylas bench comm [CONFIG] [options] exchanges between ranks, of all sizes or those of a "
        "step\n"
        "  mpirun -np N hylas bench sp CONFIG [options]       a layer of every mixer with every way to share sequences",
        NULL,
        0,
        1,
        1};
    hy_args args;
    return hy_options_parse(&usage, argc, argv, world, &args);
}
