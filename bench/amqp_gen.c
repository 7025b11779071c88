// SPDX-License-Identifier: Apache-2.0
//
// The load generator for queues: the same program, the same settings and the same cores for every
// server that speaks AMQP 0-9-1. One connection, one channel, one thread that never waits for a
// frame while it could send one (amqp_link.h). Output as of gen.c: a figure per line.
//   publish  round robin to --queues; with --window N confirms, of which at most N are outstanding
//            (1: one at a time), without it none; for --seconds or --messages; then the server is
//            asked how many messages it has, which ends the measured time when there are no
//            confirms
//   consume  what is there, or --messages, or for --seconds; --prefetch 0 takes without acks
//   delete   the queues
//   connect  --connections that do nothing, with a channel each: what one costs in memory
//   limit    what the generator itself can do: the same loops against a sink in this process, whose
//            thread runs on --sink-cpu
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "amqp_link.h"
#include "amqp_sink.h"
#include "figures.h"
#include "proc.h"

struct options {
    const char *server, *user, *vhost, *queue;
    int queues, connections, server_pid, sink_cpu;
    size_t size_bytes;
    uint64_t messages, window;
    uint16_t prefetch;
    double seconds, rate, settle_s;
    bool durable, persistent, check;
};

static struct options opt = {.server = "127.0.0.1:5672",
                             .user = "guest",
                             .vhost = "/",
                             .queue = "bench",
                             .queues = 1,
                             .connections = 1000,
                             .sink_cpu = -1,
                             .size_bytes = 1000,
                             .seconds = 5,
                             .durable = true,
                             .persistent = true,
                             .check = true};

static char *queue_name(int index)
{
    char *name;
    if (asprintf(&name, opt.queues == 1 ? "%s" : "%s-%d", opt.queue, index) < 0)
        die("no memory");
    return name;
}

// ---- publishing

struct publisher {
    struct link *link;
    struct bytes *messages;                 // one per queue
    uint64_t sent, confirmed, refused, low; // every tag below low is answered
    int64_t *sent_ns;                       // by tag; 0: answered
    uint64_t mask;
    struct latencies latencies;
    int64_t start_ns, end_ns;
};

static void publisher_init(struct publisher *p, struct link *link)
{
    *p = (struct publisher){.link = link, .low = 1};
    p->messages = calloc((size_t)opt.queues, sizeof *p->messages);
    for (int i = 0; i < opt.queues; i++) {
        char *name = queue_name(i);
        p->messages[i] = link_message(link, name, opt.size_bytes, opt.persistent);
        free(name);
    }
    uint64_t slots = 1024; // confirms come out of order when several queues give them
    while (slots < opt.window * 8)
        slots *= 2;
    p->mask = slots - 1;
    p->sent_ns = calloc(slots, sizeof *p->sent_ns);
    if (!p->messages || !p->sent_ns)
        die("no memory");
    if (opt.window)
        latencies_init(&p->latencies, 10000000);
}

static void publisher_free(struct publisher *p)
{
    for (int i = 0; i < opt.queues; i++)
        free(p->messages[i].at);
    free(p->messages);
    free(p->sent_ns);
}

static bool publish_over(const struct publisher *p, int64_t now)
{
    return opt.messages ? p->sent >= opt.messages : now >= p->end_ns;
}

static int64_t due_ns(const struct publisher *p)
{
    return opt.rate > 0 ? p->start_ns + (int64_t)((double)p->sent * 1e9 / opt.rate) : 0;
}

static bool window_open(const struct publisher *p)
{
    return !opt.window ||
           (p->sent - p->confirmed - p->refused < opt.window && p->sent + 1 - p->low <= p->mask);
}

static void publish_some(struct publisher *p)
{
    int64_t now = now_ns();
    // Without a window a piece at a time, so that the socket does not wait for the buffer to fill.
    for (int n = 0; n < 64 && window_open(p) && !publish_over(p, now) && due_ns(p) <= now; n++) {
        const struct bytes *m = &p->messages[p->sent % (uint64_t)opt.queues];
        if (link_out_room(p->link) < m->end)
            break;
        link_put(p->link, m->at, m->end);
        p->sent++;
        p->sent_ns[p->sent & p->mask] = now;
    }
}

static void answered(struct publisher *p, uint64_t tag, bool multiple, bool taken, int64_t now)
{
    if (tag < p->low || tag > p->sent)
        die("a confirm for %llu, which is not outstanding", (unsigned long long)tag);
    for (uint64_t t = multiple ? p->low : tag; t <= tag; t++) {
        int64_t *slot = &p->sent_ns[t & p->mask];
        if (*slot == 0)
            continue;
        latency_add(&p->latencies, now - *slot);
        *slot = 0;
        *(taken ? &p->confirmed : &p->refused) += 1;
    }
    while (p->low <= p->sent && p->sent_ns[p->low & p->mask] == 0)
        p->low++;
}

static void publisher_hear(struct publisher *p)
{
    struct frame f;
    int64_t now = 0;
    while (link_next(p->link, &f)) {
        bool ack = f.method == AMQP_BASIC_ACK_METHOD, nack = f.method == AMQP_BASIC_NACK_METHOD;
        if (!ack && !nack) {
            link_other(&f);
            continue;
        }
        now = now ? now : now_ns();
        answered(p, be64(f.payload + 4), f.payload[12] & 1, ack, now);
    }
}

static int64_t publisher_wait_ns(const struct publisher *p)
{
    int64_t now = now_ns(), due = due_ns(p);
    if (!window_open(p) || publish_over(p, now) || link_out_room(p->link) < p->messages[0].end)
        return -1;
    return due > now ? due : 0;
}

static void publisher_run(struct publisher *p)
{
    p->start_ns = now_ns();
    p->end_ns = p->start_ns + (int64_t)(opt.seconds * 1e9);
    for (;;) {
        publish_some(p);
        bool over = publish_over(p, now_ns());
        bool pending = !link_sent(p->link) || (opt.window && p->confirmed + p->refused < p->sent);
        if (over && !pending)
            break;
        link_move(p->link, publisher_wait_ns(p));
        publisher_hear(p);
    }
}

static uint64_t counted(struct link *l)
{
    uint64_t sum = 0;
    for (int i = 0; i < opt.queues; i++) {
        char *name = queue_name(i);
        sum += link_count(l, name);
        free(name);
    }
    return sum;
}

// A server may count behind what it has taken: asked again until the count stands.
static uint64_t counted_from(struct link *l, uint64_t before, uint64_t expected)
{
    uint64_t last = 0, count;
    int64_t quiet_ns = now_ns();
    while ((count = counted(l)) - before < expected && now_ns() - quiet_ns < 2000000000)
        if (count != last) {
            last = count;
            quiet_ns = now_ns();
        }
    return count - before;
}

static void publisher_figures(struct publisher *p, double wall_s)
{
    figure("messages_per_s", (double)p->sent / wall_s);
    figure("mb_per_s", (double)p->sent * (double)opt.size_bytes / 1e6 / wall_s);
    if (opt.window) {
        figure("refused", (double)p->refused);
        latency_figures(&p->latencies);
    }
}

static void mode_publish(void)
{
    struct link l = {0};
    struct publisher p;
    link_open(&l, opt.server, opt.user, opt.vhost);
    for (int i = 0; i < opt.queues; i++) {
        char *name = queue_name(i);
        link_declare(&l, name, opt.durable);
        free(name);
    }
    if (opt.window)
        link_confirm(&l);
    publisher_init(&p, &l);
    uint64_t before = opt.check ? counted(&l) : 0;
    struct server_use use = use_begin(opt.server_pid);
    link_raw(&l);
    publisher_run(&p);
    double wall_s = (double)(now_ns() - p.start_ns) / 1e9;
    link_library(&l);
    uint64_t arrived = opt.check ? counted_from(&l, before, p.sent) : 0;
    if (!opt.window)
        wall_s = (double)(now_ns() - p.start_ns) / 1e9;
    usleep((useconds_t)(opt.settle_s * 1e6));
    publisher_figures(&p, wall_s);
    if (opt.check) // with a reader at work beside there is nothing to compare
        figure("missing", (double)p.sent - (double)arrived);
    use_end(use, (int64_t)(p.sent * opt.size_bytes));
    publisher_free(&p);
    link_close(&l);
}

// ---- consuming

struct consumer {
    struct link *link;
    uint64_t tag, got, bytes, bytes_left;
    uint64_t redelivered;
};

static void consumer_frame(struct consumer *c, const struct frame *f)
{
    if (f->method == AMQP_BASIC_DELIVER_METHOD) {
        const uint8_t *at = f->payload + 4 + 1 + f->payload[4]; // past the consumer's tag
        c->tag = be64(at);
        c->redelivered += at[8] & 1;
        return;
    }
    if (f->type == AMQP_FRAME_HEADER)
        c->bytes_left = be64(f->payload + 4);
    else if (f->type == AMQP_FRAME_BODY)
        c->bytes_left -= f->size;
    else {
        link_other(f);
        return;
    }
    c->bytes += f->type == AMQP_FRAME_BODY ? f->size : 0;
    if (c->bytes_left)
        return;
    c->got++;
    if (!opt.prefetch)
        return;
    link_put_ack(c->link, c->tag); // a write of its own, as every client library does it
    link_flush(c->link);
}

static void consumer_run(struct consumer *c, uint64_t messages, int64_t end_ns)
{
    struct frame f;
    while (c->got < messages && (end_ns < 0 || now_ns() < end_ns)) {
        link_move(c->link, end_ns);
        while (c->got < messages && link_out_room(c->link) > 64 && link_next(c->link, &f))
            consumer_frame(c, &f);
    }
    while (!link_flush(c->link))
        link_move(c->link, -1);
}

static void consumer_figures(const struct consumer *c, double wall_s)
{
    figure("messages_per_s", (double)c->got / wall_s);
    figure("mb_per_s", (double)c->bytes / 1e6 / wall_s);
    figure("redelivered", (double)c->redelivered);
}

static void mode_consume(void)
{
    struct link l = {0};
    struct consumer c = {.link = &l};
    link_open(&l, opt.server, opt.user, opt.vhost);
    uint64_t messages = link_count(&l, opt.queue);
    if (opt.messages)
        messages = opt.messages;
    else if (!opt.check)
        messages = UINT64_MAX; // somebody publishes meanwhile
    if (opt.prefetch)
        link_prefetch(&l, opt.prefetch);
    struct server_use use = use_begin(opt.server_pid);
    int64_t start = now_ns();
    link_raw(&l);
    link_put_consume(&l, opt.queue, opt.prefetch == 0);
    consumer_run(&c, messages, opt.check ? -1 : start + (int64_t)(opt.seconds * 1e9));
    consumer_figures(&c, (double)(now_ns() - start) / 1e9);
    use_end(use, (int64_t)c.bytes);
    if (!opt.check || l.in.start != l.in.end)
        exit(0); // the connection just ends
    link_library(&l);
    if (opt.prefetch)
        figure("left", link_count(&l, opt.queue));
    link_close(&l);
}

static void mode_delete(void)
{
    struct link l = {0};
    link_open(&l, opt.server, opt.user, opt.vhost);
    for (int i = 0; i < opt.queues; i++) {
        char *name = queue_name(i);
        link_delete(&l, name);
        free(name);
    }
    link_close(&l);
}

static void mode_connect(void)
{
    long before_kb = proc_status_kb(opt.server_pid, "VmRSS:");
    struct link *links = calloc((size_t)opt.connections, sizeof *links);
    if (!links)
        die("no memory");
    for (int i = 0; i < opt.connections; i++)
        link_open(&links[i], opt.server, opt.user, opt.vhost);
    usleep(2000000);
    long after_kb = proc_status_kb(opt.server_pid, "VmRSS:");
    figure("connections", opt.connections);
    figure("rss_before_mb", (double)before_kb / 1024);
    figure("rss_after_mb", (double)after_kb / 1024);
    figure("kb_per_connection", (double)(after_kb - before_kb) / opt.connections);
    for (int i = 0; i < opt.connections; i++)
        link_close(&links[i]);
    free(links);
}

// ---- the generator's own limit

static void limit_publish(const char *name, uint64_t window, size_t size_bytes)
{
    struct link l = {0};
    struct publisher p;
    const struct sink_options options = {.cpu = opt.sink_cpu, .confirm = window > 0};
    struct sink *sink = sink_start(&l, &options);
    opt.window = window;
    opt.size_bytes = size_bytes;
    link_raw(&l);
    publisher_init(&p, &l);
    publisher_run(&p);
    figure(name, (double)p.sent / ((double)(now_ns() - p.start_ns) / 1e9));
    if (window)
        free(p.latencies.ns);
    publisher_free(&p);
    sink_stop(sink, &l);
}

static void limit_consume(const char *name, uint16_t prefetch, size_t size_bytes)
{
    struct link l = {0};
    struct consumer c = {.link = &l};
    const struct sink_options options = {
        .cpu = opt.sink_cpu, .prefetch = prefetch, .deliver_bytes = size_bytes};
    struct sink *sink = sink_start(&l, &options);
    opt.prefetch = prefetch;
    link_raw(&l);
    int64_t start = now_ns();
    consumer_run(&c, UINT64_MAX, start + (int64_t)(opt.seconds * 1e9));
    figure(name, (double)c.got / ((double)(now_ns() - start) / 1e9));
    sink_stop(sink, &l);
}

static void mode_limit(void)
{
    limit_publish("generator_window200_1kb_per_s", 200, 1000);
    limit_publish("generator_one_at_a_time_per_s", 1, 1000);
    limit_publish("generator_unconfirmed_256b_per_s", 0, 256);
    limit_consume("generator_consume_prefetch8_per_s", 8, 1000);
    limit_consume("generator_consume_prefetch200_per_s", 200, 1000);
}

// ---- options

static void option(const char *name, const char *value)
{
    const struct {
        const char *name;
        const char **text;
        double *number;
        bool *flag;
    } simple[] = {{.name = "--server", .text = &opt.server},
                  {.name = "--user", .text = &opt.user},
                  {.name = "--vhost", .text = &opt.vhost},
                  {.name = "--queue", .text = &opt.queue},
                  {.name = "--seconds", .number = &opt.seconds},
                  {.name = "--rate", .number = &opt.rate},
                  {.name = "--settle", .number = &opt.settle_s},
                  {.name = "--durable", .flag = &opt.durable},
                  {.name = "--persistent", .flag = &opt.persistent},
                  {.name = "--check", .flag = &opt.check}};
    for (size_t i = 0; i < sizeof simple / sizeof *simple; i++) {
        if (strcmp(name, simple[i].name) != 0)
            continue;
        if (simple[i].text)
            *simple[i].text = value;
        else if (simple[i].number)
            *simple[i].number = strtod(value, NULL);
        else
            *simple[i].flag = strcmp(value, "on") == 0;
        return;
    }
    double number = strtod(value, NULL);
    if (strcmp(name, "--queues") == 0 && number >= 1)
        opt.queues = (int)number;
    else if (strcmp(name, "--connections") == 0 && number >= 1)
        opt.connections = (int)number;
    else if (strcmp(name, "--size") == 0 && number >= 1)
        opt.size_bytes = (size_t)number;
    else if (strcmp(name, "--messages") == 0)
        opt.messages = (uint64_t)number;
    else if (strcmp(name, "--window") == 0)
        opt.window = (uint64_t)number;
    else if (strcmp(name, "--prefetch") == 0)
        opt.prefetch = (uint16_t)number;
    else if (strcmp(name, "--pid") == 0)
        opt.server_pid = (int)number;
    else if (strcmp(name, "--sink-cpu") == 0)
        opt.sink_cpu = (int)number;
    else
        die("%s %s is not understood", name, value);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } modes[] = {{"publish", mode_publish},
                 {"consume", mode_consume},
                 {"delete", mode_delete},
                 {"connect", mode_connect},
                 {"limit", mode_limit}};
    if (argc < 2 || argc % 2)
        die("publish|consume|delete|connect|limit [--server --user --vhost --queue --queues --size "
            "--window "
            "--prefetch --seconds --messages --rate --settle --durable on|off --persistent on|off "
            "--check on|off --pid --sink-cpu]");
    for (int i = 2; i + 1 < argc; i += 2)
        option(argv[i], argv[i + 1]);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(argv[1], modes[i].name) == 0) {
            modes[i].run();
            return 0;
        }
    die("no mode %s", argv[1]);
}
