// SPDX-License-Identifier: Apache-2.0
//
// The story: start a server, publish a listening log with several producers, read it with a group
// of three, kill one consumer and then the server, start it again, and count at the end what
// arrived. Then the second act (tasks.c), and the page.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>

#include "demo.h"

struct listener {
    int pid, fd;
    size_t filled;
    uint8_t bytes[65536];
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// ---- the topic

static void topic_create(const char *brokers)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, sizeof why);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_NewTopic_t *topic =
        rd_kafka_NewTopic_new(DEMO_TOPIC, DEMO_PARTITIONS, 1, why, sizeof why);
    rd_kafka_NewTopic_set_config(topic, "retention.ms", "-1"); // the plays are years old
    rd_kafka_CreateTopics(rk, &topic, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 10000);
    size_t count = 0;
    const rd_kafka_CreateTopics_result_t *result =
        event != NULL ? rd_kafka_event_CreateTopics_result(event) : NULL;
    const rd_kafka_topic_result_t **topics =
        result != NULL ? rd_kafka_CreateTopics_result_topics(result, &count) : NULL;
    if (count != 1 || rd_kafka_topic_result_error(topics[0]) != 0) {
        fprintf(stderr, "demo: the topic could not be created: %s\n",
                count == 1 ? rd_kafka_topic_result_error_string(topics[0]) : "no answer");
        exit(1);
    }
    rd_kafka_event_destroy(event);
    rd_kafka_NewTopic_destroy(topic);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
}

// ---- listeners

static void listener_start(struct listener *l, const char *self, const char *brokers,
                           const char *group)
{
    int fds[2];
    char fd_text[16];
    if (pipe(fds) != 0)
        exit(1);
    l->filled = 0;
    l->pid = fork();
    if (l->pid == 0) {
        close(fds[0]);
        snprintf(fd_text, sizeof fd_text, "%d", fds[1]);
        execl(self, self, "listen", brokers, fd_text, group, (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    fcntl(fds[0], F_SETFD, FD_CLOEXEC);
    l->fd = fds[0];
}

static bool listener_read(struct listener *l, struct ledger *ledger)
{
    ssize_t n = read(l->fd, l->bytes + l->filled, sizeof l->bytes - l->filled);
    if (n <= 0)
        return false;
    l->filled += (size_t)n;
    size_t whole = l->filled / sizeof(struct heard);
    for (size_t i = 0; i < whole; i++) {
        struct heard h;
        memcpy(&h, l->bytes + i * sizeof h, sizeof h);
        ledger_note(ledger, &h);
    }
    size_t used = whole * sizeof(struct heard);
    memmove(l->bytes, l->bytes + used, l->filled - used);
    l->filled -= used;
    return true;
}

static void listeners_read(struct listener *ls, size_t count, struct ledger *ledger, int wait_ms)
{
    struct pollfd polls[DEMO_CONSUMERS];
    for (size_t i = 0; i < count; i++)
        polls[i] = (struct pollfd){.fd = ls[i].fd, .events = POLLIN};
    if (poll(polls, count, wait_ms) <= 0)
        return;
    for (size_t i = 0; i < count; i++)
        if (polls[i].revents != 0)
            for (int n = 0; n < 8 && listener_read(&ls[i], ledger); n++) {
            }
}

static void listener_end(struct listener *l, int signal)
{
    kill(l->pid, signal);
    waitpid(l->pid, NULL, 0);
}

// ---- publishers

static uint64_t acknowledged(struct publisher *ps)
{
    uint64_t sum = 0;
    for (int i = 0; i < DEMO_PRODUCERS; i++)
        sum += ps[i].acknowledged;
    return sum;
}

static void publishers_start(struct publisher *ps, struct story *s, const char *brokers,
                             uint64_t total, uint32_t *sequence)
{
    static const char *const codecs[DEMO_PRODUCERS] = {"gzip", "snappy", "lz4", "zstd"};
    for (int i = 0; i < DEMO_PRODUCERS; i++) {
        ps[i].plays = &s->plays;
        ps[i].brokers = brokers;
        ps[i].codec = codecs[i];
        ps[i].index = i;
        ps[i].total = total;
        ps[i].sequence = sequence;
        pthread_create(&ps[i].thread, NULL, publish, &ps[i]);
    }
}

static void publishers_join(struct publisher *ps, struct story *s)
{
    for (int i = 0; i < DEMO_PRODUCERS; i++) {
        pthread_join(ps[i].thread, NULL);
        s->sent += ps[i].sent;
        s->acknowledged += ps[i].acknowledged;
        s->failed += ps[i].failed;
        s->bytes_in += ps[i].bytes;
    }
}

// ---- acts

struct stage {
    struct story *story;
    struct server *server;
    struct publisher publishers[DEMO_PRODUCERS];
    struct listener listeners[DEMO_CONSUMERS];
    uint64_t total;
};

static void kills(struct stage *st)
{
    struct story *s = st->story;
    uint64_t acked = acknowledged(st->publishers);
    if (s->consumer_killed_at == 0 && acked > st->total / 3) {
        s->consumer_killed_at = acked;
        progress("kill -9 of a consumer after %llu records", (unsigned long long)acked);
        listener_end(&st->listeners[1], SIGKILL);
    }
    if (s->server_killed_at == 0 && acked > st->total / 2) {
        s->server_killed_at = acked;
        progress("kill -9 of the server after %llu records, and a new start",
                 (unsigned long long)acked);
        server_kill(st->server);
        s->restart_ms = server_start(st->server);
    }
}

static void act_publish_and_listen(struct stage *st)
{
    struct story *s = st->story;
    double begin = now_s();
    double told = begin;
    double last_news = begin;
    uint64_t last_read = 0;
    while (s->group.read - s->group.again < st->total && now_s() - last_news < 30) {
        kills(st);
        listeners_read(st->listeners, DEMO_CONSUMERS, &s->group, 50);
        uint64_t acked = acknowledged(st->publishers);
        if (acked == st->total && s->publish_s == 0)
            s->publish_s = now_s() - begin;
        if (s->group.read != last_read)
            last_news = now_s();
        last_read = s->group.read;
        if (now_s() - told < 0.5)
            continue;
        told = now_s();
        progress("%5.1f s  published %llu  read %llu", told - begin, (unsigned long long)acked,
                 (unsigned long long)s->group.read);
    }
    publishers_join(st->publishers, s);
    s->all_s = now_s() - begin;
    if (s->publish_s == 0)
        s->publish_s = s->all_s;
    for (int i = 0; i < DEMO_CONSUMERS; i++)
        if (i != 1 || s->consumer_killed_at == 0)
            listener_end(&st->listeners[i], SIGTERM);
}

static void act_audit(struct stage *st, const char *self)
{
    struct story *s = st->story;
    struct listener l;
    double last_news = now_s();
    uint64_t last = 0;
    progress("reading the whole log once more, to count it");
    listener_start(&l, self, st->server->brokers, "audit");
    while (s->audit.read < s->sent && now_s() - last_news < 15) {
        listeners_read(&l, 1, &s->audit, 100);
        if (s->audit.read != last)
            last_news = now_s();
        last = s->audit.read;
    }
    listeners_read(&l, 1, &s->audit, 500); // anything beyond would be a duplicate
    listener_end(&l, SIGTERM);
}

static void syncs_ask(struct story *s, const struct server *server)
{
    char command[512];
    char line[256];
    snprintf(s->syncs, sizeof s->syncs, "not told");
    snprintf(command, sizeof command, "%s status --kafka %s 2>/dev/null", server->weir,
             server->brokers);
    FILE *f = popen(command, "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "journal.syncs.per.second\t", 25) == 0)
            snprintf(s->syncs, sizeof s->syncs, "%.*s", (int)strcspn(line + 25, "\t\n"), line + 25);
    if (f != NULL)
        pclose(f);
}

static int story_run(const char *self, struct server *server, uint64_t total, const char *python)
{
    static struct story s;
    static struct stage st;
    char home[300];
    static uint32_t sequence[STATIONS_MAX];
    st.story = &s;
    st.server = server;
    st.total = total;
    plays_load(&s.plays);
    ledger_init(&s.group, total, s.plays.artists_count);
    ledger_init(&s.audit, total, s.plays.artists_count);
    progress("%llu plays: %s", (unsigned long long)total, s.plays.source);
    s.start_ms = server_start(server);
    topic_create(server->brokers);
    for (int i = 0; i < DEMO_CONSUMERS; i++)
        listener_start(&st.listeners[i], self, server->brokers, DEMO_GROUP);
    publishers_start(st.publishers, &s, server->brokers, total, sequence);
    act_publish_and_listen(&st);
    s.lost_by_group = ledger_missing(&s.group, sequence, s.plays.stations_count);
    syncs_ask(&s, server);
    act_audit(&st, self);
    s.lost_in_log = ledger_missing(&s.audit, sequence, s.plays.stations_count);
    s.tasks.python = python;
    snprintf(home, sizeof home, "%s.shop", server->dir);
    if (python[0] != '\0')
        tasks_play(&s.tasks, server, home);
    server_stop(server);
    s.peak_kib = server->peak_kib;
    return page_print(&s) ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 5 && strcmp(argv[1], "listen") == 0)
        return listen_main(argv[2], atoi(argv[3]), argv[4]);
    static struct server server;
    if (argc != 6 || strcmp(argv[1], "play") != 0) {
        fprintf(stderr, "usage: %s play WEIR DIR RECORDS PYTHON\n", argv[0]);
        return 64;
    }
    signal(SIGPIPE, SIG_IGN);
    server.weir = argv[2];
    snprintf(server.dir, sizeof server.dir, "%s/data", argv[3]);
    snprintf(server.addr_file, sizeof server.addr_file, "%s/addresses", argv[3]);
    return story_run(argv[0], &server, strtoull(argv[4], NULL, 10), argv[5]);
}
