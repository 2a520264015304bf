#include "train/checkpoint/checkpoint_carried.h"

#include <hdf5.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "train/data/h5.h"

enum { FIRST, COUNT, BYTES, HEAD, CHUNK = 1 << 18 };

static const char *const prefix = "carried-";

/* Host memory of both directions: a block, and one sequence of it. */
typedef struct carried_room {
    char *block, *one;
} carried_room;

static hy_status open_room(const hy_carried_values *c, carried_room *room) {
    HY_TRY(hy_alloc("carried states on their way", (size_t)hy_runner_carried_bytes(c->runner), (void **)&room->block));
    return hy_alloc("carried states of a sequence", (size_t)hy_runner_carried_sequence(c->runner), (void **)&room->one);
}

static void close_room(carried_room *room) {
    hy_free(room->block);
    hy_free(room->one);
}

static char *block_at(const hy_carried_values *c, int64_t place) {
    return c->values + place / c->unit * hy_runner_carried_bytes(c->runner);
}

/* ---- write ---- */

static int write_values(const hy_carried_values *c, hid_t dataset, const carried_room *room, uint64_t *content) {
    const int64_t bytes = hy_runner_carried_sequence(c->runner);
    int ok = 1;
    for (int64_t i = 0; i < c->count && ok; i++) {
        if (i % c->unit == 0) {
            hy_device_read(c->device, block_at(c, i), (size_t)hy_runner_carried_bytes(c->runner), room->block);
        }
        hy_runner_carried_take(c->runner, room->block, i % c->unit, room->one);
        const uint64_t pair[2] = {*content, hy_hash_bytes(room->one, (size_t)bytes)};
        *content = hy_hash_bytes(pair, sizeof pair);
        ok = hy_h5_write_range(dataset, H5T_NATIVE_UINT8, i * bytes, bytes, room->one) >= 0;
    }
    return ok;
}

static int write_carried_file(const hy_carried_values *c, hid_t file, const carried_room *room, uint64_t *content) {
    const int64_t head[HEAD] = {c->first, c->count, hy_runner_carried_sequence(c->runner)};
    const hid_t numbers = hy_h5_dataset_create(file, "head", H5T_NATIVE_INT64, HEAD, HEAD),
                values = hy_h5_dataset_create(file, "values", H5T_NATIVE_UINT8, c->count * head[BYTES], CHUNK);
    int ok = numbers >= 0 && values >= 0 && hy_h5_write_range(numbers, H5T_NATIVE_INT64, 0, HEAD, head) >= 0 &&
             write_values(c, values, room, content);
    ok = (numbers < 0 || H5Dclose(numbers) >= 0) && ok;
    return (values < 0 || H5Dclose(values) >= 0) && ok;
}

hy_status hy_carried_write(const hy_carried_values *carried, const char *folder, int rank, hy_manifest_file *info) {
    char path[HY_PATH_MAX];
    carried_room room = {0};
    hid_t file = -1;
    hy_status status = open_room(carried, &room);
    *info = (hy_manifest_file){0};
    (void)snprintf(info->name, sizeof info->name, "%s%05d.h5", prefix, rank);
    if (status == HY_OK && snprintf(path, sizeof path, "%s/%s", folder, info->name) >= (int)sizeof path) {
        status = hy_fail(HY_ERR_CHECKPOINT, "%s: path too long", folder);
    }
    status = status == HY_OK ? hy_h5_create(path, HY_ERR_CHECKPOINT, &file) : status;
    if (status == HY_OK) {
        const int ok = write_carried_file(carried, file, &room, &info->content);
        if (H5Fclose(file) < 0 || !ok) {
            status = hy_h5_fail(HY_ERR_CHECKPOINT, path, "cannot be written");
            (void)!truncate(path, 0); /* as in checkpoint_save.c */
        }
    }
    close_room(&room);
    HY_TRY(status);
    HY_TRY(hy_file_sync(path, HY_ERR_CHECKPOINT));
    return hy_file_hash_compute(path, HY_ERR_CHECKPOINT, &info->hash);
}

/* ---- read ---- */

/* Places that the file and this rank share, into their blocks; *got of them. */
static int read_values(const hy_carried_values *c, hid_t dataset, const int64_t *head, const carried_room *room,
                       int64_t *got) {
    int ok = 1;
    for (int64_t i = 0; i < c->count && ok; i++) {
        const int64_t there = c->first + i - head[FIRST];
        if (there < 0 || there >= head[COUNT]) {
            continue;
        }
        const size_t bytes = (size_t)hy_runner_carried_bytes(c->runner);
        ok = hy_h5_read_range(dataset, H5T_NATIVE_UINT8, there * head[BYTES], head[BYTES], room->one) >= 0;
        hy_device_read(c->device, block_at(c, i), bytes, room->block);
        hy_runner_carried_put(c->runner, room->one, i % c->unit, room->block);
        hy_device_write(c->device, room->block, bytes, block_at(c, i));
        (*got)++;
    }
    return ok;
}

static hy_status read_carried_file(const hy_carried_values *c, const char *path, const carried_room *room,
                                   int64_t *got) {
    hid_t file = -1, numbers = -1, values = -1;
    int64_t head[HEAD] = {0};
    HY_TRY(hy_h5_open(path, HY_ERR_CHECKPOINT, &file));
    hy_status status = hy_h5_dataset_open(file, path, "head", HY_ERR_CHECKPOINT, &numbers);
    status = status == HY_OK ? hy_h5_dataset_open(file, path, "values", HY_ERR_CHECKPOINT, &values) : status;
    if (status == HY_OK) {
        int ok = hy_h5_read_range(numbers, H5T_NATIVE_INT64, 0, HEAD, head) >= 0;
        if (ok && head[BYTES] == hy_runner_carried_sequence(c->runner)) {
            ok = read_values(c, values, head, room, got);
        }
        status = ok ? HY_OK : hy_h5_fail(HY_ERR_CHECKPOINT, path, "cannot be read");
    }
    if (numbers >= 0) {
        H5Dclose(numbers);
    }
    if (values >= 0) {
        H5Dclose(values);
    }
    H5Fclose(file);
    return status;
}

hy_status hy_carried_read(const char *path, const hy_manifest *manifest, const hy_carried_values *carried,
                          bool *found) {
    carried_room room = {0};
    int64_t got = 0;
    hy_status status = carried->values != NULL ? open_room(carried, &room) : HY_OK;
    for (int64_t i = 0; i < manifest->n_files && status == HY_OK && carried->values != NULL; i++) {
        char file[HY_PATH_MAX];
        if (strncmp(manifest->files[i].name, prefix, strlen(prefix)) == 0) {
            status = hy_file_inside(path, manifest->files[i].name, HY_ERR_CHECKPOINT, file);
            status = status == HY_OK ? read_carried_file(carried, file, &room, &got) : status;
        }
    }
    close_room(&room);
    *found = carried->values == NULL || got == carried->count;
    return status;
}
