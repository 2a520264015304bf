/* Thousands of damaged configs, the same ones in every run: each is read or refused (HY_ERR_USAGE), and what is read
 * can be written and read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "sample_config.h"

enum { ROOM = 4096, MUTATIONS_MAX = 6 };

typedef struct mutant {
    uint64_t seed, draws;
    char text[ROOM];
    size_t length;
} mutant;

static size_t draw(mutant *m, size_t below) {
    return (size_t)(hy_random_u64(m->seed, 1, m->draws++) % below);
}

static void insert(mutant *m, size_t at, const char *bytes, size_t n) {
    if (m->length + n <= ROOM) {
        memmove(m->text + at + n, m->text + at, m->length - at);
        memcpy(m->text + at, bytes, n);
        m->length += n;
    }
}

static void mutate(mutant *m) {
    static const char *const tokens[] = {"&a ",
                                         "*a",
                                         "!!int ",
                                         "{",
                                         "}",
                                         "[",
                                         "]",
                                         ": ",
                                         "\n",
                                         "\n- ",
                                         "? ",
                                         "|\n",
                                         ">\n",
                                         "\"",
                                         "'",
                                         "\t",
                                         "#",
                                         "---\n",
                                         "...\n",
                                         "%YAML 1.1\n",
                                         "\xff",
                                         "\xef\xbb\xbf",
                                         "\xfe\xff",
                                         "\xc0\x80",
                                         "<<: ",
                                         "~",
                                         "99999999999999999999",
                                         "-",
                                         "1.5Ki",
                                         "9e18k",
                                         ".inf",
                                         "1e400",
                                         "\\x00",
                                         "\r",
                                         "\x01",
                                         ",",
                                         "\xe2\x80\xa8"};
    const size_t at = draw(m, m->length + 1);
    size_t span = draw(m, 40);
    span = at + span > m->length ? m->length - at : span;
    char copy[64];
    switch (draw(m, 7)) {
    case 0:
        if (at < m->length) {
            m->text[at] = (char)draw(m, 256);
        }
        break;
    case 1:
        if (at < m->length) {
            m->text[at] = (char)(m->text[at] ^ (1 << draw(m, 8)));
        }
        break;
    case 2:
        memmove(m->text + at, m->text + at + span, m->length - at - span);
        m->length -= span;
        break;
    case 3:
        memcpy(copy, m->text + at, span);
        insert(m, draw(m, m->length + 1), copy, span);
        break;
    case 4: {
        const char *token = tokens[draw(m, sizeof(tokens) / sizeof(tokens[0]))];
        insert(m, at, token, strlen(token));
        break;
    }
    case 5:
        insert(m, at, "\0", 1);
        break;
    default:
        m->length = draw(m, 8) == 0 ? at : m->length;
        break;
    }
}

static void check(const char *text, size_t length, int *accepted) {
    sample_config c, back;
    hy_schema_defaults(&sample_schema, &c);
    back = c;
    const hy_status status = hy_schema_parse(&sample_schema, &c, "fuzz", text, length, NULL);
    if (status != HY_OK) {
        assert_int_equal(status, HY_ERR_USAGE);
        assert_memory_equal(&c, &back, sizeof(c));
        return;
    }
    ++*accepted;
    char *written = NULL;
    size_t written_length = 0;
    assert_int_equal(hy_schema_write(&sample_schema, &c, &written, &written_length), HY_OK);
    assert_int_equal(hy_schema_parse(&sample_schema, &back, "written", written, written_length, NULL), HY_OK);
    assert_memory_equal(&c, &back, sizeof(c));
    hy_free(written);
}

static void test_mutants(void **unused) {
    (void)unused;
    enum { TRIALS = 6000 };
    int accepted = 0;
    const int64_t bytes = hy_alloc_bytes();
    for (uint64_t seed = 0; seed < TRIALS; seed++) {
        mutant m = {.seed = seed, .length = sizeof(sample_yaml) - 1};
        memcpy(m.text, sample_yaml, m.length);
        for (size_t n = 1 + draw(&m, MUTATIONS_MAX); n > 0; n--) {
            mutate(&m);
        }
        /* A block of exactly this size: the sanitizer sees a read past its end. */
        char *exact = malloc(m.length + 1);
        assert_non_null(exact);
        memcpy(exact, m.text, m.length);
        char *shrunk = realloc(exact, m.length > 0 ? m.length : 1);
        assert_non_null(shrunk);
        check(shrunk, m.length, &accepted);
        free(shrunk);
    }
    assert_int_equal(hy_alloc_bytes(), bytes);
    assert_in_range(accepted, TRIALS / 50, TRIALS / 2);
}

static void test_mutants_of_assignments(void **unused) {
    (void)unused;
    static const char *const good[] = {"train.lr=0.5", "model.mixers.gla={heads: 4, floor: -1}",
                                       "model.schedule.overrides.3=x", "parallel.sizes=[1, 2, 3]", "run.dir=\"a\\tb\""};
    for (uint64_t seed = 0; seed < 3000; seed++) {
        mutant m = {.seed = seed + 1000000};
        const char *text = good[seed % 5];
        m.length = strlen(text);
        memcpy(m.text, text, m.length);
        for (size_t n = 1 + draw(&m, 3); n > 0; n--) {
            mutate(&m);
        }
        m.text[m.length < ROOM ? m.length : ROOM - 1] = '\0';
        sample_config c;
        hy_schema_defaults(&sample_schema, &c);
        const hy_status status = hy_schema_set(&sample_schema, &c, m.text, NULL);
        assert_true(status == HY_OK || status == HY_ERR_USAGE);
    }
}

/* n times `piece`, as one document. */
static void check_repeated(const char *piece, size_t n) {
    const size_t length = strlen(piece);
    char *text = malloc(n * length);
    assert_non_null(text);
    for (size_t i = 0; i < n; i++) {
        memcpy(text + i * length, piece, length);
    }
    sample_config c;
    hy_schema_defaults(&sample_schema, &c);
    assert_int_equal(hy_schema_parse(&sample_schema, &c, "fuzz", text, n * length, NULL), HY_ERR_USAGE);
    free(text);
}

static void test_huge_and_deep(void **unused) {
    (void)unused;
    const char *const pieces[] = {"[",   "{", "{a: ", "- ",   "? ",  "a: [", "a",      "\"", "'", "&a",
                                  "*a ", "!", "!<",   "\xff", "-\n", "a:\n", "a: b\n", "|",  ","};
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        check_repeated(pieces[i], 20000);
    }
    check_repeated("a", (1 << 20) + 1);
}

int main(void) {
    hy_log_set_level(HY_LOG_NONE);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mutants),
        cmocka_unit_test(test_mutants_of_assignments),
        cmocka_unit_test(test_huge_and_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
