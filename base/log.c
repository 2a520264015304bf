/* A line is formatted into one buffer and leaves in one write, so lines of several threads or ranks on one
 * terminal do not interleave. Control characters (a message may quote bytes of a user's file) become '?'. */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LINE_BYTES = 4096, EARLY_BYTES = 8192, PATH_BYTES = 4096 };

static struct {
    pthread_mutex_t mutex;
    FILE *file;
    char path[PATH_BYTES]; /* ranks above 0: of the file; "" = none */
    bool file_was_set;
    char early[EARLY_BYTES]; /* what was said before a file was set */
    size_t early_length;
    int rank;
    int size;
    hy_log_level level;
    bool quiet;
} state = {.mutex = PTHREAD_MUTEX_INITIALIZER, .size = 1, .level = HY_LOG_INFO};

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void hy_log_set_rank(int rank, int size) {
    pthread_mutex_lock(&state.mutex);
    state.rank = rank;
    state.size = size;
    pthread_mutex_unlock(&state.mutex);
}

void hy_log_set_level(hy_log_level level) {
    pthread_mutex_lock(&state.mutex);
    state.level = level;
    pthread_mutex_unlock(&state.mutex);
}

void hy_log_set_quiet(bool quiet) {
    pthread_mutex_lock(&state.mutex);
    state.quiet = quiet;
    pthread_mutex_unlock(&state.mutex);
}

bool hy_log_quiet(void) {
    return state.quiet;
}

/* Into the file, or among the early lines; the mutex is held. A file that cannot be written is no reason to stop. */
static void keep(const char *text, size_t length) {
    if (!state.file_was_set) {
        if (state.early_length + length <= EARLY_BYTES) {
            memcpy(state.early + state.early_length, text, length);
            state.early_length += length;
        }
        return;
    }
    if (length == 0) {
        return;
    }
    FILE *file = state.path[0] != '\0' ? fopen(state.path, "ae") : state.file;
    if (file != NULL) {
        (void)fwrite(text, 1, length, file);
        (void)fflush(file);
    }
    if (file != NULL && file != state.file) {
        (void)fclose(file);
    }
}

/* The mutex is held. */
static hy_status open_file(const char *path, FILE **file) {
    state.path[0] = '\0';
    if (path == NULL) {
        return HY_OK;
    }
    if (state.rank > 0) {
        const size_t length = strlen(path) < PATH_BYTES ? strlen(path) : 0;
        memcpy(state.path, path, length);
        state.path[length] = '\0';
        return HY_OK;
    }
    *file = fopen(path, "ae");
    return *file != NULL ? HY_OK : HY_ERR_ENV;
}

hy_status hy_log_set_file(const char *path) {
    FILE *file = NULL;
    pthread_mutex_lock(&state.mutex);
    const hy_status status = open_file(path, &file);
    const int reason = errno;
    if (status == HY_OK) {
        if (state.file != NULL) {
            (void)fclose(state.file);
        }
        state.file = file;
        state.file_was_set = true;
        keep(state.early, state.early_length);
        state.early_length = 0;
    }
    pthread_mutex_unlock(&state.mutex);
    return status == HY_OK ? HY_OK : hy_fail(status, "%s: cannot open the log file: %s", path, strerror(reason));
}

void hy_log_await_file(void) {
    pthread_mutex_lock(&state.mutex);
    state.file_was_set = state.file != NULL || state.path[0] != '\0';
    pthread_mutex_unlock(&state.mutex);
}

/* "12:03:04 warn [3/8] ": the time, the level, and the rank where there is more than one. */
static size_t write_prefix(char *line, hy_log_level level) {
    const time_t now = time(NULL);
    struct tm local = {0};
    (void)localtime_r(&now, &local);
    size_t used = strftime(line, LINE_BYTES, "%H:%M:%S ", &local);
    int written = snprintf(line + used, LINE_BYTES - used, "%s ", level_names[level]);
    used += (size_t)written;
    if (state.size > 1) {
        written = snprintf(line + used, LINE_BYTES - used, "[%d/%d] ", state.rank, state.size);
        used += (size_t)written;
    }
    return used;
}

static void replace_control_characters(char *text) {
    for (; *text != '\0'; text++) {
        const unsigned char c = (unsigned char)*text;
        if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f) {
            *text = '?';
        }
    }
}

/* Appends the message and a newline; a message that does not fit ends in "...". */
static size_t write_message(char *line, size_t used, const char *format, va_list arguments) {
    const size_t room = LINE_BYTES - used - 1;
    const int wanted = vsnprintf(line + used, room, format, arguments);
    size_t length = wanted < 0 ? 0 : (size_t)wanted;
    if (length >= room) {
        length = room - 1;
        memcpy(line + used + length - 3, "...", 3);
    }
    line[used + length] = '\0';
    replace_control_characters(line + used);
    line[used + length] = '\n';
    return used + length + 1;
}

static _Thread_local bool on_trial;

void hy_log_set_trial(bool trial) {
    on_trial = trial;
}

void hy_log_va(hy_log_level level, const char *format, va_list arguments) {
    const int saved_errno = errno;
    if (on_trial) {
        return;
    }
    pthread_mutex_lock(&state.mutex);
    const int wanted = level >= state.level && level < HY_LOG_NONE && (level >= HY_LOG_WARN || state.rank == 0);
    if (wanted) {
        char line[LINE_BYTES];
        const size_t prefix = write_prefix(line, level);
        const size_t length = write_message(line, prefix, format, arguments);
        if (level >= HY_LOG_WARN || !state.quiet) {
            (void)fwrite(line, 1, length, stderr);
        }
        keep(line, length);
    }
    pthread_mutex_unlock(&state.mutex);
    errno = saved_errno;
}

void hy_log(hy_log_level level, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    hy_log_va(level, format, arguments);
    va_end(arguments);
}

/* Of any length: a table is one text. */
static void print_whole_text(bool show, const char *format, va_list arguments) {
    char *text = NULL;
    const int length = vasprintf(&text, format, arguments);
    if (length < 0) {
        return;
    }
    pthread_mutex_lock(&state.mutex);
    if (show) {
        (void)fwrite(text, 1, (size_t)length, stdout);
        (void)fflush(stdout);
    }
    if (state.rank == 0) {
        keep(text, (size_t)length);
    }
    pthread_mutex_unlock(&state.mutex);
    free(text);
}

void hy_print(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print_whole_text(true, format, arguments);
    va_end(arguments);
}

void hy_print_detail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print_whole_text(!state.quiet, format, arguments);
    va_end(arguments);
}

void hy_log_record(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    print_whole_text(false, format, arguments);
    va_end(arguments);
}
