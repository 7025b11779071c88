// SPDX-License-Identifier: Apache-2.0
//
// librdkafka as a C program uses it: every client object is made from a configuration that names
// the bootstrap server (and, for a consumer, the group and where a group without offsets starts)
// and nothing else; a codec where the check is about one, and the statistics interval where the
// check looks at bytes on the wire. One process does one check, so that run.sh can kill a group
// member as a process. The other clients have the same set of records (records.py).
#include "check.h"

#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    BIG_BYTES = 990000,
    BIG_COUNT = 3,
    SMALL_COUNT = 100,
    RECORDS = 5 + BIG_COUNT + SMALL_COUNT
};

static const char *bootstrap;
static int64_t base_ms; // the timestamp of record 0: of today, or retention by time would take the
                        // records away
static volatile sig_atomic_t stopping;

void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

void must(rd_kafka_resp_err_t err, const char *what)
{
    if (err)
        die("%s: %s", what, rd_kafka_err2str(err));
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void (*on_stats)(const char *json);

static int stats_cb(rd_kafka_t *rk, char *json, size_t json_len, void *opaque)
{
    (void)rk, (void)json_len, (void)opaque;
    if (on_stats)
        on_stats(json);
    return 0;
}

static long delivered, undelivered;
static rd_kafka_resp_err_t delivery_error;

static void dr_cb(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque)
{
    (void)rk, (void)opaque;
    if (!msg->err) {
        delivered++;
        return;
    }
    undelivered++;
    delivery_error = msg->err;
}

rd_kafka_t *client_new(rd_kafka_type_t type, const struct setting *settings)
{
    char text[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    if (rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, text, sizeof text))
        die("%s", text);
    for (; settings && settings->name; settings++)
        if (rd_kafka_conf_set(conf, settings->name, settings->value, text, sizeof text))
            die("%s", text);
    if (type == RD_KAFKA_PRODUCER)
        rd_kafka_conf_set_dr_msg_cb(conf, dr_cb);
    rd_kafka_conf_set_stats_cb(conf, stats_cb);
    rd_kafka_t *rk = rd_kafka_new(type, conf, text, sizeof text);
    if (!rk)
        die("%s", text);
    if (type == RD_KAFKA_CONSUMER)
        rd_kafka_poll_set_consumer(rk);
    return rk;
}

void flush(rd_kafka_t *rk, long expected)
{
    must(rd_kafka_flush(rk, 60000), "flush");
    if (undelivered)
        die("%ld records not delivered: %s", undelivered, rd_kafka_err2str(delivery_error));
    if (delivered != expected)
        die("%ld delivery reports, %ld expected", delivered, expected);
}

// ---- the records
// -------------------------------------------------------------------------------------------------

struct record {
    const void *key, *value;
    size_t key_len, value_len;
    bool headers;
};

static char binary[256];
static char *big[BIG_COUNT];
static char small_text[1024];

void payloads_fill(void)
{
    for (int i = 0; i < 256; i++)
        binary[i] = (char)i;
    memset(small_text, 'w', sizeof small_text);
    unsigned long long x = 88172645463325252ULL;
    for (int b = 0; b < BIG_COUNT; b++) {
        big[b] = malloc(BIG_BYTES);
        for (size_t i = 0; i < BIG_BYTES; i++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            big[b][i] = (char)x;
        }
    }
}

static struct record record_at(int i)
{
    switch (i) {
    case 0:
        return (struct record){"k", "v", 1, 1, true};
    case 1:
        return (struct record){NULL, "null key", 0, 8, false};
    case 2:
        return (struct record){"tombstone", NULL, 9, 0, false};
    case 3:
        return (struct record){"", "", 0, 0, false};
    case 4:
        return (struct record){"binary", binary, 6, sizeof binary, false};
    default:
        break;
    }
    if (i < 5 + BIG_COUNT)
        return (struct record){"big", big[i - 5], 3, BIG_BYTES, false};
    return (struct record){"small", small_text, 5, sizeof small_text, false};
}

static rd_kafka_headers_t *headers_new(void)
{
    rd_kafka_headers_t *h = rd_kafka_headers_new(4);
    rd_kafka_header_add(h, "h1", -1, "a", 1);
    rd_kafka_header_add(h, "none", -1, NULL, 0);
    rd_kafka_header_add(h, "h1", -1, "b", 1);
    rd_kafka_header_add(h, "empty", -1, "", 0);
    return h;
}

void record_produce(rd_kafka_t *rk, const char *topic, int partition, int i)
{
    struct record r = record_at(i);
    rd_kafka_resp_err_t err;
    do {
        err = rd_kafka_producev(
            rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
            RD_KAFKA_V_KEY((void *)r.key, r.key_len),
            RD_KAFKA_V_VALUE((void *)r.value, r.value_len),
            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_TIMESTAMP(base_ms + i),
            RD_KAFKA_V_HEADERS(r.headers ? headers_new() : NULL), RD_KAFKA_V_END);
        rd_kafka_poll(rk, err == RD_KAFKA_RESP_ERR__QUEUE_FULL ? 100 : 0);
    } while (err == RD_KAFKA_RESP_ERR__QUEUE_FULL);
    must(err, "produce");
}

static void bytes_compare(int i, const char *what, const void *got, size_t got_len,
                          const void *want, size_t want_len)
{
    if ((got == NULL) != (want == NULL))
        die("record %d: %s is %s, not %s", i, what, got ? "there" : "null",
            want ? "there" : "null");
    if (got_len != want_len || (want_len && memcmp(got, want, want_len) != 0))
        die("record %d: %s differs (%zu bytes, %zu expected)", i, what, got_len, want_len);
}

static void headers_compare(const rd_kafka_message_t *msg)
{
    static const struct {
        const char *name, *value;
        size_t len;
    } want[] = {{"h1", "a", 1}, {"none", NULL, 0}, {"h1", "b", 1}, {"empty", "", 0}};
    rd_kafka_headers_t *h;
    must(rd_kafka_message_headers(msg, &h), "headers");
    if (rd_kafka_header_cnt(h) != 4)
        die("%zu headers, 4 expected", rd_kafka_header_cnt(h));
    for (size_t i = 0; i < 4; i++) {
        const char *name;
        const void *value;
        size_t len;
        must(rd_kafka_header_get_all(h, i, &name, &value, &len), "header");
        if (strcmp(name, want[i].name) != 0)
            die("header %zu is %s, not %s", i, name, want[i].name);
        bytes_compare(0, name, value, len, want[i].value, want[i].len);
    }
}

static void record_compare(const rd_kafka_message_t *msg, int i)
{
    struct record want = record_at(i);
    rd_kafka_timestamp_type_t type;
    if (msg->offset != i)
        die("offset %lld, %d expected", (long long)msg->offset, i);
    bytes_compare(i, "key", msg->key, msg->key_len, want.key, want.key_len);
    bytes_compare(i, "value", msg->payload, msg->len, want.value, want.value_len);
    if (rd_kafka_message_timestamp(msg, &type) != base_ms + i ||
        type != RD_KAFKA_TIMESTAMP_CREATE_TIME)
        die("record %d: timestamp differs", i);
    if (want.headers)
        headers_compare(msg);
}

static void consume_compare(const char *topic, int records)
{
    struct setting settings[] = {
        {"group.id", topic}, {"auto.offset.reset", "earliest"}, {NULL, NULL}};
    rd_kafka_t *rk = client_new(RD_KAFKA_CONSUMER, settings);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, RD_KAFKA_PARTITION_UA);
    must(rd_kafka_subscribe(rk, list), "subscribe");
    rd_kafka_topic_partition_list_destroy(list);
    double end = now_s() + 60;
    for (int i = 0; i < records;) {
        rd_kafka_message_t *msg = rd_kafka_consumer_poll(rk, 500);
        if (now_s() > end)
            die("%d of %d records in 60 s", i, records);
        if (!msg)
            continue;
        if (msg->err && msg->err != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
            die("consume: %s", rd_kafka_message_errstr(msg));
        if (!msg->err)
            record_compare(msg, i++);
        rd_kafka_message_destroy(msg);
    }
    must(rd_kafka_consumer_close(rk), "close");
    rd_kafka_destroy(rk);
}

static void check_roundtrip(const char *codec, const char *topic)
{
    struct setting settings[] = {{"compression.codec", codec}, {NULL, NULL}};
    rd_kafka_t *rk = client_new(RD_KAFKA_PRODUCER, strcmp(codec, "none") ? settings : NULL);
    payloads_fill();
    for (int i = 0; i < RECORDS; i++)
        record_produce(rk, topic, 0, i);
    flush(rk, RECORDS);
    rd_kafka_destroy(rk);
    consume_compare(topic, RECORDS);
}

// ---- does a codec really reach the wire? librdkafka turns it off silently where ApiVersions
// displeases it ------------

static long long tx_bytes;

static void tx_bytes_read(const char *json)
{
    const char *at = strstr(json, "\"tx_bytes\":");
    if (at)
        tx_bytes = atoll(at + 11);
}

static void check_wire(const char *codec, const char *topic)
{
    struct setting settings[] = {
        {"compression.codec", codec}, {"statistics.interval.ms", "200"}, {NULL, NULL}};
    rd_kafka_t *rk = client_new(RD_KAFKA_PRODUCER, settings);
    on_stats = tx_bytes_read;
    payloads_fill();
    for (int i = 0; i < 2000; i++)
        record_produce(rk, topic, 0, RECORDS - 1);
    flush(rk, 2000);
    for (double end = now_s() + 1; now_s() < end;)
        rd_kafka_poll(rk, 100);
    rd_kafka_destroy(rk);
    if (tx_bytes == 0 || tx_bytes > 1000000)
        die("%lld bytes were sent for 2 MB of one letter with %s", tx_bytes, codec);
}

static void check_idempotent(const char *topic)
{
    struct setting settings[] = {{"enable.idempotence", "true"}, {NULL, NULL}};
    rd_kafka_t *rk = client_new(RD_KAFKA_PRODUCER, settings);
    payloads_fill();
    for (int i = 0; i < RECORDS; i++)
        record_produce(rk, topic, 0, i);
    flush(rk, RECORDS);
    rd_kafka_destroy(rk);
    consume_compare(topic, RECORDS);
}

static void check_too_big(const char *topic)
{
    struct setting settings[] = {{"message.max.bytes", "4000000"}, {NULL, NULL}};
    rd_kafka_t *rk = client_new(RD_KAFKA_PRODUCER, settings);
    char *huge = calloc(1, 3000000);
    for (size_t i = 0; i < 3000000; i++)
        huge[i] = (char)(i * 2654435761u >> 13);
    must(rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_VALUE(huge, 3000000),
                           RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
         "produce");
    must(rd_kafka_flush(rk, 60000), "flush");
    if (delivery_error != RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
        die("3 MB was answered with: %s", rd_kafka_err2str(delivery_error));
    rd_kafka_destroy(rk);
    free(huge);
}

// ---- groups
// --------------------------------------------------------------------------------------------------------

static void produce_range(const char *topic, int from, int to)
{
    rd_kafka_t *rk = client_new(RD_KAFKA_PRODUCER, NULL);
    for (int i = from; i < to; i++) {
        char text[32];
        int len = snprintf(text, sizeof text, "r%d", i);
        must(rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_KEY(text, (size_t)len),
                               RD_KAFKA_V_VALUE(text, (size_t)len),
                               RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END),
             "produce");
        if (i % 10 == 0) // about 1,000 a second, so that a member can be killed on the way
            nanosleep(&(struct timespec){0, 10000000}, NULL);
        rd_kafka_poll(rk, 0);
    }
    flush(rk, to - from);
    rd_kafka_destroy(rk);
}

static void on_signal(int sig)
{
    (void)sig;
    stopping = 1;
}

static void member(const char *topic, const char *group)
{
    struct setting settings[] = {
        {"group.id", group}, {"auto.offset.reset", "earliest"}, {NULL, NULL}};
    signal(SIGTERM, on_signal);
    rd_kafka_t *rk = client_new(RD_KAFKA_CONSUMER, settings);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, RD_KAFKA_PARTITION_UA);
    must(rd_kafka_subscribe(rk, list), "subscribe");
    rd_kafka_topic_partition_list_destroy(list);
    while (!stopping) {
        rd_kafka_message_t *msg = rd_kafka_consumer_poll(rk, 200);
        if (!msg)
            continue;
        if (msg->err)
            fprintf(stderr, "%s\n", rd_kafka_message_errstr(msg));
        else
            printf("%.*s\n", (int)msg->len, (char *)msg->payload), fflush(stdout);
        rd_kafka_message_destroy(msg);
    }
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
}

static void check_offsets(const char *topic)
{
    rd_kafka_t *producer = client_new(RD_KAFKA_PRODUCER, NULL);
    payloads_fill();
    for (int i = 0; i < 5; i++)
        record_produce(producer, topic, 0, i);
    flush(producer, 5);
    int64_t low = -1, high = -1;
    must(rd_kafka_query_watermark_offsets(producer, topic, 0, &low, &high, 20000), "watermarks");
    if (low != 0 || high != 5)
        die("watermarks %lld to %lld, 0 to 5 expected", (long long)low, (long long)high);
    rd_kafka_destroy(producer);

    struct setting settings[] = {{"group.id", topic}, {NULL, NULL}};
    rd_kafka_t *rk = client_new(RD_KAFKA_CONSUMER, settings);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, topic, 0)->offset = base_ms + 3;
    must(rd_kafka_offsets_for_times(rk, list, 20000), "offsets for times");
    if (list->elems[0].err || list->elems[0].offset != 3)
        die("offset %lld for the time of record 3", (long long)list->elems[0].offset);
    must(rd_kafka_commit(rk, list, 0), "commit");
    list->elems[0].offset = -1;
    must(rd_kafka_committed(rk, list, 20000), "committed");
    if (list->elems[0].offset != 3)
        die("committed %lld, 3 expected", (long long)list->elems[0].offset);
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        die("check HOST:PORT "
            "roundtrip|wire|idempotent|toobig|offsets|admin|groups|create|produce|member NAME ...");
    bootstrap = argv[1];
    base_ms = (int64_t)time(NULL) * 1000 - 60000;
    const char *verb = argv[2], *name = argv[3];
    if (strcmp(verb, "roundtrip") == 0 && argc == 5)
        check_roundtrip(argv[4], name);
    else if (strcmp(verb, "wire") == 0 && argc == 5)
        check_wire(argv[4], name);
    else if (strcmp(verb, "create") == 0 && argc == 5)
        topic_make(name, atoi(argv[4]));
    else if (strcmp(verb, "produce") == 0 && argc == 6)
        produce_range(name, atoi(argv[4]), atoi(argv[5]));
    else if (strcmp(verb, "member") == 0 && argc == 5)
        member(name, argv[4]);
    else if (strcmp(verb, "idempotent") == 0)
        check_idempotent(name);
    else if (strcmp(verb, "toobig") == 0)
        check_too_big(name);
    else if (strcmp(verb, "offsets") == 0)
        check_offsets(name);
    else if (strcmp(verb, "admin") == 0)
        check_admin(name);
    else if (strcmp(verb, "groups") == 0)
        check_groups(name);
    else
        die("what is %s with %d words?", verb, argc - 3);
    return 0;
}
