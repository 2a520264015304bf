#include "train/data/h5.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REASON_MAX = 512 };

void hy_h5_begin(void) {
    H5dont_atexit(); /* a file that a full disk kept from closing would crash the library's own clean-up */
    setenv("HDF5_USE_FILE_LOCKING", "FALSE", 0);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5PLset_loading_state(0); /* a file may not name a filter that is then loaded as a plugin */
}

void hy_h5_version(char *text, size_t size) {
    unsigned major = 0, minor = 0, release = 0;
    hy_h5_begin();
    if (H5get_libversion(&major, &minor, &release) < 0) {
        snprintf(text, size, "unknown");
    } else if (major == H5_VERS_MAJOR && minor == H5_VERS_MINOR && release == H5_VERS_RELEASE) {
        snprintf(text, size, "%u.%u.%u", major, minor, release);
    } else {
        snprintf(text, size, "%u.%u.%u, but compiled against %d.%d.%d", major, minor, release, H5_VERS_MAJOR,
                 H5_VERS_MINOR, H5_VERS_RELEASE);
    }
}

static herr_t keep_innermost(unsigned n, const H5E_error2_t *error, void *text) {
    if (n == 0 && error->desc != NULL) {
        snprintf(text, REASON_MAX, "%s", error->desc);
    }
    return 0;
}

/* Of "file write failed: time = ..., error message = 'No space left on device', ...": its beginning and the system's
 * message. */
static void shorten(char *reason) {
    static const char mark[] = "error message = '";
    const char *message = strstr(reason, mark), *details = strstr(reason, ": time = ");
    if (message == NULL || details == NULL || details > message) {
        return;
    }
    char brief[REASON_MAX];
    message += sizeof mark - 1;
    snprintf(brief, sizeof brief, "%.*s: %.*s", (int)(details - reason), reason, (int)strcspn(message, "'"), message);
    memcpy(reason, brief, sizeof brief);
}

hy_status hy_h5_fail(hy_status status, const char *path, const char *what) {
    char reason[REASON_MAX] = "no reason given";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, reason);
    H5Eclear2(H5E_DEFAULT);
    shorten(reason);
    return hy_fail(status, "%s: %s: %s", path, what, reason);
}

/* Locks are refused on some network file systems, and one writer per file needs none. */
static hid_t begin_access(void) {
    hy_h5_begin();
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (access >= 0 && H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST) < 0) {
        H5Pclose(access);
        return -1;
    }
    return access;
}

hy_status hy_h5_create(const char *path, hy_status on_error, hid_t *file) {
    const hid_t access = begin_access();
    const hid_t creation = H5Pcreate(H5P_FILE_CREATE);
    const int ready = access >= 0 && creation >= 0 && H5Pset_obj_track_times(creation, 0) >= 0;
    const hid_t id = ready ? H5Fcreate(path, H5F_ACC_TRUNC, creation, access) : -1;
    hy_status status = id < 0 ? hy_h5_fail(on_error, path, "cannot be created") : HY_OK;
    if (creation >= 0) {
        H5Pclose(creation);
    }
    if (access >= 0) {
        H5Pclose(access);
    }
    if (status == HY_OK) {
        *file = id;
    }
    return status;
}

hy_status hy_h5_open(const char *path, hy_status on_error, hid_t *file) {
    const hid_t access = begin_access();
    const hid_t id = access < 0 ? -1 : H5Fopen(path, H5F_ACC_RDONLY, access);
    hy_status status = id < 0 ? hy_h5_fail(on_error, path, "not a whole HDF5 file") : HY_OK;
    if (access >= 0) {
        H5Pclose(access);
    }
    if (status == HY_OK) {
        *file = id;
    }
    return status;
}

hid_t hy_h5_dataset_create(hid_t file, const char *name, hid_t type, int64_t n, int64_t chunk) {
    const hsize_t dims = (hsize_t)n, no_limit = H5S_UNLIMITED, chunk_dims = (hsize_t)chunk;
    const hid_t space = H5Screate_simple(1, &dims, &no_limit);
    const hid_t plist = H5Pcreate(H5P_DATASET_CREATE);
    hid_t dataset = -1;
    if (space >= 0 && plist >= 0 && H5Pset_obj_track_times(plist, 0) >= 0 && H5Pset_chunk(plist, 1, &chunk_dims) >= 0 &&
        H5Pset_fletcher32(plist) >= 0) {
        dataset = H5Dcreate2(file, name, type, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    }
    if (plist >= 0) {
        H5Pclose(plist);
    }
    if (space >= 0) {
        H5Sclose(space);
    }
    return dataset;
}

/* The file and memory spaces of a range; either may be negative. */
static int open_range(hid_t dataset, int64_t begin, int64_t n, hid_t *in_file, hid_t *in_memory) {
    const hsize_t offset = (hsize_t)begin, count = (hsize_t)n;
    *in_file = H5Dget_space(dataset);
    *in_memory = H5Screate_simple(1, &count, NULL);
    if (*in_file < 0 || *in_memory < 0 || H5Sget_simple_extent_ndims(*in_file) != 1) {
        return -1; /* of more dimensions the library would read more offsets than one */
    }
    return H5Sselect_hyperslab(*in_file, H5S_SELECT_SET, &offset, NULL, &count, NULL);
}

static void close_range(hid_t in_file, hid_t in_memory) {
    if (in_file >= 0) {
        H5Sclose(in_file);
    }
    if (in_memory >= 0) {
        H5Sclose(in_memory);
    }
}

int hy_h5_write_range(hid_t dataset, hid_t memory_type, int64_t begin, int64_t n, const void *data) {
    hid_t in_file, in_memory;
    if (n == 0) {
        return 0;
    }
    int result = open_range(dataset, begin, n, &in_file, &in_memory);
    if (result >= 0) {
        result = H5Dwrite(dataset, memory_type, in_memory, in_file, H5P_DEFAULT, data);
    }
    close_range(in_file, in_memory);
    return result;
}

int hy_h5_read_range(hid_t dataset, hid_t memory_type, int64_t begin, int64_t n, void *data) {
    hid_t in_file, in_memory;
    if (n == 0) {
        return 0;
    }
    int result = open_range(dataset, begin, n, &in_file, &in_memory);
    if (result >= 0) {
        result = H5Dread(dataset, memory_type, in_memory, in_file, H5P_DEFAULT, data);
    }
    close_range(in_file, in_memory);
    return result;
}
