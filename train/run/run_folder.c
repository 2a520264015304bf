#include "train/run/run_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/log.h"

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
    return join(dir, "metrics.jsonl", folder->metrics);
}

/* A file system without locks is let pass. */
static hy_status take_lock(const char *dir, hy_run_folder *folder) {
    char path[HY_PATH_MAX];
    HY_TRY(join(dir, "lock", path));
    folder->lock = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0666);
    if (folder->lock < 0) {
        return hy_fail(HY_ERR_ENV, "%s: cannot be created: %s", path, strerror(errno));
    }
    if (flock(folder->lock, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        return hy_fail(HY_ERR_ENV, "%s: another job is running in this folder; wait for it or choose another run.dir",
                       dir);
    }
    return HY_OK;
}

hy_status hy_run_folder_begin(const char *dir, const char *config, size_t length, hy_run_folder *folder) {
    char path[HY_PATH_MAX];
    HY_TRY(hy_file_make_dirs(folder->checkpoints, HY_ERR_ENV));
    HY_TRY(take_lock(dir, folder));
    HY_TRY(hy_file_remove_unfinished(dir, HY_ERR_ENV));
    HY_TRY(join(dir, "config.yaml", path));
    HY_TRY(hy_file_write_atomic(path, config, length, HY_ERR_ENV));
    HY_TRY(join(dir, "log.txt", path));
    return hy_log_set_file(path);
}

void hy_run_folder_end(hy_run_folder *folder) {
    if (folder->lock >= 0) {
        close(folder->lock);
        folder->lock = -1;
        (void)!hy_log_set_file(NULL);
    }
}
