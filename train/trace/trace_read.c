#include <string.h>

#include "base/memory.h"
#include "train/trace/trace_rows.h"

/* All rows of a dataset, allocated; type is closed. */
static hy_status read_rows(hid_t file, const char *path, const char *name, hid_t type, size_t row, void **rows,
                           int64_t *n) {
    hid_t set = -1;
    hy_status status =
        type < 0 ? hy_h5_fail(HY_ERR_DATA, path, name) : hy_h5_dataset_open(file, path, name, HY_ERR_DATA, &set);
    const hid_t space = set >= 0 ? H5Dget_space(set) : -1;
    const hssize_t count = space >= 0 ? H5Sget_simple_extent_npoints(space) : -1;
    *rows = NULL;
    if (status == HY_OK && count < 0) {
        status = hy_h5_fail(HY_ERR_DATA, path, name);
    }
    if (status == HY_OK) {
        status = hy_alloc("rows of a trace", (size_t)count * row + 1, rows);
    }
    if (status == HY_OK && hy_h5_read_range(set, type, 0, (int64_t)count, *rows) < 0) {
        status = hy_h5_fail(HY_ERR_DATA, path, name);
    }
    *n = status == HY_OK ? (int64_t)count : 0;
    if (space >= 0) {
        H5Sclose(space);
    }
    if (set >= 0) {
        H5Dclose(set);
    }
    if (type >= 0) {
        H5Tclose(type);
    }
    return status;
}

/* The strings that `text` holds one behind the other; text[bytes] is 0. */
static hy_status find_names(const char *path, char *text, int64_t bytes, const char ***names, int64_t *n) {
    *n = 0;
    for (int64_t i = 0; i < bytes; i++) {
        *n += text[i] == '\0';
    }
    HY_TRY(HY_NEW("names of a trace", *n + 1, names));
    const char *at = text;
    for (int64_t i = 0; i < *n; i++) {
        (*names)[i] = at;
        at += strlen(at) + 1;
    }
    return *n > 0 || bytes == 0 ? HY_OK : hy_fail(HY_ERR_DATA, "%s: names do not end", path);
}

static hy_status name_spans(const char *path, hy_rank_trace *t, const hy_span_row *rows, const char *const *names,
                            int64_t n_names) {
    HY_TRY(HY_NEW("spans of a trace", t->n_spans, &t->spans));
    for (int64_t i = 0; i < t->n_spans; i++) {
        if (rows[i].name < 0 || rows[i].name >= n_names) {
            return hy_fail(HY_ERR_DATA, "%s: span %lld has no name", path, (long long)i);
        }
        t->spans[i] = rows[i].span;
        t->spans[i].name = names[rows[i].name];
    }
    return HY_OK;
}

static hy_status name_totals(const char *path, hy_rank_trace *t, const hy_total_row *rows, const char *const *names,
                             int64_t n_names) {
    HY_TRY(HY_NEW("totals of a trace", t->n_totals, &t->totals));
    for (int64_t i = 0; i < t->n_totals; i++) {
        if (rows[i].name < 0 || rows[i].name >= n_names) {
            return hy_fail(HY_ERR_DATA, "%s: row %lld of the totals has no name", path, (long long)i);
        }
        t->totals[i] = rows[i].total;
        t->totals[i].name = names[rows[i].name];
    }
    return HY_OK;
}

static hy_status read_info(hid_t file, const char *path, hy_trace_info *info) {
    int64_t *words = NULL, n = 0;
    hy_status status = read_rows(file, path, "info", H5Tcopy(H5T_NATIVE_INT64), sizeof *words, (void **)&words, &n);
    if (status == HY_OK && n == HY_TRACE_INFO) {
        memcpy(info, words, sizeof *info);
    }
    if (status == HY_OK && (n != HY_TRACE_INFO || info->version != HY_TRACE_VERSION || info->clock < HY_TRACE_HOST ||
                            info->clock > HY_TRACE_LANE)) {
        status = hy_fail(HY_ERR_DATA, "%s: a trace of another version of hylas", path);
    }
    if (status == HY_OK) {
        if (info->ranks < 1 || info->data < 1 || info->sequence < 1 || info->data * info->sequence != info->ranks ||
            info->rank < 0 || info->rank >= info->ranks) {
            status = hy_fail(HY_ERR_DATA, "%s: not a rank of a mesh", path);
        }
    }
    hy_free(words);
    return status;
}

static hy_status read_named(hid_t file, const char *path, hy_rank_trace *t) {
    hy_span_row *spans = NULL;
    hy_total_row *totals = NULL;
    const char **names = NULL;
    int64_t n_bytes = 0, n_names = 0;
    hy_status status = read_rows(file, path, "names", H5Tcopy(H5T_NATIVE_CHAR), 1, (void **)&t->names, &n_bytes);
    if (status == HY_OK) {
        status = find_names(path, t->names, n_bytes, &names, &n_names);
    }
    if (status == HY_OK) {
        status = read_rows(file, path, "spans", hy_trace_span_type(), sizeof *spans, (void **)&spans, &t->n_spans);
    }
    if (status == HY_OK) {
        status = read_rows(file, path, "totals", hy_trace_total_type(), sizeof *totals, (void **)&totals, &t->n_totals);
    }
    if (status == HY_OK) {
        status = name_spans(path, t, spans, names, n_names);
    }
    if (status == HY_OK) {
        status = name_totals(path, t, totals, names, n_names);
    }
    hy_free(spans);
    hy_free(totals);
    hy_free(names);
    return status;
}

hy_status hy_rank_trace_read(const char *path, hy_rank_trace *trace) {
    hid_t file = -1;
    hy_rank_trace t = {.n_spans = 0};
    HY_TRY(hy_h5_open(path, HY_ERR_DATA, &file));
    hy_status status = read_info(file, path, &t.info);
    if (status == HY_OK) {
        status = read_named(file, path, &t);
    }
    if (status == HY_OK) {
        status = read_rows(file, path, "steps", hy_trace_step_type(), sizeof *t.steps, (void **)&t.steps, &t.n_steps);
    }
    if (status == HY_OK) {
        status = read_rows(file, path, "clock", hy_trace_clock_type(), sizeof *t.clock, (void **)&t.clock, &t.n_clock);
    }
    H5Fclose(file);
    if (status != HY_OK) {
        hy_rank_trace_free(&t);
        return status;
    }
    *trace = t;
    return HY_OK;
}

void hy_rank_trace_free(hy_rank_trace *trace) {
    hy_free(trace->spans);
    hy_free(trace->steps);
    hy_free(trace->clock);
    hy_free(trace->totals);
    hy_free(trace->names);
    *trace = (hy_rank_trace){.n_spans = 0};
}
