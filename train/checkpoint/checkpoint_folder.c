#include "train/checkpoint/checkpoint_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

hy_status hy_checkpoint_path(char path[HY_PATH_MAX], const char *folder, int64_t step, const char *suffix) {
    if (snprintf(path, HY_PATH_MAX, "%s/step-%lld%s", folder, (long long)step, suffix) >= HY_PATH_MAX) {
        return hy_fail(HY_ERR_CHECKPOINT, "%s: path too long", folder);
    }
    return HY_OK;
}

/* N if `name` is exactly step-N<suffix>, else −1. */
static int64_t step_of(const char *name, const char *suffix) {
    enum { DIGITS_MAX = 18 };
    const size_t digits = strncmp(name, "step-", 5) == 0 ? strspn(name + 5, "0123456789") : 0;
    if (digits == 0 || digits > DIGITS_MAX || strcmp(name + 5 + digits, suffix) != 0) {
        return -1;
    }
    return strtoll(name + 5, NULL, 10);
}

static int newest_first(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

static hy_status list_steps(const char *folder, const char *suffix, int64_t **steps, int64_t *n) {
    *steps = NULL;
    *n = 0;
    if (!hy_file_is_dir(folder)) {
        return HY_OK;
    }
    hy_file_list list;
    HY_TRY(hy_file_list_dir(folder, HY_ERR_CHECKPOINT, &list));
    hy_status status = HY_NEW("checkpoint steps", list.count + 1, steps);
    for (int64_t i = 0; i < list.count && status == HY_OK; i++) {
        int64_t step = step_of(list.names[i], suffix);
        if (step >= 0) {
            (*steps)[(*n)++] = step;
        }
    }
    hy_file_list_free(&list);
    if (*n > 0) {
        qsort(*steps, (size_t)*n, sizeof(**steps), newest_first);
    }
    return status;
}

hy_status hy_checkpoint_steps(const char *folder, int64_t **steps, int64_t *n) {
    return list_steps(folder, "", steps, n);
}

hy_status hy_checkpoint_stopped_steps(const char *folder, int64_t **steps, int64_t *n) {
    return list_steps(folder, ".stop", steps, n);
}

/* Parts of stopped saves: opening the folder has made checkpoints of those that can be. */
static hy_status remove_stopped(const char *folder) {
    int64_t *steps = NULL, n = 0;
    hy_status status = hy_checkpoint_stopped_steps(folder, &steps, &n);
    for (int64_t i = 0; i < n && status == HY_OK; i++) {
        char path[HY_PATH_MAX];
        status = hy_checkpoint_path(path, folder, steps[i], ".stop");
        if (status == HY_OK) {
            status = hy_file_remove_tree(path, HY_ERR_CHECKPOINT);
        }
    }
    hy_free(steps);
    return status;
}

/* Out of sight first, so that a crash in between leaves no half checkpoint. */
static hy_status remove_checkpoint(const char *folder, int64_t step) {
    char path[HY_PATH_MAX], aside[HY_PATH_MAX];
    HY_TRY(hy_checkpoint_path(path, folder, step, ""));
    HY_TRY(hy_checkpoint_path(aside, folder, step, ".old.tmp"));
    HY_TRY(hy_file_rename(path, aside, HY_ERR_CHECKPOINT));
    return hy_file_remove_tree(aside, HY_ERR_CHECKPOINT);
}

hy_status hy_checkpoint_prune(const char *folder, int64_t keep) {
    int64_t *steps = NULL, n = 0;
    HY_TRY(hy_file_remove_unfinished(folder, HY_ERR_CHECKPOINT));
    HY_TRY(remove_stopped(folder));
    hy_status status = hy_checkpoint_steps(folder, &steps, &n);
    for (int64_t i = keep; i < n && keep > 0 && status == HY_OK; i++) {
        status = remove_checkpoint(folder, steps[i]);
    }
    hy_free(steps);
    return status;
}
