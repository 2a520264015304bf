#include "launch/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/count.h"
#include "base/log.h"
#include "base/text.h"
#include "launch/report_once.h"

static const char *option_metavar(const hy_option *option) {
    return option->value != NULL ? option->value : "";
}

static void print_help(const hy_usage *usage) {
    bool counts = false;
    printf("usage: %s\n\n%s\n", usage->line, usage->about);
    printf("\noptions\n");
    for (int i = 0; i < usage->n_options; i++) {
        const hy_option *option = &usage->options[i];
        char left[64];
        snprintf(left, sizeof left, "%s %s", option->name, option_metavar(option));
        printf("  %-26s %s\n", left, option->help);
        counts = counts || option->kind == HY_OPTION_INT || option->kind == HY_OPTION_COUNT;
    }
    if (counts) {
        printf("\nN may have a unit: 32k, 32Ki, 1e6 (" HY_COUNT_UNITS ").\n");
    }
    printf("  %-26s %s\n", "--quiet", "only results and warnings");
}

static hy_status fail_unknown_option(const hy_usage *usage, const char *name) {
    const char *names[128];
    int64_t n = 0;
    for (int i = 0; i < usage->n_options && n < 126; i++) {
        names[n++] = usage->options[i].name;
    }
    names[n++] = "--help";
    names[n++] = "--quiet";
    return hy_fail(HY_ERR_USAGE, "unknown option %s; nearest: %s\nusage: %s", name,
                   names[hy_text_nearest(name, names, n)], usage->line);
}

static hy_status parse_count(const char *name, const char *text, int64_t least, int64_t *out) {
    int64_t value = 0;
    if (!hy_count_parse(text, &value)) {
        return hy_fail(HY_ERR_USAGE, "%s %s: not a whole number (with a unit: " HY_COUNT_UNITS ")", name, text);
    }
    if (value < least) {
        return hy_fail(HY_ERR_USAGE, "%s %s: must be at least %lld", name, text, (long long)least);
    }
    *out = value;
    return HY_OK;
}

static hy_status parse_real(const char *name, const char *text, double *out) {
    char *end = NULL;
    const double value = strtod(text, &end);
    if (end == text || *end != '\0') {
        return hy_fail(HY_ERR_USAGE, "%s %s: not a number", name, text);
    }
    *out = value;
    return HY_OK;
}

static hy_status store_value(const hy_option *option, const char *text) {
    switch (option->kind) {
    case HY_OPTION_FLAG:
        *(bool *)option->target = true;
        return HY_OK;
    case HY_OPTION_TEXT:
        *(const char **)option->target = text;
        return HY_OK;
    case HY_OPTION_INT:
    case HY_OPTION_COUNT:
        return parse_count(option->name, text, option->kind == HY_OPTION_COUNT, option->target);
    case HY_OPTION_REAL:
        return parse_real(option->name, text, option->target);
    case HY_OPTION_LIST: {
        hy_option_list *list = option->target;
        if (list->n == HY_OPTION_LIST_MAX) {
            return hy_fail(HY_ERR_USAGE, "%s: more than %d times", option->name, HY_OPTION_LIST_MAX);
        }
        list->items[list->n++] = text;
        return HY_OK;
    }
    }
    return HY_OK;
}

static const hy_option *find_option(const hy_usage *usage, const char *word, size_t length) {
    for (int i = 0; i < usage->n_options; i++) {
        const char *name = usage->options[i].name;
        if (strlen(name) == length && strncmp(name, word, length) == 0) {
            return &usage->options[i];
        }
    }
    return NULL;
}

/* One option at argv[*i]; moves *i to its last word. */
static hy_status take_option(const hy_usage *usage, int argc, char **argv, int *i) {
    const char *word = argv[*i];
    const char *equals = strchr(word, '=');
    const size_t length = equals != NULL ? (size_t)(equals - word) : strlen(word);
    const hy_option *option = find_option(usage, word, length);
    if (option == NULL) {
        return fail_unknown_option(usage, word);
    }
    if (option->kind == HY_OPTION_FLAG) {
        if (equals != NULL) {
            return hy_fail(HY_ERR_USAGE, "%s takes no value", option->name);
        }
        return store_value(option, NULL);
    }
    if (equals == NULL && *i + 1 == argc) {
        return hy_fail(HY_ERR_USAGE, "%s needs a value: %s %s", option->name, option->name, option_metavar(option));
    }
    return store_value(option, equals != NULL ? equals + 1 : argv[++*i]);
}

typedef struct parse_job {
    const hy_usage *usage;
    int argc;
    char **argv;
    hy_args *args;
} parse_job;

static hy_status parse_words(void *context) {
    const parse_job *job = context;
    const hy_usage *usage = job->usage;
    hy_args *args = job->args;
    bool options_ended = false;
    memset(args, 0, sizeof *args);
    for (int i = 0; i < usage->n_options; i++) {
        if (usage->options[i].kind == HY_OPTION_LIST) {
            ((hy_option_list *)usage->options[i].target)->n = 0;
        }
    }
    for (int i = 1; i < job->argc; i++) {
        const char *word = job->argv[i];
        if (options_ended || word[0] != '-' || word[1] == '\0') {
            if (args->n == HY_POSITIONAL_MAX) {
                return hy_fail(HY_ERR_USAGE, "more than %d arguments", HY_POSITIONAL_MAX);
            }
            args->positional[args->n++] = word;
        } else if (strcmp(word, "--") == 0) {
            options_ended = true;
        } else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            args->help = true;
            return HY_OK;
        } else if (strcmp(word, "--quiet") == 0) {
            hy_log_set_quiet(true);
        } else {
            HY_TRY(take_option(usage, job->argc, job->argv, &i));
        }
    }
    if (args->n < usage->min_args || (usage->max_args >= 0 && args->n > usage->max_args)) {
        return hy_fail(HY_ERR_USAGE, "%s\nusage: %s",
                       args->n < usage->min_args ? "too few arguments" : "too many arguments", usage->line);
    }
    return HY_OK;
}

hy_status hy_options_parse(const hy_usage *usage, int argc, char **argv, hy_comm *world, hy_args *args) {
    parse_job job = {usage, argc, argv, args};
    HY_TRY(hy_report_once(world, parse_words, &job));
    if (args->help) {
        print_help(usage);
    }
    return HY_OK;
}

int hy_option_choice(const char *word, const char *const *names, char *known, size_t size) {
    known[0] = '\0';
    for (int i = 0; names[i] != NULL; i++) {
        if (strcmp(names[i], word) == 0) {
            return i;
        }
        const size_t used = strlen(known);
        (void)snprintf(known + used, size - used, "%s%s", used > 0 ? ", " : "", names[i]);
    }
    return -1;
}
