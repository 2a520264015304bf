#include <hdf5.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "train/checkpoint/checkpoint.h"
#include "train/checkpoint/checkpoint_folder.h"
#include "train/checkpoint/checkpoint_internal.h"
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

hy_status hy_bucket_shards_create(const hy_model *model, int size, int rank, hy_bucket_shard **out) {
    const int n = hy_model_bucket_count(model);
    hy_bucket_shard *shards = NULL;
    HY_TRY(HY_NEW("shards of a checkpoint", n, &shards));
    for (int b = 0; b < n; b++) {
        shards[b] = hy_bucket_shard_of(model, size, rank, b);
    }
    *out = shards;
    return HY_OK;
}

/* Bytes of the largest shard of a bucket. */
static size_t largest_shard_bytes(const hy_shards *s) {
    int64_t most = 0;
    for (int b = 0; b < s->n_buckets; b++) {
        most = s->buckets[b].n > most ? s->buckets[b].n : most;
    }
    return (size_t)most * hy_dtype_size(s->dtype);
}

/* For the host to read, until the next. */
static const char *bucket_data(const hy_shards *s, int dataset, int bucket) {
    const char *data = hy_shards_at(s, dataset, bucket);
    if (s->copy == NULL) {
        return data;
    }
    hy_device_read(s->device, data, (size_t)s->buckets[bucket].n * hy_dtype_size(s->dtype), s->copy);
    return s->copy;
}

uint64_t hy_shards_content(const hy_shards *s) {
    uint64_t content = 0;
    for (int k = 0; k < 3; k++) {
        for (int b = 0; b < s->n_buckets && s->data[k] != NULL; b++) {
            const size_t bytes = (size_t)s->buckets[b].n * hy_dtype_size(s->dtype);
            const uint64_t pair[2] = {content, hy_hash_bytes(bucket_data(s, k, b), bytes)};
            content = hy_hash_bytes(pair, sizeof(pair));
        }
    }
    return content;
}

/* One dataset: the shards of all buckets, one after the other. */
static int write_dataset(hid_t file, const hy_shards *s, int k) {
    static const char *const names[3] = {"params", "m", "v"};
    const hy_bucket_shard *last = &s->buckets[s->n_buckets - 1];
    hid_t dataset = hy_h5_dataset_create(file, names[k], h5_type(s->dtype), last->state + last->n, CHUNK);
    int ok = dataset >= 0;
    for (int b = 0; b < s->n_buckets && ok; b++) {
        const hy_bucket_shard *shard = &s->buckets[b];
        ok = shard->n == 0 ||
             hy_h5_write_range(dataset, h5_type(s->dtype), shard->state, shard->n, bucket_data(s, k, b)) >= 0;
    }
    if (dataset >= 0 && H5Dclose(dataset) < 0) {
        ok = 0;
    }
    return ok;
}

hy_status hy_shards_write(const hy_shards *s, const char *path, hy_manifest_file *info) {
    hid_t file;
    HY_TRY(hy_h5_create(path, HY_ERR_CHECKPOINT, &file));
    int ok = 1;
    for (int k = 0; k < 3; k++) {
        ok = ok && (s->data[k] == NULL || write_dataset(file, s, k));
    }
    hy_status status = ok ? HY_OK : hy_h5_fail(HY_ERR_CHECKPOINT, path, "cannot be written");
    if (H5Fclose(file) < 0 && status == HY_OK) {
        status = hy_h5_fail(HY_ERR_CHECKPOINT, path, "cannot be written");
    }
    if (status != HY_OK) {
        (void)!truncate(path, 0); /* libhdf5 cannot close a file that it cannot flush: at least its space comes back */
        return status;
    }
    info->content = hy_shards_content(s);
    HY_TRY(hy_file_sync(path, HY_ERR_CHECKPOINT));
    return hy_file_hash_compute(path, HY_ERR_CHECKPOINT, &info->hash);
}

static hy_status write_rank_file(const hy_checkpoint_source *s, const char *path, hy_manifest_file *info) {
    hy_bucket_shard *buckets = NULL;
    HY_TRY(hy_bucket_shards_create(s->model, hy_comm_size(s->world), hy_comm_rank(s->world), &buckets));
    hy_shards shards = {.dtype = s->dtype,
                        .n_buckets = hy_model_bucket_count(s->model),
                        .buckets = buckets,
                        .flat = !s->own,
                        .data = {s->params, s->m, s->v},
                        .device = s->device};
    hy_status status = s->device != NULL && hy_device_is_async(s->device)
                           ? hy_alloc("a shard on its way", largest_shard_bytes(&shards), &shards.copy)
                           : HY_OK;
    if (status == HY_OK) {
        status = hy_shards_write(&shards, path, info);
    }
    hy_free(shards.copy);
    hy_free(buckets);
    return status;
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

static hy_status copy_text(const char *name, const char *text, char **out) {
    HY_TRY(hy_alloc(name, strlen(text) + 1, (void **)out));
    memcpy(*out, text, strlen(text) + 1);
    return HY_OK;
}

static hy_status fill_texts(const hy_checkpoint_source *s, hy_manifest *m) {
    HY_TRY(copy_text("manifest configuration", s->config, &m->config));
    snprintf(m->tokenizer, sizeof m->tokenizer, "%s", s->tokenizer != NULL ? s->tokenizer : "");
    if (s->stores != NULL) {
        HY_TRY(copy_text("manifest stores", s->stores, &m->stores));
    }
    for (int64_t i = 0; i < s->n_attachments; i++) {
        memcpy(m->attachments[i].name, s->attachments[i].name, sizeof(m->attachments[i].name));
        HY_TRY(copy_text("manifest attachment", s->attachments[i].text, &m->attachments[i].text));
        m->n_attachments++;
    }
    return HY_OK;
}

static hy_status fill_files(const hy_checkpoint_source *s, hy_manifest *m) {
    HY_TRY(HY_NEW("manifest files", m->world, &m->files));
    m->n_files = m->world;
    for (int r = 0; r < (int)m->world; r++) {
        hy_manifest_file *f = &m->files[r];
        file_name(r, f->name);
        f->n_slices = list_slices(s, r, NULL);
        HY_TRY(HY_NEW("manifest slices", f->n_slices, &f->slices));
        list_slices(s, r, f->slices);
        for (int64_t i = 0; i < f->n_slices; i++) {
            const int64_t end = (f->slices[i].at + f->slices[i].count) * (int64_t)hy_dtype_size(s->dtype);
            f->hash.size = end > f->hash.size ? end : f->hash.size;
        }
    }
    return HY_OK;
}

static hy_status fill_tensors(const hy_checkpoint_source *s, hy_manifest *m) {
    int64_t n_params;
    const hy_param *params = hy_model_params(s->model, &n_params);
    HY_TRY(HY_NEW("manifest tensors", n_params, &m->tensors));
    m->n_tensors = n_params;
    for (int64_t i = 0; i < n_params; i++) {
        memcpy(m->tensors[i].name, params[i].name, sizeof(m->tensors[i].name));
        m->tensors[i].size = params[i].size;
    }
    return HY_OK;
}

hy_status hy_checkpoint_manifest(const hy_checkpoint_source *s, hy_manifest *out) {
    hy_manifest m = {.progress = s->progress, .world = hy_comm_size(s->world), .optimizer = s->m != NULL};
    hy_status status = fill_tensors(s, &m);
    if (status == HY_OK) {
        status = fill_files(s, &m);
    }
    if (status == HY_OK) {
        status = fill_texts(s, &m);
    }
    if (status != HY_OK) {
        hy_manifest_fini(&m);
        return status;
    }
    *out = m;
    return HY_OK;
}

/* What a rank has written: its shards, what it carries (no name: nothing). */
typedef struct rank_files {
    hy_manifest_file shards, carried;
} rank_files;

/* Behind the files of shards; they hold no slices of tensors. */
static hy_status add_carried_files(const rank_files *infos, hy_manifest *m) {
    hy_manifest_file *files = NULL;
    HY_TRY(HY_NEW("manifest files", 2 * m->world, &files));
    memcpy(files, m->files, (size_t)m->n_files * sizeof *files);
    hy_free(m->files);
    m->files = files;
    for (int64_t r = 0; r < m->world; r++) {
        if (infos[r].carried.name[0] != '\0') {
            files[m->n_files++] = infos[r].carried;
        }
    }
    return HY_OK;
}

static hy_status write_manifest(const hy_checkpoint_source *s, const rank_files *infos, const char *folder) {
    hy_manifest m;
    HY_TRY(hy_checkpoint_manifest(s, &m));
    for (int64_t r = 0; r < m.n_files; r++) {
        m.files[r].hash = infos[r].shards.hash;
        m.files[r].content = infos[r].shards.content;
    }
    hy_status status = add_carried_files(infos, &m);
    status = status == HY_OK ? hy_manifest_write(&m, folder) : status;
    hy_manifest_fini(&m);
    return status;
}

/* ---- the save ---- */

hy_status hy_checkpoint_prepare(const char *folder, const char *unfinished) {
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
static hy_status put_in_place(const char *folder, const char *unfinished, int64_t step) {
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

hy_status hy_checkpoint_publish(const char *folder, const char *unfinished, int64_t step, int64_t keep) {
    HY_TRY(put_in_place(folder, unfinished, step));
    if (tidy(folder, step, keep) != HY_OK) {
        hy_warn("step %lld is saved, but %s is not tidied up", (long long)step, folder);
    }
    return HY_OK;
}

static hy_status save_all(const hy_checkpoint_source *s, const char *folder, const char *unfinished, rank_files *infos,
                          int64_t keep) {
    int rank = hy_comm_rank(s->world);
    char path[HY_PATH_MAX], name[64];
    HY_TRY(hy_comm_agree(s->world, rank == 0 ? hy_checkpoint_prepare(folder, unfinished) : HY_OK));
    file_name(rank, name);
    hy_status status = snprintf(path, sizeof(path), "%s/%s", unfinished, name) < (int)sizeof(path)
                           ? HY_OK
                           : hy_fail(HY_ERR_CHECKPOINT, "%s: path too long", unfinished);
    if (status == HY_OK) {
        status = write_rank_file(s, path, &infos[rank].shards);
    }
    if (status == HY_OK && s->carried.values != NULL) {
        status = hy_carried_write(&s->carried, unfinished, rank, &infos[rank].carried);
    }
    HY_TRY(hy_comm_agree(s->world, status));
    hy_req req = {0};
    hy_comm_all_gather(s->world, "checkpoint files", &infos[rank], infos, sizeof(*infos), &req);
    hy_comm_wait(&req);
    if (rank == 0) {
        status = write_manifest(s, infos, unfinished);
        if (status == HY_OK) {
            status = hy_checkpoint_publish(folder, unfinished, s->progress.step, keep);
        }
    }
    return hy_comm_agree(s->world, status);
}

hy_status hy_checkpoint_save(const hy_checkpoint_source *source, const char *folder, int64_t keep) {
    char unfinished[HY_PATH_MAX];
    rank_files *infos = NULL;
    hy_status status = hy_checkpoint_path(unfinished, folder, source->progress.step, ".tmp");
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
