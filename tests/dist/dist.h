/* What every distributed test needs: a count of failed checks, agreed over all ranks at the end. */
#ifndef HY_TESTS_DIST_H
#define HY_TESTS_DIST_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/comm.h"

static int64_t hy_test_failed;

/* Prints the first few failures of this rank. */
#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            if (hy_test_failed++ < 5) {                                                                                \
                (void)fprintf(stderr, "%s:%d: %s: ", __FILE__, __LINE__, #condition);                                  \
                (void)fprintf(stderr, __VA_ARGS__);                                                                    \
                (void)fprintf(stderr, "\n");                                                                           \
            }                                                                                                          \
        }                                                                                                              \
    } while (0)

/* The device of a test: HYLAS_TEST_DEVICE in the environment, or else the one it names. */
static inline const char *hy_test_device(const char *otherwise) {
    const char *device = getenv("HYLAS_TEST_DEVICE");
    return device != NULL && device[0] != '\0' ? device : otherwise;
}

/* The transport of a test: HYLAS_TEST_TRANSPORT in the environment, or else the one that is chosen by itself. */
static inline hy_transport_id hy_test_transport(void) {
    const char *name = getenv("HYLAS_TEST_TRANSPORT");
    for (int id = 0; name != NULL && hy_transport_names[id] != NULL; id++) {
        if (strcmp(hy_transport_names[id], name) == 0) {
            return (hy_transport_id)id;
        }
    }
    return HY_TRANSPORT_AUTO;
}

/* The exit code: 0 if no check failed on any rank. Destroys the world. Collective. */
static inline int hy_test_finish(hy_comm *world, const char *name, int64_t cases) {
    hy_req req;
    hy_comm_all_reduce(world, "failures", &hy_test_failed, 1, HY_TYPE_I64, HY_SUM, &req);
    hy_comm_wait(&req);
    if (hy_comm_rank(world) == 0) {
        (void)printf("%s: %d ranks, %lld cases, %lld failed checks\n", name, hy_comm_size(world), (long long)cases,
                     (long long)hy_test_failed);
    }
    hy_comm_destroy(world);
    return hy_test_failed == 0 ? 0 : 1;
}

#endif
