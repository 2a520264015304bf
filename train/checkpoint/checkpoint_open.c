/* Finding the newest checkpoint that is whole. Rank 0 looks at the folder; all ranks share the hashing of the files. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "train/checkpoint/checkpoint.h"
#include "train/checkpoint/checkpoint_folder.h"
#include "train/checkpoint/checkpoint_part.h"

/* Hashes every world-th file, starting with the rank's own. */
static hy_status verify_files(const char *path, const hy_manifest *m, int rank, int size) {
    for (int64_t i = rank; i < m->n_files; i += size) {
        char file[HY_PATH_MAX];
        hy_file_hash hash;
        HY_TRY(hy_file_inside(path, m->files[i].name, HY_ERR_CHECKPOINT, file));
        HY_TRY(hy_file_hash_compute(file, HY_ERR_CHECKPOINT, &hash));
        if (hash.size != m->files[i].hash.size) {
            return hy_fail(HY_ERR_CHECKPOINT, "%s: %lld bytes, written with %lld: truncated or replaced", file,
                           (long long)hash.size, (long long)m->files[i].hash.size);
        }
        if (hash.xxh3 != m->files[i].hash.xxh3) {
            return hy_fail(HY_ERR_CHECKPOINT, "%s: its hash is not the one it was written with: damaged", file);
        }
    }
    return HY_OK;
}

/* One candidate: manifest and files. Collective. */
static hy_status try_open(const char *path, hy_comm *world, hy_checkpoint *out) {
    hy_manifest m = {0};
    const bool first = hy_comm_rank(world) == 0; /* what is wrong for all is said once */
    hy_status status = hy_comm_agree(world, first ? hy_manifest_read(path, &m) : HY_OK);
    if (status == HY_OK) {
        status = hy_comm_agree(world, first ? HY_OK : hy_manifest_read(path, &m));
    }
    if (status == HY_OK) {
        status = hy_comm_agree(world, verify_files(path, &m, hy_comm_rank(world), hy_comm_size(world)));
    }
    if (status != HY_OK) {
        hy_manifest_fini(&m);
        return status;
    }
    out->manifest = m;
    snprintf(out->path, sizeof(out->path), "%s", path);
    return HY_OK;
}

/* What `path` is, and the steps in its folder. Rank 0 decides, so that all ranks see the same. */
typedef struct candidates {
    char folder[HY_PATH_MAX];
    bool is_checkpoint; /* `folder` is one itself */
    int64_t n, *steps;
} candidates;

static hy_status look_for_candidates(const char *path, candidates *c) {
    char inside[HY_PATH_MAX];
    if (snprintf(c->folder, sizeof(c->folder), "%s", path) >= (int)sizeof(c->folder) ||
        snprintf(inside, sizeof(inside), "%s/manifest.json", path) >= (int)sizeof(inside)) {
        return hy_fail(HY_ERR_CHECKPOINT, "%s: path too long", path);
    }
    c->is_checkpoint = hy_file_exists(inside);
    snprintf(inside, sizeof(inside), "%s/checkpoints", path);
    if (!c->is_checkpoint && hy_file_is_dir(inside)) {
        snprintf(c->folder, sizeof(c->folder), "%s", inside);
    }
    if (c->is_checkpoint) {
        return HY_OK;
    }
    HY_TRY(hy_checkpoint_recover(c->folder));
    return hy_checkpoint_steps(c->folder, &c->steps, &c->n);
}

static hy_status share_candidates(hy_comm *world, candidates *c) {
    hy_req req = {0};
    int64_t head[2] = {c->is_checkpoint, c->n};
    hy_comm_broadcast(world, "checkpoint folder", c->folder, sizeof(c->folder), 0, &req);
    hy_comm_wait(&req);
    hy_comm_broadcast(world, "checkpoint count", head, sizeof(head), 0, &req);
    hy_comm_wait(&req);
    c->is_checkpoint = head[0] != 0;
    c->n = head[1];
    if (c->n == 0) {
        return HY_OK;
    }
    HY_TRY(hy_comm_agree(world, c->steps ? HY_OK : HY_NEW("checkpoint steps", c->n, &c->steps)));
    hy_comm_broadcast(world, "checkpoint steps", c->steps, (size_t)c->n * sizeof(*c->steps), 0, &req);
    hy_comm_wait(&req);
    return HY_OK;
}

static hy_status open_newest(const candidates *c, hy_comm *world, hy_checkpoint *out) {
    for (int64_t i = 0; i < c->n; i++) {
        char path[HY_PATH_MAX];
        HY_TRY(hy_checkpoint_path(path, c->folder, c->steps[i], ""));
        if (try_open(path, world, out) == HY_OK) {
            if (i > 0) {
                hy_warn("falling back to %s, the newest checkpoint that is whole", path);
            }
            return HY_OK;
        }
    }
    return hy_comm_rank(world) == 0 ? hy_fail(HY_ERR_CHECKPOINT, "%s: no checkpoint here is whole (%lld looked at)",
                                              c->folder, (long long)c->n)
                                    : HY_ERR_PEER;
}

hy_status hy_checkpoint_open(const char *path, hy_comm *world, bool *found, hy_checkpoint *out) {
    candidates c = {.n = 0};
    hy_status status = hy_comm_agree(world, hy_comm_rank(world) == 0 ? look_for_candidates(path, &c) : HY_OK);
    if (status == HY_OK) {
        status = share_candidates(world, &c);
    }
    if (status == HY_OK) {
        if (found) {
            *found = c.is_checkpoint || c.n > 0;
        }
        if (c.is_checkpoint) {
            status = try_open(c.folder, world, out);
        } else if (c.n > 0) {
            status = open_newest(&c, world, out);
        } else if (!found) {
            status =
                hy_comm_rank(world) == 0 ? hy_fail(HY_ERR_CHECKPOINT, "%s: no checkpoint here", path) : HY_ERR_PEER;
        }
    }
    hy_free(c.steps);
    return status;
}

void hy_checkpoint_close(hy_checkpoint *checkpoint) {
    if (checkpoint) {
        hy_manifest_fini(&checkpoint->manifest);
    }
}

const char *hy_checkpoint_attachment(const hy_checkpoint *checkpoint, const char *name) {
    for (int64_t i = 0; i < checkpoint->manifest.n_attachments; i++) {
        if (strcmp(checkpoint->manifest.attachments[i].name, name) == 0) {
            return checkpoint->manifest.attachments[i].text;
        }
    }
    return NULL;
}
