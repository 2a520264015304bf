/* A lead byte tells the length n and with it the least code a character of that length may have. */
#include "base/utf8.h"

#include <string.h>

size_t hy_utf8_decode(const char *text, size_t room, uint32_t *code) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char lead = (unsigned char)text[0];
    if (lead < 0x80) {
        *code = lead;
        return 1;
    }
    const size_t n = lead >= 0xf0 && lead < 0xf8   ? 4
                     : lead >= 0xe0 && lead < 0xf0 ? 3
                     : lead >= 0xc0 && lead < 0xe0 ? 2
                                                   : 0;
    if (n == 0 || n > room) {
        return 0;
    }
    uint32_t value = lead & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        const unsigned char c = (unsigned char)text[i];
        if ((c & 0xc0) != 0x80) {
            return 0;
        }
        value = value << 6 | (c & 0x3fu);
    }
    if (value < least[n] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) {
        return 0;
    }
    *code = value;
    return n;
}

size_t hy_utf8_count(const char *text) {
    size_t count = 0;
    for (size_t room = strlen(text); room > 0; count++) {
        uint32_t code = 0;
        const size_t n = hy_utf8_decode(text, room, &code);
        text += n > 0 ? n : 1;
        room -= n > 0 ? n : 1;
    }
    return count;
}
