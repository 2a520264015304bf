/* What `hylas doctor` finds, a line or an entry of the array "checks" each: ok, note for what works but could be better, lacks for what is
 * needed and is not there. */
#ifndef HY_LAUNCH_FINDINGS_H
#define HY_LAUNCH_FINDINGS_H

#include "base/json.h"
#include "base/status.h"

typedef struct hy_findings {
    int notes, lacks;
    hy_json *json; /* NULL: lines of text */
    bool quiet;    /* nothing is said: notes are counted, and their names listed */
    char names[128];
} hy_findings;

HY_PRINTF(3, 4) void hy_finding_ok(hy_findings *found, const char *what, const char *format, ...);
HY_PRINTF(3, 4) void hy_finding_note(hy_findings *found, const char *what, const char *format, ...);
HY_PRINTF(3, 4) void hy_finding_lacks(hy_findings *found, const char *what, const char *format, ...);

#endif
