#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/random.h"
#include "fuzz.h"

static char folder[128];

static void remove_folder(void) {
    (void)!hy_file_remove_tree(folder, HY_ERR_FAILED);
}

const char *fuzz_folder(void) {
    if (folder[0] == '\0') {
        hy_log_set_level(HY_LOG_NONE);
        snprintf(folder, sizeof folder, "%s/hylas-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        FUZZ_NEED(mkdtemp(folder) != NULL);
        atexit(remove_folder);
    }
    return folder;
}

void fuzz_write(const char *name, const void *data, size_t size) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
    FILE *file = fopen(path, "wb");
    FUZZ_NEED(file != NULL);
    FUZZ_NEED(fwrite(data, 1, size, file) == size);
    FUZZ_NEED(fclose(file) == 0);
}

/* ---- mutation ---- */

/* What means something in the texts that are read here, and numbers at which sizes break. */
static const char *const words[] = {"{",
                                    "}",
                                    "[",
                                    "]",
                                    "\"",
                                    ",",
                                    ":",
                                    "\n",
                                    "- ",
                                    "? ",
                                    "|\n",
                                    "#",
                                    "&a ",
                                    "*a",
                                    "!!int ",
                                    "<<: ",
                                    "~",
                                    "null",
                                    "true",
                                    "false",
                                    "NaN",
                                    "-Infinity",
                                    ".inf",
                                    "\\u0000",
                                    "..",
                                    "/",
                                    "\xff",
                                    "\xef\xbb\xbf",
                                    "\xc0\x80",
                                    "---\n",
                                    "auto",
                                    "default",
                                    "1e400",
                                    "-1",
                                    "0",
                                    "1",
                                    "3",
                                    "0.5",
                                    "1e-320",
                                    "65536",
                                    "2097152",
                                    "16777216",
                                    "1073741822",
                                    "2147483647",
                                    "4294967296",
                                    "1099511627776",
                                    "4611686018427387904",
                                    "9223372036854775807",
                                    "99999999999999999999"};
enum { N_WORDS = sizeof words / sizeof words[0], FIRST_NUMBER = 32, SPAN = 40 };

typedef struct editor {
    uint8_t *data;
    size_t size, room;
    uint64_t seed, draws;
} editor;

static size_t draw(editor *e, size_t below) {
    return (size_t)(hy_random_u64(e->seed, 1, e->draws++) % below);
}

static void remove_span(editor *e, size_t at, size_t n) {
    memmove(e->data + at, e->data + at + n, e->size - at - n);
    e->size -= n;
}

static void insert_span(editor *e, size_t at, const void *bytes, size_t n) {
    if (e->size + n <= e->room) {
        memmove(e->data + at + n, e->data + at, e->size - at);
        memcpy(e->data + at, bytes, n);
        e->size += n;
    }
}

static int is_digit(uint8_t c) {
    return c >= '0' && c <= '9';
}

/* The first number at or behind `at` becomes another. */
static void change_number(editor *e, size_t at) {
    while (at < e->size && !is_digit(e->data[at])) {
        at++;
    }
    size_t n = 0;
    while (at + n < e->size && is_digit(e->data[at + n])) {
        n++;
    }
    const char *word = words[FIRST_NUMBER + draw(e, N_WORDS - FIRST_NUMBER)];
    if (n > 0 && draw(e, 2) == 0) {
        e->data[at + draw(e, n)] = (uint8_t)('0' + draw(e, 10));
    } else if (n > 0) {
        remove_span(e, at, n);
        insert_span(e, at, word, strlen(word));
    }
}

static void edit(editor *e) {
    const size_t at = draw(e, e->size + 1), left = e->size - at;
    size_t span = draw(e, SPAN);
    span = span > left ? left : span;
    uint8_t copy[SPAN];
    switch (draw(e, 9)) {
    case 0:
        if (left > 0) {
            e->data[at] = (uint8_t)draw(e, 256);
        }
        break;
    case 1:
        if (left > 0) {
            e->data[at] = (uint8_t)(e->data[at] ^ (1 << draw(e, 8)));
        }
        break;
    case 2:
        remove_span(e, at, span);
        break;
    case 3:
        memcpy(copy, e->data + at, span);
        insert_span(e, draw(e, e->size + 1), copy, span);
        break;
    case 4:
    case 5: {
        const char *word = words[draw(e, N_WORDS)];
        insert_span(e, at, word, strlen(word));
        break;
    }
    case 6:
        if (draw(e, 8) == 0) {
            e->size = at;
        }
        break;
    default:
        change_number(e, at);
    }
}

size_t fuzz_mutate(uint8_t *data, size_t size, size_t room, uint64_t seed) {
    editor e = {.data = data, .size = size, .room = room, .seed = seed};
    for (size_t n = 1 + draw(&e, 4); n > 0; n--) {
        edit(&e);
    }
    return e.size;
}

/* libFuzzer's own mutations and ours, by turns; replay.c knows neither of the two. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t room) __attribute__((weak));
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed) {
    return seed % 2 == 0 && LLVMFuzzerMutate ? LLVMFuzzerMutate(data, size, room) : fuzz_mutate(data, size, room, seed);
}
