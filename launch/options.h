/* Command-line options of one command: a table of rows, parsed into the variables the rows point to, and printed by
 * --help.
 * "--name value", "--name=value" and "--flag" may stand anywhere; "--" ends the options. */
#ifndef HY_LAUNCH_OPTIONS_H
#define HY_LAUNCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "comm/comm.h"

typedef enum hy_option_kind {
    HY_OPTION_FLAG,  /* bool: set to true */
    HY_OPTION_TEXT,  /* const char * */
    HY_OPTION_INT,   /* int64_t of at least 0; units as base/count.h says */
    HY_OPTION_COUNT, /* the same of at least 1: the target may start at 0 for "not given" */
    HY_OPTION_REAL,  /* double */
    HY_OPTION_LIST   /* hy_option_list: may be given many times */
} hy_option_kind;

enum { HY_OPTION_LIST_MAX = 256, HY_POSITIONAL_MAX = 4096 };

typedef struct hy_option_list {
    const char *items[HY_OPTION_LIST_MAX];
    int n;
} hy_option_list;

typedef struct hy_option {
    const char *name; /* "--out" */
    hy_option_kind kind;
    void *target;
    const char *value; /* what the value is called in the help: "FILE"; NULL for a flag */
    const char *help;
} hy_option;

typedef struct hy_usage {
    const char *line;  /* "hylas plan CONFIG [options]" */
    const char *about; /* a paragraph: what it does, what it prints */
    const hy_option *options;
    int n_options;
    int min_args, max_args; /* positional arguments; max_args < 0 = any number */
} hy_usage;

typedef struct hy_args {
    const char *positional[HY_POSITIONAL_MAX]; /* point into argv */
    int n;
    bool help; /* --help was given and has been printed: the command returns HY_OK at once */
} hy_args;

/* HY_ERR_USAGE, naming the option and the nearest valid one; shown once. Collective. */
HY_MUST_CHECK hy_status hy_options_parse(const hy_usage *usage, int argc, char **argv, hy_comm *world, hy_args *args);

/* The index of `word` among `names`, which NULL ends; −1 if it is none of them: then `known` lists them. Local. */
int hy_option_choice(const char *word, const char *const *names, char *known, size_t size);

#endif
