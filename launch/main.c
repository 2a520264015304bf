/* The program `hylas`: finds the command, starts the communication library, runs the command on every rank, and makes
 * all ranks leave with the same exit code: that of the rank that failed. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "comm/comm.h"
#include "launch/build_info.h"
#include "launch/commands.h"
#include "launch/report_once.h"
#include "launch/same_program.h"
#include "launch/threads.h"
#include "train/run/config.h"

typedef struct command {
    const char *name, *summary;
    hy_status (*run)(int argc, char **argv, hy_comm *world);
} command;

static const command commands[] = {
#define HY_X(name, summary) {#name, summary, hy_cmd_##name},
    HY_COMMANDS(HY_X)
#undef HY_X
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static const command *find_command(const char *name) {
    for (int i = 0; i < N_COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static hy_status fail_unknown_command(void *context) {
    const char *word = context;
    const char *names[N_COMMANDS + 1];
    for (int i = 0; i < N_COMMANDS; i++) {
        names[i] = commands[i].name;
    }
    names[N_COMMANDS] = "help";
    return hy_fail(HY_ERR_USAGE, "hylas: unknown command %s; nearest: %s (hylas --help lists all)", word,
                   names[hy_text_nearest(word, names, N_COMMANDS + 1)]);
}

static void print_commands(void) {
    printf(
        "hylas trains language models that mix linear and softmax attention, every sequence sharded over the ranks.\n\n"
        "usage: [mpirun -np N] hylas COMMAND ...\n\n");
    for (int i = 0; i < N_COMMANDS; i++) {
        printf("  %-10s %s\n", commands[i].name, commands[i].summary);
    }
    printf("  %-10s %s\n\n", "help",
           "help config: every key of a config; help mixers [KIND]: what each mixer is, and its keys;\n"
           "             help COMMAND: the same as COMMAND --help");
    printf(
        "hylas --version: version and commit. Every command: --help, and --quiet for results and warnings only.\n\n");
    printf("exit codes: 0 ok, 1 failed, 2 usage or config, 3 environment, 4 data, 5 checkpoint, 6 out of memory, 7 not "
           "finite,\n"
           "            8 communication, 9 verification failed, 75 stopped early by signal or time limit (run again to "
           "go on)\n");
}

static hy_status dispatch(int argc, char **argv, hy_comm *world) {
    if (argc < 2) {
        print_commands();
        return HY_ERR_USAGE;
    }
    const char *word = argv[1];
    const bool is_help = strcmp(word, "help") == 0;
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || (is_help && argc == 2)) {
        print_commands();
        return HY_OK;
    }
    if (strcmp(word, "--version") == 0) {
        printf("%s\n", hy_build_version());
        return HY_OK;
    }
    if (is_help && strcmp(argv[2], "config") == 0) {
        hy_config_help();
        return HY_OK;
    }
    if (is_help && strcmp(argv[2], "mixers") == 0) {
        return hy_comm_agree(world, hy_comm_rank(world) == 0 ? hy_help_mixers(argc > 3 ? argv[3] : NULL) : HY_OK);
    }
    const command *found = find_command(is_help ? argv[2] : word);
    if (found == NULL) {
        return hy_report_once(world, fail_unknown_command, is_help ? argv[2] : argv[1]);
    }
    char help_flag[] = "--help";
    char *help_argv[] = {argv[is_help ? 2 : 1], help_flag, NULL};
    return is_help ? found->run(2, help_argv, world) : found->run(argc - 1, argv + 1, world);
}

static volatile sig_atomic_t leaving_code;

static void leave_alone(int signal_number) {
    (void)signal_number;
    _exit(leaving_code != 0 ? leaving_code : HY_ERR_COMM);
}

/* The exit code of all ranks: the largest that is not HY_ERR_PEER. A rank that never comes here (dead, hung) must not
 * hold the others for ever: they leave after a minute, and mpirun then ends it. */
static int common_exit_code(hy_comm *world, hy_status mine) {
    enum { PATIENCE = 60 };
    leaving_code = (sig_atomic_t)mine;
    signal(SIGALRM, leave_alone);
    alarm(PATIENCE);
    double code = mine == HY_ERR_PEER ? 0.0 : (double)mine;
    hy_req req = {0};
    hy_comm_all_reduce(world, "exit code", &code, 1, HY_TYPE_F64, HY_MAX, &req);
    hy_comm_wait(&req);
    alarm(0);
    return code == 0.0 && mine != HY_OK ? (int)HY_ERR_COMM : (int)code;
}

int main(int argc, char **argv) {
    hy_comm *world = NULL;
    if (hy_comm_world_create(&argc, &argv, &world) != HY_OK) {
        return HY_ERR_ENV;
    }
    const int rank = hy_comm_rank(world);
    hy_log_set_rank(rank, hy_comm_size(world));
    if (rank > 0 && freopen("/dev/null", "w", stdout) == NULL) {
        hy_comm_abort(HY_ERR_ENV);
    }
    const bool is_doctor = argc > 1 && strcmp(argv[1], "doctor") == 0; /* it says itself what is wrong */
    hy_status status = hy_same_program(world, argc > 1 ? argv[1] : NULL);
    if (status == HY_OK) {
        status = hy_threads_begin(world, !is_doctor);
    }
    if (status == HY_OK) {
        status = dispatch(argc, argv, world);
    }
    if (fflush(stdout) != 0 && status == HY_OK) {
        status = HY_ERR_FAILED;
    }
    const int code = common_exit_code(world, status);
    hy_comm_destroy(world);
    return code;
}
