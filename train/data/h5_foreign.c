/* What is not believed of an HDF5 file that others made: where its data are, and how many. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "train/data/h5.h"

/* Deflate packs at most about 1,032 to 1. A dataset that claims more than that of the file, or a chunk above this many bytes, which the
 * library would allocate whole, is a lie. */
enum { PACK_RATIO_MAX = 1100, CHUNK_BYTES_MAX = 1 << 30, NAME_MAX_BYTES = 512 };

/* The kind of the link at each step of the path: H5Lexists wants every parent to exist, and would follow other links. */
bool hy_h5_has(hid_t file, const char *name) {
    char prefix[NAME_MAX_BYTES];
    const size_t length = strlen(name);
    if (length == 0 || length >= sizeof prefix) {
        return false;
    }
    for (size_t i = 1; i <= length; i++) {
        H5L_info_t link;
        if (i < length && name[i] != '/') {
            continue;
        }
        memcpy(prefix, name, i);
        prefix[i] = '\0';
        if (H5Lexists(file, prefix, H5P_DEFAULT) <= 0 || H5Lget_info(file, prefix, &link, H5P_DEFAULT) < 0 ||
            link.type != H5L_TYPE_HARD) {
            return false;
        }
    }
    return H5Oexists_by_name(file, name, H5P_DEFAULT) > 0;
}

/* NULL, or what is wrong with where the data are. */
static const char *check_data_place(hid_t creation) {
    const H5D_layout_t layout = H5Pget_layout(creation);
    hsize_t chunk[H5S_MAX_RANK];
    if (H5Pget_external_count(creation) != 0) {
        return "keeps its data in other files";
    }
    if (layout == H5D_VIRTUAL) {
        return "is virtual: its data are in other datasets";
    }
    if (layout != H5D_COMPACT && layout != H5D_CONTIGUOUS && layout != H5D_CHUNKED) {
        return "is laid out in a way that is not known here";
    }
    const int rank = layout == H5D_CHUNKED ? H5Pget_chunk(creation, H5S_MAX_RANK, chunk) : 0;
    double bytes = 8;
    for (int i = 0; i < rank; i++) {
        bytes *= (double)chunk[i];
    }
    return rank < 0 || bytes > CHUNK_BYTES_MAX ? "has chunks of more than a gibibyte" : NULL;
}

/* Dimensions of 0 count as 1: an empty array may not have a billion rows either. */
static const char *check_size(hid_t file, hid_t dataset) {
    const hid_t space = H5Dget_space(dataset), type = H5Dget_type(dataset);
    hsize_t dims[H5S_MAX_RANK] = {0}, file_bytes = 0;
    const int rank = space >= 0 ? H5Sget_simple_extent_dims(space, dims, NULL) : -1;
    double bytes = type >= 0 ? (double)H5Tget_size(type) : 0, elements = 1;
    for (int i = 0; i < rank; i++) {
        bytes *= dims[i] > 0 ? (double)dims[i] : 1;
        elements *= (double)dims[i];
    }
    if (space >= 0) {
        H5Sclose(space);
    }
    if (type >= 0) {
        H5Tclose(type);
    }
    if (rank < 0 || bytes <= 0 || H5Fget_filesize(file, &file_bytes) < 0) {
        return "has no shape or no type";
    }
    if (bytes > (double)file_bytes * PACK_RATIO_MAX ||
        (elements > 0 && bytes > (double)H5Dget_storage_size(dataset) * PACK_RATIO_MAX)) {
        return "claims more elements than the file stores";
    }
    return NULL;
}

static const char *check_dataset(hid_t file, hid_t dataset) {
    const hid_t creation = H5Dget_create_plist(dataset);
    if (creation < 0) {
        return "cannot be understood";
    }
    const char *wrong = check_data_place(creation);
    H5Pclose(creation);
    return wrong != NULL ? wrong : check_size(file, dataset);
}

hy_status hy_h5_dataset_open(hid_t file, const char *path, const char *name, hy_status on_error, hid_t *dataset) {
    if (!hy_h5_has(file, name)) {
        return hy_fail(on_error, "%s: %s is missing, or only a link to elsewhere", path, name);
    }
    const hid_t id = H5Dopen2(file, name, H5P_DEFAULT);
    if (id < 0) {
        return hy_h5_fail(on_error, path, name);
    }
    const char *wrong = check_dataset(file, id);
    if (wrong != NULL) {
        H5Dclose(id);
        return hy_fail(on_error, "%s: dataset %s %s", path, name, wrong);
    }
    *dataset = id;
    return HY_OK;
}

hid_t hy_h5_attribute_open(hid_t file, const char *name) {
    const hid_t attribute = H5Aexists(file, name) > 0 ? H5Aopen(file, name, H5P_DEFAULT) : -1;
    const hid_t space = attribute >= 0 ? H5Aget_space(attribute) : -1;
    const int single = space >= 0 && H5Sget_simple_extent_npoints(space) == 1;
    if (space >= 0) {
        H5Sclose(space);
    }
    if (attribute >= 0 && !single) {
        H5Aclose(attribute);
    }
    return single ? attribute : -1;
}

hy_status hy_h5_try_in_child(const char *path, hy_status on_error, hy_status (*look)(void *context), void *context) {
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    return look(context); /* launch/fuzz.sh feeds files that libhdf5 wrote, a thousand a second */
#endif
    const pid_t child = fork();
    if (child < 0) {
        return hy_fail(HY_ERR_ENV, "%s: cannot start a child to check it: %s", path, strerror(errno));
    }
    if (child == 0) {
        for (int s = 1; s < NSIG; s++) {
            signal(s, SIG_DFL); /* the parent's handlers speak for the run */
        }
        alarm(HY_H5_PATIENCE);
        _exit((int)look(context));
    }
    int state = 0;
    while (waitpid(child, &state, 0) < 0) {
        if (errno != EINTR) {
            return hy_fail(HY_ERR_ENV, "%s: the child that checks it was lost: %s", path, strerror(errno));
        }
    }
    if (WIFSIGNALED(state)) {
        return hy_fail(on_error, "%s: damaged: libhdf5 %s on it", path,
                       WTERMSIG(state) == SIGALRM ? "hangs" : "crashes");
    }
    return (hy_status)WEXITSTATUS(state); /* what is wrong was said by the child */
}
