#include "launch/scale/scale_grid.h"

#include <stdio.h>
#include <string.h>

#include "base/count.h"
#include "base/memory.h"
#include "train/data/file_hash.h"

enum { SETS_MAX = HY_OPTION_LIST_MAX + HY_VARIED_MAX + 1 };

static hy_status parse_ranks(const char *text, hy_scale_grid *grid) {
    if (!hy_count_list_parse(text, grid->ranks, HY_SCALE_RANKS, &grid->n_ranks)) {
        return hy_fail(HY_ERR_USAGE, "--ranks %s: no list of at most %d numbers", text, HY_SCALE_RANKS);
    }
    for (int i = 0; i < grid->n_ranks; i++) {
        if (grid->ranks[i] < 1 || grid->ranks[i] > 1 << 20 || (i > 0 && grid->ranks[i] <= grid->ranks[i - 1])) {
            return hy_fail(HY_ERR_USAGE, "--ranks %s: %lld is no number from 1 to %d above the one before it", text,
                           (long long)grid->ranks[i], 1 << 20);
        }
    }
    return HY_OK;
}

hy_status hy_varied_parse(const char *option, const char *text, hy_varied *v) {
    char *rest = NULL;
    if (strlen(text) >= sizeof v->text || strchr(text, '=') == NULL) {
        return hy_fail(HY_ERR_USAGE, "%s %.100s: not KEY=VALUE,VALUE,... of at most %zu characters", option, text,
                       sizeof v->text - 1);
    }
    (void)snprintf(v->text, sizeof v->text, "%s", text);
    v->key = strtok_r(v->text, "=", &rest);
    for (const char *word = strtok_r(NULL, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest)) {
        if (v->n == HY_VARIED_VALUES) {
            return hy_fail(HY_ERR_USAGE, "%s %s: more than %d values", option, text, HY_VARIED_VALUES);
        }
        v->values[v->n++] = word;
    }
    return v->n > 0 ? HY_OK : hy_fail(HY_ERR_USAGE, "%s %s: no value", option, text);
}

hy_status hy_scale_grid_parse(const char *ranks, const hy_option_list *vary, hy_scale_grid *grid) {
    HY_TRY(parse_ranks(ranks, grid));
    if (vary->n > HY_VARIED_MAX) {
        return hy_fail(HY_ERR_USAGE, "--vary: given %d times; at most %d", vary->n, HY_VARIED_MAX);
    }
    for (int i = 0; i < vary->n; i++) {
        HY_TRY(hy_varied_parse("--vary", vary->items[i], &grid->varied[grid->n_varied++]));
    }
    return HY_OK;
}

int64_t hy_scale_points(const hy_scale_grid *grid) {
    int64_t n = grid->n_ranks;
    for (int i = 0; i < grid->n_varied; i++) {
        n *= grid->varied[i].n;
    }
    return n;
}

static hy_status load_point(const hy_scale_grid *grid, const char **sets, int n, hy_scale_point *point) {
    char length[64];
    HY_TRY(hy_config_load(grid->config, sets, n, point->config));
    if (grid->per_rank == 0) {
        return HY_OK;
    }
    const int64_t groups = point->config->parallel.data;
    const int64_t sharing =
        point->config->parallel.sequence > 0 ? point->config->parallel.sequence : point->ranks / groups;
    (void)snprintf(length, sizeof length, "data.sequence=%lld", (long long)(grid->per_rank * sharing));
    sets[n] = length;
    return hy_config_load(grid->config, sets, n + 1, point->config);
}

hy_status hy_scale_point_at(const hy_scale_grid *grid, int64_t i, hy_scale_point *point) {
    char texts[HY_VARIED_MAX][HY_VARIED_TEXT + 8];
    const char *sets[SETS_MAX];
    int n = 0;
    point->ranks = (int)grid->ranks[i % grid->n_ranks];
    i /= grid->n_ranks;
    for (; n < grid->sets->n; n++) {
        sets[n] = grid->sets->items[n];
    }
    for (int v = grid->n_varied - 1; v >= 0; v--) {
        const hy_varied *varied = &grid->varied[v];
        point->values[v] = varied->values[i % varied->n];
        i /= varied->n;
        (void)snprintf(texts[v], sizeof texts[v], "%s=%s", varied->key, point->values[v]);
        sets[n++] = texts[v];
    }
    return load_point(grid, sets, n, point);
}

hy_status hy_scale_hash(const hy_config *config, uint64_t *hash) {
    char *text = NULL;
    size_t length = 0;
    HY_TRY(hy_config_write(config, &text, &length));
    *hash = hy_hash_bytes(text, length);
    hy_free(text);
    return HY_OK;
}
