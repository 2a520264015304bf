#include "h5_recipe.h"

#include <limits.h>
#include <string.h>

#include "fuzz.h"

enum { RANK_MAX = 6, ELEMENTS_MAX = 1 << 16, USUAL = 200 /* bytes below: as it should be */ };

uint8_t recipe_byte(recipe *r) {
    return r->at < r->size ? r->data[r->at++] : 0;
}

int64_t recipe_choose(recipe *r, int64_t below) {
    return recipe_byte(r) % below;
}

static int wrong(recipe *r) {
    return recipe_byte(r) >= USUAL;
}

void recipe_open(recipe *r, const char *name, const uint8_t *data, size_t size) {
    char path[PATH_MAX];
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
    const hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
    *r = (recipe){.data = data, .size = size, .file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access)};
    H5Pclose(access);
    FUZZ_NEED(r->file >= 0);
}

void recipe_close(recipe *r) {
    FUZZ_NEED(H5Fclose(r->file) >= 0);
}

static hid_t wrong_type(recipe *r, hid_t type) {
    switch (recipe_choose(r, 9)) {
    case 0:
        return H5T_STD_I8LE;
    case 1:
        return H5T_STD_U16LE;
    case 2:
        return H5T_STD_I64BE;
    case 3:
        return H5T_STD_U64LE;
    case 4:
        return H5T_IEEE_F32LE;
    case 5:
        return H5T_IEEE_F64BE;
    case 6:
        return H5T_C_S1;
    case 7:
        return H5T_NATIVE_OPAQUE;
    default:
        return type;
    }
}

static void wrong_dims(recipe *r, int *rank, hsize_t *dims) {
    static const hsize_t sizes[] = {0, 1, 2, 3, 7, 64, 65536, 1 << 20, 1u << 31, 1ull << 40, 1ull << 53, 1ull << 62};
    const int i = *rank > 0 ? (int)recipe_choose(r, *rank) : 0;
    switch (recipe_choose(r, 4)) {
    case 0:
        *rank = (int)recipe_choose(r, RANK_MAX);
        for (int d = 0; d < *rank; d++) {
            dims[d] = (hsize_t)recipe_choose(r, 4);
        }
        break;
    case 1:
        dims[i] += 1;
        break;
    default:
        dims[i] = sizes[recipe_choose(r, (int64_t)(sizeof sizes / sizeof sizes[0]))];
    }
}

/* Where the data are. More than fits is chunked, and never stored. */
static void choose_layout(recipe *r, hid_t creation, hid_t space, int rank, const hsize_t *dims, int large) {
    hsize_t chunk[RANK_MAX];
    for (int d = 0; d < rank; d++) {
        chunk[d] = dims[d] > 0 && dims[d] < 8 ? dims[d] : 8;
    }
    const uint8_t kind = recipe_byte(r);
    if (rank > 0 && (large || (kind >= 100 && kind < USUAL))) {
        H5Pset_chunk(creation, rank, chunk);
        if (kind % 2) {
            H5Pset_fletcher32(creation);
        }
        if (kind % 3 == 0) {
            H5Pset_deflate(creation, 1);
        }
    } else if (kind >= 230) {
        H5Pset_layout(creation, H5D_COMPACT);
    } else if (kind >= 215) {
        H5Pset_external(creation, "/etc/passwd", 0, H5F_UNLIMITED);
    } else if (kind >= USUAL) {
        H5Pset_virtual(creation, space, "/etc/other.h5", "x", space);
    }
}

static void fill(recipe *r, hid_t dataset, int64_t n, const int64_t *values) {
    static int64_t whole[ELEMENTS_MAX];
    static double real[ELEMENTS_MAX];
    const hid_t type = H5Dget_type(dataset);
    const H5T_class_t class = H5Tget_class(type);
    for (int64_t i = 0; i < n; i++) {
        const int64_t value = values ? values[i] : recipe_choose(r, 16) - 8;
        whole[i] = wrong(r) ? ((int64_t)recipe_byte(r) - 128) * ((int64_t)1 << recipe_choose(r, 56)) : value;
        real[i] = (double)whole[i] / 16;
    }
    if (class == H5T_INTEGER) {
        H5Dwrite(dataset, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, whole);
    } else if (class == H5T_FLOAT) {
        H5Dwrite(dataset, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, real);
    }
    H5Tclose(type);
}

static void put_dataset(recipe *r, const char *name, hid_t type, int rank, hsize_t *dims, const int64_t *values) {
    double elements = 1;
    for (int d = 0; d < rank; d++) {
        elements *= (double)dims[d];
    }
    const int large = elements > ELEMENTS_MAX;
    const hid_t space = rank == 0 ? H5Screate(H5S_SCALAR) : H5Screate_simple(rank, dims, NULL);
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    choose_layout(r, creation, space, rank, dims, large);
    const hid_t dataset = space >= 0 ? H5Dcreate2(r->file, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT) : -1;
    if (dataset >= 0) {
        if (!large) {
            fill(r, dataset, (int64_t)elements, values);
        }
        H5Dclose(dataset);
    }
    H5Pclose(creation);
    if (space >= 0) {
        H5Sclose(space);
    }
}

void recipe_dataset(recipe *r, const char *name, hid_t type, int rank, const int64_t *dims, const int64_t *values) {
    hsize_t own[RANK_MAX] = {0};
    for (int d = 0; d < rank; d++) {
        own[d] = (hsize_t)dims[d];
    }
    const uint8_t how = recipe_byte(r);
    if (how >= 250) {
        H5Lcreate_external("/etc/other.h5", "x", r->file, name, H5P_DEFAULT, H5P_DEFAULT);
    } else if (how >= 245) {
        H5Lcreate_soft("/elsewhere", r->file, name, H5P_DEFAULT, H5P_DEFAULT);
    } else if (how >= 240) {
        H5Gclose(H5Gcreate2(r->file, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    } else if (how < 235) {
        const int other_type = wrong(r), other_dims = wrong(r);
        if (other_dims) {
            wrong_dims(r, &rank, own);
            values = NULL;
        }
        put_dataset(r, name, other_type ? wrong_type(r, type) : type, rank, own, values);
    }
}

static void attribute(recipe *r, const char *name, hid_t type, hid_t memory, const void *value, const hsize_t *dims) {
    const hid_t space = dims ? H5Screate_simple(1, dims, NULL) : H5Screate(H5S_SCALAR);
    const hid_t a = H5Acreate2(r->file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (a >= 0 && value) {
        H5Awrite(a, memory, value);
    }
    if (a >= 0) {
        H5Aclose(a);
    }
    H5Sclose(space);
}

void recipe_number(recipe *r, const char *name, double value) {
    static const double others[] = {0, -1, 1, 0.5, 1e300, -1e300, 1e-320, 9007199254740992.0};
    const uint8_t how = recipe_byte(r);
    const hsize_t three = 3;
    const double numbers[3] = {how >= USUAL ? others[recipe_choose(r, 8)] : value};
    const hid_t type = how >= 250 ? H5T_STD_I32LE : how >= 240 ? H5T_C_S1 : how >= 237 ? H5T_STD_I8LE : H5T_IEEE_F64LE;
    if (how < 230 || how >= 235) {
        attribute(r, name, type, H5T_NATIVE_DOUBLE, how >= 240 && how < 250 ? NULL : numbers,
                  how >= 235 && how < 240 ? &three : NULL);
    }
}

void recipe_text(recipe *r, const char *name, const char *value) {
    const uint8_t how = recipe_byte(r);
    const hid_t type = H5Tcopy(H5T_C_S1);
    static char text[400 * 12];
    memset(text, 'a', sizeof text);
    H5Tset_size(type, how >= 240 ? H5T_VARIABLE : how >= USUAL ? (size_t)recipe_choose(r, 200) * 2 + 1 : 32);
    const hsize_t many = 12;
    const char *pointers[12] = {how % 2 ? value : NULL}; /* of variable length: none is allowed */
    if (how < USUAL) {
        snprintf(text, sizeof text, "%s", value);
    }
    if (how < 230 || how >= 240) {
        attribute(r, name, type, type, how >= 240 ? (const void *)pointers : text,
                  how >= 250 || (how >= 220 && how < 230) ? &many : NULL);
    } else {
        recipe_number(r, name, 3);
    }
    H5Tclose(type);
}
