// SPDX-License-Identifier: Apache-2.0
//
// The rounds: start, wait a random while under load, kill -9, again. Every fifth round the server
// is killed while it recovers, or shortly after. At the end everything is read and the books are
// closed. One line sums it up; the exit status is the verdict.
//
//   crash --weir PATH --dir DIR [--rounds N] [--shards N] [--rate BYTES_PER_S] [--seed N]
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queues.h"

#define UP_MIN_MS    100
#define UP_SPREAD_MS 1100

const char *const topic_names[TOPICS] = {"rolling", "plain"};
static struct run *running; // for fail(), which must not leave a server behind

void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fputs("crash: ", stderr);
    (void)vfprintf(stderr, format, args);
    (void)fputc('\n', stderr);
    va_end(args);
    if (running != NULL)
        server_kill(running);
    _exit(1);
}

uint64_t next_random(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

rd_kafka_conf_t *client_conf(const struct run *r)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", r->brokers, why, sizeof why);
    rd_kafka_conf_set(conf, "reconnect.backoff.ms", "10", why, sizeof why);
    rd_kafka_conf_set(conf, "reconnect.backoff.max.ms", "100", why, sizeof why);
    rd_kafka_conf_set(conf, "log_level", "0", why, sizeof why); // the server dies on purpose
    return conf;
}

static void topics_create(struct run *r)
{
    char why[256];
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, client_conf(r), why, sizeof why);
    rd_kafka_NewTopic_t *topics[TOPICS];
    for (uint32_t t = 0; t < TOPICS; t++) {
        topics[t] = rd_kafka_NewTopic_new(topic_names[t], PARTITIONS, 1, why, sizeof why);
        rd_kafka_NewTopic_set_config(topics[t], "retention.ms", "-1");
    }
    rd_kafka_NewTopic_set_config(topics[0], "segment.bytes", "1048576");
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_CreateTopics(rk, topics, TOPICS, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 20000);
    if (event == NULL || rd_kafka_event_error(event) != 0)
        fail("topics cannot be created");
    size_t count = 0;
    const rd_kafka_topic_result_t **results =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
    for (size_t i = 0; i < count; i++)
        if (rd_kafka_topic_result_error(results[i]) != 0)
            fail("topic %s: %s", rd_kafka_topic_result_name(results[i]),
                 rd_kafka_topic_result_error_string(results[i]));
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    for (uint32_t t = 0; t < TOPICS; t++)
        rd_kafka_NewTopic_destroy(topics[t]);
    rd_kafka_destroy(rk);
}

// ---- the rounds

static void server_up(struct run *r)
{
    if (!server_start(r) || !server_wait(r))
        fail("the server does not start");
}

static void sleep_ms(uint64_t ms)
{
    (void)usleep((useconds_t)ms * 1000);
}

static void round_run(struct run *r, uint32_t number)
{
    if (number % 5 == 4) {
        (void)server_start(r);
        sleep_ms(next_random(&r->random) % 60);
        r->killed_early++;
    } else {
        server_up(r);
        group_watch(r);
        sleep_ms(UP_MIN_MS + next_random(&r->random) % UP_SPREAD_MS);
    }
    if (!server_alive(r))
        fail("round %u of seed %llu", number, (unsigned long long)r->seed);
    server_kill(r);
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static bool everything_heard(struct run *r)
{
    pthread_mutex_lock(&r->ledger.lock);
    bool all = true;
    for (uint32_t i = 0; i < SLOTS && all; i++)
        all = r->ledger.slots[i].sent == 0 ||
              memchr(r->ledger.slots[i].heard, 0, r->ledger.slots[i].sent) == NULL;
    pthread_mutex_unlock(&r->ledger.lock);
    return all;
}

static bool queues_verdict(const struct run *r)
{
    const struct queue_totals t = queues_totals();
    (void)printf(
        "shards %u: queues: %llu messages sent, %llu confirmed, %llu delivered, %llu of them "
        "again, "
        "%llu durably acknowledged; %llu lost, %llu came back, %llu unflagged, %llu nacked\n",
        r->shards, (unsigned long long)t.sent, (unsigned long long)t.confirmed,
        (unsigned long long)t.delivered, (unsigned long long)t.again,
        (unsigned long long)t.durable_acks, (unsigned long long)t.lost, (unsigned long long)t.back,
        (unsigned long long)t.unflagged, (unsigned long long)t.nacked);
    return t.lost + t.back + t.unflagged + t.alien + t.nacked == 0 && t.confirmed > 0 &&
           t.durable_acks > 0;
}

static bool verdict(struct run *r, int stop_status)
{
    struct ledger *l = &r->ledger;
    qsort(r->restart_ms, r->restarts, sizeof r->restart_ms[0], by_value);
    (void)printf(
        "shards %u: %u rounds, %llu records acknowledged (%.1f MB), %llu lost, %llu duplicated, "
        "%llu reordered, restart %u ms median %u ms max\n",
        r->shards, r->rounds, (unsigned long long)l->acknowledged, (double)l->bytes / 1e6,
        (unsigned long long)l->lost, (unsigned long long)l->duplicated,
        (unsigned long long)l->reordered, r->restarts > 0 ? r->restart_ms[r->restarts / 2] : 0,
        r->restarts > 0 ? r->restart_ms[r->restarts - 1] : 0);
    (void)printf(
        "shards %u: %llu refused, %llu never sent, %llu offsets missing, %llu not heard by the "
        "group, %llu commits, %llu went back, %u rounds killed while starting, check of what "
        "the last kill left %d, clean stop %d\n",
        r->shards, (unsigned long long)l->refused, (unsigned long long)l->alien,
        (unsigned long long)l->holes, (unsigned long long)l->unheard,
        (unsigned long long)r->commits, (unsigned long long)r->commits_back, r->killed_early,
        r->check_status, stop_status);
    if (l->refused > 0)
        (void)printf("first refusal: %s\n", l->refusal);
    return queues_verdict(r) &&
           l->lost + l->duplicated + l->reordered + l->refused + l->alien + l->holes + l->unheard +
                   r->commits_back ==
               0 &&
           l->acknowledged == l->sent && l->acknowledged > 0 && r->commits > 0 &&
           r->check_status == 0 && stop_status == 0;
}

static bool run_all(struct run *r)
{
    server_up(r);
    topics_create(r);
    load_start(r);
    group_start(r);
    queues_start(r);
    sleep_ms(UP_MIN_MS + next_random(&r->random) % UP_SPREAD_MS);
    server_kill(r);
    for (uint32_t i = 1; i < r->rounds; i++)
        round_run(r, i);
    server_up(r);
    load_end(r);
    queues_publish_end();
    for (uint64_t began = now_ms();
         (!everything_heard(r) || !queues_drained()) && now_ms() - began < 60000;)
        sleep_ms(50);
    queues_end();
    group_watch(r);
    group_end(r);
    // Once more, so that the audit reads what a recovery made.
    server_kill(r);
    r->check_status = store_check(r);
    server_up(r);
    group_watch(r);
    audit(r);
    ledger_close(&r->ledger);
    return verdict(r, server_stop(r));
}

static void too_long(int signal)
{
    static const char text[] = "crash: no end in sight: given up\n";
    (void)signal;
    (void)!write(2, text, sizeof text - 1);
    if (running->pid > 0)
        (void)kill(running->pid, SIGKILL);
    _exit(1);
}

int main(int argc, char **argv)
{
    struct run *r = calloc(1, sizeof *r);
    r->rounds = 5;
    r->shards = 1;
    r->bytes_per_s = 12000000;
    r->seed = now_ms() * 2654435761U ^ (uint64_t)getpid();
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *name = argv[i];
        const char *value = argv[i + 1];
        if (strcmp(name, "--weir") == 0)
            r->weir = value;
        else if (strcmp(name, "--dir") == 0)
            r->dir = value;
        else if (strcmp(name, "--rounds") == 0)
            r->rounds = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(name, "--shards") == 0)
            r->shards = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(name, "--rate") == 0)
            r->bytes_per_s = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(name, "--seed") == 0)
            r->seed = strtoull(value, NULL, 10);
        else
            fail("there is no option %s", name);
    }
    if (r->weir == NULL || r->dir == NULL || r->rounds == 0)
        fail("usage: crash --weir PATH --dir DIR [--rounds N] [--shards N] [--rate N] [--seed N]");
    running = r;
    r->random = r->seed;
    ledger_init(&r->ledger);
    pthread_mutex_init(&r->offsets_lock, NULL);
    (void)signal(SIGALRM, too_long);
    (void)alarm(120 + r->rounds * 10);
    return run_all(r) ? 0 : 1;
}
