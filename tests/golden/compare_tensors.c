/* compare_tensors KIND PRECISION RESULT REFERENCE [RESULT REFERENCE]...
 *
 * Relative error of each tensor of the reference file, rms(result − reference) / rms(reference), in double, against the bounds
 * that tolerance.h gives this kind (ops, models) in this precision. A reference is a file of op vectors (tensors in the group "expected"; gradients begin with d), or
 * a model's check (loss, logits, and gradients in the group "grad"). Prints the worst of each file; exits with 1 if any is above its
 * bound, missing or of another shape. */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "tests/tolerance.h"
#include "train/data/tensor_file.h"

enum { GRADIENTS_MAX = 1024 };

typedef struct comparison {
    const hy_golden_bounds *bounds;
    double gradients[GRADIENTS_MAX]; /* their errors */
    int n_gradients;
    double worst[2]; /* of forward tensors, of gradients */
    char worst_name[2][HY_TENSOR_NAME_MAX];
    int failed;
} comparison;

static hy_status read_double(const hy_tensor_file *file, const char *name, const hy_shape *shape, double **out) {
    HY_TRY(HY_NEW("tensor", hy_shape_size(shape), out));
    return hy_tensor_file_read(file, name, HY_ELEMENT_F64, shape, *out);
}

/* Infinite where the result is not finite. */
static double relative_error(const double *got, const double *want, int64_t n) {
    double off = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        off += (got[i] - want[i]) * (got[i] - want[i]);
        size += want[i] * want[i];
    }
    if (!isfinite(off))
        return (double)INFINITY;
    return off == 0 ? 0 : size == 0 ? sqrt(off) : sqrt(off / size);
}

/* Of a decay or a beta; rwkv6, which has a bonus u, calls its decay w. */
static bool is_decay(const hy_tensor_file *reference, const char *name) {
    return strcmp(name, "dg") == 0 || strcmp(name, "dbeta") == 0 ||
           (strcmp(name, "dw") == 0 && hy_tensor_file_has(reference, "u"));
}

static void compare_one(comparison *c, const hy_tensor_file *result, const char *name, const hy_tensor_file *reference,
                        const char *reference_name, bool gradient) {
    const double bound = !gradient                   ? c->bounds->forward
                         : is_decay(reference, name) ? c->bounds->decay
                                                     : c->bounds->gradient;
    hy_shape shape;
    bool integer;
    double *got = NULL, *want = NULL, error = (double)INFINITY;
    if (hy_tensor_file_shape(reference, reference_name, &shape, &integer) == HY_OK &&
        read_double(reference, reference_name, &shape, &want) == HY_OK &&
        read_double(result, name, &shape, &got) == HY_OK)
        error = relative_error(got, want, hy_shape_size(&shape));
    if (error >= c->worst[gradient]) {
        c->worst[gradient] = error;
        snprintf(c->worst_name[gradient], HY_TENSOR_NAME_MAX, "%s", name);
    }
    if (!(error <= bound)) {
        fprintf(stderr, "%s: relative error %.3g, bound %.3g\n", name, error, bound);
        c->failed++;
    }
    if (gradient && c->n_gradients < GRADIENTS_MAX)
        c->gradients[c->n_gradients++] = error;
    hy_free(got);
    hy_free(want);
}

static void compare_group(comparison *c, const hy_tensor_file *result, const hy_tensor_file *reference,
                          const char *group) {
    char(*names)[HY_TENSOR_NAME_MAX];
    int64_t n;
    bool vectors = strcmp(group, "expected") == 0;
    if (hy_tensor_file_list(reference, group, &names, &n) != HY_OK || n == 0) {
        c->failed++;
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const char *name = vectors ? names[i] + strlen("expected/") : names[i];
        compare_one(c, result, name, reference, names[i], vectors ? name[0] == 'd' : true);
    }
    hy_free(names);
}

static void compare_files(comparison *c, const char *result_path, const char *reference_path) {
    hy_tensor_file *result = NULL, *reference = NULL;
    if (hy_tensor_file_open(result_path, &result) != HY_OK ||
        hy_tensor_file_open(reference_path, &reference) != HY_OK) {
        c->failed++;
    } else if (hy_tensor_file_has(reference, "expected")) {
        compare_group(c, result, reference, "expected");
    } else {
        compare_one(c, result, "loss", reference, "loss", false);
        compare_one(c, result, "logits", reference, "logits", false);
        compare_group(c, result, reference, "grad");
    }
    hy_tensor_file_close(result);
    hy_tensor_file_close(reference);
}

static int ascending(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_gradient(comparison *c) {
    qsort(c->gradients, (size_t)c->n_gradients, sizeof c->gradients[0], ascending);
    return c->n_gradients > 0 ? c->gradients[c->n_gradients / 2] : 0;
}

/* Of the result at `path`, a file named as the model. */
static const hy_golden_bounds *find_bounds(const char *kind, const char *precision, const char *path) {
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const size_t len = strcspn(name, ".");
    for (size_t i = 0; i < sizeof hy_golden / sizeof hy_golden[0]; i++) {
        const hy_golden_bounds *b = &hy_golden[i];
        if (strcmp(b->kind, kind) == 0 && strcmp(b->precision, precision) == 0 &&
            (!b->name || (strlen(b->name) == len && strncmp(b->name, name, len) == 0)))
            return b;
    }
    return NULL;
}

int main(int argc, char **argv) {
    static comparison c;
    int failed = 0;
    if (argc < 5 || argc % 2 == 0 || !find_bounds(argv[1], argv[2], argv[3])) {
        fprintf(stderr, "usage: compare_tensors ops|models f64|f32|bf16 RESULT REFERENCE [RESULT REFERENCE]...\n");
        return 2;
    }
    for (int i = 3; i + 1 < argc; i += 2) {
        const hy_golden_bounds *bounds = find_bounds(argv[1], argv[2], argv[i]);
        c = (comparison){.bounds = bounds};
        compare_files(&c, argv[i], argv[i + 1]);
        const double median = median_gradient(&c);
        c.failed += bounds->median > 0 && !(median <= bounds->median);
        printf("%-60s forward %.1e (%s)  gradients %.1e (%s), median %.1e%s\n", argv[i], c.worst[0], c.worst_name[0],
               c.worst[1], c.worst_name[1], median, c.failed ? "  FAILED" : "");
        failed += c.failed;
    }
    return failed ? 1 : 0;
}
