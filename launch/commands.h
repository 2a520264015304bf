/* The commands of the program: one line each in HY_COMMANDS, one file each in launch/cmd_<name>.c.
 *
 * A command is collective over `world`: it returns on every rank with the rank's own status or HY_ERR_PEER
 * (hy_comm_agree), never on one rank while another waits in an exchange. argv[0] is the command's name. Results go to
 * stdout, which only rank 0 has (elsewhere it is /dev/null); the log goes to stderr. */
#ifndef HY_LAUNCH_COMMANDS_H
#define HY_LAUNCH_COMMANDS_H

#include "base/status.h"
#include "comm/comm.h"

/* X(name, one-line summary), in the order of `hylas --help` */
#define HY_COMMANDS(X)                                                                                                 \
    X(train, "train a model; the same command resumes")                                                                \
    X(eval, "loss and perplexity of a checkpoint")                                                                     \
    X(plan, "what a run will take: parameters, memory, work, exchanges")                                               \
    X(data, "make or inspect a token store")                                                                           \
    X(verify, "several ranks against one: loss and every gradient")                                                    \
    X(import, "a published model into a checkpoint")                                                                   \
    X(export, "a checkpoint as a published model")                                                                     \
    X(op, "one core operation, or a whole model, on tensors from a file")                                              \
    X(report, "what runs have logged, as a picture and a table")                                                       \
    X(scale, "a scaling study: real runs or simulated ones, a row for each")                                           \
    X(trace, "where the time of a run's steps went, and what to change first")                                         \
    X(bench, "speed beside the matrix-product rate of the same run")                                                   \
    X(doctor, "what this machine has and lacks")

/* hylas help mixers: all kinds, or one. Local. */
HY_MUST_CHECK hy_status hy_help_mixers(const char *kind);

#define HY_X(name, summary) HY_MUST_CHECK hy_status hy_cmd_##name(int argc, char **argv, hy_comm *world);
HY_COMMANDS(HY_X)
#undef HY_X

#endif
