#include "launch/findings.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

HY_PRINTF(4, 0)
static void tell_finding(hy_findings *found, const char *state, const char *what, const char *format,
                         va_list arguments) {
    char text[1024];
    if (found->quiet) {
        if (strcmp(state, "note") == 0 && strstr(found->names, what) == NULL) {
            const size_t used = strlen(found->names);
            snprintf(found->names + used, sizeof found->names - used, "%s%s", used > 0 ? ", " : "", what);
        }
        return;
    }
    vsnprintf(text, sizeof text, format, arguments);
    if (found->json == NULL) {
        printf("%-9s %-6s %s\n", what, state, text);
        return;
    }
    hy_json_open_object(found->json, NULL);
    hy_json_string(found->json, "name", what);
    hy_json_string(found->json, "state", strcmp(state, "LACKS") == 0 ? "lacks" : state);
    hy_json_string(found->json, "text", text);
    hy_json_close(found->json);
}

void hy_finding_ok(hy_findings *found, const char *what, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    tell_finding(found, "ok", what, format, arguments);
    va_end(arguments);
}

void hy_finding_note(hy_findings *found, const char *what, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    tell_finding(found, "note", what, format, arguments);
    va_end(arguments);
    found->notes++;
}

void hy_finding_lacks(hy_findings *found, const char *what, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    tell_finding(found, "LACKS", what, format, arguments);
    va_end(arguments);
    found->lacks++;
}
