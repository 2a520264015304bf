#include "base/number_list.h"

#include <stdio.h>
#include <string.h>

static void add_run(char *text, size_t size, int first, int last) {
    char run[32];
    const size_t used = strlen(text), room = sizeof ",...";
    const int n = first == last ? snprintf(run, sizeof run, "%d", first)
                                : snprintf(run, sizeof run, "%d%c%d", first, last == first + 1 ? ',' : '-', last);
    if (used >= 3 && strcmp(text + used - 3, "...") == 0) {
        return;
    }
    if (used + (size_t)n + 1 + room > size) {
        snprintf(text + used, size - used, "%s...", used > 0 ? "," : "");
        return;
    }
    snprintf(text + used, size - used, "%s%s", used > 0 ? "," : "", run);
}

int hy_number_list(int n, bool (*has)(const void *context, int i), const void *context, char *text, size_t size) {
    int count = 0, first = -1;
    text[0] = '\0';
    for (int i = 0; i <= n; i++) {
        const bool in = i < n && has(context, i);
        count += in;
        if (in && first < 0) {
            first = i;
        } else if (!in && first >= 0) {
            add_run(text, size, first, i - 1);
            first = -1;
        }
    }
    return count;
}
