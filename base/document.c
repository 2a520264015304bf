/* libyaml's events, folded into a tree by a stack of open lists and maps: no recursion, so depth costs no stack. */
#include "base/document.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <yaml.h>

#include "base/memory.h"

enum { CHUNK_BYTES = 16384 };

/* Nodes and texts live in chunks, freed together. */
typedef struct chunk {
    struct chunk *next;
    size_t used, room;
    unsigned char bytes[];
} chunk;

struct hy_document {
    chunk *chunks;
    const hy_node *root;
};

/* A list or map whose end is still to come. */
typedef struct open_node {
    hy_node *node;
    hy_node *last;   /* child */
    const char *key; /* of a map: read, its value still to come; else NULL */
    int64_t key_line;
} open_node;

typedef struct builder {
    hy_document *document;
    const hy_source *source;
    open_node stack[HY_DOCUMENT_DEPTH];
    int depth;
    int documents;
    bool done;
} builder;

hy_status hy_source_fail(const hy_source *source, int64_t line, const char *format, ...) {
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    if (source->has_lines && line > 0) {
        return hy_fail(HY_ERR_USAGE, "%s:%lld: %s", source->name, (long long)line, message);
    }
    return hy_fail(HY_ERR_USAGE, "%s: %s", source->name, message);
}

static hy_status reserve_bytes(hy_document *document, size_t bytes, void **out) {
    const size_t unit = _Alignof(max_align_t);
    const size_t wanted = (bytes + unit - 1) / unit * unit;
    chunk *current = document->chunks;
    if (current == NULL || current->room - current->used < wanted) {
        const size_t room = wanted > CHUNK_BYTES ? wanted : CHUNK_BYTES;
        chunk *fresh = NULL;
        HY_TRY(hy_alloc("YAML document", sizeof(chunk) + room + unit, (void **)&fresh));
        /* The first byte handed out is aligned: the flexible array may start anywhere. */
        fresh->used = (unit - offsetof(chunk, bytes) % unit) % unit;
        fresh->room = room + fresh->used;
        fresh->next = current;
        document->chunks = fresh;
        current = fresh;
    }
    *out = current->bytes + current->used;
    current->used += wanted;
    return HY_OK;
}

static hy_status copy_event_text(builder *b, const yaml_event_t *event, const char **out) {
    const size_t length = event->data.scalar.length;
    const int64_t line = (int64_t)event->start_mark.line + 1;
    if (memchr(event->data.scalar.value, '\0', length) != NULL) {
        return hy_source_fail(b->source, line, "a NUL byte in a text");
    }
    void *copy = NULL;
    HY_TRY(reserve_bytes(b->document, length + 1, &copy));
    memcpy(copy, event->data.scalar.value, length);
    ((char *)copy)[length] = '\0';
    *out = copy;
    return HY_OK;
}

static hy_status new_node(builder *b, hy_node_kind kind, int64_t line, hy_node **out) {
    void *memory = NULL;
    HY_TRY(reserve_bytes(b->document, sizeof(hy_node), &memory));
    hy_node *node = memory;
    *node = (hy_node){.kind = kind, .line = b->source->has_lines ? line : 0};
    *out = node;
    return HY_OK;
}

/* Hangs a finished or just opened node where it belongs. A map's value takes the line of its key. */
static void attach(builder *b, hy_node *node) {
    if (b->depth == 0) {
        b->document->root = node;
        return;
    }
    open_node *parent = &b->stack[b->depth - 1];
    if (parent->node->kind == HY_NODE_MAP) {
        node->key = parent->key;
        node->line = parent->key_line;
        parent->key = NULL;
    }
    if (parent->last == NULL) {
        parent->node->first = node;
    } else {
        parent->last->next = node;
    }
    parent->last = node;
}

static bool expects_key(const builder *b) {
    return b->depth > 0 && b->stack[b->depth - 1].node->kind == HY_NODE_MAP && b->stack[b->depth - 1].key == NULL;
}

static hy_status on_scalar(builder *b, const yaml_event_t *event) {
    const int64_t line = (int64_t)event->start_mark.line + 1;
    if (event->data.scalar.anchor != NULL || event->data.scalar.tag != NULL) {
        return hy_source_fail(b->source, line, "YAML anchors and tags have no meaning here: write the value out");
    }
    const char *text = NULL;
    HY_TRY(copy_event_text(b, event, &text));
    if (expects_key(b)) {
        b->stack[b->depth - 1].key = text;
        b->stack[b->depth - 1].key_line = b->source->has_lines ? line : 0;
        return HY_OK;
    }
    hy_node *node = NULL;
    HY_TRY(new_node(b, HY_NODE_SCALAR, line, &node));
    node->text = text;
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    attach(b, node);
    return HY_OK;
}

static hy_status on_open(builder *b, const yaml_event_t *event, hy_node_kind kind, bool decorated) {
    const int64_t line = (int64_t)event->start_mark.line + 1;
    if (decorated) {
        return hy_source_fail(b->source, line, "YAML anchors and tags have no meaning here: write the value out");
    }
    if (expects_key(b)) {
        return hy_source_fail(b->source, line, "a key must be plain text");
    }
    if (b->depth == HY_DOCUMENT_DEPTH) {
        return hy_source_fail(b->source, line, "nested deeper than %d levels", HY_DOCUMENT_DEPTH);
    }
    hy_node *node = NULL;
    HY_TRY(new_node(b, kind, line, &node));
    attach(b, node);
    b->stack[b->depth++] = (open_node){.node = node};
    return HY_OK;
}

static hy_status on_event(builder *b, const yaml_event_t *event) {
    const int64_t line = (int64_t)event->start_mark.line + 1;
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return b->documents++ == 0 ? HY_OK : hy_source_fail(b->source, line, "a second YAML document begins");
    case YAML_ALIAS_EVENT:
        return hy_source_fail(b->source, line, "YAML aliases have no meaning here: write the value out");
    case YAML_SCALAR_EVENT:
        return on_scalar(b, event);
    case YAML_SEQUENCE_START_EVENT:
        return on_open(b, event, HY_NODE_LIST,
                       event->data.sequence_start.anchor != NULL || event->data.sequence_start.tag != NULL);
    case YAML_MAPPING_START_EVENT:
        return on_open(b, event, HY_NODE_MAP,
                       event->data.mapping_start.anchor != NULL || event->data.mapping_start.tag != NULL);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        b->depth--;
        return HY_OK;
    case YAML_STREAM_END_EVENT:
        b->done = true;
        return HY_OK;
    default:
        return HY_OK;
    }
}

/* libyaml gives a mark for syntax errors but only a byte offset for bytes that are no text. */
static hy_status syntax_error(const yaml_parser_t *parser, const hy_source *source, const char *text, size_t length) {
    if (parser->error == YAML_MEMORY_ERROR) {
        return hy_fail(HY_ERR_MEMORY, "%s: no memory to parse it", source->name);
    }
    const char *problem = parser->problem != NULL ? parser->problem : "cannot be parsed";
    int64_t line = (int64_t)parser->problem_mark.line + 1;
    if (parser->error == YAML_READER_ERROR) {
        const size_t end = parser->problem_offset < length ? parser->problem_offset : length;
        line = 1;
        for (size_t i = 0; i < end; i++) {
            line += text[i] == '\n';
        }
    }
    return hy_source_fail(source, line, "not valid YAML: %s%s%s", problem, parser->context != NULL ? " " : "",
                          parser->context != NULL ? parser->context : "");
}

static hy_status build_document(builder *b, const char *text, size_t length) {
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        return hy_fail(HY_ERR_MEMORY, "%s: no memory to parse it", b->source->name);
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
    hy_status status = HY_OK;
    while (status == HY_OK && !b->done) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            status = syntax_error(&parser, b->source, text, length);
            break;
        }
        status = on_event(b, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return status;
}

hy_status hy_document_parse(const hy_source *source, const char *text, size_t length, hy_document **out) {
    static const hy_node empty = {.kind = HY_NODE_SCALAR, .plain = true, .text = ""};
    if (length > HY_DOCUMENT_BYTES_MAX) {
        return hy_source_fail(source, 0, "larger than %d bytes", HY_DOCUMENT_BYTES_MAX);
    }
    hy_document *document = NULL;
    HY_TRY(HY_NEW("YAML document", 1, &document));
    document->root = &empty;
    builder b = {.document = document, .source = source};
    const hy_status status = build_document(&b, text, length);
    if (status != HY_OK) {
        hy_document_destroy(document);
        return status;
    }
    *out = document;
    return HY_OK;
}

void hy_document_destroy(hy_document *document) {
    if (document == NULL) {
        return;
    }
    while (document->chunks != NULL) {
        chunk *next = document->chunks->next;
        hy_free(document->chunks);
        document->chunks = next;
    }
    hy_free(document);
}

const hy_node *hy_document_root(const hy_document *document) {
    return document->root;
}
