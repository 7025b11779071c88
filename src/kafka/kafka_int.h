// SPDX-License-Identifier: Apache-2.0
//
// What the files of the Kafka door share: the door's own state, the request, the table of APIs and
// the handful of helpers that handlers use. A handler knows nothing of sockets: it gets a decoded
// message and calls kafka_answer once, now or in a later turn of the same shard.
#ifndef WEIR_KAFKA_KAFKA_INT_H
#define WEIR_KAFKA_KAFKA_INT_H

#include "base/assert.h"
#include "base/err.h"
#include "io/listeners.h"
#include "kafka/door.h"
#include "node/partitions.h"
#include "node/status.h"
#include "wire/wire_kafka.h"

struct kafka_conn;
struct kafka_request;
struct kafka_sessions;

// ---- limits, besides those that are settings

#define KAFKA_FIRST_REQUEST_NS  (10 * INT64_C(1000000000))
#define KAFKA_DRAIN_NS          (10 * INT64_C(1000000000))
#define KAFKA_SEND_STALL_NS     (60 * INT64_C(1000000000))
#define KAFKA_FRAME_MARK_NS     (30 * INT64_C(1000000000)) // in which a frame ends, or brings:
#define KAFKA_FRAME_MARK_BYTES  (480U << 10)               // 16 KiB a second
#define KAFKA_IN_FLIGHT_MAX     64U                        // requests of one connection
#define KAFKA_FETCH_WAIT_MAX_MS (5 * 60 * 1000)            // however long a client would wait
#define KAFKA_UNSENT_MAX        (1U << 20)  // bytes; above it the connection is not read
#define KAFKA_SCRATCH_BYTES     (64U << 10) // one per shard
#define KAFKA_ANSWER_MAX        (64U << 20) // bytes of an answer without its records
#define KAFKA_STARVED_RETRY_NS  (10 * INT64_C(1000000))
#define KAFKA_QUIET_NS          INT64_C(2000000000) // of an unfinished frame while others starve
#define KAFKA_STARVED_RETRIES   64U                 // connections that look again at once

// ---- the door

struct kafka_door {
    struct shard *shard;
    struct io *io;
    struct io_listeners listeners;
    char advertised_host[KAFKA_HOST_MAX + 1]; // empty: what the client has connected to
    uint16_t advertised_port;
    bool closed;
    struct list conns;
    uint32_t conns_count;
    struct list orphans; // running requests whose connection is gone
    struct list starved; // connections that wait for the memory budget
    struct io_timer retry;
    struct list dirty; // connections with answers from outside their own events
    struct io_msg flush;
    bool flush_posted;
    uint8_t *scratch; // KAFKA_SCRATCH_BYTES to read into, so that idle connections hold none
    struct kafka_sessions *sessions;
};

// The connection got no memory for its frame: it is looked at again soon.
void kafka_door_starved(struct kafka_door *door, struct kafka_conn *conn);

// ---- the table of APIs

enum kafka_api_flag {
    KAFKA_APPENDS = 1,  // held back while the shard's appends are blocked
    KAFKA_OVERLAPS = 2, // may run beside earlier requests of its connection that overlap as well
    KAFKA_HIDDEN = 4,   // served, but not advertised
};

struct kafka_handler {
    int16_t key;
    int16_t advertised_min; // -1: the lowest that is served
    uint8_t flags;
    void (*handle)(struct kafka_request *r);
    void (*cancel)(struct kafka_request *r); // running, and the connection is gone; may be NULL
    void (*fini)(struct kafka_request *r);   // answered and sent, or dropped; may be NULL
};
extern const struct kafka_handler kafka_handlers[]; // in order of key
extern const uint32_t kafka_handlers_count;
const struct kafka_handler *kafka_handler_find(int16_t key); // NULL

// One file per name.
#define KAFKA_HANDLER_NAMES(X)   \
    X(api_versions)              \
    X(metadata)                  \
    X(produce)                   \
    X(fetch)                     \
    X(list_offsets)              \
    X(offset_for_leader_epoch)   \
    X(delete_records)            \
    X(describe_producers)        \
    X(find_coordinator)          \
    X(join_group)                \
    X(sync_group)                \
    X(heartbeat)                 \
    X(leave_group)               \
    X(offset_commit)             \
    X(offset_fetch)              \
    X(offset_delete)             \
    X(describe_groups)           \
    X(list_groups)               \
    X(delete_groups)             \
    X(init_producer_id)          \
    X(create_topics)             \
    X(delete_topics)             \
    X(create_partitions)         \
    X(describe_configs)          \
    X(incremental_alter_configs) \
    X(alter_configs)             \
    X(describe_cluster)          \
    X(describe_log_dirs)         \
    X(describe_topic_partitions) \
    X(weir_status)               \
    X(weir_queues)

#define KAFKA_DECLARE(name) void kafka_##name##_handle(struct kafka_request *r);
KAFKA_HANDLER_NAMES(KAFKA_DECLARE)
#undef KAFKA_DECLARE
void kafka_fetch_cancel(struct kafka_request *r);
void kafka_fetch_fini(struct kafka_request *r);
void kafka_produce_fini(struct kafka_request *r);
void kafka_scatter_fini(struct kafka_request *r);
void kafka_describe_producers_fini(struct kafka_request *r);
void kafka_group_calls_fini(struct kafka_request *r);
void kafka_weir_status_fini(struct kafka_request *r);
void kafka_weir_queues_fini(struct kafka_request *r);

// ---- a request

// waiting -> running -> answered -> freed. One that loses its connection is freed at once while it
// waits or is answered, and finishes as an orphan while it runs.
enum kafka_request_state { REQUEST_WAITING, REQUEST_RUNNING, REQUEST_ANSWERED };

struct kafka_request {
    struct list link;        // of the connection's requests, or the door's orphans
    struct kafka_conn *conn; // NULL: gone
    struct kafka_door *door;
    const struct kafka_handler *api;
    const struct wire_api *wire;
    enum kafka_request_state progress;
    bool close_after; // the connection ends behind this answer
    int16_t version;
    int32_t correlation_id;
    struct slice client_id; // null when null
    struct blob *frame;     // after the length field; client_id and message point into it
    size_t frame_len, body_at;
    struct arena arena;
    size_t charged_bytes; // of the shard's budget, for the answer's encoding
    struct request_context context;
    int64_t began_ns;
    void *message; // decoded, of wire->request
    void *state;   // the handler's own
    struct wire_out out;
    struct iovec *iov; // in the arena; what is left to send
    uint32_t iov_count, iov_next;
};

// Reads the header. Takes over the frame's reference, also on failure. ERR_TRUNCATED,
// ERR_MALFORMED, ERR_UNSUPPORTED (an API that is not served), ERR_UNSUPPORTED_VERSION.
int kafka_request_create(struct kafka_conn *conn, struct blob *frame, size_t len,
                         struct kafka_request **out);
// Decodes the body and runs the handler. ERR_*: the body is malformed; nothing ran.
int kafka_request_start(struct kafka_request *r);
void kafka_request_orphan(struct kafka_request *r); // the connection is gone
void kafka_request_free(struct kafka_request *r);

// ---- for handlers

// Encodes the answer; `response` may be on the stack, the pieces of records may not. The request
// may be freed before this returns when its connection is gone: touch it no more.
void kafka_answer(struct kafka_request *r, const void *response);
void kafka_answer_version(struct kafka_request *r, int version, const void *response);
void kafka_answer_nothing(struct kafka_request *r);
// There is no answer in the protocol's terms, or no memory for one: the connection is closed.
void kafka_fail(struct kafka_request *r);

// Zeroed array in the request's arena. NULL: there is no
// room and kafka_fail has been called; return. Never NULL for a count of 0.
void *kafka_alloc(struct kafka_request *r, size_t count, size_t size);
// The same with the defaults of a message's struct.
void *kafka_alloc_default(struct kafka_request *r, const struct wire_struct *type, size_t count);
// A NUL-terminated text as a slice in the arena; null when text is NULL or empty.
struct slice kafka_text(struct kafka_request *r, const char *text);

struct shard *kafka_shard(const struct kafka_request *r);
const struct broker_config *kafka_config(const struct kafka_request *r);

// Where clients reach this server: as advertised, else as this client has reached it.
struct kafka_host {
    int32_t node_id;
    struct slice host;
    int32_t port;
};
void kafka_host_self(struct kafka_request *r, struct kafka_host *out);
void kafka_client_host(const struct kafka_request *r, char *out, size_t size); // "/127.0.0.1"

#define KAFKA_OPERATIONS_UNKNOWN INT32_MIN // not asked for
#define KAFKA_OPERATIONS_TOPIC   3576      // bits of Kafka's AclOperation; no authorizer: all
#define KAFKA_OPERATIONS_CLUSTER 8096
#define KAFKA_OPERATIONS_GROUP   3400

#endif
