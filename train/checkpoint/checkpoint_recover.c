/* From the parts that a stopped run left (checkpoint_part.h) to a checkpoint like any other. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "train/checkpoint/checkpoint_folder.h"
#include "train/checkpoint/checkpoint_internal.h"
#include "train/checkpoint/checkpoint_part.h"

/* A part, mapped and verified. */
typedef struct mapped_part {
    unsigned char *bytes;
    size_t length;
    hy_part_head head;
    const char *manifest;
    hy_bucket_shard *buckets;
    hy_shards shards;
} mapped_part;

static void unmap(mapped_part *p) {
    if (p->bytes != NULL) {
        (void)munmap(p->bytes, p->length);
    }
    hy_free(p->buckets);
    *p = (mapped_part){0};
}

static hy_status part_path(const char *stopped, int64_t rank, const char *suffix, char path[HY_PATH_MAX]) {
    if (snprintf(path, HY_PATH_MAX, "%s/rank-%05lld.part%s", stopped, (long long)rank, suffix) >= HY_PATH_MAX) {
        return hy_fail(HY_ERR_CHECKPOINT, "%s: path too long", stopped);
    }
    return HY_OK;
}

/* Whether the part is there, once nobody is writing it any more. */
static bool wait_for_part(const char *stopped, int64_t rank) {
    char path[HY_PATH_MAX], temporary[HY_PATH_MAX];
    if (part_path(stopped, rank, "", path) != HY_OK || part_path(stopped, rank, ".tmp", temporary) != HY_OK) {
        return false;
    }
    const int fd = hy_file_exists(path) ? -1 : open(temporary, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        if (flock(fd, LOCK_SH | LOCK_NB) != 0) {
            hy_info("%s: still being written by the run that was stopped: waiting", path);
            (void)flock(fd, LOCK_SH);
        }
        (void)close(fd);
    }
    return hy_file_exists(path);
}

static hy_status map_file(const char *path, mapped_part *p) {
    struct stat info;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &info) == 0 && info.st_size >= (off_t)sizeof p->head) {
        p->length = (size_t)info.st_size;
        void *bytes = mmap(NULL, p->length, PROT_READ, MAP_PRIVATE, fd, 0);
        p->bytes = bytes == MAP_FAILED ? NULL : bytes;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return p->bytes != NULL ? HY_OK : hy_fail(HY_ERR_CHECKPOINT, "%s: cannot be read, or is cut short", path);
}

/* The head, and that the file is as long as it says. */
static bool check_head(mapped_part *p, int64_t *elements) {
    memcpy(&p->head, p->bytes, sizeof p->head);
    hy_part_head *h = &p->head;
    const int64_t left = (int64_t)(p->length - sizeof *h);
    if (memcmp(h->magic, HY_PART_MAGIC, sizeof HY_PART_MAGIC) != 0 || h->n_buckets < 1 ||
        h->n_buckets > left / (int64_t)sizeof(int64_t) || h->manifest_bytes < 0 ||
        h->manifest_bytes > left - h->n_buckets * (int64_t)sizeof(int64_t)) {
        return false;
    }
    const int64_t sizes = h->n_buckets * (int64_t)sizeof(int64_t);
    const int64_t element = h->dtype == HY_F64 ? 8 : 4, datasets = h->optimizer ? 3 : 1;
    *elements = (left - sizes - h->manifest_bytes) / (element * datasets);
    return *elements * element * datasets == left - sizes - h->manifest_bytes;
}

static bool head_matches_hash(const mapped_part *p) {
    const size_t bytes = sizeof p->head + (size_t)p->head.n_buckets * sizeof(int64_t) + (size_t)p->head.manifest_bytes;
    hy_part_head zeroed = p->head;
    unsigned char *copy = NULL;
    zeroed.head_hash = 0;
    if (hy_alloc("head of a stopped save", bytes, (void **)&copy) != HY_OK) {
        return false;
    }
    memcpy(copy, p->bytes, bytes);
    memcpy(copy, &zeroed, sizeof zeroed);
    const bool same = hy_hash_bytes(copy, bytes) == p->head.head_hash;
    hy_free(copy);
    return same;
}

/* Where each bucket's shard is in the file; false where the sizes do not add up. */
static bool place_buckets(mapped_part *p, int64_t elements) {
    int64_t sum = 0;
    for (int64_t b = 0; b < p->head.n_buckets; b++) {
        int64_t n;
        memcpy(&n, p->bytes + sizeof p->head + (size_t)b * sizeof n, sizeof n);
        if (n < 0 || n > elements - sum) {
            return false;
        }
        p->buckets[b] = (hy_bucket_shard){.state = sum, .n = n};
        sum += n;
    }
    return sum == elements;
}

static hy_status map_part(const char *stopped, int64_t rank, mapped_part *p) {
    char path[HY_PATH_MAX];
    int64_t elements = 0;
    HY_TRY(part_path(stopped, rank, "", path));
    HY_TRY(map_file(path, p));
    bool ok = check_head(p, &elements) && head_matches_hash(p) && p->head.rank == rank;
    if (ok) {
        HY_TRY(HY_NEW("shards of a stopped save", p->head.n_buckets, &p->buckets));
        ok = place_buckets(p, elements);
    }
    if (ok) {
        const size_t bytes = (size_t)elements * (p->head.dtype == HY_F64 ? 8 : 4);
        p->manifest = (const char *)p->bytes + sizeof p->head + (size_t)p->head.n_buckets * sizeof(int64_t);
        const char *data = p->manifest + p->head.manifest_bytes;
        p->shards = (hy_shards){.dtype = p->head.dtype == HY_F64 ? HY_F64 : HY_F32,
                                .n_buckets = (int)p->head.n_buckets,
                                .buckets = p->buckets,
                                .data = {data, NULL, NULL}};
        for (int k = 1; k < 3 && p->head.optimizer; k++) {
            p->shards.data[k] = data + (size_t)k * bytes;
        }
        ok = hy_shards_content(&p->shards) == p->head.content;
    }
    return ok ? HY_OK : hy_fail(HY_ERR_CHECKPOINT, "%s: its hash is not the one it was written with: damaged", path);
}

/* ---- the checkpoint ---- */

/* Rank `rank`'s file of the checkpoint, from its part. The first part gives the manifest. */
static hy_status convert(const char *stopped, const char *unfinished, int64_t rank, hy_manifest *m) {
    char path[HY_PATH_MAX];
    mapped_part p = {0};
    hy_status status = map_part(stopped, rank, &p);
    if (status == HY_OK && rank == 0) {
        status = hy_manifest_parse(stopped, p.manifest, (size_t)p.head.manifest_bytes, m);
        m->progress = p.head.progress;
    }
    if (status == HY_OK && (p.head.world != m->world || rank >= m->n_files ||
                            memcmp(&p.head.progress, &m->progress, sizeof m->progress) != 0)) {
        status =
            hy_fail(HY_ERR_CHECKPOINT, "%s: the part of rank %lld belongs to another save", stopped, (long long)rank);
    }
    if (status == HY_OK && snprintf(path, sizeof path, "%s/%s", unfinished, m->files[rank].name) < (int)sizeof path) {
        status = hy_shards_write(&p.shards, path, &m->files[rank]);
    }
    unmap(&p);
    return status;
}

static hy_status convert_all(const char *folder, const char *stopped, const char *unfinished, int64_t world,
                             int64_t step) {
    hy_manifest m = {0};
    hy_status status = hy_checkpoint_prepare(folder, unfinished);
    for (int64_t r = 0; r < world && status == HY_OK; r++) {
        status = convert(stopped, unfinished, r, &m);
    }
    if (status == HY_OK) {
        status = hy_manifest_write(&m, unfinished);
    }
    if (status == HY_OK) {
        status = hy_checkpoint_publish(folder, unfinished, step, 0);
    }
    hy_manifest_fini(&m);
    return status;
}

/* Ranks of the run that left the parts, 0 if even the first part is not there; *there: how many parts are. */
static int64_t count_parts(const char *stopped, int64_t *there) {
    mapped_part first = {0};
    *there = 0;
    if (!wait_for_part(stopped, 0) || map_part(stopped, 0, &first) != HY_OK) {
        unmap(&first);
        return 0;
    }
    const int64_t world = first.head.world;
    unmap(&first);
    for (int64_t r = 0; r < world; r++) {
        *there += wait_for_part(stopped, r);
    }
    return world;
}

/* True if the step's checkpoint is there now. */
static bool recover_step(const char *folder, int64_t step) {
    char stopped[HY_PATH_MAX], unfinished[HY_PATH_MAX];
    int64_t there = 0;
    if (hy_checkpoint_path(stopped, folder, step, ".stop") != HY_OK ||
        hy_checkpoint_path(unfinished, folder, step, ".stop.tmp") != HY_OK) {
        return false;
    }
    const int64_t world = count_parts(stopped, &there);
    if (world == 0 || there < world) {
        hy_warn("%s: the stop after step %lld came too early or too fast: %lld of %lld ranks have saved their part; "
                "passed over",
                stopped, (long long)step, (long long)there, (long long)world);
        return false;
    }
    if (convert_all(folder, stopped, unfinished, world, step) != HY_OK) {
        hy_warn("%s: no checkpoint can be made of it; passed over", stopped);
        return false;
    }
    hy_info("step %lld, finished when the run was stopped, is now the checkpoint %s/step-%lld", (long long)step, folder,
            (long long)step);
    return true;
}

hy_status hy_checkpoint_recover(const char *folder) {
    int64_t *steps = NULL, n = 0, newest = -1;
    if (!hy_file_is_dir(folder)) {
        return HY_OK;
    }
    HY_TRY(hy_checkpoint_steps(folder, &steps, &n));
    newest = n > 0 ? steps[0] : -1;
    hy_free(steps);
    HY_TRY(hy_checkpoint_stopped_steps(folder, &steps, &n));
    bool done = false;
    for (int64_t i = 0; i < n && steps[i] > newest && !done; i++) {
        done = recover_step(folder, steps[i]);
    }
    hy_free(steps);
    return HY_OK;
}
