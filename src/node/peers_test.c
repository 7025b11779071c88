// SPDX-License-Identifier: Apache-2.0
//
// A limit per address: exact for each, whatever the port; others do not feel it.
#include "node/peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"

static void test_a_limit_per_address(void **state)
{
    (void)state;
    struct peers *peers = mem_zalloc(sizeof *peers);
    struct io_addr here, there;
    uint32_t places[3], other;
    assert_int_equal(io_addr_parse("192.0.2.1:1000", &here), 0);
    assert_int_equal(io_addr_parse("192.0.2.2:1000", &there), 0);
    for (uint32_t i = 0; i < 3; i++) {
        here.port++;
        assert_true(peers_enter(peers, &here, 7, 3, &places[i]));
    }
    assert_false(peers_enter(peers, &here, 7, 3, &other));
    assert_true(peers_enter(peers, &there, 7, 3, &other));
    peers_leave(peers, places[1]);
    assert_true(peers_enter(peers, &here, 7, 3, &places[1]));
    assert_false(peers_enter(peers, &here, 7, 3, &places[1]));
    assert_false(peers_enter(peers, &here, 7, 0, &places[1])); // none at all
    for (uint32_t i = 0; i < PEERS_COUNTERS; i++)
        assert_in_range(peers->counts[i], 0, 3);
    mem_free(peers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_limit_per_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
