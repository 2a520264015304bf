/* Differences of two resolved configurations, as written by hy_config_write (one "key: value" per line, sections by
 * indentation). */
#ifndef HY_TRAIN_CONFIG_DIFF_H
#define HY_TRAIN_CONFIG_DIFF_H

#include <stdbool.h>
#include <stddef.h>

#include "comm/comm.h"
#include "train/run/config.h"

/* Calls `report` with the dotted key of every value that differs; the value that is absent is "absent". */
typedef void (*hy_config_report)(void *context, const char *key, const char *before, const char *after);
void hy_config_diff(const char *before, const char *after, hy_config_report report, void *context);

/* Whether `key` is a key or a section of the configuration; if not, the nearest key. */
bool hy_config_has(const char *text, const char *key, char *nearest, size_t size);
/* The value of a key as it is written; NULL if there is none. Valid until the next call. */
const char *hy_config_value(const char *text, const char *key);

/* Every rank must run the same configuration: else HY_ERR_USAGE on rank 0, naming the ranks, the first key that differs and both values;
 * HY_ERR_PEER elsewhere. Collective. */
HY_MUST_CHECK hy_status hy_config_agree(hy_comm *world, const char *text, size_t length);

#endif
