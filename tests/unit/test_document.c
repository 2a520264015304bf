/* The tree and its lines; and everything that is refused, with its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/document.h"
#include "base/memory.h"
#include "capture.h"

static const hy_source source = {.name = "d.yaml", .has_lines = true};

static hy_document *parse(const char *text) {
    hy_document *document = NULL;
    assert_int_equal(hy_document_parse(&source, text, strlen(text), &document), HY_OK);
    assert_non_null(document);
    return document;
}

/* "{a: 'x'@1, b: [y@3]@2}@1": the tree with its lines. */
static void print(const hy_node *node, FILE *out) {
    if (node->key != NULL) {
        (void)fprintf(out, "%s: ", node->key);
    }
    if (node->kind == HY_NODE_SCALAR) {
        (void)fprintf(out, node->plain ? "%s" : "'%s'", node->text);
    } else {
        (void)fputc(node->kind == HY_NODE_LIST ? '[' : '{', out);
        for (const hy_node *child = node->first; child != NULL; child = child->next) {
            (void)fputs(child == node->first ? "" : ", ", out);
            print(child, out);
        }
        (void)fputc(node->kind == HY_NODE_LIST ? ']' : '}', out);
    }
    (void)fprintf(out, "@%d", (int)node->line);
}

static void check_tree(const char *text, const char *wanted) {
    hy_document *document = parse(text);
    char printed[4096] = "";
    FILE *out = fmemopen(printed, sizeof(printed), "w");
    assert_non_null(out);
    print(hy_document_root(document), out);
    (void)fclose(out);
    assert_string_equal(printed, wanted);
    hy_document_destroy(document);
}

static void test_trees(void **unused) {
    (void)unused;
    check_tree("", "@0");
    check_tree("# comment only\n", "@0");
    check_tree("7", "7@1");
    check_tree("\n\n'x'", "'x'@3");
    check_tree("a: 1\nb:\n  - x\n  - [y, \"z\"]\nc: {d: e,\n f: }\n",
               "{a: 1@1, b: [x@3, [y@4, 'z'@4]@4]@2, c: {d: e@5, f: @6}@5}@1");
}

static void test_value_takes_the_line_of_its_key(void **unused) {
    (void)unused;
    check_tree("a:\n\n  5\nb: |\n  x\n  y\n", "{a: 5@1, b: 'x\ny\n'@4}@1");
}

static void test_source_without_lines(void **unused) {
    (void)unused;
    const hy_source arguments = {.name = "--set a=[", .has_lines = false};
    hy_document *document = NULL;
    assert_int_equal(hy_document_parse(&arguments, "{a: b}", 6, &document), HY_OK);
    assert_int_equal(hy_document_root(document)->line, 0);
    assert_int_equal(hy_document_root(document)->first->line, 0);
    hy_document_destroy(document);
    capture_begin();
    assert_int_equal(hy_document_parse(&arguments, "[", 1, &document), HY_ERR_USAGE);
    assert_contains(capture_end(), "error --set a=[: not valid YAML: ");
}

static void test_refused(void **unused) {
    (void)unused;
    static const struct {
        const char *text;
        size_t length;
        const char *message;
    } cases[] = {
        {"a: 1\n b: 2\n", 0, "d.yaml:2: not valid YAML: mapping values are not allowed"},
        {"a:\n\t- b\n", 0, "d.yaml:2: not valid YAML: found character that cannot start any token"},
        {"a: 1\nb: \"x\n\n", 0, "not valid YAML: found unexpected end of stream"},
        {"a: 1\nb: 2\nc: x\0y\n", 18, "d.yaml:3: not valid YAML: control characters are not allowed"},
        {"a: 1\nb: \xff\n", 0, "d.yaml:2: not valid YAML: invalid leading UTF-8 octet"},
        {"a: 1\nb: \"x\\0y\"\n", 0, "d.yaml:2: a NUL byte in a text"},
        {"a: 1\nb: &x 2\n", 0, "d.yaml:2: YAML anchors and tags have no meaning here"},
        {"a: *x\n", 0, "d.yaml:1: YAML aliases have no meaning here"},
        {"a: &x [1]\nb: *x\n", 0, "d.yaml:1: YAML anchors"},
        {"a: !!int 3\n", 0, "d.yaml:1: YAML anchors and tags"},
        {"a: !x {}\n", 0, "d.yaml:1: YAML anchors and tags"},
        {"[a]: b\n", 0, "d.yaml:1: a key must be plain text"},
        {"? {a: b}\n: c\n", 0, "d.yaml:1: a key must be plain text"},
        {"a: 1\n---\nb: 2\n", 0, "d.yaml:2: a second YAML document begins"},
        {"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[0]", 0, "d.yaml:1: nested deeper than 32 levels"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        hy_document *document = NULL;
        const size_t length = cases[i].length > 0 ? cases[i].length : strlen(cases[i].text);
        const int64_t bytes = hy_alloc_bytes();
        capture_begin();
        const hy_status status = hy_document_parse(&source, cases[i].text, length, &document);
        assert_contains(capture_end(), cases[i].message);
        assert_int_equal(status, HY_ERR_USAGE);
        assert_null(document);
        assert_int_equal(hy_alloc_bytes(), bytes);
    }
}

static void test_depth_up_to_the_limit(void **unused) {
    (void)unused;
    char text[2 * HY_DOCUMENT_DEPTH + 1];
    memset(text, '[', HY_DOCUMENT_DEPTH);
    memset(text + HY_DOCUMENT_DEPTH, ']', HY_DOCUMENT_DEPTH);
    text[sizeof(text) - 1] = '\0';
    hy_document_destroy(parse(text));
    hy_document_destroy(NULL);
}

static void test_many_and_long_scalars(void **unused) {
    (void)unused;
    enum { ITEMS = 3000, LONG = 50000 };
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    for (int i = 0; i < ITEMS; i++) {
        (void)fprintf(out, "- item%d\n", i);
    }
    (void)fprintf(out, "- '%0*d'\n", LONG, 7);
    (void)fclose(out);
    hy_document *document = parse(text);
    free(text);
    int i = 0;
    const hy_node *item = hy_document_root(document)->first;
    for (; item->next != NULL; item = item->next, i++) {
        char wanted[32];
        (void)snprintf(wanted, sizeof(wanted), "item%d", i);
        assert_string_equal(item->text, wanted);
        assert_int_equal(item->line, i + 1);
    }
    assert_int_equal(i, ITEMS);
    assert_int_equal(strlen(item->text), LONG);
    hy_document_destroy(document);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trees),
        cmocka_unit_test(test_value_takes_the_line_of_its_key),
        cmocka_unit_test(test_source_without_lines),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_depth_up_to_the_limit),
        cmocka_unit_test(test_many_and_long_scalars),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
