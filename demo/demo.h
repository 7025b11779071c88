// SPDX-License-Identifier: Apache-2.0
//
// The demo's pieces: the plays (plays.c), who publishes them (publish.c), who listens (listen.c),
// what is checked and shown (page.c), and the story (story.c); then the shop, a Celery application
// (shop/, tasks.c). Everything goes through librdkafka and Celery, unmodified, as any program of a
// user would.
#ifndef WEIR_DEMO_DEMO_H
#define WEIR_DEMO_DEMO_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEMO_TOPIC      "plays"
#define DEMO_GROUP      "listeners"
#define DEMO_PARTITIONS 12
#define DEMO_PRODUCERS  4
#define DEMO_CONSUMERS  3
#define STATIONS_MAX    64

// ---- the listening log

struct play {
    int64_t ts_ms;
    uint16_t station, artist;
    uint32_t song;
};
struct plays {
    struct play *items;
    size_t count;
    char **stations, **artists, **songs;
    size_t stations_count, artists_count, songs_count;
    bool real;        // from the data folder, not generated
    char source[256]; // for the page
};
// From WEIR_DATA (or ../shared/data) if it is there, else made from published figures. Ordered by
// station and time.
void plays_load(struct plays *out);

// ---- publishing: the plays over and over, a week apart, until `total` are sent

struct publisher {
    const struct plays *plays;
    const char *brokers;
    const char *codec;
    int index;
    uint64_t total;     // of all publishers
    uint32_t *sequence; // next number per station; a station belongs to one publisher
    _Atomic(uint64_t) sent, acknowledged, failed, bytes;
    pthread_t thread;
};
void *publish(void *publisher);

// ---- listening: a process of its own, so that it can be killed; tells the parent what it read

struct heard { // on the pipe, one per record
    int64_t offset;
    uint32_t number; // of its station
    uint16_t station, partition;
    uint32_t hour_artist; // hour of the day << 16 | artist
    uint32_t bytes;
};
int listen_main(const char *brokers, int out_fd, const char *group);

// ---- checking and showing

// One pass of reading: the group's, or the audit's over the whole log afterwards.
struct ledger {
    uint64_t read, bytes;
    uint64_t again;     // heard before: read again by the group, or duplicated in the log
    uint64_t reordered; // a number of a station that came after a later one of it
    uint64_t *artist_plays, hour_plays[24];
    uint8_t *seen[STATIONS_MAX]; // per station and number
    int64_t last_number[STATIONS_MAX];
    uint64_t capacity; // numbers per station
    size_t artists;
};
void ledger_init(struct ledger *l, uint64_t capacity, size_t artists);
void ledger_note(struct ledger *l, const struct heard *h);
uint64_t ledger_missing(const struct ledger *l, const uint32_t *sequence, size_t stations);

// ---- the server under the demo

struct server {
    const char *weir;
    char dir[256], addr_file[300];
    char brokers[128], amqp[128]; // HOST:PORT of its doors
    int pid;
    long peak_kib;
};
double
server_start(struct server *s);     // milliseconds until it takes connections; exits when it cannot
void server_kill(struct server *s); // with -9
void server_stop(struct server *s);
void server_note_memory(struct server *s);

// ---- the second act: a Celery application and its worker on the same server

#define TASKS_SAMPLES 5
struct tasks {
    const char *python; // of a virtual environment with Celery; "": the act is left out
    struct {            // as the application's side counts them
        char name[32], value[160];
    } figures[32];
    size_t figures_count;
    double restart_ms;
    // The queue, read as the topic that it is.
    uint64_t records, records_by_level[16];
    int levels;
    char samples[TASKS_SAMPLES][160];
    size_t samples_count;
};
void tasks_play(struct tasks *t, struct server *server, const char *home);
const char *tasks_figure(const struct tasks *t, const char *name); // "-" when there is none
uint64_t tasks_number(const struct tasks *t, const char *name);

// ---- the page

struct story {
    struct plays plays;
    struct ledger group, audit;
    uint64_t sent, acknowledged, failed, bytes_in;
    uint64_t lost_by_group, lost_in_log;
    double publish_s, all_s, start_ms, restart_ms;
    long peak_kib;
    char syncs[64]; // per second, as `weir status` says
    uint64_t consumer_killed_at, server_killed_at;
    struct tasks tasks;
};
bool page_print(
    const struct story *s); // true when nothing was lost, duplicated in the log or reordered

void progress(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
