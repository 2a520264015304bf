/* Who else is told of spans as they are recorded (base/span.h): a profiler's own marks, say. */
#ifndef HY_BASE_SPAN_MARKER_H
#define HY_BASE_SPAN_MARKER_H

/* Called by the thread that records. Names are string constants. */
typedef struct hy_span_marker {
    void (*begin)(const char *name); /* of a WORK, HOST or WAIT span, as the host gets there; they lie in each other */
    void (*end)(void);               /* of the innermost */
    void (*post)(const char *name);  /* an exchange is posted */
} hy_span_marker;

/* Borrowed; NULL: nobody, as at first. */
void hy_spans_set_marker(const hy_span_marker *marker);

#endif
