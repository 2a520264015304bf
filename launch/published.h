/* What import and export share. */
#ifndef HY_LAUNCH_PUBLISHED_H
#define HY_LAUNCH_PUBLISHED_H

#include <string.h>

#include "base/status.h"

/* Attachments of a checkpoint that came from a published model. */
#define HY_PUBLISHED_CONFIG "hf/config.json"
#define HY_PUBLISHED_TYPES  "hf/types.json" /* element type of each tensor */
#define HY_PUBLISHED_FILES  "hf/files"      /* folder with the copies of tokenizer and generation settings */

HY_MUST_CHECK static inline hy_status hy_published_check_format(const char *format) {
    if (strcmp(format, "hf") == 0)
        return HY_OK;
    return hy_fail(HY_ERR_USAGE, "format %s is not known; there is: hf (config.json and safetensors)", format);
}

#endif
