/* How many consecutive ranks are on one host, for every placement. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "train/run/host_nodes.h"

static void test_placements(void **unused) {
    (void)unused;
    const int64_t one[] = {0, 0, 0, 0, 0}, even[] = {0, 0, 2, 2, 4, 4}, ragged[] = {0, 0, 0, 3, 3, 3, 6},
                  in_turn[] = {0, 1, 0, 1}, uneven[] = {0, 0, 0, 0, 4, 4}, odd[] = {0, 0, 0, 3, 3},
                  split[] = {0, 1, 1, 1};
    assert_int_equal(hy_host_node_ranks(one, 5), 5);
    assert_int_equal(hy_host_node_ranks(even, 6), 2);
    assert_int_equal(hy_host_node_ranks(ragged, 7), 3);
    assert_int_equal(hy_host_node_ranks(in_turn, 4), 1);
    assert_int_equal(hy_host_node_ranks(uneven, 6), 4);
    assert_int_equal(hy_host_node_ranks(odd, 5), 3);
    assert_int_equal(hy_host_node_ranks(split, 4), 1);
    assert_int_equal(hy_host_node_ranks(one, 1), 1);
}

static void test_alone(void **unused) {
    (void)unused;
    hy_comm *self = NULL;
    hy_mesh mesh;
    int64_t node = 0;
    assert_int_equal(hy_comm_self_create(&self), HY_OK);
    assert_int_equal(hy_mesh_create(self, 1, 1, &mesh), HY_OK);
    assert_int_equal(hy_host_nodes_find(&mesh, &node), HY_OK);
    assert_int_equal(node, 1);
    hy_mesh_destroy(&mesh);
    hy_comm_destroy(self);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_placements), cmocka_unit_test(test_alone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
