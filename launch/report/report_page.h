/* The page of `hylas report --html`: one file that needs no other and no network: its policy (Content-Security-Policy) forbids them. It is well-formed
 * XML too. What a run has not recorded is left out, with a line that says why. */
#ifndef HY_LAUNCH_REPORT_PAGE_H
#define HY_LAUNCH_REPORT_PAGE_H

#include "launch/report/report_curves.h"

/* Readers see the old page or the new. Local. */
HY_MUST_CHECK hy_status hy_report_page_write(const hy_report_curves *curves, const char *path);

#endif
