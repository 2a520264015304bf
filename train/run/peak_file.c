#include "train/run/peak_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"

static const double SAME = 0.1, QUIET = 0.8; /* agreement; share of the time below which others are worth a word */
static const size_t SIZE_MAX_BYTES = (size_t)1 << 24;

bool hy_host_peak_replaces(const hy_host_peak *now, const hy_host_peak *earlier) {
    if (fabs(now->flops_per_second / earlier->flops_per_second - 1.0) <= SAME) {
        return false;
    }
    const double quieter = now->undisturbed - earlier->undisturbed;
    return fabs(quieter) > SAME ? quieter > 0.0 : now->flops_per_second > earlier->flops_per_second;
}

/* ---- JSON ---- */

static json_t *to_json(const hy_host_peak *h) {
    return json_pack("{ss, ss, si, si, si, sf, sf}", "host", h->host, "processor", h->processor, "ranks", h->ranks,
                     "threads", h->threads, "cores", h->cores, "flops_per_second", h->flops_per_second, "undisturbed",
                     h->undisturbed);
}

/* False where `entry` is no peak of the same key. */
static bool read_same(json_t *entry, const hy_host_peak *key, hy_host_peak *out) {
    const char *host = "", *processor = "";
    *out = *key;
    if (json_unpack(entry, "{ss, ss, si, si, si, sF, sF}", "host", &host, "processor", &processor, "ranks", &out->ranks,
                    "threads", &out->threads, "cores", &out->cores, "flops_per_second", &out->flops_per_second,
                    "undisturbed", &out->undisturbed) != 0) {
        return false;
    }
    return strcmp(host, key->host) == 0 && strcmp(processor, key->processor) == 0 && out->ranks == key->ranks &&
           out->threads == key->threads && out->cores == key->cores && out->flops_per_second > 0.0;
}

/* An empty list where there is no file, or one that is none of ours. */
static json_t *load_peaks(const char *path) {
    char *text = NULL;
    size_t length = 0;
    json_t *list = NULL;
    if (hy_file_exists(path) && hy_file_read(path, SIZE_MAX_BYTES, HY_ERR_FAILED, &text, &length) == HY_OK) {
        list = json_loadb(text, length, 0, NULL);
        if (!json_is_array(list)) {
            hy_warn("%s: not a list of peaks; it is written anew", path);
            json_decref(list);
            list = NULL;
        }
        hy_free(text);
    }
    return list != NULL ? list : json_array();
}

static void save_peaks(const char *path, const json_t *list) {
    char *text = json_dumps(list, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    if (text == NULL || hy_file_write_atomic(path, text, strlen(text), HY_ERR_FAILED) != HY_OK) {
        hy_warn("%s: not written; a resumed run will measure its peak anew", path);
    }
    free(text);
}

/* ---- one host ---- */

static void warn_disturbed(const hy_host_peak *h) {
    if (h->undisturbed < QUIET) {
        hy_warn(
            "host %s: other work had the processors for %.0f%% of the time in which the peak of matrix products was "
            "measured; %.1f GFLOP/s is what they reach alone",
            h->host, 100.0 * (1.0 - h->undisturbed), 1e-9 * h->flops_per_second);
    }
}

/* The place of an earlier peak in `list`, or −1. */
static int find_earlier(json_t *list, const hy_host_peak *key, hy_host_peak *earlier) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        if (read_same(json_array_get(list, i), key, earlier)) {
            return (int)i;
        }
    }
    return -1;
}

/* True if the list has changed. */
static bool merge_host(json_t *list, hy_host_peak *now) {
    hy_host_peak earlier;
    const int at = find_earlier(list, now, &earlier);
    if (at < 0) {
        warn_disturbed(now);
        return json_array_append_new(list, to_json(now)) == 0;
    }
    const bool replaces = hy_host_peak_replaces(now, &earlier);
    if (fabs(now->flops_per_second / earlier.flops_per_second - 1.0) > SAME) {
        hy_warn("host %s: matrix products reach %.1f GFLOP/s (undisturbed for %.0f%% of the time), %.1f (%.0f%%) when "
                "this run measured them earlier; mfu is relative to the %s",
                now->host, 1e-9 * now->flops_per_second, 100.0 * now->undisturbed, 1e-9 * earlier.flops_per_second,
                100.0 * earlier.undisturbed, replaces ? "new figure" : "earlier figure");
    }
    if (!replaces) {
        *now = earlier;
        return false;
    }
    return json_array_set_new(list, (size_t)at, to_json(now)) == 0;
}

double hy_peak_file_merge(const char *path, hy_host_peak *hosts, int n_hosts) {
    json_t *list = load_peaks(path);
    bool changed = false;
    double sum = 0.0;
    for (int i = 0; i < n_hosts; i++) {
        changed |= merge_host(list, &hosts[i]);
        sum += hosts[i].flops_per_second;
    }
    if (changed) {
        save_peaks(path, list);
    }
    json_decref(list);
    return sum;
}
