#include <hdf5.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "train/checkpoint/checkpoint.h"
#include "train/checkpoint/checkpoint_folder.h"
#include "train/data/h5.h"

enum { CHUNK = 1 << 16 }; /* elements */

hy_bucket_shard hy_bucket_shard_of(const hy_model *model, int size, int rank, int bucket) {
    hy_bucket_shard shard = {0};
    int64_t begin, end;
    for (int b = 0; b <= bucket; b++) {
        shard.state += shard.n;
        hy_model_bucket(model, b, &begin, &end);
        shard.n = (end - begin) / size;
        shard.flat = begin + rank * shard.n;
    }
    return shard;
}

bool hy_bucket_shard_overlap(const hy_bucket_shard *shard, const hy_param *param, int64_t *begin, int64_t *end) {
    const int64_t shard_end = shard->flat + shard->n, param_end = param->offset + param->size;
    *begin = param->offset > shard->flat ? param->offset : shard->flat;
    *end = param_end < shard_end ? param_end : shard_end;
    return *begin < *end;
}

static hid_t h5_type(hy_dtype dtype) {
    return dtype == HY_F64 ? H5T_NATIVE_DOUBLE : H5T_NATIVE_FLOAT;
}

/* ---- one rank's file ---- */

/* Writes one dataset from this rank's shards of all buckets. `flat`: data is the whole flat array; else own shards one after the other.
 * Adds the data's hash to *content. */
static int write_shards(hid_t file, const char *name, const hy_checkpoint_source *s, const char *data, bool flat,
                        uint64_t *content) {
    int size = hy_comm_size(s->world), rank = hy_comm_rank(s->world), buckets = hy_model_bucket_count(s->model);
    size_t esize = hy_dtype_size(s->dtype);
    hid_t dataset = hy_h5_dataset_create(file, name, h5_type(s->dtype), hy_model_flat_size(s->model) / size, CHUNK);
    int ok = dataset >= 0;
    for (int b = 0; b < buckets && ok; b++) {
        hy_bucket_shard shard = hy_bucket_shard_of(s->model, size, rank, b);
        const char *from = data + (size_t)(flat ? shard.flat : shard.state) * esize;
        uint64_t pair[2] = {*content, hy_hash_bytes(from, (size_t)shard.n * esize)};
        *content = hy_hash_bytes(pair, sizeof(pair));
        ok = shard.n == 0 || hy_h5_write_range(dataset, h5_type(s->dtype), shard.state, shard.n, from) >= 0;
    }
    if (dataset >= 0 && H5Dclose(dataset) < 0) {
        ok = 0;
    }
    return ok;
}

static hy_status write_file(const hy_checkpoint_source *s, const char *path, hy_manifest_file *info) {
    hid_t file;
    HY_TRY(hy_h5_create(path, HY_ERR_CHECKPOINT, &file));
    int ok = write_shards(file, "params", s, s->params, true, &info->content);
    if (s->m) {
        ok = ok && write_shards(file, "m", s, s->m, false, &info->content) &&
             write_shards(file, "v", s, s->v, false, &info->content);
    }
    hy_status status = ok ? HY_OK : hy_h5_fail(HY_ERR_CHECKPOINT, path, "cannot be written");
    if (H5Fclose(file) < 0 && status == HY_OK) {
        status = hy_h5_fail(HY_ERR_CHECKPOINT, path, "cannot be written");
    }
    if (status != HY_OK) {
        (void)!truncate(path, 0); /* libhdf5 cannot close a file that it cannot flush: at least its space comes back */
        return status;
    }
    HY_TRY(hy_file_sync(path, HY_ERR_CHECKPOINT));
    return hy_file_hash_compute(path, HY_ERR_CHECKPOINT, &info->hash);
}

/* ---- the manifest ---- */

/* Slices of what `rank` wrote: the intersections of its shards with the parameters. out NULL: only counted. */
static int64_t list_slices(const hy_checkpoint_source *s, int rank, hy_slice *out) {
    int64_t n_params, n = 0;
    const hy_param *params = hy_model_params(s->model, &n_params);
    int size = hy_comm_size(s->world);
    for (int64_t i = 0; i < n_params; i++) {
        const hy_param *p = &params[i];
        hy_bucket_shard shard = hy_bucket_shard_of(s->model, size, rank, p->bucket);
        int64_t begin, end;
        if (hy_bucket_shard_overlap(&shard, p, &begin, &end)) {
            if (out) {
                out[n] = (hy_slice){i, begin - p->offset, end - begin, shard.state + begin - shard.flat};
            }
            n++;
        }
    }
    return n;
}

static void file_name(int rank, char name[64]) {
    snprintf(name, 64, "rank-%05d.h5", rank);
}

static hy_status fill_manifest(const hy_checkpoint_source *s, const hy_manifest_file *infos, hy_manifest *m) {
    int64_t n_params;
    const hy_param *params = hy_model_params(s->model, &n_params);
    m->world = hy_comm_size(s->world);
    HY_TRY(HY_NEW("manifest tensors", n_params, &m->tensors));
    m->n_tensors = n_params;
    for (int64_t i = 0; i < n_params; i++) {
        memcpy(m->tensors[i].name, params[i].name, sizeof(m->tensors[i].name));
        m->tensors[i].size = params[i].size;
    }
    HY_TRY(HY_NEW("manifest files", m->world, &m->files));
    m->n_files = m->world;
    for (int r = 0; r < (int)m->world; r++) {
        hy_manifest_file *f = &m->files[r];
        *f = infos[r];
        file_name(r, f->name);
        f->n_slices = list_slices(s, r, NULL);
        HY_TRY(HY_NEW("manifest slices", f->n_slices, &f->slices));
        list_slices(s, r, f->slices);
    }
    return HY_OK;
}

static hy_status write_manifest(const hy_checkpoint_source *s, const hy_manifest_file *infos, const char *folder) {
    hy_manifest m = {.step = s->step,
                     .updates = s->updates,
                     .skipped = s->skipped,
                     .bad_in_row = s->bad_in_row,
                     .optimizer = s->m != NULL};
    hy_status status = fill_manifest(s, infos, &m);
    if (status == HY_OK) {
        hy_manifest written = m; /* borrows the texts */
        written.config = (char *)(uintptr_t)s->config;
        written.n_attachments = s->n_attachments;
        for (int64_t i = 0; i < s->n_attachments; i++) {
            written.attachments[i] = s->attachments[i];
        }
        status = hy_manifest_write(&written, folder);
    }
    hy_manifest_fini(&m);
    return status;
}

/* ---- the save ---- */

static hy_status prepare(const char *folder, const char *unfinished) {
    HY_TRY(hy_file_make_dirs(folder, HY_ERR_CHECKPOINT));
    HY_TRY(hy_file_remove_tree(unfinished, HY_ERR_CHECKPOINT));
    return hy_file_make_dirs(unfinished, HY_ERR_CHECKPOINT);
}

/* What comes after a checkpoint is in place: a failure here loses nothing, since the newest is found without `latest`. */
static hy_status tidy(const char *folder, int64_t step, int64_t keep) {
    char latest[HY_PATH_MAX], name[64];
    snprintf(name, sizeof(name), "step-%lld\n", (long long)step);
    if (snprintf(latest, sizeof(latest), "%s/latest", folder) >= (int)sizeof(latest)) {
        return hy_fail(HY_ERR_CHECKPOINT, "%s: path too long", folder);
    }
    HY_TRY(hy_file_write_atomic(latest, name, strlen(name), HY_ERR_CHECKPOINT));
    return hy_checkpoint_prune(folder, keep);
}

/* Puts the finished folder in place of what may be there, which comes back if that fails. */
static hy_status publish(const char *folder, const char *unfinished, int64_t step) {
    char place[HY_PATH_MAX], aside[HY_PATH_MAX];
    HY_TRY(hy_checkpoint_path(place, folder, step, ""));
    HY_TRY(hy_checkpoint_path(aside, folder, step, ".old.tmp"));
    HY_TRY(hy_file_sync(unfinished, HY_ERR_CHECKPOINT));
    const bool replaces = hy_file_exists(place);
    if (replaces) {
        HY_TRY(hy_file_remove_tree(aside, HY_ERR_CHECKPOINT));
        HY_TRY(hy_file_rename(place, aside, HY_ERR_CHECKPOINT));
    }
    const hy_status status = hy_file_rename(unfinished, place, HY_ERR_CHECKPOINT);
    if (status != HY_OK && replaces && !hy_file_exists(place) &&
        hy_file_rename(aside, place, HY_ERR_CHECKPOINT) != HY_OK) {
        hy_warn("%s: what was there before is now %s", place, aside);
    }
    return status;
}

static hy_status save_all(const hy_checkpoint_source *s, const char *folder, const char *unfinished,
                          hy_manifest_file *infos, int64_t keep) {
    int rank = hy_comm_rank(s->world);
    char path[HY_PATH_MAX], name[64];
    HY_TRY(hy_comm_agree(s->world, rank == 0 ? prepare(folder, unfinished) : HY_OK));
    file_name(rank, name);
    hy_status status = snprintf(path, sizeof(path), "%s/%s", unfinished, name) < (int)sizeof(path)
                           ? HY_OK
                           : hy_fail(HY_ERR_CHECKPOINT, "%s: path too long", unfinished);
    if (status == HY_OK) {
        status = write_file(s, path, &infos[rank]);
    }
    HY_TRY(hy_comm_agree(s->world, status));
    hy_req req = {0};
    hy_comm_all_gather(s->world, "checkpoint files", &infos[rank], infos, sizeof(*infos), &req);
    hy_comm_wait(&req);
    if (rank == 0) {
        status = write_manifest(s, infos, unfinished);
        if (status == HY_OK) {
            status = publish(folder, unfinished, s->step);
        }
        if (status == HY_OK && tidy(folder, s->step, keep) != HY_OK) {
            hy_warn("step %lld is saved, but %s is not tidied up", (long long)s->step, folder);
        }
    }
    return hy_comm_agree(s->world, status);
}

hy_status hy_checkpoint_save(const hy_checkpoint_source *source, const char *folder, int64_t keep) {
    char unfinished[HY_PATH_MAX];
    hy_manifest_file *infos = NULL;
    hy_status status = hy_checkpoint_path(unfinished, folder, source->step, ".tmp");
    if (status == HY_OK) {
        status = HY_NEW("checkpoint files", hy_comm_size(source->world), &infos);
    }
    status = hy_comm_agree(source->world, status);
    if (status == HY_OK) {
        status = save_all(source, folder, unfinished, infos, keep);
        if (status != HY_OK && hy_comm_rank(source->world) == 0 &&
            hy_file_remove_tree(unfinished, HY_ERR_CHECKPOINT) != HY_OK) {
            hy_warn("%s: left behind", unfinished);
        }
    }
    hy_free(infos);
    return status;
}

hy_status hy_checkpoint_write_params(const char *folder, const hy_model *model, hy_comm *self, const char *config,
                                     hy_dtype dtype, const void *params, const hy_attachment *attachments,
                                     int64_t n_attachments) {
    hy_checkpoint_source source = {.model = model,
                                   .world = self,
                                   .dtype = dtype,
                                   .params = params,
                                   .config = config,
                                   .attachments = attachments,
                                   .n_attachments = n_attachments};
    return hy_checkpoint_save(&source, folder, 0);
}
