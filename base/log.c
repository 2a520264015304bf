/* A line is formatted into one buffer and leaves in one write, so lines of several threads or ranks on one
 * terminal do not interleave. Control characters (a message may quote bytes of a user's file) become '?'. */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { LINE_BYTES = 4096 };

static struct {
    pthread_mutex_t mutex;
    FILE *file;
    int rank;
    int size;
    hy_log_level level;
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

hy_status hy_log_set_file(const char *path) {
    FILE *file = NULL;
    if (path != NULL) {
        file = fopen(path, "ae");
        if (file == NULL) {
            return hy_fail(HY_ERR_FAILED, "%s: cannot open the log file: %s", path, strerror(errno));
        }
    }
    pthread_mutex_lock(&state.mutex);
    FILE *old = state.file;
    state.file = file;
    pthread_mutex_unlock(&state.mutex);
    if (old != NULL) {
        (void)fclose(old);
    }
    return HY_OK;
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

void hy_log_va(hy_log_level level, const char *format, va_list arguments) {
    const int saved_errno = errno;
    pthread_mutex_lock(&state.mutex);
    const int wanted = level >= state.level && level < HY_LOG_NONE && (level >= HY_LOG_WARN || state.rank == 0);
    if (wanted) {
        char line[LINE_BYTES];
        const size_t prefix = write_prefix(line, level);
        const size_t length = write_message(line, prefix, format, arguments);
        (void)fwrite(line, 1, length, stderr);
        if (state.file != NULL) {
            (void)fwrite(line, 1, length, state.file);
            (void)fflush(state.file);
        }
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
