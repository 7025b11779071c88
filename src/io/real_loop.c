// SPDX-License-Identifier: Apache-2.0
//
// The thread of a loop actor. libuv polls, and nothing more: one uv_timer stands for the earliest
// deadline of our own heap (libuv counts milliseconds, and its heap would be a second order of
// events), one uv_async for mail. A turn is: what polling brought, then mail, then timers, then
// turn_end; then the loop announces its sleep, looks into the mailbox once more and polls. Mail
// that came meanwhile, most of it from the loop's own calls to itself, is another turn without a
// poll before it: a record that is produced and fetched takes a dozen turns and waits for three
// events.
#include "base/assert.h"
#include "base/err.h"
#include "io/real_int.h"

#define TURNS_PER_POLL 16 // sockets get their turn however much mail comes

static void on_async(uv_async_t *async)
{
    (void)async; // the mailbox is looked at after every poll
}

static void on_timer(uv_timer_t *timer)
{
    struct real_io *io = timer->data;
    io->timer_armed_ns = INT64_MAX;
    // A timer that is due when uv_run begins fires before the poll; the poll must not block then.
    uv_stop(&io->loop);
}

int real_loop_init(struct real_io *io)
{
    int rc = uv_loop_init(&io->loop);
    if (rc != 0)
        return real_err(-rc);
    rc = uv_async_init(&io->loop, &io->async, on_async);
    if (rc != 0) {
        (void)uv_loop_close(&io->loop);
        return real_err(-rc);
    }
    (void)uv_timer_init(&io->loop, &io->timer);
    io->timer.data = io;
    io->timer_armed_ns = INT64_MAX;
    io_timer_init(&io->accept_again, real_accept_again);
    return 0;
}

void real_loop_wake(struct real_io *io)
{
    (void)uv_async_send(&io->async);
}

// Rounded up to milliseconds: fired too early, a timer would only be armed again.
static void arm_timer(struct real_io *io)
{
    int64_t next_ns = io_timers_next(&io->base);
    if (next_ns == io->timer_armed_ns)
        return;
    io->timer_armed_ns = next_ns;
    if (next_ns == INT64_MAX) {
        (void)uv_timer_stop(&io->timer);
        return;
    }
    int64_t left_ns = next_ns - real_clock_ns();
    uint64_t left_ms = left_ns <= 0 ? 0 : ((uint64_t)left_ns + 999999) / 1000000;
    uv_update_time(&io->loop);
    (void)uv_timer_start(&io->timer, on_timer, left_ms, 0);
}

static void poll_events(struct real_io *io, bool block)
{
    atomic_store(&io->asleep, 1);
    if (atomic_load(&io->mail) != NULL || atomic_load(&io->stopping))
        block = false;
    io->now_ns = 0; // the next turn reads the clock again
    (void)uv_run(&io->loop, block ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    atomic_store(&io->asleep, 0);
}

static void loop_turn(struct real_io *io)
{
    if (real_run_mail(io))
        io->ran = true;
    if (io_timers_next(&io->base) != INT64_MAX &&
        io_timers_fire(&io->base, io->base.ops->now_ns(&io->base)))
        io->ran = true;
    if (io->ran)
        real_turn_end(io);
}

static void wind_up(struct real_io *io)
{
    LIST_FOR_SAFE (it, &io->socks)
        real_close(&CONTAINER_OF(it, struct real_sock, link)->base);
    real_posters_leave(io); // one of them may be about to write to the async handle
    uv_close((uv_handle_t *)&io->async, NULL);
    uv_close((uv_handle_t *)&io->timer, NULL);
    (void)uv_run(&io->loop, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&io->loop);
    ASSERT(rc == 0);
}

void real_loop_run(struct real_io *io)
{
    for (;;) {
        bool stopping = atomic_load(&io->stopping); // before the mailbox: its mail still runs
        io->ran = false;
        arm_timer(io);
        poll_events(io, !stopping);
        loop_turn(io);
        for (int i = 1; i < TURNS_PER_POLL && atomic_load(&io->mail) != NULL; i++) {
            io->ran = false;
            io->now_ns = 0;
            loop_turn(io);
        }
        if (stopping && atomic_load(&io->mail) == NULL)
            break;
    }
    wind_up(io);
}
