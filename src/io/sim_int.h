// SPDX-License-Identifier: Apache-2.0
//
// What the files of the simulated world share. Nothing here may depend on an address or on real
// time: lists keep the order of insertion, and every choice comes from the universe's generator.
#ifndef WEIR_IO_SIM_INT_H
#define WEIR_IO_SIM_INT_H

#include "base/list.h"
#include "base/map.h"
#include "base/prng.h"
#include "io/io_int.h"
#include "io/sim.h"

#define SIM_SECTOR 512
#define SIM_US     1000
#define SIM_MS     1000000

struct sim_event {
    struct heap_node node;
    void (*run)(struct sim *sim, struct sim_event *event); // no longer in the heap
};

struct sim {
    struct sim_options options;
    struct prng prng;
    struct heap events;
    int64_t now_ns;
    uint64_t hash;
    uint64_t next_uid;      // of actors, files and connections: names in the trace
    struct sim_io *running; // whose code runs now; NULL: none's
    struct list machines;
    struct list listeners; // sim_sock.net_link
    struct list conns;     // sim_conn.link
    struct list calls;     // sim_at that are still to come
    uint16_t next_port;
    struct sim_report report;
};

// What the trace calls things; the numbers mean nothing else.
enum sim_fact {
    FACT_EVENT,
    FACT_TURN,
    FACT_POST,
    FACT_NOW,
    FACT_WALL,
    FACT_RANDOM,
    FACT_TIMER,
    FACT_CRASH,
    FACT_START,
    FACT_LISTEN,
    FACT_ACCEPT,
    FACT_CONNECT,
    FACT_WATCH,
    FACT_RECV,
    FACT_SEND,
    FACT_CLOSE,
    FACT_OPEN,
    FACT_FILE_CLOSE,
    FACT_SIZE,
    FACT_READ,
    FACT_WRITE,
    FACT_SYNC,
    FACT_TRUNCATE,
    FACT_RESERVE,
    FACT_RENAME,
    FACT_REMOVE,
    FACT_MKDIR,
    FACT_SYNC_DIR,
    FACT_LIST,
    FACT_FREE,
    FACT_LOCK
};

// ---- disks

struct sim_op { // a write or truncation that is not yet part of the durable content
    struct list link;
    uint64_t offset; // truncation: the new size
    uint64_t len;
    int64_t start_ns;
    int64_t end_ns;
    int64_t durable_ns; // INT64_MAX: no sync has covered it
    uint64_t actor;     // uid
    bool truncate;
    bool doomed; // was dirty at a failed sync: no later sync makes it durable
    bool zeros;  // data is absent and means zeros
    uint8_t data[];
};

struct sim_flip { // bits of the durable content that have changed at rest
    uint64_t offset;
    uint8_t bits;
};

struct sim_inode {
    uint32_t refs;
    struct sim_disk *disk;
    uint64_t uid;
    uint8_t **pages; // durable content in blocks of IO_BLOCK; NULL means zeros
    size_t pages_count;
    uint64_t size; // durable size
    struct sim_flip *flips;
    size_t flips_count;
    struct list ops;
    size_t ops_count;
    uint64_t reserved_bytes;
    uint64_t counted_bytes; // of the capacity
    struct sim_world *locked_by;
};

enum sim_name_kind { NAME_LINK, NAME_REMOVE, NAME_RENAME };

struct sim_name_op {
    struct list link;
    enum sim_name_kind kind;
    char *path;
    char *to;                // rename
    struct sim_inode *inode; // what path named (link: names from now on); NULL: a directory
    struct sim_inode *replaced;
    bool replaces;
    int64_t start_ns;
    int64_t end_ns;
    int64_t durable_ns;
    uint64_t actor;
};

struct sim_entry {
    struct map_node node;
    struct sim_inode *inode; // NULL: a directory
    char path[];
};

#define SIM_LAST_WRITES 4
struct sim_last_write { // whole ones; uid 0: none
    uint64_t uid, offset, len;
};

struct sim_disk {
    struct sim *sim;
    uint64_t capacity_bytes;
    uint64_t used_bytes;
    uint64_t full_bytes; // the capacity while full_until_ns is ahead
    int64_t full_until_ns;
    struct map now;     // path -> sim_entry, with every change made
    struct map durable; // what a power loss leaves for sure
    struct list name_ops;
    size_t name_ops_count;
    struct sim_last_write last_writes[SIM_LAST_WRITES]; // newest first
};

// ---- machines and actors

struct sim_world { // one incarnation of a machine
    struct io_world base;
    struct sim *sim;
    struct sim_machine *machine;
    struct list actors; // sim_io.link
    uint32_t next_actor;
    bool dead;
};

struct sim_machine {
    struct sim *sim;
    struct list link;
    char name[32];
    struct sim_disk *disk; // NULL: none
    struct sim_world *world;
    int64_t wall_offset_ms;
    uint64_t starts;
    int64_t stopped_ns;       // the clocks of stopped actors: who comes later starts there
    uint64_t crash_countdown; // 0: none
    enum sim_crash_kind crash_kind;
    struct sim_event crash_event;
};

struct sim_mail {
    struct sim_event event;
    struct list link; // in the receiver's transit, then inbox
    struct io_msg *msg;
    struct sim_io *to;
};

struct sim_io {
    struct io base;
    struct sim *sim;
    struct sim_world *world;
    struct list link;
    uint64_t uid;
    uint32_t index;      // in its world, from 1
    int64_t clock_ns;    // its own time; ahead of the universe's while it is busy
    struct list transit; // mail on its way
    struct list inbox;
    struct list socks; // sim_sock.link
    struct list ready; // sim_sock.ready_link
    struct sim_sock *accepting;
    struct list files;      // sim_file.link
    struct sim_event turn;  // the next one
    int64_t *last_arrivals; // by the sender's index (0: from outside this world)
    size_t last_arrivals_count;
};

struct sim_file {
    struct io_file base;
    struct sim_io *io;
    struct list link;
    struct sim_inode *inode;
    int flags;
    bool lock;
};

// ---- connections

struct sim_end {
    struct sim_sock *sock; // NULL: not accepted yet, closed, or dead
    uint8_t *buf;          // received and not read: buf[head..len)
    size_t head, len, cap;
    size_t window_used; // sent by the other side and not read yet
    int64_t last_arrival_ns;
    bool fin;
    bool gone;              // closed or dead: what still arrives is answered with a reset
    int error;              // what io_recv says once the buffer is empty
    struct sim_sock *queue; // the listener in whose queue it waits
    struct list queue_link;
    struct io_addr addr;
};

struct sim_conn {
    struct list link;
    struct sim *sim;
    uint64_t uid;
    struct sim_end ends[2]; // 0: who connected
    uint32_t packets;       // under way
    size_t window;
    bool established;
    bool broken; // nothing passes any more, not even what is under way
    bool cut;    // nothing that is sent from now on passes
};

struct sim_sock {
    struct io_sock base;
    struct sim_io *io;
    struct list link;
    struct list ready_link;
    void *owner;
    const struct io_sock_events *events;
    int mask;
    struct sim_conn *conn; // NULL: a listener, or dead
    int side;
    // listeners
    bool listening;
    struct list net_link;
    struct list queue; // sim_end.queue_link
    int backlog, queued;
    struct io_addr addr;
    void (*accept)(void *owner, struct io_sock *sock, const struct io_addr *peer);
};

extern const struct io_ops sim_ops;

// sim.c
void sim_fact(struct sim *sim, enum sim_fact fact, uint64_t a, uint64_t b, int64_t c);
void sim_fact_text(struct sim *sim, const char *text);
bool sim_roll(struct sim *sim, enum sim_fault fault);  // rolls only
bool sim_fault(struct sim *sim, enum sim_fault fault); // rolls, and counts when it happens
void sim_count(struct sim *sim, enum sim_fault fault);
void sim_schedule(struct sim *sim, struct sim_event *event, int64_t at_ns); // also moves it
void sim_cancel(struct sim *sim, struct sim_event *event);
int64_t sim_between(struct sim *sim, int64_t min, int64_t max);
int64_t sim_long_delay(struct sim *sim); // 0, or the DELAY fault's

// sim_actor.c
int sim_actor_create(struct io_world *world, const struct io_actor_options *options,
                     struct io **out);
void sim_actor_stop(struct io *io);
void sim_post(struct io *to, struct io_msg *msg);
int64_t sim_io_now_ns(struct io *io);
int64_t sim_io_wall_ms(struct io *io);
void sim_io_random(struct io *io, void *out, size_t len);
void sim_timers_changed(struct io *io);
void sim_actor_wake(struct sim_io *io, int64_t at_ns);
void sim_actor_kill(struct sim_io *io);
void sim_actor_free(struct sim_io *io);

// sim_sock.c, sim_net.c
int sim_listen(struct io *io, const struct io_listen_options *options, struct io_sock **out);
int sim_sock_addr(struct io_sock *sock, struct io_addr *out);
int sim_connect(struct io *io, const struct io_addr *addr, struct io_sock **out);
void sim_sock_own(struct io_sock *sock, const struct io_sock_events *events, void *owner);
void sim_watch(struct io_sock *sock, int mask);
int64_t sim_recv(struct io_sock *sock, void *buf, size_t len);
int64_t sim_send(struct io_sock *sock, const struct iovec *iov, int iov_count);
void sim_close(struct io_sock *sock);
bool sim_socks_ready(struct sim_io *io); // part of a turn; true if any ran
struct sim_sock *sim_sock_create(struct sim_io *io, struct sim_conn *conn, int side);
void sim_sock_mark(struct sim_sock *sock); // its readiness may have changed
void sim_sock_kill(struct sim_sock *sock);
enum sim_packet_kind {
    PACKET_SYN,
    PACKET_SYNACK,
    PACKET_ACCEPT, // to the listener's side: take it from the queue now
    PACKET_DATA,
    PACKET_FIN,
    PACKET_RST,
    PACKET_ROOM // the other side has read
};
// To side `to`; error: what a RST says; data: PACKET_DATA's.
void sim_packet(struct sim_conn *conn, int to, enum sim_packet_kind kind, int error,
                const struct iovec *iov, size_t len);
struct sim_conn *sim_conn_create(struct sim *sim);
void sim_conn_settle(struct sim_conn *conn); // frees it when nobody can touch it any more
void sim_end_gone(struct sim_conn *conn, int side);
void sim_net_free(struct sim *sim);

// sim_disk.c
struct sim_inode *sim_inode_create(struct sim_disk *disk);
struct sim_inode *sim_inode_ref(struct sim_inode *inode);
void sim_inode_unref(struct sim_inode *inode); // accepts NULL
uint64_t sim_inode_size(struct sim_inode *inode, uint64_t actor, int64_t at_ns);
size_t sim_inode_read(struct sim_inode *inode, uint64_t actor, int64_t at_ns, uint64_t offset,
                      void *buf, size_t len);
struct sim_op *sim_inode_write(struct sim_inode *inode, uint64_t offset, const struct iovec *iov,
                               int iov_count, uint64_t len);
struct sim_op *sim_inode_truncate(struct sim_inode *inode, uint64_t size);
void sim_inode_settle(struct sim_inode *inode);
void sim_inode_crash(struct sim_inode *inode, bool power);
void sim_inode_flip(struct sim_inode *inode, uint64_t offset, uint8_t bits);
// sim_machine.c
struct sim_inode *sim_inode_at(struct sim_machine *machine, const char *path); // NULL

// sim_flip.c
void sim_flips_heal(struct sim_inode *inode, uint64_t offset, uint64_t len); // written over
void sim_flip_at_rest(struct sim_machine *machine);                          // one bit of one file
// Takes room for the file to reach `end` bytes; ERR_NOSPACE.
int sim_inode_grow(struct sim_inode *inode, uint64_t end);
void sim_inode_recount(struct sim_inode *inode);

// sim_names.c
struct sim_disk *sim_disk_create(struct sim *sim, uint64_t capacity_bytes);
void sim_disk_destroy(struct sim_disk *disk);
void sim_disk_crash(struct sim_disk *disk, bool power);
struct sim_entry *sim_names_find(struct map *names, const char *path);
// What a path names for an actor at its time: 0 and the inode (NULL: directory), ERR_NOT_FOUND.
int sim_names_lookup(struct sim_disk *disk, const char *path, uint64_t actor, int64_t at_ns,
                     struct sim_inode **out);
bool sim_names_parent_ok(struct sim_disk *disk, const char *path);
bool sim_names_empty(struct sim_disk *disk, const char *path);
struct sim_name_op *sim_names_change(struct sim_disk *disk, enum sim_name_kind kind,
                                     const char *path, const char *to, struct sim_inode *inode);
void sim_names_sync(struct sim_disk *disk, const char *dir, uint64_t actor, int64_t start_ns,
                    int64_t end_ns);
void sim_names_settle(struct sim_disk *disk);
void sim_names_commit(struct sim_disk *disk); // what has ended is durable, as if it had been synced
bool sim_path_in(const char *path, const char *dir); // directly in it

// sim_file.c, sim_dir.c
int sim_open(struct io *io, const char *path, int flags, struct io_file **out);
void sim_file_close(struct io_file *file);
int64_t sim_file_size(struct io_file *file);
int64_t sim_read(struct io_file *file, uint64_t offset, void *buf, size_t len);
int sim_write(struct io_file *file, uint64_t offset, const struct iovec *iov, int iov_count);
int sim_sync(struct io_file *file);
int sim_truncate(struct io_file *file, uint64_t size_bytes);
int sim_reserve(struct io_file *file, uint64_t offset, uint64_t len_bytes);
int sim_rename(struct io *io, const char *from, const char *to);
int sim_remove(struct io *io, const char *path);
int sim_mkdir(struct io *io, const char *path);
int sim_sync_dir(struct io *io, const char *path);
int sim_list(struct io *io, const char *path, int (*fn)(void *arg, const char *name), void *arg);
int64_t sim_disk_free(struct io *io);
int sim_lock(struct io *io, const char *path, const char *text, struct io_file **out);
int sim_lock_text(struct io_file *lock, const char *text);
struct sim_file *sim_file_create(struct sim_io *io, struct sim_inode *inode, int flags);
void sim_file_kill(struct sim_file *file);

// The span of a call on a worker: its clock moves to end_ns.
struct sim_span {
    int64_t start_ns;
    int64_t end_ns;
};
// ERR_STOPPED (dead), ERR_UNSUPPORTED (no disk). `changes`: counted as a change of the disk, in the
// middle of which the machine may crash.
int sim_call(struct sim_io *io, int64_t min_ns, int64_t max_ns, bool changes, struct sim_span *out);

#endif
