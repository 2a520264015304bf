/* UTF-8, strictly (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF. */
#ifndef HY_BASE_UTF8_H
#define HY_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Decodes the character at text (room bytes left, at least 1) into *code; returns its bytes, 0 where it is malformed.
 */
size_t hy_utf8_decode(const char *text, size_t room, uint32_t *code);

/* Characters in a text, counting each malformed byte as one: its width in a table. */
size_t hy_utf8_count(const char *text);

#endif
