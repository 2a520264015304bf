/* A problem on the ranks of a communicator, and how far each token is from the oracle. */
#ifndef HY_TESTS_CONFORM_RUN_H
#define HY_TESTS_CONFORM_RUN_H

#include "tests/conformance/conform_problem.h"

/* A device with what moves bytes between ranks; both are made when they are first used, one pair per element type. */
typedef struct conform_place {
    const char *device;
    hy_transport_id transport;
    hy_device *devices[2]; /* HY_F32, HY_F64 */
    hy_comm *bound[2];
} conform_place;

enum { CONFORM_PLACES_MAX = 12 };

/* Those that all ranks have, cpu first. Returns how many. Collective. */
int conform_places_find(hy_comm *world, conform_place places[CONFORM_PLACES_MAX]);
void conform_place_close(conform_place *place);

typedef struct conform_method {
    hy_sp_method sp;
    hy_recompute recompute;
    hy_offload_to offload;
    hy_dtype dtype; /* HY_F32 or HY_F64 */
    int broken;     /* test hook: every exchange is damaged */
} conform_method;

/* What is expected; the same on all ranks. */
typedef struct conform_want {
    const hy_model *model;
    const conform_problem *problem;
    const double *params, *logits, *grads;
} conform_want;

/* Largest differences, infinite where something is not finite. Of a token: that of any element of its logits, or of its input's gradient, as a
 * multiple of the token's own root mean square over the row. Of a parameter: of any element of its gradient, as a multiple of the
 * root mean square of that parameter's gradient, or of a thousandth of that of all where it is less. */
typedef enum conform_what { CONFORM_OUTPUT, CONFORM_INPUT, CONFORM_PARAMETER, CONFORM_WHATS } conform_what;
extern const char *const conform_what_names[];
typedef struct conform_errors {
    double of[CONFORM_WHATS]; /* of all ranks */
    char parameter[64];       /* on rank 0: the one with the largest */
} conform_errors;

/* Collective over `world`. */
HY_MUST_CHECK hy_status conform_run(hy_comm *world, conform_place *place, const conform_want *want,
                                    const conform_method *method, conform_errors *errors);

#endif
