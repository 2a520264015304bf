/* Names of the status codes, and the one place that turns a failure into a log line. */
#include "base/status.h"

#include <stdarg.h>

#include "base/log.h"

hy_status hy_fail(hy_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    hy_log_va(HY_LOG_ERROR, format, arguments);
    va_end(arguments);
    return status;
}

const char *hy_status_name(hy_status status) {
    switch (status) {
    case HY_OK:
        return "ok";
    case HY_ERR_FAILED:
        return "failed";
    case HY_ERR_USAGE:
        return "usage";
    case HY_ERR_ENV:
        return "environment";
    case HY_ERR_DATA:
        return "data";
    case HY_ERR_CHECKPOINT:
        return "checkpoint";
    case HY_ERR_MEMORY:
        return "memory";
    case HY_ERR_NOT_FINITE:
        return "not finite";
    case HY_ERR_COMM:
        return "communication";
    case HY_ERR_VERIFY:
        return "verification";
    case HY_ERR_PEER:
        return "peer";
    case HY_STOPPED:
        return "stopped";
    }
    return "unknown";
}
