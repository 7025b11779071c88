// SPDX-License-Identifier: Apache-2.0
//
// What all simulated clients share: an actor of its own, a connection that is made again when it is
// lost, one request at a time in a random version that both sides know, a time limit, and pauses.
// A kind of client is a table of functions; its struct begins with struct client.
//
//   step     nothing is under way: send a request with client_call, or do nothing
//   answered the callback given to client_call: err 0 and the response, or ERR_* and NULL, after
//            which nobody knows whether the server has acted
#ifndef WEIR_SIM_CLIENT_H
#define WEIR_SIM_CLIENT_H

#include "sim/world.h"
#include "wire/gen/kafka_fetch.h"

struct client_kind {
    const char *name;
    size_t size;
    int16_t needs;                   // an API without which it does nothing; -1: none
    bool verifies;                   // it works in PHASE_VERIFY as well
    void (*start)(struct client *c); // may be NULL
    void (*step)(struct client *c);
    void (*fini)(struct client *c); // may be NULL
};

typedef void client_answered(struct client *c, int err, const void *response);

struct client {
    const struct client_kind *kind;
    struct world *world;
    char name[16];
    uint32_t number;
    struct io *io;
    struct prng prng;
    struct kafka_client *kafka;
    struct kafka_call call;
    int16_t api;
    bool calling;
    bool lost; // the connection is over; closed when it is safe
    client_answered *answered;
    int16_t least_version, most_version; // of the next call; 0, 0: any that both sides know
    struct io_msg start_msg;
    struct io_timer pause, limit;
    uint32_t start_at_send; // the server's incarnation
    int64_t pause_max_ns;
    struct model_topic *asked_topic; // client_metadata's
    uint64_t asked_at;
    struct model_partition *asked_partition; // the asker's questions
    struct model_read asked_read;
    int64_t asked_time;
    void (*metadata_done)(struct client *c, bool exists);
};

struct client *client_create(struct world *w, const struct client_kind *kind);
void client_destroy(struct client *c); // its actor has been stopped
// Whether the server offers the API.
bool client_can(const struct client *c, int16_t api);
// `answered` runs later, except when not even a connection can be begun: then at once.
void client_call(struct client *c, int16_t api, const void *request, client_answered *answered);
// The same for what is not answered (Produce with acks 0): response is NULL.
void client_tell(struct client *c, int16_t api, const void *request, client_answered *answered);
int16_t client_version_max(const struct client *c, int16_t api);
// Hangs up: its next request makes a new connection.
void client_forget(struct client *c);
// The request and its answer were surely with the same incarnation of the server.
bool client_same_start(const struct client *c);
void client_note(struct client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline uint32_t client_dice(struct client *c, uint32_t below)
{
    return (uint32_t)prng_below(&c->prng, below);
}
static inline bool client_chance(struct client *c, uint32_t percent)
{
    return prng_chance(&c->prng, percent, 100);
}
// A partition of one of the lasting topics, by dice; NULL while none is ready.
struct model_partition *client_partition(struct client *c);

// Asks Metadata about one topic and tells the model. `done` (may be NULL) runs after an answer.
void client_metadata(struct client *c, struct model_topic *topic,
                     void (*done)(struct client *c, bool exists));

// Asks for the log's start and tells the model.
void client_list_start(struct client *c, struct model_partition *p);

// ---- the records of one partition (fetch.c)

struct client_fetch {
    struct model_partition *partition;
    int64_t offset;
    uint32_t max_bytes;
    int32_t wait_ms;
    struct model_read read; // what was certain when it was sent
    int64_t next;           // out: behind what was read
};
void client_fetch(struct client *c, struct client_fetch *f, client_answered *answered);
// Tells the model. NULL: the answer is not about the partition.
const struct kafka_fetch_response_partition *
client_fetched(struct client *c, struct client_fetch *f, int err, const void *response);

// ---- committed offsets (offsets.c)

struct client_commit {
    const char *group, *member;
    const char *instance; // NULL: none
    int32_t generation;   // -1: not as a member
    const struct model_partition *partition;
    int64_t offset;
};
void client_commit(struct client *c, const struct client_commit *commit, client_answered *answered);
int client_commit_code(const struct client *c, int err, const void *response); // 0 or ERR_*
void client_ask_committed(struct client *c, const char *group,
                          const struct model_partition *partition, client_answered *answered);
// 0 and the offset (-1: none), or ERR_*.
int client_committed_offset(const struct client *c, int err, const void *response,
                            int64_t *out_offset);

// ---- batches

struct client_batch {
    struct buf bytes;
    int64_t step_ms;
};
struct client_batch_options {
    int64_t producer_id; // -1: none
    int16_t producer_epoch;
    int32_t sequence;
    uint32_t records;
    uint32_t value_bytes; // of each record, about
};
void client_batch_make(struct world *w, struct prng *prng, const struct client_batch_options *o,
                       struct client_batch *out); // buf_fini(&out->bytes)

extern const struct client_kind client_founder, client_producer, client_fetcher, client_reader,
    client_follower, client_asker, client_committer, client_admin, client_member;

#endif
