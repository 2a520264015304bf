/* Tensors in HDF5. libhdf5's own error stack is switched off: each failure is translated here, once, with the file's name.
 *
 * A dataset's shape is a claim: hy_h5_dataset_open believes it only beside the bytes that are there, before anything is allocated. */
#include "train/data/tensor_file.h"

#include <hdf5.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/product.h"
#include "train/data/h5.h"

struct hy_tensor_file {
    hid_t id;
    char path[HY_PATH_MAX];
    char partial[HY_PATH_MAX]; /* where a new file grows until it is finished; "" for one that is only read */
};

int64_t hy_shape_size(const hy_shape *shape) {
    int64_t size = 1;
    for (int i = 0; i < shape->n; i++)
        size = hy_product(size, shape->dim[i]);
    return size;
}

bool hy_shape_equal(const hy_shape *a, const hy_shape *b) {
    if (a->n != b->n)
        return false;
    for (int i = 0; i < a->n; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

const char *hy_shape_text(const hy_shape *shape, char *text, size_t size) {
    size_t used = (size_t)snprintf(text, size, "[");
    for (int i = 0; i < shape->n && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, i ? ",%lld" : "%lld", (long long)shape->dim[i]);
    if (used < size)
        snprintf(text + used, size - used, "]");
    return text;
}

static hy_status open_with(const char *path, const char *partial, hid_t id, hy_tensor_file **out) {
    hy_tensor_file *file;
    hy_status status = HY_NEW("tensor file", 1, &file);
    if (status != HY_OK) {
        H5Fclose(id);
        return status;
    }
    file->id = id;
    snprintf(file->path, sizeof file->path, "%s", path);
    snprintf(file->partial, sizeof file->partial, "%s", partial);
    *out = file;
    return HY_OK;
}

hy_status hy_tensor_file_open(const char *path, hy_tensor_file **out) {
    hy_h5_begin();
    hid_t id = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (id < 0)
        return hy_fail(HY_ERR_DATA, "%s: cannot be opened as an HDF5 file", path);
    return open_with(path, "", id, out);
}

hy_status hy_tensor_file_create(const char *path, hy_tensor_file **out) {
    hy_h5_begin();
    char partial[HY_PATH_MAX];
    if (snprintf(partial, sizeof partial, "%s.partial", path) >= (int)sizeof partial)
        return hy_fail(HY_ERR_DATA, "%s: path too long", path);
    hid_t id = H5Fcreate(partial, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    if (id < 0)
        return hy_fail(HY_ERR_DATA, "%s: cannot be created (does its folder exist, is there space?)", path);
    return open_with(path, partial, id, out);
}

hy_status hy_tensor_file_finish(hy_tensor_file *file) {
    if (!file)
        return HY_OK;
    herr_t flushed = H5Fflush(file->id, H5F_SCOPE_GLOBAL), closed = H5Fclose(file->id);
    hy_status status = HY_OK;
    if (flushed < 0 || closed < 0 || rename(file->partial, file->path) != 0)
        status = hy_fail(HY_ERR_DATA, "%s: could not be written to the end (disk full?)", file->path);
    hy_free(file);
    return status;
}

void hy_tensor_file_close(hy_tensor_file *file) {
    if (!file)
        return;
    H5Fclose(file->id);
    if (file->partial[0])
        (void)remove(file->partial);
    hy_free(file);
}

bool hy_tensor_file_has(const hy_tensor_file *file, const char *name) {
    return hy_h5_has(file->id, name);
}

static hid_t native_type(hy_element element) {
    switch (element) {
    case HY_ELEMENT_F32:
        return H5T_NATIVE_FLOAT;
    case HY_ELEMENT_F64:
        return H5T_NATIVE_DOUBLE;
    case HY_ELEMENT_I32:
        return H5T_NATIVE_INT32;
    default:
        return H5T_NATIVE_INT64;
    }
}

/* What a dataset claims, checked against what it stores. */
static hy_status dataset_claim(const hy_tensor_file *file, const char *name, hid_t set, hy_shape *shape,
                               bool *integer) {
    hid_t type = H5Dget_type(set), space = H5Dget_space(set);
    H5T_class_t class = type < 0 ? H5T_NO_CLASS : H5Tget_class(type);
    int n = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    hsize_t dim[H5S_MAX_RANK];
    bool known = n >= 0 && n <= HY_TENSOR_DIMS_MAX && H5Sget_simple_extent_dims(space, dim, NULL) == n;
    if (type >= 0)
        H5Tclose(type);
    if (space >= 0)
        H5Sclose(space);
    if (class != H5T_INTEGER && class != H5T_FLOAT)
        return hy_fail(HY_ERR_DATA, "%s: %s holds neither integers nor floating point numbers", file->path, name);
    if (!known)
        return hy_fail(HY_ERR_DATA, "%s: %s has no shape of at most %d dimensions", file->path, name,
                       HY_TENSOR_DIMS_MAX);
    shape->n = n;
    for (int i = 0; i < n; i++)
        shape->dim[i] = dim[i] > INT64_MAX ? -1 : (int64_t)dim[i];
    if (hy_shape_size(shape) < 0)
        return hy_fail(HY_ERR_DATA, "%s: %s claims more elements than the file stores", file->path, name);
    *integer = class == H5T_INTEGER;
    return HY_OK;
}

hy_status hy_tensor_file_shape(const hy_tensor_file *file, const char *name, hy_shape *shape, bool *integer) {
    hid_t set = H5I_INVALID_HID;
    HY_TRY(hy_h5_dataset_open(file->id, file->path, name, HY_ERR_DATA, &set));
    hy_status status = dataset_claim(file, name, set, shape, integer);
    H5Dclose(set);
    return status;
}

hy_status hy_tensor_file_read(const hy_tensor_file *file, const char *name, hy_element element, const hy_shape *shape,
                              void *out) {
    hid_t set = H5I_INVALID_HID;
    hy_shape claim;
    bool integer;
    HY_TRY(hy_h5_dataset_open(file->id, file->path, name, HY_ERR_DATA, &set));
    hy_status status = dataset_claim(file, name, set, &claim, &integer);
    if (status == HY_OK && !hy_shape_equal(&claim, shape)) {
        char is[128], want[128];
        status = hy_fail(HY_ERR_DATA, "%s: %s has shape %s, wanted %s", file->path, name,
                         hy_shape_text(&claim, is, sizeof is), hy_shape_text(shape, want, sizeof want));
    }
    if (status == HY_OK && hy_shape_size(shape) > 0 &&
        H5Dread(set, native_type(element), H5S_ALL, H5S_ALL, H5P_DEFAULT, out) < 0)
        status = hy_fail(HY_ERR_DATA, "%s: %s cannot be read (damaged file?)", file->path, name);
    H5Dclose(set);
    return status;
}

hy_status hy_tensor_file_write(hy_tensor_file *file, const char *name, hy_element element, const hy_shape *shape,
                               const void *data) {
    hsize_t dim[HY_TENSOR_DIMS_MAX] = {0};
    for (int i = 0; i < shape->n; i++)
        dim[i] = (hsize_t)shape->dim[i];
    hid_t space = shape->n == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(shape->n, dim, NULL);
    hid_t links = H5Pcreate(H5P_LINK_CREATE);
    H5Pset_create_intermediate_group(links, 1);
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(creation, 0); /* the same tensors make the same file */
    hid_t set = H5Dcreate2(file->id, name, native_type(element), space, links, creation, H5P_DEFAULT);
    bool ok = set >= 0 && (hy_shape_size(shape) == 0 ||
                           H5Dwrite(set, native_type(element), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0);
    if (set >= 0)
        ok = H5Dclose(set) >= 0 && ok;
    H5Pclose(creation);
    H5Pclose(links);
    H5Sclose(space);
    return ok ? HY_OK : hy_fail(HY_ERR_DATA, "%s: %s could not be written (disk full?)", file->path, name);
}

static hy_status open_attribute(const hy_tensor_file *file, const char *name, hid_t *attribute, bool *found) {
    *found = false;
    if (H5Aexists(file->id, name) <= 0)
        return HY_OK;
    *attribute = hy_h5_attribute_open(file->id, name);
    if (*attribute < 0)
        return hy_fail(HY_ERR_DATA, "%s: attribute %s is not a single value", file->path, name);
    *found = true;
    return HY_OK;
}

/* Fixed-length and variable-length strings both occur. */
static bool read_text_attribute(hid_t attribute, char *out, size_t size) {
    hid_t type = H5Aget_type(attribute);
    bool ok = false;
    if (type >= 0 && H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) > 0) {
        char *text = NULL;
        if (H5Aread(attribute, type, &text) >= 0 && text) {
            ok = snprintf(out, size, "%s", text) < (int)size;
            H5free_memory(text);
        }
    } else if (type >= 0 && H5Tget_class(type) == H5T_STRING && H5Tget_size(type) < 256) {
        char text[257] = {0};
        ok = H5Aread(attribute, type, text) >= 0 && snprintf(out, size, "%s", text) < (int)size;
    }
    if (type >= 0)
        H5Tclose(type);
    return ok;
}

hy_status hy_tensor_file_text(const hy_tensor_file *file, const char *name, char *out, size_t size, bool *found) {
    hid_t attribute = H5I_INVALID_HID;
    bool exists;
    HY_TRY(open_attribute(file, name, &attribute, &exists));
    if (!exists) {
        *found = false;
        return HY_OK;
    }
    bool ok = read_text_attribute(attribute, out, size);
    H5Aclose(attribute);
    if (!ok)
        return hy_fail(HY_ERR_DATA, "%s: attribute %s is not a short text", file->path, name);
    *found = true;
    return HY_OK;
}

hy_status hy_tensor_file_number(const hy_tensor_file *file, const char *name, double *out, bool *found) {
    hid_t attribute = H5I_INVALID_HID;
    bool exists;
    HY_TRY(open_attribute(file, name, &attribute, &exists));
    if (!exists) {
        *found = false;
        return HY_OK;
    }
    hid_t type = H5Aget_type(attribute);
    H5T_class_t class = type < 0 ? H5T_NO_CLASS : H5Tget_class(type);
    double value = 0;
    bool ok = (class == H5T_INTEGER || class == H5T_FLOAT) && H5Aread(attribute, H5T_NATIVE_DOUBLE, &value) >= 0;
    if (type >= 0)
        H5Tclose(type);
    H5Aclose(attribute);
    if (!ok)
        return hy_fail(HY_ERR_DATA, "%s: attribute %s is not a number", file->path, name);
    *out = value;
    *found = true;
    return HY_OK;
}

typedef struct listing {
    const char *group;
    char (*names)[HY_TENSOR_NAME_MAX]; /* NULL while counting */
    int64_t n, capacity;
    bool too_long;
} listing;

static herr_t list_link(hid_t group, const char *name, const H5L_info_t *info, void *context) {
    listing *l = context;
    H5O_info_t object;
    if (info->type != H5L_TYPE_HARD || H5Oget_info_by_name(group, name, &object, H5P_DEFAULT) < 0 ||
        object.type != H5O_TYPE_DATASET)
        return 0;
    if (l->names && l->n < l->capacity) {
        const char *prefix = strcmp(l->group, "/") == 0 ? "" : l->group;
        int len = snprintf(l->names[l->n], HY_TENSOR_NAME_MAX, "%s%s%s", prefix, *prefix ? "/" : "", name);
        l->too_long = l->too_long || len >= HY_TENSOR_NAME_MAX;
    }
    l->n++;
    return 0;
}

hy_status hy_tensor_file_list(const hy_tensor_file *file, const char *group, char (**names)[HY_TENSOR_NAME_MAX],
                              int64_t *n) {
    listing l = {.group = group};
    hid_t id = H5Gopen2(file->id, group, H5P_DEFAULT);
    if (id < 0)
        return hy_fail(HY_ERR_DATA, "%s: no group %s", file->path, group);
    bool ok = H5Literate(id, H5_INDEX_NAME, H5_ITER_INC, NULL, list_link, &l) >= 0;
    l.capacity = l.n;
    hy_status status = HY_NEW("tensor names", l.capacity, &l.names);
    if (status == HY_OK) {
        l.n = 0;
        ok = ok && H5Literate(id, H5_INDEX_NAME, H5_ITER_INC, NULL, list_link, &l) >= 0 && l.n == l.capacity &&
             !l.too_long;
    }
    H5Gclose(id);
    if (status == HY_OK && !ok) {
        hy_free(l.names);
        return hy_fail(HY_ERR_DATA, "%s: the tensors of group %s cannot be listed", file->path, group);
    }
    if (status == HY_OK) {
        *names = l.names;
        *n = l.n;
    }
    return status;
}
