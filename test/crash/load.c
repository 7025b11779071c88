// SPDX-License-Identifier: Apache-2.0
//
// The producers: idempotent, acks=all, patient without end, so that every record is acknowledged in
// the end or refused for good, and a refusal is a fault. They differ in codec, size and haste, so
// that the journal sees single small batches, crowds of them, and partitions with so much at once
// that they go straight to their segment.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crash.h"

static const struct manner {
    const char *codec, *linger_ms;
    uint32_t len_min, len_max;
    uint32_t share; // of the bytes, in percent
} manners[PRODUCERS] = {
    {"none", "0", 16, 200, 4},     {"lz4", "5", 200, 2000, 16},  {"none", "30", 20000, 200000, 50},
    {"zstd", "10", 500, 8000, 16}, {"snappy", "2", 100, 600, 8}, {"gzip", "5", 100, 600, 6},
};

struct producer {
    struct run *run;
    uint32_t index;
    uint64_t random;
    rd_kafka_t *rk;
};

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
    struct producer *p = opaque;
    uint64_t id = (uint64_t)(uintptr_t)m->_private;
    (void)rk;
    ledger_answer(&p->run->ledger, (uint32_t)(id >> 32), (uint32_t)id,
                  m->err == 0 ? NULL : rd_kafka_err2str(m->err));
}

static void producer_open(struct producer *p)
{
    char why[256];
    const struct manner *manner = &manners[p->index];
    rd_kafka_conf_t *conf = client_conf(p->run);
    rd_kafka_conf_set(conf, "enable.idempotence", "true", why, sizeof why);
    rd_kafka_conf_set(conf, "compression.codec", manner->codec, why, sizeof why);
    rd_kafka_conf_set(conf, "linger.ms", manner->linger_ms, why, sizeof why);
    rd_kafka_conf_set(conf, "message.timeout.ms", "0", why, sizeof why);
    rd_kafka_conf_set(conf, "retry.backoff.ms", "20", why, sizeof why);
    rd_kafka_conf_set(conf, "queue.buffering.max.kbytes", "16384", why, sizeof why);
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_conf_set_opaque(conf, p);
    p->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (p->rk == NULL)
        fail("no producer: %s", why);
}

static uint32_t send_one(struct producer *p, uint8_t *value)
{
    const struct manner *manner = &manners[p->index];
    uint64_t x = next_random(&p->random);
    uint32_t len = manner->len_min + (uint32_t)(x % (manner->len_max - manner->len_min));
    uint32_t topic = (uint32_t)(x >> 40) % TOPICS;
    uint32_t slot = slot_of(p->index, topic, (uint32_t)(x >> 48) % KEYS_PER_PRODUCER);
    uint32_t number = ledger_send(&p->run->ledger, slot, len);
    char key[16];
    int key_len = snprintf(key, sizeof key, "k%u", slot);
    value_fill(value, len, slot, number);
    void *id = (void *)(uintptr_t)((uint64_t)slot << 32 | number);
    for (;;) {
        rd_kafka_resp_err_t err = rd_kafka_producev(
            p->rk, RD_KAFKA_V_TOPIC(topic_names[topic]), RD_KAFKA_V_PARTITION(slot_partition(slot)),
            RD_KAFKA_V_KEY(key, (size_t)key_len), RD_KAFKA_V_VALUE(value, len),
            RD_KAFKA_V_OPAQUE(id), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
        if (err == 0)
            return len;
        if (err != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            ledger_answer(&p->run->ledger, slot, number, rd_kafka_err2str(err));
            return len;
        }
        rd_kafka_poll(p->rk, 10);
    }
}

static void *produce(void *arg)
{
    struct producer *p = arg;
    uint8_t *value = malloc(manners[p->index].len_max);
    uint64_t per_s = (uint64_t)p->run->bytes_per_s * manners[p->index].share / 100;
    uint64_t began = now_ms();
    uint64_t bytes = 0;
    while (!p->run->load_ends) {
        // What could not be sent while the server was down is not made up for: the queue in the
        // client is the burst.
        uint64_t due = (now_ms() - began) * per_s / 1000;
        if (bytes + per_s < due)
            bytes = due - per_s;
        if (bytes >= due)
            rd_kafka_poll(p->rk, 5);
        else
            bytes += send_one(p, value);
    }
    while (rd_kafka_flush(p->rk, 500) == RD_KAFKA_RESP_ERR__TIMED_OUT)
        continue;
    rd_kafka_destroy(p->rk);
    free(value);
    free(p);
    return NULL;
}

void load_start(struct run *r)
{
    for (uint32_t i = 0; i < PRODUCERS; i++) {
        struct producer *p = calloc(1, sizeof *p);
        p->run = r;
        p->index = i;
        p->random = r->seed * 31 + i + 1;
        producer_open(p);
        pthread_create(&r->producers[i], NULL, produce, p);
    }
}

void load_end(struct run *r)
{
    r->load_ends = true;
    for (uint32_t i = 0; i < PRODUCERS; i++)
        pthread_join(r->producers[i], NULL);
}
