/* What a test's calls write to stderr (or stdout), as text: the wording is part of what is tested. */
#ifndef HY_TESTS_CAPTURE_H
#define HY_TESTS_CAPTURE_H

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int capture_saved = -1;
static FILE *capture_file;
static char capture_text[65536];

static inline void capture_stream_begin(FILE *stream) {
    (void)fflush(stream);
    capture_saved = dup(fileno(stream));
    capture_file = tmpfile();
    if (capture_file != NULL) {
        (void)dup2(fileno(capture_file), fileno(stream));
    }
}

static inline const char *capture_stream_end(FILE *stream) {
    (void)fflush(stream);
    (void)dup2(capture_saved, fileno(stream));
    (void)close(capture_saved);
    capture_text[0] = '\0';
    if (capture_file != NULL) {
        rewind(capture_file);
        const size_t n = fread(capture_text, 1, sizeof(capture_text) - 1, capture_file);
        capture_text[n] = '\0';
        (void)fclose(capture_file);
    }
    return capture_text;
}

static inline void capture_begin(void) {
    capture_stream_begin(stderr);
}

/* The text since capture_begin. */
static inline const char *capture_end(void) {
    return capture_stream_end(stderr);
}

/* The same for stdout; one of the two at a time. */
static inline void capture_stdout_begin(void) {
    capture_stream_begin(stdout);
}

static inline const char *capture_stdout_end(void) {
    return capture_stream_end(stdout);
}

/* Fails the test, showing both, unless `text` contains `part`. */
#define assert_contains(text, part)                                                                                    \
    do {                                                                                                               \
        if (strstr((text), (part)) == NULL) {                                                                          \
            fail_msg("expected to find: %s\nin: %s", (part), (text));                                                  \
        }                                                                                                              \
    } while (0)

#endif
