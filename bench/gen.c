// SPDX-License-Identifier: Apache-2.0
//
// The load generator, on librdkafka, for whichever server speaks Kafka's protocol: the same
// program, the same settings and the same cores for weir and for its peers. Client settings stay at
// librdkafka's defaults (batches, linger, acks=all) but for what a mode is about: `one` and `e2e`
// set linger.ms=0. The server's CPU time and memory are read from /proc around the measured part,
// so that a figure is never a rate alone. Output: one line of two tab-separated columns per figure;
// bench/run.sh makes the tables. Java's own perf tools were rejected: at these rates they measure
// themselves.
#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "figures.h"

struct options {
    const char *server, *topic, *codec, *topic_config;
    int partitions, server_pid;
    size_t size_bytes;
    double seconds, rate;
    int64_t total_bytes, records;
    bool check_crcs;
};

static struct options opt = {.server = "127.0.0.1:9092",
                             .topic = "bench",
                             .codec = "none",
                             .partitions = 1,
                             .size_bytes = 1000,
                             .seconds = 5};

// ---- clients
// -----------------------------------------------------------------------------------------------------

static void conf_set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[256];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof text))
        die("%s", text);
}

static atomic_long delivered, failed, last_error;

static void dr_cb(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque)
{
    (void)rk, (void)opaque;
    if (msg->err) {
        atomic_fetch_add(&failed, 1);
        atomic_store(&last_error, msg->err);
    } else {
        atomic_fetch_add(&delivered, 1);
    }
}

static rd_kafka_t *client_new(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
    char text[256];
    conf_set(conf, "bootstrap.servers", opt.server);
    if (type == RD_KAFKA_PRODUCER) {
        rd_kafka_conf_set_dr_msg_cb(conf, dr_cb);
        if (strcmp(opt.codec, "none") != 0)
            conf_set(conf, "compression.codec", opt.codec);
    }
    rd_kafka_t *rk = rd_kafka_new(type, conf, text, sizeof text);
    if (!rk)
        die("%s", text);
    return rk;
}

static void topic_config_apply(rd_kafka_NewTopic_t *topic)
{
    char buffer[256];
    if (!opt.topic_config)
        return;
    snprintf(buffer, sizeof buffer, "%s", opt.topic_config);
    char *value = strchr(buffer, '=');
    if (!value)
        die("--topic-config wants NAME=VALUE");
    *value++ = 0;
    if (rd_kafka_NewTopic_set_config(topic, buffer, value))
        die("topic config %s", buffer);
}

static int partitions_seen(rd_kafka_t *rk)
{
    const struct rd_kafka_metadata *md;
    int n = 0;
    if (rd_kafka_metadata(rk, 1, NULL, &md, 20000))
        return 0;
    for (int i = 0; i < md->topic_cnt; i++)
        if (strcmp(md->topics[i].topic, opt.topic) == 0 && !md->topics[i].err)
            for (int p = 0; p < md->topics[i].partition_cnt; p++)
                n += md->topics[i].partitions[p].leader >= 0;
    rd_kafka_metadata_destroy(md);
    return n;
}

static void mode_create(void)
{
    char text[256];
    rd_kafka_t *rk = client_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new());
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_NewTopic_t *topic =
        rd_kafka_NewTopic_new(opt.topic, opt.partitions, -1, text, sizeof text);
    if (!topic)
        die("%s", text);
    topic_config_apply(topic);
    rd_kafka_CreateTopics(rk, &topic, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 60000);
    if (!event || rd_kafka_event_error(event))
        die("CreateTopics: %s", event ? rd_kafka_event_error_string(event) : "no answer in 60 s");
    size_t n;
    const rd_kafka_topic_result_t **result =
        rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &n);
    rd_kafka_resp_err_t err = rd_kafka_topic_result_error(result[0]);
    if (err)
        die("CreateTopics: %s", rd_kafka_err2str(err));
    for (int i = 0; partitions_seen(rk) != opt.partitions; i++) {
        if (i == 300)
            die("%s: not all partitions have a leader after 60 s", opt.topic);
        usleep(200000);
    }
    rd_kafka_event_destroy(event);
    rd_kafka_NewTopic_destroy(topic);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
}

static void mode_delete(void)
{
    rd_kafka_t *rk = client_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new());
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_DeleteTopic_t *topic = rd_kafka_DeleteTopic_new(opt.topic);
    rd_kafka_DeleteTopics(rk, &topic, 1, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 60000);
    if (!event || rd_kafka_event_error(event))
        die("DeleteTopics: %s", event ? rd_kafka_event_error_string(event) : "no answer in 60 s");
    rd_kafka_event_destroy(event);
    rd_kafka_DeleteTopic_destroy(topic);
    rd_kafka_queue_destroy(queue);
    rd_kafka_destroy(rk);
}

static char *payload_new(void)
{
    char *payload = malloc(opt.size_bytes < 16 ? 16 : opt.size_bytes);
    uint64_t x = 88172645463325252ULL;
    if (!payload)
        die("no memory");
    for (size_t i = 0; i < opt.size_bytes; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        payload[i] =
            (char)('a' +
                   x % 26); // letters: a codec finds what it would find in text without repeats
    }
    return payload;
}

static bool send_one(rd_kafka_t *rk, int32_t partition, void *payload, int flags)
{
    rd_kafka_resp_err_t err = rd_kafka_producev(
        rk, RD_KAFKA_V_TOPIC(opt.topic), RD_KAFKA_V_PARTITION(partition),
        RD_KAFKA_V_VALUE(payload, opt.size_bytes), RD_KAFKA_V_MSGFLAGS(flags), RD_KAFKA_V_END);
    if (err && err != RD_KAFKA_RESP_ERR__QUEUE_FULL)
        die("produce: %s", rd_kafka_err2str(err));
    return !err;
}

// ---- modes
// --------------------------------------------------------------------------------------------------------

static void delivery_figures(void)
{
    figure("errors", (double)failed);
    if (failed)
        fprintf(stderr, "gen: %ld records failed: %s\n", (long)failed,
                rd_kafka_err2str((rd_kafka_resp_err_t)last_error));
}

static bool produce_done(int64_t sent, int64_t start_ns)
{
    if (opt.total_bytes)
        return sent * (int64_t)opt.size_bytes >= opt.total_bytes;
    return sent % 256 == 0 && (double)(now_ns() - start_ns) / 1e9 >= opt.seconds;
}

static void mode_produce(void)
{
    char *payload = payload_new();
    rd_kafka_t *rk = client_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new());
    if (!partitions_seen(rk)) // connects and learns the topic before the clock starts
        die("%s: no such topic", opt.topic);
    struct server_use use = use_begin(opt.server_pid);
    int64_t start = now_ns(), sent = 0;
    while (!produce_done(sent, start)) {
        while (!send_one(rk, RD_KAFKA_PARTITION_UA, payload, 0))
            rd_kafka_poll(rk, 10);
        if (++sent % 64 == 0)
            rd_kafka_poll(rk, 0);
    }
    if (rd_kafka_flush(rk, 120000))
        die("%d records still queued after 120 s", rd_kafka_outq_len(rk));
    double wall_s = (double)(now_ns() - start) / 1e9;
    int64_t bytes = delivered * (int64_t)opt.size_bytes;
    figure("records_per_s", (double)delivered / wall_s);
    figure("mb_per_s", (double)bytes / 1e6 / wall_s);
    figure("gb", (double)bytes / 1e9);
    delivery_figures();
    use_end(use, bytes);
    rd_kafka_destroy(rk);
    free(payload);
}

static void mode_one(void)
{
    char *payload = payload_new();
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    conf_set(conf, "linger.ms", "0");
    rd_kafka_t *rk = client_new(RD_KAFKA_PRODUCER, conf);
    struct latencies l;
    latencies_init(&l, 10000000);
    if (!partitions_seen(rk))
        die("%s: no such topic", opt.topic);
    struct server_use use = use_begin(opt.server_pid);
    int64_t start = now_ns(), end = start + (int64_t)(opt.seconds * 1e9), at;
    for (long sent = 0; (at = now_ns()) < end; latency_add(&l, now_ns() - at)) {
        send_one(rk, 0, payload, 0);
        sent++;
        while (delivered + failed < sent)
            rd_kafka_poll(rk, 1000);
    }
    figure("records_per_s", (double)delivered / ((double)(now_ns() - start) / 1e9));
    delivery_figures();
    use_end(use, 0);
    latency_figures(&l);
    rd_kafka_destroy(rk);
    free(payload);
}

static rd_kafka_t *reader_new(rd_kafka_queue_t **out)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    conf_set(conf, "group.id", "bench-reader"); // wanted by assign(); no group is joined
    conf_set(conf, "enable.auto.commit", "false");
    conf_set(conf, "check.crcs", opt.check_crcs ? "true" : "false");
    rd_kafka_t *rk = client_new(RD_KAFKA_CONSUMER, conf);
    rd_kafka_poll_set_consumer(rk);
    *out = rd_kafka_queue_get_consumer(rk);
    return rk;
}

// A server that has just started may say for a moment that it leads nothing: that is waited out.
static void watermarks(rd_kafka_t *rk, int32_t partition, int64_t *low, int64_t *high)
{
    rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR_NO_ERROR;
    for (int i = 0; i < 300; i++) {
        err = rd_kafka_query_watermark_offsets(rk, opt.topic, partition, low, high, 20000);
        if (!err)
            return;
        usleep(200000);
    }
    die("watermarks: %s", rd_kafka_err2str(err));
}

// Where to read from, and how many records lie behind that.
static rd_kafka_topic_partition_list_t *reader_positions(rd_kafka_t *rk, bool at_end,
                                                         int64_t *records)
{
    int n = 0;
    for (int i = 0; i < 300 && !(n = partitions_seen(rk)); i++)
        usleep(200000);
    if (!n)
        die("%s: no such topic", opt.topic);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(n);
    *records = 0;
    for (int p = 0; p < n; p++) {
        int64_t low, high;
        watermarks(rk, p, &low, &high);
        rd_kafka_topic_partition_list_add(list, opt.topic, p)->offset = at_end ? high : low;
        *records += high - low;
    }
    return list;
}

static void reader_assign(rd_kafka_t *rk, rd_kafka_topic_partition_list_t *list)
{
    if (rd_kafka_assign(rk, list))
        die("assign");
    rd_kafka_topic_partition_list_destroy(list);
}

struct pacing {
    _Atomic bool stop;
    atomic_long sent;
};

static void *paced_producer(void *arg)
{
    struct pacing *pacing = arg;
    char *payload = payload_new();
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    conf_set(conf, "linger.ms", "0");
    rd_kafka_t *rk = client_new(RD_KAFKA_PRODUCER, conf);
    partitions_seen(rk);
    int64_t start = now_ns();
    for (int64_t i = 0; !pacing->stop; i++) {
        int64_t due = start + (int64_t)((double)i * 1e9 / opt.rate), at = now_ns();
        if (due > at) {
            struct timespec t = {due / 1000000000, due % 1000000000};
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
        }
        at = now_ns();
        memcpy(payload, &at, sizeof at);
        while (!send_one(rk, (int32_t)(i % opt.partitions), payload, RD_KAFKA_MSG_F_COPY))
            rd_kafka_poll(rk, 1);
        atomic_fetch_add(&pacing->sent, 1);
        rd_kafka_poll(rk, 0);
    }
    rd_kafka_flush(rk, 30000);
    rd_kafka_destroy(rk);
    free(payload);
    return NULL;
}

// Latencies count from a second after the first record, so that connections and first fetches are
// not in them.
static int64_t e2e_read(rd_kafka_queue_t *queue, struct latencies *l, int64_t end_ns)
{
    rd_kafka_message_t *batch[1000];
    int64_t first = 0, seen = 0;
    while (now_ns() < end_ns) {
        ssize_t n = rd_kafka_consume_batch_queue(queue, 1, batch, 1);
        int64_t at = now_ns();
        for (ssize_t i = 0; i < n; i++) {
            int64_t sent;
            if (!batch[i]->err && batch[i]->len >= sizeof sent) {
                memcpy(&sent, batch[i]->payload, sizeof sent);
                first = first ? first : at;
                seen++;
                if (at - first > 1000000000)
                    latency_add(l, at - sent);
            }
            rd_kafka_message_destroy(batch[i]);
        }
    }
    return seen;
}

static void mode_e2e(void)
{
    rd_kafka_queue_t *queue;
    struct pacing pacing = {0};
    struct latencies l;
    pthread_t thread;
    if (opt.rate <= 0)
        die("e2e wants --rate");
    if (opt.size_bytes < 8)
        opt.size_bytes = 8;
    latencies_init(&l, (size_t)(opt.rate * (opt.seconds + 2) * 2));
    rd_kafka_t *rk = reader_new(&queue);
    int64_t records;
    reader_assign(rk, reader_positions(rk, true, &records));
    usleep(500000);
    struct server_use use = use_begin(opt.server_pid);
    int64_t start = now_ns();
    if (pthread_create(&thread, NULL, paced_producer, &pacing))
        die("thread: %s", strerror(errno));
    int64_t seen = e2e_read(queue, &l, start + (int64_t)((opt.seconds + 1) * 1e9));
    double wall_s = (double)(now_ns() - start) / 1e9;
    use_end(use, 0);
    pacing.stop = true;
    pthread_join(thread, NULL);
    figure("offered_per_s", (double)pacing.sent / wall_s);
    figure("read_per_s", (double)seen / wall_s);
    delivery_figures();
    latency_figures(&l);
    rd_kafka_queue_destroy(queue);
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
}

static void mode_consume(void)
{
    rd_kafka_message_t *batch[1000];
    rd_kafka_queue_t *queue;
    rd_kafka_t *rk = reader_new(&queue);
    int64_t records, seen = 0, bytes = 0;
    rd_kafka_topic_partition_list_t *list = reader_positions(rk, false, &records);
    struct server_use use = use_begin(opt.server_pid);
    int64_t start = now_ns(), quiet_ns = start;
    reader_assign(rk, list);
    if (opt.records && opt.records < records)
        records = opt.records;
    while (seen < records) {
        ssize_t n = rd_kafka_consume_batch_queue(queue, 100, batch, 1000);
        if (n > 0)
            quiet_ns = now_ns();
        if (now_ns() - quiet_ns > 30000000000)
            die("%lld of %lld records, then none for 30 s", (long long)seen, (long long)records);
        for (ssize_t i = 0; i < n; i++) {
            if (batch[i]->err)
                die("consume: %s", rd_kafka_message_errstr(batch[i]));
            bytes += (int64_t)batch[i]->len;
            seen++;
            rd_kafka_message_destroy(batch[i]);
        }
    }
    double wall_s = (double)(now_ns() - start) / 1e9;
    figure("records_per_s", (double)seen / wall_s);
    figure("mb_per_s", (double)bytes / 1e6 / wall_s);
    figure("gb", (double)bytes / 1e9);
    use_end(use, bytes);
    rd_kafka_queue_destroy(queue);
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
}

static void option(const char *name, const char *value)
{
    if (strcmp(name, "--server") == 0)
        opt.server = value;
    else if (strcmp(name, "--topic") == 0)
        opt.topic = value;
    else if (strcmp(name, "--codec") == 0)
        opt.codec = value;
    else if (strcmp(name, "--topic-config") == 0)
        opt.topic_config = value;
    else if (strcmp(name, "--partitions") == 0)
        opt.partitions = (int)strtol(value, NULL, 10);
    else if (strcmp(name, "--size") == 0)
        opt.size_bytes = strtoul(value, NULL, 10);
    else if (strcmp(name, "--seconds") == 0)
        opt.seconds = strtod(value, NULL);
    else if (strcmp(name, "--bytes") == 0)
        opt.total_bytes = (int64_t)strtod(value, NULL);
    else if (strcmp(name, "--records") == 0)
        opt.records = (int64_t)strtod(value, NULL);
    else if (strcmp(name, "--rate") == 0)
        opt.rate = strtod(value, NULL);
    else if (strcmp(name, "--crc") == 0)
        opt.check_crcs = strcmp(value, "on") == 0;
    else if (strcmp(name, "--pid") == 0)
        opt.server_pid = (int)strtol(value, NULL, 10);
    else
        die("unknown option %s", name);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } modes[] = {{"create", mode_create}, {"delete", mode_delete}, {"produce", mode_produce},
                 {"one", mode_one},       {"e2e", mode_e2e},       {"consume", mode_consume}};
    if (argc < 2 || argc % 2)
        die("create|delete|produce|one|e2e|consume [--server --topic --partitions --size --codec "
            "--seconds | --bytes "
            "--records --rate --crc on|off --pid --topic-config NAME=VALUE]");
    for (int i = 2; i + 1 < argc; i += 2)
        option(argv[i], argv[i + 1]);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(argv[1], modes[i].name) == 0) {
            modes[i].run();
            return 0;
        }
    die("no mode %s", argv[1]);
}
