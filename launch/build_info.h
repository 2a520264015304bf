/* What this program was built from and with, and the libraries that it runs with. Local. */
#ifndef HY_LAUNCH_BUILD_INFO_H
#define HY_LAUNCH_BUILD_INFO_H

#include "base/json.h"

extern const char hy_build_commit[]; /* "6d0bdaa1b2c3", with "-dirty" where files were changed; "unknown" */

/* "hylas 0.1.0 (6d0bdaa1b2c3)". */
const char *hy_build_version(void);

/* Members of the open object: "version", "commit", "build": {"type", "flags", "compiler"}, "libraries": {name: version, ...}. */
void hy_build_json(hy_json *json);

#endif
