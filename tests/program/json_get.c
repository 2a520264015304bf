/* json_get [PATH...] < FILE: that standard input is exactly one JSON document without a key twice, and the value at each dotted path
 * ("hosts.0.threads"), one line each: numbers and texts as they are, "null", and the number of members of an object or array. Exit code 1
 * with a reason where the document is not valid or has no such path. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const json_t *step(const json_t *at, const char *key) {
    return json_is_array(at) ? json_array_get(at, (size_t)atoi(key)) : json_object_get(at, key);
}

static const json_t *find(const json_t *at, const char *path) {
    char key[128];
    while (at != NULL && *path != '\0') {
        const size_t n = strcspn(path, ".");
        snprintf(key, sizeof key, "%.*s", (int)n, path);
        at = step(at, key);
        path += n + (path[n] == '.');
    }
    return at;
}

static void print(const json_t *value) {
    if (json_is_object(value) || json_is_array(value)) {
        printf("%zu\n", json_is_object(value) ? json_object_size(value) : json_array_size(value));
    } else if (json_is_string(value)) {
        printf("%s\n", json_string_value(value));
    } else if (json_is_integer(value)) {
        printf("%lld\n", (long long)json_integer_value(value));
    } else if (json_is_real(value)) {
        printf("%.17g\n", json_real_value(value));
    } else {
        printf("%s\n", json_is_null(value) ? "null" : json_is_true(value) ? "true" : "false");
    }
}

int main(int argc, char **argv) {
    json_error_t error;
    const json_t *document = json_loadf(stdin, JSON_REJECT_DUPLICATES, &error);
    if (document == NULL) {
        fprintf(stderr, "line %d: %s\n", error.line, error.text);
        return 1;
    }
    for (int i = 1; i < argc; i++) {
        const json_t *value = find(document, argv[i]);
        if (value == NULL) {
            fprintf(stderr, "nothing at %s\n", argv[i]);
            return 1;
        }
        print(value);
    }
    return 0;
}
