// SPDX-License-Identifier: Apache-2.0
//
// A publisher: one librdkafka producer with its own codec, idempotent, keyed by station, with the
// plays' own timestamps. Each station belongs to one publisher, so that the numbers it gives a
// station's plays must come out in that order.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

#include "demo.h"

#define WEEK_MS INT64_C(604800000)

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct publisher *p = opaque;
    (void)rk;
    if (m->err == 0)
        p->acknowledged++;
    else
        p->failed++;
}

static rd_kafka_t *producer_make(struct publisher *p)
{
    char why[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", p->brokers, why, sizeof why);
    rd_kafka_conf_set(conf, "enable.idempotence", "true", why, sizeof why);
    rd_kafka_conf_set(conf, "compression.codec", p->codec, why, sizeof why);
    rd_kafka_conf_set(conf, "log_level", "0", why,
                      sizeof why); // the server will be killed on purpose
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_conf_set_opaque(conf, p);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (rk == NULL) {
        fprintf(stderr, "demo: no producer: %s\n", why);
        exit(1);
    }
    return rk;
}

static void play_send(struct publisher *p, rd_kafka_t *rk, const struct play *play, int64_t week)
{
    char value[1024];
    const struct plays *ps = p->plays;
    const char *station = ps->stations[play->station];
    int64_t ts = play->ts_ms + week * WEEK_MS;
    uint32_t number = p->sequence[play->station]++;
    int len = snprintf(value, sizeof value,
                       "{\"station\":%u,\"number\":%u,\"artist\":%u,\"ts\":%lld,\"by\":\"%s\","
                       "\"song\":\"%s\",\"artist_name\":\"%s\"}",
                       play->station, number, play->artist, (long long)ts, station,
                       ps->songs[play->song], ps->artists[play->artist]);
    for (;;) {
        rd_kafka_resp_err_t err = rd_kafka_producev(
            rk, RD_KAFKA_V_TOPIC(DEMO_TOPIC), RD_KAFKA_V_KEY(station, strlen(station)),
            RD_KAFKA_V_VALUE(value, (size_t)len), RD_KAFKA_V_TIMESTAMP(ts),
            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
        if (err != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            break;
        rd_kafka_poll(rk, 20); // the server is slower than we are, or being killed: wait
    }
    p->sent++;
    p->bytes += (uint64_t)len + strlen(station);
}

void *publish(void *publisher)
{
    struct publisher *p = publisher;
    rd_kafka_t *rk = producer_make(p);
    // The weeks lie behind the real one: timestamps in the future would be refused.
    int64_t weeks = (int64_t)((p->total + p->plays->count - 1) / p->plays->count);
    for (int64_t w = 0; w < weeks; w++) {
        for (size_t i = 0; i < p->plays->count; i++) {
            const struct play *play = &p->plays->items[i];
            if ((uint64_t)w * p->plays->count + i >= p->total)
                break;
            if (play->station % DEMO_PRODUCERS != p->index)
                continue;
            play_send(p, rk, play, w - weeks + 1);
            if ((p->sent & 1023) == 0)
                rd_kafka_poll(rk, 0);
        }
    }
    while (rd_kafka_flush(rk, 500) == RD_KAFKA_RESP_ERR__TIMED_OUT) {
    }
    rd_kafka_destroy(rk);
    return NULL;
}
