#include "launch/scale/scale_launch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"

enum { COMMAND = 8192, REPORT = 1 << 16 };

static const char ranks_word[] = "{ranks}";

/* words with every {ranks} replaced, then this program's `bench step FILE`. */
static hy_status write_command(const char *words, const hy_scale_point *point, const char *file, int64_t repeats,
                               char *out) {
    char self[HY_PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    size_t used = 0;
    const char *next = strstr(words, ranks_word);
    if (next == NULL || length < 0) {
        return hy_fail(HY_ERR_USAGE, "--launch '%s': wanted a launcher with %s in it", words, ranks_word);
    }
    self[length] = '\0';
    for (; next != NULL && used < COMMAND; next = strstr(words, ranks_word)) {
        used += (size_t)snprintf(out + used, COMMAND - used, "%.*s%d", (int)(next - words), words, point->ranks);
        words = next + strlen(ranks_word);
    }
    if (used < COMMAND) {
        used += (size_t)snprintf(out + used, COMMAND - used, "%s '%s' bench step '%s' --repeats %lld --json", words,
                                 self, file, (long long)repeats);
    }
    return used < COMMAND ? HY_OK : hy_fail(HY_ERR_USAGE, "--launch: a command of more than %d characters", COMMAND);
}

/* What the command prints on its standard output. */
static hy_status read_report(const char *command, char *text) {
    FILE *pipe = popen(command, "r");
    if (pipe == NULL) {
        return hy_fail(HY_ERR_FAILED, "cannot start: %s", command);
    }
    const size_t length = fread(text, 1, REPORT - 1, pipe);
    text[length] = '\0';
    const int status = pclose(pipe);
    return status == 0
               ? HY_OK
               : hy_fail(HY_ERR_FAILED, "exit code %d: %s", WIFEXITED(status) ? WEXITSTATUS(status) : -1, command);
}

/* The number of a key that is there once; 0, and *good false: there is none. */
static double find_number(const char *text, const char *key, bool *good) {
    char quoted[64];
    char *end = NULL;
    (void)snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *at = strstr(text, quoted);
    const double value = at != NULL ? strtod(at + strlen(quoted), &end) : 0.0;
    *good = *good && end != NULL && end != at + strlen(quoted);
    return value;
}

static hy_status read_row(const char *text, const char *command, int ranks, hy_scale_row *row) {
    bool good = true;
    *row = (hy_scale_row){.tokens = find_number(text, "tokens", &good) * find_number(text, "data_groups", &good),
                          .seconds = find_number(text, "seconds", &good),
                          .exposed = find_number(text, "exposed_seconds", &good),
                          .sent = find_number(text, "sent_bytes", &good),
                          .memory = find_number(text, "peak_bytes", &good) / ranks};
    good = good && row->seconds > 0 && find_number(text, "ranks", &good) == ranks;
    row->exposed /= row->seconds > 0 ? row->seconds : 1.0;
    return good ? HY_OK : hy_fail(HY_ERR_FAILED, "not the report of %d ranks that was asked for: %s", ranks, command);
}

static hy_status run_point(const char *words, const hy_scale_point *point, const char *file, int64_t repeats,
                           hy_scale_row *row) {
    char command[COMMAND], *text = NULL;
    HY_TRY(write_command(words, point, file, repeats, command));
    HY_TRY(HY_NEW("report", REPORT, &text));
    hy_status status = read_report(command, text);
    if (status == HY_OK) {
        status = read_row(text, command, point->ranks, row);
    }
    hy_free(text);
    return status;
}

hy_status hy_scale_launch(const char *words, const hy_scale_point *point, int64_t repeats, hy_scale_row *row) {
    char file[64], *text = NULL;
    size_t length = 0;
    (void)snprintf(file, sizeof file, "hylas-scale-%ld.yaml", (long)getpid());
    HY_TRY(hy_config_write(point->config, &text, &length));
    hy_status status = hy_file_write_atomic(file, text, length, HY_ERR_DATA);
    hy_free(text);
    if (status == HY_OK) {
        (void)fflush(stdout);
        status = run_point(words, point, file, repeats, row);
        (void)remove(file);
    }
    return status;
}
