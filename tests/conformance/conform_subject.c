#include "tests/conformance/conform_subject.h"

#include <string.h>

#include "base/memory.h"

void conform_subjects_free(conform_subjects *subjects) {
    for (int h = 0; h < CONFORM_HEADS_N; h++) {
        conform_subject *s = &subjects->of[h];
        for (int i = 0; i < CONFORM_PACKINGS; i++) {
            hy_free(s->of[i].logits);
            hy_free(s->of[i].grads);
        }
        hy_model_destroy(s->model);
        hy_free(s->params);
    }
    *subjects = (conform_subjects){.kind = NULL};
}

hy_status conform_subjects_use(conform_subjects *subjects, const char *kind, uint64_t seed) {
    if (subjects->kind != NULL && strcmp(subjects->kind, kind) == 0) {
        return HY_OK;
    }
    conform_subjects_free(subjects);
    subjects->kind = kind;
    subjects->seed = seed;
    for (int h = 0; h < CONFORM_HEADS_N; h++) {
        conform_subject *s = &subjects->of[h];
        HY_TRY(conform_model_create(kind, (conform_heads)h, &s->model));
        HY_TRY(HY_NEW("parameters", hy_model_flat_size(s->model), &s->params));
        conform_model_params(s->model, seed, s->params);
    }
    return HY_OK;
}

static hy_status compute(const conform_subject *s, hy_comm *world, conform_packing packing, uint64_t seed,
                         conform_expected *e) {
    const int64_t flat = hy_model_flat_size(s->model), logits = CONFORM_TOKENS * CONFORM_TOKENS;
    hy_status status = HY_OK;
    conform_problem_draw(packing, seed, &e->problem);
    HY_TRY(HY_NEW("logits", logits, &e->logits));
    HY_TRY(HY_NEW("gradients", flat, &e->grads));
    if (hy_comm_rank(world) == 0) {
        status = conform_oracle(s->model, s->params, &e->problem, e->logits, e->grads);
    }
    HY_TRY(hy_comm_agree(world, status));
    hy_req reqs[2] = {{0}};
    hy_comm_broadcast(world, "logits", e->logits, (size_t)logits * sizeof(double), 0, &reqs[0]);
    hy_comm_broadcast(world, "gradients", e->grads, (size_t)flat * sizeof(double), 0, &reqs[1]);
    hy_comm_wait_all(reqs, 2);
    return HY_OK;
}

hy_status conform_subjects_expect(conform_subjects *subjects, hy_comm *world, conform_heads heads,
                                  conform_packing packing, conform_want *want) {
    conform_subject *s = &subjects->of[heads];
    conform_expected *e = &s->of[packing];
    if (e->grads == NULL) {
        HY_TRY(compute(s, world, packing, subjects->seed, e));
    }
    *want = (conform_want){s->model, &e->problem, s->params, e->logits, e->grads};
    return HY_OK;
}
