// SPDX-License-Identifier: Apache-2.0
//
// The simulated network: an echo with short reads and late accepts, connections cut at any byte,
// refused, half-open, and a server that dies.
#include "io/sim.h"

#include "base/mem.h"
#include "io/sim_testing.h"

static void test_echo(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct talk t = {.sim = universe(seed), .goal = 50000};
        struct talk_worlds w;
        sim_set_fault(t.sim, SIM_FAULT_SHORT_IO, 300000);
        sim_set_fault(t.sim, SIM_FAULT_ACCEPT_DELAY, 500000);
        talk_start(&t, &w);
        assert_true(sim_run_until(t.sim, 100 * SECOND, talk_over, &t));
        assert_int_equal(t.client_end, ERR_EOF);
        (void)sim_run_until(t.sim, sim_now_ns(t.sim) + SECOND, NULL, NULL);
        assert_int_equal(t.server_end, ERR_EOF);
        talk_end(&t, &w);
        sim_destroy(t.sim);
    }
}

static void test_cut_and_refused(void **state)
{
    (void)state;
    int cut = 0, refused = 0, timed_out = 0, whole = 0;
    for (uint64_t seed = 0; seed < 150; seed++) {
        struct talk t = {.sim = universe(seed), .goal = 20000};
        struct talk_worlds w;
        sim_set_fault(t.sim, SIM_FAULT_CUT, 5000);
        sim_set_fault(t.sim, SIM_FAULT_HALF_OPEN, 3000);
        sim_set_fault(t.sim, SIM_FAULT_REFUSED, 50000);
        talk_start(&t, &w);
        assert_true(sim_run_until(t.sim, 100 * SECOND, talk_over, &t));
        cut += t.client_end == ERR_RESET;
        refused += t.client_end == ERR_REFUSED;
        timed_out += t.client_end == ERR_TIMEOUT;
        whole += t.client_end == ERR_EOF;
        (void)sim_run_until(t.sim, sim_now_ns(t.sim) + 100 * SECOND, NULL, NULL);
        talk_end(&t, &w);
        sim_destroy(t.sim);
    }
    assert_true(cut > 0);
    assert_true(refused > 0);
    assert_true(timed_out > 0);
    assert_true(whole > 0);
}

static void test_server_dies(void **state)
{
    (void)state;
    int reset = 0, silent = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct talk t = {.sim = universe(seed), .goal = 100000000};
        struct talk_worlds w;
        talk_start(&t, &w);
        (void)sim_run_until(t.sim, sim_now_ns(t.sim) + 2000000, NULL, NULL);
        assert_non_null(t.server);
        sim_crash(w.server, SIM_POWER_LOSS);
        assert_int_equal(io_recv(t.server, t.held, 1), ERR_STOPPED);
        io_close(t.server);
        io_close(t.listener);
        bool over = sim_run_until(t.sim, 100 * SECOND, talk_over, &t);
        if (over)
            assert_int_equal(t.client_end, ERR_RESET);
        reset += over;
        silent += !over;
        sim_world_free(w.server_world);
        // It comes back; a new connection finds nobody listening.
        w.server_world = sim_start(w.server);
        t.server_io = actor(w.server_world, IO_LOOP);
        io_close(t.client);
        t.client_end = 0;
        run_on(t.sim, t.client_io, talk_connect, &t);
        assert_true(sim_run_until(t.sim, 200 * SECOND, talk_over, &t));
        assert_int_equal(t.client_end, ERR_REFUSED);
        talk_end(&t, &w);
        sim_destroy(t.sim);
    }
    assert_true(reset > 10);
    (void)silent; // only when the client had nothing left to send
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_cut_and_refused),
        cmocka_unit_test(test_server_dies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
