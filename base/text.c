/* Three significant digits everywhere: reports are compared by eye, exact numbers are in the JSON files. */
#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Three significant digits without an exponent for |value| < 9999.5. */
static int decimals(double value) {
    const double size = fabs(value);
    return size < 9.995 ? 2 : size < 99.95 ? 1 : 0;
}

/* value / base^k with the unit of k: the largest k that does not make it print as less than 1. */
static hy_text with_unit(double value, double base, const char *const *units, int n_units) {
    hy_text text;
    if (!isfinite(value)) {
        (void)snprintf(text.s, sizeof(text.s), "%s", isnan(value) ? "nan" : value > 0.0 ? "inf" : "-inf");
        return text;
    }
    int k = 0;
    while (k + 1 < n_units && fabs(value) >= base - 0.5) {
        value /= base;
        k++;
    }
    const int places = k == 0 && value == floor(value) ? 0 : decimals(value);
    (void)snprintf(text.s, sizeof(text.s), "%.*f%s%s", places, value, units[k][0] == '\0' ? "" : " ", units[k]);
    return text;
}

hy_text hy_text_bytes(double bytes) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    return with_unit(bytes, 1024.0, units, 7);
}

hy_text hy_text_count(double count) {
    static const char *const units[] = {"", "k", "M", "G", "T", "P", "E"};
    return with_unit(count, 1000.0, units, 7);
}

hy_text hy_text_rate(double per_second, const char *unit) {
    hy_text text;
    (void)snprintf(text.s, sizeof(text.s), "%.24s %.16s/s", hy_text_count(per_second).s, unit);
    return text;
}

hy_text hy_text_byte_rate(double bytes_per_second) {
    hy_text text;
    (void)snprintf(text.s, sizeof(text.s), "%.40s/s", hy_text_bytes(bytes_per_second).s);
    return text;
}

hy_text hy_text_duration(double seconds) {
    hy_text text;
    const double size = fabs(seconds);
    const char *sign = seconds < 0.0 ? "-" : "";
    if (!(size < 1e15)) {
        return hy_text_double(seconds);
    }
    const long long whole = (long long)(size + 0.5);
    if (whole >= 86400) {
        (void)snprintf(text.s, sizeof(text.s), "%s%lldd%02lldh", sign, whole / 86400, whole / 3600 % 24);
    } else if (whole >= 3600) {
        (void)snprintf(text.s, sizeof(text.s), "%s%lldh%02lldm", sign, whole / 3600, whole / 60 % 60);
    } else if (whole >= 60) {
        (void)snprintf(text.s, sizeof(text.s), "%s%lldm%02llds", sign, whole / 60, whole % 60);
    } else {
        static const char *const units[] = {"s", "ms", "us", "ns"};
        double value = seconds;
        int k = 0;
        while (value != 0.0 && k < 3 && fabs(value) < 0.9995) {
            value *= 1e3;
            k++;
        }
        (void)snprintf(text.s, sizeof(text.s), "%.*f %s", value == 0.0 ? 0 : decimals(value), value, units[k]);
    }
    return text;
}

hy_text hy_text_double(double value) {
    hy_text text;
    if (isnan(value)) {
        (void)snprintf(text.s, sizeof(text.s), "nan");
        return text;
    }
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text.s, sizeof(text.s), "%.*g", digits, value);
        if (strtod(text.s, NULL) == value) {
            break;
        }
    }
    return text;
}
