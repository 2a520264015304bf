/* UTF-8 against an encoder, for every code; and the malformed forms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/utf8.h"

static size_t encode(uint32_t code, char out[5]) {
    const size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = n; i-- > 1;) {
        out[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    out[0] = (char)(lead[n] | code);
    out[n] = '\0';
    return n;
}

static void test_every_code(void **unused) {
    (void)unused;
    for (uint32_t code = 0; code < 0x120000; code++) {
        char text[5];
        const size_t n = encode(code, text);
        uint32_t decoded = 0xabcd;
        const size_t bytes = hy_utf8_decode(text, n, &decoded);
        if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) {
            assert_int_equal(bytes, 0);
            continue;
        }
        assert_int_equal(bytes, n);
        assert_int_equal(decoded, code);
        if (n > 1) {
            assert_int_equal(hy_utf8_decode(text, n - 1, &decoded), 0);
        }
    }
}

static void test_malformed(void **unused) {
    (void)unused;
    const char *const texts[] = {"\x80",
                                 "\xbf",
                                 "\xc0\x80",
                                 "\xc1\xbf",
                                 "\xe0\x80\x80",
                                 "\xe0\x9f\xbf",
                                 "\xf0\x80\x80\x80",
                                 "\xf0\x8f\xbf\xbf",
                                 "\xf8\x88\x80\x80\x80",
                                 "\xff",
                                 "\xfe",
                                 "\xc3(",
                                 "\xe4\xb8(",
                                 "\xf0\x9f\x98("};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        uint32_t code = 7;
        assert_int_equal(hy_utf8_decode(texts[i], strlen(texts[i]), &code), 0);
        assert_int_equal(code, 7);
    }
}

static void test_count(void **unused) {
    (void)unused;
    assert_int_equal(hy_utf8_count(""), 0);
    assert_int_equal(hy_utf8_count("abc"), 3);
    assert_int_equal(hy_utf8_count("\xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80"), 3);
    assert_int_equal(hy_utf8_count("a\xff\xe4\xb8"), 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
