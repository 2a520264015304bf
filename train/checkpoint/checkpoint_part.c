#include "train/checkpoint/checkpoint_part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "train/checkpoint/checkpoint_fetch.h"

struct hy_part {
    char folder[HY_PATH_MAX], path[HY_PATH_MAX], temporary[HY_PATH_MAX];
    hy_part_head head;
    hy_shards shards; /* what is written: the device's memory, or its image */
    hy_bucket_shard *buckets;
    hy_fetch *fetch;         /* NULL: a child sees the device's memory */
    unsigned char *preamble; /* head, sizes, manifest: written as one piece */
    size_t preamble_bytes;
};

/* ---- before the run ---- */

/* The manifest of rank 0's part; the others' parts need none. */
static hy_status format_manifest(const hy_checkpoint_source *source, char **text, size_t *length) {
    hy_manifest m;
    *text = NULL;
    *length = 0;
    if (hy_comm_rank(source->world) > 0) {
        return HY_OK;
    }
    HY_TRY(hy_checkpoint_manifest(source, &m));
    const hy_status status = hy_manifest_format(&m, text, length);
    hy_manifest_fini(&m);
    return status;
}

static hy_status make_preamble(hy_part *part, const hy_checkpoint_source *source) {
    char *text = NULL;
    size_t length = 0;
    HY_TRY(format_manifest(source, &text, &length));
    const size_t sizes = (size_t)part->shards.n_buckets * sizeof(int64_t);
    part->preamble_bytes = sizeof part->head + sizes + length;
    const hy_status status = hy_alloc("head of a stopped save", part->preamble_bytes, (void **)&part->preamble);
    if (status == HY_OK) {
        unsigned char *at = part->preamble + sizeof part->head;
        for (int b = 0; b < part->shards.n_buckets; b++, at += sizeof(int64_t)) {
            memcpy(at, &part->buckets[b].n, sizeof(int64_t));
        }
        memcpy(at, text != NULL ? text : "", length);
        part->head.manifest_bytes = (int64_t)length;
        (void)hy_hash_bytes(part->preamble, part->preamble_bytes); /* so that its symbol is bound before a signal */
    }
    free(text);
    return status;
}

static hy_status fill_part(hy_part *part, const hy_checkpoint_source *source, const char *folder) {
    const int size = hy_comm_size(source->world), rank = hy_comm_rank(source->world);
    if (strlen(folder) >= sizeof part->folder - 64) {
        return hy_fail(HY_ERR_CHECKPOINT, "%s: path too long", folder);
    }
    strcpy(part->folder, folder);
    HY_TRY(hy_bucket_shards_create(source->model, size, rank, &part->buckets));
    part->shards = (hy_shards){.dtype = source->dtype,
                               .n_buckets = hy_model_bucket_count(source->model),
                               .buckets = part->buckets,
                               .flat = !source->own,
                               .data = {source->params, source->m, source->v}};
    part->head = (hy_part_head){.magic = HY_PART_MAGIC,
                                .world = size,
                                .rank = rank,
                                .dtype = source->dtype,
                                .n_buckets = part->shards.n_buckets,
                                .optimizer = source->m != NULL};
    HY_TRY(source->device != NULL && hy_device_is_apart(source->device)
               ? hy_fetch_create(source->device, &part->shards, &part->fetch)
               : HY_OK);
    return make_preamble(part, source);
}

hy_status hy_part_create(const hy_checkpoint_source *source, const char *folder, hy_part **out) {
    hy_part *part = NULL;
    HY_TRY(HY_NEW("stopped save", 1, &part));
    const hy_status status = fill_part(part, source, folder);
    if (status != HY_OK) {
        hy_part_destroy(part);
        return status;
    }
    *out = part;
    return HY_OK;
}

void hy_part_destroy(hy_part *part) {
    if (part != NULL) {
        hy_fetch_destroy(part->fetch);
        hy_free(part->buckets);
        hy_free(part->preamble);
        hy_free(part);
    }
}

/* ---- where a child does not see the device ---- */

bool hy_part_fetches(const hy_part *part) {
    return part->fetch != NULL;
}

hy_status hy_part_fetch_begin(hy_part *part) {
    return hy_fetch_begin(part->fetch, &part->shards);
}

bool hy_part_fetched(hy_part *part, bool wait) {
    return hy_fetch_go_on(part->fetch, wait);
}

void hy_part_fetch_end(hy_part *part) {
    hy_fetch_end(part->fetch);
}

/* ---- at the signal: the kernel's calls only ---- */

static char *put_text(char *at, const char *text) {
    const size_t n = strlen(text);
    memcpy(at, text, n + 1);
    return at + n;
}

static char *put_number(char *at, int64_t value, int digits) {
    char reversed[24];
    int n = 0;
    do {
        reversed[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0 || n < digits);
    while (n > 0) {
        *at++ = reversed[--n];
    }
    *at = '\0';
    return at;
}

/* folder/step-N.stop, its end returned. */
static char *put_folder(const hy_part *part, int64_t step, char path[HY_PATH_MAX]) {
    return put_text(put_number(put_text(put_text(path, part->folder), "/step-"), step, 1), ".stop");
}

static void put_part(const hy_part *part, int64_t step, int64_t rank, const char *suffix, char path[HY_PATH_MAX]) {
    put_text(put_number(put_text(put_folder(part, step, path), "/rank-"), rank, 5), suffix);
}

static bool write_bytes(int fd, const void *data, size_t bytes) {
    const char *at = data;
    while (bytes > 0) {
        const ssize_t put = write(fd, at, bytes < (size_t)1 << 30 ? bytes : (size_t)1 << 30);
        if (put < 0 && errno != EINTR) {
            return false;
        }
        at += put > 0 ? put : 0;
        bytes -= put > 0 ? (size_t)put : 0;
    }
    return true;
}

static bool write_contents(hy_part *part, int fd) {
    const hy_shards *s = &part->shards;
    bool ok = write_bytes(fd, part->preamble, part->preamble_bytes);
    for (int k = 0; k < 3; k++) {
        for (int b = 0; b < s->n_buckets && s->data[k] != NULL; b++) {
            ok = ok && write_bytes(fd, hy_shards_at(s, k, b), (size_t)s->buckets[b].n * hy_dtype_size(s->dtype));
        }
    }
    return ok && fsync(fd) == 0;
}

static void finish_head(hy_part *part, const hy_progress *progress) {
    part->head.progress = *progress;
    part->head.content = hy_shards_content(&part->shards);
    part->head.head_hash = 0;
    memcpy(part->preamble, &part->head, sizeof part->head);
    part->head.head_hash = hy_hash_bytes(part->preamble, part->preamble_bytes);
    memcpy(part->preamble, &part->head, sizeof part->head);
}

static void sync_folder(const hy_part *part, int64_t step) {
    char path[HY_PATH_MAX];
    put_folder(part, step, path);
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        (void)close(fd);
    }
}

bool hy_part_announce(hy_part *part, int64_t step) {
    put_folder(part, step, part->path);
    return mkdir(part->path, 0777) == 0;
}

bool hy_part_write(hy_part *part, const hy_progress *progress) {
    put_part(part, progress->step, part->head.rank, ".part", part->path);
    put_part(part, progress->step, part->head.rank, ".part.tmp", part->temporary);
    const int fd = open(part->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        return false;
    }
    (void)flock(fd, LOCK_EX | LOCK_NB); /* who resumes waits for it */
    finish_head(part, progress);
    const bool ok = write_contents(part, fd) && rename(part->temporary, part->path) == 0;
    if (ok) {
        sync_folder(part, progress->step);
    } else {
        (void)unlink(part->temporary);
    }
    (void)close(fd);
    return ok;
}

bool hy_part_all_there(hy_part *part, int64_t step) {
    struct stat info;
    for (int64_t r = 0; r < part->head.world; r++) {
        put_part(part, step, r, ".part", part->path);
        if (stat(part->path, &info) != 0) {
            return false;
        }
    }
    return true;
}
