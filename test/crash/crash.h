// SPDX-License-Identifier: Apache-2.0
//
// kill -9 under load on the real disk. A program of its own on librdkafka, unmodified, since what
// is to be shown is what a user's client sees; it starts the server, kills it, starts it again, and
// keeps the books: ledger.c what was sent, acknowledged and found; load.c the producers, which live
// through all rounds; group.c the consumer group and the watch over its offsets; server.c the
// process; crash.c the rounds and the verdict.
#ifndef WEIR_CRASH_CRASH_H
#define WEIR_CRASH_CRASH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <librdkafka/rdkafka.h>

#define TOPICS            2
#define PARTITIONS        4
#define PRODUCERS         6
#define CONSUMERS         2
#define KEYS_PER_PRODUCER 8 // in each topic
#define SLOTS             (PRODUCERS * TOPICS * KEYS_PER_PRODUCER)
#define GROUP             "crash"

extern const char *const topic_names[TOPICS];

// ---- the books

// What one key's records went through, by their number.
enum { FATE_SENT = 1, FATE_ACKNOWLEDGED = 2, FATE_REFUSED = 3 };
struct slot {
    uint8_t *fate;  // FATE_*
    uint8_t *found; // by the audit: how often
    uint8_t *heard; // by the group
    uint32_t sent, capacity;
    int64_t last_found;
};
struct ledger {
    pthread_mutex_t lock;
    struct slot slots[SLOTS];
    uint64_t sent, acknowledged, refused, bytes;
    uint64_t lost, duplicated, reordered, alien, holes, unheard;
    char refusal[256]; // the first one
};
void ledger_init(struct ledger *l);
// The record's number within its key.
uint32_t ledger_send(struct ledger *l, uint32_t slot, size_t bytes);
void ledger_answer(struct ledger *l, uint32_t slot, uint32_t number, const char *refusal);
// What a reader got; false: this was never sent, or not so.
bool ledger_heard(struct ledger *l, const rd_kafka_message_t *m);
void ledger_found(struct ledger *l, const rd_kafka_message_t *m);
void ledger_close(struct ledger *l); // counts lost and unheard

static inline uint32_t slot_of(uint32_t producer, uint32_t topic, uint32_t key)
{
    return (producer * TOPICS + topic) * KEYS_PER_PRODUCER + key;
}
static inline uint32_t slot_topic(uint32_t slot)
{
    return slot / KEYS_PER_PRODUCER % TOPICS;
}
static inline int32_t slot_partition(uint32_t slot)
{
    return (int32_t)(slot % KEYS_PER_PRODUCER % PARTITIONS);
}

// A value: slot u32, number u32, length u32 in this machine's order, then bytes that follow from
// the first two. `alphabet` makes them compress: 0 for all 256 values.
void value_fill(uint8_t *out, uint32_t len, uint32_t slot, uint32_t number);
bool value_right(const uint8_t *value, size_t len, uint32_t *out_slot, uint32_t *out_number);

// ---- the actors

struct run {
    const char *weir;
    const char *dir; // of this run; the store is dir/data
    uint32_t rounds, shards;
    uint32_t bytes_per_s;
    uint64_t seed;
    char brokers[64];
    char amqp[64]; // HOST:PORT, like the above
    struct ledger ledger;
    _Atomic(bool) load_ends, group_ends;
    pthread_t producers[PRODUCERS], consumers[CONSUMERS];
    // offsets: the largest that the server has answered for, under offsets_lock
    pthread_mutex_t offsets_lock;
    int64_t committed[TOPICS][PARTITIONS];
    _Atomic(uint64_t) commits;
    uint64_t commits_back; // found smaller than answered
    // server.c
    pid_t pid;
    uint32_t starts;
    uint64_t random;
    uint32_t restart_ms[4096];
    uint32_t restarts, killed_early;
    int check_status; // of the store as the last kill left it
};

void load_start(struct run *r);
void load_end(struct run *r); // returns when everything sent has been answered

void group_start(struct run *r);
void group_end(struct run *r);
// Asks for the group's offsets and compares them with what was answered before.
void group_watch(struct run *r);

void audit(struct run *r);

// false: it did not come up (said on standard error).
bool server_start(struct run *r);
bool server_wait(struct run *r);
void server_kill(struct run *r);
int server_stop(struct run *r); // its exit status
bool server_alive(struct run *r);
int store_check(struct run *r); // `weir check` of a store at rest, however it came to rest

uint64_t now_ms(void);
uint64_t next_random(uint64_t *state);
rd_kafka_conf_t *client_conf(const struct run *r);
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#endif
