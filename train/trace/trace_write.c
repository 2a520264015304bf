#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "train/trace/trace_rows.h"

enum { CHUNK = 1024, NAMES_MAX = 1024 };

/* The strings of a file so far. */
typedef struct name_list {
    const char *names[NAMES_MAX];
    int64_t n;
    size_t bytes;
} name_list;

/* More names than there is room for are one. */
static int64_t index_of_name(name_list *list, const char *name) {
    for (int64_t i = list->n - 1; i >= 0; i--) {
        if (list->names[i] == name || strcmp(list->names[i], name) == 0) {
            return i;
        }
    }
    if (list->n == NAMES_MAX) {
        return NAMES_MAX - 1;
    }
    list->names[list->n] = name;
    list->bytes += strlen(name) + 1;
    return list->n++;
}

hy_status hy_trace_path(const char *run, int64_t rank, char path[HY_PATH_MAX]) {
    if (snprintf(path, HY_PATH_MAX, "%s/trace/rank-%lld.h5", run, (long long)rank) >= HY_PATH_MAX) {
        return hy_fail(HY_ERR_USAGE, "run.dir %s: the path is too long", run);
    }
    return HY_OK;
}

/* True if it is all there. Closes `type`. */
static bool write_rows(hid_t file, const char *name, hid_t type, int64_t n, const void *rows) {
    const hid_t set = type < 0 ? -1 : hy_h5_dataset_create(file, name, type, n, n < CHUNK ? n + 1 : CHUNK);
    const bool written = set >= 0 && hy_h5_write_range(set, type, 0, n, rows) >= 0;
    if (set >= 0) {
        H5Dclose(set);
    }
    if (type >= 0) {
        H5Tclose(type);
    }
    return written;
}

static bool write_names(hid_t file, const name_list *list) {
    char *text = NULL;
    if (HY_NEW("names of a trace", list->bytes + 1, &text) != HY_OK) {
        return false;
    }
    size_t used = 0;
    for (int64_t i = 0; i < list->n; i++) {
        used += (size_t)snprintf(text + used, list->bytes + 1 - used, "%s", list->names[i]) + 1;
    }
    const bool written = write_rows(file, "names", H5Tcopy(H5T_NATIVE_CHAR), (int64_t)list->bytes, text);
    hy_free(text);
    return written;
}

static bool write_all(hid_t file, const hy_rank_trace *t, hy_span_row *spans, hy_total_row *totals) {
    name_list list = {.n = 0};
    for (int64_t i = 0; i < t->n_spans; i++) {
        spans[i] = (hy_span_row){t->spans[i], index_of_name(&list, t->spans[i].name)};
    }
    for (int64_t i = 0; i < t->n_totals; i++) {
        totals[i] = (hy_total_row){t->totals[i], index_of_name(&list, t->totals[i].name)};
    }
    return write_rows(file, "info", H5Tcopy(H5T_NATIVE_INT64), HY_TRACE_INFO, &t->info) && write_names(file, &list) &&
           write_rows(file, "spans", hy_trace_span_type(), t->n_spans, spans) &&
           write_rows(file, "steps", hy_trace_step_type(), t->n_steps, t->steps) &&
           write_rows(file, "clock", hy_trace_clock_type(), t->n_clock, t->clock) &&
           write_rows(file, "totals", hy_trace_total_type(), t->n_totals, totals);
}

static hy_status write_file(const hy_rank_trace *trace, const char *path, hy_span_row *spans, hy_total_row *totals) {
    char draft[HY_PATH_MAX];
    hid_t file = -1;
    if (snprintf(draft, sizeof draft, "%s.tmp", path) >= (int)sizeof draft) {
        return hy_fail(HY_ERR_USAGE, "%s: the path is too long", path);
    }
    HY_TRY(hy_h5_create(draft, HY_ERR_FAILED, &file));
    const bool written = write_all(file, trace, spans, totals);
    const bool closed = H5Fclose(file) >= 0;
    if (!written || !closed) {
        (void)remove(draft);
        return hy_h5_fail(HY_ERR_FAILED, path, "cannot be written");
    }
    return hy_file_rename(draft, path, HY_ERR_FAILED);
}

hy_status hy_rank_trace_write(const hy_rank_trace *trace, const char *path) {
    hy_span_row *spans = NULL;
    hy_total_row *totals = NULL;
    hy_status status = HY_NEW("spans for the file", trace->n_spans, &spans);
    if (status == HY_OK) {
        status = HY_NEW("totals for the file", trace->n_totals, &totals);
    }
    if (status == HY_OK) {
        status = write_file(trace, path, spans, totals);
    }
    hy_free(spans);
    hy_free(totals);
    return status;
}
