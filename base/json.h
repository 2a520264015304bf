/* A JSON writer without a tree: each call writes its piece. One value (an object, usually) per begin/end, ended by a
 * newline, so that a file of many is JSON Lines:
 *
 *     hy_json j;
 *     hy_json_begin(&j, file);
 *     hy_json_open_object(&j, NULL);
 *     hy_json_int(&j, "step", step);
 *     hy_json_open_array(&j, "losses");
 *     hy_json_double(&j, NULL, loss);
 *     hy_json_close(&j);
 *     hy_json_close(&j);
 *     HY_TRY(hy_json_end(&j, HY_ERR_FAILED));
 *
 * `key` is given inside an object and NULL elsewhere; wrong nesting is a programmer's error (assert). */
#ifndef HY_BASE_JSON_H
#define HY_BASE_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

enum { HY_JSON_DEPTH = 32 };

typedef struct hy_json {
    FILE *file;
    int depth;
    bool done; /* the one value at depth 0 is written */
    struct {
        bool object, empty;
    } open[HY_JSON_DEPTH];
} hy_json;

void hy_json_begin(hy_json *json, FILE *file);
/* Writes the newline and flushes. `on_error` with the reason if any write since begin failed. */
HY_MUST_CHECK hy_status hy_json_end(hy_json *json, hy_status on_error);

void hy_json_open_object(hy_json *json, const char *key);
void hy_json_open_array(hy_json *json, const char *key);
void hy_json_close(hy_json *json); /* the innermost object or array */

void hy_json_int(hy_json *json, const char *key, int64_t value);
void hy_json_double(hy_json *json, const char *key, double value); /* reads back exactly; null where not finite */
void hy_json_bool(hy_json *json, const char *key, bool value);
void hy_json_null(hy_json *json, const char *key);
/* Bytes that are no UTF-8 become U+FFFD; NULL becomes null. */
void hy_json_string(hy_json *json, const char *key, const char *value);

#endif
