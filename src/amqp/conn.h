// SPDX-License-Identifier: Apache-2.0
//
// A connection of the AMQP door. Private to the lower half.
//
//   state      may become            meaning
//   greeting   starting, deaf        waits for the protocol header
//   starting   tuning, ending, deaf  start is sent; waits for start-ok
//   tuning     opening, ending, deaf tune is sent; waits for tune-ok
//   opening    open, ending, deaf    waits for connection.open
//   open       leaving, ending, deaf channels may be opened
//   leaving    deaf                  the client has said close; what is the connection's goes first
//   ending     deaf                  we have said close; only close and close-ok are looked at
//   deaf       -                     all that comes is thrown away, until the client has closed the
//                                    socket or a few seconds are over: closed at once, what we sent
//                                    last would be lost with the bytes that nobody read
//   closed     -                     (from every state) freed at the end of the event
//
// Invariants: channels exist only in open; bytes that were read but not handled (`held`) are less
// than a frame unless the connection may not be read; a connection at rest owns nothing but this
// struct, its names and its channels.
#ifndef WEIR_AMQP_CONN_H
#define WEIR_AMQP_CONN_H

#include "amqp/amqp_int.h"

// ---- limits that concern nobody else

#define AMQP_DEAF_NS        (3 * INT64_C(1000000000))
#define AMQP_MARK_NS        (30 * INT64_C(1000000000)) // in which what is unfinished brings
#define AMQP_MARK_BYTES     (64U << 10)                // so many bytes, or ends
#define AMQP_DISCARD_BYTES  (32U << 20)                // are thrown away of a connection that ends
#define AMQP_BLOCKED_NS     INT64_C(1000000000)        // held back for so long, a client is told
#define AMQP_READ_BYTES     (64U << 10)
#define AMQP_SCRATCH_BYTES  (AMQP_READ_BYTES + AMQP_FRAME_MAX + 8U)
#define AMQP_RETRY_NS       (10 * INT64_C(1000000))
#define AMQP_RETRIES        64U                 // starved connections that look again at once
#define AMQP_QUIET_NS       INT64_C(2000000000) // of an unfinished content while others starve
#define AMQP_FRAME_OVERHEAD 8U

enum amqp_conn_state {
    AMQP_CONN_GREETING,
    AMQP_CONN_STARTING,
    AMQP_CONN_TUNING,
    AMQP_CONN_OPENING,
    AMQP_CONN_OPEN,
    AMQP_CONN_LEAVING,
    AMQP_CONN_ENDING,
    AMQP_CONN_DEAF,
    AMQP_CONN_CLOSED,
    AMQP_CONN_STATES
};

// A frame, OFFSET SIZE FIELD: 0 1 type; 1 2 channel; 3 4 size of the payload; 7 size payload; then
// 0xce (AMQP 0-9-1 section 4.2.3).
enum { AMQP_FRAME_METHOD = 1, AMQP_FRAME_HEADER = 2, AMQP_FRAME_BODY = 3, AMQP_FRAME_BEAT = 8 };
#define AMQP_FRAME_END 0xceU

// What is to be sent: runs of bytes in blobs. Small things are written into the block at the end,
// large bodies stay where they are.
struct amqp_run {
    struct blob *blob; // a reference
    const uint8_t *data;
    size_t len;
};
struct amqp_out {
    struct amqp_run *runs; // a ring
    uint32_t first, count, cap;
    struct blob *block; // being filled; NULL: nothing is waiting
    size_t block_len;
    size_t bytes; // in all runs
};

struct amqp_conn {
    struct list link, dirty, starved; // of the door
    struct amqp_door *door;
    struct io_sock *sock;
    uint32_t place; // for shard_connection_leave
    struct io_timer timer;
    uint8_t state;
    bool appended;     // the last method handled was a publish
    bool moving;       // in amqp_conn_progress
    bool paused;       // was not read when last looked at
    bool full;         // had no room when asked
    bool finished;     // the client has heard the last word: close the socket
    bool told_blocked; // connection.blocked has been sent
    uint8_t can;       // enum amqp_can
    uint16_t channel_max, heartbeat_s;
    uint32_t frame_max;
    uint64_t id;
    struct slice vhost, user; // owned
    // By number; NULL where there is none.
    struct amqp_channel **channels;
    uint32_t channels_cap, channels_count;
    struct list waits;
    uint32_t holds; // of the waits
    struct list owned;
    // input
    uint8_t *held;
    size_t held_len;
    uint16_t stream_channel; // of the body frame whose payload is taken as it comes
    bool streaming;
    uint32_t stream_left; // bytes of its payload that are still to come, before its end octet
    uint32_t assemblies;  // channels with an unfinished content
    size_t assembled;     // bytes of memory in them
    uint64_t bytes_in, marked_bytes;
    int64_t marked_ns;
    int64_t held_back_ns; // since when the log holds back what it publishes; 0: it does not
    struct amqp_out out;
    int64_t heard_ns, spoke_ns; // last byte in either direction
    int64_t since_ns;           // accepted; leaving, ending or deaf
};

void amqp_conn_open(struct amqp_door *door, struct io_sock *sock, uint32_t place);
// Called by the door outside the connection's own events: handles, sends and reads what may go on.
// The connection may be gone afterwards.
void amqp_conn_progress(struct amqp_conn *conn);
void amqp_conn_close(struct amqp_conn *conn);  // frees it as well
void amqp_conn_forget(struct amqp_conn *conn); // frees it; the actor has ended with its sockets
void amqp_conn_enter(struct amqp_conn *conn, enum amqp_conn_state state); // asserts the edge
// Progress follows in this turn or the next.
void amqp_conn_mark(struct amqp_conn *conn);
// The server stops: says so, if it can be said at once. amqp_conn_close follows.
void amqp_conn_stop(struct amqp_conn *conn);

// ---- conn_read.c

void amqp_conn_read(struct amqp_conn *conn, bool *out_open); // false: the client has gone
// A connection that may not be read is listened to now and then, a few bytes, to hear whether its
// client lives. False: it has gone.
bool amqp_conn_listen(struct amqp_conn *conn);
bool amqp_conn_may_read(const struct amqp_conn *conn);
// Handles what is held as far as it goes.
void amqp_conn_read_held(struct amqp_conn *conn);
void amqp_conn_drop_held(struct amqp_conn *conn);
// Something has begun and its end has not come yet.
bool amqp_conn_unfinished(const struct amqp_conn *conn);

// ---- conn_send.c

bool amqp_conn_send(struct amqp_conn *conn); // false: the connection is lost
void amqp_conn_put(struct amqp_conn *conn, const void *bytes, size_t len);
void amqp_conn_put_method(struct amqp_conn *conn, uint16_t number, uint32_t method,
                          const void *args);
void amqp_conn_put_beat(struct amqp_conn *conn);
void amqp_out_fini(struct amqp_out *out);

// ---- fail.c

// The same as amqp_conn_fail for what makes the rest unreadable: nothing that follows is looked at.
void amqp_conn_fail_deaf(struct amqp_conn *conn, enum amqp_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// "type 1, all octets = <<0,10>>", as RabbitMQ describes a frame.
#define AMQP_BYTES_SHOWN     16
#define AMQP_FRAME_TEXT_SIZE 128
const char *amqp_frame_text(uint8_t type, struct slice payload, char out[AMQP_FRAME_TEXT_SIZE]);
// A method's fields are not what the method has.
void amqp_conn_fail_undecodable(struct amqp_conn *conn, uint32_t method, struct slice fields);
// Ends all channels and what the connection owns.
void amqp_conn_release(struct amqp_conn *conn, bool gone);

// ---- connection.c: the methods of class connection

// The first eight bytes.
void amqp_connection_greet(struct amqp_conn *conn, const uint8_t *header);
void amqp_connection_method(struct amqp_conn *conn, uint32_t method, const void *args);
void amqp_connection_left(struct amqp_conn *conn); // leaving, and the last wait has ended

// ---- channel.c

enum amqp_channel_state { AMQP_CHANNEL_IS_OPEN, AMQP_CHANNEL_IS_CLOSING, AMQP_CHANNEL_STATES };

struct amqp_channel *amqp_channel_find(const struct amqp_conn *conn, uint16_t number); // NULL
// A method, a content header or a body frame of a channel, or a method of channel 0.
void amqp_channel_method(struct amqp_conn *conn, uint16_t number, struct slice payload);
// Decodes a method's fields into the door's arena and checks its strings and tables. NULL: it is
// malformed and the connection has failed.
void *amqp_method_decode(struct amqp_conn *conn, const struct wire_method *method,
                         struct slice fields);
// channel.close is sent; what comes is thrown away until close-ok.
void amqp_channel_fail(struct amqp_channel *ch, uint16_t code, const char *text, uint32_t method);
void amqp_channel_free(struct amqp_channel *ch, bool gone); // ends the session

// ---- content.c

// A publish with all its content at the beginning of `data` is handled without a copy: the number
// of bytes it takes. 0: it is not all there or not as it should be, go the long way.
size_t amqp_content_whole(struct amqp_conn *conn, const uint8_t *data, size_t len);
void amqp_content_begin(struct amqp_channel *ch, const struct amqp_basic_publish *m);
void amqp_content_header(struct amqp_conn *conn, uint16_t number, struct slice payload);
// A body frame begins: false when it does not belong here and the connection has failed.
bool amqp_content_fits(struct amqp_conn *conn, uint16_t number, size_t len);
// A part of its payload, thrown away when nobody wants it (any more). False: memory is short,
// nothing was taken, and the connection starves.
bool amqp_content_body(struct amqp_conn *conn, uint16_t number, struct slice part);
void amqp_content_end(struct amqp_conn *conn, uint16_t number); // of the frame
void amqp_content_drop(struct amqp_channel *ch);
void amqp_content_unexpected(struct amqp_channel *ch); // fails: another frame was due

// ---- wait.c

void amqp_waits_leave(struct amqp_conn *conn, struct amqp_channel *ch); // of a channel that ends
void amqp_waits_orphan(struct amqp_conn *conn);                         // the connection ends

// ---- door.c

void amqp_door_starved(struct amqp_door *door, struct amqp_conn *conn);

#endif
