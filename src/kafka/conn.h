// SPDX-License-Identifier: Apache-2.0
//
// A connection of the Kafka door. Private to the room.
//
//   state      may become          meaning
//   new        open, drain, closed no valid request yet: small frames, a deadline
//   open       drain, closed
//   drain      closed              the client has sent its last byte; what is under way is answered
//   closed     -                   freed at the end of the event
//
// Invariants: requests stand in order of arrival and are answered in that order; at most
// KAFKA_IN_FLIGHT_MAX of them; bytes that were read but not framed yet (`held`) exist only while
// the connection may not be read; a connection at rest owns nothing but this struct.
#ifndef WEIR_KAFKA_CONN_H
#define WEIR_KAFKA_CONN_H

#include "kafka/kafka_int.h"

enum conn_state { CONN_NEW, CONN_OPEN, CONN_DRAIN, CONN_CLOSED };

struct kafka_conn {
    struct list link, starved, dirty; // of the door
    struct kafka_door *door;
    struct io_sock *sock;
    struct io_timer timer;
    struct list requests;
    uint32_t requests_count;
    uint8_t state;
    uint8_t length_have; // bytes of the length field
    bool appended;       // the last request read appends
    bool moving;         // in kafka_conn_progress
    uint8_t length[4];
    uint32_t frame_len, frame_have;
    uint32_t frame_marked; // bytes of the frame when since_ns was set
    struct blob *frame;
    uint8_t *held;
    uint32_t held_at, held_len;
    uint64_t unsent_bytes;
    int64_t active_ns; // last byte in either direction
    int64_t since_ns;  // opened; the frame's last mark; last progress of the output; drain began
    struct io_addr peer;
    uint32_t place; // for shard_connection_leave
};

void kafka_conn_open(struct kafka_door *door, struct io_sock *sock, const struct io_addr *peer,
                     uint32_t place);
// Called by the door outside the connection's own events: starts, sends and reads what may go on.
// The connection may be gone afterwards.
void kafka_conn_progress(struct kafka_conn *conn);
void kafka_conn_close(struct kafka_conn *conn);  // frees it as well
void kafka_conn_forget(struct kafka_conn *conn); // frees it; the actor has ended with its sockets
// A request of this connection has been answered: progress follows in this turn or the next.
void kafka_conn_answered(struct kafka_conn *conn);

// conn_send.c: sends what is answered, in order; false when the connection must be closed.
bool kafka_conn_send(struct kafka_conn *conn);
// The request at the head is answered: what is unsent waits for the client, not for us.
bool kafka_conn_sending(const struct kafka_conn *conn);
// conn_read.c: reads and frames; false when the connection must be closed.
bool kafka_conn_read(struct kafka_conn *conn);
bool kafka_conn_read_held(struct kafka_conn *conn);
void kafka_conn_drop_held(struct kafka_conn *conn);
bool kafka_conn_may_read(const struct kafka_conn *conn);
void kafka_conn_enter(struct kafka_conn *conn, enum conn_state state); // asserts the edge

#endif
