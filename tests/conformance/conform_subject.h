/* The models of one kind of mixer, and what the oracle says of each with each packing, computed when it is first asked for. */
#ifndef HY_TESTS_CONFORM_SUBJECT_H
#define HY_TESTS_CONFORM_SUBJECT_H

#include "tests/conformance/conform_run.h"

typedef struct conform_expected {
    conform_problem problem;
    double *logits, *grads; /* NULL: not computed yet */
} conform_expected;

typedef struct conform_subject {
    hy_model *model;
    double *params;
    conform_expected of[CONFORM_PACKINGS];
} conform_subject;

typedef struct conform_subjects {
    const char *kind; /* NULL: none yet */
    uint64_t seed;
    conform_subject of[CONFORM_HEADS_N];
} conform_subjects;

/* Those of this kind, instead of another's. Local. */
HY_MUST_CHECK hy_status conform_subjects_use(conform_subjects *subjects, const char *kind, uint64_t seed);
/* Rank 0 computes it and tells the others. Collective. */
HY_MUST_CHECK hy_status conform_subjects_expect(conform_subjects *subjects, hy_comm *world, conform_heads heads,
                                                conform_packing packing, conform_want *want);
void conform_subjects_free(conform_subjects *subjects);

#endif
