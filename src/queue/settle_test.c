// SPDX-License-Identifier: Apache-2.0
//
// Every end of a lease under every setting, as a table; then dead letters: what they say, how many
// are on their way, what fails, what a crash does.
#include "queue/rig_readers_test.h"

static struct rig_reader a;

// ---- the matrix

enum fate { ACKED, AGAIN, DEAD, GONE };
struct cell {
    enum queue_outcome outcome;
    bool dead_letter;
    uint32_t limit;   // delivery_limit
    uint32_t returns; // so often before
    bool again;       // it died here before: who publishes looks for circles
    enum fate fate;
};
static const struct cell cells[] = {
    // outcome           dead   limit returns again fate
    {QUEUE_ACKNOWLEDGE, false, 0, 0, false, ACKED}, {QUEUE_ACKNOWLEDGE, true, 0, 0, false, ACKED},
    {QUEUE_ACKNOWLEDGE, true, 2, 1, true, ACKED},   {QUEUE_RELEASE, false, 0, 0, false, AGAIN},
    {QUEUE_RELEASE, true, 0, 5, false, AGAIN},      {QUEUE_RELEASE, false, 3, 1, false, AGAIN},
    {QUEUE_RELEASE, false, 3, 2, false, GONE},      {QUEUE_RELEASE, true, 3, 1, false, AGAIN},
    {QUEUE_RELEASE, true, 3, 2, false, DEAD},       {QUEUE_RELEASE, true, 1, 0, true, DEAD},
    {QUEUE_REJECT, false, 0, 0, false, GONE},       {QUEUE_REJECT, true, 0, 0, false, DEAD},
    {QUEUE_REJECT, true, 0, 2, true, DEAD},
};

static struct queue_settings dead_settings(bool dead_letter, uint32_t limit)
{
    struct queue_settings s = rig_plain;
    s.dead_letter = dead_letter;
    s.dead_exchange = slice_cstr("dlx");
    s.delivery_limit = limit;
    return s;
}

static void run_cell(const struct cell *cell, bool memory)
{
    static struct buf deaths;
    const struct message_death before = {
        .reason = DEATH_EXPIRED, .queue = slice_cstr("q0"), .times = 1, .original_ttl_ms = -1};
    const struct message nothing = {.expires_ms = -1};
    const struct queue_settings s = dead_settings(cell->dead_letter, cell->limit);
    rig_declare(0, memory, 1, &s);
    rig_reader_init(&a, 1, 100);
    rig->letters_by_hand = true;
    buf_init(&deaths, 1000);
    assert_int_equal(message_deaths_add(&nothing, &before, &deaths), 0);
    struct rig_publish p = {.slot = 0,
                            .text = "m",
                            .count = 1,
                            .ttl_ms = -1,
                            .deaths = cell->again ? buf_slice(&deaths) : SLICE_NULL};
    rig_attach(0, &a);
    rig_publish_as(&p);
    for (uint32_t i = 0; i < cell->returns; i++)
        rig_settle(0, 1, 0, 0, QUEUE_RELEASE);
    assert_int_equal(a.count, cell->returns + 1);
    rig_settle(0, 1, 0, 0, cell->outcome);
    struct queue_stats stats = rig_stats(0);
    assert_int_equal(a.count, cell->returns + 1 + (cell->fate == AGAIN ? 1 : 0));
    assert_int_equal(rig->letters_count, cell->fate == DEAD ? 1 : 0);
    assert_int_equal(stats.leased, cell->fate == AGAIN || cell->fate == DEAD ? 1 : 0);
    assert_int_equal(stats.settled, cell->fate == ACKED ? 1 : 0);
    assert_int_equal(stats.ready, 0);
    rig_settle(0, 1, 0, 0, QUEUE_ACKNOWLEDGE); // of what is not leased any more: nothing
    rig_detach(&a);
    buf_fini(&deaths);
}

static void test_matrix(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * sizeof cells / sizeof cells[0]; i++) {
        setup(NULL);
        run_cell(&cells[i / 2], i % 2 == 0);
        teardown(NULL);
    }
}

static void test_nonsense(void **state)
{
    (void)state;
    rig_declare(0, true, 1, &rig_plain);
    rig_reader_init(&a, 1, 100);
    rig_attach(0, &a);
    rig_publish(0, 0, "m", 1);
    struct rig_settle s = {0, 1, 7, 0, 0, QUEUE_ACKNOWLEDGE};
    assert_true(rig_on(rig, rig_settle_run, &s));
    s.level = -1;
    assert_true(rig_on(rig, rig_settle_run, &s));
    rig_settle(0, HOLDER_LETTERS, 0, 0, QUEUE_ACKNOWLEDGE);
    rig_settle(0, 1, -5, -1, QUEUE_REJECT);
    rig_settle(0, 1, 1, 9, QUEUE_RELEASE);
    assert_int_equal(rig_stats(0).leased, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matrix),
        cmocka_unit_test_setup_teardown(test_nonsense, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
