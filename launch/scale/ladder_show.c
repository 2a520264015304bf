#include <stdio.h>

#include "base/memory.h"
#include "base/table.h"
#include "launch/scale/ladder_curves.h"

static void make_curve(const hy_ladder_grid *grid, const hy_ladder_point *points, int family, double *compute,
                       double *loss, hy_ladder_curve *curve) {
    const int first = family * grid->n_sizes;
    *curve = (hy_ladder_curve){.compute = compute + first, .loss = loss + first, .n = grid->n_sizes};
    hy_ladder_name(grid, first, 0, grid->n_varied, curve->name, sizeof curve->name);
    for (int i = first; i < first + grid->n_sizes; i++) {
        compute[i] = points[i].flops;
        loss[i] = points[i].loss;
    }
    curve->none = hy_power_law_fit(curve->compute, curve->loss, curve->n, &curve->law);
}

static void add_point(hy_text_table *table, const hy_ladder_grid *grid, int i, const hy_ladder_point *point,
                      const hy_ladder_curve *curve) {
    for (int k = 0; k < grid->n_keys; k++) {
        hy_text_table_cell(table, "%s", hy_ladder_value(grid, i, k));
    }
    hy_text_table_cell(table, "%.0f", point->parameters);
    hy_text_table_cell(table, "%.0f", point->bare);
    hy_text_table_cell(table, "%.0f", point->tokens);
    hy_text_table_cell(table, "%.4g", point->flops);
    hy_text_table_cell(table, "%.4f", point->loss);
    if (curve->none == NULL) {
        const double at = hy_power_law_at(&curve->law, point->flops);
        hy_text_table_cell(table, "%.4f", at);
        hy_text_table_cell(table, "%+.4f", point->loss - at);
    } else {
        hy_text_table_cell(table, "-");
        hy_text_table_cell(table, "-");
    }
}

static hy_status show_points(const hy_ladder_grid *grid, const hy_ladder_point *points, const hy_ladder_curve *curves) {
    static const char *const last[] = {"parameters", "without embeddings", "tokens", "FLOP", "loss", "curve",
                                       "residual"};
    const char *headers[HY_LADDER_KEYS + 7];
    hy_text_table *table = NULL;
    int n = 0;
    for (; n < grid->n_keys; n++) {
        headers[n] = grid->keys[n].key;
    }
    for (int i = 0; i < 7; i++) {
        headers[n++] = last[i];
    }
    HY_TRY(hy_text_table_create(n, headers, &table));
    for (int i = 0; i < hy_ladder_points(grid); i++) {
        add_point(table, grid, i, &points[i], &curves[i / grid->n_sizes]);
    }
    printf("\nloss of %s; FLOP of the model, forward and backward, over the run\n\n",
           points[0].validated ? "validation after the last step" : "training, the mean of the last 10 steps");
    const hy_status status = hy_text_table_print(table, stdout);
    hy_text_table_destroy(table);
    putchar('\n');
    return status;
}

static void show_curve(const hy_ladder_curve *curve) {
    const hy_power_law *law = &curve->law;
    printf("curve       %s%s", curve->name, curve->name[0] != '\0' ? ": " : "");
    if (curve->none != NULL) {
        printf("none: %s\n", curve->none);
        return;
    }
    if (law->plain == NULL) {
        printf("loss = %.4f + %.5g * C^-%.4f", law->irreducible, law->scale, law->exponent);
    } else {
        printf("loss = %.5g * C^-%.4f", law->scale, law->exponent);
    }
    printf("   R^2 %.4f, largest residual %.4f", law->r_squared, law->worst);
    if (law->plain != NULL) {
        printf("; without an irreducible loss: %s", law->plain);
    } else if (law->standard_error > 0.0) {
        printf("; irreducible loss +- %.2g", law->standard_error);
    } else {
        printf("; no more points than coefficients: residuals say nothing");
    }
    putchar('\n');
}

static hy_status show_curves(const hy_ladder_grid *grid, const hy_ladder_point *points, const char *svg, double *values,
                             hy_ladder_curve *curves) {
    for (int f = 0; f < grid->n_families; f++) {
        make_curve(grid, points, f, values, values + hy_ladder_points(grid), &curves[f]);
    }
    HY_TRY(show_points(grid, points, curves));
    for (int f = 0; f < grid->n_families; f++) {
        show_curve(&curves[f]);
    }
    return svg != NULL ? hy_ladder_plot(curves, grid->n_families, svg) : HY_OK;
}

hy_status hy_ladder_show(const hy_ladder_grid *grid, const hy_ladder_point *points, const char *svg) {
    double *values = NULL; /* of all points: compute, then loss */
    hy_ladder_curve *curves = NULL;
    HY_TRY(HY_NEW("points of curves", 2 * hy_ladder_points(grid), &values));
    hy_status status = HY_NEW("curves", grid->n_families, &curves);
    if (status == HY_OK) {
        status = show_curves(grid, points, svg, values, curves);
    }
    hy_free(curves);
    hy_free(values);
    return status;
}
