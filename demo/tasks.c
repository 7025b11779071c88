// SPDX-License-Identifier: Apache-2.0
//
// The second act, seen from the server's side: starts the shop (shop/act.py, which has the tasks,
// Celery's worker and the mailbox), passes on what it says, kills the server when it asks for that,
// and at the end reads the queue with a Kafka consumer as the topic that it is.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>

#include "demo.h"

#define QUEUE "shop"

// ---- the shop

const char *tasks_figure(const struct tasks *t, const char *name)
{
    for (size_t i = 0; i < t->figures_count; i++)
        if (strcmp(t->figures[i].name, name) == 0)
            return t->figures[i].value;
    return "-";
}

uint64_t tasks_number(const struct tasks *t, const char *name)
{
    return strtoull(tasks_figure(t, name), NULL, 10);
}

static void shop_run(const struct tasks *t, const struct server *server, const char *home, int out)
{
    char broker[160];
    snprintf(broker, sizeof broker, "amqp://guest:guest@%s//", server->amqp);
    dup2(out, STDOUT_FILENO);
    setenv("PYTHONPATH", "demo/shop", 1);
    setenv("PYTHONDONTWRITEBYTECODE", "1", 1);
    execl(t->python, t->python, "demo/shop/act.py", home, broker, (char *)NULL);
    _exit(127);
}

static void line_take(struct tasks *t, struct server *server, char *line)
{
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "say ", 4) == 0) {
        progress("%s", line + 4);
        return;
    }
    if (strcmp(line, "kill-server") == 0) {
        server_kill(server);
        t->restart_ms = server_start(server);
        return;
    }
    char *value = strchr(line, ' ');
    if (value == NULL || t->figures_count == sizeof t->figures / sizeof t->figures[0])
        return;
    *value++ = '\0';
    snprintf(t->figures[t->figures_count].name, sizeof t->figures[0].name, "%.31s", line);
    snprintf(t->figures[t->figures_count++].value, sizeof t->figures[0].value, "%.159s", value);
}

static void shop_play(struct tasks *t, struct server *server, const char *home)
{
    int fds[2];
    char line[512];
    if (pipe(fds) != 0)
        exit(1);
    int pid = fork();
    if (pid == 0) {
        close(fds[0]);
        shop_run(t, server, home, fds[1]);
    }
    close(fds[1]);
    FILE *out = fdopen(fds[0], "r");
    while (fgets(line, sizeof line, out) != NULL)
        line_take(t, server, line);
    fclose(out);
    waitpid(pid, NULL, 0);
}

// ---- the queue as a topic

static rd_kafka_t *reader_make(const char *brokers)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, sizeof why);
    rd_kafka_conf_set(conf, "group.id", "curious", why, sizeof why);
    rd_kafka_conf_set(conf, "log_level", "0", why, sizeof why);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (rk != NULL)
        rd_kafka_poll_set_consumer(rk);
    return rk;
}

static int partitions_count(rd_kafka_t *rk)
{
    const struct rd_kafka_metadata *md;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, QUEUE, NULL);
    int count = 0;
    if (rd_kafka_metadata(rk, 0, topic, &md, 10000) == 0) {
        count = md->topic_cnt == 1 ? md->topics[0].partition_cnt : 0;
        rd_kafka_metadata_destroy(md);
    }
    rd_kafka_topic_destroy(topic);
    return count;
}

// Every partition from its beginning; how many records there are.
static uint64_t assign_all(rd_kafka_t *rk, int partitions)
{
    uint64_t records = 0;
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
    for (int32_t p = 0; p < partitions; p++) {
        int64_t low = 0, high = 0;
        rd_kafka_query_watermark_offsets(rk, QUEUE, p, &low, &high, 10000);
        rd_kafka_topic_partition_list_add(list, QUEUE, p)->offset = low;
        records += (uint64_t)(high - low);
    }
    rd_kafka_assign(rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    return records;
}

static void record_show(struct tasks *t, const rd_kafka_message_t *m)
{
    rd_kafka_headers_t *headers;
    const void *task = NULL;
    size_t size = 0;
    bool first = t->records_by_level[m->partition % 16]++ == 0;
    t->records++;
    if (!first || t->samples_count == TASKS_SAMPLES)
        return;
    if (rd_kafka_message_headers(m, &headers) == 0)
        rd_kafka_header_get_last(headers, "task", &task, &size);
    snprintf(t->samples[t->samples_count++], sizeof t->samples[0],
             "partition %d  offset %lld  %.*s  %.*s", m->partition, (long long)m->offset, (int)size,
             task != NULL ? (const char *)task : "", m->len < 72 ? (int)m->len : 72,
             (const char *)m->payload);
}

static void queue_read(struct tasks *t, const char *brokers)
{
    rd_kafka_t *rk = reader_make(brokers);
    if (rk == NULL)
        return;
    t->levels = partitions_count(rk);
    uint64_t records = assign_all(rk, t->levels);
    for (int quiet = 0; t->records < records && quiet < 50;) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, 200);
        quiet = m == NULL ? quiet + 1 : 0;
        if (m != NULL && m->err == 0)
            record_show(t, m);
        if (m != NULL)
            rd_kafka_message_destroy(m);
    }
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
}

void tasks_play(struct tasks *t, struct server *server, const char *home)
{
    shop_play(t, server, home);
    progress("reading the queue with a Kafka consumer");
    queue_read(t, server->brokers);
}
