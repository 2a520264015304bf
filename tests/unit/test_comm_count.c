/* A communicator that only counts: any size, any rank, the bytes that a real one records, a record of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "base/memory.h"
#include "comm/comm.h"

/* A buffer that nobody may touch. */
static void *nowhere;

static const hy_exchange_record *find(const hy_exchange_log *log, const char *name, hy_exchange_kind kind) {
    for (int i = 0; i < log->n; i++) {
        if (log->records[i].kind == kind && strcmp(log->records[i].name, name) == 0) {
            return &log->records[i];
        }
    }
    return NULL;
}

static void check(const hy_exchange_log *log, const char *name, hy_exchange_kind kind, int64_t count, int64_t bytes) {
    const hy_exchange_record *r = find(log, name, kind);
    assert_non_null(r);
    assert_int_equal(r->count, count);
    assert_int_equal(r->bytes, bytes);
}

static void test_exchanges(void **unused) {
    (void)unused;
    static hy_exchange_log log;
    const int64_t before = hy_alloc_bytes();
    const hy_exchange_record *own = NULL;
    hy_comm *comm = NULL;
    hy_req r[9];
    hy_exchange_reset();
    assert_int_equal(hy_comm_count_create(1024, 1023, &log, &comm), HY_OK);
    assert_int_equal(hy_comm_size(comm), 1024);
    assert_int_equal(hy_comm_rank(comm), 1023);
    hy_comm_all_gather(comm, "a", nowhere, nowhere, 1000, &r[0]);
    hy_comm_all_gather(comm, "a", nowhere, nowhere, 24, &r[1]);
    hy_comm_all_reduce(comm, "b", nowhere, 512, HY_TYPE_F64, HY_SUM, &r[2]);
    hy_comm_reduce_scatter(comm, "c", nowhere, nowhere, 10, HY_TYPE_F32, &r[3]);
    hy_comm_all_to_all(comm, "d", nowhere, nowhere, 7, &r[4]);
    hy_comm_broadcast(comm, "e", nowhere, 9, 0, &r[5]);
    hy_comm_broadcast(comm, "e", nowhere, 9, 1023, &r[6]);
    hy_comm_send(comm, "f", nowhere, 11, 3, 0, &r[7]);
    hy_comm_recv(comm, "f", nowhere, 12, 3, 0, &r[8]);
    assert_true(hy_comm_test(&r[8]));
    hy_comm_wait_all(r, 9);
    hy_comm_barrier(comm);
    hy_comm_progress(comm);
    assert_int_equal(hy_comm_agree(comm, HY_OK), HY_OK);
    assert_int_equal(hy_comm_agree(comm, HY_ERR_DATA), HY_ERR_DATA);
    check(&log, "a", HY_X_ALL_GATHER, 2, 1023 * 1024);
    check(&log, "b", HY_X_ALL_REDUCE, 1, 2 * 1023 * 4096 / 1024);
    check(&log, "c", HY_X_REDUCE_SCATTER, 1, 1023 * 40);
    check(&log, "d", HY_X_ALL_TO_ALL, 1, 1023 * 7);
    check(&log, "e", HY_X_BROADCAST, 2, 1023 * 9);
    check(&log, "f", HY_X_SEND, 1, 11);
    check(&log, "f", HY_X_RECV, 1, 12);
    assert_int_equal(hy_exchange_records(&own), 0);
    hy_comm_destroy(comm);
    assert_int_equal(hy_alloc_bytes(), before);
}

static void test_mesh(void **unused) {
    (void)unused;
    static hy_exchange_log log;
    hy_comm *comm = NULL;
    hy_mesh mesh;
    assert_int_equal(hy_comm_count_create(12, 7, &log, &comm), HY_OK);
    assert_int_equal(hy_mesh_create(comm, 3, 4, &mesh), HY_OK);
    assert_int_equal(hy_comm_size(mesh.sequence), 4);
    assert_int_equal(hy_comm_rank(mesh.sequence), 3);
    assert_int_equal(hy_comm_size(mesh.data), 3);
    assert_int_equal(hy_comm_rank(mesh.data), 1);
    hy_req r;
    hy_comm_all_gather(mesh.sequence, "x", nowhere, nowhere, 10, &r);
    hy_comm_wait(&r);
    check(&log, "x", HY_X_ALL_GATHER, 1, 30);
    hy_mesh_destroy(&mesh);
    hy_comm *other = NULL;
    assert_int_not_equal(hy_comm_split(comm, 0, 0, &other), HY_OK);
    hy_comm_destroy(comm);
    assert_int_equal(hy_comm_count_create(4, 4, &log, &comm), HY_ERR_USAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_exchanges), cmocka_unit_test(test_mesh)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
