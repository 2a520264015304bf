#include "train/run/run_env.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"

enum { BYTES_MAX = 64 << 20 };

static hy_status write_environment(const char *path, const json_t *object) {
    char *text = json_dumps(object, JSON_INDENT(2));
    if (text == NULL) {
        return hy_fail(HY_ERR_MEMORY, "%s: no memory to write it", path);
    }
    const hy_status status = hy_file_write_atomic(path, text, strlen(text), HY_ERR_ENV);
    free(text);
    return status;
}

/* The object in the file; NULL if there is none, or none that can be read. */
static json_t *read_object(const char *path) {
    char *text = NULL;
    size_t length = 0;
    json_error_t error;
    if (!hy_file_exists(path) || hy_file_read(path, BYTES_MAX, HY_ERR_ENV, &text, &length) != HY_OK) {
        return NULL;
    }
    json_t *object = json_loadb(text, length, 0, &error);
    hy_free(text);
    if (!json_is_object(object)) {
        hy_warn("%s is damaged: what it told of earlier starts is lost", path);
        json_decref(object);
        return NULL;
    }
    return object;
}

hy_status hy_run_env_begin(const char *path, const char *environment) {
    json_error_t error = {0};
    json_t *now = json_loads(environment, 0, &error), *before = read_object(path);
    json_t *earlier = json_array();
    if (before != NULL) {
        json_array_extend(earlier, json_object_get(before, "earlier"));
        json_object_del(before, "earlier");
        json_array_append_new(earlier, before);
    }
    const int failed = json_object_set_new(now, "earlier", earlier);
    const hy_status status =
        failed ? hy_fail(HY_ERR_FAILED, "%s: line %d of what it is to tell: %s", path, error.line, error.text)
               : write_environment(path, now);
    json_decref(now);
    return status;
}

hy_status hy_run_env_end(const char *path, int exit_code, const char *reason, int64_t step) {
    json_t *now = read_object(path);
    if (now == NULL) {
        return HY_OK; /* has been reported */
    }
    json_t *ended = json_pack("{s:s, s:i, s:s, s:I}", "time", hy_utc_time().s, "exit_code", exit_code, "reason", reason,
                              "step", (json_int_t)step);
    json_t *earlier = json_incref(json_object_get(now, "earlier"));
    json_object_del(now, "earlier"); /* stays the last key */
    json_object_set_new(now, "ended", ended);
    json_object_set_new(now, "earlier", earlier != NULL ? earlier : json_array());
    const hy_status status = write_environment(path, now);
    json_decref(now);
    return status;
}
