/* Inputs of `hylas op recurrence` and its kin: which datasets an operation reads, and the shapes they make. */
#ifndef HY_LAUNCH_OP_RECURRENCE_H
#define HY_LAUNCH_OP_RECURRENCE_H

#include "launch/op/op.h"

typedef enum hy_op_role {
    Q,
    KEY,
    VALUE,
    DECAY,
    BETA,
    READ,
    WRITE,
    BONUS,
    LEVELS,
    H0,
    D_O,
    DHT,
    DOCUMENTS,
    ROLES
} hy_op_role;

/* One operation. */
typedef struct hy_op_form {
    const char *names[ROLES]; /* of datasets; NULL: this operation has none such */
    unsigned required;        /* bit per role */
    hy_rule rule;
    bool rule_in_file, exclusive, elementwise;
    double scale; /* if the file has none; 0: K^-1/2 */
} hy_op_form;

typedef struct hy_op_recurrence_input {
    const hy_op_form *form;
    hy_op_input in;
    const hy_op_tensor *t[ROLES]; /* NULL: absent */
    int64_t B, T, N;
    hy_shape states;
    hy_recur_args shape;
} hy_op_recurrence_input;

/* Reads and checks; the caller frees r->in. On failure nothing is left to free. Collective. */
HY_MUST_CHECK hy_status hy_op_recurrence_read(const hy_op_context *context, const hy_op_form *form, const char *path,
                                              hy_op_recurrence_input *r);

#endif
