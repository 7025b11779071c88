// SPDX-License-Identifier: Apache-2.0
//
// The readers: a consumer group of two members that lives through all rounds and commits what it
// has read, the watch over the offsets it committed, and the audit, which reads every partition
// from its first record to its last after the last round.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash.h"

#define COMMIT_EVERY_MS 400 // rarer than checkpoints, so that offsets must outlive one

static uint32_t topic_index(const char *name)
{
    for (uint32_t i = 0; i < TOPICS; i++)
        if (strcmp(topic_names[i], name) == 0)
            return i;
    fail("a record of a topic '%s'", name);
}

static rd_kafka_t *consumer_open(const struct run *r,
                                 void (*rebalance)(rd_kafka_t *, rd_kafka_resp_err_t,
                                                   rd_kafka_topic_partition_list_t *, void *),
                                 void *opaque)
{
    char why[256];
    rd_kafka_conf_t *conf = client_conf(r);
    rd_kafka_conf_set(conf, "group.id", GROUP, why, sizeof why);
    rd_kafka_conf_set(conf, "enable.auto.commit", "false", why, sizeof why);
    rd_kafka_conf_set(conf, "auto.offset.reset", "earliest", why, sizeof why);
    rd_kafka_conf_set(conf, "session.timeout.ms", "6000", why, sizeof why);
    rd_kafka_conf_set(conf, "heartbeat.interval.ms", "500", why, sizeof why);
    rd_kafka_conf_set(conf, "fetch.error.backoff.ms", "20", why, sizeof why);
    rd_kafka_conf_set(conf, "queued.max.messages.kbytes", "16384", why, sizeof why);
    if (rebalance != NULL)
        rd_kafka_conf_set_rebalance_cb(conf, rebalance);
    rd_kafka_conf_set_opaque(conf, opaque);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
    if (rk == NULL)
        fail("no consumer: %s", why);
    rd_kafka_poll_set_consumer(rk);
    return rk;
}

// ---- members

struct member {
    struct run *run;
    rd_kafka_t *rk;
    int64_t next[TOPICS][PARTITIONS]; // to commit; -1: nothing read since it was assigned
};

static void rebalanced(rd_kafka_t *rk, rd_kafka_resp_err_t err,
                       rd_kafka_topic_partition_list_t *list, void *opaque)
{
    struct member *m = opaque;
    memset(m->next, 0xff, sizeof m->next);
    rd_kafka_assign(rk, err == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS ? list : NULL);
}

static void note_committed(struct run *r, const rd_kafka_topic_partition_list_t *list)
{
    pthread_mutex_lock(&r->offsets_lock);
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *tp = &list->elems[i];
        int64_t *known = &r->committed[topic_index(tp->topic)][tp->partition];
        if (tp->err == 0 && tp->offset > *known)
            *known = tp->offset;
    }
    pthread_mutex_unlock(&r->offsets_lock);
    r->commits++;
}

static void member_commit(struct member *m)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(4);
    for (uint32_t t = 0; t < TOPICS; t++)
        for (int32_t p = 0; p < PARTITIONS; p++)
            if (m->next[t][p] >= 0)
                rd_kafka_topic_partition_list_add(list, topic_names[t], p)->offset = m->next[t][p];
    // While the server is away this waits for it or fails; what it fails to commit is read again.
    if (list->cnt > 0 && rd_kafka_commit(m->rk, list, 0) == 0)
        note_committed(m->run, list);
    rd_kafka_topic_partition_list_destroy(list);
}

static void *consume(void *arg)
{
    struct member *m = arg;
    uint64_t committed_at = now_ms();
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(TOPICS);
    memset(m->next, 0xff, sizeof m->next);
    for (uint32_t t = 0; t < TOPICS; t++)
        rd_kafka_topic_partition_list_add(topics, topic_names[t], RD_KAFKA_PARTITION_UA);
    rd_kafka_subscribe(m->rk, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    while (!m->run->group_ends) {
        rd_kafka_message_t *msg = rd_kafka_consumer_poll(m->rk, 50);
        if (msg != NULL && msg->err == 0 && ledger_heard(&m->run->ledger, msg))
            m->next[topic_index(rd_kafka_topic_name(msg->rkt))][msg->partition] = msg->offset + 1;
        if (msg != NULL)
            rd_kafka_message_destroy(msg);
        if (now_ms() - committed_at > COMMIT_EVERY_MS) {
            member_commit(m);
            committed_at = now_ms();
        }
    }
    rd_kafka_consumer_close(m->rk);
    rd_kafka_destroy(m->rk);
    free(m);
    return NULL;
}

void group_start(struct run *r)
{
    for (uint32_t i = 0; i < CONSUMERS; i++) {
        struct member *m = calloc(1, sizeof *m);
        m->run = r;
        m->rk = consumer_open(r, rebalanced, m);
        pthread_create(&r->consumers[i], NULL, consume, m);
    }
}

void group_end(struct run *r)
{
    r->group_ends = true;
    for (uint32_t i = 0; i < CONSUMERS; i++)
        pthread_join(r->consumers[i], NULL);
}

// ---- the watch

// Asked of the server by a client of the group that is not a member. Everything the server had
// answered for before the question must still be there.
void group_watch(struct run *r)
{
    int64_t floor[TOPICS][PARTITIONS];
    pthread_mutex_lock(&r->offsets_lock);
    memcpy(floor, r->committed, sizeof floor);
    pthread_mutex_unlock(&r->offsets_lock);
    rd_kafka_t *rk = consumer_open(r, NULL, NULL);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(TOPICS * PARTITIONS);
    for (uint32_t t = 0; t < TOPICS; t++)
        rd_kafka_topic_partition_list_add_range(list, topic_names[t], 0, PARTITIONS - 1);
    rd_kafka_resp_err_t err = rd_kafka_committed(rk, list, 20000);
    if (err != 0)
        fail("the group's offsets cannot be read: %s", rd_kafka_err2str(err));
    for (int i = 0; i < list->cnt; i++) {
        const rd_kafka_topic_partition_t *tp = &list->elems[i];
        int64_t known = floor[topic_index(tp->topic)][tp->partition];
        if (tp->err == 0 && tp->offset >= known)
            continue;
        if (tp->err == 0 && tp->offset < 0 && known == 0)
            continue;
        r->commits_back++;
        (void)fprintf(stderr, "crash: %s-%d: offset %lld, but %lld was committed\n", tp->topic,
                      tp->partition, (long long)tp->offset, (long long)known);
    }
    note_committed(r, list); // what is seen once must stay as well
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_destroy(rk);
}

// ---- the audit

static void audit_partition(struct run *r, rd_kafka_t *rk, uint32_t topic, int32_t partition)
{
    int64_t low = 0;
    int64_t high = 0;
    rd_kafka_resp_err_t err =
        rd_kafka_query_watermark_offsets(rk, topic_names[topic], partition, &low, &high, 20000);
    if (err != 0)
        fail("%s-%d: no watermarks: %s", topic_names[topic], partition, rd_kafka_err2str(err));
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic_names[topic], partition)->offset = low;
    rd_kafka_assign(rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    r->ledger.holes += low != 0;
    uint64_t heard_at = now_ms();
    for (int64_t next = low; next < high;) {
        rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, 200);
        if (m != NULL && m->err == 0 && m->partition == partition) {
            r->ledger.holes += m->offset != next;
            next = m->offset + 1;
            ledger_found(&r->ledger, m);
            heard_at = now_ms();
        }
        if (m != NULL)
            rd_kafka_message_destroy(m);
        if (now_ms() - heard_at > 20000)
            fail("%s-%d: nothing comes after offset %lld of %lld", topic_names[topic], partition,
                 (long long)next, (long long)high);
    }
}

void audit(struct run *r)
{
    rd_kafka_t *rk = consumer_open(r, NULL, NULL);
    for (uint32_t t = 0; t < TOPICS; t++)
        for (int32_t p = 0; p < PARTITIONS; p++)
            audit_partition(r, rk, t, p);
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
}
