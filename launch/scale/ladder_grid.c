#include "launch/scale/ladder_grid.h"

#include <stdio.h>
#include <string.h>

static hy_status parse_lists(const char *option, const hy_option_list *lists, hy_ladder_grid *grid) {
    if (lists->n > HY_VARIED_MAX) {
        return hy_fail(HY_ERR_USAGE, "%s: given %d times; at most %d", option, lists->n, HY_VARIED_MAX);
    }
    for (int i = 0; i < lists->n; i++) {
        HY_TRY(hy_varied_parse(option, lists->items[i], &grid->keys[grid->n_keys++]));
    }
    return HY_OK;
}

hy_status hy_ladder_grid_parse(const hy_option_list *sizes, const hy_option_list *vary, hy_ladder_grid *grid) {
    int64_t families = 1;
    *grid = (hy_ladder_grid){.n_keys = 0};
    HY_TRY(parse_lists("--vary", vary, grid));
    grid->n_varied = grid->n_keys;
    HY_TRY(parse_lists("--sizes", sizes, grid));
    grid->n_sizes = grid->keys[grid->n_varied].n;
    for (int k = 0; k < grid->n_varied; k++) {
        families *= grid->keys[k].n;
    }
    for (int k = grid->n_varied; k < grid->n_keys; k++) {
        if (grid->keys[k].n != grid->n_sizes) {
            return hy_fail(HY_ERR_USAGE,
                           "--sizes: %d values of %s, %d of %s: wanted as many, the i-th of each is of the i-th size",
                           grid->n_sizes, grid->keys[grid->n_varied].key, grid->keys[k].n, grid->keys[k].key);
        }
    }
    if (families > HY_LADDER_FAMILIES) {
        return hy_fail(HY_ERR_USAGE, "--vary: %lld combinations; at most %d with --sizes", (long long)families,
                       HY_LADDER_FAMILIES);
    }
    grid->n_families = (int)families;
    return HY_OK;
}

int hy_ladder_points(const hy_ladder_grid *grid) {
    return grid->n_families * grid->n_sizes;
}

const char *hy_ladder_value(const hy_ladder_grid *grid, int i, int k) {
    if (k >= grid->n_varied) {
        return grid->keys[k].values[i % grid->n_sizes];
    }
    i /= grid->n_sizes;
    for (int later = grid->n_varied - 1; later > k; later--) {
        i /= grid->keys[later].n;
    }
    return grid->keys[k].values[i % grid->keys[k].n];
}

void hy_ladder_name(const hy_ladder_grid *grid, int i, int begin, int end, char *name, size_t size) {
    size_t used = 0;
    name[0] = '\0';
    for (int k = begin; k < end && used < size; k++) {
        const char *key = grid->keys[k].key, *dot = strrchr(key, '.');
        used += (size_t)snprintf(name + used, size - used, "%s%s=%s", k > begin ? "," : "", dot != NULL ? dot + 1 : key,
                                 hy_ladder_value(grid, i, k));
    }
}
