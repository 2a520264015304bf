/* value = mantissa · unit / 10^decimals. The division is done first, a factor 2 or 5 at a time, from whichever of the two has it: what is
 * left of neither is no whole number. So nothing larger than the value itself is ever formed. */
#include "base/count.h"

#include <string.h>

typedef struct reading {
    const char *at;
    int64_t mantissa; /* not above 0: INT64_MIN has no positive */
    int decimals;
    bool good;
} reading;

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static void take_digit(reading *r, char digit) {
    r->good = r->good && !__builtin_mul_overflow(r->mantissa, (int64_t)10, &r->mantissa) &&
              !__builtin_sub_overflow(r->mantissa, (int64_t)(digit - '0'), &r->mantissa);
}

/* At least one digit; '_' only between two. */
static void take_digits(reading *r) {
    r->good = r->good && is_digit(*r->at);
    while (r->good && (is_digit(*r->at) || (*r->at == '_' && is_digit(r->at[1])))) {
        if (*r->at != '_') {
            take_digit(r, *r->at);
        }
        r->at++;
    }
}

/* Zeros at a fraction's end say nothing. */
static void take_fraction(reading *r) {
    const char *end = ++r->at;
    r->good = r->good && is_digit(*r->at);
    for (const char *c = r->at; is_digit(*c); c++) {
        end = *c != '0' ? c + 1 : end;
    }
    for (; r->good && r->at < end; r->at++, r->decimals++) {
        take_digit(r, *r->at);
    }
    r->at += strspn(r->at, "0");
}

static int64_t power(int64_t base, int exponent) {
    int64_t value = 1;
    for (; exponent > 0; exponent--) {
        if (__builtin_mul_overflow(value, base, &value)) {
            return 0;
        }
    }
    return value;
}

/* What follows the digits, as a factor; 0: no unit. */
static int64_t factor_of_unit(const char *text) {
    static const char prefixes[] = "kMGT";
    if (*text == '\0') {
        return 1;
    }
    if ((*text == 'e' || *text == 'E') && is_digit(text[1])) {
        const char *digits = text + 1 + strspn(text + 1, "0");
        const size_t length = strspn(digits, "0123456789");
        if (digits[length] != '\0' || length > 2) {
            return 0;
        }
        return power(10, length == 0 ? 0 : length == 1 ? digits[0] - '0' : 10 * (digits[0] - '0') + digits[1] - '0');
    }
    const char *prefix = strchr(prefixes, *text == 'K' ? 'k' : *text);
    if (prefix == NULL) {
        return 0;
    }
    const int order = (int)(prefix - prefixes) + 1;
    return strcmp(text + 1, "i") == 0                        ? power(1024, order)
           : text[1] == '\0' && *text == prefixes[order - 1] ? power(1000, order)
                                                             : 0;
}

/* Takes one factor `prime` out of the product. */
static bool divide(int64_t *mantissa, int64_t *unit, int64_t prime) {
    int64_t *from = *mantissa % prime == 0 ? mantissa : unit;
    if (*from % prime != 0) {
        return false;
    }
    *from /= prime;
    return true;
}

bool hy_count_parse(const char *text, int64_t *out) {
    reading r = {.at = text + (*text == '-' || *text == '+'), .good = true};
    take_digits(&r);
    if (r.good && *r.at == '.') {
        take_fraction(&r);
    }
    int64_t unit = r.good ? factor_of_unit(r.at) : 0, value = 0;
    for (; unit > 0 && r.decimals > 0; r.decimals--) {
        if (!divide(&r.mantissa, &unit, 2) || !divide(&r.mantissa, &unit, 5)) {
            return false;
        }
    }
    if (unit == 0 || __builtin_mul_overflow(r.mantissa, unit, &value) ||
        (*text != '-' && __builtin_sub_overflow((int64_t)0, value, &value))) {
        return false;
    }
    *out = value;
    return true;
}

bool hy_count_list_parse(const char *text, int64_t *out, int limit, int *n) {
    enum { WORD = 64 };
    for (*n = 0; *n < limit;) {
        char word[WORD];
        const size_t length = strcspn(text, ",");
        if (length >= sizeof word) {
            return false;
        }
        memcpy(word, text, length);
        word[length] = '\0';
        if (!hy_count_parse(word, &out[*n])) {
            return false;
        }
        ++*n;
        if (text[length] == '\0') {
            return true;
        }
        text += length + 1;
    }
    return false;
}
