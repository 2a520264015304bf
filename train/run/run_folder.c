#include "train/run/run_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "train/checkpoint/checkpoint_folder.h"

static hy_status join(const char *dir, const char *name, char path[HY_PATH_MAX]) {
    if (snprintf(path, HY_PATH_MAX, "%s/%s", dir, name) >= HY_PATH_MAX) {
        return hy_fail(HY_ERR_USAGE, "run.dir %s: the path is too long", dir);
    }
    return HY_OK;
}

hy_status hy_run_folder_init(const char *dir, hy_run_folder *folder) {
    folder->lock = -1;
    HY_TRY(join(dir, "checkpoints", folder->checkpoints));
    HY_TRY(join(dir, "peak.json", folder->peak));
    HY_TRY(join(dir, "log.txt", folder->log));
    HY_TRY(join(dir, "env.json", folder->env));
    return join(dir, "metrics.jsonl", folder->metrics);
}

/* Whether a run was stopped here: its processes may be about to end, which takes a while where they have much memory. */
static bool was_stopped(const hy_run_folder *folder) {
    int64_t *steps = NULL, n = 0;
    const bool stopped = hy_checkpoint_stopped_steps(folder->checkpoints, &steps, &n) == HY_OK && n > 0;
    hy_free(steps);
    return stopped;
}

/* Takes the lock, waiting for a run that ends. Without a lock: errno. */
static bool lock_soon(const char *dir, const hy_run_folder *folder) {
    enum { PATIENCE = 60, LOOKS_PER_SECOND = 20 };
    const struct timespec pause = {.tv_nsec = 1000000000 / LOOKS_PER_SECOND};
    bool locked = flock(folder->lock, LOCK_EX | LOCK_NB) == 0;
    if (!locked && errno == EWOULDBLOCK && was_stopped(folder)) {
        hy_info("%s: a run that was stopped is still ending: waiting", dir);
        for (int i = 0; !locked && i < PATIENCE * LOOKS_PER_SECOND; i++) {
            (void)nanosleep(&pause, NULL);
            locked = flock(folder->lock, LOCK_EX | LOCK_NB) == 0;
        }
    }
    return locked;
}

/* A file system without locks is let pass. */
static hy_status take_lock(const char *dir, hy_run_folder *folder) {
    char path[HY_PATH_MAX];
    HY_TRY(join(dir, "lock", path));
    folder->lock = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0666);
    if (folder->lock < 0) {
        return hy_fail(HY_ERR_ENV, "%s: cannot be created: %s", path, strerror(errno));
    }
    if (!lock_soon(dir, folder) && errno == EWOULDBLOCK) {
        return hy_fail(HY_ERR_ENV, "%s: another job is running in this folder; wait for it or choose another run.dir",
                       dir);
    }
    return HY_OK;
}

hy_status hy_run_folder_begin(const char *dir, hy_run_folder *folder) {
    HY_TRY(hy_file_make_dirs(folder->checkpoints, HY_ERR_ENV));
    HY_TRY(take_lock(dir, folder));
    HY_TRY(hy_file_remove_unfinished(dir, HY_ERR_ENV));
    return hy_log_set_file(folder->log);
}

hy_status hy_run_folder_write_config(const char *dir, const char *config, size_t length) {
    char path[HY_PATH_MAX];
    HY_TRY(join(dir, "config.yaml", path));
    return hy_file_write_atomic(path, config, length, HY_ERR_ENV);
}

void hy_run_folder_end(hy_run_folder *folder) {
    if (folder->lock >= 0) {
        close(folder->lock);
        folder->lock = -1;
    }
    (void)!hy_log_set_file(NULL);
}
