#include "train/trace/trace_rows.h"

typedef enum member_kind { REAL, LONG, WORD, CLASSES } member_kind;

typedef struct row_member {
    const char *name;
    size_t at;
    member_kind kind;
} row_member;

static hid_t member_type(member_kind kind) {
    const hsize_t n = HY_TOTAL_CLASSES;
    switch (kind) {
    case REAL:
        return H5Tcopy(H5T_NATIVE_DOUBLE);
    case LONG:
        return H5Tcopy(H5T_NATIVE_INT64);
    case WORD:
        return H5Tcopy(H5T_NATIVE_INT32);
    default:
        return H5Tarray_create2(H5T_NATIVE_INT32, 1, &n);
    }
}

static hid_t row_type(size_t size, const row_member *members, size_t n) {
    const hid_t type = H5Tcreate(H5T_COMPOUND, size);
    for (size_t i = 0; type >= 0 && i < n; i++) {
        const hid_t of = member_type(members[i].kind);
        const bool inserted = of >= 0 && H5Tinsert(type, members[i].name, members[i].at, of) >= 0;
        if (of >= 0) {
            H5Tclose(of);
        }
        if (!inserted) {
            H5Tclose(type);
            return -1;
        }
    }
    return type;
}

#define ROW_TYPE(row, members) row_type(sizeof(row), members, sizeof(members) / sizeof(members)[0])

hid_t hy_trace_span_type(void) {
#define SPAN(member, kind)                                                                                             \
    { #member, offsetof(hy_span_row, span.member), kind }
    static const row_member members[] = {
        SPAN(begin, REAL),       SPAN(end, REAL),         SPAN(started, REAL),
        SPAN(not_yet, REAL),     SPAN(number, LONG),      SPAN(of, LONG),
        SPAN(bytes, LONG),       SPAN(place.step, WORD),  SPAN(place.node, WORD),
        SPAN(place.block, WORD), SPAN(place.phase, WORD), SPAN(place.part, WORD),
        SPAN(kind, WORD),        SPAN(exchange, WORD),    SPAN(peer, WORD),
        SPAN(tag, WORD),         SPAN(size, WORD),        {"name", offsetof(hy_span_row, name), LONG}};
#undef SPAN
    return ROW_TYPE(hy_span_row, members);
}

hid_t hy_trace_total_type(void) {
#define TOTAL(member, kind)                                                                                            \
    { #member, offsetof(hy_total_row, total.member), kind }
    static const row_member members[] = {
        TOTAL(kind, WORD),   TOTAL(exchange, WORD), TOTAL(block, WORD),   TOTAL(size, WORD),
        TOTAL(count, LONG),  TOTAL(bytes, LONG),    TOTAL(total, REAL),   TOTAL(hidden, REAL),
        TOTAL(waited, REAL), TOTAL(unsure, REAL),   TOTAL(took, CLASSES), {"name", offsetof(hy_total_row, name), LONG}};
#undef TOTAL
    return ROW_TYPE(hy_total_row, members);
}

hid_t hy_trace_step_type(void) {
    static const row_member members[] = {{"step", offsetof(hy_trace_step, step), LONG},
                                         {"begin", offsetof(hy_trace_step, begin), REAL},
                                         {"end", offsetof(hy_trace_step, end), REAL}};
    return ROW_TYPE(hy_trace_step, members);
}

hid_t hy_trace_clock_type(void) {
    static const row_member members[] = {{"at", offsetof(hy_clock_point, at), REAL},
                                         {"ahead", offsetof(hy_clock_point, ahead), REAL},
                                         {"error", offsetof(hy_clock_point, error), REAL}};
    return ROW_TYPE(hy_clock_point, members);
}
