#include "train/run/config_diff.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/memory.h"
#include "base/number_list.h"
#include "base/text.h"

enum { KEY_MAX = 256, VALUE_MAX = 1024, DEPTH_MAX = 16, INDENT = 2 };

/* Reads leaves one after the other. */
typedef struct reader {
    const char *at;
    char key[KEY_MAX], value[VALUE_MAX];
    size_t key_end[DEPTH_MAX]; /* length of the dotted key up to each depth */
    int items[DEPTH_MAX + 1];  /* of the list at each depth, so far */
} reader;

/* One line into key and value; 1 if it is a leaf, 0 if a section's head, or that of a list's next item ("-"), whose key is
 * its number. */
static int read_line(reader *r, const char *line, size_t n) {
    size_t indent = 0;
    while (indent < n && line[indent] == ' ') {
        indent++;
    }
    const size_t depth = indent / INDENT < DEPTH_MAX - 1 ? indent / INDENT : DEPTH_MAX - 1;
    const bool item = n == indent + 1 && line[indent] == '-';
    const char *colon = memchr(line + indent, ':', n - indent);
    if (colon == NULL && !item) {
        return 0;
    }
    char number[16];
    snprintf(number, sizeof number, "%d", r->items[depth]);
    const size_t base = depth > 0 ? r->key_end[depth - 1] : 0;
    const int wrote =
        snprintf(r->key + base, KEY_MAX - base, "%s%.*s", depth > 0 ? "." : "",
                 item ? (int)strlen(number) : (int)(colon - line - (long)indent), item ? number : line + indent);
    r->key_end[depth] = base + (size_t)wrote < KEY_MAX - 1 ? base + (size_t)wrote : KEY_MAX - 1;
    r->items[depth] = item ? r->items[depth] + 1 : 0;
    r->items[depth + 1] = 0;
    if (item) {
        return 0;
    }
    const char *value = colon + 1 < line + n ? colon + 2 : line + n;
    snprintf(r->value, VALUE_MAX, "%.*s", value < line + n ? (int)(line + n - value) : 0, value);
    return r->value[0] != '\0';
}

static int next_leaf(reader *r) {
    while (*r->at != '\0') {
        const char *line = r->at, *end = strchr(line, '\n');
        const size_t n = end != NULL ? (size_t)(end - line) : strlen(line);
        r->at = line + n + (end != NULL);
        if (read_line(r, line, n)) {
            return 1;
        }
    }
    return 0;
}

static const char *find_value(const char *text, const char *key, reader *scratch) {
    *scratch = (reader){.at = text};
    while (next_leaf(scratch)) {
        if (strcmp(scratch->key, key) == 0) {
            return scratch->value;
        }
    }
    return NULL;
}

void hy_config_diff(const char *before, const char *after, hy_config_report report, void *context) {
    reader a = {.at = before}, b = {.at = after}, other;
    while (next_leaf(&a)) {
        const char *value = find_value(after, a.key, &other);
        if (value == NULL || strcmp(value, a.value) != 0) {
            report(context, a.key, a.value, value != NULL ? value : "absent");
        }
    }
    while (next_leaf(&b)) {
        if (find_value(before, b.key, &other) == NULL) {
            report(context, b.key, "absent", b.value);
        }
    }
}

bool hy_config_has(const char *text, const char *key, char *nearest, size_t size) {
    reader r = {.at = text};
    int64_t least = INT64_MAX;
    const size_t n = strlen(key);
    while (next_leaf(&r)) {
        if (strncmp(r.key, key, n) == 0 && (r.key[n] == '\0' || r.key[n] == '.')) {
            return true;
        }
        const int64_t distance = hy_text_dissimilarity(key, r.key);
        if (distance < least) {
            least = distance;
            snprintf(nearest, size, "%s", r.key);
        }
    }
    return false;
}

const char *hy_config_value(const char *text, const char *key) {
    static reader found;
    return find_value(text, key, &found);
}

typedef struct first_difference {
    int n;
    char text[2 * VALUE_MAX + KEY_MAX + 64];
} first_difference;

static void keep_first(void *context, const char *key, const char *before, const char *after) {
    first_difference *first = context;
    if (first->n++ == 0) {
        snprintf(first->text, sizeof first->text, "%s is %s, and %s on rank 0", key, after, before);
    }
}

/* ---- the same on all ranks ---- */

typedef struct config_of_rank {
    uint64_t hash;
    char host[56];
} config_of_rank;

static bool has_another(const void *context, int rank) {
    const config_of_rank *all = context;
    return all[rank].hash != all[0].hash;
}

/* Rank 0: `other` is the text of rank `first`, the first of `ranks`. */
static hy_status report_configs(const config_of_rank *all, int size, int first, const char *ranks, const char *mine,
                                const char *other) {
    first_difference difference = {.text = "their texts differ"};
    hy_config_diff(mine, other, keep_first, &difference);
    return hy_fail(HY_ERR_USAGE,
                   "rank %s of %d was started with another configuration than rank 0: %s%s (rank %d on %s, rank 0 on "
                   "%s); start all ranks "
                   "with the same",
                   ranks, size, difference.text, difference.n > 1 ? " and more" : "", first, all[first].host,
                   all[0].host);
}

static hy_status gather_hashes(hy_comm *world, const char *text, size_t length, config_of_rank **all) {
    config_of_rank mine = {.hash = XXH3_64bits(text, length)};
    HY_TRY(hy_comm_agree(world, HY_NEW("configurations of ranks", hy_comm_size(world), all)));
    (void)gethostname(mine.host, sizeof mine.host - 1);
    hy_req req = {0};
    hy_comm_all_gather(world, "config", &mine, *all, sizeof mine, &req);
    hy_comm_wait(&req);
    return HY_OK;
}

/* The text of rank `root`, ended by a zero, on every rank. Collective. */
static hy_status send_text(hy_comm *world, const char *mine, size_t length, int root, char **text) {
    int64_t n = (int64_t)length;
    hy_req req = {0};
    hy_comm_broadcast(world, "config", &n, sizeof n, root, &req);
    hy_comm_wait(&req);
    HY_TRY(hy_comm_agree(world, HY_NEW("config of another rank", n + 1, text)));
    if (hy_comm_rank(world) == root) {
        memcpy(*text, mine, length);
    }
    hy_comm_broadcast(world, "config", *text, (size_t)n, root, &req);
    hy_comm_wait(&req);
    return HY_OK;
}

static hy_status compare_configs(hy_comm *world, const config_of_rank *all, const char *text, size_t length) {
    char ranks[128], *other = NULL;
    if (hy_number_list(hy_comm_size(world), has_another, all, ranks, sizeof ranks) == 0) {
        return HY_OK;
    }
    int first = 0;
    while (!has_another(all, first)) {
        first++;
    }
    hy_status status = send_text(world, text, length, first, &other);
    if (status == HY_OK) {
        status = hy_comm_rank(world) == 0 ? report_configs(all, hy_comm_size(world), first, ranks, text, other)
                                          : HY_ERR_PEER;
    }
    hy_free(other);
    return status;
}

hy_status hy_config_agree(hy_comm *world, const char *text, size_t length) {
    config_of_rank *all = NULL;
    HY_TRY(gather_hashes(world, text, length, &all));
    const hy_status status = compare_configs(world, all, text, length);
    hy_free(all);
    return status;
}
