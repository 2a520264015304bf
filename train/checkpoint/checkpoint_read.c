/* Reading a checkpoint into a model on any number of ranks: each rank reads the parts of its own shards, wherever they are, and the
 * parameters are then gathered bucket by bucket. */
#include <hdf5.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "train/checkpoint/checkpoint.h"
#include "train/data/h5.h"

enum { BLOCK = 1 << 16 }; /* elements */

static const char *const datasets[3] = {"params", "m", "v"};

typedef struct reading {
    const hy_checkpoint *checkpoint;
    const hy_model *model;
    hy_dtype dtype;
    int rank, size;
    hy_device *device; /* NULL: the host's memory */
    bool flat;         /* params: the whole flat array; else, as m and v, own shards */
    char *into[3];     /* params, m, v; NULL = not wanted */
    char *block;       /* of a device: BLOCK elements on their way */
    int64_t *tensor;   /* [n_params] index in the manifest */
} reading;

/* The manifest's index of every parameter of the model. */
static hy_status match_tensors(reading *r) {
    const hy_manifest *m = &r->checkpoint->manifest;
    if (r->into[1] && !m->optimizer) {
        return hy_fail(HY_ERR_CHECKPOINT, "%s: has no optimizer state", r->checkpoint->path);
    }
    int64_t n;
    const hy_param *params = hy_model_params(r->model, &n);
    HY_TRY(HY_NEW("checkpoint tensors", n, &r->tensor));
    for (int64_t i = 0; i < n; i++) {
        int64_t at = 0;
        while (at < m->n_tensors && strcmp(m->tensors[(i + at) % m->n_tensors].name, params[i].name) != 0) {
            at++;
        }
        if (at == m->n_tensors) {
            return hy_fail(HY_ERR_CHECKPOINT, "%s: has no tensor '%s'", r->checkpoint->path, params[i].name);
        }
        r->tensor[i] = (i + at) % m->n_tensors;
        if (m->tensors[r->tensor[i]].size != params[i].size) {
            return hy_fail(HY_ERR_CHECKPOINT, "%s: '%s' has %lld elements, the model's has %lld", r->checkpoint->path,
                           params[i].name, (long long)m->tensors[r->tensor[i]].size, (long long)params[i].size);
        }
    }
    return HY_OK;
}

/* n elements from `from` of a dataset to `to`, in the host's memory or a device's. */
static int read_to(const reading *r, hid_t data, int64_t from, int64_t n, char *to) {
    const hid_t type = r->dtype == HY_F64 ? H5T_NATIVE_DOUBLE : H5T_NATIVE_FLOAT;
    const size_t esize = hy_dtype_size(r->dtype);
    if (r->device == NULL) {
        return hy_h5_read_range(data, type, from, n, to) >= 0;
    }
    for (int64_t done = 0; done < n; done += BLOCK) {
        const int64_t part = n - done < BLOCK ? n - done : BLOCK;
        if (hy_h5_read_range(data, type, from + done, part, r->block) < 0) {
            return 0;
        }
        hy_device_write(r->device, r->block, (size_t)part * esize, to + (size_t)done * esize);
    }
    return 1;
}

/* Reads what one slice of a file and this rank's shard of parameter `p` share. Adds the elements to *covered. */
static int read_overlap(const reading *r, hid_t data[3], const hy_slice *slice, const hy_param *p, int64_t *covered) {
    hy_bucket_shard shard = hy_bucket_shard_of(r->model, r->size, r->rank, p->bucket);
    int64_t low = shard.flat - p->offset, high = low + shard.n; /* the shard in elements of the parameter */
    int64_t begin = slice->begin > low ? slice->begin : low;
    int64_t end = slice->begin + slice->count < high ? slice->begin + slice->count : high;
    if (begin >= end) {
        return 1;
    }
    for (int k = 0; k < 3; k++) {
        int64_t at = p->offset + begin - (r->flat && k == 0 ? 0 : shard.flat - shard.state);
        if (r->into[k] && !read_to(r, data[k], slice->at + begin - slice->begin, end - begin,
                                   r->into[k] + (size_t)at * hy_dtype_size(r->dtype))) {
            return 0;
        }
    }
    *covered += end - begin;
    return 1;
}

/* The parameter that is the manifest's tensor, or −1: a checkpoint may hold more than the model has. */
static int64_t param_of(const reading *r, int64_t n_params, int64_t tensor) {
    for (int64_t i = 0; i < n_params; i++) {
        int64_t at = (tensor + i) % n_params;
        if (r->tensor[at] == tensor) {
            return at;
        }
    }
    return -1;
}

static hy_status read_rank_file(const reading *r, const hy_manifest_file *f, int64_t *covered) {
    char path[HY_PATH_MAX];
    int64_t n_params;
    const hy_param *params = hy_model_params(r->model, &n_params);
    hid_t file, data[3] = {-1, -1, -1};
    HY_TRY(hy_file_inside(r->checkpoint->path, f->name, HY_ERR_CHECKPOINT, path));
    HY_TRY(hy_h5_open(path, HY_ERR_CHECKPOINT, &file));
    hy_status status = HY_OK;
    for (int k = 0; k < 3 && status == HY_OK; k++) {
        status = r->into[k] ? hy_h5_dataset_open(file, path, datasets[k], HY_ERR_CHECKPOINT, &data[k]) : HY_OK;
    }
    int ok = status == HY_OK;
    for (int64_t s = 0; s < f->n_slices && ok; s++) {
        int64_t i = param_of(r, n_params, f->slices[s].tensor);
        ok = i < 0 || read_overlap(r, data, &f->slices[s], &params[i], covered);
    }
    if (status == HY_OK && !ok) {
        status = hy_h5_fail(HY_ERR_CHECKPOINT, path, "cannot be read");
    }
    for (int k = 0; k < 3; k++) {
        if (data[k] >= 0) {
            H5Dclose(data[k]);
        }
    }
    H5Fclose(file);
    return status;
}

/* Elements of parameters in this rank's shards: what must be covered. */
static int64_t wanted_elements(const reading *r) {
    int64_t n, wanted = 0;
    const hy_param *params = hy_model_params(r->model, &n);
    for (int64_t i = 0; i < n; i++) {
        hy_bucket_shard shard = hy_bucket_shard_of(r->model, r->size, r->rank, params[i].bucket);
        int64_t begin, end;
        wanted += hy_bucket_shard_overlap(&shard, &params[i], &begin, &end) ? end - begin : 0;
    }
    return wanted;
}

static hy_status read_own(reading *r) {
    const hy_manifest *m = &r->checkpoint->manifest;
    int64_t covered = 0;
    HY_TRY(r->device ? hy_alloc("elements on their way", BLOCK * hy_dtype_size(r->dtype), (void **)&r->block) : HY_OK);
    for (int64_t i = 0; i < m->n_files; i++) {
        HY_TRY(m->files[i].n_slices > 0 ? read_rank_file(r, &m->files[i], &covered) : HY_OK);
    }
    if (covered != wanted_elements(r)) {
        return hy_fail(HY_ERR_CHECKPOINT, "%s: its files hold %lld of the %lld elements wanted here",
                       r->checkpoint->path, (long long)covered, (long long)wanted_elements(r));
    }
    return HY_OK;
}

hy_status hy_checkpoint_read(const hy_checkpoint *checkpoint, const hy_model *model, hy_comm *world,
                             const hy_checkpoint_target *target) {
    reading r = {.checkpoint = checkpoint,
                 .model = model,
                 .dtype = target->dtype,
                 .rank = hy_comm_rank(world),
                 .size = hy_comm_size(world),
                 .device = target->device,
                 .flat = !target->own,
                 .into = {target->params, target->m, target->v}};
    /* The manifest is the same everywhere: what it lacks is said once. */
    hy_status status = hy_comm_agree(world, r.rank == 0 ? match_tensors(&r) : HY_OK);
    if (status == HY_OK) {
        status = hy_comm_agree(world, r.rank == 0 ? HY_OK : match_tensors(&r));
    }
    if (status == HY_OK) {
        status = hy_comm_agree(world, read_own(&r));
    }
    hy_free(r.tensor);
    hy_free(r.block);
    HY_TRY(status);
    hy_comm *all = target->device != NULL ? target->all : world;
    size_t esize = hy_dtype_size(r.dtype);
    for (int b = 0; b < hy_model_bucket_count(model) && !target->own; b++) {
        hy_bucket_shard shard = hy_bucket_shard_of(model, r.size, r.rank, b);
        char *bucket = r.into[0] + (size_t)(shard.flat - r.rank * shard.n) * esize;
        hy_req req = {0};
        hy_comm_all_gather(all, "checkpoint parameters", r.into[0] + (size_t)shard.flat * esize, bucket,
                           (size_t)shard.n * esize, &req);
        hy_comm_wait(&req);
    }
    return HY_OK;
}
