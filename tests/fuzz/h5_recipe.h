/* HDF5 files from recipes: libhdf5 1.10 itself crashes on mutated bytes, so what is fuzzed is our reading of whole files with any
 * content. The input's bytes decide, one choice after the other; zeros (and the end of the input) choose what is right. */
#ifndef HY_TESTS_H5_RECIPE_H
#define HY_TESTS_H5_RECIPE_H

#include <hdf5.h>
#include <stddef.h>
#include <stdint.h>

typedef struct recipe {
    const uint8_t *data;
    size_t size, at;
    hid_t file;
} recipe;

/* A byte of the input, 0 after its end. */
uint8_t recipe_byte(recipe *r);
/* 0 .. below − 1. */
int64_t recipe_choose(recipe *r, int64_t below);

/* folder/NAME, to be filled; recipe_close ends it. */
void recipe_open(recipe *r, const char *name, const uint8_t *data, size_t size);
void recipe_close(recipe *r);

/* The dataset `name` of `rank` dimensions and this file type, its elements from the input in the memory type, or something wrong. values
 * NULL: elements are small numbers from the input. */
void recipe_dataset(recipe *r, const char *name, hid_t type, int rank, const int64_t *dims, const int64_t *values);
/* An attribute of the file that holds one number, or a text, or something wrong. */
void recipe_number(recipe *r, const char *name, double value);
void recipe_text(recipe *r, const char *name, const char *value);

#endif
