/* In place of libcudnn: takes descriptors of the backend API as strictly as can be (what is unknown, of another type, set twice, missing or not
 * finalized is an error) and computes on the host what a graph of operations says, from the dimensions, strides and types it was given.
 *
 * HYLAS_CUDNN_STANDIN, how it is wrong: "engines" has none, "execute" fails; "scale", "stride", "mask", "log2", "heads", "values" compute another
 * thing. */
#ifndef HY_TESTS_CUDNN_STANDIN_H
#define HY_TESTS_CUDNN_STANDIN_H

#include <cudnn.h>
#include <stdbool.h>
#include <stdint.h>

enum { ATTRIBUTES = 12, ATTRIBUTE_BYTES = 256, TENSORS = 64, OPERATIONS = 32 };

typedef struct attribute {
    cudnnBackendAttributeName_t name;
    cudnnBackendAttributeType_t type;
    int64_t n;
    union {
        unsigned char bytes[ATTRIBUTE_BYTES];
        int64_t integers[ATTRIBUTE_BYTES / 8];
        void *pointers[ATTRIBUTE_BYTES / 8];
        int enumerator;
        bool truth;
    } value;
} attribute;

typedef struct described {
    cudnnBackendDescriptorType_t type;
    bool finalized;
    int n, refs; /* refs: of the program, and of descriptors that link to it */
    attribute of[ATTRIBUTES];
} described;

/* NULL: it is not set. */
const attribute *standin_attribute(const described *d, cudnnBackendAttributeName_t name);
/* The descriptor that an attribute links to. */
described *standin_link(const described *d, cudnnBackendAttributeName_t name);
/* Whether HYLAS_CUDNN_STANDIN says `how`. */
bool standin_is_wrong(const char *how);
/* Says what is amiss on stderr; returns `status`. */
cudnnStatus_t standin_fail(cudnnStatus_t status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Ids are unique, what is read was brought or written before, dimensions fit, nothing is written twice or unread. */
cudnnStatus_t standin_check_graph(const described *graph);
/* Computes it; `pack` brings each id that is not inner, and no other. */
cudnnStatus_t standin_execute(const described *graph, const described *pack);

#endif
