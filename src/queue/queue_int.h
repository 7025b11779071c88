// SPDX-License-Identifier: Apache-2.0
//
// What the files of this room share. Everything belongs to the shard's actor. Who owns what: a
// queue its levels, a level its lease set and its two windows, the shard's `queues` the nodes of
// leases, the memory that windows may hold, and what is still on its way when a queue is gone (cold
// reads, letters, consumers that have not been told).
#ifndef WEIR_QUEUE_QUEUE_INT_H
#define WEIR_QUEUE_QUEUE_INT_H

#include "base/assert.h"
#include "base/bugs.h"
#include "base/err.h"
#include "base/mem.h"
#include "queue/lease.h"
#include "queue/queue.h"

#define NS_PER_MS 1000000

#define QUEUE_ROUND_MAX    256U  // records that a queue hands out in a turn
#define QUEUE_TURN_MAX     4096U // records that a shard's queues hand out in a turn
#define QUEUE_LETTERS_MAX  256U  // dead letters of a queue on their way
#define QUEUE_READS_MAX    64U   // cold reads of a shard's queues on their way
#define QUEUE_RANGES_MAX   4096U // in one frame
#define QUEUE_WINDOWS_MIN  (1U << 20)
#define QUEUE_WINDOWS_MAX  (32U << 20)  // bytes that the windows of a shard hold
#define QUEUE_READ_MIN     (16U << 10)  // bytes of a first read; it doubles while reading goes on
#define QUEUE_READ_MAX     (256U << 10) // bytes of a read
#define QUEUE_UNPACKED_MAX (64U << 20)  // bytes of a compressed batch's records
#define QUEUE_RETRY_NS     (1000LL * NS_PER_MS)  // after an error
#define QUEUE_SHORT_NS     (20LL * NS_PER_MS)    // when memory is short
#define QUEUE_LOOK_NS      (60000LL * NS_PER_MS) // the wall clock may have jumped meanwhile

#define HOLDER_LETTERS 0 // of leases that a dead letter holds; no reader's

struct level;

// ---- reading a log, record by record (window.c)

struct window {
    struct log_read read;
    struct queues *queues;
    struct level *level; // NULL: its queue is gone while a read is under way
    struct list link;    // queues.windows by use, queues.reads while pending
    uint32_t want_bytes; // of the next read
    size_t held_bytes;   // pieces and what was unpacked
    int64_t big_offset;  // the batch that takes big_bytes, for which there was no room
    size_t big_bytes;    //   0: none
    int64_t from;        // offsets below are behind: not answered without reading again
    uint32_t piece;      // the batch that is open, or next
    size_t at;           //   where in the piece it begins
    struct batch batch;  //   while open
    struct blob *blob;   //   what its records lie in; a reference
    struct cursor first; //   before its first record
    struct cursor rest;  //   behind the record below
    int64_t after, upto; //   the record below answers for after <= offset <= upto
    bool open;
    bool record_there; // at `upto`; else nothing is left in the batch and upto is its end
    bool pending;
    struct message message;
};

enum window_answer {
    WINDOW_RECORD, // window->message
    WINDOW_GAP,    // nothing that can be delivered from the offset to *out_to - 1
    WINDOW_WAIT    // the reader is at it, or memory is short; the queue will be made active
};
struct window *window_create(struct level *level);
void window_rest(struct window *window);    // nothing is to be read now; accepts NULL
void window_release(struct window *window); // accepts NULL; a pending one ends by itself
enum window_answer window_find(struct window *window, int64_t offset, int64_t *out_to);
void windows_feed(struct queues *queues); // who waits for others' reads may read
void windows_free(struct queues *queues); // those still pending: their actor has ended

// ---- a queue

struct time_mark { // by then everything below `start` was settled
    int64_t time_ms, start;
};
#define TIME_MARKS_MAX 64

// What a cut has to emit: in a list, oldest change first.
enum dirty_kind { DIRTY_LEVEL, DIRTY_GONE };
struct dirty {
    struct list link;
    enum dirty_kind kind;
};
struct gone { // a deleted queue's level whose tombstone is in no installed snapshot yet
    struct dirty dirty;
    struct log_key key;
};

struct level { // a partition of a queue
    struct queue *queue;
    struct log *log;
    int32_t number;
    bool waiting; // the waiter is with the log
    struct log_waiter waiter;
    struct lease_set set;
    struct window *fresh, *again; // what was never acquired; what is read once more. NULL: none
    int64_t seen;                 // from here on nothing was offered to anybody, nor waits for it
    int64_t head;                 // of which record the two below are; -1: none
    int64_t head_published_ms, head_expires_ms; // INT64_MAX: never
    struct dirty dirty;
    struct list settling; // queues.settling: there are ranges for a frame
    struct lease_range *ranges;
    uint32_t ranges_count, ranges_cap;
    struct list trimming;   // queues.moved or .behind: the log may give back something
    uint64_t average_bytes; // of a record, in sixteenths
    struct time_mark *marks;
    uint32_t marks_count;
};

struct queue {
    struct map_node node; // in queues.by_id
    struct queues *queues;
    struct uuid id;
    struct slice name;
    struct queue_settings settings;
    struct level *levels;
    uint32_t levels_count;
    bool durable;            // its logs are: journalled and snapshotted
    bool running;            // its callbacks may be on the stack: it must not be destroyed
    bool exclusive;          // its consumer wants to be the only one
    int read_err;            // the last read's, until it is tried again
    struct list active_link; // queues.active
    struct list starved;     // queues.starved: waits until fewer reads are under way
    struct list unused_link; // queues.unused
    struct list ready, idle; // consumers that take something, by priority and turn; the others
    uint32_t consumers, grants;
    struct queue_consumer *single; // the active one of single_active
    uint64_t consumers_seq;
    struct list gets;
    struct list letters_due, letters_sent, letters_failed; // queue_letter.link
    uint32_t letters_open;
    struct io_timer timer;
    int64_t timer_ns; // when it fires; INT64_MAX: off
    int64_t retry_ns; // not before: reads and leases; INT64_MAX: nothing to try again
    int64_t used_ns;  // monotonic: x-expires counts from there
    bool left;        // it has had a consumer
    bool expired;     // x-expires is over, and nothing has used it since
    bool doomed;
    int64_t idle_since_ms;
    struct queue_stats counts; // the counters of it
};

int64_t queue_unused_ms(const struct queue *queue); // how long without a consumer; -1: for ever

// ---- handing out (dispatch.c)

struct served {                      // a consumer's part of a round
    struct queue_consumer *consumer; // NULL: it left meanwhile
    uint64_t holder;
    bool no_ack;
    uint32_t count, at;
};
struct round {
    struct queue_delivery picked[QUEUE_ROUND_MAX], parcel[QUEUE_ROUND_MAX];
    uint32_t who[QUEUE_ROUND_MAX]; // index into served
    struct served served[QUEUE_ROUND_MAX];
    uint32_t count, served_count;
};

struct letter {
    struct queue_letter l; // l.queue NULL: the queue is gone
    struct list link;      // queues.letters
    struct queues *queues;
    size_t paid_bytes;
    int64_t retry_ns;
};

struct queues {
    struct queues_options o;
    struct io *shard; // NULL before the start, and after the actor's end
    struct journal_port *port;
    bool started, stopped;
    bool ending; // queues_turn_end is running
    struct map by_id;
    struct map stored; // before the start: sets of queues that are not open yet
    struct lease_pool pool;
    struct list active, unused;
    struct list settling;
    struct list moved, behind; // levels whose start moved in this turn; who waits for a tick
    struct list cancelled;     // consumers whose queue is gone
    struct list void_gets;     // likewise
    struct list dirty, cutting;
    struct list windows, reads, starved;
    size_t windows_bytes, windows_max;
    uint32_t reads_open;
    struct list letters;
    struct io_msg wake;
    bool wake_posted;
    struct buf frame; // scratch
    struct round round;
};

// ---- queues.c

int64_t queues_now_ns(const struct queues *queues);
int64_t queues_now_ms(const struct queues *queues);
void queues_wake(struct queues *queues); // makes sure that another turn comes

// ---- queue.c

void queue_activate(struct queue *queue); // looked at at the turn's end
void queue_retry_at(struct queue *queue, int64_t at_ns);
void queue_timer_set(struct queue *queue, int64_t now_ns);
void queue_begin(struct queue *queue); // it and the shard run
void queue_free(struct queue *queue);  // its logs, and the actor, may be gone already
void queue_tell_unused(struct queue *queue);
void level_start(struct level *level, bool clean);
void level_follow_log(struct level *level); // what the log no longer has is settled
void level_await(struct level *level);      // news from the log
int64_t level_end(const struct level *level);
void level_settled(struct level *level, struct lease_range range); // journalled at the turn's end

// ---- consumer.c

void consumer_place(struct queue_consumer *consumer); // into the list where it belongs
void consumers_cancel(struct queue *queue);
void consumers_tell_cancelled(struct queues *queues);
void consumers_return_grants(struct queue *queue);

// ---- dispatch.c

struct head { // the first available record of a level
    struct level *level;
    struct window *window;
    int64_t offset;
    uint32_t deliveries;
};
// 1: there is one. 0: nothing is available. ERR_AGAIN: later, the queue will be made active.
int level_head(struct level *level, struct head *out);
struct window *level_window(struct level *level, int64_t offset);
uint32_t queue_run(struct queue *queue); // how much was done: about one per record
void round_forget(struct queues *queues, const struct queue_consumer *consumer);

// ---- ttl.c

int64_t message_deadline(const struct queue *queue, const struct message *message);
bool head_expired(const struct head *head, int64_t now_ms, bool taker);
bool queue_expire_head(struct queue *queue, const struct head *head); // false: not now
uint32_t queue_expire_all(struct queue *queue, int64_t now_ms); // at all levels; how much it did

// ---- letter.c

uint32_t queue_bury(struct queue *queue); // condemned records become letters; how many
// The record, held by HOLDER_LETTERS, becomes a letter.
void letter_make(const struct head *head, enum message_death_reason reason);
bool letters_full(const struct queue *queue);
void letters_send(struct queue *queue, int64_t now_ns);
int64_t letters_deadline(const struct queue *queue);
void letters_drop(struct queue *queue); // the queue goes
void letters_free(struct queues *queues);

// ---- persist.c

void dirty_mark(struct queues *queues, struct dirty *dirty);
void dirty_gone(struct queues *queues, const struct log_key *key);
void dirty_free(struct queues *queues);
void stored_init(struct queues *queues);
void stored_take(struct level *level); // what was restored, if anything
void stored_free(struct queues *queues);
void level_journal(struct level *level);     // a frame of what was settled
void level_save(struct level *level);        // journals the whole set
bool level_known(const struct level *level); // there is something to say in a snapshot

// ---- trim.c

void level_moved(struct level *level);     // its start may have
void level_give_back(struct level *level); // at the turn's end, if it is worth it
void level_tick(struct level *level, int64_t now_ms);
void level_give_back_holes(struct level *level);

#endif
