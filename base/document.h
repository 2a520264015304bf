/* A YAML document as a tree, with the line of every node. A subset on purpose: one document, keys are plain text, no
 * anchors, aliases or tags, at most HY_DOCUMENT_DEPTH levels; everything else is an error with its line. */
#ifndef HY_BASE_DOCUMENT_H
#define HY_BASE_DOCUMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { HY_DOCUMENT_DEPTH = 32, HY_DOCUMENT_BYTES_MAX = 1 << 20 };

typedef enum hy_node_kind { HY_NODE_SCALAR, HY_NODE_LIST, HY_NODE_MAP } hy_node_kind;

typedef struct hy_node hy_node;
struct hy_node {
    hy_node_kind kind;
    bool plain;           /* a scalar without quotes */
    int64_t line;         /* 1-based; 0 where lines mean nothing */
    const char *key;      /* children of a map; else NULL */
    const char *text;     /* scalars: UTF-8 without NUL bytes; else NULL */
    const hy_node *first; /* first child of a list or map */
    const hy_node *next;  /* next sibling */
};

/* `name` stands for the source in messages, with ":line" after it unless has_lines is false (a command line). */
typedef struct hy_source {
    const char *name;
    bool has_lines;
} hy_source;

/* HY_ERR_USAGE at `source`, or at a line of it. */
HY_MUST_CHECK HY_PRINTF(3, 4) hy_status hy_source_fail(const hy_source *source, int64_t line, const char *format, ...);

typedef struct hy_document hy_document;
HY_MUST_CHECK hy_status hy_document_parse(const hy_source *source, const char *text, size_t length, hy_document **out);
void hy_document_destroy(hy_document *document);

/* Never NULL: of an empty document a plain scalar with text "". */
const hy_node *hy_document_root(const hy_document *document);

#endif
