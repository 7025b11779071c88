// SPDX-License-Identifier: Apache-2.0
//
// A listener: one librdkafka consumer of the group in a process of its own, in the default
// configuration but for where to begin. What it reads it tells its parent through a pipe, record by
// record, and it commits as librdkafka does by itself.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>

#include "demo.h"

static volatile sig_atomic_t enough;

static void on_term(int signal)
{
    (void)signal;
    enough = 1;
}

static uint64_t number_after(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at != NULL ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static bool record_tell(const rd_kafka_message_t *m, int out_fd)
{
    char text[1200];
    rd_kafka_timestamp_type_t type;
    size_t len = m->len < sizeof text - 1 ? m->len : sizeof text - 1;
    memcpy(text, m->payload, len);
    text[len] = '\0';
    uint32_t hour = (uint32_t)(rd_kafka_message_timestamp(m, &type) / 3600000 % 24);
    const struct heard h = {
        .offset = m->offset,
        .number = (uint32_t)number_after(text, "\"number\":"),
        .station = (uint16_t)number_after(text, "\"station\":"),
        .partition = (uint16_t)m->partition,
        .hour_artist = hour << 16 | (uint32_t)number_after(text, "\"artist\":"),
        .bytes = (uint32_t)(m->len + m->key_len),
    };
    return write(out_fd, &h, sizeof h) == (ssize_t)sizeof h;
}

int listen_main(const char *brokers, int out_fd, const char *group)
{
    char why[256];

    signal(SIGTERM, on_term);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, sizeof why);
    rd_kafka_conf_set(conf, "group.id", group, why, sizeof why);
    rd_kafka_conf_set(conf, "auto.offset.reset", "earliest", why, sizeof why);
    rd_kafka_conf_set(conf, "session.timeout.ms", "6000", why, sizeof why);
    rd_kafka_conf_set(conf, "log_level", "0", why, sizeof why);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (rk == NULL)
        return 1;
    rd_kafka_poll_set_consumer(rk);
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(topics, DEMO_TOPIC, RD_KAFKA_PARTITION_UA);
    rd_kafka_subscribe(rk, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    bool open = true;
    while (!enough && open) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, 200);
        if (m == NULL)
            continue;
        if (m->err == 0)
            open = record_tell(m, out_fd);
        rd_kafka_message_destroy(m);
    }
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
    return 0;
}
