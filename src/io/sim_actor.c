// SPDX-License-Identifier: Apache-2.0
//
// Simulated actors. One event per actor stands for its next turn; mail travels as events of its
// own and waits in the inbox until the actor's clock allows a turn. A turn takes what is at hand,
// now and then only a part of it, so that every way of grouping messages occurs.
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "io/sim_int.h"

static void turn_run(struct sim *sim, struct sim_event *event);

int sim_actor_create(struct io_world *base, const struct io_actor_options *options, struct io **out)
{
    struct sim_world *world = (struct sim_world *)base;
    struct sim_io *io = mem_zalloc(sizeof *io);
    ASSERT(!world->dead);
    io_base_init(&io->base, &sim_ops, options->kind);
    io->sim = world->sim;
    io->world = world;
    io->uid = world->sim->next_uid++;
    io->index = ++world->next_actor;
    io->clock_ns = world->sim->now_ns;
    if (io->clock_ns < world->machine->stopped_ns)
        io->clock_ns = world->machine->stopped_ns;
    io->turn.run = turn_run;
    list_init(&io->transit);
    list_init(&io->inbox);
    list_init(&io->socks);
    list_init(&io->ready);
    list_init(&io->files);
    list_push_back(&world->actors, &io->link);
    sim_fact_text(world->sim, options->name);
    *out = &io->base;
    return 0;
}

void sim_actor_wake(struct sim_io *io, int64_t at_ns)
{
    if (io->base.dead || io->sim->running == io)
        return; // the end of its turn looks at everything
    if (at_ns < io->clock_ns)
        at_ns = io->clock_ns;
    if (heap_contains(&io->turn.node) && io->turn.node.key <= at_ns)
        return;
    sim_schedule(io->sim, &io->turn, at_ns);
}

void sim_timers_changed(struct io *base)
{
    struct sim_io *io = (struct sim_io *)base;
    int64_t next_ns = io_timers_next(base);
    sim_fact(io->sim, FACT_TIMER, io->uid, (uint64_t)next_ns, 0);
    if (next_ns != INT64_MAX)
        sim_actor_wake(io, next_ns);
}

// ---- mail

static void mail_arrives(struct sim *sim, struct sim_event *event)
{
    struct sim_mail *mail = CONTAINER_OF(event, struct sim_mail, event);
    list_remove(&mail->link);
    list_push_back(&mail->to->inbox, &mail->link);
    // Waking up takes a moment, in which more mail may come.
    int64_t nap_ns = sim_random(sim, 4) == 0 ? sim_between(sim, 0, 100 * SIM_US) : 0;
    sim_actor_wake(mail->to, sim->now_ns + nap_ns);
}

static int64_t *last_arrival(struct sim_io *to, const struct sim_io *from)
{
    size_t index = from != NULL && from->world == to->world ? from->index : 0;
    if (index >= to->last_arrivals_count) {
        size_t count = index + 8;
        to->last_arrivals = mem_realloc(to->last_arrivals, count * sizeof *to->last_arrivals);
        memset(to->last_arrivals + to->last_arrivals_count, 0,
               (count - to->last_arrivals_count) * sizeof *to->last_arrivals);
        to->last_arrivals_count = count;
    }
    return &to->last_arrivals[index];
}

void sim_post(struct io *base, struct io_msg *msg)
{
    struct sim_io *to = (struct sim_io *)base;
    struct sim *sim = to->sim;
    const struct sim_io *from = sim->running;
    sim->report.posts++;
    sim_fact(sim, FACT_POST, to->uid, 0, base->dead);
    if (base->dead) {
        sim_count(sim, SIM_FAULT_DROPPED_MAIL);
        return;
    }
    int64_t at_ns = from != NULL ? from->clock_ns : sim->now_ns;
    at_ns +=
        sim_random(sim, 8) == 0 ? sim_between(sim, 0, SIM_MS) : sim_between(sim, 0, 20 * SIM_US);
    at_ns += sim_long_delay(sim);
    int64_t *last_ns = last_arrival(to, from);
    if (at_ns < *last_ns)
        at_ns = *last_ns; // what one sender posts keeps its order
    *last_ns = at_ns;
    struct sim_mail *mail = mem_zalloc(sizeof *mail);
    mail->event.run = mail_arrives;
    mail->msg = msg;
    mail->to = to;
    list_push_back(&to->transit, &mail->link);
    sim_schedule(sim, &mail->event, at_ns);
}

static bool run_inbox(struct sim_io *io)
{
    size_t count = 0;
    LIST_FOR (it, &io->inbox)
        count++;
    if (count > 1 && sim_random(io->sim, 8) == 0)
        count = 1 + sim_random(io->sim, count);
    for (size_t i = 0; i < count; i++) {
        struct sim_mail *mail = CONTAINER_OF(list_pop_front(&io->inbox), struct sim_mail, link);
        struct io_msg *msg = mail->msg;
        mem_free(mail);
        msg->run(msg);
    }
    return count > 0;
}

// ---- turns

static void take_turn(struct sim_io *io)
{
    struct sim *sim = io->sim;
    ASSERT(sim->running == NULL);
    ASSERT(!io->base.dead);
    if (io->clock_ns < sim->now_ns)
        io->clock_ns = sim->now_ns;
    sim->running = io;
    sim->report.turns++;
    sim_fact(sim, FACT_TURN, 0, 0, 0);
    bool ran = run_inbox(io);
    ran |= sim_socks_ready(io);
    ran |= io_timers_fire(&io->base, io->clock_ns);
    if (ran && io->base.turn_end != NULL)
        io->base.turn_end(io->base.turn_end_arg);
    io->clock_ns += sim_between(sim, 200, 2 * SIM_US);
    sim->running = NULL;
}

static void turn_run(struct sim *sim, struct sim_event *event)
{
    struct sim_io *io = CONTAINER_OF(event, struct sim_io, turn);
    (void)sim;
    take_turn(io);
    if (!list_empty(&io->inbox) || !list_empty(&io->ready))
        sim_actor_wake(io, io->clock_ns);
    int64_t next_ns = io_timers_next(&io->base);
    if (next_ns != INT64_MAX)
        sim_actor_wake(io, next_ns);
}

// ---- time and chance

int64_t sim_io_now_ns(struct io *base)
{
    struct sim_io *io = (struct sim_io *)base;
    int64_t now_ns = io->clock_ns > io->sim->now_ns ? io->clock_ns : io->sim->now_ns;
    sim_fact(io->sim, FACT_NOW, io->uid, 0, now_ns);
    return now_ns;
}

int64_t sim_io_wall_ms(struct io *base)
{
    struct sim_io *io = (struct sim_io *)base;
    struct sim *sim = io->sim;
    struct sim_machine *machine = io->world->machine;
    if (!base->dead && sim_fault(sim, SIM_FAULT_CLOCK_JUMP)) {
        int64_t by_ms = sim_random(sim, 4) == 0 ? sim_between(sim, -3600000, 3600000)
                                                : sim_between(sim, -2000, 2000);
        machine->wall_offset_ms += by_ms;
    }
    int64_t now_ns = io->clock_ns > sim->now_ns ? io->clock_ns : sim->now_ns;
    int64_t ms = sim->options.wall_start_ms + machine->wall_offset_ms + now_ns / SIM_MS;
    sim_fact(sim, FACT_WALL, io->uid, 0, ms);
    return ms;
}

void sim_io_random(struct io *base, void *out, size_t len)
{
    struct sim_io *io = (struct sim_io *)base;
    uint8_t *at = out;
    for (size_t done = 0; done < len; done += 8) {
        uint64_t word = prng_next(&io->sim->prng);
        memcpy(at + done, &word, len - done < 8 ? len - done : 8);
    }
    sim_fact(io->sim, FACT_RANDOM, io->uid, len, 0);
    sim_trace(io->sim, out, len);
}

// ---- ends

static void drop_mail(struct sim_io *io, struct list *mails)
{
    LIST_FOR_SAFE (it, mails) {
        struct sim_mail *mail = CONTAINER_OF(it, struct sim_mail, link);
        sim_cancel(io->sim, &mail->event);
        list_remove(&mail->link);
        sim_count(io->sim, SIM_FAULT_DROPPED_MAIL);
        mem_free(mail);
    }
}

void sim_actor_kill(struct sim_io *io)
{
    ASSERT(io->sim->running != io);
    io->base.dead = true;
    sim_cancel(io->sim, &io->turn);
    drop_mail(io, &io->transit);
    drop_mail(io, &io->inbox);
    // The timers belong to objects that may be freed without stopping them.
    for (struct heap_node *node; (node = heap_min(&io->base.timers)) != NULL;)
        heap_remove(&io->base.timers, node);
    LIST_FOR (it, &io->socks)
        sim_sock_kill(CONTAINER_OF(it, struct sim_sock, link));
    LIST_FOR (it, &io->files)
        sim_file_kill(CONTAINER_OF(it, struct sim_file, link));
}

void sim_actor_free(struct sim_io *io)
{
    ASSERT(list_empty(&io->transit));
    ASSERT(list_empty(&io->inbox));
    LIST_FOR_SAFE (it, &io->socks)
        io_close(&CONTAINER_OF(it, struct sim_sock, link)->base);
    LIST_FOR_SAFE (it, &io->files)
        io_file_close(&CONTAINER_OF(it, struct sim_file, link)->base);
    sim_cancel(io->sim, &io->turn);
    list_remove(&io->link);
    io_base_fini(&io->base);
    mem_free(io->last_arrivals);
    mem_free(io);
}

// What is under way to it arrives now, in its order; then it ends. The others do not run.
void sim_actor_stop(struct io *base)
{
    struct sim_io *io = (struct sim_io *)base;
    ASSERT(io->sim->running == NULL);
    if (base->dead)
        return; // freed with its world
    while (!list_empty(&io->transit) || !list_empty(&io->inbox)) {
        struct sim_mail *first = NULL;
        LIST_FOR (it, &io->transit) {
            struct sim_mail *mail = CONTAINER_OF(it, struct sim_mail, link);
            if (first == NULL || mail->event.node.key < first->event.node.key)
                first = mail;
        }
        if (first != NULL) {
            if (io->clock_ns < first->event.node.key)
                io->clock_ns = first->event.node.key;
            sim_cancel(io->sim, &first->event);
            list_remove(&first->link);
            list_push_back(&io->inbox, &first->link);
        } else {
            take_turn(io);
        }
    }
    if (io->world->machine->stopped_ns < io->clock_ns)
        io->world->machine->stopped_ns = io->clock_ns;
    LIST_FOR_SAFE (it, &io->socks)
        io_close(&CONTAINER_OF(it, struct sim_sock, link)->base);
    LIST_FOR_SAFE (it, &io->files)
        io_file_close(&CONTAINER_OF(it, struct sim_file, link)->base);
    sim_actor_kill(io); // what is posted from now on is dropped; freed with its world
}
