/* What a test's calls write to stderr, as text: the wording of errors is part of what is tested. */
#ifndef HY_TESTS_CAPTURE_H
#define HY_TESTS_CAPTURE_H

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int capture_saved = -1;
static FILE *capture_file;
static char capture_text[65536];

static void capture_begin(void) {
    (void)fflush(stderr);
    capture_saved = dup(STDERR_FILENO);
    capture_file = tmpfile();
    if (capture_file != NULL) {
        (void)dup2(fileno(capture_file), STDERR_FILENO);
    }
}

/* The text since capture_begin. */
static const char *capture_end(void) {
    (void)fflush(stderr);
    (void)dup2(capture_saved, STDERR_FILENO);
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

/* Fails the test, showing both, unless `text` contains `part`. */
#define assert_contains(text, part)                                                                                    \
    do {                                                                                                               \
        if (strstr((text), (part)) == NULL) {                                                                          \
            fail_msg("expected to find: %s\nin: %s", (part), (text));                                                  \
        }                                                                                                              \
    } while (0)

#endif
